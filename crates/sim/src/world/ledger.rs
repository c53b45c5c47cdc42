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
use crate::oracle::is_own;
use crate::workload::{Acted, name_of};

/// Entries of the journal that are read at a time.
const ENTRIES_READ_MAX: usize = 1_000;

/// What lies on a disk.
#[derive(Default)]
pub(crate) struct Holding {
    /// How many files of the person hold it.
    in_folder: BTreeMap<ContentId, u32>,
    /// All of it, our own directory included.
    pub(crate) anywhere: BTreeSet<ContentId>,
}

/// What was saved, and what the server knows.
pub(crate) struct Ledger {
    chunker: Chunker,
    /// With a few words for people.
    saved: BTreeMap<ContentId, String>,
    /// What a person has removed or overwritten on a machine where it stood: from then on it need not stand in a folder.
    removed: BTreeSet<ContentId>,
    history: BTreeSet<ContentId>,
    history_to: Seq,
}

impl Ledger {
    pub(crate) fn new(limits: &Limits) -> Ledger {
        Ledger {
            chunker: Chunker::new(limits),
            saved: BTreeMap::new(),
            removed: BTreeSet::new(),
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
    pub(crate) fn contents_of(&self, disk: &SimDisk) -> Holding {
        let mut holding = Holding::default();
        for (path, entry) in disk.tree() {
            if let TreeEntry::File { bytes, .. } = entry {
                let id = self.content_id(&bytes);
                *holding.in_folder.entry(id).or_default() += u32::from(!is_own(&path));
                holding.anywhere.insert(id);
            }
        }
        holding
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
        before: &Holding,
        after: &Holding,
        others: impl FnOnce(&Ledger) -> BTreeSet<ContentId>,
    ) {
        let fewer = before.in_folder.iter().filter(|(id, count)| after.in_folder.get(id).unwrap_or(&0) < count);
        // Also what is saved only later: a file that a program still holds open may be removed on another machine already.
        self.removed.extend(fewer.map(|(id, _)| *id));
        let gone = before.anywhere.difference(&after.anywhere);
        let gone: Vec<ContentId> = gone.filter(|id| self.saved.contains_key(id)).copied().collect();
        if !gone.is_empty() {
            let others = others(self);
            gone.iter()
                .filter(|id| !others.contains(id) && !self.history.contains(id))
                .for_each(|id| _ = self.saved.remove(id));
        }
        for bytes in &acted.saved {
            let id = self.content_id(bytes);
            // There is nothing to lose in an empty file.
            if after.anywhere.contains(&id) && !bytes.is_empty() {
                self.saved.insert(id, name_of(bytes));
            }
        }
    }

    /// What was saved and is not kept: it must stand in one of the `folders`, and may lie in the history or in one of the `safes`
    /// only once a person has removed it. So whoever loses a race with another machine still finds what he wrote.
    pub(crate) fn lost(&self, folders: &BTreeSet<ContentId>, safes: &BTreeSet<ContentId>) -> Vec<String> {
        let is_kept = |id: &ContentId| {
            folders.contains(id) || (self.removed.contains(id) && (self.history.contains(id) || safes.contains(id)))
        };
        let lost = self.saved.iter().filter(|(id, _)| !is_kept(id));
        lost.map(|(_, words)| words.clone()).collect()
    }

    /// Whether the journal ever named this content.
    pub(crate) fn is_in_history(&self, content: &ContentId) -> bool {
        self.history.contains(content)
    }

    /// How many contents must be somewhere.
    pub(crate) fn saved_count(&self) -> usize {
        self.saved.len()
    }
}
