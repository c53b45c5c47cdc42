//! The client's state: the three trees in SQLite.
//!
//! Synced is stored whole; of Local and Remote only the nodes that differ from it, so that "what is to be done" is two short tables
//! and "nothing" is two empty ones. Everything here can be rebuilt from the folder and the server: losing it loses nothing.
//!
//! Invariant: `local_diff` and `remote_diff` hold a node exactly if that tree differs from Synced in it.

mod absent;
mod audit;
mod find;
mod known;
mod row;
mod schema;
mod sums;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use skep_planner::{Absence, Beginning, Local, Synced, Trees};
use skep_protocol::Lineage;
use skep_types::{ContentId, Cursor, ListId, Name, NodeId, NodeState, Seq, Timestamp};

pub use audit::AuditState;
pub(crate) use sums::{Books, Recount, Standing};

use crate::equality::Checked;
use known::{Known, KnownNodes};
use row::{from_cbor, from_inode, kept_name, kept_node, local_to_bytes, synced_to_bytes, to_cbor};
use sums::Counting;

/// The state cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Made by a newer program.
    #[error("the state has format {found}, this program knows format {known}")]
    Newer {
        /// In the file.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// The disk is full.
    #[error("the disk that holds the state is full")]
    NoSpace,
    /// It cannot be read or written.
    #[error("the state cannot be read or written: {0}")]
    Failed(String),
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> StateError {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StateError::NoSpace,
            _ => StateError::Failed(error.to_string()),
        }
    }
}

/// Under which [`SqliteTrees::lineage`] is kept.
const LINEAGE: &str = "lineage";
/// Under which [`Trees::taken_out_to`] is kept.
const TAKEN_OUT: &str = "taken out to";
const BEGINNING: &str = "beginning";

/// Called after each commit, when what it wrote is in the database.
type CommitHook = Box<dyn FnMut(&mut SqliteTrees) + Send>;

/// The three trees in an SQLite database.
pub struct SqliteTrees {
    connection: Connection,
    known: KnownNodes,
    totals: Totals,
    /// Nodes of Local with names of conflict copies.
    copies: BTreeSet<NodeId>,
    counting: Counting,
    failure: RefCell<Option<StateError>>,
    after_commit: Option<CommitHook>,
}

/// Files in Synced, and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    /// Files in Synced.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes of the files that are to be sent or fetched, as far as known.
    pub(crate) waiting: u64,
}

impl SqliteTrees {
    /// Opens the state at `path`, or makes it. After an unclean stop it is checked; a damaged one is set aside as
    /// `….damaged-N`, and a new one is made: the folder and the server rebuild it.
    pub fn open(path: &Path) -> Result<SqliteTrees, StateError> {
        match schema::open_file(path) {
            Ok(connection) => SqliteTrees::around(connection),
            Err(schema::OpenError::Damaged(reason)) => {
                let aside = skep_platform::set_aside(path).map_err(|error| StateError::Failed(error.to_string()))?;
                tracing::warn!(reason, aside = %aside.display(), "the state was damaged: it is rebuilt from folder and server");
                SqliteTrees::around(schema::open_file(path).map_err(schema::OpenError::into_state_error)?)
            }
            Err(error) => Err(error.into_state_error()),
        }
    }

    /// A new state that is only in memory.
    pub fn in_memory() -> Result<SqliteTrees, StateError> {
        let connection = Connection::open_in_memory()?;
        schema::prepare(&connection).map_err(schema::OpenError::into_state_error)?;
        SqliteTrees::around(connection)
    }

