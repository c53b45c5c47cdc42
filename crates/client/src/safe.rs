//! The safe: where displaced files lie, and how one that should not have been displaced comes back.
//!
//! Every entry carries in its name what was meant to be displaced; see `docs/formats/root.md`. So nothing that a person wrote is lost
//! when the process is killed between a rename and the check of what it moved.

use skep_platform::{FileError, FileErrorKind, Files, RenameMode};
use skep_types::{Kind, Name, Stat, Timestamp, product};

use crate::root::Root;

/// Bytes before the name: number, two fingerprints, three dots.
const PREFIX_BYTES: usize = 12 + 16 + 16 + 3;
/// Unique names that are tried for one file that comes back.
const NAMES_TRIED_MAX: u32 = 1_000;

/// What a stat shows, as far as a rename leaves it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// Of nothing.
    pub(crate) const NONE: Fingerprint = Fingerprint(0);

    pub(crate) fn of(stat: &Stat) -> Fingerprint {
        let kind = match stat.kind {
            None => 0u8,
            Some(Kind::File) => 1,
            Some(Kind::Directory) => 2,
            Some(Kind::Symlink) => 3,
            Some(Kind::Mount) => 4,
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind]).update(&stat.inode.to_le_bytes()).update(&stat.size.to_le_bytes());
        hasher.update(&stat.mtime.seconds.to_le_bytes()).update(&stat.mtime.nanoseconds.to_le_bytes());
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        Fingerprint(u64::from_be_bytes(first))
    }
}

/// Gives names in the safe: unique by a random start.
#[derive(Debug)]
pub(crate) struct SafeNames {
    random: u32,
    given: u16,
}

impl SafeNames {
    /// Names that start with `random`; at most 65,536 of them.
    pub(crate) fn new(random: [u8; 4]) -> SafeNames {
        SafeNames { random: u32::from_be_bytes(random), given: 0 }
    }

    pub(crate) fn next(&mut self, expected: Fingerprint, ours: Fingerprint, name: &Name) -> Name {
        let prefix = format!("{:08x}{:04x}.{:016x}.{:016x}.", self.random, self.given, expected.0, ours.0);
        self.given = self.given.wrapping_add(1);
        let kept = &name.as_bytes()[..name.as_bytes().len().min(Name::BYTES_MAX - PREFIX_BYTES)];
        Name::new([prefix.as_bytes(), kept].concat()).expect("a short prefix before a cut name is a name")
    }
}

/// An entry of the safe, by its name.
struct Kept {
    expected: Fingerprint,
    ours: Fingerprint,
    name: Name,
}

impl Kept {
    fn parse(entry: &Name) -> Option<Kept> {
        let (prefix, name) = entry.as_bytes().split_at_checked(PREFIX_BYTES)?;
        let prefix = std::str::from_utf8(prefix).ok()?;
        let mut parts = prefix.split('.').skip(1);
        let mut fingerprint = || u64::from_str_radix(parts.next()?, 16).ok().map(Fingerprint);
        Some(Kept { expected: fingerprint()?, ours: fingerprint()?, name: Name::new(name).ok()? })
    }
}

/// What came of [`displace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Displaced {
    /// What was expected lies in the safe.
    Kept,
    /// It was something else, or could not be examined: it stands where it stood, or beside.
    Back,
}

/// Moves `dir/name`, which should be `expected`, to the safe.
pub(crate) fn displace<F: Files>(
    root: &Root<F>,
    dir: &F::Dir,
    name: &Name,
    expected: &Stat,
    names: &mut SafeNames,
) -> Result<Displaced, FileError> {
    let (files, safe) = (&root.files, &root.safe);
    let kept = names.next(Fingerprint::of(expected), Fingerprint::NONE, name);
    files.rename(dir, name, safe, &kept, RenameMode::NoReplace)?;
    if matches!(files.stat(safe, &kept), Ok(Some(stat)) if matches(&stat, expected)) {
        return Ok(Displaced::Kept);
    }
    if files.rename(safe, &kept, dir, name, RenameMode::NoReplace).is_err() {
        put_beside(root, safe, &kept, dir, name)?;
    }
    Ok(Displaced::Back)
}

