//! The nodes that were asked for last, as the database has them: a step asks for the same few many times.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use skep_planner::{Local, LocalContent, Synced};
use skep_types::{FileContent, NodeId, NodeState};

use super::row::{from_cbor, local_from_bytes, synced_from_bytes};
use super::{AWAKE, SqliteTrees};

/// So many nodes are kept, a few megabytes; one more, and all are forgotten: those that matter are back after a query each.
const KNOWN_MAX: usize = 4096;

/// What the tables say of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) synced: Option<Synced>,
    /// The row in `local_diff`: outer `None`, Local is as Synced says; inner `None`, it is not in Local.
    pub(super) local: Option<Option<Local>>,
    /// The row in `remote_diff`, in the same way, and whether it rests.
    pub(super) remote: Option<(Option<NodeState>, u8)>,
    pub(super) offered: bool,
    pub(super) applying: Option<NodeState>,
}

impl Known {
    /// Bytes that go to the server or come from it for this node, if nothing else changes.
    pub(super) fn waiting_bytes(&self) -> u64 {
        let synced = self.synced.as_ref().and_then(|synced| synced.state.content.file());
        let local = self.local.as_ref().map_or(synced, |local| local.as_ref().and_then(Local::file));
        let remote = match &self.remote {
            None => synced,
            Some((state, _)) => state.as_ref().and_then(|state| state.content.file()),
        };
        let size_of = |file: Option<&FileContent>, others: [Option<&FileContent>; 2]| {
            let is_there = |file: &FileContent| others.into_iter().flatten().any(|other| other.id == file.id);
            file.filter(|file| !is_there(file)).map_or(0, |file| file.size)
        };
        let sent = match &self.local {
            Some(Some(Local { content: LocalContent::Unread, stat, .. })) => stat.size,
            _ => size_of(local, [synced, remote]),
        };
        let comes = matches!(&self.remote, Some((Some(state), AWAKE)) if !state.place.trashed);
        let fetched = if comes { size_of(remote, [synced, local]) } else { 0 };
        sent.saturating_add(fetched)
    }
}

/// All that is known. Each write to the database is made here as well, and a step that is undone forgets all.
#[derive(Debug, Default)]
pub(super) struct KnownNodes(RefCell<BTreeMap<NodeId, Known>>);

impl KnownNodes {
    pub(super) fn forget_all(&self) {
        self.0.borrow_mut().clear();
    }
}

impl SqliteTrees {
    /// What `read` makes of what the tables say of the node.
    pub(super) fn of<T>(&self, node: NodeId, read: impl FnOnce(&Known) -> T) -> T {
        if let Some(known) = self.known.0.borrow().get(&node) {
            return read(known);
        }
        let known = match self.load(node) {
            Ok(known) => known,
            Err(error) => {
                self.note::<(), _>(Err(error));
                return read(&Known::default());
            }
        };
        let made = read(&known);
        let mut nodes = self.known.0.borrow_mut();
        if nodes.len() >= KNOWN_MAX {
            nodes.clear();
        }
        nodes.insert(node, known);
        made
    }

    /// The tables say something else of the node from now on.
    pub(super) fn know(&self, node: NodeId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known.0.borrow_mut().get_mut(&node) {
            change(known);
        }
    }

    fn load(&self, node: NodeId) -> rusqlite::Result<Known> {
        let sql = "SELECT s.synced, l.node IS NOT NULL, l.local, r.node IS NOT NULL, r.state, r.resting, o.node IS NOT NULL, a.state \
                   FROM (SELECT ?1 AS node) AS n \
                   LEFT JOIN synced AS s ON s.node = n.node LEFT JOIN local_diff AS l ON l.node = n.node \
                   LEFT JOIN remote_diff AS r ON r.node = n.node LEFT JOIN offered AS o ON o.node = n.node \
                   LEFT JOIN applying AS a ON a.node = n.node";
        let mut statement = self.connection.prepare_cached(sql)?;
        let known = statement.query_row(params![node.as_bytes()], |row| {
            let bytes = |column: usize| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_blob_or_null()?);
            let local = match row.get(1)? {
                true => Some(bytes(2)?.map(local_from_bytes).transpose()?),
                false => None,
            };
            let remote = match row.get(3)? {
                true => Some((bytes(4)?.map(from_cbor).transpose()?, row.get(5)?)),
                false => None,
            };
            let synced = bytes(0)?.map(synced_from_bytes).transpose()?;
            Ok(Known { synced, local, remote, offered: row.get(6)?, applying: bytes(7)?.map(from_cbor).transpose()? })
        });
        Ok(known.optional()?.unwrap_or_default())
    }
}
