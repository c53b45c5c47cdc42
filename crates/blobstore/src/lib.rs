//! Where content lies: blocks by place, durable on demand.
//!
//! The metadata store knows which chunk lies where; this knows only records. A record is written once and never changed.
//! Invariant: nothing here knows drives, accounts or chunk ids' meaning; a place that was never made durable may be gone
//! after a crash, one that was is readable or reported damaged.

pub mod conformance;
mod ledger;
mod local;
mod memory;

use skep_content::Block;

pub use local::{LocalPacks, pack_name as pack_file_name};
pub use memory::MemoryBlobs;

/// Which pack: counts up from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub u64);

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPlace {
    /// In which pack.
    pub pack: PackId,
    /// From this byte of the pack.
    pub offset: u64,
    /// So many bytes, all included.
    pub length: u32,
}

/// A blob operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The store cannot take more.
    #[error("the disk of the content store is full")]
    NoSpace,
    /// The record is not there or not what was written.
    #[error("damaged record in pack {pack} at {offset}: {reason}", pack = place.pack.0, offset = place.offset)]
    Damaged {
        /// Which record.
        place: RecordPlace,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed. After a failed sync the open pack is given up and nothing in it counts as durable.
    #[error("content store: {0}")]
    Disk(String),
}

/// Keeps blocks. Calls block; callers run them on a lane. Any number of threads may call at once.
pub trait BlobStore: Send + Sync + 'static {
    /// Appends a block that the caller has verified. It can be read at once, but survives a crash only after
    /// [`BlobStore::make_durable`] of its place.
    fn append(&self, block: &Block) -> Result<RecordPlace, BlobError>;
    /// Returns when the records at these places will survive a power cut. One sync serves all that wait, and also covers what
    /// others have appended before it started.
    ///
    /// Fails if one of them may be lost, also when that was found in a sync that another caller asked for: this is why the places
    /// are named. After a failure nothing is known of these records; append them again.
    fn make_durable(&self, places: &[RecordPlace]) -> Result<(), BlobError>;
    /// The block at a place, checked against its seal or checksum.
    fn read(&self, place: RecordPlace) -> Result<Block, BlobError>;
    /// Bytes that can still be appended; `u64::MAX` where nobody knows.
    fn free_bytes(&self) -> Result<u64, BlobError> {
        Ok(u64::MAX)
    }
}

/// A store whose bytes lie in packs that can be listed, freed and moved aside.
///
/// Whoever frees a pack has made sure that nothing leads to it: the store knows records, not who needs them.
pub trait PackStore: BlobStore {
    /// Every pack to which nothing will be appended any more and that is durable as a whole, with its bytes, by number.
    fn finished_packs(&self) -> Result<Vec<(PackId, u64)>, BlobError>;
    /// Packs made from now on have higher numbers than this one: a pack that was lost must not be mistaken for a new one.
    fn count_on_from(&self, last: PackId);
    /// Removes a finished pack for good. Fine if it is gone already.
    fn remove_pack(&self, pack: PackId) -> Result<(), BlobError>;
    /// Moves a finished pack out of the way, and says whereto, relative to the data directory. Its records are not found any more.
    fn set_aside(&self, pack: PackId) -> Result<String, BlobError>;
}