    /// The state that [`SqliteTrees::serialize`] gave, in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<SqliteTrees, StateError> {
        let mut connection = Connection::open_in_memory()?;
        connection.deserialize_read_exact(rusqlite::MAIN_DB, bytes, bytes.len(), false)?;
        schema::prepare(&connection).map_err(schema::OpenError::into_state_error)?;
        SqliteTrees::around(connection)
    }

    /// The database as bytes.
    pub fn serialize(&mut self) -> Result<Vec<u8>, StateError> {
        Ok(self.connection.serialize(rusqlite::MAIN_DB)?.to_vec())
    }

    /// Calls `hook` after each commit: the simulator keeps what would be on the disk then.
    pub fn after_commit(mut self, hook: impl FnMut(&mut SqliteTrees) + Send + 'static) -> SqliteTrees {
        self.after_commit = Some(Box::new(hook));
        self
    }

    /// Bytes of the files that are to be sent or fetched, as far as known.
    pub fn waiting_bytes(&self) -> u64 {
        self.totals.waiting
    }

    /// What is synced, and what waits.
    pub(crate) fn counted(&self) -> Totals {
        self.totals
    }

    /// Runs `work` as one step: all that it sets is stored when this returns, or nothing of it.
    pub fn with_step<T>(&mut self, work: impl FnOnce(&mut SqliteTrees) -> T) -> Result<T, StateError> {
        self.begin()?;
        let made = work(self);
        self.commit()?;
        Ok(made)
    }

    /// Begins a step.
    pub fn begin(&mut self) -> Result<(), StateError> {
        self.failure.take();
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    /// Ends a step: what it set is stored. If anything failed since [`SqliteTrees::begin`], the step is undone and the failure returned.
    pub fn commit(&mut self) -> Result<(), StateError> {
        if self.failure.borrow().is_none() {
            self.settle_sums();
            let totals = self.totals;
            self.note(schema::put_totals(&self.connection, totals));
        }
        let committed = match self.take_failure() {
            Some(failure) => Err(failure),
            None => self.connection.execute_batch("COMMIT").map_err(StateError::from),
        };
        if committed.is_err() {
            self.rollback()?;
        } else if let Some(mut hook) = self.after_commit.take() {
            hook(self);
            self.after_commit = Some(hook);
        }
        committed
    }

    /// Undoes a step.
    pub fn rollback(&mut self) -> Result<(), StateError> {
        // A full disk may have undone it already.
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.known.forget_all();
        self.totals = schema::totals(&self.connection)?;
        self.copies = find::conflict_copies(&self.connection)?;
        self.reload_sums()
    }

    /// The first failure since the step began, if any; the step must then be undone.
    pub fn take_failure(&self) -> Option<StateError> {
        self.failure.take()
    }

    /// A value of the client's own, such as the drive or the root's id.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(schema::meta(&self.connection, key)?)
    }

    /// Sets a value of the client's own.
    pub fn set_meta(&mut self, key: &str, value: &[u8]) -> Result<(), StateError> {
        Ok(schema::put_meta(&self.connection, key, value)?)
    }

    /// The server's history, as it was last seen.
    pub(crate) fn lineage(&self) -> Result<Option<Lineage>, StateError> {
        let Some(bytes) = self.meta(LINEAGE)? else { return Ok(None) };
        Ok(Some(from_cbor(&bytes)?))
    }

    /// Remembers the server's history.
    pub(crate) fn set_lineage(&mut self, lineage: &Lineage) -> Result<(), StateError> {
        self.set_meta(LINEAGE, &to_cbor(lineage))
    }

    /// Forgets all three trees and the cursor, in one step: the folder and the server rebuild them.
    pub fn forget_all(&mut self) -> Result<(), StateError> {
        self.with_step(|state| {
            let tables = "DELETE FROM synced; DELETE FROM local_diff; DELETE FROM remote_diff; DELETE FROM offered; \
                          DELETE FROM applying; DELETE FROM lists; DELETE FROM shadow; DELETE FROM past; DELETE FROM absent; DELETE FROM damaged; \
                          DELETE FROM uncounted; \
                          DELETE FROM meta WHERE key IN ('cursor', 'lineage', 'taken out to', 'beginning')";
            state.note(state.connection.execute_batch(tables));
            state.known.forget_all();
            state.totals = Totals::default();
            state.copies.clear();
            state.forget_sums();
            state.set_checked(Checked::default());
        })
    }

    /// What was stored so far outlives a power cut from now on.
    pub fn make_durable(&mut self) -> Result<(), StateError> {
        Ok(schema::checkpoint(&self.connection)?)
    }

    /// Ends the use of the state: all is in the main file, and the next start need not check it.
    pub fn close(self) -> Result<(), StateError> {
        schema::put_meta(&self.connection, "clean", &[1])?;
        schema::checkpoint(&self.connection)?;
        Ok(())
    }

    fn around(connection: Connection) -> Result<SqliteTrees, StateError> {
        let totals = schema::totals(&connection)?;
        let copies = find::conflict_copies(&connection)?;
        let counting = Counting::load(&connection)?;
        Ok(SqliteTrees {
            connection,
            known: KnownNodes::default(),
            totals,
            copies,
            counting,
            failure: RefCell::new(None),
            after_commit: None,
        })
    }

    /// The value of `result`; keeps the first failure for the end of the step.
    fn note<T: Default, E: Into<StateError>>(&self, result: Result<T, E>) -> T {
        result.unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert_with(|| error.into());
            T::default()
        })
    }

    /// What is kept once for the whole state under this key.
    fn kept<T: for<'b> minicbor::Decode<'b, ()>>(&self, key: &str) -> Option<T> {
        let bytes: Option<Vec<u8>> = self.note(schema::meta(&self.connection, key));
        bytes.and_then(|bytes| self.note(from_cbor(&bytes).map(Some)))
    }

    fn write(&self, sql: &str, values: impl Params) {
        self.note(self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values)));
    }

    fn one<T>(&self, sql: &str, values: impl Params, read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>) -> Option<T> {
        let found = self.connection.prepare_cached(sql);
        self.note(found.and_then(|mut statement| statement.query_row(values, read).optional()))
    }

    fn many<T>(&self, sql: &str, values: impl Params, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let rows = self.connection.prepare_cached(sql);
        self.note(rows.and_then(|mut statement| statement.query_map(values, |row| read(row))?.collect()))
    }

    /// Writes what Local says of a node, as far as it is not what Synced, `base`, says.
    fn put_local(&self, node: NodeId, local: Option<Local>, base: Option<&Synced>) {
        let row = (local != base.map(Synced::as_local)).then_some(local);
        if self.of(node, |known| known.local == row) {
            return;
        }
        let sql = "INSERT OR REPLACE INTO local_diff (node, parent, name, inode, local) VALUES (?1, ?2, ?3, ?4, ?5)";
        match &row {
            None => self.write("DELETE FROM local_diff WHERE node = ?1", params![node.as_bytes()]),
            Some(None) => {
                self.write(sql, params![node.as_bytes(), None::<&[u8]>, None::<&[u8]>, None::<i64>, None::<&[u8]>]);
            }
            Some(Some(local)) => {
                let (inode, bytes) = (from_inode(local.stat.inode), local_to_bytes(local));
                self.write(sql, params![node.as_bytes(), local.parent.as_bytes(), local.name.as_bytes(), inode, bytes]);
            }
        }
        self.know(node, |known| known.local = row);
    }

    /// Writes what Remote says of a node, as far as it is not what Synced, `base`, says.
    fn put_remote(&self, node: NodeId, state: Option<NodeState>, base: Option<&Synced>, resting: u8) {
        let is_as_synced = state.as_ref() == base.map(|synced| &synced.state);
        let resting = if state.is_some() { resting } else { AWAKE };
        let row = (!is_as_synced).then_some((state, resting));
        if self.of(node, |known| known.remote == row) {
            return;
        }
        if resting != AWAKE || self.rests(node) {
            self.counting.forget_resting();
        }
        let sql = "INSERT OR REPLACE INTO remote_diff (node, parent, name, trashed, resting, state) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let nothing = None::<&[u8]>;
        match &row {
            None => self.write("DELETE FROM remote_diff WHERE node = ?1", params![node.as_bytes()]),
            Some((None, _)) => self.write(sql, params![node.as_bytes(), nothing, nothing, false, AWAKE, nothing]),
            Some((Some(state), resting)) => {
                let (parent, name) = (state.place.parent.as_bytes(), state.place.name.as_bytes());
                self.write(sql, params![node.as_bytes(), parent, name, state.place.trashed, resting, to_cbor(state)]);
            }
        }
        self.know(node, |known| known.remote = row);
    }

    fn set_resting(&self, node: NodeId, resting: u8) {
        if self.of(node, |known| known.remote.as_ref().is_some_and(|(_, known)| *known != resting)) {
            self.counting.forget_resting();
            self.write("UPDATE remote_diff SET resting = ?2 WHERE node = ?1", params![node.as_bytes(), resting]);
            self.know(node, |known| known.remote.iter_mut().for_each(|(_, known)| *known = resting));
        }
    }

    fn put_synced(&self, node: NodeId, synced: Option<&Synced>) {
        match synced {
            None => self.write("DELETE FROM synced WHERE node = ?1", params![node.as_bytes()]),
            Some(synced) => {
                let (place, inode) = (&synced.state.place, from_inode(synced.shown.inode));
                let (parent, name) = (place.parent.as_bytes(), place.name.as_bytes());
                self.write(
                    "INSERT OR REPLACE INTO synced (node, parent, name, trashed, inode, synced) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![node.as_bytes(), parent, name, place.trashed, inode, synced_to_bytes(synced)],
                );
            }
        }
        self.know(node, |known| known.synced = synced.cloned());
    }

    /// Makes a change of a node's rows, and counts what waits for it before and after.
    fn changing(&mut self, node: NodeId, change: impl FnOnce(&mut SqliteTrees)) {
        let before = self.of(node, Known::waiting_bytes);
        change(self);
        let after = self.of(node, Known::waiting_bytes);
        self.totals.waiting = self.totals.waiting.saturating_add(after).saturating_sub(before);
    }

    fn count(&mut self, before: Option<&Synced>, after: Option<&Synced>) {
        if let Some(file) = before.and_then(|synced| synced.state.content.file()) {
            self.totals.files = self.totals.files.saturating_sub(1);
            self.totals.bytes = self.totals.bytes.saturating_sub(file.size);
        }
        if let Some(file) = after.and_then(|synced| synced.state.content.file()) {
            self.totals.files += 1;
            self.totals.bytes = self.totals.bytes.saturating_add(file.size);
        }
    }

    /// Notes under which list of chunks the node is found, if it has one.
    fn note_list(&self, node: NodeId, before: Option<&Synced>, after: Option<&Synced>) {
        let (before, after) = (before.and_then(list_of), after.and_then(list_of));
        if before == after {
            return;
        }
        if let Some(list) = before {
            self.write("DELETE FROM lists WHERE list = ?1 AND node = ?2", params![list.as_bytes(), node.as_bytes()]);
        }
        if let Some(list) = after {
            self.write(
                "INSERT OR IGNORE INTO lists (list, node) VALUES (?1, ?2)",
                params![list.as_bytes(), node.as_bytes()],
            );
        }
    }

    fn nodes(&self, sql: &str, values: impl Params) -> Vec<NodeId> {
        self.many(sql, values, |row| kept_node(row, 0))
    }
}

