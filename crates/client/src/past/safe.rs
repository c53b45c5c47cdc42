//! The safe of a synced folder, for commands: what had to give way on this computer, and how it comes back.

use skep_platform::{FileError, FileErrorKind, Files, RenameMode};
use skep_types::{Name, Stat, Timestamp};

use super::restored_name;
use crate::root::{RootError, RootId, marker_of, name, own_dir};
use crate::safe::displaced_name;

/// Names that are tried for one file that comes back.
const NAMES_TRIED_MAX: u32 = 1_000;

/// A file in the safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeEntry {
    /// What it is called there.
    pub entry: Name,
    /// What it was called in the folder; a very long name is cut.
    pub name: Name,
    /// As it is.
    pub stat: Stat,
}

impl SafeEntry {
    /// When it had to give way.
    pub fn displaced(&self) -> Timestamp {
        self.stat.ctime
    }
}

/// The safe of a root, beside a running client or without one: nothing is locked, for a file goes out by one rename.
#[derive(Debug, Clone)]
pub struct SafeOfRoot<F: Files> {
    files: F,
    folder: F::Dir,
    safe: F::Dir,
}

impl<F: Files> SafeOfRoot<F> {
    /// Opens that of the root with this id.
    pub fn open(files: &F, expected: RootId) -> Result<SafeOfRoot<F>, RootError> {
        match marker_of(files)? {
            Some(marker) if marker.id == expected => {}
            Some(_) => return Err(RootError::Other),
            None => return Err(RootError::Missing("it has no marker".into())),
        }
        let folder = files.root()?;
        let own = files.open_dir(&folder, &[own_dir()])?;
        files.learn_names(&own)?;
        let safe = files.open_dir(&own, &[name("trash")])?;
        Ok(SafeOfRoot { files: files.clone(), folder, safe })
    }

    /// What was displaced, the last first. What should not be in the safe is left to the client.
    pub fn entries(&self) -> Result<Vec<SafeEntry>, FileError> {
        let listed = self.files.list(&self.safe)?.into_iter();
        let mut entries: Vec<SafeEntry> = listed
            .filter_map(|(entry, stat)| displaced_name(&entry, &stat).map(|name| SafeEntry { entry, name, stat }))
            .collect();
        entries.sort_by(|one, other| (other.displaced(), &other.entry).cmp(&(one.displaced(), &one.entry)));
        Ok(entries)
    }

    /// Opens an entry for reading.
    pub fn read(&self, entry: &Name) -> Result<F::Reader, FileError> {
        self.files.read(&self.safe, entry).map(|(reader, _)| reader)
    }

    /// Moves an entry into the folder, as a person would: to `path` if nothing stands there, else beside it; gives the path that it
    /// has then. A client that runs sees a new file.
    pub fn take_out(&self, entry: &Name, path: &[Name]) -> Result<Vec<Name>, FileError> {
        let (last, above) = path
            .split_last()
            .ok_or_else(|| FileError::new(FileErrorKind::BadName, "the folder itself cannot be restored"))?;
        let mut dir = self.folder.clone();
        let mut made = Vec::new();
        for name in above {
            match self.files.make_dir(&dir, name) {
                Ok(()) => made.push(dir.clone()),
                Err(error) if error.kind == FileErrorKind::Exists => {}
                Err(error) => return Err(error),
            }
            dir = self.files.open_dir(&dir, std::slice::from_ref(name))?;
        }
        for taken in 0..NAMES_TRIED_MAX {
            let visible = restored_name(last, taken);
            match self.files.rename(&self.safe, entry, &dir, &visible, RenameMode::NoReplace) {
                Ok(()) => {
                    made.extend([dir, self.safe.clone()]);
                    self.files.make_durable(&[], &made)?;
                    return Ok([above, &[visible]].concat());
                }
                Err(error) if error.kind == FileErrorKind::Exists => {}
                Err(error) => return Err(error),
            }
        }
        Err(FileError::new(FileErrorKind::Exists, "too many restored versions of one file"))
    }
}
