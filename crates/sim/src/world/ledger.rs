//! Which contents must not be lost.
//!
//! What a program saved must be somewhere for ever, unless the person himself, or a power cut, destroyed the last copy before
//! it had reached another place. So around each action of a person and each power cut the contents of the machine are
//! compared; what is gone and is nowhere else then is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_content::{ChunkRef, Chunker, Manifest, chunk_id};
use skep_metastore::{MetaStore, StoreError};
use skep_types::{ContentId, DriveId, Limits, Seq};

use crate::disk::{SimDisk, TreeEntry};
use crate::workload::{Acted, name_of};

/// Entries of the journal that are read at a time.
const ENTRIES_READ_MAX: usize = 1_000;

/// Contents by id, with a few words for the log.
pub(crate) struct Ledger {
    chunker: Chunker,
    saved: BTreeMap<ContentId, String>,
    history: BTreeSet<ContentId>,
    history_to: Seq,
}

impl Ledger {
    pub(crate) fn new(limits: &Limits) -> Ledger {
        Ledger {
            chunker: Chunker::new(limits),
            saved: BTreeMap::new(),
            history: BTreeSet::new(),
            history_to: Seq::START,
        }
    }

    /// The id of a content.
    pub(crate) fn content_id(&self, bytes: &[u8]) -> ContentId {
        let chunks = self.chunker.cut_all(bytes).into_iter();
        let chunks = chunks.map(|chunk| ChunkRef { id: chunk_id(chunk), length: chunk.len() as u32 }).collect();
        Manifest { chunks }.content_id()
    }

    /// Everything that lies on a disk, our own directory included.
    pub(crate) fn contents_of(&self, disk: &SimDisk) -> BTreeSet<ContentId> {
        let tree = disk.tree();
        let files = tree.values().filter_map(|entry| match entry {
            TreeEntry::File { bytes, .. } => Some(Arc::clone(bytes)),
            _ => None,
        });
        files.map(|bytes| self.content_id(&bytes)).collect()
    }

    /// Takes in what came to the journal.
    pub(crate) fn read_history(&mut self, meta: &impl MetaStore, drive: DriveId) -> Result<(), StoreError> {
        loop {
            let after = self.history_to;
            let entries = meta.read(|read| read.entries(drive, after, ENTRIES_READ_MAX))?;
            let Some(last) = entries.last() else { return Ok(()) };
            self.history_to = last.seq;
            self.history.extend(entries.iter().filter_map(|entry| Some(entry.state.content.file()?.id)));
        }
    }

    /// Something other than Skep changed a disk from `before` to `after`. `others` holds what lies elsewhere.
    pub(crate) fn changed(
        &mut self,
        acted: &Acted,
        before: &BTreeSet<ContentId>,
        after: &BTreeSet<ContentId>,
        others: impl FnOnce(&Ledger) -> BTreeSet<ContentId>,
    ) {
        let gone: Vec<ContentId> = before
            .difference(after)
            .filter(|id| self.saved.contains_key(id) && !self.history.contains(id))
            .copied()
            .collect();
        if !gone.is_empty() {
            let others = others(self);
            gone.iter().filter(|id| !others.contains(id)).for_each(|id| _ = self.saved.remove(id));
        }
        for bytes in &acted.saved {
            let id = self.content_id(bytes);
            if after.contains(&id) {
                self.saved.insert(id, name_of(bytes));
            }
        }
    }

    /// What was saved and is not among `found`.
    pub(crate) fn lost(&self, found: &BTreeSet<ContentId>) -> Vec<String> {
        let lost = self.saved.iter().filter(|(id, _)| !found.contains(id));
        lost.map(|(_, words)| words.clone()).collect()
    }

    /// What must be somewhere.
    pub(crate) fn saved(&self) -> &BTreeMap<ContentId, String> {
        &self.saved
    }

    /// Every content in the journal, as far as it was read.
    pub(crate) fn history(&self) -> &BTreeSet<ContentId> {
        &self.history
    }
}
