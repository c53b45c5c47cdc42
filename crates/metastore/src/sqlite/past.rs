//! One transaction: what questions about the past read.

use skep_types::{DriveId, Entry, Name, NodeId, NodeState, Seq};

use super::session::{Session, stored_entry};
use super::{row, sql};
use crate::{ReadPast, StoreError};

/// A position as the database counts; beyond its numbers is beyond every entry.
fn position(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

impl ReadPast for Session<'_> {
    fn versions(&self, drive: DriveId, node: NodeId, before: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        let params = (number, node.as_bytes(), position(before), row::integer(limit as u64)?);
        self.all(sql::VERSIONS, params, stored_entry)
    }

    fn trashed_children(
        &self,
        drive: DriveId,
        parent: NodeId,
        name: &Name,
        limit: usize,
    ) -> Result<Vec<NodeState>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        let params = (number, parent.as_bytes(), name.as_bytes(), row::integer(limit as u64)?);
        self.all(sql::TRASHED_CHILDREN, params, row::node)
    }

    fn trashed_before(&self, drive: DriveId, before: Seq, limit: usize) -> Result<Vec<NodeState>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        self.all(sql::TRASHED_BEFORE, (number, position(before), row::integer(limit as u64)?), row::node)
    }

    fn entries_before(&self, drive: DriveId, before: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        self.all(sql::ENTRIES_BEFORE, (number, position(before), row::integer(limit as u64)?), stored_entry)
    }

    fn changed_since(
        &self,
        drive: DriveId,
        since: Seq,
        after: Option<NodeId>,
        limit: usize,
    ) -> Result<Vec<NodeId>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        // The root has the lowest id, and no entries.
        let after = after.unwrap_or(NodeId::ROOT);
        let params = (number, position(since), after.as_bytes(), row::integer(limit as u64)?);
        self.all(sql::CHANGED_SINCE, params, |row| row::node_id(row, 0))
    }
}
