//! What upkeep asks of a store and does to it: healing, retention, garbage collection, scrub, checks.
//!
//! Invariant: a chunk row goes only in a transaction in which nothing names the chunk; bytes are freed by whoever holds the packs,
//! later, and only where no row leads to them.

use skep_blobstore::{PackId, RecordPlace};
use skep_content::Manifest;
use skep_types::{ChunkId, DriveId, Entry, FieldGroups, ListId, NodeId, NodeState, Seq, Timestamp};

use crate::{ChunkPlace, Drive, StoreError};

/// All that is known of a chunk of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRow {
    /// Where it lies.
    pub place: ChunkPlace,
    /// It is kept until then, used or not.
    pub lease: Timestamp,
    /// Its record was found damaged; the drive lacks it until it is sent again.
    pub damaged: bool,
}

/// One list of chunks that a drive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its id.
    pub list: ListId,
    /// It is kept until then, used or not.
    pub lease: Timestamp,
    /// What it lists.
    pub manifest: Manifest,
}

/// How far a drive's journal was thinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thinned {
    /// Before it, entries may be missing; a cursor before it is answered with a snapshot only.
    pub floor: Seq,
    /// What entries up to here supersede has been thinned.
    pub done: Seq,
}

/// The reading that upkeep needs.
pub trait ReadUpkeep {
    /// Every drive, by the order in which they were made.
    fn every_drive(&self) -> Result<Vec<Drive>, StoreError>;
    /// What is known of these chunks of a drive, damaged ones too.
    fn chunk_rows(&self, drive: DriveId, chunks: &[ChunkId]) -> Result<Vec<Option<ChunkRow>>, StoreError>;
    /// The chunks of a drive by id after `after`, at most `limit`.
    fn chunks_after(
        &self,
        drive: DriveId,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<(ChunkId, ChunkRow)>, StoreError>;
    /// The first pack after `after` in which a chunk lies.
    fn pack_after(&self, after: Option<PackId>) -> Result<Option<PackId>, StoreError>;
    /// The highest pack that any row names: packs made from now on must count on from there.
    fn last_pack(&self) -> Result<Option<PackId>, StoreError>;
    /// Every chunk in a pack, by where it lies.
    fn chunks_of_pack(&self, pack: PackId) -> Result<Vec<(DriveId, ChunkId, ChunkRow)>, StoreError>;
    /// The lists of a drive by id after `after`, at most `limit`.
    fn manifests_after(
        &self,
        drive: DriveId,
        after: Option<ListId>,
        limit: usize,
    ) -> Result<Vec<ManifestRow>, StoreError>;
    /// The lists of a drive that are kept beyond `time` in any case.
    fn lists_leased(&self, drive: DriveId, time: Timestamp) -> Result<Vec<ListId>, StoreError>;
    /// How far a drive's journal was thinned.
    fn thinned(&self, drive: DriveId) -> Result<Thinned, StoreError>;
    /// The entries of a node before `before`, oldest first.
    fn entries_of(&self, drive: DriveId, node: NodeId, before: Seq) -> Result<Vec<Entry>, StoreError>;
    /// Nodes that are trashed themselves, by directory and id after `after`, at most `limit`.
    fn trashed(
        &self,
        drive: DriveId,
        after: Option<(NodeId, NodeId)>,
        limit: usize,
    ) -> Result<Vec<NodeState>, StoreError>;
    /// Some children of a directory, live or trashed, at most `limit`.
    fn any_children(&self, drive: DriveId, parent: NodeId, limit: usize) -> Result<Vec<NodeState>, StoreError>;
    /// The packs that are condemned, and since when.
    fn condemned_packs(&self) -> Result<Vec<(PackId, Timestamp)>, StoreError>;
}

/// The writing that upkeep needs.
pub trait WriteUpkeep: ReadUpkeep {
    /// Every chunk that lies in this record counts as lacking from now on. How many were new to that.
    fn mark_damaged(&mut self, record: RecordPlace) -> Result<usize, StoreError>;
    /// Every chunk that lies in this record was read and is whole. How many had counted as damaged.
    fn mark_sound(&mut self, record: RecordPlace) -> Result<usize, StoreError>;
    /// Every chunk that lies in the record `from` lies in the record `to` now, which is durable and holds the same block.
    fn move_record(&mut self, from: RecordPlace, to: RecordPlace) -> Result<(), StoreError>;
    /// Takes field groups off an entry that later entries supersede, and the entry away if none is left. Raises the floor.
    fn thin(&mut self, drive: DriveId, entry: &Entry, superseded: FieldGroups) -> Result<(), StoreError>;
    /// What entries up to here supersede has been thinned.
    fn put_thinned(&mut self, drive: DriveId, done: Seq) -> Result<(), StoreError>;
    /// Forgets a trashed node and its entries, for good, and raises the floor. [`StoreError::Failed`] if anything stands beneath it, or if
    /// the journal ends with an entry of it.
    fn purge(&mut self, drive: DriveId, node: NodeId) -> Result<(), StoreError>;
    /// The drive does not hold this chunk any more. The caller has checked, in this transaction, that nothing names it.
    fn drop_chunk(&mut self, drive: DriveId, chunk: ChunkId) -> Result<(), StoreError>;
    /// The drive does not hold this list any more. The caller has checked, in this transaction, that nothing names it.
    fn drop_manifest(&mut self, drive: DriveId, list: ListId) -> Result<(), StoreError>;
    /// Notes that no chunk lies in a pack, unless that is noted already.
    fn condemn_pack(&mut self, pack: PackId, since: Timestamp) -> Result<(), StoreError>;
    /// Forgets that a pack was condemned.
    fn spare_pack(&mut self, pack: PackId) -> Result<(), StoreError>;
    /// Drops lines of the connection log that are older than `time`, at most `limit`. How many.
    fn drop_connections_before(&mut self, time: Timestamp, limit: usize) -> Result<usize, StoreError>;
}
