//! `skep-server export`: everything that is kept here, as plain files that need no program of ours.
//!
//! Reads the data directory itself, beside a running server or without one, in one consistent reading of the metadata: the export is
//! what the server held at one moment. A file that cannot be read is listed and never stops the others.

mod index;
mod names;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use skep_blobstore::{BlobStore, LocalPacks, RecordPlace};
use skep_content::MasterKey;
use skep_metastore::{Account, MetaStore, Read, Sqlite, StoreError};
use skep_platform::runtime::SystemEntropy;
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{FileError, FileErrorKind, Files, NativeFiles, own_files};
use skep_types::{ChunkId, Content, ContentId, DriveId, FileContent, Limits, Name, NodeId, NodeState, Seq};

use crate::args::ExportArgs;
use crate::config::{self, Site};
use crate::keys;
use crate::store::{DATABASE, Packs, complaint_of_key, open_database, require_data};

use names::new_name;

/// The tree as it is now, when versions are beside it.
const CURRENT_DIR: &str = "current";
/// Every version of every file: one directory for each node, in it `SEQ NAME` for each version.
const VERSIONS_DIR: &str = "all-versions";
/// Entries of a journal that are read at a time.
const ENTRIES_PER_PAGE: usize = 4096;
/// Problems that are told one by one.
const PROBLEMS_TOLD_MAX: usize = 20;

/// Which versions are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    /// The tree as it is now.
    Current,
    /// Beside it, every version of every file, of those in the trash too.
    All,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    /// The metadata cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The target's disk is full.
    #[error("the disk is full")]
    NoSpace,
}