/// What `resting` says of a node.
const AWAKE: u8 = 0;
const RESTING: u8 = 1;
const LEFT_OUT: u8 = 2;

/// The list of chunks of a file that has several.
fn list_of(synced: &Synced) -> Option<ListId> {
    match synced.state.content.file()?.id {
        ContentId::List(list) => Some(list),
        ContentId::Empty | ContentId::Chunk(_) => None,
    }
}

/// `limit` as SQLite counts.
fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The bytes that sort before every node that may follow `after`.
fn after_bytes(after: &Option<NodeId>) -> &[u8] {
    after.as_ref().map_or(&[], |node| node.as_bytes())
}

impl Trees for SqliteTrees {
    fn synced(&self, node: NodeId) -> Option<Synced> {
        self.of(node, |known| known.synced.clone())
    }

    fn local(&self, node: NodeId) -> Option<Local> {
        self.of(node, |known| match &known.local {
            Some(local) => local.clone(),
            None => known.synced.as_ref().map(Synced::as_local),
        })
    }

    fn remote(&self, node: NodeId) -> Option<NodeState> {
        self.of(node, |known| match &known.remote {
            Some((state, _)) => state.clone(),
            None => known.synced.as_ref().map(|synced| synced.state.clone()),
        })
    }

    fn local_child(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        let sql = "SELECT node FROM synced AS s WHERE parent = ?1 AND name = ?2 \
                   AND NOT EXISTS (SELECT 1 FROM local_diff AS d WHERE d.node = s.node) \
                   UNION ALL SELECT node FROM local_diff WHERE parent = ?1 AND name = ?2 ORDER BY node LIMIT 1";
        self.one(sql, params![parent.as_bytes(), name.as_bytes()], |row| kept_node(row, 0))
    }

