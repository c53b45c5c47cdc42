//! What the programs of the person do: by path, following no rule of ours.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use skep_platform::{FileError, FileErrorKind, Stat};
use skep_types::{Name, Timestamp};

use super::Shared;
use super::inode::{Body, Entries, Inode, Slot};
use super::state::{ProcessId, State, Tail, error};

/// What the tree shows at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeEntry {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Its content.
        bytes: Arc<Vec<u8>>,
        /// Its executable bit.
        executable: bool,
        /// When its content was changed, as programs see it.
        mtime: Timestamp,
    },
    /// A symlink with its target.
    Symlink(Vec<u8>),
    /// A pipe, socket or device.
    Special,
}

/// Changes the disk as programs of the person do. Paths are relative to the root, with `/` between names; the empty path is
/// the root. Symlinks are never followed.
#[derive(Clone)]
pub struct UserProgram {
    shared: Arc<Shared>,
}

/// A file that a program holds open; closed when dropped. Survives renames and removal, and crashes of Skep.
pub struct UserFile {
    shared: Arc<Shared>,
    file: u64,
}

impl Drop for UserFile {
    fn drop(&mut self) {
        self.shared.state().close(self.file);
    }
}

impl UserFile {
    /// Writes `bytes` over what is at `offset`, or behind the end.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), FileError> {
        let mut state = self.shared.state();
        let slot = state.opened(self.file)?;
        state.write(slot, offset, bytes, Tail::Keep)
    }

    /// Adds `bytes` at the end.
    pub fn append(&self, bytes: &[u8]) -> Result<(), FileError> {
        let mut state = self.shared.state();
        let slot = state.opened(self.file)?;
        let len = state.inode(slot).content_len() as usize;
        state.write(slot, len, bytes, Tail::Keep)
    }

    /// Cuts the file off after `len` bytes, or fills it up with zeros.
    pub fn set_len(&self, len: usize) -> Result<(), FileError> {
        let mut state = self.shared.state();
        let slot = state.opened(self.file)?;
        state.write(slot, len, &[], Tail::Cut)
    }
}

