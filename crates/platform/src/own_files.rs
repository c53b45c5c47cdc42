//! Our own small files, by path: keys, tokens, settings, locks, logs. Never a file of the user's.
//!
//! A file written here is there wholly or not at all, also after a power cut, and readable by its owner only.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process;

use skep_types::{OwnDir, product};

/// What is kept in a file of ours is at most this long; more is no file of ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The content of a file; `None` if there is none.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is far too long"));
    }
    Ok(Some(bytes))
}

/// Makes or replaces a file in one step. When this returns, it survives a power cut.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(path, bytes)?;
    fs::rename(&temporary, path).inspect_err(|_| forget(&temporary))?;
    sync_parent(path)
}

/// Makes a file that somebody else wrote at `written` the one at `path`, in one step. When this returns, it survives a power cut.
pub fn adopt(written: &Path, path: &Path) -> io::Result<()> {
    File::open(written)?.sync_all()?;
    fs::rename(written, path)?;
    sync_parent(path)
}

/// Adds to the end of a file that others may read, as a person's editor would; makes it if it is not there.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a file in one step; `false` and nothing done if there is one already, so that of two processes one wins.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let temporary = write_temporary(path, bytes)?;
    let linked = fs::hard_link(&temporary, path);
    forget(&temporary);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.and_then(|()| sync_parent(path)).map(|()| true),
    }
}

