//! [`Files`] by directory descriptors: no path is ever resolved through a link or out of its directory.

use std::fs::File;
use std::io::{self, Seek};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{
    self, AtFlags, FlockOperation, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, Timespec, Timestamps,
};
use rustix::io::Errno;
use skep_types::{COARSEST_CLOCK_NS, Kind, Name, NameError, Timestamp};

use super::errno::{file_error, with_kind};
use super::stat::{self, Device};
use crate::{FileError, FileErrorKind, Files, RenameMode, Stat};

/// Up to so many files, or directories, are synced one by one; more by one sync of the whole file system.
const SINGLE_SYNCS_MAX: usize = 8;
/// Bytes of directory entries that are read at a time.
const LIST_BUFFER_BYTES: usize = 32 << 10;
/// So many zeros in one piece, or more, are left out as a hole.
const HOLE_BYTES_MIN: usize = 64 << 10;
/// Characters that are shown of a name that is too long to be synced.
const LONG_NAME_CHARACTERS: usize = 50;
/// Longest path that is given to the kernel in one piece.
const PATH_BYTES_MAX: usize = 4000;
/// A lock file that is replaced while it is locked is tried again so often.
const LOCK_TRIES_MAX: u32 = 8;

/// An open directory.
#[derive(Debug, Clone)]
pub struct LinuxDir {
    fd: Arc<OwnedFd>,
    device: Device,
}

impl LinuxDir {
    fn new(fd: OwnedFd) -> Result<(LinuxDir, Stat), Errno> {
        let found = stat::of_fd(fd.as_fd())?;
        Ok((LinuxDir { fd: Arc::new(fd), device: Device::of(&found) }, stat::stat(&found)))
    }
}

impl AsFd for LinuxDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file that is open for reading.
#[derive(Debug)]
pub struct LinuxReader(File);

impl io::Read for LinuxReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// A file that is open for writing, from its beginning to its end.
#[derive(Debug)]
pub struct LinuxWriter(File);

fn is_zero(bytes: &[u8]) -> bool {
    // Each byte equal to the next, and the first zero: one comparison of memory.
    bytes.first().is_none_or(|first| *first == 0) && bytes.get(1..).is_none_or(|rest| *rest == bytes[..rest.len()])
}

impl io::Write for LinuxWriter {
    /// Long runs of zeros become holes: an image of a disk that is mostly empty takes as little room here as where it was made.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= HOLE_BYTES_MIN && is_zero(bytes) {
            // The length is set at once, so that nothing is left to do when the writer is dropped.
            let end = self.0.stream_position()? + bytes.len() as u64;
            self.0.set_len(end)?;
            self.0.seek(io::SeekFrom::Start(end))?;
            return Ok(bytes.len());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The files beneath one directory of this machine. Clones share the locks that they hold.
#[derive(Debug, Clone)]
pub struct LinuxFiles {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// The kernel (5.6 or later, and no filter in the way) resolves paths beneath a directory by itself.
    has_openat2: bool,
    /// Lock files, by inode: each is locked as long as it is open.
    locks: Mutex<Vec<(Device, u64, OwnedFd)>>,
}

fn open_dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn resolve_flags() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS
}

impl LinuxFiles {
    /// The files beneath the directory `root`, which must be there.
    pub fn open(root: impl AsRef<Path>) -> Result<LinuxFiles, FileError> {
        let root = root.as_ref().to_owned();
        let fd = fs::open(&root, open_dir_flags(), Mode::empty()).map_err(file_error)?;
        let has_openat2 = fs::openat2(&fd, c".", open_dir_flags(), Mode::empty(), resolve_flags()).is_ok();
        Ok(LinuxFiles { inner: Arc::new(Inner { root, has_openat2, locks: Mutex::default() }) })
    }

    /// The same, as on a kernel that cannot resolve paths beneath a directory by itself.
    pub fn open_by_component(root: impl AsRef<Path>) -> Result<LinuxFiles, FileError> {
        let files = LinuxFiles::open(root)?;
        let root = files.inner.root.clone();
        Ok(LinuxFiles { inner: Arc::new(Inner { root, has_openat2: false, locks: Mutex::default() }) })
    }

    /// Opens one directory in another, which is no link and no mount point.
    fn open_component(dir: BorrowedFd<'_>, name: &Name) -> Result<OwnedFd, Errno> {
        fs::openat(dir, name.as_bytes(), open_dir_flags() | OFlags::NOFOLLOW, Mode::empty())
    }