    fn remote_child(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        let sql = "SELECT node FROM synced AS s WHERE parent = ?1 AND name = ?2 AND trashed = 0 \
                   AND NOT EXISTS (SELECT 1 FROM remote_diff AS d WHERE d.node = s.node) \
                   UNION ALL SELECT node FROM remote_diff WHERE parent = ?1 AND name = ?2 AND trashed = 0 \
                   ORDER BY node LIMIT 1";
        self.one(sql, params![parent.as_bytes(), name.as_bytes()], |row| kept_node(row, 0))
    }

    fn local_children(&self, parent: NodeId) -> Vec<(Name, NodeId)> {
        let sql = "SELECT name, node FROM synced AS s WHERE parent = ?1 \
                   AND NOT EXISTS (SELECT 1 FROM local_diff AS d WHERE d.node = s.node) \
                   UNION ALL SELECT name, node FROM local_diff WHERE parent = ?1 ORDER BY name, node";
        self.many(sql, params![parent.as_bytes()], |row| Ok((kept_name(row, 0)?, kept_node(row, 1)?)))
    }

    fn remote_children(&self, parent: NodeId) -> Vec<NodeId> {
        let sql = "SELECT node FROM synced AS s WHERE parent = ?1 \
                   AND NOT EXISTS (SELECT 1 FROM remote_diff AS d WHERE d.node = s.node) \
                   UNION ALL SELECT node FROM remote_diff WHERE parent = ?1 ORDER BY node";
        self.nodes(sql, params![parent.as_bytes()])
    }

