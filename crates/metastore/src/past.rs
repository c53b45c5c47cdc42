//! What questions about the past ask of a store: versions of a node, the trash, what has changed since.

use skep_types::{DriveId, Entry, Name, NodeId, NodeState, Seq};

use crate::StoreError;

/// The reading that the past needs.
pub trait ReadPast {
    /// Entries of a node before a position, newest first, at most `limit`.
    fn versions(&self, drive: DriveId, node: NodeId, before: Seq, limit: usize) -> Result<Vec<Entry>, StoreError>;
    /// Nodes of that name in that directory that were trashed themselves, the last first, at most `limit`.
    fn trashed_children(
        &self,
        drive: DriveId,
        parent: NodeId,
        name: &Name,
        limit: usize,
    ) -> Result<Vec<NodeState>, StoreError>;
    /// Nodes that were trashed themselves by entries before a position, the last first, at most `limit`.
    fn trashed_before(&self, drive: DriveId, before: Seq, limit: usize) -> Result<Vec<NodeState>, StoreError>;
    /// Entries before a position, the last first, at most `limit`.
    fn entries_before(&self, drive: DriveId, before: Seq, limit: usize) -> Result<Vec<Entry>, StoreError>;
    /// Nodes with an entry after a position, by id after `after`, at most `limit`.
    fn changed_since(
        &self,
        drive: DriveId,
        since: Seq,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<NodeId>, StoreError>;
}