/// Whether what is found is what was expected, as far as a rename leaves it alone.
pub(crate) fn matches(found: &Stat, expected: &Stat) -> bool {
    let same_bytes = found.size == expected.size && found.mtime == expected.mtime;
    let is_directory = expected.kind == Some(Kind::Directory);
    same_thing(found, expected) && (is_directory || (same_bytes && found.executable == expected.executable))
}

/// Whether both are stats of one file, directory or symlink.
pub(crate) fn same_thing(one: &Stat, other: &Stat) -> bool {
    one.kind == other.kind && one.inode == other.inode
}

/// Looks through the safe: puts back what should not be there, and drops what was there longer than `keep_ms`. Gives back the names in
/// the root under which files came back.
pub(crate) fn look_through<F: Files>(root: &Root<F>, now: Timestamp, keep_ms: u64) -> Result<Vec<Name>, FileError> {
    let mut back = Vec::new();
    for (entry, stat) in root.files.list(&root.safe)? {
        let Some(kept) = Kept::parse(&entry) else { continue };
        let found = Fingerprint::of(&stat);
        if found == kept.ours {
            // Ours, left by a kill before the exchange or after it was taken back.
            root.files.remove_file(&root.safe, &entry)?;
        } else if found != kept.expected {
            back.push(put_beside(root, &root.safe, &entry, &root.dir, &kept.name)?);
        } else if stat.ctime.plus_milliseconds(keep_ms) < now {
            root.files.remove_file(&root.safe, &entry)?;
        }
    }
    if !back.is_empty() {
        root.files.make_durable(&[], &[root.dir.clone(), root.safe.clone()])?;
    }
    Ok(back)
}

/// The entries of the safe that came there when a file of which `stat` was expected was displaced, and what they were called.
pub(crate) fn displaced_as<F: Files>(root: &Root<F>, stat: &Stat) -> Result<Vec<(Name, Name)>, FileError> {
    let expected = Fingerprint::of(stat);
    let entries = root.files.list(&root.safe)?.into_iter();
    let kept = entries.filter_map(|(entry, _)| Kept::parse(&entry).map(|kept| (entry, kept)));
    Ok(kept.filter(|(_, kept)| kept.expected == expected).map(|(entry, kept)| (entry, kept.name)).collect())
}

/// What an entry of the safe was called, if it is one that had to give way and not something that looking through will put right.
pub(crate) fn displaced_name(entry: &Name, stat: &Stat) -> Option<Name> {
    Kept::parse(entry).filter(|kept| kept.expected == Fingerprint::of(stat)).map(|kept| kept.name)
}

/// Moves `from/entry`, which a person wrote, to where people see it: into `to`, under a name made from `name` that nothing has.
pub(crate) fn put_beside<F: Files>(
    root: &Root<F>,
    from: &F::Dir,
    entry: &Name,
    to: &F::Dir,
    name: &Name,
) -> Result<Name, FileError> {
    for number in 1..=NAMES_TRIED_MAX {
        let visible = beside(name, number);
        match root.files.rename(from, entry, to, &visible, RenameMode::NoReplace) {
            Ok(()) => return Ok(visible),
            Err(error) if error.kind == FileErrorKind::Exists => {}
            Err(error) => return Err(error),
        }
    }
    Err(FileError::new(FileErrorKind::Exists, "too many second versions of one file"))
}

/// `report (two versions, kept 1).odt`, cut so that it is a name.
fn beside(name: &Name, number: u32) -> Name {
    let (stem, extension) = name.split_extension();
    let middle = format!("{}kept {number})", product::TWO_VERSIONS);
    let room = Name::BYTES_MAX - middle.len();
    let extension = &extension[..extension.len().min(room / 2)];
    let mut stem = &stem[..stem.len().min(room - extension.len())];
    // Not within a character: some file systems take only whole ones.
    while name.as_bytes().get(stem.len()).is_some_and(|byte| byte & 0xc0 == 0x80) && stem.len() > room / 2 {
        stem = &stem[..stem.len() - 1];
    }
    Name::new([stem, middle.as_bytes(), extension].concat()).expect("what was cut to fit is a name")
}
