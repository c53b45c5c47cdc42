//! Commits: what a device asks of a drive, and what the drive answers.

use minicbor::{Decode, Encode};

use crate::{CommitId, Content, DriveId, ListId, Mode, Name, NodeId, NodeState, Seq, Version};

/// One change of one node. `base` is the version of the field group that the device saw when the change was made.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Operation {
    /// A node that the server has not seen.
    #[n(0)]
    Create {
        /// Its id, made by the client.
        #[n(0)]
        node: NodeId,
        /// The directory that holds it.
        #[n(1)]
        parent: NodeId,
        /// Its name there.
        #[n(2)]
        name: Name,
        /// What it holds.
        #[n(3)]
        content: Content,
        /// Its mode.
        #[n(4)]
        mode: Mode,
    },
    /// A rename, a move, or both; takes a trashed node out of the trash.
    #[n(1)]
    Move {
        /// Which node.
        #[n(0)]
        node: NodeId,
        /// The place version it is based on.
        #[n(1)]
        base: Version,
        /// The new directory.
        #[n(2)]
        parent: NodeId,
        /// The new name.
        #[n(3)]
        name: Name,
    },
    /// New bytes, a new mtime or a new symlink target.
    #[n(2)]
    Edit {
        /// Which node.
        #[n(0)]
        node: NodeId,
        /// The content version it is based on.
        #[n(1)]
        base: Version,
        /// The new content, of the same kind.
        #[n(2)]
        content: Content,
    },
    /// A new mode.
    #[n(3)]
    SetMode {
        /// Which node.
        #[n(0)]
        node: NodeId,
        /// The mode version it is based on.
        #[n(1)]
        base: Version,
        /// The new mode.
        #[n(2)]
        mode: Mode,
    },
    /// Into the trash; a directory goes whole.
    #[n(4)]
    Trash {
        /// Which node.
        #[n(0)]
        node: NodeId,
        /// The place version it is based on.
        #[n(1)]
        base: Version,
        /// The journal as far as this device had seen it: later entries of *other* devices beneath the node refuse this.
        #[n(2)]
        seen: Seq,
    },
}

impl Operation {
    /// The node that this changes.
    pub fn node(&self) -> NodeId {
        match self {
            Operation::Create { node, .. }
            | Operation::Move { node, .. }
            | Operation::Edit { node, .. }
            | Operation::SetMode { node, .. }
            | Operation::Trash { node, .. } => *node,
        }
    }

    /// The content that this brings, if it does.
    pub fn content(&self) -> Option<&Content> {
        match self {
            Operation::Create { content, .. } | Operation::Edit { content, .. } => Some(content),
            _ => None,
        }
    }
}

/// Operations that hold together: all are taken or none. Names, cycles and parents are checked on the end state only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Group(#[n(0)] pub Vec<Operation>);

/// Why a device believes that nodes are gone; decides whether a run of deletions is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub enum Evidence {
    /// Seen live, by watch events, with the daemon up throughout.
    #[default]
    #[n(0)]
    Events,
    /// Found by absence in a complete scan.
    #[n(1)]
    Scan,
    /// A person approved it.
    #[n(2)]
    Approved,
    /// Made on the web.
    #[n(3)]
    Web,
}

/// What a device asks to be done to one drive, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Commit {
    /// Made by the device; a commit that is sent again is recognised by it.
    #[n(0)]
    pub id: CommitId,
    /// Which drive.
    #[n(1)]
    pub drive: DriveId,
    /// Taken or refused one by one, in this order.
    #[n(2)]
    pub groups: Vec<Group>,
    /// For the deletions in it.
    #[n(3)]
    pub evidence: Evidence,
}

/// Why a group was refused.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Reject {
    /// The node is not in this drive.
    #[n(0)]
    UnknownNode(#[n(0)] NodeId),
    /// The field group has another version by now; here is the node as it is.
    #[n(1)]
    Changed(#[n(0)] Box<NodeState>),
    /// Another live node has that name in that directory.
    #[n(2)]
    NameTaken(#[n(0)] Box<NodeState>),
    /// The node or its directory is in the trash, by way of this trashed node.
    #[n(3)]
    InTrash(#[n(0)] NodeId),
    /// The parent is no live directory of this drive.
    #[n(4)]
    BadParent(#[n(0)] NodeId),
    /// The directory would lie within itself.
    #[n(5)]
    Cycle(#[n(0)] NodeId),
    /// Another device changed something beneath a node that was to be trashed.
    #[n(6)]
    ChangedBelow(#[n(0)] NodeId),
    /// The operation does not fit the node: another kind, the root, a mount, a mode that it cannot have.
    #[n(7)]
    Invalid(#[n(0)] NodeId),
    /// An earlier group of this commit, which this one needs, was refused.
    #[n(8)]
    Depends(#[n(0)] NodeId),
}

/// The drive's answer to one group.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum GroupResult {
    /// Done, or already so.
    #[n(0)]
    Accepted,
    /// Done, with a directory that this commit creates being this one that already stood there; the later groups were
    /// read with this id.
    #[n(1)]
    AcceptedAs(#[n(0)] NodeId),
    /// Not done, and why.
    #[n(2)]
    Rejected(#[n(0)] Reject),
}

/// The drive's answer to a commit.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum CommitReply {
    /// Each group was decided.
    #[n(0)]
    Decided {
        /// The journal's end after this commit: the reasons of all rejections lie at or before it.
        #[n(0)]
        head: Seq,
        /// One for each group, in order.
        #[n(1)]
        results: Vec<GroupResult>,
    },
    /// Nothing was done: these contents are not in this drive. Send them and commit again.
    #[n(1)]
    Missing {
        /// Chunks that the drive lacks.
        #[n(0)]
        chunks: Vec<crate::ChunkId>,
        /// Manifests that the drive lacks.
        #[n(1)]
        lists: Vec<ListId>,
    },
}
