//! The live tree and everything that is shared by the processes of a machine: handles, locks, watches, faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_platform::{FileError, FileErrorKind};
use skep_types::{Alphabet, Change, Name, Timestamp};

use super::DiskConfig;
use super::durability::EntryChange;
use super::inode::{Body, Entries, FileBody, Inode, Slot};
use super::watcher::Watches;

/// A process of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProcessId(u32);

impl ProcessId {
    /// The one that every disk starts with.
    pub(super) const FIRST: ProcessId = ProcessId(1);
    /// The programs of the person; only a power cut ends them.
    pub(super) const USER: ProcessId = ProcessId(0);
}

/// A process in one of its lives: handles from an earlier one are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) process: ProcessId,
    number: u64,
}

/// An open file, by a number of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenFile {
    slot: Slot,
    process: ProcessId,
    is_writer: bool,
}

/// One entry of a directory gets another inode, or none.
pub(super) type EntrySet = (Slot, Name, Option<Slot>);

#[derive(Debug)]
struct Fault {
    call: &'static str,
    times: u32,
    kind: FileErrorKind,
}

/// See the module.
pub(super) struct State {
    pub(super) config: DiskConfig,
    pub(super) root: Slot,
    pub(super) inodes: BTreeMap<Slot, Inode>,
    /// Changes of entries that are not durable yet, oldest first.
    pub(super) log: Vec<EntryChange>,
    pub(super) watches: Watches,
    pub(super) now: Timestamp,
    next_slot: u64,
    pub(super) next_number: u64,
    free_numbers: BTreeSet<u64>,
    used_bytes: u64,
    lives: BTreeMap<ProcessId, u64>,
    open_files: BTreeMap<u64, OpenFile>,
    next_open_file: u64,
    locks: BTreeMap<Slot, ProcessId>,
    faults: Vec<Fault>,
    /// The places of the rename that is called.
    pub(super) renamed: Vec<(Slot, Name)>,
}

pub(super) fn error(kind: FileErrorKind) -> FileError {
    let message = match kind {
        FileErrorKind::NotFound => "No such file or directory",
        FileErrorKind::Exists => "File exists",
        FileErrorKind::NotEmpty => "Directory not empty",
        FileErrorKind::WrongKind => "Not of this kind",
        FileErrorKind::NoSpace => "No space left on device",
        FileErrorKind::Denied => "Permission denied",
        FileErrorKind::BadName => "Invalid file name",
        FileErrorKind::Unsupported => "Operation not supported",
        FileErrorKind::Other => "Input/output error",
    };
    FileError::new(kind, message)
}

impl State {
    pub(super) fn new(config: DiskConfig, now: Timestamp) -> State {
        let root = Slot(0);
        let mut state = State {
            config,
            root,
            inodes: BTreeMap::new(),
            log: Vec::new(),
            watches: Watches::default(),
            now,
            next_slot: 0,
            next_number: 2,
            free_numbers: BTreeSet::new(),
            used_bytes: 0,
            lives: BTreeMap::from([(ProcessId::USER, 0), (ProcessId::FIRST, 0)]),
            open_files: BTreeMap::new(),
            next_open_file: 0,
            locks: BTreeMap::new(),
            faults: Vec::new(),
            renamed: Vec::new(),
        };
        state.set_now(now);
        state.add_inode(Body::Directory { live: Entries::new(), durable: Entries::new() });
        state
    }

    // Time, faults, processes.

