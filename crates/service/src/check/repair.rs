//! Putting right what a check has found: what can be read moves to a new pack, the rest is marked, damaged packs are moved aside.
//!
//! Nothing is deleted. Safe at any kill: a record is durable in its new place before its rows lead there, and a pack is moved
//! aside only when no row that could be read leads to it.

use skep_blobstore::{BlobError, PackId, PackStore, RecordPlace};
use skep_metastore::{MetaStore, StoreError};
use skep_types::Limits;

use super::Report;
use super::content::records_of;

/// What was put right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Packs that were moved aside, and whereto, relative to the data directory.
    pub set_aside: Vec<(PackId, String)>,
    /// Records that could be read and have moved to a new pack.
    pub records_saved: u64,
    /// Chunks that count as lacking from now on, so that a device that has them sends them again.
    pub chunks_marked: u64,
    /// Chunks that had counted as damaged and are whole.
    pub chunks_sound: u64,
}

/// A repair was broken off. What was done before stays done, and it can be started again.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The metadata store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content store failed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// Puts right what `report` says of packs. Nobody else may write to the stores meanwhile.
pub fn repair(
    meta: &impl MetaStore,
    packs: &impl PackStore,
    limits: &Limits,
    report: &Report,
) -> Result<Repaired, RepairError> {
    let mut repaired = Repaired::default();
    for record in &report.sound_again {
        repaired.chunks_sound += meta.write(|tx| tx.mark_sound(*record))? as u64;
    }
    for pack in &report.packs {
        empty_pack(meta, packs, limits, *pack, &mut repaired)?;
        let is_there = packs.finished_packs()?.iter().any(|(found, _)| found == pack);
        if is_there {
            repaired.set_aside.push((*pack, packs.set_aside(*pack)?));
        }
    }
    Ok(repaired)
}

/// Leaves no readable record in a pack to which rows lead.
fn empty_pack(
    meta: &impl MetaStore,
    packs: &impl PackStore,
    limits: &Limits,
    pack: PackId,
    repaired: &mut Repaired,
) -> Result<(), RepairError> {
    let records = records_of(meta.read(|read| read.chunks_of_pack(pack))?);
    let mut saved: Vec<(RecordPlace, RecordPlace)> = Vec::new();
    let mut lost: Vec<RecordPlace> = Vec::new();
    for record in &records {
        match record.verify(packs, limits) {
            Ok(block) => saved.push((record.record, packs.append(&block)?)),
            Err(_) => lost.push(record.record),
        }
    }
    let places: Vec<RecordPlace> = saved.iter().map(|(_, to)| *to).collect();
    packs.make_durable(&places)?;
    repaired.chunks_marked += meta.write(|tx| {
        saved.iter().try_for_each(|(from, to)| tx.move_record(*from, *to))?;
        let marked = lost.iter().map(|record| tx.mark_damaged(*record)).sum::<Result<usize, _>>()?;
        Ok(marked as u64)
    })?;
    repaired.records_saved += saved.len() as u64;
    Ok(())
}
