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
use crate::oracle::{is_own, meant_tree};
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
    /// What is where in the folder of the person.
    at: BTreeMap<Vec<u8>, ContentId>,
    /// The directories in it.
    directories: BTreeSet<Vec<u8>>,
}

/// What was saved, and what the server knows.
pub(crate) struct Ledger {
    chunker: Chunker,
    /// With a few words for people.
    saved: BTreeMap<ContentId, String>,
    /// What a person has removed or overwritten on a machine where it stood: from then on it need not stand in a folder.
    removed: BTreeSet<ContentId>,
    /// What a person, or a power cut, has taken from its place on a machine: removed, overwritten, renamed.
    handled: BTreeSet<ContentId>,
    /// The same of directories, by the names that they had.
    handled_directories: BTreeSet<Vec<u8>>,
    history: BTreeSet<ContentId>,
    history_to: Seq,
    /// The server lets go of the past.
    is_thinned: bool,
    /// What was in its history, and is no more.
    let_go: BTreeSet<ContentId>,
}

impl Ledger {
    pub(crate) fn new(limits: &Limits, is_thinned: bool) -> Ledger {
        Ledger {
            chunker: Chunker::new(limits),
            saved: BTreeMap::new(),
            removed: BTreeSet::new(),
            handled: BTreeSet::new(),
            handled_directories: BTreeSet::new(),
            history: BTreeSet::new(),
            history_to: Seq::START,
            is_thinned,
            let_go: BTreeSet::new(),
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
            match entry {
                TreeEntry::File { bytes, .. } => {
                    let id = self.content_id(&bytes);
                    *holding.in_folder.entry(id).or_default() += u32::from(!is_own(&path));
                    holding.anywhere.insert(id);
                    if !is_own(&path) {
                        holding.at.insert(path, id);
                    }
                }
                TreeEntry::Directory => _ = holding.directories.insert(path),
                _ => {}
            }
        }
        // Directories are known by the names that they stand for.
        let meant = meant_tree(disk).into_iter().filter(|(_, entry)| *entry == TreeEntry::Directory);
        holding.directories.extend(meant.map(|(path, _)| path));
        holding
    }

    /// Takes in what came to the journal, and what went.
    pub(crate) fn read_history(&mut self, meta: &impl MetaStore, drive: DriveId) -> Result<(), StoreError> {
        if self.is_thinned {
            self.read_anew(meta, drive)?;
        }
        self.read_on(meta, drive)
    }

    /// The server has only what `meta` says: its data was brought back from a copy. What was nowhere but there, or was there only because
    /// a person had removed it, need not be kept any more; all that machines still hold must.
    pub(crate) fn went_back(
        &mut self,
        meta: &impl MetaStore,
        drive: DriveId,
        held: &BTreeSet<ContentId>,
    ) -> Result<(), StoreError> {
        let gone = self.read_anew(meta, drive)?;
        let may_go = |id: &&ContentId| !held.contains(id) || self.removed.contains(id);
        let may_go: Vec<ContentId> = gone.iter().filter(may_go).copied().collect();
        may_go.iter().for_each(|id| _ = self.saved.remove(id));
        Ok(())
    }

    /// Reads all of the journal; what is not in it any more.
    fn read_anew(&mut self, meta: &impl MetaStore, drive: DriveId) -> Result<BTreeSet<ContentId>, StoreError> {
        let before = std::mem::take(&mut self.history);
        self.history_to = Seq::START;
        self.read_on(meta, drive)?;
        let gone: BTreeSet<ContentId> = before.difference(&self.history).copied().collect();
        self.let_go.extend(&gone);
        Ok(gone)
    }

    fn read_on(&mut self, meta: &impl MetaStore, drive: DriveId) -> Result<(), StoreError> {
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
        let taken = before.at.iter().filter(|(path, id)| after.at.get(*path) != Some(id));
        self.handled.extend(taken.map(|(_, id)| *id));
        let taken = before.directories.difference(&after.directories);
        self.handled_directories
            .extend(taken.filter_map(|path| path.rsplit(|byte| *byte == b'/').next()).map(Vec::from));
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
        let was_kept = |id: &ContentId| self.history.contains(id) || self.let_go.contains(id) || safes.contains(id);
        let is_kept = |id: &ContentId| folders.contains(id) || (self.removed.contains(id) && was_kept(id));
        let lost = self.saved.iter().filter(|(id, _)| !is_kept(id));
        lost.map(|(_, words)| words.clone()).collect()
    }

    /// Whether a person, or a power cut, has taken this content from its place somewhere.
    pub(crate) fn was_handled(&self, id: &ContentId) -> bool {
        self.handled.contains(id)
    }

    /// Whether a person, or a power cut, has taken a directory of this name from its place somewhere.
    pub(crate) fn was_directory_handled(&self, name: &[u8]) -> bool {
        self.handled_directories.contains(name)
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
