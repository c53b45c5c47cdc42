//! One round of garbage collection, in steps of bounded work: thin the journals, empty the trash, mark what is in use, let go of what
//! is not, free packs.
//!
//! A round may be broken off after any step, and a process may be killed at any point: what was done is whole, the next round
//! begins anew. Other work goes on between the steps. What keeps that right: every new use of a content is an entry of
//! a journal, and every transaction that lets go of something first marks what the entries since the last look name.

use std::collections::{BTreeSet, VecDeque};

use skep_blobstore::{BlobError, PackId, PackStore};
use skep_drive::{Retention, retention_clock};
use skep_metastore::{MetaStore, Read, StoreError, Write};
use skep_types::{ChunkId, Content, DriveId, Entry, FieldGroups, ListId, NodeId, NodeState, Seq, Timestamp};

use super::marks::Marks;
use super::{put_time, time_of};
use crate::pins::Pins;

/// Rows of a table that a step looks at.
const ROWS_PER_STEP: usize = 1024;
/// Lists that a step looks at: each may be tens of megabytes.
const LISTS_PER_STEP: usize = 8;
/// Entries whose forerunners a step thins.
const THINNED_PER_STEP: usize = 256;
/// Nodes that a step takes out of the trash for good.
const PURGED_PER_STEP: usize = 256;
/// A round ends when the clock goes back further than this: leases are given by it, and a day's must not seem to be over.
const CLOCK_BACK_MAX_MS: u64 = 12 * 3_600_000;
/// The setting that holds the time by which retention was last judged.
const RETENTION_TIME: &str = "retention_time";

/// What a round does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lets go of rows and frees packs.
    Collect,
    /// Leaves packs as they are, and counts: for a round on a copy of the metadata.
    CountPacks,
}

/// What a round has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Entries that lost field groups or went.
    pub entries: u64,
    /// Nodes that left the trash for good.
    pub nodes: u64,
    /// Lists of chunks that nothing named.
    pub lists: u64,
    /// Chunks that nothing named.
    pub chunks: u64,
    /// Their plain bytes.
    pub chunk_bytes: u64,
    /// Packs that were freed, and those that a rewriting has emptied.
    pub packs_freed: u64,
    /// Bytes on disk that were freed.
    pub bytes_freed: u64,
    /// Packs that nothing lies in any more, or less than half; freed by a later round.
    pub packs_condemned: u64,
    /// Their bytes.
    pub bytes_condemned: u64,
}

/// A round was broken off; what it had done is whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The metadata store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content store failed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// Whether a round goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Steps are left; the next one works with packs, or only with metadata.
    More(Works),
    /// The round is at its end.
    Done,
}

/// What a step works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Works {
    Metadata,
    Packs,
}

#[derive(Debug)]
enum Stage {
    NextDrive,
    Thin(DriveId),
    Trash { drive: DriveId, after: Option<(NodeId, NodeId)>, purging: VecDeque<NodeState> },
    Nodes { use_of: Use, after: Option<NodeId> },
    Entries(Use),
    Lists { use_of: Use, after: Option<ListId> },
    DropLists { use_of: Use, after: Option<ListId> },
    DropChunks { use_of: Use, after: Option<ChunkId> },
    Connections,
    ListPacks,
    Packs(VecDeque<(PackId, u64)>),
    Done,
}

/// What is in use of a drive.
#[derive(Debug)]
struct Use {
    drive: DriveId,
    marks: Marks,
    /// Entries up to here were looked at.
    seen: Seq,
    /// Lists that are kept by their lease and whose chunks are marked.
    leased: BTreeSet<ListId>,
}

/// A round under way.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) now: Timestamp,
    pub(super) retention: Retention,
    pub(super) mode: Mode,
    pub(super) collected: Collected,
    /// Whether nodes may go for good just now.
    pub(super) may_purge: bool,
    drives: VecDeque<DriveId>,
    stage: Stage,
}

