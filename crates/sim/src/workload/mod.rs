//! What the programs of a person do to the files of one machine.
//!
//! Few names, so that machines and actions meet; contents that are unique, so that each saved one can be looked for later.

mod content;
mod names;

use skep_platform::FileError;
use skep_types::{Timestamp, product};

use crate::Random;
use crate::disk::{TreeEntry, UserFile, UserProgram};

pub use content::Contents;
pub use names::Names;

/// Deepest directory that a program makes.
const DEPTH_MAX: usize = 3;
/// Files that programs hold open at a time.
const OPEN_MAX: usize = 2;

/// Of so many actions, about one is on an ignore file, where there are such.
const RULES_ONE_IN: u64 = 6;
/// What ignore files say: nothing that a person would have to mend, such as a file in the place of an ignored directory of its name.
const RULES: [&str; 8] = ["a\n", "b\nc.txt\n", "x\n", "*.md\n", "/x/a\n", "# nothing\n", "*\n!a\n!x\n!y\n", "y/**\n"];

/// What programs of one machine are like.
#[derive(Debug, Clone)]
pub struct Habits {
    /// Every name carries this at its end, and nothing else is touched: machines stay apart. Empty: they meet.
    pub mark: String,
    /// How often each kind of action is taken, in shares.
    pub shares: Vec<(Action, u64)>,
    /// Longest content.
    pub content_bytes_max: u64,
    /// Now and then, an ignore file is written, changed or removed.
    pub has_rules: bool,
    /// Which names files and directories get.
    pub names: Names,
}

/// A kind of action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A new file.
    Create,
    /// Another content in place.
    Overwrite,
    /// Another content through a second file that is renamed over.
    Replace,
    /// Something more at the end.
    Append,
    /// Another content of the same size, at times with the mtime put back.
    SameSize,
    /// Another name, which may be taken.
    Rename,
    /// Another directory.
    Move,
    /// A new directory.
    MakeDir,
    /// Removes a file.
    Remove,
    /// Removes a directory with all that is in it.
    RemoveTree,
    /// Changes the executable bit.
    Chmod,
    /// Makes a symlink.
    Symlink,
    /// Swaps two names.
    Swap,
    /// A new mtime.
    Touch,
    /// Opens a file and writes a part.
    Open,
    /// Writes more to an open file, or closes it.
    WriteOpen,
    /// Copies a file.
    Copy,
}

impl Action {
    /// All of them.
    pub const ALL: [Action; 17] = [
        Action::Create,
        Action::Overwrite,
        Action::Replace,
        Action::Append,
        Action::SameSize,
        Action::Rename,
        Action::Move,
        Action::MakeDir,
        Action::Remove,
        Action::RemoveTree,
        Action::Chmod,
        Action::Symlink,
        Action::Swap,
        Action::Touch,
        Action::Open,
        Action::WriteOpen,
        Action::Copy,
    ];
}

/// What came of an action.
#[derive(Debug, Default)]
pub struct Acted {
    /// For the log.
    pub told: String,
    /// Contents that now stand whole under a name.
    pub saved: Vec<Vec<u8>>,
}

/// The programs of one machine.
pub struct Person {
    program: UserProgram,
    habits: Habits,
    contents: Contents,
    random: Random,
    open: Vec<(UserFile, String, Vec<u8>)>,
}

impl Person {
    /// Programs with these habits.
    pub fn new(program: UserProgram, habits: Habits, contents: Contents, random: Random) -> Person {
        Person { program, habits, contents, random, open: Vec::new() }
    }

    /// Closes what is open. Gives what that saved.
    pub fn close_all(&mut self) -> Acted {
        let saved = std::mem::take(&mut self.open).into_iter().map(|(_, _, bytes)| bytes).collect();
        Acted { told: "closes all files".to_owned(), saved }
    }

    /// The machine lost its power: no file is open any more.
    pub fn forget_open(&mut self) {
        self.open.clear();
    }

