//! A disk that cannot hold every name, made one that can: [`MappedFiles`] and [`MappedWatcher`] stand between Skep and such a disk.
//!
//! What a name becomes, [`NameRules`] say; whether the plain form is free, only the disk knows, so it is asked. Nothing is remembered but
//! names that were cut ([`book`]): an entry tells by its own name what it stands for.
//!
//! Invariant: at each moment of every operation, each entry stands for the name that it has, or that it is to get: a kill between two
//! steps leaves nothing to be mended.

mod book;
mod probe;
mod watcher;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use skep_types::{Marked, Name, NameRules, Stat, Timestamp};

use crate::{FileError, FileErrorKind, Files, RenameMode};
use book::Book;

pub use watcher::MappedWatcher;

/// What is known of the disk.
struct Learned<F: Files> {
    rules: NameRules,
    book: Book<F>,
}

impl<F: Files> Learned<F> {
    fn meaning(&self, stored: &Name) -> Name {
        self.rules.meaning(stored, |key| self.book.name(key))
    }
}

/// [`Files`] that hold every name on a disk that may not. Until [`Files::learn_names`] was called, names stand as they are.
pub struct MappedFiles<F: Files> {
    raw: F,
    learned: Arc<RwLock<Option<Arc<Learned<F>>>>>,
}

impl<F: Files> Clone for MappedFiles<F> {
    fn clone(&self) -> Self {
        MappedFiles { raw: self.raw.clone(), learned: Arc::clone(&self.learned) }
    }
}

impl<F: Files> MappedFiles<F> {
    /// The files of `raw`.
    pub fn new(raw: F) -> MappedFiles<F> {
        MappedFiles { raw, learned: Arc::default() }
    }

    /// The disk itself.
    pub fn raw(&self) -> &F {
        &self.raw
    }

    /// What is known of the disk, if it does not hold every name as it is.
    fn limits(&self) -> Option<Arc<Learned<F>>> {
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        learned.as_ref().filter(|learned| !learned.rules.hold_all()).cloned()
    }

    /// How the entry of that name is spelled on the disk; `None` if there is none.
    fn find(&self, learned: &Learned<F>, dir: &F::Dir, name: &Name) -> Result<Option<Name>, FileError> {
        let rules = &learned.rules;
        let (plain, marked) = (rules.plain(name), rules.marked(name).stored);
        if !rules.folds {
            return Ok(Some(plain.unwrap_or(marked)));
        }
        // An entry may get its plain name back in between: so that is looked for once more behind the other.
        for given in plain.iter().chain([&marked]).chain(plain.iter()) {
            if self.stands(rules, dir, given)? {
                return Ok(Some(given.clone()));
            }
        }
        let meant = learned.meaning(name);
        let is_itself = match rules.plain(&meant) {
            _ if meant == *name => plain.as_ref() != Some(name),
            // It looks like the mark of a name that stands there by its plain form as well.
            Some(plain) if !rules.is_same(&plain, name) => self.stands(rules, dir, &plain)?,
            _ => false,
        };
        Ok(if is_itself && self.stands(rules, dir, name)? { Some(name.clone()) } else { None })
    }

    /// Whether an entry stands there that is spelled like this, and not one that the disk only takes for the same.
    fn stands(&self, rules: &NameRules, dir: &F::Dir, given: &Name) -> Result<bool, FileError> {
        Ok(self.raw.spelled(dir, given)?.is_some_and(|stored| rules.is_same(given, &stored)))
    }

    /// The same of an entry that must be there.
    fn get(&self, dir: &F::Dir, name: &Name) -> Result<Name, FileError> {
        match self.limits() {
            None => Ok(name.clone()),
            Some(learned) => self.find(&learned, dir, name)?.ok_or_else(not_found),
        }
    }

    /// Makes a new entry of that name, in the form that is free for it.
    fn put<T>(&self, dir: &F::Dir, name: &Name, make: impl Fn(&Name) -> Result<T, FileError>) -> Result<T, FileError> {
        let Some(learned) = self.limits() else { return make(name) };
        let rules = &learned.rules;
        if rules.folds && self.find(&learned, dir, name)?.is_some() {
            return Err(FileError::new(FileErrorKind::Exists, "File exists"));
        }
        if let Some(plain) = rules.plain(name) {
            match make(&plain) {
                Err(error) if error.kind == FileErrorKind::Exists && rules.folds => {
                    if self.stands(rules, dir, &plain)? {
                        return Err(error);
                    }
                }
                made => return made,
            }
        }
        make(&self.write_down(&learned, name)?)
    }