impl Collector {
    /// Begins a round at `clock`.
    pub(super) fn begin(
        meta: &impl MetaStore,
        clock: Timestamp,
        retention: Retention,
        mode: Mode,
    ) -> Result<Collector, CollectError> {
        let (now, drives) = meta.write(|tx| {
            let now = retention_clock(time_of(tx, RETENTION_TIME)?, clock);
            put_time(tx, RETENTION_TIME, now)?;
            Ok((now, tx.every_drive()?.into_iter().map(|drive| drive.id).collect()))
        })?;
        let (collected, stage) = (Collected::default(), Stage::NextDrive);
        Ok(Collector { now, retention, mode, collected, may_purge: true, drives, stage })
    }

    /// Does one bounded piece of work, at `clock`.
    pub(super) fn step(
        &mut self,
        clock: Timestamp,
        meta: &impl MetaStore,
        packs: &impl PackStore,
        pins: &Pins,
    ) -> Result<Progress, CollectError> {
        if clock.plus_milliseconds(CLOCK_BACK_MAX_MS) < self.now {
            tracing::warn!("the clock went back, no garbage is collected until tomorrow");
            self.stage = Stage::Done;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        self.stage = match stage {
            Stage::NextDrive => match self.drives.pop_front() {
                Some(drive) => Stage::Thin(drive),
                None => Stage::Connections,
            },
            Stage::Thin(drive) => self.thin(meta, drive)?,
            Stage::Trash { drive, after, purging } => self.trash(meta, drive, after, purging)?,
            Stage::Nodes { use_of, after } => nodes(meta, use_of, after)?,
            Stage::Entries(use_of) => entries(meta, use_of)?,
            Stage::Lists { use_of, after } => self.lists(meta, use_of, after)?,
            Stage::DropLists { use_of, after } => self.drop_lists(meta, use_of, after)?,
            Stage::DropChunks { use_of, after } => self.drop_chunks(meta, use_of, after)?,
            Stage::Connections => self.connections(meta)?,
            Stage::ListPacks => {
                self.forget_freed(meta, packs)?;
                Stage::Packs(packs.finished_packs()?.into())
            }
            Stage::Packs(mut left) => match left.pop_front() {
                None => Stage::Done,
                Some((pack, bytes)) => {
                    self.look_at_pack(meta, packs, pins, pack, bytes)?;
                    Stage::Packs(left)
                }
            },
            Stage::Done => Stage::Done,
        };
        Ok(match self.stage {
            Stage::Done => Progress::Done,
            Stage::ListPacks | Stage::Packs(_) => Progress::More(Works::Packs),
            _ => Progress::More(Works::Metadata),
        })
    }

    /// What old entries supersede in older ones goes.
    fn thin(&mut self, meta: &impl MetaStore, drive: DriveId) -> Result<Stage, CollectError> {
        let next = Stage::Trash { drive, after: None, purging: VecDeque::new() };
        let old = |tx: &dyn Read| -> Result<Vec<Entry>, StoreError> {
            let page = tx.entries(drive, tx.thinned(drive)?.done, THINNED_PER_STEP)?;
            Ok(page.into_iter().take_while(|entry| self.retention.is_old_version(entry.time, self.now)).collect())
        };
        if meta.read(|read| Ok(old(read)?.is_empty()))? {
            return Ok(next);
        }
        self.collected.entries += meta.write(|tx| {
            let mut thinned = 0;
            for later in old(&*tx)? {
                for entry in tx.entries_of(drive, later.state.node, later.seq)? {
                    let superseded = self.retention.superseded(&entry, &later, self.now);
                    if superseded != FieldGroups::default() {
                        tx.thin(drive, &entry, superseded)?;
                        thinned += 1;
                    }
                }
                tx.put_thinned(drive, later.seq)?;
            }
            Ok(thinned)
        })?;
        Ok(Stage::Thin(drive))
    }

    /// What has lain in the trash for long enough goes, with all that is beneath it, from the leaves up.
    fn trash(
        &mut self,
        meta: &impl MetaStore,
        drive: DriveId,
        after: Option<(NodeId, NodeId)>,
        mut purging: VecDeque<NodeState>,
    ) -> Result<Stage, CollectError> {
        if !self.may_purge {
            return Ok(Stage::Nodes { use_of: Use::new(drive), after: None });
        }
        if let Some(top) = purging.pop_front() {
            let (purged, is_gone) = meta.write(|tx| purge_some(tx, drive, &top))?;
            self.collected.nodes += purged;
            if !is_gone {
                purging.push_front(top);
            }
            return Ok(Stage::Trash { drive, after, purging });
        }
        let (after, due) = meta.read(|read| {
            let head = read.drive(drive)?.map_or(Seq::START, |drive| drive.head);
            let page = read.trashed(drive, after, ROWS_PER_STEP)?;
            let last = page.last().map(|state| (state.place.parent, state.node));
            let mut due = VecDeque::new();
            for state in page {
                let trashed = read.entry(drive, state.place_version.seq)?;
                let is_due = trashed.is_some_and(|entry| self.retention.may_purge(entry.time, self.now));
                // The journal must end with an entry that is there: cursors are checked against it.
                if is_due && state.newest().seq < head {
                    due.push_back(state);
                }
            }
            Ok((last, due))
        })?;
        match after {
            None => Ok(Stage::Nodes { use_of: Use::new(drive), after: None }),
            after => Ok(Stage::Trash { drive, after, purging: due }),
        }
    }

    /// Lists that are in use or kept by their lease keep their chunks.
    fn lists(&mut self, meta: &impl MetaStore, mut use_of: Use, after: Option<ListId>) -> Result<Stage, CollectError> {
        let page = meta.read(|read| read.manifests_after(use_of.drive, after, LISTS_PER_STEP))?;
        let Some(last) = page.last().map(|row| row.list) else { return Ok(Stage::DropLists { use_of, after: None }) };
        for row in page {
            let is_kept = row.lease > self.now;
            if is_kept || use_of.marks.has_list(row.list) {
                row.manifest.chunks.iter().for_each(|chunk| use_of.marks.mark_chunk(chunk.id));
            }
            if is_kept {
                use_of.leased.insert(row.list);
            }
        }
        Ok(Stage::Lists { use_of, after: Some(last) })
    }

    fn drop_lists(
        &mut self,
        meta: &impl MetaStore,
        mut use_of: Use,
        after: Option<ListId>,
    ) -> Result<Stage, CollectError> {
        let page = meta.read(|read| read.manifests_after(use_of.drive, after, LISTS_PER_STEP))?;
        let Some(last) = page.last().map(|row| row.list) else { return Ok(Stage::DropChunks { use_of, after: None }) };
        let idle =
            |row: &skep_metastore::ManifestRow, marks: &Marks| row.lease <= self.now && !marks.has_list(row.list);
        let candidates: BTreeSet<ListId> =
            page.into_iter().filter(|row| idle(row, &use_of.marks)).map(|row| row.list).collect();
        if !candidates.is_empty() {
            self.collected.lists += meta.write(|tx| {
                use_of.catch_up(&*tx, self.now)?;
                let mut dropped = 0;
                // Read again, under the lock: it may have been sent once more meanwhile.
                for row in tx.manifests_after(use_of.drive, after, LISTS_PER_STEP)? {
                    if candidates.contains(&row.list) && idle(&row, &use_of.marks) {
                        tx.drop_manifest(use_of.drive, row.list)?;
                        dropped += 1;
                    }
                }
                Ok(dropped)
            })?;
        }
        Ok(Stage::DropLists { use_of, after: Some(last) })
    }

    fn drop_chunks(
        &mut self,
        meta: &impl MetaStore,
        mut use_of: Use,
        after: Option<ChunkId>,
    ) -> Result<Stage, CollectError> {
        let drive = use_of.drive;
        let page = meta.read(|read| read.chunks_after(drive, after, ROWS_PER_STEP))?;
        let Some(last) = page.last().map(|(chunk, _)| *chunk) else { return Ok(Stage::NextDrive) };
        let idle = page.iter().filter(|(chunk, row)| row.lease <= self.now && !use_of.marks.has_chunk(*chunk));
        let candidates: Vec<ChunkId> = idle.map(|(chunk, _)| *chunk).collect();
        if !candidates.is_empty() {
            let (chunks, bytes) = meta.write(|tx| {
                use_of.catch_up(&*tx, self.now)?;
                let (mut chunks, mut bytes) = (0, 0);
                for (chunk, row) in candidates.iter().zip(tx.chunk_rows(drive, &candidates)?) {
                    let Some(row) = row else { continue };
                    if row.lease <= self.now && !use_of.marks.has_chunk(*chunk) {
                        tx.drop_chunk(drive, *chunk)?;
                        chunks += 1;
                        bytes += u64::from(row.place.length);
                    }
                }
                Ok((chunks, bytes))
            })?;
            self.collected.chunks += chunks;
            self.collected.chunk_bytes += bytes;
        }
        Ok(Stage::DropChunks { use_of, after: Some(last) })
    }

    fn connections(&mut self, meta: &impl MetaStore) -> Result<Stage, CollectError> {
        let since = self.retention.connections_since(self.now);
        let dropped = meta.write(|tx| tx.drop_connections_before(since, ROWS_PER_STEP))?;
        Ok(if dropped < ROWS_PER_STEP { Stage::ListPacks } else { Stage::Connections })
    }
}

impl Use {
    fn new(drive: DriveId) -> Use {
        Use { drive, marks: Marks::new(), seen: Seq::START, leased: BTreeSet::new() }
    }