    fn synced_with(&self, content: ContentId) -> Option<NodeId> {
        let ContentId::List(list) = content else { return None };
        let sql = "SELECT node FROM lists WHERE list = ?1 ORDER BY node LIMIT 1";
        self.one(sql, params![list.as_bytes()], |row| kept_node(row, 0))
    }

    fn local_by_inode(&self, inode: u64) -> Vec<NodeId> {
        let sql = "SELECT node FROM synced AS s WHERE inode = ?1 \
                   AND NOT EXISTS (SELECT 1 FROM local_diff AS d WHERE d.node = s.node) \
                   UNION ALL SELECT node FROM local_diff WHERE inode = ?1 ORDER BY node";
        self.nodes(sql, params![from_inode(inode)])
    }

    fn differing(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let sql = "SELECT node FROM local_diff WHERE node > ?1 \
                   UNION SELECT node FROM remote_diff WHERE node > ?1 AND resting = 0 ORDER BY node LIMIT ?2";
        self.nodes(sql, params![after_bytes(&after), limit_of(limit)])
    }

    fn differing_remotely(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let sql = "SELECT node FROM remote_diff WHERE node > ?1 AND resting = 0 ORDER BY node LIMIT ?2";
        self.nodes(sql, params![after_bytes(&after), limit_of(limit)])
    }

    fn set_local(&mut self, node: NodeId, local: Option<Local>) {
        let base = self.synced(node);
        if base.is_none() && local.is_some() {
            self.rest(node, false);
        }
        self.note_copy(node, local.as_ref());
        self.count_local(node, local.as_ref());
        self.changing(node, |trees| trees.put_local(node, local, base.as_ref()));
    }

