//! Every record that a chunk lies in, read and verified, pack by pack.

use skep_blobstore::{BlobError, PackId, PackStore, RecordPlace};
use skep_content::Block;
use skep_metastore::{ChunkRow, Read, StoreError};
use skep_types::{ChunkId, DriveId, Limits};

use super::{FindingCode, Lacking, Report};
use crate::content::holds_members;

/// One record and the chunks that lie in it.
#[derive(Debug)]
pub(crate) struct RecordRows {
    pub(crate) record: RecordPlace,
    pub(crate) chunks: Vec<(DriveId, ChunkId, ChunkRow)>,
}

/// The records of a pack in which chunks lie, in order.
pub(crate) fn records_of(rows: Vec<(DriveId, ChunkId, ChunkRow)>) -> Vec<RecordRows> {
    let mut records: Vec<RecordRows> = Vec::new();
    for row in rows {
        let record = row.2.place.record;
        match records.last_mut().filter(|last| last.record == record) {
            Some(last) => last.chunks.push(row),
            None => records.push(RecordRows { record, chunks: vec![row] }),
        }
    }
    records
}

impl RecordRows {
    /// Reads the record: its seal, the chunks that it should hold, and that their bytes are what their ids say.
    pub(crate) fn verify(&self, packs: &impl PackStore, limits: &Limits) -> Result<Block, BlobError> {
        let block = packs.read(self.record)?;
        let damaged = |reason: String| BlobError::Damaged { place: self.record, reason };
        let members: Vec<_> = self.chunks.iter().map(|(_, chunk, row)| (row.place.index, *chunk)).collect();
        holds_members(self.record, &block, &members)?;
        if self.chunks.iter().any(|(_, _, row)| block.chunks[usize::from(row.place.index)].length != row.place.length) {
            return Err(damaged("a chunk in it has another length than it should".to_owned()));
        }
        block.open(limits).map_err(|error| damaged(error.to_string()))?;
        Ok(block)
    }

    /// Whether one of its chunks is known as damaged.
    pub(crate) fn is_marked(&self) -> bool {
        self.chunks.iter().any(|(_, _, row)| row.damaged)
    }
}

/// Reads every record that a chunk lies in; gives the chunks that cannot be read.
pub(super) fn check_packs(
    read: &dyn Read,
    packs: &impl PackStore,
    limits: &Limits,
    report: &mut Report,
) -> Result<Lacking, StoreError> {
    let mut lacking = Lacking::new();
    let mut after = None;
    while let Some(pack) = read.pack_after(after)? {
        after = Some(pack);
        report.counts.packs += 1;
        let records = records_of(read.chunks_of_pack(pack)?);
        let total = records.len();
        let mut bad: Vec<BlobError> = Vec::new();
        for record in records {
            match record.verify(packs, limits) {
                Ok(_) => {
                    report.counts.records += 1;
                    report.counts.bytes += u64::from(record.record.length);
                    if record.is_marked() {
                        report.sound_again.push(record.record);
                    }
                }
                Err(error) => {
                    bad.push(error);
                    report.unreadable.push(record.record);
                    lacking.extend(record.chunks.iter().map(|(drive, chunk, _)| (*drive, *chunk)));
                }
            }
        }
        tell(pack, &bad, total, report);
    }
    Ok(lacking)
}

fn tell(pack: PackId, bad: &[BlobError], total: usize, report: &mut Report) {
    let Some(first) = bad.first() else { return };
    report.packs.insert(pack);
    let reason = match first {
        BlobError::Damaged { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    let count = bad.len();
    let what = format!("In pack {} {count} of {total} records cannot be read: {reason}.", pack.0);
    report.find(FindingCode::Pack, what);
}