    /// Opens a file without following a link or waiting for the other end of a pipe.
    fn open_file(dir: &LinuxDir, name: &Name) -> Result<(OwnedFd, Stat), FileError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = fs::openat(dir, name.as_bytes(), flags, Mode::empty()).map_err(file_error)?;
        let stat = stat::stat(&stat::of_fd(fd.as_fd()).map_err(file_error)?);
        match stat.kind {
            Some(Kind::File) => Ok((fd, stat)),
            _ => Err(FileError::new(FileErrorKind::WrongKind, "Not a regular file")),
        }
    }
}

impl Files for LinuxFiles {
    type Dir = LinuxDir;
    type Reader = LinuxReader;
    type Writer = LinuxWriter;

    /// Opens the path anew each time: a root that was unmounted, removed or replaced meanwhile shows.
    fn root(&self) -> Result<LinuxDir, FileError> {
        let fd = fs::open(&self.inner.root, open_dir_flags(), Mode::empty()).map_err(file_error)?;
        Ok(LinuxDir::new(fd).map_err(file_error)?.0)
    }

    fn open_dir(&self, from: &LinuxDir, path: &[Name]) -> Result<LinuxDir, FileError> {
        let opened = if self.inner.has_openat2 {
            open_beneath(from, path)
        } else {
            let reopened = fs::openat(from, c".", open_dir_flags(), Mode::empty());
            reopened.and_then(|fd| path.iter().try_fold(fd, |dir, name| Self::open_component(dir.as_fd(), name)))
        };
        let fd = opened.map_err(|errno| match errno {
            Errno::XDEV => with_kind(FileErrorKind::WrongKind, errno),
            _ => file_error(errno),
        })?;
        let (dir, _) = LinuxDir::new(fd).map_err(file_error)?;
        if dir.device != from.device {
            return Err(FileError::new(FileErrorKind::WrongKind, "Another file system is mounted here"));
        }
        Ok(dir)
    }

    fn stat_dir(&self, dir: &LinuxDir) -> Result<Stat, FileError> {
        Ok(stat::stat(&stat::of_fd(dir.as_fd()).map_err(file_error)?))
    }