    fn set_remote(&mut self, node: NodeId, state: Option<NodeState>) {
        self.note_remote(node);
        let base = self.synced(node);
        self.changing(node, |trees| trees.put_remote(node, state, base.as_ref(), AWAKE));
    }

    fn set_synced(&mut self, node: NodeId, synced: Option<Synced>) {
        // What the other two trees say stays: a row that now says the same as Synced goes, one that was not needed may be.
        let (local, remote) = (self.local(node), self.remote(node));
        let (before, rests) =
            self.of(node, |known| (known.synced.clone(), known.remote.as_ref().map_or(AWAKE, |(_, resting)| *resting)));
        self.count(before.as_ref(), synced.as_ref());
        let rest = if synced.is_none() { rests } else { AWAKE };
        self.changing(node, |trees| {
            if before != synced {
                trees.note_list(node, before.as_ref(), synced.as_ref());
                trees.put_synced(node, synced.as_ref());
            }
            trees.put_local(node, local, synced.as_ref());
            trees.put_remote(node, remote, synced.as_ref(), rest);
        });
    }

    fn rest(&mut self, node: NodeId, resting: bool) {
        self.changing(node, |trees| trees.set_resting(node, if resting { RESTING } else { AWAKE }));
    }

    fn leave_out(&mut self, node: NodeId) {
        self.changing(node, |trees| trees.set_resting(node, LEFT_OUT));
    }

    fn rests(&self, node: NodeId) -> bool {
        self.of(node, |known| known.remote.as_ref().is_some_and(|(_, rests)| *rests != AWAKE))
    }

    fn left_out(&self) -> Vec<NodeId> {
        self.nodes("SELECT node FROM remote_diff WHERE resting = 2 ORDER BY node", [])
    }

    fn offered(&self, node: NodeId) -> bool {
        self.of(node, |known| known.offered)
    }

    fn set_offered(&mut self, node: NodeId, offered: bool) {
        if self.offered(node) == offered {
            return;
        }
        let sql = match offered {
            true => "INSERT OR IGNORE INTO offered (node) VALUES (?1)",
            false => "DELETE FROM offered WHERE node = ?1",
        };
        self.write(sql, params![node.as_bytes()]);
        self.know(node, |known| known.offered = offered);
    }

    fn applying(&self, node: NodeId) -> Option<NodeState> {
        self.of(node, |known| known.applying.clone())
    }

    fn applying_at(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        let sql = "SELECT node FROM applying WHERE parent = ?1 AND name = ?2 ORDER BY node LIMIT 1";
        self.one(sql, params![parent.as_bytes(), name.as_bytes()], |row| kept_node(row, 0))
    }

    fn set_applying(&mut self, node: NodeId, state: Option<NodeState>) {
        if self.of(node, |known| known.applying == state) {
            return;
        }
        match &state {
            None => self.write("DELETE FROM applying WHERE node = ?1", params![node.as_bytes()]),
            Some(state) => {
                let (parent, name) = (state.place.parent, &state.place.name);
                self.write(
                    "INSERT OR REPLACE INTO applying (node, parent, name, state) VALUES (?1, ?2, ?3, ?4)",
                    params![node.as_bytes(), parent.as_bytes(), name.as_bytes(), to_cbor(state)],
                );
            }
        }
        self.know(node, |known| known.applying = state);
    }

    fn selection_changes(&self) -> u64 {
        self.kept("selection").unwrap_or_default()
    }

    fn set_selection_changes(&mut self, changes: u64) {
        self.note(schema::put_meta(&self.connection, "selection", &to_cbor(&changes)));
    }

    fn taken_out_to(&self) -> Seq {
        self.kept(TAKEN_OUT).unwrap_or_default()
    }

    fn set_taken_out_to(&mut self, seq: Seq) {
        self.note(schema::put_meta(&self.connection, TAKEN_OUT, &to_cbor(&seq)));
    }

