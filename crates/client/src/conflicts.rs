//! Ends a conflict on the disk, as a person would: what is not kept goes to the safe, and its deletion is then synced as any other.
//!
//! Invariant: nothing here removes a file: what is not kept lies in the safe under a name that tells what it was.

use skep_planner::TwoVersions;
use skep_platform::{FileError, FileErrorKind, Files, RenameMode};
use skep_types::{Kind, Name, Stat};

use crate::root::{Root, RootError};
use crate::safe::{self, Displaced, SafeNames};

/// Names that are tried for a copy that is kept beside its original.
const NAMES_TRIED_MAX: u32 = 100;

/// What is kept of two versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The file that has the name.
    Original,
    /// The copy, which gets the name.
    Copy,
    /// Both; the copy gets a name that is not that of a conflict copy.
    Both,
}

/// A conflict was not ended; both versions are where they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The path is not that of a conflict copy that is there.
    #[error("there is no second version of that name")]
    NoCopy,
    /// What is to be kept is not there.
    #[error("there is no file of the original name")]
    NoOriginal,
    /// A directory cannot be displaced whole.
    #[error("one of the two is a directory: only both can be kept")]
    Directory,
    /// A program changed one of the two meanwhile.
    #[error("one of the two changed in this moment")]
    Changed,
    /// The disk.
    #[error(transparent)]
    Disk(#[from] FileError),
    /// The folder.
    #[error(transparent)]
    Root(#[from] RootError),
}

/// Ends the conflict of the copy at `path`. `random` makes names in the safe unique.
pub(crate) fn resolve<F: Files>(
    root: &Root<F>,
    path: &[Name],
    keep: Keep,
    random: [u8; 4],
) -> Result<(), ResolveError> {
    root.check_in_place()?;
    let (name, above) = path.split_last().ok_or(ResolveError::NoCopy)?;
    let told = TwoVersions::of(name).ok_or(ResolveError::NoCopy)?;
    let dir = root.open_beneath(above)?;
    let pair = Pair { root, dir, copy: name, original: &told.original, random };
    let copy = pair.stat(name)?.ok_or(ResolveError::NoCopy)?;
    pair.end(keep, &copy, &told)
}

struct Pair<'a, F: Files> {
    root: &'a Root<F>,
    dir: F::Dir,
    copy: &'a Name,
    original: &'a Name,
    random: [u8; 4],
}

impl<F: Files> Pair<'_, F> {
    fn end(self, keep: Keep, copy: &Stat, told: &TwoVersions) -> Result<(), ResolveError> {
        let original = self.stat(self.original)?;
        match keep {
            Keep::Original => {
                original.ok_or(ResolveError::NoOriginal)?;
                displace(&self, copy)?;
            }
            Keep::Copy => match original {
                None => self.rename(self.original)?,
                Some(original) if is_directory(copy) || is_directory(&original) => return Err(ResolveError::Directory),
                Some(original) => {
                    // In one step, so that the name is never free: a scan would take that for a deletion.
                    let (files, dir) = (&self.root.files, &self.dir);
                    let exchange = || files.rename(dir, self.copy, dir, self.original, RenameMode::Exchange);
                    exchange()?;
                    if let Err(error) = displace(&self, &original) {
                        exchange()?;
                        return Err(error);
                    }
                }
            },
            Keep::Both => self.rename_beside(told)?,
        }
        Ok(self.root.files.make_durable(&[], &[self.dir.clone(), self.root.safe.clone()])?)
    }

    fn stat(&self, name: &Name) -> Result<Option<Stat>, ResolveError> {
        Ok(self.root.files.stat(&self.dir, name)?)
    }

    fn rename(&self, to: &Name) -> Result<(), ResolveError> {
        Ok(self.root.files.rename(&self.dir, self.copy, &self.dir, to, RenameMode::NoReplace)?)
    }

    /// `report (thinkpad, 2026-11-20 14.03.07).odt`, numbered if that is taken.
    fn rename_beside(&self, told: &TwoVersions) -> Result<(), ResolveError> {
        let (stem, extension) = told.original.split_extension();
        let time = if told.time.is_empty() { String::new() } else { format!(", {}", told.time) };
        for number in 1..=NAMES_TRIED_MAX {
            let number = if number == 1 { String::new() } else { format!(", {number}") };
            // Shorter than the name that it has, but for the number.
            let notice = format!(" ({}{time}{number})", told.device);
            let Ok(plain) = Name::new([stem, notice.as_bytes(), extension].concat()) else { break };
            match self.rename(&plain) {
                Err(ResolveError::Disk(error)) if error.kind == FileErrorKind::Exists => {}
                renamed => return renamed,
            }
        }
        Err(FileError::new(FileErrorKind::Exists, "too many versions of one file").into())
    }
}

/// Moves what stands at the copy's name, which should be `expected`, to the safe. What is something else comes back.
fn displace<F: Files>(pair: &Pair<'_, F>, expected: &Stat) -> Result<(), ResolveError> {
    if is_directory(expected) {
        return Err(ResolveError::Directory);
    }
    match safe::displace(pair.root, &pair.dir, pair.copy, expected, &mut SafeNames::new(pair.random))? {
        Displaced::Kept => Ok(()),
        Displaced::Back => Err(ResolveError::Changed),
    }
}

fn is_directory(stat: &Stat) -> bool {
    stat.kind == Some(Kind::Directory)
}
