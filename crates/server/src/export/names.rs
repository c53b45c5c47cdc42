//! Names where the target cannot have them all: some file systems take `A` and `a` for one, and not every letter.

use skep_platform::{FileError, FileErrorKind};
use skep_types::Name;

/// Names that are tried for one file.
const NAMES_TRIED_MAX: u32 = 1_000;
/// What some file systems do not take in a name.
const NOT_EVERYWHERE: &str = "\\:*?\"<>|";

/// Makes something new by its name; where the target has that name already, as `name (2).ext`; where it cannot have such a name, with `_`
/// for what it may not like.
pub fn new_name<T>(name: &Name, make: impl Fn(&Name) -> Result<T, FileError>) -> Result<(Name, T), FileError> {
    let (mut base, mut number) = (name.clone(), 1);
    while number < NAMES_TRIED_MAX {
        let tried = numbered(&base, number);
        match make(&tried) {
            Ok(made) => return Ok((tried, made)),
            Err(error) if error.kind == FileErrorKind::Exists => number += 1,
            Err(error) if error.kind == FileErrorKind::BadName && base != plain(name) => base = plain(name),
            Err(error) => return Err(error),
        }
    }
    Err(FileError::new(FileErrorKind::Exists, "too many names that the disk takes for one"))
}

/// A name that every file system takes.
fn plain(name: &Name) -> Name {
    let is_bad =
        |letter: char| letter.is_control() || letter == char::REPLACEMENT_CHARACTER || NOT_EVERYWHERE.contains(letter);
    let text = name.display().replace(is_bad, "_");
    Name::new(text.trim_end_matches([' ', '.'])).unwrap_or_else(|_| Name::new("_").expect("a plain letter is a name"))
}

fn numbered(name: &Name, number: u32) -> Name {
    if number == 1 {
        return name.clone();
    }
    let notice = format!(" ({number})");
    let (stem, extension) = name.split_extension();
    let extension = if extension.len() + notice.len() < Name::BYTES_MAX { extension } else { &[] };
    let stem = &stem[..stem.len().min(Name::BYTES_MAX - notice.len() - extension.len())];
    Name::new([stem, notice.as_bytes(), extension].concat()).expect("what was cut to fit is a name")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_disk_that_takes_less_gets_every_file_all_the_same() {
        // As FAT: no colons, no difference between capitals and small letters.
        let there: RefCell<BTreeSet<String>> = RefCell::default();
        let make = |name: &Name| match std::str::from_utf8(name.as_bytes()) {
            Ok(text) if !text.contains(':') => match there.borrow_mut().insert(text.to_lowercase()) {
                true => Ok(()),
                false => Err(FileError::new(FileErrorKind::Exists, "there")),
            },
            _ => Err(FileError::new(FileErrorKind::BadName, "bad")),
        };
        let rows: [(&[u8], &str); 6] = [
            (b"A.txt", "A.txt"),
            (b"a.txt", "a (2).txt"),
            (b"a.TXT", "a (3).TXT"),
            (b"12:30", "12_30"),
            (b"12_30", "12_30 (2)"),
            (b"\xff\xfe", "__"),
        ];
        for (name, expected) in rows {
            let (made, ()) = new_name(&Name::new(name).unwrap(), make).unwrap();
            assert_eq!(made.display(), expected);
        }
        let full = |_: &Name| Err::<(), _>(FileError::new(FileErrorKind::NoSpace, "full"));
        assert_eq!(new_name(&Name::try_from("x").unwrap(), full).unwrap_err().kind, FileErrorKind::NoSpace);
    }
}
