//! Files beneath one root, by directory handle and name: no call takes a path, none follows a link.

use std::io;

use skep_types::{Name, NameRules, Stat, Timestamp};

/// What a file operation failed with, as far as callers act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileErrorKind {
    /// There is nothing of that name, or its directory is gone.
    NotFound,
    /// Something of that name is there already.
    Exists,
    /// A directory that should be removed holds something.
    NotEmpty,
    /// The name is of another kind than asked for: a link or file where a directory should be, or the reverse.
    WrongKind,
    /// The file system is full or a quota is used up.
    NoSpace,
    /// Permission denied, immutable, or read-only.
    Denied,
    /// The file system cannot hold this name.
    BadName,
    /// The call, or a part of it, is not supported here.
    Unsupported,
    /// Anything else: a read error, a failed sync.
    Other,
}

/// A file operation failed. `message` is the system's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FileError {
    /// What callers act on.
    pub kind: FileErrorKind,
    /// What people read.
    pub message: String,
}

impl FileError {
    /// An error of this kind, with these words.
    pub fn new(kind: FileErrorKind, message: impl Into<String>) -> FileError {
        FileError { kind, message: message.into() }
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> io::Error {
        io::Error::other(error)
    }
}

/// How a rename treats what stands at its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    /// Fails with [`FileErrorKind::Exists`] if anything is there.
    NoReplace,
    /// Swaps the two names in one step; fails with [`FileErrorKind::NotFound`] if nothing is there.
    Exchange,
}

/// The disk beneath one root. Synchronous: callers run it on a lane. Handles stay valid when their directory is renamed.
///
/// Every call is atomic with regard to a kill of the process. After a power cut, only what a completed
/// [`Files::make_durable`] covered is certain.
pub trait Files: Clone + Send + Sync + 'static {
    /// An open directory.
    type Dir: Clone + Send + Sync + 'static;
    /// A file that is open for reading.
    type Reader: io::Read + Send + 'static;
    /// A file that is open for writing.
    type Writer: io::Write + Send + 'static;

    /// Opens the root. Fails if it is no directory.
    fn root(&self) -> Result<Self::Dir, FileError>;
    /// Opens the directory reached from `from` by `path`, one component after the other, following no link and crossing
    /// into no other file system.
    fn open_dir(&self, from: &Self::Dir, path: &[Name]) -> Result<Self::Dir, FileError>;
    /// What an open directory itself is.
    fn stat_dir(&self, dir: &Self::Dir) -> Result<Stat, FileError>;
    /// Every entry of a directory with its stat, sorted by name. An entry that vanishes meanwhile is left out; one that
    /// cannot be examined makes the listing fail, for absence from a listing means something.
    fn list(&self, dir: &Self::Dir) -> Result<Vec<(Name, Stat)>, FileError>;
    /// What `name` is; `None` if there is nothing of that name.
    fn stat(&self, dir: &Self::Dir, name: &Name) -> Result<Option<Stat>, FileError>;

    /// Opens a regular file for reading, and what it is at that moment.
    fn read(&self, dir: &Self::Dir, name: &Name) -> Result<(Self::Reader, Stat), FileError>;
    /// What an open file is now.
    fn stat_reader(&self, file: &Self::Reader) -> Result<Stat, FileError>;
    /// Up to `len` bytes of a regular file from `offset` (fewer only at its end).
    fn read_range(&self, dir: &Self::Dir, name: &Name, offset: u64, len: usize) -> Result<Vec<u8>, FileError>;
    /// The raw target of a symlink.
    fn read_link(&self, dir: &Self::Dir, name: &Name) -> Result<Vec<u8>, FileError>;

    /// Makes a new regular file for the owner to read and write. Fails if the name is taken.
    fn create(&self, dir: &Self::Dir, name: &Name) -> Result<Self::Writer, FileError>;
    /// Makes a new directory. Fails if the name is taken.
    fn make_dir(&self, dir: &Self::Dir, name: &Name) -> Result<(), FileError>;
    /// Makes a new symlink. Fails if the name is taken.
    fn make_link(&self, dir: &Self::Dir, name: &Name, target: &[u8]) -> Result<(), FileError>;
    /// Sets the mtime of an entry.
    fn set_mtime(&self, dir: &Self::Dir, name: &Name, mtime: Timestamp) -> Result<(), FileError>;
    /// Sets or clears the executable bits of a file (for those who may read it).
    fn set_executable(&self, dir: &Self::Dir, name: &Name, executable: bool) -> Result<(), FileError>;

    /// Renames within one file system, in one step.
    fn rename(
        &self,
        from: &Self::Dir,
        name: &Name,
        to: &Self::Dir,
        new_name: &Name,
        mode: RenameMode,
    ) -> Result<(), FileError>;
    /// Removes a file or a symlink for good. Only for our own: staging, packs, the safe.
    fn remove_file(&self, dir: &Self::Dir, name: &Name) -> Result<(), FileError>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Self::Dir, name: &Name) -> Result<(), FileError>;

    /// Returns when the bytes of these files (just written, by directory and name) and the entries of these directories will
    /// survive a power cut. One sync of the file system may serve for many.
    fn make_durable(&self, files: &[(Self::Dir, Name)], dirs: &[Self::Dir]) -> Result<(), FileError>;
    /// A number for what is mounted beneath the root: another one than before says that something was mounted or unmounted, of which no
    /// watch tells. Always the same where that is not known.
    fn mounts(&self) -> u64 {
        0
    }
    /// Bytes that can still be written here.
    fn free_bytes(&self) -> Result<u64, FileError>;
    /// Takes the lock of this root for the life of the process, in the file `name`; `false` if another process holds it.
    fn lock(&self, dir: &Self::Dir, name: &Name) -> Result<bool, FileError>;

    /// How the entry to which `name` leads is spelled; `None` if it leads to none. On a disk that takes several spellings for one name,
    /// that may be another one than was asked for.
    fn spelled(&self, dir: &Self::Dir, name: &Name) -> Result<Option<Name>, FileError> {
        let Some(found) = self.stat(dir, name)? else { return Ok(None) };
        let mut same = None;
        for (spelled, stat) in self.list(dir)? {
            if spelled == *name {
                return Ok(Some(spelled));
            }
            // Of several links to one file, the one that looks most like it.
            let is_alike = spelled.display().to_lowercase() == name.display().to_lowercase();
            if is_alike || (same.is_none() && (stat.inode, stat.kind) == (found.inode, found.kind)) {
                same = Some(spelled);
            }
        }
        Ok(same)
    }
    /// Which names the disk can hold, if that is known without trying.
    fn name_rules(&self) -> Option<NameRules> {
        None
    }
    /// Finds out which names the disk can hold, in `scratch`, a directory of our own in it. What is not asked for this holds any name
    /// that the disk does.
    fn learn_names(&self, scratch: &Self::Dir) -> Result<(), FileError> {
        let _ = scratch;
        Ok(())
    }
    /// The name of the entry that the disk takes for `name`, though it has another name.
    fn taken_for(&self, dir: &Self::Dir, name: &Name) -> Result<Option<Name>, FileError> {
        let _ = (dir, name);
        Ok(None)
    }
    /// Gives the entries their plain names that could not have them before.
    fn tidy_names(&self, dir: &Self::Dir) -> Result<(), FileError> {
        let _ = dir;
        Ok(())
    }
    /// How the disk shows the entry `name`, if not by this name.
    fn shown_otherwise(&self, dir: &Self::Dir, name: &Name) -> Result<Option<Name>, FileError> {
        let _ = (dir, name);
        Ok(None)
    }
}
