//! [`Files`] by paths, on the standard library.

use std::fs::{self, File, FileTimes, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use skep_types::{Kind, Name, Timestamp};

use super::names::{from_os, to_os};
use crate::{FileError, FileErrorKind, Files, RenameMode, Stat};

/// A directory, by its names from the root on. It does not follow a rename.
#[derive(Debug, Clone)]
pub struct PortableDir {
    path: PathBuf,
}

/// A file that is open for reading.
#[derive(Debug)]
pub struct PortableReader {
    file: File,
    path: PathBuf,
}

impl io::Read for PortableReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

/// A file that is open for writing.
#[derive(Debug)]
pub struct PortableWriter(File);

impl io::Write for PortableWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The files beneath one directory of this machine. Clones share the locks that they hold.
#[derive(Debug, Clone)]
pub struct PortableFiles {
    root: PathBuf,
    /// Lock files: each is locked as long as it is open.
    locks: Arc<Mutex<Vec<(PathBuf, File)>>>,
}

impl PortableFiles {
    /// The files beneath the directory `root`, which must be there.
    pub fn open(root: impl AsRef<Path>) -> Result<PortableFiles, FileError> {
        let files = PortableFiles { root: root.as_ref().to_owned(), locks: Arc::default() };
        files.root()?;
        Ok(files)
    }

    /// Where the entry `name` is. Fails if its directory, or one above it, is gone or a link.
    fn at(&self, dir: &PortableDir, name: &Name) -> Result<PathBuf, FileError> {
        self.check_dir(dir)?;
        Ok(self.root.join(&dir.path).join(to_os(name)?))
    }

    fn check_dir(&self, dir: &PortableDir) -> Result<(), FileError> {
        let mut path = self.root.clone();
        for component in dir.path.components() {
            path.push(component);
            if !fs::symlink_metadata(&path).map_err(file_error)?.is_dir() {
                return Err(wrong_kind());
            }
        }
        Ok(())
    }

    fn full(&self, dir: &PortableDir) -> PathBuf {
        self.root.join(&dir.path)
    }

    fn stat_at(&self, path: &Path) -> Result<Stat, FileError> {
        Ok(self.stat_of(&fs::symlink_metadata(path).map_err(file_error)?, path))
    }

    fn stat_of(&self, found: &Metadata, path: &Path) -> Stat {
        let kind = match found.file_type() {
            file if file.is_file() => Some(Kind::File),
            dir if dir.is_dir() => Some(Kind::Directory),
            link if link.is_symlink() => Some(Kind::Symlink),
            _ => None,
        };
        let system = system::stat(found, path.strip_prefix(&self.root).unwrap_or(path));
        Stat {
            kind,
            inode: system.inode,
            links: system.links,
            size: found.len(),
            mtime: found.modified().map(timestamp).unwrap_or_default(),
            ctime: system.ctime,
            birth: found.created().ok().map(timestamp),
            executable: kind == Some(Kind::File) && system.executable,
        }
    }

    /// The regular file `name`, opened; a link that comes there in between is followed.
    fn open_file(&self, dir: &PortableDir, name: &Name) -> Result<(File, PathBuf), FileError> {
        let path = self.at(dir, name)?;
        if !fs::symlink_metadata(&path).map_err(file_error)?.is_file() {
            return Err(wrong_kind());
        }
        Ok((File::open(&path).map_err(file_error)?, path))
    }
}

impl Files for PortableFiles {
    type Dir = PortableDir;
    type Reader = PortableReader;
    type Writer = PortableWriter;

    fn root(&self) -> Result<PortableDir, FileError> {
        match fs::metadata(&self.root).map_err(file_error)?.is_dir() {
            true => Ok(PortableDir { path: PathBuf::new() }),
            false => Err(wrong_kind()),
        }
    }

    fn open_dir(&self, from: &PortableDir, path: &[Name]) -> Result<PortableDir, FileError> {
        let mut dir = from.clone();
        for name in path {
            dir.path.push(to_os(name)?);
        }
        self.check_dir(&dir)?;
        Ok(dir)
    }

    fn stat_dir(&self, dir: &PortableDir) -> Result<Stat, FileError> {
        let path = self.full(dir);
        Ok(self.stat_of(&fs::metadata(&path).map_err(file_error)?, &path))
    }

    fn list(&self, dir: &PortableDir) -> Result<Vec<(Name, Stat)>, FileError> {
        self.check_dir(dir)?;
        let mut listed = Vec::new();
        for entry in fs::read_dir(self.full(dir)).map_err(file_error)? {
            let entry = entry.map_err(file_error)?;
            let name = from_os(&entry.file_name())?;
            match self.stat_at(&entry.path()) {
                Ok(stat) => listed.push((name, stat)),
                Err(error) if error.kind == FileErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        listed.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(listed)
    }

    fn stat(&self, dir: &PortableDir, name: &Name) -> Result<Option<Stat>, FileError> {
        match self.at(dir, name).and_then(|path| self.stat_at(&path)) {
            Ok(stat) => Ok(Some(stat)),
            // What the system cannot hold is not there.
            Err(error) if matches!(error.kind, FileErrorKind::NotFound | FileErrorKind::BadName) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, dir: &PortableDir, name: &Name) -> Result<(PortableReader, Stat), FileError> {
        let (file, path) = self.open_file(dir, name)?;
        let stat = self.stat_of(&file.metadata().map_err(file_error)?, &path);
        Ok((PortableReader { file, path }, stat))
    }

    fn stat_reader(&self, file: &PortableReader) -> Result<Stat, FileError> {
        Ok(self.stat_of(&file.file.metadata().map_err(file_error)?, &file.path))
    }

    fn read_range(&self, dir: &PortableDir, name: &Name, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let (mut file, _) = self.open_file(dir, name)?;
        file.seek(SeekFrom::Start(offset)).map_err(file_error)?;
        let mut bytes = Vec::new();
        file.take(len as u64).read_to_end(&mut bytes).map_err(file_error)?;
        Ok(bytes)
    }

    fn read_link(&self, dir: &PortableDir, name: &Name) -> Result<Vec<u8>, FileError> {
        let path = self.at(dir, name)?;
        if !fs::symlink_metadata(&path).map_err(file_error)?.is_symlink() {
            return Err(wrong_kind());
        }
        Ok(fs::read_link(path).map_err(file_error)?.into_os_string().into_encoded_bytes())
    }

    fn create(&self, dir: &PortableDir, name: &Name) -> Result<PortableWriter, FileError> {
        let path = self.at(dir, name)?;
        Ok(PortableWriter(File::create_new(path).map_err(file_error)?))
    }

    fn make_dir(&self, dir: &PortableDir, name: &Name) -> Result<(), FileError> {
        fs::create_dir(self.at(dir, name)?).map_err(file_error)
    }

    fn make_link(&self, dir: &PortableDir, name: &Name, target: &[u8]) -> Result<(), FileError> {
        if target.is_empty() || target.contains(&0) {
            return Err(FileError::new(FileErrorKind::BadName, "Invalid target of a symbolic link"));
        }
        system::make_link(target, &self.at(dir, name)?)
    }

    /// Files and directories only: the standard library cannot do it for a symlink.
    fn set_mtime(&self, dir: &PortableDir, name: &Name, mtime: Timestamp) -> Result<(), FileError> {
        let path = self.at(dir, name)?;
        if fs::symlink_metadata(&path).map_err(file_error)?.is_symlink() {
            return Err(FileError::new(FileErrorKind::Unsupported, "The mtime of a symbolic link cannot be set here"));
        }
        let time = system_time(mtime)
            .ok_or_else(|| FileError::new(FileErrorKind::Unsupported, "This system has no such time"))?;
        let file = system::open_for_attributes(&path).map_err(file_error)?;
        file.set_times(FileTimes::new().set_modified(time)).map_err(file_error)
    }

    fn set_executable(&self, dir: &PortableDir, name: &Name, executable: bool) -> Result<(), FileError> {
        let (file, _) = self.open_file(dir, name)?;
        system::set_executable(&file, executable).map_err(file_error)
    }

    /// [`RenameMode::Exchange`] is `Unsupported`. [`RenameMode::NoReplace`] links a file under its new name, which fails if
    /// that is taken, and removes the old one: a kill in between leaves both. Directories, and everything where there are
    /// no hard links, are looked for and then renamed: what comes there in between may be replaced.
    fn rename(
        &self,
        from: &PortableDir,
        name: &Name,
        to: &PortableDir,
        new_name: &Name,
        mode: RenameMode,
    ) -> Result<(), FileError> {
        if mode == RenameMode::Exchange {
            return Err(FileError::new(FileErrorKind::Unsupported, "Two names cannot be swapped here"));
        }
        let (source, target) = (self.at(from, name)?, self.at(to, new_name)?);
        let found = fs::symlink_metadata(&source).map_err(file_error)?;
        if found.is_file() {
            match fs::hard_link(&source, &target) {
                Ok(()) => return fs::remove_file(&source).map_err(file_error),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(file_error(error)),
                // No hard links here: the rename below tells what else is wrong.
                Err(_) => {}
            }
        }
        match fs::symlink_metadata(&target) {
            Ok(_) => Err(FileError::new(FileErrorKind::Exists, "File exists")),
            Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(source, target).map_err(file_error),
            Err(error) => Err(file_error(error)),
        }
    }

    fn remove_file(&self, dir: &PortableDir, name: &Name) -> Result<(), FileError> {
        let path = self.at(dir, name)?;
        if fs::symlink_metadata(&path).map_err(file_error)?.is_dir() {
            return Err(wrong_kind());
        }
        fs::remove_file(path).map_err(file_error)
    }

    fn remove_dir(&self, dir: &PortableDir, name: &Name) -> Result<(), FileError> {
        let path = self.at(dir, name)?;
        if !fs::symlink_metadata(&path).map_err(file_error)?.is_dir() {
            return Err(wrong_kind());
        }
        fs::remove_dir(path).map_err(file_error)
    }

    /// On Windows the entries of a directory cannot be synced by themselves: its file system keeps a journal of them.
    fn make_durable(&self, files: &[(PortableDir, Name)], dirs: &[PortableDir]) -> Result<(), FileError> {
        for (dir, name) in files {
            let path = self.at(dir, name)?;
            if !fs::symlink_metadata(&path).map_err(file_error)?.is_symlink() {
                system::open_for_sync(&path).and_then(|file| file.sync_all()).map_err(file_error)?;
            }
        }
        let paths: std::collections::BTreeSet<PathBuf> = dirs.iter().map(|dir| self.full(dir)).collect();
        paths.iter().try_for_each(|path| system::sync_dir(path)).map_err(file_error)
    }

    fn free_bytes(&self) -> Result<u64, FileError> {
        system::free_bytes(&self.root)
    }

    fn lock(&self, dir: &PortableDir, name: &Name) -> Result<bool, FileError> {
        let path = self.at(dir, name)?;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.iter().any(|(held, _)| *held == path) {
            return Ok(true);
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(file_error)?;
        match file.try_lock() {
            Ok(()) => {
                locks.push((path, file));
                Ok(true)
            }
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(file_error(error)),
        }
    }
}

fn wrong_kind() -> FileError {
    FileError::new(FileErrorKind::WrongKind, "Not of this kind")
}

fn file_error(error: io::Error) -> FileError {
    let kind = match error.kind() {
        ErrorKind::NotFound => FileErrorKind::NotFound,
        ErrorKind::AlreadyExists => FileErrorKind::Exists,
        ErrorKind::DirectoryNotEmpty => FileErrorKind::NotEmpty,
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => FileErrorKind::WrongKind,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FileErrorKind::NoSpace,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => FileErrorKind::Denied,
        ErrorKind::InvalidFilename => FileErrorKind::BadName,
        ErrorKind::Unsupported | ErrorKind::CrossesDevices => FileErrorKind::Unsupported,
        _ => FileErrorKind::Other,
    };
    let text = error.to_string();
    FileError::new(kind, text.rsplit_once(" (os error").map_or(text.as_str(), |(words, _)| words))
}

fn timestamp(time: SystemTime) -> Timestamp {
    let nanoseconds = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    Timestamp::from_nanoseconds(nanoseconds)
}

fn system_time(time: Timestamp) -> Option<SystemTime> {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let seconds = match time.seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
        _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    seconds?.checked_add(Duration::from_nanos(u64::from(time.nanoseconds)))
}

/// What only the system itself tells.
struct SystemStat {
    inode: u64,
    links: u64,
    ctime: Timestamp,
    executable: bool,
}

#[cfg(unix)]
mod system {
    use std::ffi::OsStr;
    use std::fs::{File, Metadata, Permissions};
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    use skep_types::Timestamp;

    use super::{SystemStat, file_error};
    use crate::FileError;

    pub(super) fn stat(found: &Metadata, _path: &Path) -> SystemStat {
        SystemStat {
            inode: found.ino(),
            links: found.nlink(),
            ctime: Timestamp { seconds: found.ctime(), nanoseconds: found.ctime_nsec() as u32 },
            executable: found.mode() & 0o100 != 0,
        }
    }

    pub(super) fn make_link(target: &[u8], path: &Path) -> Result<(), FileError> {
        symlink(OsStr::from_bytes(target), path).map_err(file_error)
    }

    pub(super) fn set_executable(file: &File, executable: bool) -> io::Result<()> {
        let old = file.metadata()?.mode() & 0o7777;
        let new = if executable { old | ((old & 0o444) >> 2) } else { old & !0o111 };
        file.set_permissions(Permissions::from_mode(new))
    }

    pub(super) fn open_for_attributes(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(super) fn open_for_sync(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    pub(super) fn free_bytes(root: &Path) -> Result<u64, FileError> {
        let found = rustix::fs::statvfs(root).map_err(|errno| file_error(errno.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

#[cfg(windows)]
mod system {
    use std::fs::{File, Metadata, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;

    use super::{SystemStat, timestamp};
    use crate::{FileError, FileErrorKind};

    /// Lets a directory be opened as a file.
    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    const FILE_WRITE_ATTRIBUTES: u32 = 0x0100;

    /// The standard library tells neither the file's number nor its links. In place of the number stands a hash of the path
    /// from the root: what is renamed then looks like another file, which is slower and never wrong.
    pub(super) fn stat(found: &Metadata, path: &Path) -> SystemStat {
        let bytes = path.as_os_str().as_encoded_bytes();
        let inode = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let ctime = found.modified().map(timestamp).unwrap_or_default();
        SystemStat { inode, links: 1, ctime, executable: false }
    }

    pub(super) fn make_link(_target: &[u8], _path: &Path) -> Result<(), FileError> {
        Err(FileError::new(FileErrorKind::Unsupported, "Symbolic links are not made on Windows"))
    }

    pub(super) fn set_executable(_file: &File, _executable: bool) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn open_for_attributes(path: &Path) -> io::Result<File> {
        OpenOptions::new().access_mode(FILE_WRITE_ATTRIBUTES).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
    }

    pub(super) fn open_for_sync(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).open(path)
    }

    pub(super) fn sync_dir(_path: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn free_bytes(_root: &Path) -> Result<u64, FileError> {
        Err(FileError::new(FileErrorKind::Unsupported, "The free space is not known here"))
    }
}

#[cfg(test)]
mod tests {

    use std::cell::RefCell;

    use super::*;
    use crate::conformance::{Abilities, check_files};

    #[test]
    fn portable_files_conform_as_far_as_paths_can() {
        let roots = RefCell::new(Vec::new());
        let open = |root: &tempfile::TempDir| PortableFiles::open(root.path()).unwrap();
        let fresh = || {
            let root = tempfile::tempdir().unwrap();
            let files = open(&root);
            roots.borrow_mut().push(root);
            files
        };
        let abilities = Abilities { exchange: false, lasting_handles: false, link_mtime: false, ..Abilities::ALL };
        check_files(abilities, fresh, |_| open(roots.borrow().last().unwrap()));
    }

    #[test]
    fn times_before_1970_read_back() {
        let time = Timestamp { seconds: -2, nanoseconds: 500_000_000 };
        assert_eq!(timestamp(system_time(time).unwrap()), time);
    }
}
