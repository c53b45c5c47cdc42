//! What an audit needs: files in a fixed order, how far it is, and what it found.

use minicbor::{Decode, Encode};
use rusqlite::params;
use skep_planner::Synced;
use skep_types::{ContentId, NodeId, Timestamp};

use super::row::{from_cbor, kept_node, synced_from_bytes, to_cbor};
use super::{SqliteTrees, StateError, after_bytes, limit_of};

/// Where an audit stands, over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct AuditState {
    /// The last file that was read in this pass.
    #[n(0)]
    pub(crate) after: Option<NodeId>,
    /// When this pass began.
    #[n(1)]
    pub(crate) began: Option<Timestamp>,
    /// When a pass was last complete.
    #[n(2)]
    pub completed: Option<Timestamp>,
    /// Files that this pass has read.
    #[n(3)]
    pub files: u64,
    /// Their bytes.
    #[n(4)]
    pub bytes: u64,
    /// Damaged files that were ever found.
    #[n(5)]
    pub damaged: u64,
    /// The last one: when, and its path.
    #[n(6)]
    pub last_damage: Option<(Timestamp, String)>,
    /// When the last complete pass began.
    #[n(8)]
    pub(crate) last_began: Option<Timestamp>,
    /// Files that this pass could not read.
    #[n(7)]
    pub unreadable: u64,
}

impl SqliteTrees {
    /// Nodes after one, by id, on which disk and server agree as far as is known; at most `limit`.
    pub(crate) fn agreed_after(&self, after: Option<NodeId>, limit: usize) -> Vec<(NodeId, Synced)> {
        let sql = "SELECT node, synced FROM synced AS s WHERE node > ?1 \
                   AND NOT EXISTS (SELECT 1 FROM local_diff AS d WHERE d.node = s.node) ORDER BY node LIMIT ?2";
        self.many(sql, params![after_bytes(&after), limit_of(limit)], |row| {
            Ok((kept_node(row, 0)?, synced_from_bytes(row.get_ref(1)?.as_blob()?)?))
        })
    }

    /// Where the audit stands.
    pub(crate) fn audit_state(&self) -> AuditState {
        // What cannot be read begins anew.
        let bytes = self.meta("audit").ok().flatten();
        bytes.and_then(|bytes| from_cbor(&bytes).ok()).unwrap_or_default()
    }

    /// Keeps that.
    pub(crate) fn set_audit_state(&mut self, state: &AuditState) -> Result<(), StateError> {
        self.set_meta("audit", &to_cbor(state))
    }

    pub(super) fn all_damages(&self) -> Vec<(NodeId, ContentId)> {
        self.many("SELECT node, content FROM damaged ORDER BY node", [], |row| {
            Ok((kept_node(row, 0)?, from_cbor(row.get_ref(1)?.as_blob()?)?))
        })
    }

    pub(super) fn put_damage(&self, node: NodeId, damage: Option<ContentId>) {
        match damage {
            None => self.write("DELETE FROM damaged WHERE node = ?1", params![node.as_bytes()]),
            Some(content) => {
                let sql = "INSERT OR REPLACE INTO damaged (node, content) VALUES (?1, ?2)";
                self.write(sql, params![node.as_bytes(), to_cbor(&content)]);
            }
        }
    }
}
