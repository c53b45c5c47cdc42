//! The three trees, as the planner reads and writes them.

use skep_types::{Content, ContentId, Cursor, FileContent, Kind, Mode, Name, NodeId, NodeState, Seq, Stat, Timestamp};

use crate::absence::Absence;

/// In Local, the directory of nodes that were pushed from their place and not found elsewhere so far. Never on the server.
pub const LIMBO: NodeId = NodeId::from_bytes([0xfe; NodeId::LEN]);

/// Deepest chain of parents that is followed; a longer one is a fault and leads nowhere.
pub const CHAIN_MAX: usize = 4096;

/// What Local knows of a node's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalContent {
    /// Known.
    Known(Content),
    /// A regular file that was seen but not read since.
    Unread,
}

impl LocalContent {
    /// The content, if known.
    pub fn known(&self) -> Option<&Content> {
        match self {
            LocalContent::Known(content) => Some(content),
            LocalContent::Unread => None,
        }
    }
}

/// A node as this disk shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The directory that holds it.
    pub parent: NodeId,
    /// Its name there.
    pub name: Name,
    /// What it holds.
    pub content: LocalContent,
    /// Its mode, in the words of the drive.
    pub mode: Mode,
    /// What `stat` showed when the rest was true.
    pub stat: Stat,
}

impl Local {
    /// The kind of the node.
    pub fn kind(&self) -> Kind {
        match &self.content {
            LocalContent::Known(content) => content.kind(),
            LocalContent::Unread => Kind::File,
        }
    }

    /// The file content, if it is a file's and known.
    pub fn file(&self) -> Option<&FileContent> {
        self.content.known().and_then(Content::file)
    }
}

/// A node as both sides last agreed on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The server's state that was agreed on.
    pub state: NodeState,
    /// What this disk showed of it then: only a change against this is an edit.
    pub shown: Stat,
}

impl Synced {
    /// The Local that is in no way different from this.
    pub fn as_local(&self) -> Local {
        Local {
            parent: self.state.place.parent,
            name: self.state.place.name.clone(),
            content: LocalContent::Known(self.state.content.clone()),
            mode: self.state.mode,
            stat: self.shown,
        }
    }
}

/// How folder and server came together, until they agreed on everything for the first time since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing is known of the folder: it is merged by content.
    Join,
    /// The state was lost, but the folder remembers when both were equal.
    Relink {
        /// Where the journal ended then.
        since: Seq,
    },
}

/// The three trees. Implementations keep Synced whole, and of Local and Remote only the nodes that differ from it; that is their
/// business: each of the `set_` functions changes one tree and leaves what the other two say untouched.
///
/// The root directory ([`NodeId::ROOT`]) is in none of the three; it is the parent of what stands at the top.
///
/// An implementation over a database keeps its first failure to itself, answers anything after it, and reports it when the step
/// ends: the step is then undone as a whole. So nothing here returns an error.
pub trait Trees {
    /// The node in Synced.
    fn synced(&self, node: NodeId) -> Option<Synced>;
    /// The node in Local.
    fn local(&self, node: NodeId) -> Option<Local>;
    /// The node in Remote; trashed ones as well.
    fn remote(&self, node: NodeId) -> Option<NodeState>;

    /// The node of that name in that directory of Local.
    fn local_child(&self, parent: NodeId, name: &Name) -> Option<NodeId>;
    /// The node of that name in that directory of Remote that is not itself trashed.
    fn remote_child(&self, parent: NodeId, name: &Name) -> Option<NodeId>;
    /// The children of a directory of Local, by name.
    fn local_children(&self, parent: NodeId) -> Vec<(Name, NodeId)>;
    /// The children of a directory of Remote, trashed ones as well, by id.
    fn remote_children(&self, parent: NodeId) -> Vec<NodeId>;
    /// A node of Synced that holds this content. Only files of several chunks are found.
    fn synced_with(&self, content: ContentId) -> Option<NodeId>;
    /// The nodes of Local whose stat has this inode, by id.
    fn local_by_inode(&self, inode: u64) -> Vec<NodeId>;