    /// Within the transaction that lets go of something: marks what was put to use since the last look.
    fn catch_up(&mut self, read: &dyn Read, now: Timestamp) -> Result<(), StoreError> {
        let mut lists = Vec::new();
        loop {
            let page = read.entries(self.drive, self.seen, ROWS_PER_STEP)?;
            let Some(last) = page.last() else { break };
            self.seen = last.seq;
            lists.extend(page.iter().filter_map(|entry| self.mark_entry(entry)));
        }
        for list in read.lists_leased(self.drive, now)? {
            if self.leased.insert(list) {
                lists.push(list);
            }
        }
        for list in lists {
            if let Some(manifest) = read.manifest(self.drive, list)? {
                manifest.chunks.iter().for_each(|chunk| self.marks.mark_chunk(chunk.id));
            }
        }
        Ok(())
    }

    /// Marks what an entry brought; gives its list if that was not marked before.
    fn mark_entry(&mut self, entry: &Entry) -> Option<ListId> {
        let file = entry.state.content.file().filter(|_| entry.changed.content)?;
        self.marks.mark_content(&file.id)
    }
}

fn nodes(meta: &impl MetaStore, mut use_of: Use, after: Option<NodeId>) -> Result<Stage, CollectError> {
    let page = meta.read(|read| read.nodes(use_of.drive, after, ROWS_PER_STEP))?;
    let Some(last) = page.last().map(|state| state.node) else { return Ok(Stage::Entries(use_of)) };
    for state in page {
        if let Content::File(file) = &state.content {
            // Chunks of lists are marked when all lists are gone over.
            use_of.marks.mark_content(&file.id);
        }
    }
    Ok(Stage::Nodes { use_of, after: Some(last) })
}

fn entries(meta: &impl MetaStore, mut use_of: Use) -> Result<Stage, CollectError> {
    let page = meta.read(|read| read.entries(use_of.drive, use_of.seen, ROWS_PER_STEP))?;
    let Some(last) = page.last().map(|entry| entry.seq) else { return Ok(Stage::Lists { use_of, after: None }) };
    for entry in &page {
        use_of.mark_entry(entry);
    }
    use_of.seen = last;
    Ok(Stage::Entries(use_of))
}

/// Takes some of what is beneath a trashed node, and in the end the node itself; how many, and whether it is gone. Nothing is done if it
/// was taken out of the trash, or trashed anew, since it was looked at.
fn purge_some(tx: &mut dyn Write, drive: DriveId, top: &NodeState) -> Result<(u64, bool), StoreError> {
    let is_same = |now: NodeState| now.place_version == top.place_version;
    let now = tx.view(drive)?.node(top.node).ok().flatten();
    if !now.is_some_and(is_same) {
        return Ok((0, true));
    }
    let mut way = vec![top.node];
    let mut purged = 0;
    while let Some(at) = way.last().copied() {
        if purged == PURGED_PER_STEP as u64 {
            return Ok((purged, false));
        }
        match tx.any_children(drive, at, 1)?.first() {
            Some(child) => way.push(child.node),
            None => {
                tx.purge(drive, at)?;
                purged += 1;
                way.pop();
            }
        }
    }
    Ok((purged, true))
}