    /// It is `now`, as precisely as time stamps are.
    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.now = round_down(now, self.config.clock_tick_ns.max(self.config.mtime_granularity_ns));
    }

    pub(super) fn add_fault(&mut self, call: &'static str, times: u32, kind: FileErrorKind) {
        self.faults.push(Fault { call, times, kind });
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Fails if `call` was asked to fail now.
    pub(super) fn take_fault(&mut self, call: &'static str) -> Result<(), FileError> {
        let Some(fault) = self.faults.iter_mut().find(|fault| fault.call == call && fault.times > 0) else {
            return Ok(());
        };
        fault.times -= 1;
        let kind = fault.kind;
        self.faults.retain(|fault| fault.times > 0);
        Err(error(kind))
    }

    pub(super) fn add_process(&mut self) -> ProcessId {
        let process = ProcessId(self.lives.len() as u32);
        self.lives.insert(process, 0);
        process
    }

    pub(super) fn life(&self, process: ProcessId) -> Life {
        Life { process, number: self.lives[&process] }
    }

    pub(super) fn check_life(&self, life: Life) -> Result<(), FileError> {
        if self.life(life.process) == life {
            return Ok(());
        }
        Err(FileError::new(FileErrorKind::Other, "The handle belongs to a process that has ended"))
    }

    /// Ends the life of a process: closes its files, as the kernel does, and drops its locks and watches.
    pub(super) fn kill(&mut self, process: ProcessId) {
        if let Some(life) = self.lives.get_mut(&process) {
            *life += 1;
        }
        let files: Vec<u64> =
            self.open_files.iter().filter(|(_, open)| open.process == process).map(|(number, _)| *number).collect();
        for file in files {
            self.close(file);
        }
        self.locks.retain(|_, holder| *holder != process);
        self.watches.forget_process(process);
    }

    /// Ends the life of every process without another trace.
    pub(super) fn forget_processes(&mut self) {
        self.open_files.clear();
        self.locks.clear();
        self.watches.forget_all();
        self.lives.values_mut().for_each(|life| *life += 1);
    }

    /// `false` if another process has the lock.
    pub(super) fn lock(&mut self, slot: Slot, process: ProcessId) -> bool {
        *self.locks.entry(slot).or_insert(process) == process
    }

    // Inodes.

    /// A new inode without a name.
    pub(super) fn add_inode(&mut self, body: Body) -> Slot {
        let slot = Slot(self.next_slot);
        self.next_slot += 1;
        let number = self.free_numbers.pop_first().unwrap_or_else(|| {
            self.next_number += 1;
            self.next_number - 1
        });
        self.inodes.insert(slot, Inode::new(number, body, self.now));
        slot
    }

    pub(super) fn empty_file(&self) -> Body {
        Body::File(FileBody {
            bytes: Arc::default(),
            executable: false,
            durable: None,
            unchanged_len: 0,
            dirty_since: Some(self.now),
        })
    }

    pub(super) fn inode(&self, slot: Slot) -> &Inode {
        self.inodes.get(&slot).expect("an inode stays while a name, a handle or the log holds it")
    }

    pub(super) fn inode_mut(&mut self, slot: Slot) -> &mut Inode {
        self.inodes.get_mut(&slot).expect("an inode stays while a name, a handle or the log holds it")
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    pub(super) fn set_used_bytes(&mut self, bytes: u64) {
        self.used_bytes = bytes;
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.config.capacity_bytes.saturating_sub(self.used_bytes)
    }

    /// The directory, unless it was removed.
    pub(super) fn live_dir(&self, dir: Slot) -> Result<&Entries, FileError> {
        let inode = self.inodes.get(&dir).ok_or_else(|| error(FileErrorKind::NotFound))?;
        if dir != self.root && inode.places.is_empty() {
            return Err(error(FileErrorKind::NotFound));
        }
        inode.entries().ok_or_else(|| error(FileErrorKind::WrongKind))
    }

    /// The entry `name`, and how it is spelled there.
    pub(super) fn find(&self, dir: Slot, name: &Name) -> Result<Option<(Name, Slot)>, FileError> {
        let entries = self.live_dir(dir)?;
        if let Some(slot) = entries.get(name) {
            return Ok(Some((name.clone(), *slot)));
        }
        if !self.config.folds() && self.config.alphabet == Alphabet::Bytes {
            return Ok(None);
        }
        let Ok(given) = self.config.spell(name) else { return Ok(None) };
        let folded = self.config.fold(&given);
        let same = |(spelled, _): &(&Name, &Slot)| **spelled == given || self.config.fold(spelled) == folded;
        Ok(entries.iter().find(same).map(|(spelled, slot)| (spelled.clone(), *slot)))
    }

    /// The path of an entry from the root, if its directory is in the tree.
    pub(super) fn path(&self, dir: Slot, name: &Name) -> Option<Vec<u8>> {
        let mut path = name.as_bytes().to_vec();
        let mut at = dir;
        while at != self.root {
            let (above, name) = self.inodes.get(&at)?.places.first()?;
            path = [name.as_bytes(), b"/", path.as_slice()].concat();
            at = *above;
        }
        Some(path)
    }

    /// The entry `name`; fails if there is none.
    pub(super) fn get(&self, dir: Slot, name: &Name) -> Result<(Name, Slot), FileError> {
        self.find(dir, name)?.ok_or_else(|| error(FileErrorKind::NotFound))
    }

    /// Makes a new entry. Fails if the name is taken.
    pub(super) fn add_entry(&mut self, dir: Slot, name: &Name, body: Body) -> Result<Slot, FileError> {
        let name = &self.config.spell(name)?;
        if self.find(dir, name)?.is_some() {
            return Err(error(FileErrorKind::Exists));
        }
        if self.free_bytes() == 0 {
            return Err(error(FileErrorKind::NoSpace));
        }
        let change = if matches!(body, Body::Directory { .. }) { Change::Entry } else { Change::Made };
        let slot = self.add_inode(body);
        self.change_entries(vec![(dir, name.clone(), Some(slot))]);
        self.hint_at(slot, change);
        Ok(slot)
    }

    /// Changes entries in one step: live, in the log, and for the watchers. Everything was checked before.
    pub(super) fn change_entries(&mut self, sets: Vec<EntrySet>) {
        let now = self.now;
        let mut children = BTreeSet::new();
        for (dir, name, new) in &sets {
            let inode = self.inode_mut(*dir);
            (inode.mtime, inode.ctime) = (now, now);
            let Body::Directory { live, .. } = &mut inode.body else { unreachable!("entries are in directories") };
            let old = match new {
                Some(new) => live.insert(name.clone(), *new),
                None => live.remove(name),
            };
            if let Some(child) = old {
                self.inode_mut(child).places.remove(&(*dir, name.clone()));
                children.insert(child);
            }
            if let Some(child) = *new {
                self.inode_mut(child).places.insert((*dir, name.clone()));
                children.insert(child);
            }
        }
        let touched_dirs: BTreeSet<Slot> =
            children.iter().copied().filter(|child| self.inode(*child).is_dir()).collect();
        self.log.push(EntryChange::new(&sets, &touched_dirs, now));
        for (dir, name, _) in sets {
            self.watches.push(dir, &name, Change::Entry, self.config.hints_queued_max);
        }
        for child in children {
            self.inode_mut(child).ctime = now;
            self.release(child);
        }
    }

    /// Gives back the space and the number of an inode without name and handle. It stays in memory while the durable tree
    /// may still hold it.
    fn release(&mut self, slot: Slot) {
        let inode = self.inode(slot);
        if inode.open_count > 0 || !inode.places.is_empty() {
            return;
        }
        let (number, len) = (inode.number, inode.content_len());
        self.used_bytes -= len;
        self.locks.remove(&slot);
        self.watches.forget_dir(slot, self.config.hints_queued_max);
        if self.config.reuses_inodes {
            self.free_numbers.insert(number);
        }
    }

    /// No number of `inodes` is free.
    pub(super) fn forget_free_numbers(&mut self) {
        self.free_numbers.clear();
    }

    // Open files and their content.

    pub(super) fn open(&mut self, slot: Slot, process: ProcessId, is_writer: bool) -> u64 {
        self.inode_mut(slot).open_count += 1;
        self.next_open_file += 1;
        self.open_files.insert(self.next_open_file, OpenFile { slot, process, is_writer });
        self.next_open_file
    }

    /// The inode of an open file, unless its process has ended.
    pub(super) fn opened(&self, file: u64) -> Result<Slot, FileError> {
        let open = self.open_files.get(&file).map(|open| open.slot);
        open.ok_or_else(|| FileError::new(FileErrorKind::Other, "The handle belongs to a process that has ended"))
    }

    /// Closes an open file; nothing if it is closed already.
    pub(super) fn close(&mut self, file: u64) {
        let Some(open) = self.open_files.remove(&file) else { return };
        self.inode_mut(open.slot).open_count -= 1;
        if open.is_writer {
            self.hint_at(open.slot, Change::Bytes);
        }
        self.release(open.slot);
    }

    /// Tells the watchers that this inode was changed.
    pub(super) fn hint_at(&mut self, slot: Slot, change: Change) {
        if let Some((dir, name)) = self.inode(slot).places.first().cloned() {
            self.watches.push(dir, &name, change, self.config.hints_queued_max);
        }
    }

    /// Replaces what a file holds from `offset` on by `bytes`; what was behind them is kept only `with_tail`.
    pub(super) fn write(&mut self, slot: Slot, offset: usize, bytes: &[u8], tail: Tail) -> Result<(), FileError> {
        let (now, free) = (self.now, self.free_bytes());
        let inode = self.inode_mut(slot);
        let Body::File(file) = &mut inode.body else { return Err(error(FileErrorKind::WrongKind)) };
        let (old_len, written_len) = (file.bytes.len(), offset + bytes.len());
        let new_len = match tail {
            Tail::Keep => written_len.max(old_len),
            Tail::Cut => written_len,
        };
        if new_len > old_len && (new_len - old_len) as u64 > free {
            return Err(error(FileErrorKind::NoSpace));
        }
        let content = Arc::make_mut(&mut file.bytes);
        content.resize(new_len, 0);
        content[offset..written_len].copy_from_slice(bytes);
        inode.mtime = now;
        inode.touch(offset.min(old_len), now);
        self.used_bytes = self.used_bytes + new_len as u64 - old_len as u64;
        self.hint_at(slot, Change::Writing);
        Ok(())
    }

    pub(super) fn set_mtime(&mut self, slot: Slot, mtime: Timestamp) {
        let (now, mtime) = (self.now, round_down(mtime, self.config.mtime_granularity_ns));
        let inode = self.inode_mut(slot);
        inode.mtime = mtime;
        inode.touch(usize::MAX, now);
        self.hint_at(slot, Change::Entry);
    }

    pub(super) fn set_executable(&mut self, slot: Slot, executable: bool) -> Result<(), FileError> {
        let (now, has_executable) = (self.now, self.config.has_executable);
        let inode = self.inode_mut(slot);
        let Body::File(file) = &mut inode.body else { return Err(error(FileErrorKind::WrongKind)) };
        file.executable = executable && has_executable;
        inode.touch(usize::MAX, now);
        self.hint_at(slot, Change::Entry);
        Ok(())
    }

    // Moves and removals.

    /// Fails if `dir` is the directory `moved` or lies beneath it.
    pub(super) fn check_not_beneath(&self, moved: Slot, dir: Slot) -> Result<(), FileError> {
        let mut above = Some(dir);
        while let Some(slot) = above {
            if slot == moved {
                return Err(FileError::new(FileErrorKind::Other, "Invalid argument"));
            }
            above = self.inode(slot).places.first().map(|(parent, _)| *parent);
        }
        Ok(())
    }

    pub(super) fn remove_file(&mut self, dir: Slot, name: &Name) -> Result<(), FileError> {
        let (name, slot) = self.get(dir, name)?;
        if self.inode(slot).is_dir() {
            return Err(error(FileErrorKind::WrongKind));
        }
        self.change_entries(vec![(dir, name, None)]);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, dir: Slot, name: &Name) -> Result<(), FileError> {
        let (name, slot) = self.get(dir, name)?;
        let entries = self.inode(slot).entries().ok_or_else(|| error(FileErrorKind::WrongKind))?;
        if !entries.is_empty() {
            return Err(error(FileErrorKind::NotEmpty));
        }
        self.change_entries(vec![(dir, name, None)]);
        Ok(())
    }

    /// Hints that wait are gone.
    pub(super) fn lose_hints(&mut self) {
        self.watches.lose_hints();
    }
}

/// What happens to the bytes behind those that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    Keep,
    Cut,
}

fn round_down(time: Timestamp, granularity_ns: u64) -> Timestamp {
    let nanoseconds = time.as_nanoseconds();
    Timestamp::from_nanoseconds(nanoseconds - nanoseconds.rem_euclid(i128::from(granularity_ns.max(1))))
}