/// Why one file or directory is not in the export.
#[derive(Debug, thiserror::Error)]
enum Missed {
    /// The server does not hold what it should.
    #[error("{0}")]
    Content(String),
    /// The target cannot take it.
    #[error("{0}")]
    Target(#[from] FileError),
    /// Writing failed.
    #[error("{0}")]
    Write(#[from] io::Error),
    /// The metadata cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Writes everything, or everything of one account, to a new directory.
pub fn export(args: ExportArgs) -> Result<(), Complaint> {
    let (meta, packs) = open_data(&config::of(&args.data)?.site)?;
    let files = make_target(&args.dir)?;
    let versions = if args.all_versions { Versions::All } else { Versions::Current };
    let exported = meta.read(|read| {
        let mut export = Export {
            read,
            packs: &packs,
            files: &files,
            last: None,
            files_written: 0,
            missed: Vec::new(),
            index: None,
        };
        let done = match &args.user {
            Some(user) => match read.account_by_name(user)? {
                None => return Ok(Err(no_account(user))),
                Some(account) => export.account(&account, &[], versions),
            },
            None => export.all_accounts(versions),
        };
        Ok(done.map(|()| (export.files_written, export.missed)).map_err(|error| broken_off(&args.dir, &error)))
    });
    let (files_written, missed) = exported.map_err(|error| broken_off(&args.dir, &ExportError::Store(error)))??;
    if let Some(problems) = told(&missed) {
        let what = format!("Exported {files_written} files to `{}`, but not all:\n{problems}", args.dir.display());
        return Err(Complaint::new(Exit::Failed, "E-INCOMPLETE", what));
    }
    // Nobody may be listening; the work is done all the same.
    let _ = writeln!(io::stderr(), "Exported {files_written} files to `{}`.", args.dir.display());
    Ok(())
}

fn open_data(site: &Site) -> Result<(Sqlite, Packs), Complaint> {
    let data_dir = site.data_dir.as_path();
    let shown = data_dir.display();
    let failed = |what: String| Complaint::new(Exit::Failed, "E-DATA", what);
    require_data(data_dir)?;
    let database = data_dir.join(DATABASE);
    let meta =
        open_database(data_dir).map_err(|error| failed(format!("Cannot open `{}`: {error}.", database.display())))?;
    let master = MasterKey::from_bytes(keys::master_key(site).map_err(|error| complaint_of_key(&error))?);
    let files = NativeFiles::open(data_dir).map_err(|error| failed(format!("Cannot open `{shown}`: {error}.")))?;
    let packs = LocalPacks::open(files, Arc::new(SystemEntropy), master, Limits::SHIPPED)
        .map_err(|error| failed(format!("Cannot open the packs in `{shown}`: {error}.")))?;
    Ok((meta, packs))
}

/// A new or empty directory: an export never mixes with what is there, nor replaces it.
fn make_target(dir: &Path) -> Result<NativeFiles, Complaint> {
    let shown = dir.display();
    let failed = |error: io::Error| {
        Complaint::new(Exit::Failed, "E-TARGET", format!("Cannot write to the directory `{shown}`: {error}."))
    };
    if !own_files::is_empty_dir(dir).map_err(failed)? {
        let what = format!("The directory `{shown}` is not empty. Nothing was changed.");
        return Err(Complaint::new(Exit::Guard, "E-NOT-EMPTY", what).hint("Name a new one."));
    }
    own_files::make_private_dir(dir).map_err(failed)?;
    NativeFiles::open(dir).map_err(|error| failed(error.into()))
}

fn no_account(user: &str) -> Complaint {
    Complaint::new(Exit::NotFound, "E-NOT-FOUND", format!("There is no account \"{user}\"."))
        .hint("See which there are: skep-server user ls")
}

fn broken_off(dir: &Path, error: &ExportError) -> Complaint {
    let code = if matches!(error, ExportError::NoSpace) { "E-NO-SPACE" } else { "E-DATA" };
    let what = format!("The export to `{}` was broken off: {error}.", dir.display());
    Complaint::new(Exit::Failed, code, what).hint("What is there already is whole but for the last file.")
}

fn told(missed: &[String]) -> Option<String> {
    let first = missed.iter().take(PROBLEMS_TOLD_MAX).map(|line| format!("  {line}")).collect::<Vec<_>>();
    let more = missed.len().saturating_sub(PROBLEMS_TOLD_MAX);
    match (first.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(first.join("\n")),
        (false, more) => Some(format!("{}\n  and {more} more", first.join("\n"))),
    }
}

/// An export under way.
struct Export<'a> {
    read: &'a dyn Read,
    packs: &'a Packs,
    files: &'a NativeFiles,
    /// The record that was read last: small files lie together in one.
    last: Option<(RecordPlace, Vec<(ChunkId, Bytes)>)>,
    files_written: u64,
    missed: Vec<String>,
    /// The index that is being written, by the directory that it lies in.
    index: Option<(Vec<Name>, <NativeFiles as Files>::Writer)>,
}

impl Export<'_> {
    fn all_accounts(&mut self, versions: Versions) -> Result<(), ExportError> {
        for account in self.read.accounts()? {
            let name = Name::new(account.name.as_str()).unwrap_or_else(|_| id_name(&account.id));
            if self.make_dir(&[], &name)? {
                self.account(&account, &[name], versions)?;
            }
        }
        Ok(())
    }

    /// The home drive of an account; others would each get a directory of their own.
    fn account(&mut self, account: &Account, at: &[Name], versions: Versions) -> Result<(), ExportError> {
        for drive in self.read.drives(account.id)? {
            let mut at = at.to_vec();
            if drive.name != "home" {
                let name = id_name(&drive.id);
                if !self.make_dir(&at, &name)? {
                    continue;
                }
                at.push(name);
            }
            match versions {
                Versions::Current => self.tree(drive.id, at)?,
                Versions::All => {
                    let [current, all] = [CURRENT_DIR, VERSIONS_DIR].map(word);
                    if self.make_dir(&at, &current)? {
                        self.tree(drive.id, [at.clone(), vec![current]].concat())?;
                    }
                    if self.make_dir(&at, &all)? {
                        self.versions(drive.id, [at, vec![all]].concat())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The live tree of a drive.
    fn tree(&mut self, drive: DriveId, at: Vec<Name>) -> Result<(), ExportError> {
        // Paths, not handles: there may be more directories than a process may have open.
        let mut open = vec![(NodeId::ROOT, at)];
        while let Some((directory, path)) = open.pop() {
            for child in self.read.children(drive, directory)? {
                let name = child.place.name.clone();
                match child.content {
                    Content::Directory | Content::Mount { .. } => {
                        if let Some(name) = self.make_new_dir(&path, &name)? {
                            open.push((child.node, [path.clone(), vec![name]].concat()));
                        }
                    }
                    Content::File(_) | Content::Symlink { .. } => self.node(drive, &path, &name, &child)?,
                }
            }
        }
        Ok(())
    }

    /// Every version that the journal of a drive knows, and an index of them.
    fn versions(&mut self, drive: DriveId, at: Vec<Name>) -> Result<(), ExportError> {
        let mut index = index::HEAD.as_bytes().to_vec();
        let mut after = Seq::START;
        loop {
            let page = self.read.entries(drive, after, ENTRIES_PER_PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for entry in page.into_iter().filter(|entry| entry.changed.content) {
                if matches!(entry.state.content, Content::Directory | Content::Mount { .. }) {
                    continue;
                }
                let dir = id_name(&entry.state.node);
                if self.make_dir(&at, &dir)? {
                    let name = version_name(entry.seq, &entry.state.place.name);
                    self.node(drive, &[at.clone(), vec![dir.clone()]].concat(), &name, &entry.state)?;
                    index.extend(index::line(self.read, drive, &[dir, name], &entry)?.bytes());
                }
            }
            self.append_index(&at, &mut index)?;
        }
        self.append_index(&at, &mut index)
    }

    /// Writes what there is of the index. Its file is made at the first call and stays open until the last one.
    fn append_index(&mut self, at: &[Name], lines: &mut Vec<u8>) -> Result<(), ExportError> {
        let name = word(index::FILE);
        let written = match self.index.take().filter(|(known, _)| known == at) {
            Some((_, writer)) => Ok(writer),
            None => self.files.root().and_then(|root| {
                let dir = self.files.open_dir(&root, at)?;
                self.files.create(&dir, &name)
            }),
        };
        let written = written.map_err(Missed::from).and_then(|mut writer| {
            writer.write_all(lines)?;
            writer.flush()?;
            Ok(writer)
        });
        lines.clear();
        match written {
            Ok(writer) => {
                self.index = Some((at.to_vec(), writer));
                Ok(())
            }
            Err(missed) => self.miss(at, &name, missed),
        }
    }

    /// One file or link. What cannot be written is listed; only a full disk ends everything.
    fn node(&mut self, drive: DriveId, path: &[Name], name: &Name, state: &NodeState) -> Result<(), ExportError> {
        match self.write(drive, path, name, state) {
            Ok(()) => {
                self.files_written += 1;
                Ok(())
            }
            Err(missed) => self.miss(path, name, missed),
        }
    }

    fn write(&mut self, drive: DriveId, path: &[Name], name: &Name, state: &NodeState) -> Result<(), Missed> {
        let dir = self.files.open_dir(&self.files.root()?, path)?;
        match &state.content {
            Content::Symlink { target } => {
                let (_, made) = new_name(name, |name| self.files.make_link(&dir, name, target))?;
                Ok(made)
            }
            Content::Directory | Content::Mount { .. } => Ok(()),
            Content::File(file) => {
                let (name, mut writer) = new_name(name, |name| self.files.create(&dir, name))?;
                let name = &name;
                let written = self.write_content(drive, file, &mut writer);
                drop(writer);
                if let Err(missed) = written {
                    // A part of a file must not pass for the file.
                    self.files.remove_file(&dir, name)?;
                    return Err(missed);
                }
                if state.mode.executable {
                    self.files.set_executable(&dir, name, true)?;
                }
                Ok(self.files.set_mtime(&dir, name, file.mtime)?)
            }
        }
    }

    fn write_content(&mut self, drive: DriveId, file: &FileContent, to: &mut impl Write) -> Result<(), Missed> {
        let chunks = match file.id {
            ContentId::Empty => Vec::new(),
            ContentId::Chunk(chunk) => vec![chunk],
            ContentId::List(list) => {
                let manifest = self.read.manifest(drive, list)?;
                let manifest = manifest.ok_or_else(|| Missed::Content("its list of chunks is missing".into()))?;
                manifest.chunks.iter().map(|chunk| chunk.id).collect()
            }
        };
        for (chunk, place) in chunks.iter().zip(self.read.chunks(drive, &chunks)?) {
            let place = place.ok_or_else(|| Missed::Content(format!("its chunk {chunk} is missing")))?;
            let (id, bytes) = self.member(place.record, place.index)?;
            if id != *chunk {
                return Err(Missed::Content(format!("its chunk {chunk} is not where it should be")));
            }
            to.write_all(&bytes)?;
        }
        Ok(to.flush()?)
    }

    fn member(&mut self, record: RecordPlace, index: u16) -> Result<(ChunkId, Bytes), Missed> {
        let known = self.last.take().filter(|(place, _)| *place == record);
        let (_, members) = match known {
            Some(known) => self.last.insert(known),
            None => {
                let block = self.packs.read(record).map_err(|error| Missed::Content(error.to_string()))?;
                let members = block.open(&Limits::SHIPPED).map_err(|error| Missed::Content(error.to_string()))?;
                self.last.insert((record, members))
            }
        };
        members.get(usize::from(index)).cloned().ok_or_else(|| Missed::Content("a record is too short".into()))
    }

    /// Makes a directory that is not there yet, and gives the name that it has; `None` if that cannot be.
    fn make_new_dir(&mut self, path: &[Name], name: &Name) -> Result<Option<Name>, ExportError> {
        let made = self.files.root().and_then(|root| {
            let dir = self.files.open_dir(&root, path)?;
            new_name(name, |name| self.files.make_dir(&dir, name))
        });
        match made {
            Ok((name, ())) => Ok(Some(name)),
            Err(error) => self.miss(path, name, error.into()).map(|()| None),
        }
    }

    /// Makes a directory, or finds it; `false` if that cannot be.
    fn make_dir(&mut self, path: &[Name], name: &Name) -> Result<bool, ExportError> {
        let made = self.files.root().and_then(|root| {
            let dir = self.files.open_dir(&root, path)?;
            match self.files.make_dir(&dir, name) {
                Err(error) if error.kind != FileErrorKind::Exists => Err(error),
                _ => self.files.open_dir(&dir, std::slice::from_ref(name)).map(|_| ()),
            }
        });
        match made {
            Ok(()) => Ok(true),
            Err(error) => self.miss(path, name, error.into()).map(|()| false),
        }
    }

    fn miss(&mut self, path: &[Name], name: &Name, missed: Missed) -> Result<(), ExportError> {
        match missed {
            Missed::Store(error) => return Err(ExportError::Store(error)),
            Missed::Target(error) if error.kind == FileErrorKind::NoSpace => return Err(ExportError::NoSpace),
            Missed::Write(error) if error.kind() == io::ErrorKind::StorageFull => return Err(ExportError::NoSpace),
            _ => {}
        }
        let names: Vec<_> = path.iter().chain([name]).map(Name::display).collect();
        // Names come from people: nothing in them may steer a terminal.
        self.missed.push(format!("`{}`: {missed}", names.join("/")).replace(char::is_control, "\u{fffd}"));
        Ok(())
    }
}

fn word(word: &str) -> Name {
    Name::try_from(word).expect("a plain word is a name")
}

fn id_name(id: &impl ToString) -> Name {
    Name::new(id.to_string()).expect("hexadecimal digits are a name")
}

/// `SEQ NAME`, cut to what a file system holds.
fn version_name(seq: Seq, name: &Name) -> Name {
    let mut bytes = format!("{} ", seq.0).into_bytes();
    bytes.extend_from_slice(name.as_bytes());
    bytes.truncate(Name::BYTES_MAX);
    Name::new(bytes).expect("digits and a cut name are a name")
}