    fn list(&self, dir: &LinuxDir) -> Result<Vec<(Name, Stat)>, FileError> {
        // A descriptor of its own: the position in the directory belongs to the descriptor, and handles are shared.
        let fd = fs::openat(dir, c".", open_dir_flags(), Mode::empty()).map_err(file_error)?;
        let mut buffer = vec![MaybeUninit::uninit(); LIST_BUFFER_BYTES];
        let mut entries = RawDir::new(fd, &mut buffer);
        let mut listed = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(file_error)?;
            let bytes = entry.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            let found = stat::of_entry(dir.as_fd(), bytes).map(|found| stat::entry_stat(&found, dir.device));
            let (name, is_cut) = match Name::new(bytes) {
                Ok(name) => (name, false),
                Err(NameError::TooLong(_)) => (cut_name(bytes), true),
                Err(error) => return Err(FileError::new(FileErrorKind::BadName, error.to_string())),
            };
            match found {
                // No node has such a name: it stands here as something that is not synced.
                Ok(stat) if is_cut => listed.push((name, Stat { kind: None, ..stat })),
                Ok(stat) => listed.push((name, stat)),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(file_error(errno)),
            }
        }
        listed.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        // A directory that is renamed into while it is read may show an entry twice.
        listed.dedup_by(|one, other| one.0 == other.0);
        Ok(listed)
    }

    fn stat(&self, dir: &LinuxDir, name: &Name) -> Result<Option<Stat>, FileError> {
        match stat::of_entry(dir.as_fd(), name.as_bytes()) {
            Ok(found) => Ok(Some(stat::entry_stat(&found, dir.device))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(file_error(errno)),
        }
    }

    /// Reads the directory without looking at each entry.
    fn spelled(&self, dir: &LinuxDir, name: &Name) -> Result<Option<Name>, FileError> {
        let Some(found) = self.stat(dir, name)? else { return Ok(None) };
        let fd = fs::openat(dir, c".", open_dir_flags(), Mode::empty()).map_err(file_error)?;
        let mut buffer = vec![MaybeUninit::uninit(); LIST_BUFFER_BYTES];
        let mut entries = RawDir::new(fd, &mut buffer);
        let mut same = None;
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(file_error)?;
            let bytes = entry.file_name().to_bytes();
            if bytes == name.as_bytes() {
                return Ok(Some(name.clone()));
            }
            // Of several links to one file, the one that looks most like it.
            let spelled = String::from_utf8_lossy(bytes);
            let is_alike = spelled.to_lowercase() == name.display().to_lowercase();
            if is_alike || (same.is_none() && entry.ino() == found.inode && !matches!(bytes, b"." | b"..")) {
                same = Name::new(bytes).ok();
            }
        }
        Ok(same)
    }

    fn read(&self, dir: &LinuxDir, name: &Name) -> Result<(LinuxReader, Stat), FileError> {
        let (fd, stat) = Self::open_file(dir, name)?;
        Ok((LinuxReader(File::from(fd)), stat))
    }

    fn stat_reader(&self, file: &LinuxReader) -> Result<Stat, FileError> {
        Ok(stat::stat(&stat::of_fd(file.0.as_fd()).map_err(file_error)?))
    }

    fn read_range(&self, dir: &LinuxDir, name: &Name, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        let (fd, stat) = Self::open_file(dir, name)?;
        let rest = usize::try_from(stat.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(rest)];
        let mut filled = 0;
        while filled < bytes.len() {
            match rustix::io::pread(&fd, &mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(file_error(errno)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn read_link(&self, dir: &LinuxDir, name: &Name) -> Result<Vec<u8>, FileError> {
        match fs::readlinkat(dir, name.as_bytes(), Vec::new()) {
            Ok(target) => Ok(target.into_bytes()),
            Err(errno @ Errno::INVAL) => Err(with_kind(FileErrorKind::WrongKind, errno)),
            Err(errno) => Err(file_error(errno)),
        }
    }

    fn create(&self, dir: &LinuxDir, name: &Name) -> Result<LinuxWriter, FileError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(dir, name.as_bytes(), flags, Mode::from_raw_mode(0o666)).map_err(file_error)?;
        Ok(LinuxWriter(File::from(fd)))
    }

    fn make_dir(&self, dir: &LinuxDir, name: &Name) -> Result<(), FileError> {
        fs::mkdirat(dir, name.as_bytes(), Mode::from_raw_mode(0o777)).map_err(file_error)
    }

    fn make_link(&self, dir: &LinuxDir, name: &Name, target: &[u8]) -> Result<(), FileError> {
        if target.is_empty() || target.contains(&0) {
            return Err(FileError::new(FileErrorKind::BadName, "Invalid target of a symbolic link"));
        }
        fs::symlinkat(target, dir, name.as_bytes()).map_err(file_error)
    }

    fn set_mtime(&self, dir: &LinuxDir, name: &Name, mtime: Timestamp) -> Result<(), FileError> {
        let last_modification = Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) };
        let set = |access_nsec| {
            let last_access = Timespec { tv_sec: 0, tv_nsec: access_nsec };
            let times = Timestamps { last_access, last_modification };
            fs::utimensat(dir, name.as_bytes(), &times, AtFlags::SYMLINK_NOFOLLOW).map_err(file_error)
        };
        set(fs::UTIME_OMIT)?;
        // File systems in programs may do nothing, without a word, unless both times are set.
        match self.stat(dir, name)? {
            Some(stat) if stat.mtime.as_nanoseconds().abs_diff(mtime.as_nanoseconds()) >= COARSEST_CLOCK_NS => {
                set(fs::UTIME_NOW)
            }
            _ => Ok(()),
        }
    }

    fn set_executable(&self, dir: &LinuxDir, name: &Name, executable: bool) -> Result<(), FileError> {
        const READ_BITS: u32 = 0o444;
        const EXECUTE_BITS: u32 = 0o111;
        let (fd, _) = Self::open_file(dir, name)?;
        let old = u32::from(stat::of_fd(fd.as_fd()).map_err(file_error)?.stx_mode) & 0o7777;
        let new = match executable {
            true => old | ((old & READ_BITS) >> 2),
            false => old & !EXECUTE_BITS,
        };
        if new == old {
            return Ok(());
        }
        fs::fchmod(&fd, Mode::from_raw_mode(new)).map_err(file_error)
    }

    fn rename(
        &self,
        from: &LinuxDir,
        name: &Name,
        to: &LinuxDir,
        new_name: &Name,
        mode: RenameMode,
    ) -> Result<(), FileError> {
        let flags = match mode {
            RenameMode::NoReplace => RenameFlags::NOREPLACE,
            RenameMode::Exchange => RenameFlags::EXCHANGE,
        };
        match fs::renameat_with(from, name.as_bytes(), to, new_name.as_bytes(), flags) {
            Ok(()) => Ok(()),
            // The file system does not know the flag, or the kernel the call.
            Err(errno @ (Errno::INVAL | Errno::NOSYS)) => match mode {
                RenameMode::NoReplace => rename_in_steps(from, name, to, new_name),
                RenameMode::Exchange => Err(with_kind(FileErrorKind::Unsupported, errno)),
            },
            Err(errno) => Err(file_error(errno)),
        }
    }

    fn remove_file(&self, dir: &LinuxDir, name: &Name) -> Result<(), FileError> {
        fs::unlinkat(dir, name.as_bytes(), AtFlags::empty()).map_err(file_error)
    }

    fn remove_dir(&self, dir: &LinuxDir, name: &Name) -> Result<(), FileError> {
        match fs::unlinkat(dir, name.as_bytes(), AtFlags::REMOVEDIR) {
            // Some file systems say that a directory is not empty in this way.
            Err(errno @ Errno::EXIST) => Err(with_kind(FileErrorKind::NotEmpty, errno)),
            other => other.map_err(file_error),
        }
    }

    /// Symlinks among `files` are covered by the sync of their directories: the kernel opens none to sync it.
    fn make_durable(&self, files: &[(LinuxDir, Name)], dirs: &[LinuxDir]) -> Result<(), FileError> {
        let Some(any) = dirs.first().or(files.first().map(|(dir, _)| dir)) else { return Ok(()) };
        if files.len() <= SINGLE_SYNCS_MAX && sync_each(files, dirs)? == Synced::All {
            return Ok(());
        }
        fs::syncfs(any).map_err(file_error)
    }

    fn mounts(&self) -> u64 {
        super::mounts::beneath(&self.inner.root)
    }

    fn free_bytes(&self) -> Result<u64, FileError> {
        let found = fs::statvfs(&self.inner.root).map_err(file_error)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn lock(&self, dir: &LinuxDir, name: &Name) -> Result<bool, FileError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut locks = self.inner.locks.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..LOCK_TRIES_MAX {
            let fd = fs::openat(dir, name.as_bytes(), flags, Mode::from_raw_mode(0o600)).map_err(file_error)?;
            let found = stat::of_fd(fd.as_fd()).map_err(file_error)?;
            let (device, inode) = (Device::of(&found), found.stx_ino);
            if locks.iter().any(|(other_device, other, _)| (*other_device, *other) == (device, inode)) {
                return Ok(true);
            }
            match fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(errno) => return Err(file_error(errno)),
            }
            // A lock on a file that has lost its name keeps nobody out.
            if self.stat(dir, name)?.is_some_and(|stat| stat.inode == inode) {
                locks.push((device, inode, fd));
                return Ok(true);
            }
        }
        Err(FileError::new(FileErrorKind::Other, "The lock file is being replaced"))
    }
}