    /// Nodes whose three states are not one and that do not rest, by id after `after`, at most `limit`.
    fn differing(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId>;
    /// Those of [`Trees::differing`] whose Remote is not Synced.
    fn differing_remotely(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId>;

    /// Sets a node of Local; `None`: it is not on this disk.
    fn set_local(&mut self, node: NodeId, local: Option<Local>);
    /// Sets a node of Remote and ends its rest; `None`: the server does not know it.
    fn set_remote(&mut self, node: NodeId, state: Option<NodeState>);
    /// Sets a node of Synced.
    fn set_synced(&mut self, node: NodeId, synced: Option<Synced>);
    /// A node that is only in Remote, in the trash: nothing is to be done for it until it comes out.
    fn rest(&mut self, node: NodeId, resting: bool);
    /// A node that is only in Remote and that is not to be on this disk, by rules or by choice: it rests until it is looked at again
    /// ([`Trees::left_out`]). What lies beneath it rests.
    fn leave_out(&mut self, node: NodeId);
    /// Whether the node rests.
    fn rests(&self, node: NodeId) -> bool;
    /// All nodes that were left out and rest since, by id.
    fn left_out(&self) -> Vec<NodeId>;

    /// Whether a creation of this node was sent by this device, so that its absence here is a deletion.
    fn offered(&self, node: NodeId) -> bool;
    /// Records that before the first creation of the node is sent; forgets it when the node is in Synced or was refused.
    fn set_offered(&mut self, node: NodeId, offered: bool);

    /// The state that an apply operation was to bring to the node: whether it did, is not known until its result was stored. After a
    /// kill between the two the disk tells.
    fn applying(&self, node: NodeId) -> Option<NodeState>;
    /// The node whose [`Trees::applying`] state stands at this place.
    fn applying_at(&self, parent: NodeId, name: &Name) -> Option<NodeId>;
    /// Records that before an apply operation is asked for; forgets it when what the disk shows of the node is known.
    fn set_applying(&mut self, node: NodeId, state: Option<NodeState>);

    /// How often the selection of directories had been changed when the trees agreed with it.
    fn selection_changes(&self) -> u64;
    /// Records that.
    fn set_selection_changes(&mut self, changes: u64);

    /// The newest entry of something that was taken from this disk since it was sent from here, by rules or by choice: of a node that is not
    /// in Synced, what this device sent up to there is not what its disk showed last.
    fn taken_out_to(&self) -> Seq;
    /// Records that.
    fn set_taken_out_to(&mut self, seq: Seq);

    /// Nodes that have an [`Trees::applying`] state.
    fn applying_nodes(&self) -> Vec<NodeId>;

    /// Nodes that are in Synced or in Remote, by id after `after`, at most `limit`.
    fn known(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId>;
    /// A node of the snapshot that is being taken.
    fn shadow(&self, node: NodeId) -> Option<NodeState>;
    /// The nodes of the snapshot that is being taken, by id after `after`, at most `limit`.
    fn shadow_nodes(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId>;
    /// Takes a node of a snapshot.
    fn set_shadow(&mut self, state: NodeState);
    /// Forgets what was taken of a snapshot.
    fn clear_shadow(&mut self);

    /// How folder and server came together, if they have not agreed since.
    fn beginning(&self) -> Option<Beginning>;
    /// Records that.
    fn set_beginning(&mut self, beginning: Option<Beginning>);
    /// A node as it was when folder and server were equal, in a [`Beginning::Relink`], if it changed since on the server.
    fn past(&self, node: NodeId) -> Option<NodeState>;
    /// All such nodes, by id after `after`, at most `limit`.
    fn past_nodes(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId>;
    /// Takes such a node.
    fn set_past(&mut self, state: NodeState);
    /// Forgets them all.
    fn clear_past(&mut self);

    /// The nodes that were found gone, though nobody saw them go.
    fn absences(&self) -> Vec<(NodeId, Absence)>;
    /// Records that of a node, or forgets it.
    fn set_absence(&mut self, node: NodeId, absence: Option<Absence>);

    /// Files that hold something else than they should, though nobody changed them; and what.
    fn damages(&self) -> Vec<(NodeId, ContentId)>;
    /// Records that of a file, or forgets it.
    fn set_damage(&mut self, node: NodeId, damage: Option<ContentId>);

    /// When the trees were last written.
    fn last_step(&self) -> Option<Timestamp>;
    /// Records that.
    fn set_last_step(&mut self, now: Timestamp);

    /// How far the journal was taken into Remote.
    fn cursor(&self) -> Option<Cursor>;
    /// Moves the cursor; in the same transaction as the entries that it stands for.
    fn set_cursor(&mut self, cursor: Option<Cursor>);
    /// Nodes in Synced that are files, and their bytes: for status.
    fn totals(&self) -> (u64, u64);
}
