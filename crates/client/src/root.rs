//! The synced root and `.skep/` in it: marker, staging area, safe, lock.
//!
//! Invariant: a root without its marker is never looked at. An empty folder where a disk was not mounted has no marker, so it can
//! never pass for one whose files were all deleted.

use std::io::{Read, Write};
use std::str::FromStr;

use skep_platform::{FileError, FileErrorKind, Files, RenameMode};
use skep_types::{DeviceId, DriveId, Name, product};

/// First line of a marker: this layout.
const MARKER_HEAD: &str = "skep root 1";
/// How the names of cookies begin.
pub(crate) const COOKIE: &str = "cookie-";
/// A longer marker is not ours.
const MARKER_BYTES_MAX: u64 = 4096;

/// The root cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// The folder or its marker is not there, so nothing can be said about what is in it.
    #[error("the synced folder is missing: {0}")]
    Missing(String),
    /// Its marker is another one: this is not the folder that the client was joined with.
    #[error("this is not the folder that was joined: its marker has another id")]
    Other,
    /// Another client uses it.
    #[error("another client already syncs this folder")]
    InUse,
    /// The disk failed.
    #[error("the synced folder cannot be used: {0}")]
    Disk(#[from] FileError),
}

/// Identity of a root: random, made when it was joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootId([u8; 16]);

impl RootId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> RootId {
        RootId(bytes)
    }

    /// The bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Display for RootId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for RootId {
    type Err = skep_types::ParseIdError;

    fn from_str(text: &str) -> Result<RootId, Self::Err> {
        // Spelled as every id of 16 bytes.
        text.parse::<skep_types::NodeId>().map(|id| RootId(*id.as_bytes()))
    }
}

/// What the marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Which root.
    pub id: RootId,
    /// Which drive it shows.
    pub drive: DriveId,
    /// For which device.
    pub device: DeviceId,
}

impl Marker {
    fn to_text(self) -> String {
        format!("{MARKER_HEAD}\nid {}\ndrive {}\ndevice {}\n", self.id, self.drive, self.device)
    }

    /// Reads a marker; `None` if the text is none. Lines that are not known are left to later versions.
    fn from_text(text: &str) -> Option<Marker> {
        let mut lines = text.lines();
        if lines.next() != Some(MARKER_HEAD) {
            return None;
        }
        let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(' ')).collect();
        let value = |field: &str| fields.iter().find(|(name, _)| *name == field).map(|(_, value)| *value);
        Some(Marker {
            id: value("id")?.parse().ok()?,
            drive: value("drive")?.parse().ok()?,
            device: value("device")?.parse().ok()?,
        })
    }
}

/// An open, locked root.
#[derive(Debug, Clone)]
pub struct Root<F: Files> {
    pub(crate) files: F,
    /// The folder itself.
    pub(crate) dir: F::Dir,
    /// `.skep`.
    pub(crate) own: F::Dir,
    /// `.skep/staging`: complete or half-written files of ours; emptied at every start.
    pub(crate) staging: F::Dir,
    /// `.skep/trash`: displaced files of the person.
    pub(crate) safe: F::Dir,
    /// What its marker says.
    pub marker: Marker,
}

/// Makes a folder a root: `.skep/` with a new marker, durably. A marker that is there already (of a join that was broken off, or of
/// an earlier one) is replaced, unless a client uses the root.
pub fn prepare_root<F: Files>(files: &F, marker: Marker) -> Result<(), RootError> {
    let dir = files.root().map_err(missing)?;
    let own = make_and_open(files, &dir, &own_dir())?;
    if !files.lock(&own, &name("lock"))? {
        return Err(RootError::InUse);
    }
    let (marker_name, new_name) = (name("root"), name("root.new"));
    remove_if_there(files, &own, &new_name)?;
    let mut writer = files.create(&own, &new_name)?;
    writer.write_all(marker.to_text().as_bytes()).map_err(|error| from_io(&error))?;
    drop(writer);
    files.make_durable(&[(own.clone(), new_name.clone())], &[])?;
    remove_if_there(files, &own, &marker_name)?;
    files.rename(&own, &new_name, &own, &marker_name, RenameMode::NoReplace)?;
    make_and_open(files, &own, &name("staging"))?;
    make_and_open(files, &own, &name("trash"))?;
    files.make_durable(&[], &[own, dir])?;
    Ok(())
}