/// Opens `path` in `from`, resolved by the kernel, in pieces that are short enough for it.
fn open_beneath(from: &LinuxDir, path: &[Name]) -> Result<OwnedFd, Errno> {
    let open = |dir: BorrowedFd<'_>, piece: &[u8]| {
        let piece = if piece.is_empty() { b"." } else { piece };
        fs::openat2(dir, piece, open_dir_flags(), Mode::empty(), resolve_flags())
    };
    let mut reached: Option<OwnedFd> = None;
    let mut piece = Vec::new();
    for name in path {
        if piece.len() + name.as_bytes().len() >= PATH_BYTES_MAX {
            reached = Some(open(reached.as_ref().map_or(from.as_fd(), AsFd::as_fd), &piece)?);
            piece.clear();
        }
        if !piece.is_empty() {
            piece.push(b'/');
        }
        piece.extend_from_slice(name.as_bytes());
    }
    open(reached.as_ref().map_or(from.as_fd(), AsFd::as_fd), &piece)
}

/// A rename that replaces nothing, for file systems without a flag for it (some FUSE and network ones).
///
/// A file is linked under its new name, which fails if that is taken, and then loses the old one: a kill in between leaves
/// both. Directories, and everything where there are no hard links, are looked for and then renamed: what another program
/// puts there in between is replaced, as far as `rename(2)` replaces it (a file by a file, an empty directory).
fn rename_in_steps(from: &LinuxDir, name: &Name, to: &LinuxDir, new_name: &Name) -> Result<(), FileError> {
    let source = stat::stat(&stat::of_entry(from.as_fd(), name.as_bytes()).map_err(file_error)?);
    if source.kind != Some(Kind::Directory) {
        match fs::linkat(from, name.as_bytes(), to, new_name.as_bytes(), AtFlags::empty()) {
            Ok(()) => return fs::unlinkat(from, name.as_bytes(), AtFlags::empty()).map_err(file_error),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
            Err(errno) => return Err(file_error(errno)),
        }
    }
    match stat::of_entry(to.as_fd(), new_name.as_bytes()) {
        Ok(_) => return Err(file_error(Errno::EXIST)),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(file_error(errno)),
    }
    fs::renameat(from, name.as_bytes(), to, new_name.as_bytes()).map_err(|errno| match errno {
        // A directory cannot be moved into itself; for anything else it is the name that is invalid.
        Errno::INVAL if source.kind == Some(Kind::Directory) => with_kind(FileErrorKind::Other, errno),
        _ => file_error(errno),
    })
}

