//! One transaction: the sums of the drives that it changes.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use skep_types::{Content, Counted, DriveId, NodeId, NodeState, Sum, live_directories};

use super::session::{DriveNumber, Session};
use super::{row, sql};
use crate::{ReadSums, StoreError, WriteSums};

/// Nodes that are read at a time.
const PAGE_NODES: i64 = 4096;
/// As many as there are.
const ALL: i64 = i64::MAX;

impl Session<'_> {
    /// To be called before the row of a node is changed.
    pub(super) fn note(&mut self, drive: DriveNumber, node: NodeId) -> Result<(), StoreError> {
        let mut tally = self.tallies.remove(&drive).unwrap_or_default();
        let noted = tally.note(&Rows { session: self, drive }, node);
        self.tallies.insert(drive, tally);
        noted
    }

    /// Brings the sums of the drives that were changed up to their nodes. The last thing that a transaction does.
    pub(super) fn settle_sums(&mut self) -> Result<(), StoreError> {
        for (drive, tally) in std::mem::take(&mut self.tallies) {
            // None of a drive that is being removed, or was.
            let Some(sum) = self.sum_of(drive)? else { continue };
            let change = tally.settle(&mut Rows { session: self, drive })?;
            if !change.is_nothing() {
                self.put_sum(drive, &change.applied_to(sum))?;
            }
        }
        Ok(())
    }

    fn sum_of(&self, drive: DriveNumber) -> Result<Option<Sum>, StoreError> {
        Ok(self.one(sql::SUM, [drive], |row| row::optional(row, 0, row::sum))?.flatten())
    }

    fn put_sum(&self, drive: DriveNumber, sum: &Sum) -> Result<(), StoreError> {
        self.change(sql::PUT_SUM, (drive, sum.to_bytes())).map(drop)
    }

    fn nodes_after(&self, drive: DriveNumber, after: NodeId) -> Result<Vec<NodeState>, StoreError> {
        self.all(sql::NODES, (drive, after.as_bytes(), PAGE_NODES), row::node)
    }

    fn each_node(
        &self,
        drive: DriveNumber,
        mut take: impl FnMut(&NodeState) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = NodeId::ROOT;
        loop {
            let page = self.nodes_after(drive, after)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.node;
            page.iter().try_for_each(&mut take)?;
        }
    }

    /// Counts the nodes of a drive anew.
    fn recount_number(&mut self, drive: DriveNumber) -> Result<Sum, StoreError> {
        // Of a directory that is in the trash by itself, nothing beneath lives: it leads nowhere.
        let mut above: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        self.each_node(drive, |state| {
            if state.content == Content::Directory && !state.place.trashed {
                above.insert(state.node, state.place.parent);
            }
            Ok(())
        })?;
        let live = live_directories(&above);
        self.change(sql::COUNT_ALL, [drive])?;
        let mut sum = Sum::default();
        self.each_node(drive, |state| {
            if state.place.trashed {
                return Ok(());
            }
            if state.place.parent == NodeId::ROOT || live.contains(&state.place.parent) {
                sum.add(&Sum::of(state));
                return Ok(());
            }
            self.change(sql::PUT_UNCOUNTED, (drive, state.node.as_bytes())).map(drop)
        })?;
        self.put_sum(drive, &sum)?;
        Ok(sum)
    }
}

/// Counts the drives of a database of which no sum is kept: it was made before there were any.
pub(super) fn fill(connection: &Connection) -> Result<(), StoreError> {
    let is_lacking: Option<i64> =
        connection.query_row(sql::DRIVE_WITHOUT_SUM, [], |row| row.get(0)).optional().map_err(row::failed)?;
    if is_lacking.is_none() {
        return Ok(());
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(row::failed)?;
    let mut session = Session::new(&transaction);
    for drive in session.all(sql::DRIVES_WITHOUT_SUM, [], |row| row.get(0).map_err(row::failed))? {
        session.recount_number(drive)?;
    }
    drop(session);
    transaction.commit().map_err(row::failed)
}

/// The nodes of a drive, as a tally sees them.
struct Rows<'s, 'c> {
    session: &'s Session<'c>,
    drive: DriveNumber,
}

impl Counted for Rows<'_, '_> {
    type Error = StoreError;

    fn node(&self, node: NodeId) -> Result<Option<NodeState>, StoreError> {
        self.session.one(sql::NODE, (self.drive, node.as_bytes()), row::node)
    }

    fn nodes_in(&self, directory: NodeId) -> Result<Vec<NodeState>, StoreError> {
        self.session.all(sql::ANY_CHILDREN, (self.drive, directory.as_bytes(), ALL), row::node)
    }

    fn is_uncounted(&self, node: NodeId) -> Result<bool, StoreError> {
        Ok(self.session.one(sql::IS_UNCOUNTED, (self.drive, node.as_bytes()), |_| Ok(()))?.is_some())
    }

    fn set_uncounted(&mut self, node: NodeId, uncounted: bool) -> Result<(), StoreError> {
        let statement = if uncounted { sql::PUT_UNCOUNTED } else { sql::DROP_UNCOUNTED };
        self.session.change(statement, (self.drive, node.as_bytes())).map(drop)
    }
}

impl ReadSums for Session<'_> {
    fn sum(&self, drive: DriveId) -> Result<Option<Sum>, StoreError> {
        match self.number(drive)? {
            Some(number) => self.sum_of(number),
            None => Ok(None),
        }
    }

    fn live_nodes(&self, drive: DriveId, from: NodeId, to: NodeId, limit: usize) -> Result<Vec<NodeState>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        let limit = row::integer(limit as u64)?;
        self.all(sql::LIVE_NODES, (number, from.as_bytes(), to.as_bytes(), limit), row::node)
    }

    fn uncounted(&self, drive: DriveId, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeId>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        let after = after.unwrap_or(NodeId::ROOT);
        let params = (number, after.as_bytes(), row::integer(limit as u64)?);
        self.all(sql::UNCOUNTED_AFTER, params, |row| row::node_id(row, 0))
    }
}

impl WriteSums for Session<'_> {
    fn recount(&mut self, drive: DriveId) -> Result<Sum, StoreError> {
        let number = self.number_of(drive)?;
        // What was changed in this transaction so far is in what is counted.
        self.tallies.remove(&number);
        self.recount_number(number)
    }

    fn mend_node(&mut self, drive: DriveId, node: NodeId, state: Option<&NodeState>) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        match state {
            Some(state) => self.put_node(number, state),
            None => self.change(sql::DROP_NODE, (number, node.as_bytes())).map(drop),
        }
    }
}
