//! What users do on their disks.

use std::collections::BTreeMap;

use skep_types::Name;

use crate::disk::{Body, Disk, ROOT};
use crate::random::Random;
use crate::world::{World, name};

/// An entry of a disk: directory, name, inode.
type Entry = (u64, Name, u64);

/// One user at a disk who is about to do something.
struct Hand<'a> {
    random: &'a mut Random,
    disk: &'a mut Disk,
    entries: Vec<Entry>,
    dirs: Vec<u64>,
    content: u64,
}

impl World {
    /// A user does something on one disk; beneath this directory only.
    pub fn perturb_beneath(&mut self, number: usize, top: u64) {
        self.contents += 1;
        let content = match self.random.below(8) {
            0 => 0,
            1 => 1_000_000,
            _ => self.contents,
        };
        let disk = &mut self.clients[number].disk;
        let (entries, dirs) = walk(disk, top);
        let text = Hand { random: &mut self.random, disk, entries, dirs, content }.act();
        self.note(format!("{} {} {text}", self.at_ms, self.clients[number].name));
    }

    /// A user does something on one disk.
    pub fn perturb(&mut self, number: usize) {
        self.perturb_beneath(number, ROOT);
    }
}

fn walk(disk: &Disk, top: u64) -> (Vec<Entry>, Vec<u64>) {
    let (mut entries, mut dirs, mut left) = (Vec::new(), vec![top], vec![top]);
    while let Some(dir) = left.pop() {
        for (name, inode) in disk.entries(dir) {
            if matches!(disk.inodes[&inode].body, Body::Directory(_)) {
                left.push(inode);
                dirs.push(inode);
            }
            entries.push((dir, name, inode));
        }
    }
    (entries, dirs)
}

impl Hand<'_> {
    fn act(mut self) -> String {
        let act = self.random.below(22);
        let dir = self.dirs[self.random.below(self.dirs.len())];
        let fresh = name(["a", "b", "c", "d", "e.txt"][self.random.below(5)]);
        let pick = (!self.entries.is_empty()).then(|| self.entries[self.random.below(self.entries.len())].clone());
        match (act, pick) {
            (0..5, _) => self.write(dir, &fresh),
            (5..8, _) if self.disk.get(dir, &fresh).is_none() => self.make(act == 7, dir, &fresh),
            (8..10, Some(entry)) => self.edit(entry),
            (10..14, Some(entry)) => self.rename(entry, dir, &fresh),
            (14..17, Some((parent, old, _))) => {
                self.disk.put(parent, &old, None);
                format!("removes {old:?} in {parent}")
            }
            (17, Some(entry)) => self.chmod(entry),
            (18, Some(entry)) => self.swap(entry),
            (19, Some((parent, old, inode))) if self.is_file(inode) => {
                let saved = self.disk.make(Body::File(self.content));
                self.disk.put(parent, &old, Some(saved));
                format!("saves {} over {old:?} in {parent}", self.content)
            }
            (20, Some((parent, old, inode))) if self.is_file(inode) => {
                save_with_backup(self.disk, parent, &old, self.content);
                format!("saves {} with a backup to {old:?} in {parent}", self.content)
            }
            _ => "does nothing".into(),
        }
    }

    fn is_file(&self, inode: u64) -> bool {
        matches!(self.disk.inodes[&inode].body, Body::File(_))
    }

    fn write(&mut self, dir: u64, name: &Name) -> String {
        match self.disk.get(dir, name) {
            None => {
                let inode = self.disk.make(Body::File(self.content));
                self.disk.put(dir, name, Some(inode));
            }
            Some(inode) if self.is_file(inode) => self.disk.edit(dir, name, inode, self.content),
            Some(_) => {}
        }
        format!("writes {} to {name:?} in {dir}", self.content)
    }

    fn make(&mut self, link: bool, dir: u64, name: &Name) -> String {
        let body = match link {
            true => Body::Symlink(vec![b'x'; 1 + self.content as usize % 5]),
            false => Body::Directory(BTreeMap::new()),
        };
        let inode = self.disk.make(body);
        self.disk.put(dir, name, Some(inode));
        format!("{} {name:?} in {dir}", if link { "ln" } else { "mkdir" })
    }

    fn edit(&mut self, (parent, name, inode): Entry) -> String {
        if self.is_file(inode) {
            self.disk.edit(parent, &name, inode, self.content);
        }
        format!("edits {name:?} in {parent}: {}", self.content)
    }

    fn rename(&mut self, (parent, old, inode): Entry, dir: u64, new: &Name) -> String {
        if !self.disk.contains(inode, dir) && self.disk.get(dir, new).is_none() {
            self.disk.put(parent, &old, None);
            self.disk.put(dir, new, Some(inode));
        }
        format!("moves {old:?} in {parent} to {new:?} in {dir}")
    }

    fn chmod(&mut self, (parent, name, inode): Entry) -> String {
        if self.is_file(inode) {
            self.disk.chmod(parent, &name, inode);
        }
        format!("chmod {name:?} in {parent}")
    }

    fn swap(&mut self, (parent, name, inode): Entry) -> String {
        let other = self.entries[self.random.below(self.entries.len())].clone();
        if !self.disk.contains(inode, other.2) && !self.disk.contains(other.2, inode) {
            self.disk.put(parent, &name, Some(other.2));
            self.disk.put(other.0, &other.1, Some(inode));
        }
        format!("swaps {name:?} in {parent} and {:?} in {}", other.1, other.0)
    }
}

/// As many editors save: write a new file, put the old one aside, put the new one in its place, remove the old one.
pub fn save_with_backup(disk: &mut Disk, dir: u64, name: &Name, content: u64) {
    for step in 0..4 {
        save_step(disk, dir, name, content, step);
    }
}

/// One of the four steps of such a save.
pub fn save_step(disk: &mut Disk, dir: u64, saved: &Name, content: u64, step: usize) {
    let (new, old) = (name(".save-new"), name(".save-old"));
    match step {
        0 => {
            let inode = disk.make(Body::File(content));
            disk.put(dir, &new, Some(inode));
        }
        1 => move_entry(disk, dir, saved, &old),
        2 => move_entry(disk, dir, &new, saved),
        _ => {
            disk.put(dir, &old, None);
        }
    }
}

fn move_entry(disk: &mut Disk, dir: u64, from: &Name, to: &Name) {
    let inode = disk.put(dir, from, None);
    disk.put(dir, to, inode);
}