    fn applying_nodes(&self) -> Vec<NodeId> {
        self.nodes("SELECT node FROM applying ORDER BY node", [])
    }

    fn known(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let sql = "SELECT node FROM synced WHERE node > ?1 UNION SELECT node FROM remote_diff WHERE node > ?1 \
                   ORDER BY node LIMIT ?2";
        self.nodes(sql, params![after_bytes(&after), limit_of(limit)])
    }

    fn shadow(&self, node: NodeId) -> Option<NodeState> {
        self.one("SELECT state FROM shadow WHERE node = ?1", params![node.as_bytes()], |row| {
            from_cbor(row.get_ref(0)?.as_blob()?)
        })
    }

    fn shadow_nodes(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let sql = "SELECT node FROM shadow WHERE node > ?1 ORDER BY node LIMIT ?2";
        self.nodes(sql, params![after_bytes(&after), limit_of(limit)])
    }

    fn set_shadow(&mut self, state: NodeState) {
        let sql = "INSERT OR REPLACE INTO shadow (node, state) VALUES (?1, ?2)";
        self.write(sql, params![state.node.as_bytes(), to_cbor(&state)]);
    }

    fn clear_shadow(&mut self) {
        self.write("DELETE FROM shadow", []);
    }

    fn beginning(&self) -> Option<Beginning> {
        let since: Option<Seq> = self.kept(BEGINNING)?;
        Some(since.map_or(Beginning::Join, |since| Beginning::Relink { since }))
    }

    fn set_beginning(&mut self, beginning: Option<Beginning>) {
        let since = beginning.map(|beginning| match beginning {
            Beginning::Join => None,
            Beginning::Relink { since } => Some(since),
        });
        match since {
            Some(since) => self.note(schema::put_meta(&self.connection, BEGINNING, &to_cbor(&since))),
            None => self.write("DELETE FROM meta WHERE key = ?1", params![BEGINNING]),
        }
    }

    fn past(&self, node: NodeId) -> Option<NodeState> {
        self.one("SELECT state FROM past WHERE node = ?1", params![node.as_bytes()], |row| {
            from_cbor(row.get_ref(0)?.as_blob()?)
        })
    }

    fn past_nodes(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let sql = "SELECT node FROM past WHERE node > ?1 ORDER BY node LIMIT ?2";
        self.nodes(sql, params![after_bytes(&after), limit_of(limit)])
    }

    fn set_past(&mut self, state: NodeState) {
        let sql = "INSERT OR REPLACE INTO past (node, state) VALUES (?1, ?2)";
        self.write(sql, params![state.node.as_bytes(), to_cbor(&state)]);
    }

    fn clear_past(&mut self) {
        self.write("DELETE FROM past", []);
    }

    fn absences(&self) -> Vec<(NodeId, Absence)> {
        self.all_absences()
    }

    fn set_absence(&mut self, node: NodeId, absence: Option<Absence>) {
        self.put_absence(node, absence);
    }

    fn damages(&self) -> Vec<(NodeId, ContentId)> {
        self.all_damages()
    }

    fn set_damage(&mut self, node: NodeId, damage: Option<ContentId>) {
        self.put_damage(node, damage);
    }

    fn last_step(&self) -> Option<Timestamp> {
        self.kept("last_step")
    }

    fn set_last_step(&mut self, now: Timestamp) {
        self.note(schema::put_meta(&self.connection, "last_step", &to_cbor(&now)));
    }

    fn cursor(&self) -> Option<Cursor> {
        self.kept("cursor")
    }

    fn set_cursor(&mut self, cursor: Option<Cursor>) {
        match cursor {
            Some(cursor) => self.note(schema::put_meta(&self.connection, "cursor", &to_cbor(&cursor))),
            None => self.write("DELETE FROM meta WHERE key = 'cursor'", []),
        }
    }

    fn totals(&self) -> (u64, u64) {
        (self.totals.files, self.totals.bytes)
    }
}