/// A name for an entry whose name is longer than that of any node.
fn cut_name(bytes: &[u8]) -> Name {
    let text = String::from_utf8_lossy(bytes);
    let mut cut: String = text.chars().take(LONG_NAME_CHARACTERS).collect();
    cut.push('\u{2026}');
    Name::new(cut).expect("some characters of a name are a name")
}

/// How far single syncs led.
#[derive(Debug, PartialEq, Eq)]
enum Synced {
    All,
    /// Something cannot be synced by itself: without the right to read it, or on a file system that syncs no directory.
    Partly,
}

/// Syncs each of `files` and, unless they are many, each of `dirs` once. A failed sync is an error: what the kernel then
/// drops of what was written, no later sync brings back.
fn sync_each(files: &[(LinuxDir, Name)], dirs: &[LinuxDir]) -> Result<Synced, FileError> {
    let mut by_inode = std::collections::BTreeMap::new();
    for dir in dirs {
        by_inode.insert(stat::of_fd(dir.as_fd()).map_err(file_error)?.stx_ino, dir);
    }
    if by_inode.len() > SINGLE_SYNCS_MAX {
        return Ok(Synced::Partly);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    for (dir, name) in files {
        match fs::openat(dir, name.as_bytes(), flags, Mode::empty()) {
            Ok(fd) => match fs::fsync(&fd) {
                Ok(()) => {}
                Err(Errno::INVAL | Errno::NOSYS) => return Ok(Synced::Partly),
                Err(errno) => return Err(file_error(errno)),
            },
            Err(Errno::LOOP) => {}
            Err(Errno::ACCESS) => return Ok(Synced::Partly),
            Err(errno) => return Err(file_error(errno)),
        }
    }
    for dir in by_inode.into_values() {
        match fs::fsync(dir) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOSYS) => return Ok(Synced::Partly),
            Err(errno) => return Err(file_error(errno)),
        }
    }
    Ok(Synced::All)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_rename_in_steps_replaces_nothing_either() {
        let temporary = tempfile::tempdir().unwrap();
        let files = LinuxFiles::open(temporary.path()).unwrap();
        let root = files.root().unwrap();
        let name = |text: &str| Name::try_from(text).unwrap();
        for file in ["file", "taken"] {
            files.create(&root, &name(file)).unwrap();
        }
        files.make_link(&root, &name("link"), b"nowhere").unwrap();
        for dir in ["dir", "empty"] {
            files.make_dir(&root, &name(dir)).unwrap();
        }
        let rename =
            |from: &str, to: &str| rename_in_steps(&root, &name(from), &root, &name(to)).map_err(|error| error.kind);
        for from in ["file", "link", "dir"] {
            assert_eq!(rename(from, "taken"), Err(FileErrorKind::Exists));
            assert_eq!(rename(from, "empty"), Err(FileErrorKind::Exists));
            let inode = files.stat(&root, &name(from)).unwrap().unwrap().inode;
            assert_eq!(rename(from, &format!("{from} moved")), Ok(()));
            assert_eq!(files.stat(&root, &name(from)), Ok(None));
            let moved = files.stat(&root, &name(&format!("{from} moved"))).unwrap().unwrap();
            assert_eq!(moved.inode, inode);
        }
        assert_eq!(rename("gone", "new"), Err(FileErrorKind::NotFound));
        let dir = files.open_dir(&root, &[name("dir moved")]).unwrap();
        let into_itself = rename_in_steps(&root, &name("dir moved"), &dir, &name("inner"));
        assert_eq!(into_itself.unwrap_err().kind, FileErrorKind::Other);
    }
}
