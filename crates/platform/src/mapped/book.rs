//! The names that were cut, by the key that stands in the entry: one small file each, beside the marker of the root.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use skep_types::Name;

use crate::{FileError, FileErrorKind, Files};

/// The directory of the book.
const BOOK: &str = "names";

/// See the module.
pub(super) struct Book<F: Files> {
    /// Where its directory is, or will be.
    above: F::Dir,
    names: Mutex<BTreeMap<u64, Name>>,
}

impl<F: Files> Book<F> {
    /// A book without names.
    pub(super) fn empty(above: &F::Dir) -> Book<F> {
        Book { above: above.clone(), names: Mutex::default() }
    }

    /// Reads the book in `above`, if there is one.
    pub(super) fn open(raw: &F, above: &F::Dir) -> Result<Book<F>, FileError> {
        let mut names = BTreeMap::new();
        match raw.open_dir(above, &[book()]) {
            Err(error) if error.kind == FileErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(dir) => {
                for (entry, _) in raw.list(&dir)? {
                    let Ok(key) = u64::from_str_radix(&entry.display(), 16) else { continue };
                    let mut bytes = Vec::new();
                    let (reader, _) = raw.read(&dir, &entry)?;
                    reader.take(Name::BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
                    // One that a power cut left half written is written again when it is used again.
                    names.extend(Name::new(bytes).ok().map(|name| (key, name)));
                }
            }
        }
        Ok(Book { above: above.clone(), names: Mutex::new(names) })
    }

    /// The name with this key.
    pub(super) fn name(&self, key: u64) -> Option<Name> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// The book has the name, durably.
    pub(super) fn write_down(&self, raw: &F, key: u64, name: &Name) -> Result<(), FileError> {
        if self.name(key).as_ref() == Some(name) {
            return Ok(());
        }
        match raw.make_dir(&self.above, &book()) {
            Err(error) if error.kind != FileErrorKind::Exists => return Err(error),
            _ => {}
        }
        let dir = raw.open_dir(&self.above, &[book()])?;
        let entry = Name::new(format!("{key:016x}")).expect("digits are a name");
        match raw.remove_file(&dir, &entry) {
            Err(error) if error.kind != FileErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut writer = raw.create(&dir, &entry)?;
        writer.write_all(name.as_bytes()).map_err(|error| failed(&error))?;
        drop(writer);
        raw.make_durable(&[(dir.clone(), entry)], &[dir, self.above.clone()])?;
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(key, name.clone());
        Ok(())
    }
}

fn book() -> Name {
    Name::try_from(BOOK).expect("a word is a name")
}

fn failed(error: &std::io::Error) -> FileError {
    FileError::new(FileErrorKind::Other, error.to_string())
}
