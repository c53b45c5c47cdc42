//! Getting a damaged file of our own out of the way.

use std::io;
use std::path::{Path, PathBuf};

/// Copies of one file that are kept aside; a machine that damages more has another problem.
const ASIDE_MAX: u32 = 1_000;

/// Renames a database of ours to `….damaged-N`, with the files that belong to it, and gives back its new name.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let suffixed = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = (1..=ASIDE_MAX)
        .map(|number| suffixed(path, &format!(".damaged-{number}")))
        .find(|aside| !aside.exists())
        .ok_or_else(|| io::Error::other("too many damaged files were set aside already"))?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::rename(suffixed(path, suffix), suffixed(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}
