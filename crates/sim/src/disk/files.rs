//! The disk as Skep sees it: by handle and name.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, MutexGuard};

use skep_platform::{FileError, FileErrorKind, Files, RenameMode, Stat};
use skep_types::{Kind, Name, NameRules, Timestamp};

use super::inode::{Body, Entries, Slot};
use super::state::{Life, State, Tail, error};
use super::{Shared, SimDisk};

/// An open directory: stays valid when it is renamed, until its process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimDir {
    slot: Slot,
    life: Life,
}

/// An open file, closed when it is dropped.
struct Handle {
    shared: Arc<Shared>,
    file: u64,
    at: usize,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.state().close(self.file);
    }
}

/// A file that is open for reading. It reads what the file holds at each moment, as the kernel does.
pub struct SimReader(Handle);

impl io::Read for SimReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let handle = &mut self.0;
        let state = handle.shared.enter("read_bytes")?;
        let slot = state.opened(handle.file)?;
        let Body::File(file) = &state.inode(slot).body else { unreachable!("only files are opened") };
        let rest = file.bytes.get(handle.at..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        handle.at += len;
        Ok(len)
    }
}

/// A file that is open for writing.
pub struct SimWriter(Handle);

impl io::Write for SimWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let handle = &mut self.0;
        let mut state = handle.shared.enter("write_bytes")?;
        let slot = state.opened(handle.file)?;
        state.write(slot, handle.at, bytes, Tail::Keep)?;
        handle.at += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    /// The inode of a directory handle, if its process lives.
    pub(super) fn handle(&self, dir: &SimDir) -> Result<Slot, FileError> {
        self.check_life(dir.life)?;
        Ok(dir.slot)
    }

    /// What `stat` shows of an inode.
    pub(super) fn stat_of(&self, slot: Slot) -> Stat {
        let stat = self.inode(slot).stat(self.config.has_birth);
        Stat { links: if slot == self.root { 1 } else { stat.links }, ..stat }
    }

    /// The regular file `name`.
    fn file(&self, dir: &SimDir, name: &Name) -> Result<Slot, FileError> {
        let (_, slot) = self.get(self.handle(dir)?, name)?;
        match self.inode(slot).kind() {
            Some(Kind::File) => Ok(slot),
            _ => Err(error(FileErrorKind::WrongKind)),
        }
    }

    fn rename_no_replace(&mut self, from: Slot, name: &Name, to: Slot, new_name: &Name) -> Result<(), FileError> {
        let (name, slot) = self.get(from, name)?;
        let new_name = &self.config.spell(new_name)?;
        // Spelling a name in another case is a rename onto itself, and allowed.
        let is_same_entry = |spelled: &Name| from == to && *spelled == name && *new_name != name;
        match self.find(to, new_name)? {
            Some((spelled, _)) if !is_same_entry(&spelled) => return Err(error(FileErrorKind::Exists)),
            _ => {}
        }
        self.check_not_beneath(slot, to)?;
        self.change_entries(vec![(from, name, None), (to, new_name.clone(), Some(slot))]);
        Ok(())
    }

    fn exchange(&mut self, from: Slot, name: &Name, to: Slot, new_name: &Name) -> Result<(), FileError> {
        if !self.config.has_exchange {
            return Err(error(FileErrorKind::Unsupported));
        }
        let (name, slot) = self.get(from, name)?;
        let (new_name, other) = self.get(to, new_name)?;
        if slot == other {
            return Ok(());
        }
        self.check_not_beneath(slot, to)?;
        self.check_not_beneath(other, from)?;
        self.change_entries(vec![(from, name, Some(other)), (to, new_name, Some(slot))]);
        Ok(())
    }
}

impl SimDisk {
    fn enter(&self, call: &'static str) -> Result<MutexGuard<'_, State>, FileError> {
        self.shared.enter(call)
    }

    fn open(&self, state: &mut State, slot: Slot, is_writer: bool) -> Handle {
        let file = state.open(slot, self.process, is_writer);
        Handle { shared: Arc::clone(&self.shared), file, at: 0 }
    }
}

impl Files for SimDisk {
    type Dir = SimDir;
    type Reader = SimReader;
    type Writer = SimWriter;

    fn root(&self) -> Result<SimDir, FileError> {
        let state = self.enter("root")?;
        Ok(SimDir { slot: state.root, life: state.life(self.process) })
    }

    fn open_dir(&self, from: &SimDir, path: &[Name]) -> Result<SimDir, FileError> {
        let state = self.enter("open_dir")?;
        let mut slot = state.handle(from)?;
        state.live_dir(slot)?;
        for name in path {
            (_, slot) = state.get(slot, name)?;
            state.live_dir(slot)?;
        }
        Ok(SimDir { slot, life: from.life })
    }

    fn stat_dir(&self, dir: &SimDir) -> Result<Stat, FileError> {
        let state = self.enter("stat_dir")?;
        let slot = state.handle(dir)?;
        Ok(state.stat_of(slot))
    }

    fn list(&self, dir: &SimDir) -> Result<Vec<(Name, Stat)>, FileError> {
        let state = self.enter("list")?;
        let entries = state.live_dir(state.handle(dir)?)?;
        Ok(entries.iter().map(|(name, slot)| (name.clone(), state.stat_of(*slot))).collect())
    }

    fn stat(&self, dir: &SimDir, name: &Name) -> Result<Option<Stat>, FileError> {
        let state = self.enter("stat")?;
        let slot = state.handle(dir)?;
        let Ok(found) = state.find(slot, name) else { return Ok(None) };
        Ok(found.map(|(_, slot)| state.stat_of(slot)))
    }

