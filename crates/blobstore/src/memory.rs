//! Blocks in memory, for tests of what stands on a store.

use std::collections::BTreeMap;
use std::sync::Mutex;

use skep_content::Block;

use crate::{BlobError, BlobStore, PackId, RecordPlace};

/// Keeps blocks until it is dropped. All of them are durable in the sense that nothing ever crashes here.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    /// By the offset of their places; the length is part of what a reader must know.
    records: Mutex<BTreeMap<u64, (u32, Block)>>,
}

impl MemoryBlobs {
    /// An empty store.
    pub fn new() -> MemoryBlobs {
        MemoryBlobs::default()
    }
}

const ONLY_PACK: PackId = PackId(1);

impl BlobStore for MemoryBlobs {
    fn append(&self, block: &Block) -> Result<RecordPlace, BlobError> {
        let length = u32::try_from(block.bytes.len()).expect("a block is at most block_bytes_max long");
        let mut records = self.records.lock().expect("no thread panics while it holds the records");
        let offset = records.last_key_value().map_or(0, |(offset, (length, _))| offset + u64::from(*length).max(1));
        records.insert(offset, (length, block.clone()));
        Ok(RecordPlace { pack: ONLY_PACK, offset, length })
    }

    fn make_durable(&self, places: &[RecordPlace]) -> Result<(), BlobError> {
        places.iter().try_for_each(|place| self.read(*place).map(drop))
    }

    fn read(&self, place: RecordPlace) -> Result<Block, BlobError> {
        let records = self.records.lock().expect("no thread panics while it holds the records");
        match records.get(&place.offset) {
            Some((length, block)) if place.pack == ONLY_PACK && place.length == *length => Ok(block.clone()),
            _ => Err(BlobError::Damaged { place, reason: "there is no record".to_owned() }),
        }
    }
}
