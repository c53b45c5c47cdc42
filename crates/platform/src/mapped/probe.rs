//! Which names a disk can hold, found out by making some and looking what became of them.

use skep_types::{Alphabet, Name, NameRules};

use crate::{FileError, FileErrorKind, Files};

/// Where names are tried out.
const PROBE: &str = "probe";
/// Names that a disk with Windows' rules refuses, or spells otherwise.
const NOT_FOR_WINDOWS: [&[u8]; 4] = [b"a:b", b"a?b", b"a\\b", b"a."];
/// Longest names that some disks hold.
const LENGTHS: [usize; 3] = [Name::BYTES_MAX, 200, 143];

/// Tries names out in a directory of our own in `scratch`, which is gone afterwards.
pub(super) fn name_rules<F: Files>(raw: &F, scratch: &F::Dir) -> Result<NameRules, FileError> {
    let probe = Name::try_from(PROBE).expect("a word is a name");
    clear(raw, scratch, &probe)?;
    raw.make_dir(scratch, &probe)?;
    let dir = raw.open_dir(scratch, std::slice::from_ref(&probe))?;
    let rules = try_names(raw, &dir)?;
    clear(raw, scratch, &probe)?;
    Ok(rules)
}

fn try_names<F: Files>(raw: &F, dir: &F::Dir) -> Result<NameRules, FileError> {
    let (composed, decomposed) = ("n\u{e9}", "ne\u{301}");
    let holds =
        |bytes: &[u8]| Ok::<bool, FileError>(spelling(raw, dir, bytes)?.is_some_and(|name| name.as_bytes() == bytes));
    let is_there = |bytes: &[u8]| Ok::<bool, FileError>(raw.stat(dir, &name(bytes))?.is_some());
    holds(b"case")?;
    let folds_case = is_there(b"CASE")?;
    let stored = spelling(raw, dir, composed.as_bytes())?;
    let normalises = stored.is_some_and(|stored| stored.as_bytes() == decomposed.as_bytes());
    let folds_form = is_there(decomposed.as_bytes())?;
    let is_windows =
        !NOT_FOR_WINDOWS.iter().map(|bytes| holds(bytes)).collect::<Result<Vec<_>, _>>()?.iter().all(|holds| *holds);
    let alphabet = match holds(b"\xff\xc3(")? {
        _ if is_windows => Alphabet::Windows,
        true => Alphabet::Bytes,
        false => Alphabet::Text,
    };
    let mut bytes_max = LENGTHS[LENGTHS.len() - 1];
    for length in LENGTHS {
        if holds(&vec![b'n'; length])? {
            bytes_max = length;
            break;
        }
    }
    Ok(NameRules { alphabet, folds: folds_case || folds_form, normalises, bytes_max })
}

/// Makes an entry of that name; how the disk spells it, or that it refuses it.
fn spelling<F: Files>(raw: &F, dir: &F::Dir, bytes: &[u8]) -> Result<Option<Name>, FileError> {
    let before: Vec<Name> = raw.list(dir)?.into_iter().map(|(name, _)| name).collect();
    match raw.create(dir, &name(bytes)) {
        Ok(writer) => drop(writer),
        Err(error) if matches!(error.kind, FileErrorKind::BadName | FileErrorKind::Unsupported) => return Ok(None),
        // As one that the disk took for the same: then it stands as that.
        Err(error) if error.kind == FileErrorKind::Exists => return Ok(None),
        Err(error) => return Err(error),
    }
    let after = raw.list(dir)?.into_iter().map(|(name, _)| name);
    Ok(after.into_iter().find(|name| !before.contains(name)))
}

/// Removes what an earlier try left.
fn clear<F: Files>(raw: &F, scratch: &F::Dir, probe: &Name) -> Result<(), FileError> {
    match raw.open_dir(scratch, std::slice::from_ref(probe)) {
        Ok(dir) => {
            for (entry, _) in raw.list(&dir)? {
                raw.remove_file(&dir, &entry)?;
            }
            raw.remove_dir(scratch, probe)
        }
        Err(error) if error.kind == FileErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn name(bytes: &[u8]) -> Name {
    Name::new(bytes).expect("names that are tried out are names")
}
