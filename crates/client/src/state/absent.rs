//! Nodes that were found gone, though nobody saw them go.

use rusqlite::params;
use skep_planner::{Absence, Found, Stage};
use skep_types::NodeId;

use super::SqliteTrees;
use super::row::{from_cbor, kept_node, to_cbor};

impl SqliteTrees {
    pub(super) fn all_absences(&self) -> Vec<(NodeId, Absence)> {
        self.many("SELECT node, found, stage, since FROM absent ORDER BY node", [], |row| {
            let found = if row.get::<_, i64>(1)? == 0 { Found::AtStart } else { Found::InScan };
            let stage = match row.get::<_, i64>(2)? {
                0 => Stage::Open,
                1 => Stage::Cleared,
                3 => Stage::Approved,
                // What this program does not know waits for a person.
                _ => Stage::Held,
            };
            let since = from_cbor(row.get_ref(3)?.as_blob()?)?;
            Ok((kept_node(row, 0)?, Absence { since, found, stage }))
        })
    }

    pub(super) fn put_absence(&self, node: NodeId, absence: Option<Absence>) {
        let Some(Absence { since, found, stage }) = absence else {
            return self.write("DELETE FROM absent WHERE node = ?1", params![node.as_bytes()]);
        };
        let found = match found {
            Found::AtStart => 0,
            Found::InScan => 1,
        };
        let stage = match stage {
            Stage::Open => 0,
            Stage::Cleared => 1,
            Stage::Held => 2,
            Stage::Approved => 3,
        };
        let sql = "INSERT OR REPLACE INTO absent (node, found, stage, since) VALUES (?1, ?2, ?3, ?4)";
        self.write(sql, params![node.as_bytes(), found, stage, to_cbor(&since)]);
    }
}
