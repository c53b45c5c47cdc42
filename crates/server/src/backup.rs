//! `skep-server backup create`: a copy of all data, at one moment, beside a running server or without one.
//!
//! The database first, at one point in time; then the packs that it names, to which nothing is ever changed, only added; then the
//! keys. The result is a data directory like any other. It is read and verified to the last byte before it counts.

use std::io::{self, Write as _};
use std::path::Path;

use skep_blobstore::{PackId, pack_file_name};
use skep_metastore::{MetaStore, Sqlite, StoreError};
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{FileError, FileErrorKind, Files, NativeFiles, own_files};
use skep_service::check::check;
use skep_service::mark_as_copy;
use skep_types::{Limits, Name};

use crate::admin::say;
use crate::args::{BackupCommand, DataArgs};
use crate::config::{self, FILE_NAME, Settings, Site};
use crate::fsck::open_stores;
use crate::store::{open_database, require_data};

/// What is copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// The files of the directory of keys.
const KEY_FILES: [&str; 3] = ["master.key", "server.key", "server.crt"];

/// Why a backup ended early.
#[derive(Debug, thiserror::Error)]
enum BackupError {
    /// The metadata cannot be read, or not be written.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{0}")]
    File(#[from] FileError),
    /// A copy failed on the way.
    #[error("{0}")]
    Copy(#[from] io::Error),
}

/// Makes a backup, or takes note that one was brought back.
pub fn backup(command: BackupCommand) -> Result<(), Complaint> {
    match command {
        BackupCommand::Create { dir, data } => create(&dir, &data),
        BackupCommand::Restored { data } => restored(&data),
    }
}

/// Says that the data was brought back from a copy. What devices know of a later history does not make them refuse it then.
fn restored(data: &DataArgs) -> Result<(), Complaint> {
    let site = config::of(data)?.site;
    require_data(&site.data_dir)?;
    let stores = open_stores(&site)?;
    if stores.lock.is_none() {
        let what = format!("A server is running on `{}`. Nothing was changed.", site.data_dir.display());
        return Err(Complaint::new(Exit::Guard, "E-DATA-IN-USE", what).hint("Stop it, say it again, and start it."));
    }
    stores.meta.write(mark_as_copy).map_err(|error| complaint_of_store(&site.data_dir, &error))?;
    say(
        "When the server is started, its history goes its own way from where this data ends. Devices send again what they have more.",
    );
    Ok(())
}

fn complaint_of_store(dir: &Path, error: &StoreError) -> Complaint {
    let what = format!("The metadata in `{}` cannot be changed: {error}.", dir.display());
    Complaint::new(Exit::Failed, "E-DATA", what).hint("See what is wrong with it: skep-server fsck")
}

/// Makes a backup.
fn create(dir: &Path, data: &DataArgs) -> Result<(), Complaint> {
    let Settings { site, .. } = config::of(data)?;
    let source = &site.data_dir;
    require_data(source)?;
    make_target(dir)?;
    let copied = copy(source, dir).map_err(|error| broken(dir, &error))?;
    let own_key = site.master_key == Site::at(source).master_key;
    let copied_site = if own_key { Site::at(dir) } else { Site { data_dir: dir.to_owned(), ..site.clone() } };
    let copy = open_stores(&copied_site)?;
    let report =
        check(&copy.meta, &copy.packs, &Limits::SHIPPED).map_err(|error| broken(dir, &BackupError::Store(error)))?;
    if !report.is_fine() {
        let what = format!(
            "The backup in `{}` is not whole: something is damaged, here or where it came from.",
            dir.display()
        );
        return Err(Complaint::new(Exit::Partly, "E-INCOMPLETE", what)
            .hint(format!("Keep older backups. See what is missing: skep-server fsck --data-dir {}", dir.display())));
    }
    let _ = writeln!(
        io::stderr(),
        "Made a backup in `{}`: {} packs, {} bytes of content, read again and whole.",
        dir.display(),
        copied,
        report.counts.bytes
    );
    if !own_key {
        say(&format!(
            "It does not hold the master key `{}`, without which nothing of it can be read: keep a copy of that too.",
            site.master_key.display()
        ));
    }
    Ok(())
}

/// A new or empty directory: a backup never mixes with another one, nor replaces it.
fn make_target(dir: &Path) -> Result<(), Complaint> {
    let shown = dir.display();
    let failed = |error: io::Error| {
        Complaint::new(Exit::Failed, "E-TARGET", format!("Cannot write to the directory `{shown}`: {error}."))
            .hint("Name one that you may write to.")
    };
    if !own_files::is_empty_dir(dir).map_err(failed)? {
        let what = format!("The directory `{shown}` is not empty. Nothing was changed.");
        return Err(Complaint::new(Exit::Guard, "E-NOT-EMPTY", what).hint("Name a new one for each backup."));
    }
    own_files::make_private_dir(dir).map_err(failed)
}

fn broken(dir: &Path, error: &BackupError) -> Complaint {
    let is_full = match error {
        BackupError::Store(error) => matches!(error, StoreError::NoSpace),
        BackupError::File(error) => error.kind == FileErrorKind::NoSpace,
        BackupError::Copy(error) => error.kind() == io::ErrorKind::StorageFull,
    };
    let code = if is_full { "E-NO-SPACE" } else { "E-DATA" };
    let what = format!("The backup to `{}` was broken off: {error}.", dir.display());
    Complaint::new(Exit::Failed, code, what).hint("What is in that directory is no backup: remove it.")
}

/// Copies everything; how many packs.
fn copy(source: &Path, target: &Path) -> Result<usize, BackupError> {
    let meta = open_database(source)?;
    let database = target.join("skep.db");
    meta.copy_to(&database)?;
    drop(meta);
    let copied_meta = Sqlite::open(&database)?;
    // Whoever brings it back begins a history that goes its own way.
    copied_meta.write(mark_as_copy)?;
    let packs = packs_of(&copied_meta)?;
    drop(copied_meta);
    let (from, to) = (NativeFiles::open(source)?, NativeFiles::open(target)?);
    let mut copied = copy_all(&from, &to, "packs", packs.iter().map(|pack| pack_file_name(*pack)))?;
    copied.extend(copy_all(&from, &to, "keys", KEY_FILES.map(word))?);
    let root = to.root()?;
    copied.push((root.clone(), word("skep.db")));
    if let Some(settings) = own_files::read(&source.join(FILE_NAME))? {
        own_files::replace(&target.join(FILE_NAME), &settings)?;
    }
    let dirs = [to.open_dir(&root, &[word("packs")])?, to.open_dir(&root, &[word("keys")])?, root];
    to.make_durable(&copied, &dirs)?;
    Ok(packs.len())
}

/// The packs that a database names.
fn packs_of(meta: &Sqlite) -> Result<Vec<PackId>, StoreError> {
    meta.read(|read| {
        let mut packs = Vec::new();
        while let Some(pack) = read.pack_after(packs.last().copied())? {
            packs.push(pack);
        }
        Ok(packs)
    })
}

type Copied = Vec<(<NativeFiles as Files>::Dir, Name)>;

/// Copies files of one directory into a new one of that name. What is not there is left out: the check that follows tells.
fn copy_all(
    from: &NativeFiles,
    to: &NativeFiles,
    dir: &str,
    names: impl IntoIterator<Item = Name>,
) -> Result<Copied, FileError> {
    let dir = word(dir);
    let root = to.root()?;
    to.make_dir(&root, &dir)?;
    let mut copied = Vec::new();
    let from_dir = match from.open_dir(&from.root()?, std::slice::from_ref(&dir)) {
        // No server has run here yet.
        Err(error) if error.kind == FileErrorKind::NotFound => return Ok(copied),
        other => other?,
    };
    let to_dir = to.open_dir(&root, &[dir])?;
    for name in names {
        let mut reader = match from.read(&from_dir, &name) {
            Err(error) if error.kind == FileErrorKind::NotFound => continue,
            other => other?.0,
        };
        let mut writer = to.create(&to_dir, &name)?;
        copy_bytes(&mut reader, &mut writer).map_err(|error| FileError::new(kind_of(&error), error.to_string()))?;
        copied.push((to_dir.clone(), name));
    }
    Ok(copied)
}

fn copy_bytes(reader: &mut impl io::Read, writer: &mut impl io::Write) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return writer.flush();
        }
        writer.write_all(&buffer[..count])?;
    }
}

fn kind_of(error: &io::Error) -> FileErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FileErrorKind::NoSpace,
        _ => FileErrorKind::Other,
    }
}

fn word(word: &str) -> Name {
    Name::try_from(word).expect("a plain word is a name")
}