    fn spelled(&self, dir: &SimDir, name: &Name) -> Result<Option<Name>, FileError> {
        let state = self.enter("stat")?;
        let slot = state.handle(dir)?;
        let Ok(found) = state.find(slot, name) else { return Ok(None) };
        Ok(found.map(|(spelled, _)| spelled))
    }

    /// As of a file system that is known for holding every name. What others hold has to be found out.
    fn name_rules(&self) -> Option<NameRules> {
        Some(self.shared.state().config.name_rules()).filter(NameRules::hold_all)
    }

    fn read(&self, dir: &SimDir, name: &Name) -> Result<(SimReader, Stat), FileError> {
        let mut state = self.enter("read")?;
        let slot = state.file(dir, name)?;
        let stat = state.stat_of(slot);
        Ok((SimReader(self.open(&mut state, slot, false)), stat))
    }

    fn stat_reader(&self, file: &SimReader) -> Result<Stat, FileError> {
        let state = self.enter("stat_reader")?;
        Ok(state.stat_of(state.opened(file.0.file)?))
    }

    fn read_range(&self, dir: &SimDir, name: &Name, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let state = self.enter("read_range")?;
        let slot = state.file(dir, name)?;
        let Body::File(file) = &state.inode(slot).body else { unreachable!("it is a file") };
        let rest = usize::try_from(offset).ok().and_then(|offset| file.bytes.get(offset..)).unwrap_or_default();
        Ok(rest[..rest.len().min(len)].to_vec())
    }

    fn read_link(&self, dir: &SimDir, name: &Name) -> Result<Vec<u8>, FileError> {
        let state = self.enter("read_link")?;
        let (_, slot) = state.get(state.handle(dir)?, name)?;
        match &state.inode(slot).body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(error(FileErrorKind::WrongKind)),
        }
    }

    fn create(&self, dir: &SimDir, name: &Name) -> Result<SimWriter, FileError> {
        let mut state = self.enter("create")?;
        let (parent, body) = (state.handle(dir)?, state.empty_file());
        let slot = state.add_entry(parent, name, body)?;
        Ok(SimWriter(self.open(&mut state, slot, true)))
    }

    fn make_dir(&self, dir: &SimDir, name: &Name) -> Result<(), FileError> {
        let mut state = self.enter("make_dir")?;
        let parent = state.handle(dir)?;
        state.add_entry(parent, name, Body::Directory { live: Entries::new(), durable: Entries::new() })?;
        Ok(())
    }

    fn make_link(&self, dir: &SimDir, name: &Name, target: &[u8]) -> Result<(), FileError> {
        let mut state = self.enter("make_link")?;
        let parent = state.handle(dir)?;
        if !state.config.has_symlinks {
            return Err(error(FileErrorKind::Unsupported));
        }
        if target.is_empty() || target.contains(&0) {
            return Err(error(FileErrorKind::BadName));
        }
        state.add_entry(parent, name, Body::Symlink(target.to_vec()))?;
        Ok(())
    }

    fn set_mtime(&self, dir: &SimDir, name: &Name, mtime: Timestamp) -> Result<(), FileError> {
        let mut state = self.enter("set_mtime")?;
        let (_, slot) = state.get(state.handle(dir)?, name)?;
        state.set_mtime(slot, mtime);
        Ok(())
    }

    fn set_executable(&self, dir: &SimDir, name: &Name, executable: bool) -> Result<(), FileError> {
        let mut state = self.enter("set_executable")?;
        let slot = state.file(dir, name)?;
        state.set_executable(slot, executable)
    }

    fn rename(
        &self,
        from: &SimDir,
        name: &Name,
        to: &SimDir,
        new_name: &Name,
        mode: RenameMode,
    ) -> Result<(), FileError> {
        self.shared.state().renamed = vec![(to.slot, new_name.clone()), (from.slot, name.clone())];
        let mut state = self.enter("rename")?;
        let (from, to) = (state.handle(from)?, state.handle(to)?);
        match mode {
            RenameMode::NoReplace => state.rename_no_replace(from, name, to, new_name),
            RenameMode::Exchange => state.exchange(from, name, to, new_name),
        }
    }

    fn remove_file(&self, dir: &SimDir, name: &Name) -> Result<(), FileError> {
        let mut state = self.enter("remove_file")?;
        let parent = state.handle(dir)?;
        state.remove_file(parent, name)
    }

    fn remove_dir(&self, dir: &SimDir, name: &Name) -> Result<(), FileError> {
        let mut state = self.enter("remove_dir")?;
        let parent = state.handle(dir)?;
        state.remove_dir(parent, name)
    }

    fn make_durable(&self, files: &[(SimDir, Name)], dirs: &[SimDir]) -> Result<(), FileError> {
        let mut state = self.enter("make_durable")?;
        let slots = files.iter().map(|(dir, name)| state.get(state.handle(dir)?, name).map(|(_, slot)| slot));
        let slots: Vec<Slot> = slots.collect::<Result<_, _>>()?;
        let dirs: BTreeSet<Slot> = dirs.iter().map(|dir| state.handle(dir)).collect::<Result<_, _>>()?;
        slots.into_iter().for_each(|slot| state.sync_file(slot));
        state.sync_dirs(&dirs);
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, FileError> {
        Ok(self.enter("free_bytes")?.free_bytes())
    }

    fn lock(&self, dir: &SimDir, name: &Name) -> Result<bool, FileError> {
        let mut state = self.enter("lock")?;
        let parent = state.handle(dir)?;
        let slot = match state.find(parent, name)? {
            Some(_) => state.file(dir, name)?,
            None => {
                let body = state.empty_file();
                state.add_entry(parent, name, body)?
            }
        };
        Ok(state.lock(slot, self.process))
    }
}
