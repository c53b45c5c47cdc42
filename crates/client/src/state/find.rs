//! Finding nodes of Local by what stands in their names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};
use skep_planner::{Local, TwoVersions};
use skep_types::{CommitId, NodeId, NodeState, Seq, Version, product};

use super::SqliteTrees;
use crate::state::row::{kept_node, synced_from_bytes};

impl SqliteTrees {
    /// The commits that set anything of what was agreed on, each with the last position at which it did, in the order of the journal.
    pub(crate) fn agreed_commits(&self) -> Vec<Version> {
        // Rows are not kept: there may be millions of them, of a few commits.
        let last: RefCell<BTreeMap<CommitId, Seq>> = RefCell::default();
        let _: Vec<()> = self.many("SELECT synced FROM synced", [], |row| {
            let NodeState { place_version, content_version, mode_version, .. } =
                synced_from_bytes(row.get_ref(0)?.as_blob()?)?.state;
            for Version { seq, commit } in [place_version, content_version, mode_version] {
                let mut last = last.borrow_mut();
                let known = last.entry(commit).or_insert(seq);
                *known = seq.max(*known);
            }
            Ok(())
        });
        let last = last.into_inner();
        let mut commits: Vec<Version> = last.into_iter().map(|(commit, seq)| Version { seq, commit }).collect();
        commits.sort();
        commits
    }

    /// The nodes of Local whose names are those of conflict copies, by id, at most `limit`.
    pub fn conflict_copies(&self, limit: usize) -> Vec<NodeId> {
        self.copies.iter().take(limit).copied().collect()
    }

    /// How many these are.
    pub(crate) fn count_copies(&self) -> usize {
        self.copies.len()
    }

    /// A node of Local gets this name, or goes.
    pub(super) fn note_copy(&mut self, node: NodeId, local: Option<&Local>) {
        if local.is_some_and(|local| TwoVersions::of(&local.name).is_some()) {
            self.copies.insert(node);
        } else {
            self.copies.remove(&node);
        }
    }
}

/// The nodes of Local whose names are those of conflict copies. One pass over an index; rows are not read.
pub(super) fn conflict_copies(connection: &Connection) -> rusqlite::Result<BTreeSet<NodeId>> {
    let sql = "SELECT node FROM ( \
                 SELECT node, name FROM synced AS s INDEXED BY synced_place \
                   WHERE NOT EXISTS (SELECT 1 FROM local_diff AS d WHERE d.node = s.node) \
                 UNION ALL SELECT node, name FROM local_diff WHERE name IS NOT NULL) \
               WHERE instr(name, ?1) > 0";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map(params![product::TWO_VERSIONS.as_bytes()], |row| kept_node(row, 0))?;
    found.collect()
}
