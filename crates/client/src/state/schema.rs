//! The tables, and how the file is opened, checked and closed.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{from_cbor, to_cbor};
use super::{StateError, Totals};

/// Of the tables below. A state of an older format is rebuilt: it holds nothing that folder and server do not.
const FORMAT: u32 = 1;
/// Another process (a person with a database tool) may hold the file this long before a step fails.
const BUSY_TIMEOUT_MS: i64 = 5_000;
/// Prepared statements that are kept: more than there are different ones.
const STATEMENTS_MAX: usize = 64;

/// `node` is the key everywhere; what is searched for has a column, the rest is CBOR in the last one. A row of a diff table
/// whose last column is null says: not in this tree. `resting` is 1 in the trash and beneath what is left out, 2 of what is left out.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS synced (
    node BLOB PRIMARY KEY, parent BLOB NOT NULL, name BLOB NOT NULL, trashed INTEGER NOT NULL, inode INTEGER NOT NULL,
    synced BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS synced_place ON synced (parent, name, trashed);
CREATE INDEX IF NOT EXISTS synced_inode ON synced (inode);
CREATE INDEX IF NOT EXISTS synced_trashed ON synced (node) WHERE trashed = 1;
CREATE TABLE IF NOT EXISTS local_diff (
    node BLOB PRIMARY KEY, parent BLOB, name BLOB, inode INTEGER, local BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS local_place ON local_diff (parent, name);
CREATE INDEX IF NOT EXISTS local_inode ON local_diff (inode);
CREATE TABLE IF NOT EXISTS remote_diff (
    node BLOB PRIMARY KEY, parent BLOB, name BLOB, trashed INTEGER NOT NULL, resting INTEGER NOT NULL, state BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS remote_place ON remote_diff (parent, name, trashed);
CREATE TABLE IF NOT EXISTS offered (node BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS applying (
    node BLOB PRIMARY KEY, parent BLOB NOT NULL, name BLOB NOT NULL, state BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS applying_place ON applying (parent, name);
CREATE TABLE IF NOT EXISTS lists (list BLOB NOT NULL, node BLOB NOT NULL, PRIMARY KEY (list, node)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shadow (node BLOB PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS past (node BLOB PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS absent (
    node BLOB PRIMARY KEY, found INTEGER NOT NULL, stage INTEGER NOT NULL, since BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uncounted (node BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS damaged (node BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS remote_awake ON remote_diff (node) WHERE resting = 0;
CREATE INDEX IF NOT EXISTS remote_left_out ON remote_diff (node) WHERE resting = 2;
";

/// A file does not open as a state.
pub(super) enum OpenError {
    /// What is in it is no whole state.
    Damaged(String),
    /// It may be whole.
    State(StateError),
}

impl OpenError {
    pub(super) fn into_state_error(self) -> StateError {
        match self {
            OpenError::Damaged(reason) => StateError::Failed(reason),
            OpenError::State(error) => error,
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> OpenError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => OpenError::Damaged(error.to_string()),
            _ => OpenError::State(error.into()),
        }
    }
}

pub(super) fn open_file(path: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A power cut may take the last steps: they are found again in the folder and at the server.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let clean = match has_meta(&connection)? {
        true => meta(&connection, "clean")?.is_some(),
        false => true,
    };
    if !clean {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(OpenError::Damaged(verdict));
        }
    }
    prepare(&connection)?;
    connection.execute("DELETE FROM meta WHERE key = 'clean'", [])?;
    Ok(connection)
}

/// Makes the tables where they are missing, and checks the format.
pub(super) fn prepare(connection: &Connection) -> Result<(), OpenError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Else a statement is compiled anew whenever a value is bound that a plan might depend on: a third of the database's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    if has_meta(connection)? {
        let found: u32 = match meta(connection, "format")? {
            Some(bytes) => from_cbor(&bytes)?,
            None => return Err(OpenError::Damaged("it tells no format".into())),
        };
        if found > FORMAT {
            return Err(OpenError::State(StateError::Newer { found, known: FORMAT }));
        }
        if found < FORMAT {
            return Err(OpenError::Damaged(format!("it has the old format {found}")));
        }
    }
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES}"))?;
    put_meta(connection, "format", &to_cbor(&FORMAT))?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

pub(super) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row(params![key], |row| row.get(0))
        .optional()
}

pub(super) fn put_meta(connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute(params![key, value])
        .map(drop)
}

pub(super) fn totals(connection: &Connection) -> rusqlite::Result<Totals> {
    let (files, bytes) = match meta(connection, "totals")? {
        Some(totals) => from_cbor(&totals)?,
        None => (0, 0),
    };
    let waiting = match meta(connection, "waiting")? {
        Some(waiting) => from_cbor(&waiting)?,
        None => 0,
    };
    Ok(Totals { files, bytes, waiting })
}

pub(super) fn put_totals(connection: &Connection, totals: Totals) -> rusqlite::Result<()> {
    put_meta(connection, "totals", &to_cbor(&(totals.files, totals.bytes)))?;
    put_meta(connection, "waiting", &to_cbor(&totals.waiting))
}

pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn has_meta(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'meta'", [], |row| row.get(0))
}
