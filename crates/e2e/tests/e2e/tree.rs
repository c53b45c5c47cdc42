//! What a synced folder shows: names, kinds, bytes, executable bits, mtimes of files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What stands at a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    Directory,
    Link(PathBuf),
    File { executable: bool, mtime: (i64, i64), bytes: Vec<u8> },
}

/// Everything below a synced folder but the client's own directory.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, Shown> {
    let mut tree = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root.join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            if path == Path::new(".skep") {
                continue;
            }
            let found = entry.metadata().unwrap();
            let shown = if found.is_dir() {
                open.push(path.clone());
                Shown::Directory
            } else if found.is_symlink() {
                Shown::Link(fs::read_link(entry.path()).unwrap())
            } else {
                let executable = found.permissions().mode() & 0o100 != 0;
                let bytes = fs::read(entry.path()).unwrap();
                Shown::File { executable, mtime: (found.mtime(), found.mtime_nsec()), bytes }
            };
            tree.insert(path, shown);
        }
    }
    tree
}

/// The conflict copies in a synced folder, by file name.
pub fn conflict_copies(root: &Path) -> Vec<String> {
    let names = tree(root).into_keys().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    names.filter(|name| name.contains(" (two versions, ")).collect()
}