    /// The marked form of a name, and if it is cut, the book has it.
    fn write_down(&self, learned: &Learned<F>, name: &Name) -> Result<Name, FileError> {
        let Marked { stored, cut } = learned.rules.marked(name);
        if let Some(key) = cut {
            learned.book.write_down(&self.raw, key, name)?;
        }
        Ok(stored)
    }

    /// Names of a listing; of two entries that stand for one name, the marked one stands for what it is called.
    fn meanings(learned: &Learned<F>, entries: Vec<(Name, Stat)>) -> Vec<(Name, Stat)> {
        let spelled: BTreeSet<Name> = entries.iter().map(|(stored, _)| stored.clone()).collect();
        let name = |stored: Name| {
            let meant = learned.meaning(&stored);
            let plain = learned.rules.plain(&meant).filter(|plain| !learned.rules.is_same(plain, &stored));
            // A disk that spells otherwise than it is asked shows what it has in that spelling.
            let is_double = plain.is_some_and(|plain| spelled.iter().any(|other| learned.rules.is_same(&plain, other)));
            if is_double { stored } else { meant }
        };
        let mut listed: Vec<(Name, Stat)> = entries.into_iter().map(|(stored, stat)| (name(stored), stat)).collect();
        listed.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        listed.dedup_by(|one, other| one.0 == other.0);
        listed
    }
}

fn not_found() -> FileError {
    FileError::new(FileErrorKind::NotFound, "No such file or directory")
}

impl<F: Files> Files for MappedFiles<F> {
    type Dir = F::Dir;
    type Reader = F::Reader;
    type Writer = F::Writer;

    fn root(&self) -> Result<F::Dir, FileError> {
        self.raw.root()
    }

    fn open_dir(&self, from: &F::Dir, path: &[Name]) -> Result<F::Dir, FileError> {
        let Some(learned) = self.limits() else { return self.raw.open_dir(from, path) };
        let mut at = self.raw.open_dir(from, &[])?;
        for name in path {
            let stored = self.find(&learned, &at, name)?.ok_or_else(not_found)?;
            at = self.raw.open_dir(&at, &[stored])?;
        }
        Ok(at)
    }

    fn stat_dir(&self, dir: &F::Dir) -> Result<Stat, FileError> {
        self.raw.stat_dir(dir)
    }

    fn list(&self, dir: &F::Dir) -> Result<Vec<(Name, Stat)>, FileError> {
        let entries = self.raw.list(dir)?;
        Ok(match self.limits() {
            None => entries,
            Some(learned) => Self::meanings(&learned, entries),
        })
    }

    fn stat(&self, dir: &F::Dir, name: &Name) -> Result<Option<Stat>, FileError> {
        let Some(learned) = self.limits() else { return self.raw.stat(dir, name) };
        match self.find(&learned, dir, name)? {
            Some(stored) => self.raw.stat(dir, &stored),
            None => Ok(None),
        }
    }

    fn read(&self, dir: &F::Dir, name: &Name) -> Result<(F::Reader, Stat), FileError> {
        self.raw.read(dir, &self.get(dir, name)?)
    }

    fn stat_reader(&self, file: &F::Reader) -> Result<Stat, FileError> {
        self.raw.stat_reader(file)
    }

    fn read_range(&self, dir: &F::Dir, name: &Name, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        self.raw.read_range(dir, &self.get(dir, name)?, offset, len)
    }

    fn read_link(&self, dir: &F::Dir, name: &Name) -> Result<Vec<u8>, FileError> {
        self.raw.read_link(dir, &self.get(dir, name)?)
    }

    fn create(&self, dir: &F::Dir, name: &Name) -> Result<F::Writer, FileError> {
        self.put(dir, name, |stored| self.raw.create(dir, stored))
    }

    fn make_dir(&self, dir: &F::Dir, name: &Name) -> Result<(), FileError> {
        self.put(dir, name, |stored| self.raw.make_dir(dir, stored))
    }

    fn make_link(&self, dir: &F::Dir, name: &Name, target: &[u8]) -> Result<(), FileError> {
        self.put(dir, name, |stored| self.raw.make_link(dir, stored, target))
    }

    fn set_mtime(&self, dir: &F::Dir, name: &Name, mtime: Timestamp) -> Result<(), FileError> {
        self.raw.set_mtime(dir, &self.get(dir, name)?, mtime)
    }

    fn set_executable(&self, dir: &F::Dir, name: &Name, executable: bool) -> Result<(), FileError> {
        self.raw.set_executable(dir, &self.get(dir, name)?, executable)
    }

