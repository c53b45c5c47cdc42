//! What survives a power cut.
//!
//! Changes of entries are kept in one log. Each touches some directories: those whose entries it sets, and a directory that
//! it makes, moves or removes (whose `..` it changes). What survives is closed: with a change survive all earlier ones that
//! touch one of its directories, and with a move of a directory all earlier moves of directories. So no file is ever in no
//! directory, no name shows what it never showed, and no directory is above itself. Journalling file systems promise at
//! least that; `make_durable` makes just this closure durable, which is the least that they promise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_types::Timestamp;

use super::inode::{Body, FileBody, FileState, Inode, Slot};
use super::state::{EntrySet, State};

/// The log is swept of inodes that nobody can see any more when so many came together.
const SWEEP_AT: usize = 1024;

/// One step in which entries changed.
#[derive(Debug, Clone)]
pub(super) struct EntryChange {
    sets: Vec<EntrySet>,
    touched: BTreeSet<Slot>,
    moves_dir: bool,
    at: Timestamp,
}

impl EntryChange {
    /// The change `sets`, of which `children` are directories.
    pub(super) fn new(sets: &[EntrySet], children: &BTreeSet<Slot>, at: Timestamp) -> EntryChange {
        let parents: BTreeSet<Slot> = sets.iter().map(|(dir, ..)| *dir).collect();
        let moves_dir = parents.len() > 1 && !children.is_empty();
        EntryChange { sets: sets.to_vec(), touched: &parents | children, moves_dir, at }
    }

    fn apply(self, inodes: &mut BTreeMap<Slot, Inode>) {
        for (dir, name, new) in self.sets {
            let Some(Inode { body: Body::Directory { durable, .. }, .. }) = inodes.get_mut(&dir) else {
                unreachable!("a directory stays while the log holds it")
            };
            match new {
                Some(new) => durable.insert(name, new),
                None => durable.remove(&name),
            };
        }
    }
}

