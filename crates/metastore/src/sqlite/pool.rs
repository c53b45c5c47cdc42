//! Connections that only read, opened as they are needed and kept.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::open_reader;
use crate::StoreError;

/// Most readings at one time; a further one waits for one of these to end.
const READERS_MAX: usize = 8;

/// Connections to one database file.
pub(super) struct Pool {
    path: PathBuf,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    opened: usize,
}

impl Pool {
    /// Opens nothing yet.
    pub(super) fn new(path: &Path) -> Pool {
        Pool { path: path.to_owned(), state: Mutex::default(), freed: Condvar::new() }
    }

    /// A connection until the lease is dropped.
    pub(super) fn take(&self) -> Result<Lease<'_>, StoreError> {
        let mut state = self.state();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(Lease { pool: self, connection: Some(connection) });
            }
            if state.opened < READERS_MAX {
                state.opened += 1;
                drop(state);
                // Its drop gives the place back if the connection cannot be opened.
                let mut lease = Lease { pool: self, connection: None };
                lease.connection = Some(open_reader(&self.path)?);
                return Ok(lease);
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that goes back to its pool when this is dropped, by a panic too.
pub(super) struct Lease<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a lease that was given out has a connection")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        match self.connection.take() {
            Some(connection) => state.idle.push(connection),
            None => state.opened -= 1,
        }
        self.pool.freed.notify_one();
    }
}