impl UserProgram {
    pub(super) fn new(shared: Arc<Shared>) -> UserProgram {
        UserProgram { shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Makes the file hold `bytes`: truncated and written in place if it is there, else made.
    pub fn write(&self, path: impl AsRef<[u8]>, bytes: &[u8]) -> Result<(), FileError> {
        let mut state = self.state();
        let slot = state.open_or_make(path.as_ref())?;
        state.save(slot, 0, bytes, Tail::Cut)
    }

    /// Makes the file hold `bytes` as careful editors do: writes another one and renames it over.
    pub fn replace(&self, path: impl AsRef<[u8]>, bytes: &[u8]) -> Result<(), FileError> {
        let path = path.as_ref();
        let swap = [path, b".swp"].concat();
        self.write(&swap, bytes)?;
        self.rename(&swap, path)
    }

    /// Adds `bytes` at the end of the file, which is made if it is not there.
    pub fn append(&self, path: impl AsRef<[u8]>, bytes: &[u8]) -> Result<(), FileError> {
        let mut state = self.state();
        let slot = state.open_or_make(path.as_ref())?;
        let len = state.inode(slot).content_len() as usize;
        state.save(slot, len, bytes, Tail::Keep)
    }

    /// Opens the file for writing and keeps it open; it is made if it is not there.
    pub fn open(&self, path: impl AsRef<[u8]>) -> Result<UserFile, FileError> {
        let mut state = self.state();
        let slot = state.open_or_make(path.as_ref())?;
        let file = state.open(slot, ProcessId::USER, true);
        Ok(UserFile { shared: Arc::clone(&self.shared), file })
    }

    /// What the file holds.
    pub fn read(&self, path: impl AsRef<[u8]>) -> Result<Arc<Vec<u8>>, FileError> {
        let state = self.state();
        match &state.inode(state.at(path.as_ref())?).body {
            Body::File(file) => Ok(Arc::clone(&file.bytes)),
            _ => Err(error(FileErrorKind::WrongKind)),
        }
    }

    /// What is at `path`.
    pub fn stat(&self, path: impl AsRef<[u8]>) -> Result<Stat, FileError> {
        let state = self.state();
        Ok(state.stat_of(state.at(path.as_ref())?))
    }

    /// Renames as `rename(2)` does: a file replaces a file, a directory an empty directory.
    pub fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), FileError> {
        let mut state = self.state();
        let (source_dir, name) = state.split(from.as_ref())?;
        let (target_dir, mut new_name) = state.split(to.as_ref())?;
        let (name, slot) = state.get(source_dir, &name)?;
        new_name = state.config.spell(&new_name)?;
        if let Some((spelled, target)) = state.find(target_dir, &new_name)? {
            if target == slot && spelled == new_name {
                return Ok(());
            }
            if target != slot {
                state.check_replaceable(slot, target)?;
                new_name = spelled;
            }
        }
        state.check_not_beneath(slot, target_dir)?;
        state.change_entries(vec![(source_dir, name, None), (target_dir, new_name, Some(slot))]);
        Ok(())
    }

    /// Swaps two names in one step.
    pub fn exchange(&self, one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> Result<(), FileError> {
        let mut state = self.state();
        let (one_dir, one_name) = state.split(one.as_ref())?;
        let (other_dir, other_name) = state.split(other.as_ref())?;
        let (one_name, one_slot) = state.get(one_dir, &one_name)?;
        let (other_name, other_slot) = state.get(other_dir, &other_name)?;
        state.check_not_beneath(one_slot, other_dir)?;
        state.check_not_beneath(other_slot, one_dir)?;
        state.change_entries(vec![(one_dir, one_name, Some(other_slot)), (other_dir, other_name, Some(one_slot))]);
        Ok(())
    }

    /// Gives a file a further name.
    pub fn hard_link(&self, path: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Result<(), FileError> {
        let mut state = self.state();
        let slot = state.at(path.as_ref())?;
        if state.inode(slot).is_dir() {
            return Err(error(FileErrorKind::Denied));
        }
        let (dir, name) = state.split(new.as_ref())?;
        let name = state.config.spell(&name)?;
        if state.find(dir, &name)?.is_some() {
            return Err(error(FileErrorKind::Exists));
        }
        state.change_entries(vec![(dir, name, Some(slot))]);
        Ok(())
    }

    /// Makes a directory.
    pub fn make_dir(&self, path: impl AsRef<[u8]>) -> Result<(), FileError> {
        self.make(path.as_ref(), Body::Directory { live: Entries::new(), durable: Entries::new() })
    }

    /// Makes a symlink.
    pub fn symlink(&self, path: impl AsRef<[u8]>, target: &[u8]) -> Result<(), FileError> {
        self.make(path.as_ref(), Body::Symlink(target.to_vec()))
    }

    /// Makes a pipe.
    pub fn make_special(&self, path: impl AsRef<[u8]>) -> Result<(), FileError> {
        self.make(path.as_ref(), Body::Special)
    }

    fn make(&self, path: &[u8], body: Body) -> Result<(), FileError> {
        let mut state = self.state();
        let (dir, name) = state.split(path)?;
        state.add_entry(dir, &name, body)?;
        Ok(())
    }

    /// Removes a file, symlink or pipe.
    pub fn remove_file(&self, path: impl AsRef<[u8]>) -> Result<(), FileError> {
        let mut state = self.state();
        let (dir, name) = state.split(path.as_ref())?;
        state.remove_file(dir, &name)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: impl AsRef<[u8]>) -> Result<(), FileError> {
        let mut state = self.state();
        let (dir, name) = state.split(path.as_ref())?;
        state.remove_dir(dir, &name)
    }

    /// Removes whatever is there, with all beneath it, one entry after the other.
    pub fn remove_all(&self, path: impl AsRef<[u8]>) -> Result<(), FileError> {
        let path = path.as_ref();
        let beneath = [path, b"/"].concat();
        for (inner, entry) in self.tree().into_iter().rev().filter(|(inner, _)| inner.starts_with(&beneath)) {
            match entry {
                TreeEntry::Directory => self.remove_dir(&inner)?,
                _ => self.remove_file(&inner)?,
            }
        }
        match self.stat(path)?.kind {
            Some(skep_types::Kind::Directory) => self.remove_dir(path),
            _ => self.remove_file(path),
        }
    }

    /// Sets or clears the executable bit of a file.
    pub fn set_executable(&self, path: impl AsRef<[u8]>, executable: bool) -> Result<(), FileError> {
        let mut state = self.state();
        let slot = state.at(path.as_ref())?;
        state.set_executable(slot, executable)
    }

    /// Sets the mtime of what is there.
    pub fn set_mtime(&self, path: impl AsRef<[u8]>, mtime: Timestamp) -> Result<(), FileError> {
        let mut state = self.state();
        let slot = state.at(path.as_ref())?;
        state.set_mtime(slot, mtime);
        Ok(())
    }

    /// Damages a stored file: flips a bit of the byte at `offset`, with nothing in `stat` to show for it.
    pub fn flip_bit(&self, path: impl AsRef<[u8]>, offset: usize) -> Result<(), FileError> {
        let mut state = self.state();
        let slot = state.at(path.as_ref())?;
        let Inode { body: Body::File(file), .. } = state.inode_mut(slot) else {
            return Err(error(FileErrorKind::WrongKind));
        };
        if let Some(byte) = Arc::make_mut(&mut file.bytes).get_mut(offset) {
            *byte ^= 1;
        }
        if let Some(durable) = &mut file.durable
            && file.dirty_since.is_none()
        {
            durable.bytes = Arc::clone(&file.bytes);
        }
        Ok(())
    }

    /// The whole tree, by path from the root (the root itself is not listed).
    pub fn tree(&self) -> BTreeMap<Vec<u8>, TreeEntry> {
        let state = self.state();
        let mut tree = BTreeMap::new();
        let mut pending = vec![(Vec::new(), state.root)];
        while let Some((path, dir)) = pending.pop() {
            for (name, slot) in state.inode(dir).entries().into_iter().flatten() {
                let mut inner: Vec<u8> = path.clone();
                if !inner.is_empty() {
                    inner.push(b'/');
                }
                inner.extend_from_slice(name.as_bytes());
                let inode = state.inode(*slot);
                let entry = match &inode.body {
                    Body::File(file) => TreeEntry::File {
                        bytes: Arc::clone(&file.bytes),
                        executable: file.executable,
                        mtime: inode.mtime,
                    },
                    Body::Directory { .. } => {
                        pending.push((inner.clone(), *slot));
                        TreeEntry::Directory
                    }
                    Body::Symlink(target) => TreeEntry::Symlink(target.clone()),
                    Body::Special => TreeEntry::Special,
                };
                tree.insert(inner, entry);
            }
        }
        tree
    }
}

impl State {
    /// The inode at a path.
    fn at(&self, path: &[u8]) -> Result<Slot, FileError> {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names.map(parse).try_fold(self.root, |dir, name| Ok(self.get(dir, &name?)?.1))
    }

    /// The directory that holds the last name of a path, and that name.
    fn split(&self, path: &[u8]) -> Result<(Slot, Name), FileError> {
        let (dir, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&[][..], path),
        };
        Ok((self.at(dir)?, parse(name)?))
    }

    /// Opens a file, writes and closes it.
    fn save(&mut self, slot: Slot, offset: usize, bytes: &[u8], tail: Tail) -> Result<(), FileError> {
        let file = self.open(slot, ProcessId::USER, true);
        let written = self.write(slot, offset, bytes, tail);
        self.close(file);
        written
    }

    fn open_or_make(&mut self, path: &[u8]) -> Result<Slot, FileError> {
        let (dir, name) = self.split(path)?;
        match self.find(dir, &name)? {
            Some((_, slot)) if matches!(self.inode(slot).body, Body::File(_)) => Ok(slot),
            Some(_) => Err(error(FileErrorKind::WrongKind)),
            None => {
                let body = self.empty_file();
                self.add_entry(dir, &name, body)
            }
        }
    }

    /// Fails unless `rename(2)` lets `slot` take the place of `target`.
    fn check_replaceable(&self, slot: Slot, target: Slot) -> Result<(), FileError> {
        match (self.inode(slot).is_dir(), self.inode(target).entries()) {
            (false, None) => Ok(()),
            (true, Some(entries)) if entries.is_empty() => Ok(()),
            (true, Some(_)) => Err(error(FileErrorKind::NotEmpty)),
            _ => Err(error(FileErrorKind::WrongKind)),
        }
    }
}

fn parse(name: &[u8]) -> Result<Name, FileError> {
    Name::new(name).map_err(|_| error(FileErrorKind::BadName))
}
