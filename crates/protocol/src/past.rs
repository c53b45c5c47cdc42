//! What was: versions of nodes, the trash, how a directory was at a time.

use minicbor::{Decode, Encode};
use skep_types::{DeviceId, Entry, Name, NodeId, NodeState, Seq, Timestamp};

/// A node that stands, or stood, at a path.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FoundNode {
    /// As it is.
    #[n(0)]
    pub state: NodeState,
    /// It, or a directory above it, is in the trash.
    #[n(1)]
    pub in_trash: bool,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Author {
    /// As the commits name it.
    #[n(0)]
    pub device: DeviceId,
    /// What its owner calls it.
    #[n(1)]
    pub device_name: String,
    /// The account.
    #[n(2)]
    pub account_name: String,
    /// A person did it by a command: `device` is that of the computer, [by hand](DeviceId::by_hand).
    #[n(3)]
    pub by_hand: bool,
}

/// Entries of one node, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct History {
    /// What of them is still kept.
    #[n(0)]
    pub entries: Vec<Entry>,
    /// Who made them, as far as it is known.
    #[n(1)]
    pub authors: Vec<Author>,
    /// There are earlier ones.
    #[n(2)]
    pub more: bool,
}

/// A node in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TrashItem {
    /// As it is.
    #[n(0)]
    pub state: NodeState,
    /// Where it was, from the root down, its own name last.
    #[n(1)]
    pub path: Vec<Name>,
    /// When it was deleted, or the directory with which it went.
    #[n(2)]
    pub deleted: Timestamp,
    /// By which device.
    #[n(3)]
    pub by: DeviceId,
    /// It was deleted itself; otherwise a directory above it was.
    #[n(4)]
    pub by_itself: bool,
}

/// Where a listing of the trash goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum TrashPlace {
    /// With what was deleted before this entry of the journal.
    #[n(0)]
    Before(#[n(0)] Seq),
    /// A search: with the nodes after this one.
    #[n(1)]
    After(#[n(0)] NodeId),
}

/// A page of the trash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Trash {
    /// Without a search: what was deleted by itself, the last first. With one: whatever lies there, in no order.
    #[n(0)]
    pub items: Vec<TrashItem>,
    /// Who deleted it, as far as it is known.
    #[n(1)]
    pub authors: Vec<Author>,
    /// Ask on from here; `None`: that was all. A page of a search may be empty and not the last.
    #[n(2)]
    pub next: Option<TrashPlace>,
}

/// A node that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Past {
    /// As it is.
    #[n(0)]
    pub now: NodeState,
    /// As it was; `None` if it was made later.
    #[n(1)]
    pub then: Option<NodeState>,
    /// Where it is, from the root down; in the trash if it, or a directory above it, is.
    #[n(2)]
    pub path_now: Vec<Name>,
    /// Where it was.
    #[n(3)]
    pub path_then: Vec<Name>,
    /// It, or a directory above it, is in the trash now.
    #[n(4)]
    pub trashed_now: bool,
    /// It, or a directory above it, was in the trash then.
    #[n(5)]
    pub trashed_then: bool,
}

/// What beneath a directory is not as it was at a time, one page.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Pasts {
    /// By node id.
    #[n(0)]
    pub nodes: Vec<Past>,
    /// The journal's end at that time.
    #[n(1)]
    pub then: Seq,
    /// The journal's end now.
    #[n(2)]
    pub head: Seq,
    /// What the server's clock shows.
    #[n(3)]
    pub time: Timestamp,
    /// Ask on after this node; `None`: that was all. A page may be empty and not the last.
    #[n(4)]
    pub next: Option<NodeId>,
}