    fn rename(
        &self,
        from: &F::Dir,
        name: &Name,
        to: &F::Dir,
        new_name: &Name,
        mode: RenameMode,
    ) -> Result<(), FileError> {
        let Some(learned) = self.limits() else { return self.raw.rename(from, name, to, new_name, mode) };
        let stored = self.get(from, name)?;
        if mode == RenameMode::Exchange {
            return self.raw.rename(from, &stored, to, &self.get(to, new_name)?, mode);
        }
        if name == new_name && self.raw.stat_dir(from)?.inode == self.raw.stat_dir(to)?.inode {
            return Err(FileError::new(FileErrorKind::Exists, "File exists"));
        }
        self.put(to, new_name, |new| {
            let renamed = self.raw.rename(from, &stored, to, new, RenameMode::NoReplace);
            if renamed.is_ok()
                && let Some(plain) = learned.rules.plain(new_name).filter(|plain| plain != new)
            {
                // What stood in the way may have been the entry itself, in another spelling. Else it stays as it is.
                let _ = self.raw.rename(to, new, to, &plain, RenameMode::NoReplace);
            }
            renamed
        })
    }

    fn remove_file(&self, dir: &F::Dir, name: &Name) -> Result<(), FileError> {
        self.raw.remove_file(dir, &self.get(dir, name)?)
    }

    fn remove_dir(&self, dir: &F::Dir, name: &Name) -> Result<(), FileError> {
        self.raw.remove_dir(dir, &self.get(dir, name)?)
    }

    fn make_durable(&self, files: &[(F::Dir, Name)], dirs: &[F::Dir]) -> Result<(), FileError> {
        if self.limits().is_none() {
            return self.raw.make_durable(files, dirs);
        }
        let files = files.iter().map(|(dir, name)| Ok((dir.clone(), self.get(dir, name)?)));
        self.raw.make_durable(&files.collect::<Result<Vec<_>, FileError>>()?, dirs)
    }

    fn mounts(&self) -> u64 {
        self.raw.mounts()
    }

    fn free_bytes(&self) -> Result<u64, FileError> {
        self.raw.free_bytes()
    }

    fn lock(&self, dir: &F::Dir, name: &Name) -> Result<bool, FileError> {
        self.raw.lock(dir, name)
    }

    fn spelled(&self, dir: &F::Dir, name: &Name) -> Result<Option<Name>, FileError> {
        match self.limits() {
            None => self.raw.spelled(dir, name),
            Some(learned) => self.find(&learned, dir, name),
        }
    }

    fn name_rules(&self) -> Option<NameRules> {
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        learned.as_ref().map(|learned| learned.rules)
    }

    fn learn_names(&self, scratch: &F::Dir) -> Result<(), FileError> {
        let rules = match self.raw.name_rules() {
            Some(rules) => rules,
            None => probe::name_rules(&self.raw, scratch)?,
        };
        let book = if rules.hold_all() { Book::empty(scratch) } else { Book::open(&self.raw, scratch)? };
        let learned = Some(Arc::new(Learned { rules, book }));
        *self.learned.write().unwrap_or_else(PoisonError::into_inner) = learned;
        Ok(())
    }

    fn taken_for(&self, dir: &F::Dir, name: &Name) -> Result<Option<Name>, FileError> {
        let Some(learned) = self.limits().filter(|learned| learned.rules.folds) else { return Ok(None) };
        let Some(plain) = learned.rules.plain(name) else { return Ok(None) };
        Ok(self.raw.spelled(dir, &plain)?.map(|stored| learned.meaning(&stored)).filter(|meant| meant != name))
    }

    fn tidy_names(&self, dir: &F::Dir) -> Result<(), FileError> {
        let Some(learned) = self.limits().filter(|learned| learned.rules.folds) else { return Ok(()) };
        for (stored, _) in self.raw.list(dir)? {
            let meant = learned.meaning(&stored);
            let Some(plain) = learned.rules.plain(&meant).filter(|plain| !learned.rules.is_same(plain, &stored)) else {
                continue;
            };
            if self.raw.stat(dir, &plain)?.is_none() {
                match self.raw.rename(dir, &stored, dir, &plain, RenameMode::NoReplace) {
                    Err(error) if !matches!(error.kind, FileErrorKind::Exists | FileErrorKind::NotFound) => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn shown_otherwise(&self, dir: &F::Dir, name: &Name) -> Result<Option<Name>, FileError> {
        let Some(learned) = self.limits() else { return Ok(None) };
        Ok(self.find(&learned, dir, name)?.filter(|stored| !learned.rules.is_same(name, stored)))
    }
}