/// Removes a file if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a directory for the owner only, with all above it; fine if it is there.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes a directory as the user's umask says, with all above it; fine if it is there.
pub fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// The path without links, `.` and `..`. It must exist.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// The path without links, `.` and `..`, as far as it exists; what is not there yet stands behind it as it was named.
pub fn absolute_of_new(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for above in path.ancestors() {
        match absolute(above) {
            Ok(there) => return Ok(there.join(path.strip_prefix(above).unwrap_or(Path::new("")))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

/// Says in a directory of ours what it is, so that it is never synced as part of a folder.
pub fn mark_own_dir(dir: &Path, kind: OwnDir) -> io::Result<()> {
    match kind.file_text() {
        Some(text) if own_dir(dir) != Some(kind) => replace(&dir.join(product::ROOT_DIR), text.as_bytes()),
        _ => Ok(()),
    }
}

/// What of ours a directory is; `None` also for what is not there or may not be read.
pub fn own_dir(dir: &Path) -> Option<OwnDir> {
    let marker = dir.join(product::ROOT_DIR);
    let stat = fs::symlink_metadata(&marker).ok()?;
    if stat.is_dir() {
        return fs::symlink_metadata(marker.join("root")).is_ok_and(|stat| stat.is_file()).then_some(OwnDir::Folder);
    }
    let is_short = stat.is_file() && stat.len() <= OwnDir::FILE_BYTES_MAX as u64;
    let text = is_short.then(|| read(&marker).ok()).flatten().flatten()?;
    OwnDir::from_file_text(&text)
}

/// The first directory beneath `dir` that is ours, the nearest ones first. So many entries at most are looked at; what may not be read
/// is passed over.
pub fn own_dir_beneath(dir: &Path, entries_max: usize) -> Option<(PathBuf, OwnDir)> {
    let mut left = VecDeque::from([dir.to_owned()]);
    let mut entries_left = entries_max;
    while let Some(at) = left.pop_front() {
        let Ok(entries) = fs::read_dir(&at) else { continue };
        for entry in entries.flatten() {
            entries_left = entries_left.checked_sub(1)?;
            if entry.file_name() == product::ROOT_DIR || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let found = entry.path();
            match own_dir(&found) {
                Some(kind) => return Some((found, kind)),
                None => left.push_back(found),
            }
        }
    }
    None
}

/// Whether a directory holds nothing, or is not there.
pub fn is_empty_dir(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        other => Ok(other?.next().is_none()),
    }
}

/// Whether files can be made in a directory: it is there, its rights allow it and its file system takes writes.
pub fn is_writable_dir(path: &Path) -> io::Result<()> {
    let probe = path.join(format!(".probe-{}", process::id()));
    File::create(&probe)?;
    fs::remove_file(&probe)
}

/// Whether there is anything of that path.
pub fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A lock that another process cannot have at the same time; given back when it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock in the file `path`; `None` if another process has it.
pub fn lock(path: &Path) -> io::Result<Option<Lock>> {
    let file = private_options().create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A log file that grows to a bound, then becomes `NAME.1` and begins anew: never more than twice the bound on disk.
#[derive(Debug)]
pub struct BoundedLog {
    path: PathBuf,
    file: File,
    len: u64,
    bytes_max: u64,
}

impl BoundedLog {
    /// Opens a log to go on with.
    pub fn open(path: &Path, bytes_max: u64) -> io::Result<BoundedLog> {
        let file = private_options().create(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(BoundedLog { path: path.to_owned(), file, len, bytes_max })
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut older = self.path.clone().into_os_string();
        older.push(".1");
        fs::rename(&self.path, older)?;
        self.file = private_options().create(true).append(true).open(&self.path)?;
        self.len = 0;
        Ok(())
    }
}

impl Write for BoundedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.len > 0 && self.len + bytes.len() as u64 > self.bytes_max {
            self.begin_anew()?;
        }
        let written = self.file.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes and syncs `bytes` beside `path`. A leftover of a crashed process with our number is ours to replace.
fn write_temporary(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(format!(".{}.new", process::id()));
    let temporary = PathBuf::from(temporary);
    remove(&temporary)?;
    let mut file = private_options().create_new(true).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.inspect_err(|_| forget(&temporary))?;
    Ok(temporary)
}

/// Removes a temporary file; one that stays is in nobody's way.
fn forget(temporary: &Path) {
    let _ = fs::remove_file(temporary);
}

/// Makes the entry of `path` in its directory survive a power cut. Windows has no such call and needs none.
fn sync_parent(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777
    }

    #[test]
    fn files_are_private_and_made_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("a/keys");
        make_private_dir(&keys).unwrap();
        let path = keys.join("secret");
        assert_eq!(read(&path).unwrap(), None);
        assert!(create(&path, b"first").unwrap());
        assert!(!create(&path, b"second").unwrap());
        assert_eq!(read(&path).unwrap().unwrap(), b"first");
        replace(&path, b"third").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"third");
        #[cfg(unix)]
        assert_eq!((mode(&path), mode(&keys)), (0o600, 0o700));
        assert_eq!(fs::read_dir(&keys).unwrap().count(), 1, "no temporary file stays");
        append(&path, b" and more").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"third and more");
    }

    #[test]
    fn directories_of_ours_are_known_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["plain/deep", "data", "home", "folder/.skep", "empty/.skep"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        mark_own_dir(&path("data"), OwnDir::ServerData).unwrap();
        mark_own_dir(&path("home"), OwnDir::ClientHome).unwrap();
        fs::write(path("folder/.skep/root"), "skep root 1").unwrap();
        fs::write(path("plain/.skep"), "a file of a person").unwrap();
        let kinds = ["plain", "data", "home", "folder", "empty", "not there"].map(|name| own_dir(&path(name)));
        let [server, client, folder] = [OwnDir::ServerData, OwnDir::ClientHome, OwnDir::Folder].map(Some);
        assert_eq!(kinds, [None, server, client, folder, None, None]);

        fs::rename(path("home"), path("plain/deep/home")).unwrap();
        let found = own_dir_beneath(&path("plain"), 100);
        assert_eq!(found, Some((path("plain/deep/home"), OwnDir::ClientHome)));
        assert_eq!(own_dir_beneath(&path("plain"), 2), None, "only so many are looked at");
        assert_eq!(own_dir_beneath(&path("folder"), 100), None, "its own marker is not beneath it");
    }

    #[test]
    fn a_path_that_is_not_there_yet_is_known_without_links() {
        let dir = tempfile::tempdir().unwrap();
        let real = absolute(dir.path()).unwrap();
        fs::create_dir(real.join("a")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(real.join("a"), real.join("link")).unwrap();
        #[cfg(unix)]
        assert_eq!(absolute_of_new(&real.join("link/b/c")).unwrap(), real.join("a/b/c"));
        assert_eq!(absolute_of_new(&real.join("a/b/c")).unwrap(), real.join("a/b/c"));
        assert_eq!(absolute_of_new(&real.join("a")).unwrap(), real.join("a"));
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path).unwrap();
        assert!(held.is_some());
        assert!(lock(&path).unwrap().is_none());
        drop(held);
        assert!(lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_log_never_grows_over_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("daemon.log");
        for _ in 0..10 {
            let mut log = BoundedLog::open(&path, 25).unwrap();
            log.write_all(b"ten bytes\n").unwrap();
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 20);
        assert_eq!(fs::metadata(dir.path().join("daemon.log.1")).unwrap().len(), 20);
    }
}