/// What the marker of a folder says; `None` if the folder is no root.
pub fn marker_of<F: Files>(files: &F) -> Result<Option<Marker>, RootError> {
    let dir = files.root().map_err(missing)?;
    match files.open_dir(&dir, &[own_dir()]) {
        Ok(own) => match files.read(&own, &name("root")) {
            Err(error) if error.kind == FileErrorKind::NotFound => Ok(None),
            _ => read_marker(files, &own).map(Some),
        },
        Err(error) if error.kind == FileErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens and locks a root that was prepared with the id `expected`, and empties its staging area.
pub fn open_root<F: Files>(files: &F, expected: RootId) -> Result<Root<F>, RootError> {
    let dir = files.root().map_err(missing)?;
    let own = files.open_dir(&dir, &[own_dir()]).map_err(missing)?;
    let marker = read_marker(files, &own)?;
    if marker.id != expected {
        return Err(RootError::Other);
    }
    if !files.lock(&own, &name("lock"))? {
        return Err(RootError::InUse);
    }
    files.learn_names(&own)?;
    let staging = make_and_open(files, &own, &name("staging"))?;
    let safe = make_and_open(files, &own, &name("trash"))?;
    let root = Root { files: files.clone(), dir, own, staging, safe, marker };
    root.sweep()?;
    Ok(root)
}

impl<F: Files> Root<F> {
    /// Fails if the folder of that path is no longer this root: renamed away, unmounted, its marker removed.
    pub(crate) fn check_in_place(&self) -> Result<(), RootError> {
        let dir = self.files.root().map_err(missing)?;
        let there = self.files.stat_dir(&dir).map_err(missing)?;
        if there.inode != self.files.stat_dir(&self.dir)?.inode {
            return Err(RootError::Missing("another folder is in its place".into()));
        }
        let own = self.files.open_dir(&dir, &[own_dir()]).map_err(missing)?;
        match read_marker(&self.files, &own)? {
            marker if marker.id == self.marker.id => Ok(()),
            _ => Err(RootError::Other),
        }
    }

    /// Removes what a kill left: half-received files (what is in the staging area was never under a name of the person, for files
    /// that were displaced lie in the safe) and cookies.
    fn sweep(&self) -> Result<(), RootError> {
        for (entry, stat) in self.files.list(&self.staging)? {
            if stat.kind != Some(skep_types::Kind::Directory) {
                self.files.remove_file(&self.staging, &entry)?;
            }
        }
        for (entry, stat) in self.files.list(&self.own)? {
            if stat.kind == Some(skep_types::Kind::File) && entry.as_bytes().starts_with(COOKIE.as_bytes()) {
                self.files.remove_file(&self.own, &entry)?;
            }
        }
        Ok(())
    }
}

/// `.skep`.
pub(crate) fn own_dir() -> Name {
    name(product::ROOT_DIR)
}

/// A name that is written in this program.
pub(crate) fn name(text: &str) -> Name {
    Name::try_from(text).expect("names in the program are names")
}

pub(crate) fn from_io(error: &std::io::Error) -> FileError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<FileError>());
    inner.cloned().unwrap_or_else(|| {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FileErrorKind::NoSpace,
            std::io::ErrorKind::PermissionDenied => FileErrorKind::Denied,
            _ => FileErrorKind::Other,
        };
        FileError::new(kind, error.to_string())
    })
}

fn read_marker<F: Files>(files: &F, own: &F::Dir) -> Result<Marker, RootError> {
    let (reader, _) = files.read(own, &name("root")).map_err(missing)?;
    let mut text = String::new();
    let read = reader.take(MARKER_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| from_io(&error))?;
    Marker::from_text(&text).ok_or_else(|| RootError::Missing("its marker `.skep/root` is damaged".into()))
}

fn make_and_open<F: Files>(files: &F, dir: &F::Dir, name: &Name) -> Result<F::Dir, RootError> {
    match files.make_dir(dir, name) {
        Err(error) if error.kind != FileErrorKind::Exists => return Err(error.into()),
        _ => {}
    }
    Ok(files.open_dir(dir, std::slice::from_ref(name))?)
}

pub(crate) fn remove_if_there<F: Files>(files: &F, dir: &F::Dir, name: &Name) -> Result<(), RootError> {
    match files.remove_file(dir, name) {
        Err(error) if error.kind != FileErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn missing(error: FileError) -> RootError {
    match error.kind {
        FileErrorKind::NotFound | FileErrorKind::WrongKind => RootError::Missing(error.message),
        _ => RootError::Disk(error),
    }
}
