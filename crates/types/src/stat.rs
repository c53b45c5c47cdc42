//! What a file system shows of an entry.

use minicbor::{Decode, Encode};

use crate::{Kind, Timestamp};

/// What `stat` shows of one directory entry, without following a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Stat {
    /// File, directory or symlink; `None` for what is not synced (sockets, devices, pipes) and for other file systems' mount points.
    #[n(0)]
    pub kind: Option<Kind>,
    /// Identity within the file system, until reused.
    #[n(1)]
    pub inode: u64,
    /// Number of names.
    #[n(2)]
    pub links: u64,
    /// Bytes.
    #[n(3)]
    pub size: u64,
    /// When the content was changed; a program may set it.
    #[n(4)]
    pub mtime: Timestamp,
    /// When anything was changed; no program can set it.
    #[n(5)]
    pub ctime: Timestamp,
    /// When the inode was made, where the file system knows: with `inode`, proof of identity.
    #[n(6)]
    pub birth: Option<Timestamp>,
    /// The owner may execute it (files only).
    #[n(7)]
    pub executable: bool,
}

/// What may have happened to an entry of a directory, as far as a watcher can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was made, removed or renamed, or its times or mode were set.
    Entry,
    /// Its bytes may have been written, too.
    Bytes,
}
