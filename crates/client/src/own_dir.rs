//! Directories of Skep's own beneath the root: another synced folder, a server's data, a client's home. They are passed over as
//! another file system is, for what is in them is written by somebody else who does not expect us.

use skep_platform::{FileError, FileErrorKind, Files};
use skep_types::{Kind, Name, OwnDir};

use crate::root::{Root, name, own_dir};

impl<F: Files> Root<F> {
    /// Opens a directory beneath the root, if neither it nor one above it is another's.
    pub(crate) fn open_beneath(&self, path: &[Name]) -> Result<F::Dir, FileError> {
        for depth in 1..=path.len() {
            if let Some(kind) = own_kind(&self.files, &self.dir, &path[..depth])? {
                return Err(FileError::new(FileErrorKind::WrongKind, format!("It is {}", kind.words())));
            }
        }
        self.files.open_dir(&self.dir, path)
    }
}

/// What of ours the directory at `path` is; `None` also if there is none, or none that may be entered.
pub(crate) fn own_kind<F: Files>(files: &F, from: &F::Dir, path: &[Name]) -> Result<Option<OwnDir>, FileError> {
    let marker: Vec<Name> = path.iter().cloned().chain([own_dir()]).collect();
    match files.open_dir(from, &marker) {
        Ok(own) => {
            let is_marked = files.stat(&own, &name("root"))?.is_some_and(|stat| stat.kind == Some(Kind::File));
            Ok(is_marked.then_some(OwnDir::Folder))
        }
        Err(error) => match error.kind {
            FileErrorKind::NotFound | FileErrorKind::Denied => Ok(None),
            FileErrorKind::WrongKind => told_by_file(files, from, path),
            _ => Err(error),
        },
    }
}

fn told_by_file<F: Files>(files: &F, from: &F::Dir, path: &[Name]) -> Result<Option<OwnDir>, FileError> {
    // What stands in the way of the path itself is found by whoever goes there.
    let Ok(dir) = files.open_dir(from, path) else { return Ok(None) };
    let stat = files.stat(&dir, &own_dir())?;
    if !stat.is_some_and(|stat| stat.kind == Some(Kind::File) && stat.size <= OwnDir::FILE_BYTES_MAX as u64) {
        return Ok(None);
    }
    let text = files.read_range(&dir, &own_dir(), 0, OwnDir::FILE_BYTES_MAX);
    Ok(text.ok().and_then(|text| OwnDir::from_file_text(&text)))
}
