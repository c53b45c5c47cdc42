//! Hints that something changed in a directory. Hints are never trusted: `stat` decides.

use std::future::Future;

use skep_types::{Change, Name, NodeId};

use crate::Files;

/// What a watcher noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The entry `name` of the watched directory `dir` was made, changed, removed or renamed. Never sent for a mere opening;
    /// a write by an open file is reported as it happens, or from time to time, and when it is closed.
    Entry {
        /// The directory, as it was called when it was watched.
        dir: NodeId,
        /// The entry in it.
        name: Name,
        /// What may have happened to it. A watcher that cannot tell says [`Change::Bytes`].
        change: Change,
    },
    /// The directory is not watched any more: it was removed. Another one may have taken its place, even its inode.
    Unwatched {
        /// The directory, as it was called when it was watched.
        dir: NodeId,
    },
    /// Some hints were lost: everything must be looked at again.
    Lost,
}

/// Why a directory is not watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The system's limit of watches is reached.
    #[error("the limit of watched directories is reached")]
    Limit,
    /// It is gone, or the call failed otherwise.
    #[error("cannot watch a directory: {0}")]
    Failed(String),
}

/// Watches directories by handle, so that a rename of a directory or of one above it changes nothing.
pub trait Watcher: Clone + Send + Sync + 'static {
    /// The disk that is watched.
    type Files: Files;

    /// Starts to watch the entries of `dir` (not of directories in it), reported as `node`. Doing so again, also under
    /// another node, replaces the first.
    fn watch(&self, dir: &<Self::Files as Files>::Dir, node: NodeId) -> Result<(), WatchError>;
    /// Stops to watch the directory known as `node`.
    fn unwatch(&self, node: NodeId);
    /// The next hints, at least one; waits for them. Never more than a bounded number at a time.
    fn hints(&self) -> impl Future<Output = Vec<Hint>> + Send;
}