/// Numbers from a seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl State {
    /// The content and attributes of this file are durable.
    pub(super) fn sync_file(&mut self, slot: Slot) {
        self.inode_mut(slot).sync();
    }

    /// The entries of these directories are durable, and with them what they depend on.
    pub(super) fn sync_dirs(&mut self, dirs: &BTreeSet<Slot>) {
        let mut needed = dirs.clone();
        let mut needs_moves = false;
        let mut durable = Vec::new();
        let mut later = Vec::new();
        for change in std::mem::take(&mut self.log).into_iter().rev() {
            if change.touched.is_disjoint(&needed) && !(change.moves_dir && needs_moves) {
                later.push(change);
                continue;
            }
            needed.extend(&change.touched);
            needs_moves |= change.moves_dir;
            durable.push(change);
        }
        durable.into_iter().rev().for_each(|change| change.apply(&mut self.inodes));
        later.reverse();
        self.log = later;
        self.sweep();
    }

    /// Everything is durable.
    pub(super) fn write_back(&mut self) {
        std::mem::take(&mut self.log).into_iter().for_each(|change| change.apply(&mut self.inodes));
        self.inodes.values_mut().for_each(Inode::sync);
        self.sweep();
    }

    /// See [`super::SimDisk::power_cut`].
    pub(super) fn power_cut(&mut self, seed: u64) {
        let mut draw = Draw(seed);
        self.forget_processes();
        self.write_back_old();
        self.cut_entries(&mut draw);
        for inode in self.inodes.values_mut() {
            inode.places.clear();
            inode.open_count = 0;
            cut_content(inode, &mut draw);
        }
        self.show_durable_tree();
    }

    /// The kernel has written what is older than its patience.
    fn write_back_old(&mut self) {
        let (now, patience_ms) = (self.now, self.config.write_back_ms);
        let is_old = |at: Timestamp| at.plus_milliseconds(patience_ms) < now;
        let young = self.log.iter().position(|change| !is_old(change.at)).unwrap_or(self.log.len());
        self.log.drain(..young).for_each(|change| change.apply(&mut self.inodes));
        for inode in self.inodes.values_mut() {
            if matches!(&inode.body, Body::File(FileBody { dirty_since: Some(since), .. }) if is_old(*since)) {
                inode.sync();
            }
        }
    }

    /// Applies a legal part of the log to the durable entries and drops the rest.
    fn cut_entries(&mut self, draw: &mut Draw) {
        // From "all survives" over "some" to "nothing": each is a case of its own for recovery.
        let one_in = [0, 1, 2, 4, 16][draw.below(5) as usize];
        let mut cut_dirs = BTreeSet::new();
        let mut is_cut_for_moves = false;
        for change in std::mem::take(&mut self.log) {
            let depends_on_lost = !change.touched.is_disjoint(&cut_dirs) || (change.moves_dir && is_cut_for_moves);
            if depends_on_lost || (one_in > 0 && draw.below(one_in) == 0) {
                cut_dirs.extend(&change.touched);
                is_cut_for_moves |= change.moves_dir;
            } else {
                change.apply(&mut self.inodes);
            }
        }
    }

    /// The durable tree becomes the live one; what is not in it is gone.
    fn show_durable_tree(&mut self) {
        let mut shown = BTreeMap::new();
        let mut pending = vec![self.root];
        while let Some(dir) = pending.pop() {
            let Some(mut inode) = self.inodes.remove(&dir).or_else(|| shown.remove(&dir)) else { continue };
            if let Body::Directory { live, durable } = &mut inode.body {
                live.clone_from(durable);
                for (name, slot) in durable.iter() {
                    // A file with several names is reached several times.
                    if let Some(mut child) = self.inodes.remove(slot).or_else(|| shown.remove(slot)) {
                        child.places.insert((dir, name.clone()));
                        if child.is_dir() {
                            pending.push(*slot);
                        }
                        shown.insert(*slot, child);
                    }
                }
            }
            shown.insert(dir, inode);
        }
        self.inodes = shown;
        self.set_used_bytes(self.inodes.values().map(Inode::content_len).sum());
        self.forget_free_numbers();
        self.renumber_twins();
    }

    /// Where numbers are used again, a file that came back may meet one that got its number meanwhile.
    fn renumber_twins(&mut self) {
        let mut seen = BTreeSet::new();
        for inode in self.inodes.values_mut() {
            if !seen.insert(inode.number) {
                inode.number = self.next_number;
                self.next_number += 1;
            }
        }
    }

    /// Drops inodes that neither the live nor the durable tree, nor the log, nor a handle holds.
    fn sweep(&mut self) {
        let is_unseen = |slot: &Slot, inode: &Inode| {
            *slot != self.root && inode.places.is_empty() && inode.open_count == 0 && !inode.is_dir()
        };
        if self.inodes.iter().filter(|(slot, inode)| is_unseen(slot, inode)).count() < SWEEP_AT {
            return;
        }
        let durable = self.inodes.values().filter_map(|inode| match &inode.body {
            Body::Directory { durable, .. } => Some(durable.values()),
            _ => None,
        });
        let logged = self.log.iter().flat_map(|change| change.sets.iter().filter_map(|(.., new)| *new));
        let held: BTreeSet<Slot> = durable.flatten().copied().chain(logged).collect();
        let gone: Vec<Slot> = self
            .inodes
            .iter()
            .filter(|(slot, inode)| is_unseen(slot, inode) && !held.contains(slot))
            .map(|(slot, _)| *slot)
            .collect();
        for slot in gone {
            self.inodes.remove(&slot);
        }
    }
}

/// Chooses what is left of a file's content and attributes; all of that is durable then.
fn cut_content(inode: &mut Inode, draw: &mut Draw) {
    let (mtime, ctime) = (inode.mtime, inode.ctime);
    let Body::File(file) = &mut inode.body else { return };
    if file.dirty_since.is_none() {
        return;
    }
    let new = FileState { bytes: Arc::clone(&file.bytes), mtime, ctime, executable: file.executable };
    let old = file.durable.clone().unwrap_or(FileState { mtime, ctime, ..FileState::default() });
    let shortest = file.unchanged_len.min(file.bytes.len());
    let left = match draw.below(4) {
        0 => old,
        1 => new,
        2 => FileState { bytes: Arc::new(file.bytes[..shortest].to_vec()), ..new },
        _ => {
            let len = shortest + draw.below((file.bytes.len() - shortest) as u64 + 1) as usize;
            FileState { bytes: Arc::new(file.bytes[..len].to_vec()), ..new }
        }
    };
    file.bytes = left.bytes;
    file.executable = left.executable;
    (inode.mtime, inode.ctime) = (left.mtime, left.ctime);
    inode.sync();
}
