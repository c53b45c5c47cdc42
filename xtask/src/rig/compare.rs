//! Whether two synced folders hold the same: names, kinds and every byte.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The directory in a synced root that is the client's own.
const OWN_DIRECTORY: &str = ".skep";
/// Bytes compared at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What stands at a path, as far as a listing tells.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// A directory.
    Directory,
    /// A file of this size.
    File(u64),
    /// A link to this target.
    Link(PathBuf),
    /// A socket or the like.
    Other,
}

/// The first difference between two folders, as a sentence; `None` if there is none.
///
/// Names and sizes are compared first, so that asking again and again while files arrive stays cheap.
pub fn difference(one: &Path, other: &Path) -> Result<Option<String>> {
    let (Some(left), Some(right)) = (listing(one)?, listing(other)?) else {
        return Ok(Some("a folder changed while it was read".to_owned()));
    };
    if let Some(difference) = listings_difference(&left, &right) {
        return Ok(Some(difference));
    }
    for (path, shape) in &left {
        if matches!(shape, Shape::File(1..)) && !same_bytes(&one.join(path), &other.join(path))? {
            return Ok(Some(format!("`{}` has other bytes", path.display())));
        }
    }
    Ok(None)
}

fn listings_difference(left: &BTreeMap<PathBuf, Shape>, right: &BTreeMap<PathBuf, Shape>) -> Option<String> {
    for (path, shape) in left {
        match right.get(path) {
            None => {
                return Some(format!(
                    "`{}` is only in the first ({} of {} there)",
                    path.display(),
                    right.len(),
                    left.len()
                ));
            }
            Some(there) if there != shape => return Some(format!("`{}` is {shape:?} and {there:?}", path.display())),
            Some(_) => {}
        }
    }
    let extra = right.keys().find(|path| !left.contains_key(*path))?;
    Some(format!("`{}` is only in the second", extra.display()))
}

/// Everything below `root` but the client's own directory; `None` if something vanished under the reader's eyes.
fn listing(root: &Path) -> Result<Option<BTreeMap<PathBuf, Shape>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let Some(entries) = unless_gone(fs::read_dir(root.join(&directory)))? else { return Ok(None) };
        for entry in entries {
            let Some(entry) = unless_gone(entry)? else { return Ok(None) };
            let path = directory.join(entry.file_name());
            if path == Path::new(OWN_DIRECTORY) {
                continue;
            }
            let Some(metadata) = unless_gone(entry.metadata())? else { return Ok(None) };
            let shape = if metadata.is_dir() {
                open.push(path.clone());
                Shape::Directory
            } else if metadata.is_file() {
                Shape::File(metadata.len())
            } else if metadata.is_symlink() {
                let Some(target) = unless_gone(fs::read_link(entry.path()))? else { return Ok(None) };
                Shape::Link(target)
            } else {
                Shape::Other
            };
            found.insert(path, shape);
        }
    }
    Ok(Some(found))
}

fn same_bytes(one: &Path, other: &Path) -> Result<bool> {
    let (Some(one_file), Some(other_file)) = (unless_gone(File::open(one))?, unless_gone(File::open(other))?) else {
        return Ok(false);
    };
    let mut left = Vec::with_capacity(PIECE_BYTES);
    let mut right = Vec::with_capacity(PIECE_BYTES);
    loop {
        left.clear();
        right.clear();
        let limit = PIECE_BYTES as u64;
        (&one_file).take(limit).read_to_end(&mut left).with_context(|| format!("cannot read `{}`", one.display()))?;
        (&other_file)
            .take(limit)
            .read_to_end(&mut right)
            .with_context(|| format!("cannot read `{}`", other.display()))?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

/// Things come and go in a folder that is being synced: what is gone is no error.
fn unless_gone<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot read a synced folder"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use crate::rig::Place;

    #[test]
    fn every_kind_of_difference_is_seen_and_the_clients_own_directory_is_not() -> Result<()> {
        let place = Place::temporary("compare")?;
        let (one, other) = (place.directory("one/d")?, place.directory("other/d")?);
        let roots = [place.path().join("one"), place.path().join("other")];
        let difference = || super::difference(&roots[0], &roots[1]).map(Option::unwrap_or_default);
        std::fs::write(one.join("f"), "abc")?;
        assert!(difference()?.contains("`d/f` is only in the first"));
        std::fs::write(other.join("f"), "abX")?;
        assert!(difference()?.contains("`d/f` has other bytes"));
        std::fs::write(other.join("f"), "ab")?;
        assert!(difference()?.contains("`d/f` is File(3) and File(2)"));
        std::fs::write(other.join("f"), "abc")?;
        place.directory("other/empty")?;
        assert!(difference()?.contains("`empty` is only in the second"));
        place.directory("one/empty")?;
        place.directory("one/.skep/staging")?;
        assert_eq!(difference()?, "");
        Ok(())
    }
}
