//! What checked equality asks of a store: the sum of each drive's live nodes, and these nodes by ranges of ids.
//!
//! Invariant: whatever changes the nodes of a drive changes its sum in the same transaction, by what was changed alone. So a sum is a
//! second book, and [`WriteSums::recount`] is the only thing that writes it from the first.

use skep_types::{DriveId, NodeId, NodeState, Sum};

use crate::StoreError;

/// The reading of sums.
pub trait ReadSums {
    /// The sum of a drive's live nodes, as it was kept; `None` while the drive is being removed.
    fn sum(&self, drive: DriveId) -> Result<Option<Sum>, StoreError>;
    /// Live nodes whose ids are in `from..=to`, by id, at most `limit`.
    fn live_nodes(&self, drive: DriveId, from: NodeId, to: NodeId, limit: usize) -> Result<Vec<NodeState>, StoreError>;
    /// The nodes that do not live though they are not themselves in the trash, as that was kept; by id after `after`, at most `limit`.
    fn uncounted(&self, drive: DriveId, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeId>, StoreError>;
}

/// The writing of sums, beyond what other changes do by themselves.
pub trait WriteSums: ReadSums {
    /// Counts a drive's live nodes anew, whatever its sum was.
    fn recount(&mut self, drive: DriveId) -> Result<Sum, StoreError>;
    /// Sets a node's row to what the journal says of it, or removes a row of which it says nothing; for repairs. The drive is to be
    /// [recounted](WriteSums::recount) in the same transaction: its sum does not follow.
    fn mend_node(&mut self, drive: DriveId, node: NodeId, state: Option<&NodeState>) -> Result<(), StoreError>;
}
