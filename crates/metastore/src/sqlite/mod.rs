//! The metadata store on SQLite: one connection that writes, a few that read beside it.

mod codes;
mod knocks;
mod past;
mod pool;
mod removal;
mod row;
mod session;
mod sql;
mod sums;
mod upkeep;
mod view;
mod write;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::{MetaStore, Read, StoreError, Write};
use pool::Pool;
use session::Session;

/// From 3.7.0 to 3.51.2 a checkpoint beside a commit could damage the database.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// Prepared statements that a connection keeps: more than there are in `sql`.
const STATEMENTS_MAX: usize = 144;

/// Metadata in one SQLite database, in a file or in memory.
///
/// `read` and `write` may be called from any thread, but not from within each other's `work`.
/// A panic in `work` leaves the store as it was before, and usable.
pub struct Sqlite {
    writer: Mutex<Connection>,
    /// `None` in memory: what is in memory has one connection, for all.
    readers: Option<Pool>,
}

impl Sqlite {
    /// The database at `path`, made if it is not there, brought to the format of this program if it is older.
    pub fn open(path: &Path) -> Result<Sqlite, StoreError> {
        let writer = Connection::open(path).map_err(row::failed)?;
        Ok(Sqlite { writer: Mutex::new(prepare_writer(writer)?), readers: Some(Pool::new(path)) })
    }

    /// The format of the database at `path` if opening it would bring it to a newer one. Changes nothing.
    pub fn older_format(path: &Path) -> Result<Option<u32>, StoreError> {
        let connection = Connection::open(path).map_err(row::failed)?;
        connection.execute_batch(sql::PRAGMAS).map_err(row::failed)?;
        let has_format: bool = connection.query_row(sql::HAS_VERSION, [], |row| row.get(0)).map_err(row::failed)?;
        if !has_format {
            return Ok(None);
        }
        let found: u32 = connection.query_row(sql::VERSION, [], |row| row.get(0)).map_err(row::failed)?;
        Ok(Some(found).filter(|found| (1..sql::MIGRATIONS.len() as u32).contains(found)))
    }

    /// Writes what is committed at `path` to a new database file of the same format. The caller makes the file durable.
    pub fn copy_as_it_is(path: &Path, to: &Path) -> Result<(), StoreError> {
        let to = to.to_str().ok_or_else(|| StoreError::Failed("the path of a copy must be text".to_owned()))?;
        let connection = Connection::open(path).map_err(row::failed)?;
        connection.execute_batch(sql::PRAGMAS).map_err(row::failed)?;
        connection.execute(sql::COPY_TO, [to]).map(drop).map_err(row::failed)
    }

    /// A database in memory, which is gone with the store.
    pub fn in_memory() -> Result<Sqlite, StoreError> {
        let writer = Connection::open_in_memory().map_err(row::failed)?;
        Ok(Sqlite { writer: Mutex::new(prepare_writer(writer)?), readers: None })
    }

    /// A database in memory as [`Sqlite::image`] has kept it.
    pub fn from_image(image: &[u8]) -> Result<Sqlite, StoreError> {
        let mut writer = Connection::open_in_memory().map_err(row::failed)?;
        writer.deserialize_read_exact("main", image, image.len(), false).map_err(row::failed)?;
        Ok(Sqlite { writer: Mutex::new(prepare_writer(writer)?), readers: None })
    }

    /// Everything that is committed, as the bytes of a database file.
    pub fn image(&self) -> Result<Vec<u8>, StoreError> {
        let mut writer = self.writer();
        let image = writer.serialize("main").map_err(row::failed)?;
        Ok(image.to_vec())
    }

    /// What is wrong with the file itself, at most 100 findings, in SQLite's words.
    pub fn integrity(&self) -> Result<Vec<String>, StoreError> {
        let writer = self.writer();
        let mut statement = writer.prepare(sql::INTEGRITY).map_err(row::failed)?;
        let findings = statement.query_map([], |row| row.get(0)).map_err(row::failed)?;
        let findings = findings.collect::<Result<Vec<String>, _>>().map_err(row::failed)?;
        Ok(if findings == ["ok"] { Vec::new() } else { findings })
    }

    /// Writes everything that is committed to a new database file, beside whoever else writes to this one. The caller makes
    /// the file durable.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let path = path.to_str().ok_or_else(|| StoreError::Failed("the path of a copy must be text".to_owned()))?;
        self.writer().execute(sql::COPY_TO, [path]).map(drop).map_err(row::failed)
    }

    /// A panic in an earlier transaction has rolled it back on its way, so that a poisoned lock guards nothing broken.
    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetaStore for Sqlite {
    fn read<T>(&self, work: impl FnOnce(&dyn Read) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &self.readers {
            Some(readers) => read_on(&*readers.take()?, work),
            None => read_on(&self.writer(), work),
        }
    }

    fn write<T>(&self, work: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let writer = self.writer();
        let transaction = Transaction::new_unchecked(&writer, TransactionBehavior::Immediate).map_err(row::failed)?;
        let mut session = Session::new(&transaction);
        let done = work(&mut session);
        let done = session.outcome(done).and_then(|done| session.settle_names().map(|()| done));
        let done = done.and_then(|done| session.settle_sums().map(|()| done));
        drop(session);
        let done = done?;
        transaction.commit().map_err(row::failed)?;
        Ok(done)
    }
}

/// Lets SQLite refresh what it knows for planning its queries; there is nobody to tell if it cannot.
impl Drop for Sqlite {
    fn drop(&mut self) {
        let _ = self.writer().execute_batch("PRAGMA optimize");
    }
}

fn read_on<T>(connection: &Connection, work: impl FnOnce(&dyn Read) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred).map_err(row::failed)?;
    let session = Session::new(&transaction);
    let done = work(&session);
    session.outcome(done)
}

fn prepare_writer(connection: Connection) -> Result<Connection, StoreError> {
    let found = rusqlite::version_number();
    if found < SQLITE_VERSION_MIN {
        return Err(StoreError::Failed(format!("SQLite {found} is too old, {SQLITE_VERSION_MIN} is needed")));
    }
    keep_statements(&connection)?;
    connection.execute_batch(sql::PRAGMAS).map_err(row::failed)?;
    migrate(&connection, sql::MIGRATIONS)?;
    connection.execute_batch(sql::WRITER_PRAGMAS).map_err(row::failed)?;
    sums::fill(&connection)?;
    Ok(connection)
}

/// Statements are compiled once: not again for other values.
fn keep_statements(connection: &Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop).map_err(row::failed)
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(row::failed)?;
    keep_statements(&connection)?;
    connection.execute_batch(sql::PRAGMAS).map_err(row::failed)?;
    connection.execute_batch(sql::READER_PRAGMAS).map_err(row::failed)?;
    Ok(connection)
}

/// Brings a database to the newest format, each step in a transaction of its own.
fn migrate(connection: &Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let known = migrations.len() as u32;
    loop {
        // Another process may be at the same work: the format is read under the lock under which it is changed.
        let transaction =
            Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(row::failed)?;
        transaction.execute_batch(sql::MAKE_VERSION).map_err(row::failed)?;
        let found: u32 = transaction.query_row(sql::VERSION, [], |row| row.get(0)).map_err(row::failed)?;
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
        let Some(migration) = migrations.get(found as usize) else { return Ok(()) };
        transaction.execute_batch(migration).map_err(row::failed)?;
        transaction.execute(sql::PUT_VERSION, [found + 1]).map_err(row::failed)?;
        transaction.commit().map_err(row::failed)?;
    }
}

#[cfg(test)]
mod tests;
