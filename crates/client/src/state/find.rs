//! Finding nodes of Local by what stands in their names.

use rusqlite::params;
use skep_types::{NodeId, product};

use super::{SqliteTrees, limit_of};
use crate::state::row::kept_node;

impl SqliteTrees {
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
