//! One inode: what it is, what of it is live and what is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_platform::Stat;
use skep_types::{Kind, Name, Timestamp};

/// Identity of an inode for handles; unlike the number that `stat` shows, it is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) u64);

/// The entries of a directory.
pub(super) type Entries = BTreeMap<Name, Slot>;

/// What an inode holds.
#[derive(Debug, Clone)]
pub(super) enum Body {
    File(FileBody),
    Directory {
        live: Entries,
        /// What a power cut leaves at least, before the changes in the log.
        durable: Entries,
    },
    Symlink(Vec<u8>),
    /// A pipe, socket or device.
    Special,
}

/// Bytes and attributes of a regular file that a sync makes durable.
#[derive(Debug, Clone, Default)]
pub(super) struct FileState {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) executable: bool,
}

/// A regular file.
#[derive(Debug, Clone)]
pub(super) struct FileBody {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) executable: bool,
    /// As it was at the last sync; `None` before the first one.
    pub(super) durable: Option<FileState>,
    /// So many leading bytes are the same in the durable and in the live content, at all times between.
    pub(super) unchanged_len: usize,
    /// It differs from the durable state, since this time.
    pub(super) dirty_since: Option<Timestamp>,
}

/// An inode.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    /// What `stat` shows.
    pub(super) number: u64,
    pub(super) body: Body,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    pub(super) birth: Timestamp,
    /// Its names in live directories.
    pub(super) places: BTreeSet<(Slot, Name)>,
    /// Handles of open files on it.
    pub(super) open_count: usize,
}

impl Inode {
    pub(super) fn new(number: u64, body: Body, now: Timestamp) -> Inode {
        Inode { number, body, mtime: now, ctime: now, birth: now, places: BTreeSet::new(), open_count: 0 }
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        match self.body {
            Body::File(_) => Some(Kind::File),
            Body::Directory { .. } => Some(Kind::Directory),
            Body::Symlink(_) => Some(Kind::Symlink),
            Body::Special => None,
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }

    /// Bytes of content.
    pub(super) fn content_len(&self) -> u64 {
        match &self.body {
            Body::File(file) => file.bytes.len() as u64,
            _ => 0,
        }
    }

    /// The live entries, if it is a directory.
    pub(super) fn entries(&self) -> Option<&Entries> {
        match &self.body {
            Body::Directory { live, .. } => Some(live),
            _ => None,
        }
    }

    /// What `stat` shows. Directories have one link while they have a name, as on Btrfs.
    pub(super) fn stat(&self, has_birth: bool) -> Stat {
        const DIR_SIZE: u64 = 4096;
        let (size, executable) = match &self.body {
            Body::File(file) => (file.bytes.len() as u64, file.executable),
            Body::Directory { .. } => (DIR_SIZE, false),
            Body::Symlink(target) => (target.len() as u64, false),
            Body::Special => (0, false),
        };
        Stat {
            kind: self.kind(),
            inode: self.number,
            links: self.places.len() as u64,
            size,
            mtime: self.mtime,
            ctime: self.ctime,
            birth: has_birth.then_some(self.birth),
            executable,
        }
    }

    /// The content and attributes are durable as they are.
    pub(super) fn sync(&mut self) {
        let (mtime, ctime) = (self.mtime, self.ctime);
        if let Body::File(file) = &mut self.body {
            let bytes = Arc::clone(&file.bytes);
            file.unchanged_len = bytes.len();
            file.dirty_since = None;
            file.durable = Some(FileState { bytes, mtime, ctime, executable: file.executable });
        }
    }

    /// Notes that content before `from` is unchanged and that the rest, or an attribute, was changed at `now`.
    pub(super) fn touch(&mut self, from: usize, now: Timestamp) {
        self.ctime = now;
        if let Body::File(file) = &mut self.body {
            file.unchanged_len = file.unchanged_len.min(from);
            file.dirty_since = Some(now);
        }
    }
}
