//! Packs in a local directory, through the seam [`Files`].
//!
//! One pack is open at a time; its writer stays open, and each record is written with one call, so that readers see it at
//! once. A pack that a process left open (crash, kill) is never appended to again: it stays as it is, and is read up to its
//! last whole record. The bytes are those of `docs/formats/pack.md`.
//!
//! One process at a time: the server holds the lock of its data directory.

mod error;
mod read;
mod upkeep;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use skep_content::{Block, MasterKey, PackHeader, PackSalt, RecordHeader, encode_index, seal_record};
use skep_platform::{Entropy, FileError, FileErrorKind, Files};
use skep_types::{Limits, Name};

use crate::ledger::{Batch, Ledger, Verdict};
use crate::{BlobError, BlobStore, PackId, RecordPlace};

use error::{file_error, write_error};

/// The directory of packs beneath the root.
const PACKS_DIR: &str = "packs";
/// Databases count to here; files with higher numbers are not ours.
const PACK_ID_MAX: u64 = i64::MAX as u64;

/// Content in `packs/` beneath the root of `files`, sealed with a master key.
pub struct LocalPacks<F: Files> {
    files: F,
    dir: F::Dir,
    entropy: Arc<dyn Entropy>,
    master: MasterKey,
    limits: Limits,
    state: Mutex<State<F::Writer>>,
    /// Told when a sync has ended.
    sync_ended: Condvar,
    /// Salts of packs that were read or written; at most [`read::SALTS_MAX`].
    salts: Mutex<BTreeMap<PackId, PackSalt>>,
}

struct State<W> {
    open: Option<OpenPack<W>>,
    next: PackId,
    ledger: Ledger,
    /// A thread is in a sync, without holding the lock.
    syncing: bool,
    /// Where records are sealed; kept to spare an allocation per record.
    record: Vec<u8>,
}

/// The pack that is appended to.
struct OpenPack<W> {
    id: PackId,
    writer: W,
    salt: PackSalt,
    /// For the index.
    headers: Vec<RecordHeader>,
    length: u64,
}

impl<F: Files> LocalPacks<F> {
    /// Opens the packs beneath the root of `files`, or begins with none. The salts of new packs come from `entropy`.
    pub fn open(
        files: F,
        entropy: Arc<dyn Entropy>,
        master: MasterKey,
        limits: Limits,
    ) -> Result<LocalPacks<F>, BlobError> {
        let root = files.root().map_err(file_error)?;
        let name = Name::try_from(PACKS_DIR).expect("a plain word is a name");
        match files.make_dir(&root, &name) {
            Err(error) if error.kind != FileErrorKind::Exists => return Err(file_error(error)),
            // Also when it was there: the process that made it may have died before it was durable.
            _ => files.make_durable(&[], std::slice::from_ref(&root)).map_err(file_error)?,
        }
        let dir = files.open_dir(&root, &[name]).map_err(file_error)?;
        let last = pack_ids(&files, &dir)?.last().map_or(0, |pack| pack.0);
        let state =
            State { open: None, next: PackId(last + 1), ledger: Ledger::default(), syncing: false, record: Vec::new() };
        Ok(LocalPacks {
            files,
            dir,
            entropy,
            master,
            limits,
            state: Mutex::new(state),
            sync_ended: Condvar::new(),
            salts: Mutex::new(BTreeMap::new()),
        })
    }

    /// Every pack in the directory, also those that were left open by a crash.
    pub fn packs(&self) -> Result<Vec<PackId>, BlobError> {
        pack_ids(&self.files, &self.dir)
    }

    fn lock(&self) -> MutexGuard<'_, State<F::Writer>> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Makes the next pack and writes its header.
    fn create(&self, state: &mut State<F::Writer>) -> Result<OpenPack<F::Writer>, BlobError> {
        let id = state.next;
        // Counts up also if this fails: a number is never tried twice.
        state.next = PackId(id.0 + 1);
        let mut salt = PackSalt([0; PackSalt::LEN]);
        self.entropy.fill(&mut salt.0);
        let header = PackHeader { salt, key: self.master.id() }.to_bytes();
        let mut writer = self.files.create(&self.dir, &pack_name(id)).map_err(file_error)?;
        if let Err(error) = writer.write_all(&header).and_then(|()| writer.flush()) {
            self.remove_empty(id);
            return Err(write_error(&error));
        }
        self.remember_salt(id, salt);
        state.ledger.open(id);
        Ok(OpenPack { id, writer, salt, headers: Vec::new(), length: header.len() as u64 })
    }

    /// Writes the index of a pack that is full. The next sync makes it durable together with the last records. If this fails, the
    /// pack has no index, which only makes it slower to list.
    fn close(&self, mut full: OpenPack<F::Writer>, ledger: &mut Ledger) {
        let index = encode_index(&full.headers, &full.salt, full.length);
        match full.writer.write_all(&index).and_then(|()| full.writer.flush()) {
            Ok(()) => ledger.append(full.id, full.length + index.len() as u64),
            Err(error) => tracing::warn!(pack = full.id.0, %error, "cannot write the index of a pack"),
        }
        ledger.close(full.id);
    }