    /// Removes everything that stands in the folder.
    pub fn empty_folder(&mut self) -> Acted {
        let tops: Vec<Vec<u8>> = self.program.tree().into_keys().filter(|path| !path.contains(&b'/')).collect();
        for top in tops.iter().filter(|top| !crate::oracle::is_own(top)) {
            // What cannot be removed stays.
            let _ = self.program.remove_all(top);
        }
        acted("empties the folder".to_owned(), Vec::new())
    }

    /// Takes one action; `None` if there was nothing to act on.
    pub fn act(&mut self) -> Option<Acted> {
        if self.habits.has_rules && self.random.range(0..=RULES_ONE_IN) == 0 {
            return self.write_rules().ok();
        }
        let shares = &self.habits.shares;
        let total: u64 = shares.iter().map(|(_, share)| share).sum();
        let mut at = self.random.range(0..=total.max(1) - 1);
        let action = shares.iter().find(|(_, share)| match at.checked_sub(*share) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        let action = action.map_or(Action::Create, |(action, _)| *action);
        self.take(action).ok().flatten()
    }

    /// Saves one of these files, in a way that programs save; `None` if none of them is one that this person touches.
    pub fn save_one_of(&mut self, paths: &[Vec<u8>]) -> Option<Acted> {
        let tree = self.program.tree();
        let is_file = |path: &&Vec<u8>| matches!(tree.get(*path), Some(TreeEntry::File { .. }));
        let mut files = paths.iter().filter(is_file).map(|path| String::from_utf8_lossy(path).into_owned());
        let path = files.find(|path| self.touches(path))?;
        let action = *self.random.pick(&[Action::Overwrite, Action::Replace, Action::Replace, Action::Append]);
        self.edit_at(action, path).ok().flatten()
    }

    fn take(&mut self, action: Action) -> Result<Option<Acted>, FileError> {
        match action {
            Action::Create => self.create(),
            Action::Overwrite | Action::Replace | Action::Append | Action::SameSize => self.edit(action),
            Action::Rename | Action::Move => self.rename(action),
            Action::MakeDir => self.make_dir(),
            Action::Remove => self.remove(),
            Action::RemoveTree => self.remove_tree(),
            Action::Chmod | Action::Touch => self.set_attribute(action),
            Action::Symlink => self.symlink(),
            Action::Swap => self.swap(),
            Action::Open => self.open(),
            Action::WriteOpen => self.write_open(),
            Action::Copy => self.copy(),
        }
    }

    // What is there, and new names.

    fn touches(&self, path: &str) -> bool {
        // What ignore files say is another matter: a text that is no rule would need a person.
        let is_rules = path.rsplit('/').next() == Some(product::IGNORE_FILE);
        !path.starts_with(".skep") && path.ends_with(&self.habits.mark) && !is_rules
    }

    fn pick(&mut self, wanted: impl Fn(&TreeEntry) -> bool) -> Option<String> {
        let tree = self.program.tree();
        let paths: Vec<String> = tree
            .iter()
            .filter(|(_, entry)| wanted(entry))
            .map(|(path, _)| String::from_utf8_lossy(path).into_owned())
            .filter(|path| self.touches(path))
            .collect();
        if paths.is_empty() { None } else { Some(self.random.pick(&paths).clone()) }
    }

    fn pick_file(&mut self) -> Option<String> {
        self.pick(|entry| matches!(entry, TreeEntry::File { .. }))
    }

    fn pick_dir(&mut self) -> Option<String> {
        self.pick(|entry| matches!(entry, TreeEntry::Directory))
    }

    fn pick_any(&mut self) -> Option<String> {
        self.pick(|_| true)
    }

    /// A directory to put something in; the root at times.
    fn target_dir(&mut self) -> String {
        if self.random.coin() {
            return String::new();
        }
        self.pick_dir().filter(|dir| dir.split('/').count() < DEPTH_MAX).unwrap_or_default()
    }

    fn file_name(&mut self) -> String {
        let name = self.random.pick(self.habits.names.of_files());
        format!("{name}{}", self.habits.mark)
    }

    fn dir_name(&mut self) -> String {
        let name = self.random.pick(self.habits.names.of_directories());
        format!("{name}{}", self.habits.mark)
    }

    fn new_file_path(&mut self) -> String {
        let dir = self.target_dir();
        join(&dir, &self.file_name())
    }

    fn content(&mut self) -> Vec<u8> {
        self.contents.next(&mut self.random, self.habits.content_bytes_max)
    }

    // The actions.

    fn create(&mut self) -> Result<Option<Acted>, FileError> {
        let (path, bytes) = (self.new_file_path(), self.content());
        self.program.write(&path, &bytes)?;
        Ok(Some(acted(format!("writes {path} ({})", name_of(&bytes)), vec![bytes])))
    }

    /// Writes, changes or removes an ignore file.
    fn write_rules(&mut self) -> Result<Acted, FileError> {
        let dir = self.target_dir();
        let path = join(&dir, product::IGNORE_FILE);
        if self.random.range(0..=2) == 0 && self.program.read(&path).is_ok() {
            self.program.remove_file(&path)?;
            return Ok(acted(format!("removes {path}"), Vec::new()));
        }
        let rules = *self.random.pick(&RULES);
        match self.random.coin() {
            true => self.program.write(&path, rules.as_bytes())?,
            false => self.program.replace(&path, rules.as_bytes())?,
        }
        Ok(acted(format!("writes {path}: {rules:?}"), Vec::new()))
    }

    fn edit(&mut self, action: Action) -> Result<Option<Acted>, FileError> {
        let Some(path) = self.pick_file() else { return Ok(None) };
        self.edit_at(action, path)
    }

    fn edit_at(&mut self, action: Action, path: String) -> Result<Option<Acted>, FileError> {
        let new = self.content();
        let told = match action {
            Action::Overwrite => {
                self.program.write(&path, &new)?;
                "overwrites"
            }
            Action::Replace => {
                self.program.replace(&path, &new)?;
                "replaces"
            }
            Action::Append => {
                self.program.append(&path, &new)?;
                "appends to"
            }
            _ => {
                let (old, stat) = (self.program.read(&path)?, self.program.stat(&path)?);
                let same_size: Vec<u8> = new.iter().chain(old.iter()).copied().take(old.len()).collect();
                self.program.write(&path, &same_size)?;
                if self.random.coin() {
                    self.program.set_mtime(&path, stat.mtime)?;
                    "edits under the same size and mtime"
                } else {
                    "edits under the same size"
                }
            }
        };
        let bytes = self.program.read(&path)?.to_vec();
        Ok(Some(acted(format!("{told} {path} ({})", name_of(&bytes)), vec![bytes])))
    }

    fn rename(&mut self, action: Action) -> Result<Option<Acted>, FileError> {
        let Some(path) = self.pick_any() else { return Ok(None) };
        let is_dir = self.program.tree().get(path.as_bytes()) == Some(&TreeEntry::Directory);
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let (dir, name) = (dir.to_owned(), name.to_owned());
        let target = match action {
            Action::Rename if is_dir => join(&dir, &self.dir_name()),
            Action::Rename => join(&dir, &self.file_name()),
            _ => {
                let dir = self.target_dir();
                join(&dir, &name)
            }
        };
        self.program.rename(&path, &target)?;
        Ok(Some(acted(format!("renames {path} to {target}"), Vec::new())))
    }

    fn make_dir(&mut self) -> Result<Option<Acted>, FileError> {
        let dir = self.target_dir();
        let path = join(&dir, &self.dir_name());
        self.program.make_dir(&path)?;
        Ok(Some(acted(format!("makes directory {path}"), Vec::new())))
    }

    fn remove(&mut self) -> Result<Option<Acted>, FileError> {
        let Some(path) = self.pick(|entry| *entry != TreeEntry::Directory) else { return Ok(None) };
        self.program.remove_file(&path)?;
        Ok(Some(acted(format!("removes {path}"), Vec::new())))
    }

    /// As `rm -r` does: one after the other, from the leaves up.
    fn remove_tree(&mut self) -> Result<Option<Acted>, FileError> {
        let Some(path) = self.pick_dir() else { return Ok(None) };
        let within = format!("{path}/");
        let tree = self.program.tree();
        for (inner, entry) in tree.iter().rev().filter(|(inner, _)| inner.starts_with(within.as_bytes())) {
            match entry {
                TreeEntry::Directory => self.program.remove_dir(inner)?,
                _ => self.program.remove_file(inner)?,
            }
        }
        self.program.remove_dir(&path)?;
        Ok(Some(acted(format!("removes the tree {path}"), Vec::new())))
    }

    fn set_attribute(&mut self, action: Action) -> Result<Option<Acted>, FileError> {
        let Some(path) = self.pick_file() else { return Ok(None) };
        if action == Action::Chmod {
            let executable = self.random.coin();
            self.program.set_executable(&path, executable)?;
            return Ok(Some(acted(format!("sets executable of {path} to {executable}"), Vec::new())));
        }
        let nanoseconds = i128::from(self.random.range(0..=2_000_000_000)) * 1_000_000_000;
        self.program.set_mtime(&path, Timestamp::from_nanoseconds(nanoseconds))?;
        Ok(Some(acted(format!("touches {path}"), Vec::new())))
    }

    fn symlink(&mut self) -> Result<Option<Acted>, FileError> {
        let path = self.new_file_path();
        let target = self.random.pick(&["a", "../b", "/nowhere"]).to_string();
        self.program.symlink(&path, target.as_bytes())?;
        Ok(Some(acted(format!("links {path} to {target}"), Vec::new())))
    }

    fn swap(&mut self) -> Result<Option<Acted>, FileError> {
        let (Some(one), Some(other)) = (self.pick_any(), self.pick_any()) else { return Ok(None) };
        if one == other {
            return Ok(None);
        }
        if self.random.coin() {
            self.program.exchange(&one, &other)?;
        } else {
            let between = format!("swap{}", self.habits.mark);
            self.program.rename(&one, &between)?;
            let swapped = self.program.rename(&other, &one).and_then(|()| self.program.rename(&between, &other));
            if swapped.is_err() {
                self.program.rename(&between, &one)?;
            }
            swapped?;
        }
        Ok(Some(acted(format!("swaps {one} and {other}"), Vec::new())))
    }

    fn open(&mut self) -> Result<Option<Acted>, FileError> {
        if self.open.len() >= OPEN_MAX {
            return self.write_open();
        }
        let path = self.new_file_path();
        let is_open = self.open.iter().any(|(_, open, _)| *open == path);
        if is_open {
            return Ok(None);
        }
        let file = self.program.open(&path)?;
        let bytes = self.content();
        file.set_len(0)?;
        file.append(&bytes)?;
        let told = format!("opens {path} and writes {}", name_of(&bytes));
        self.open.push((file, path, bytes));
        Ok(Some(acted(told, Vec::new())))
    }

    fn write_open(&mut self) -> Result<Option<Acted>, FileError> {
        if self.open.is_empty() {
            return Ok(None);
        }
        let at = self.random.index(self.open.len());
        if self.random.coin() {
            let more = self.content();
            let (file, path, bytes) = &mut self.open[at];
            file.write_at(bytes.len(), &more)?;
            bytes.extend_from_slice(&more);
            return Ok(Some(acted(format!("writes on to {path}"), Vec::new())));
        }
        let (file, path, bytes) = self.open.swap_remove(at);
        drop(file);
        Ok(Some(acted(format!("closes {path} ({})", name_of(&bytes)), vec![bytes])))
    }

    fn copy(&mut self) -> Result<Option<Acted>, FileError> {
        let Some(path) = self.pick_file() else { return Ok(None) };
        let bytes = self.program.read(&path)?.to_vec();
        let target = self.new_file_path();
        self.program.write(&target, &bytes)?;
        Ok(Some(acted(format!("copies {path} to {target}"), Vec::new())))
    }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn acted(told: String, saved: Vec<Vec<u8>>) -> Acted {
    Acted { told, saved }
}

/// A content in the log: its first words and its length.
pub fn name_of(bytes: &[u8]) -> String {
    let words = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    format!("{}, {} bytes", String::from_utf8_lossy(&words[..words.len().min(24)]), bytes.len())
}
