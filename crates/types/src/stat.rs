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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was removed or renamed, or its times or mode were set.
    Entry,
    /// It is new: a program has opened it to write in it, or has given this name to a file that is written already.
    Made,
    /// Its bytes were written by a program that has it open still.
    Writing,
    /// Its bytes may have been written, too, and nobody is known to go on: the program has closed it, or nobody can tell.
    Bytes,
}

impl Change {
    /// This change and a later one of the same entry, as one.
    #[must_use]
    pub fn followed_by(self, later: Change) -> Change {
        match (self, later) {
            (known, Change::Entry) => known,
            (Change::Entry, later) => later,
            (_, Change::Bytes) => Change::Bytes,
            (Change::Made, Change::Made) => Change::Made,
            // Also what is made anew in the place of a file that was written: until it is closed, nobody knows that it is whole.
            _ => Change::Writing,
        }
    }

    /// Whether bytes may have been written.
    pub fn is_of_bytes(self) -> bool {
        matches!(self, Change::Writing | Change::Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Change::{Bytes, Entry, Made, Writing};

    #[test]
    fn changes_of_one_entry_are_one_change() {
        let rows = [
            (Entry, Entry, Entry),
            (Made, Entry, Made),
            (Made, Made, Made),
            (Made, Writing, Writing),
            (Made, Bytes, Bytes),
            (Entry, Made, Made),
            (Writing, Entry, Writing),
            (Writing, Bytes, Bytes),
            (Bytes, Entry, Bytes),
            (Bytes, Writing, Writing),
            (Bytes, Made, Writing),
        ];
        for (first, second, both) in rows {
            assert_eq!(first.followed_by(second), both, "{first:?} {second:?}");
        }
    }
}
