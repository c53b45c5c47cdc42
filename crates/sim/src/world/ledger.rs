//! Which contents must not be lost.
//!
//! What a program saved must be somewhere for ever, unless the person himself, or a power cut, destroyed the last copy before
//! it had reached another place. So around each action of a person and each power cut the contents of the machine are
//! compared; what is gone and is nowhere else then is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use skep_content::{ChunkRef, Chunker, Manifest, chunk_id};
use skep_metastore::{MetaStore, StoreError};
use skep_types::{ContentId, DriveId, Limits, Seq};

use crate::disk::{SimDisk, TreeEntry};
use crate::workload::{Acted, name_of};

/// Entries of the journal that are read at a time.
const ENTRIES_READ_MAX: usize = 1_000;

/// A content that a person saved.
pub(crate) struct Saved {
    /// What it is called in the log.
    words: String,
    /// The person has removed or overwritten it on a machine where it stood: from then on it may lie in a safe.
    was_removed: bool,
}

/// What was saved, and what the server knows.
pub(crate) struct Ledger {
    chunker: Chunker,
    saved: BTreeMap<ContentId, Saved>,
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
        let files = disk.tree().into_values().filter_map(|entry| match entry {
            TreeEntry::File { bytes, .. } => Some(bytes),
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
        let gone: Vec<ContentId> = before.difference(after).filter(|id| self.saved.contains_key(id)).copied().collect();
        if !gone.is_empty() {
            let others = others(self);
            for id in gone {
                if others.contains(&id) || self.history.contains(&id) {
                    self.saved.entry(id).and_modify(|saved| saved.was_removed = true);
                } else {
                    self.saved.remove(&id);
                }
            }
        }
        for bytes in &acted.saved {
            let id = self.content_id(bytes);
            // There is nothing to lose in an empty file.
            if after.contains(&id) && !bytes.is_empty() {
                self.saved.insert(id, Saved { words: name_of(bytes), was_removed: false });
            }
        }
    }

    /// What was saved and is neither in the history nor in `folders`, and, if the person removed it himself, not in `safes` either.
    pub(crate) fn lost(&self, folders: &BTreeSet<ContentId>, safes: &BTreeSet<ContentId>) -> Vec<String> {
        let is_kept = |id: &ContentId, saved: &Saved| {
            folders.contains(id) || self.history.contains(id) || (saved.was_removed && safes.contains(id))
        };
        let lost = self.saved.iter().filter(|(id, saved)| !is_kept(id, saved));
        lost.map(|(_, saved)| saved.words.clone()).collect()
    }

    /// How many contents must be somewhere.
    pub(crate) fn saved_count(&self) -> usize {
        self.saved.len()
    }
}
