//! Finding nodes of Local by what stands in their names.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rusqlite::params;
use skep_types::{CommitId, NodeId, NodeState, Seq, Version, product};

use super::{SqliteTrees, limit_of};
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

    /// The nodes of Local whose names are those of conflict copies, by id, at most `limit`. One pass over an index; rows are not read.
    pub fn conflict_copies(&self, limit: usize) -> Vec<NodeId> {
        // `+node`: the few that match are sorted, instead of all rows being read in the order of their ids.
        let sql = "SELECT node FROM ( \
                     SELECT node, name FROM synced AS s INDEXED BY synced_place \
                       WHERE NOT EXISTS (SELECT 1 FROM local_diff AS d WHERE d.node = s.node) \
                     UNION ALL SELECT node, name FROM local_diff WHERE name IS NOT NULL) \
                   WHERE instr(name, ?1) > 0 ORDER BY +node LIMIT ?2";
        self.many(sql, params![product::TWO_VERSIONS.as_bytes(), limit_of(limit)], |row| kept_node(row, 0))
    }
}
