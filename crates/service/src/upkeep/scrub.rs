//! Scrub: every record that a chunk lies in is read and verified again, a few at a time.

use std::collections::VecDeque;

use skep_blobstore::{BlobError, PackId, PackStore};
use skep_metastore::{MetaStore, StoreError};
use skep_types::Limits;

use crate::check::{RecordRows, records_of};

/// What a scrub has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Records that were read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that cannot be read, or are not what they should be.
    pub damaged: u64,
    /// Chunks that count as damaged now and did not before.
    pub chunks_marked: u64,
    /// Chunks that had counted as damaged and are whole.
    pub chunks_sound: u64,
    /// Records that the disk did not give; nothing is known of them.
    pub unread: u64,
}

/// A scrub under way.
#[derive(Debug, Default)]
pub(super) struct Scrub {
    pub(super) scrubbed: Scrubbed,
    pack: Option<PackId>,
    left: VecDeque<RecordRows>,
}

impl Scrub {
    /// Reads records of about `bytes` bytes; `false` at the end.
    pub(super) fn step(
        &mut self,
        meta: &impl MetaStore,
        packs: &impl PackStore,
        limits: &Limits,
        bytes: u64,
    ) -> Result<bool, StoreError> {
        let until = self.scrubbed.bytes + bytes;
        while self.scrubbed.bytes < until {
            let Some(record) = self.left.pop_front() else {
                let Some(pack) = meta.read(|read| read.pack_after(self.pack))? else { return Ok(false) };
                self.pack = Some(pack);
                self.left = records_of(meta.read(|read| read.chunks_of_pack(pack))?).into();
                continue;
            };
            self.look(meta, packs, limits, &record)?;
        }
        Ok(true)
    }

    fn look(
        &mut self,
        meta: &impl MetaStore,
        packs: &impl PackStore,
        limits: &Limits,
        record: &RecordRows,
    ) -> Result<(), StoreError> {
        let place = record.record;
        self.scrubbed.records += 1;
        self.scrubbed.bytes += u64::from(place.length);
        match record.verify(packs, limits) {
            Ok(_) if record.is_marked() => {
                self.scrubbed.chunks_sound += meta.write(|tx| tx.mark_sound(place))? as u64;
            }
            Ok(_) => {}
            Err(error @ BlobError::Damaged { .. }) => {
                let marked = meta.write(|tx| tx.mark_damaged(place))?;
                self.scrubbed.damaged += 1;
                self.scrubbed.chunks_marked += marked as u64;
                if marked > 0 {
                    tracing::error!(%error, chunks = marked, "content is damaged; a device that has it whole sends it again");
                }
            }
            Err(error) => {
                self.scrubbed.unread += 1;
                tracing::error!(%error, "a record could not be read");
            }
        }
        Ok(())
    }
}