    /// Removes a pack without a record, so that a full disk does not gather them.
    fn remove_empty(&self, id: PackId) {
        if let Err(error) = self.files.remove_file(&self.dir, &pack_name(id)) {
            tracing::warn!(pack = id.0, %error, "cannot remove an empty pack");
        }
    }

    fn sync(&self, batch: &Batch) -> Result<(), FileError> {
        let files: Vec<_> = batch.packs.iter().map(|(pack, _)| (self.dir.clone(), pack_name(*pack))).collect();
        let dirs = if batch.new_entries { std::slice::from_ref(&self.dir) } else { &[] };
        self.files.make_durable(&files, dirs)
    }

    /// Syncs everything that is unsynced, without holding the lock meanwhile, and enters the outcome.
    fn lead_sync<'a>(&'a self, mut state: MutexGuard<'a, State<F::Writer>>) -> MutexGuard<'a, State<F::Writer>> {
        state.syncing = true;
        let batch = state.ledger.unsynced();
        drop(state);
        // A panic must not leave the others waiting for ever.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.sync(&batch)));
        let mut state = self.lock();
        state.syncing = false;
        match &outcome {
            Ok(Ok(())) => state.ledger.synced(&batch),
            failed => {
                let reason = match failed {
                    Ok(Err(error)) => format!("a sync failed: {error}"),
                    _ => "a sync failed".to_owned(),
                };
                tracing::error!(packs = batch.packs.len(), "{reason}; the open pack is given up");
                state.ledger.failed(&batch, &reason);
                let given_up = |open: &OpenPack<_>| batch.packs.iter().any(|(pack, _)| *pack == open.id);
                if state.open.as_ref().is_some_and(given_up) {
                    state.open = None;
                }
            }
        }
        self.sync_ended.notify_all();
        match outcome {
            Ok(_) => state,
            Err(panic) => {
                drop(state);
                resume_unwind(panic)
            }
        }
    }
}

impl<F: Files> BlobStore for LocalPacks<F> {
    fn free_bytes(&self) -> Result<u64, BlobError> {
        match self.files.free_bytes() {
            Err(error) if error.kind == FileErrorKind::Unsupported => Ok(u64::MAX),
            free => free.map_err(file_error),
        }
    }

    fn append(&self, block: &Block) -> Result<RecordPlace, BlobError> {
        // No reader would take it back.
        block.check(&self.limits).map_err(|error| BlobError::Disk(format!("a block was refused: {error}")))?;
        let mut guard = self.lock();
        let state = &mut *guard;
        // Taken out: it is put back only when the record was written whole.
        let mut pack = match state.open.take() {
            Some(pack) if pack.length < self.limits.pack_bytes_target => pack,
            full => {
                full.into_iter().for_each(|full| self.close(full, &mut state.ledger));
                self.create(state)?
            }
        };
        let number = u32::try_from(pack.headers.len()).expect("a pack has far fewer than 2^32 records");
        state.record.clear();
        let header = seal_record(&self.master, &pack.salt, number, block, &mut state.record);
        if let Err(error) = pack.writer.write_all(&state.record).and_then(|()| pack.writer.flush()) {
            // A piece of the record may stand there. The records before it are whole and can still be synced.
            state.ledger.close(pack.id);
            if pack.headers.is_empty() {
                self.remove_empty(pack.id);
            }
            return Err(write_error(&error));
        }
        let length = u32::try_from(state.record.len()).expect("a record is at most record_bytes_max long");
        let place = RecordPlace { pack: pack.id, offset: pack.length, length };
        pack.headers.push(header);
        pack.length += u64::from(length);
        state.ledger.append(pack.id, pack.length);
        state.open = Some(pack);
        Ok(place)
    }

    fn make_durable(&self, places: &[RecordPlace]) -> Result<(), BlobError> {
        let mut state = self.lock();
        // At most three rounds: a sync that started too early, one that another thread leads, one's own.
        loop {
            match state.ledger.verdict(places) {
                Verdict::Durable => return Ok(()),
                Verdict::Lost(reason) => return Err(BlobError::Disk(reason)),
                Verdict::Unsynced if state.syncing => {
                    state = self.sync_ended.wait(state).expect("no thread panics while it holds the state");
                }
                Verdict::Unsynced => state = self.lead_sync(state),
            }
        }
    }

    fn read(&self, place: RecordPlace) -> Result<Block, BlobError> {
        self.read_record(place).map(|(_, block)| block)
    }
}

/// The file of a pack, in the directory of packs.
pub fn pack_name(pack: PackId) -> Name {
    Name::new(format!("{:08}.pack", pack.0)).expect("digits and a suffix are a name")
}

/// The pack of a file, if it is one's.
fn pack_of(name: &Name) -> Option<PackId> {
    let digits = name.as_bytes().strip_suffix(b".pack")?;
    let pack = PackId(std::str::from_utf8(digits).ok()?.parse().ok()?);
    (pack.0 <= PACK_ID_MAX && pack_name(pack) == *name).then_some(pack)
}

fn pack_ids<F: Files>(files: &F, dir: &F::Dir) -> Result<Vec<PackId>, BlobError> {
    let entries = files.list(dir).map_err(file_error)?;
    let mut packs: Vec<PackId> = entries.iter().filter_map(|(name, _)| pack_of(name)).collect();
    packs.sort_unstable();
    Ok(packs)
}
