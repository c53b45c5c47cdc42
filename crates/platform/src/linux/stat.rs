//! `statx`, and what of it concerns us.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Mode, Statx, StatxAttributes, StatxFlags, StatxTimestamp, statx};
use rustix::io::Errno;
use skep_types::{Kind, Timestamp};

use crate::Stat;

/// Identity of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device(u32, u32);

impl Device {
    pub(super) fn of(found: &Statx) -> Device {
        Device(found.stx_dev_major, found.stx_dev_minor)
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

/// What an open file or directory is.
pub(super) fn of_fd(fd: BorrowedFd<'_>) -> Result<Statx, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH, wanted())
}

/// What `name` is, without following a link and without mounting anything.
pub(super) fn of_entry(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Statx, Errno> {
    statx(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, wanted())
}

/// An entry of a directory on `device`. Where another file system begins, nothing is ours.
///
/// Only directories are asked for their device: on overlayfs, files show that of the layer on which they lie. A mount of
/// the same file system (a bind mount), or over a file, is told by an attribute.
pub(super) fn entry_stat(found: &Statx, device: Device) -> Stat {
    let stat = stat(found);
    let is_mount_root = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
        && found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    let is_other_device = stat.kind == Some(Kind::Directory) && Device::of(found) != device;
    Stat { kind: stat.kind.filter(|_| !is_mount_root && !is_other_device), ..stat }
}

/// What was found, as such.
pub(super) fn stat(found: &Statx) -> Stat {
    let mode = u32::from(found.stx_mode);
    let kind = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Some(Kind::File),
        FileType::Directory => Some(Kind::Directory),
        FileType::Symlink => Some(Kind::Symlink),
        _ => None,
    };
    let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    Stat {
        kind,
        inode: found.stx_ino,
        links: u64::from(found.stx_nlink),
        size: found.stx_size,
        mtime: timestamp(found.stx_mtime),
        ctime: timestamp(found.stx_ctime),
        birth: has_birth.then(|| timestamp(found.stx_btime)),
        executable: kind == Some(Kind::File) && Mode::from_raw_mode(mode).contains(Mode::XUSR),
    }
}

fn timestamp(time: StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}
