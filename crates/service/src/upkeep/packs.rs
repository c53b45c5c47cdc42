//! Packs in a round: those that nothing lies in are condemned and later freed, those that little lies in are rewritten.

use std::collections::BTreeSet;

use skep_blobstore::{BlobError, PackId, PackStore, RecordPlace};
use skep_metastore::MetaStore;

use super::collector::{CollectError, Collector, Mode};
use crate::check::{RecordRows, records_of};
use crate::pins::Pins;

/// A pack is rewritten when at most one part in so many of it is in use.
const REWRITE_BELOW: u64 = 2;

impl Collector {
    /// Condemns, frees, rewrites or spares one finished pack.
    pub(super) fn look_at_pack(
        &mut self,
        meta: &impl MetaStore,
        packs: &impl PackStore,
        pins: &Pins,
        pack: PackId,
        bytes: u64,
    ) -> Result<(), CollectError> {
        // Asked before the rows: to a finished pack no pin is added, so that rows that came after this answer are seen below.
        if pins.holds(pack) {
            return Ok(());
        }
        let (rows, condemned) = meta.read(|read| {
            let condemned = read.condemned_packs()?.into_iter().find(|(found, _)| *found == pack);
            Ok((read.chunks_of_pack(pack)?, condemned.map(|(_, since)| since)))
        })?;
        let records = records_of(rows);
        let used: u64 = records.iter().map(|record| u64::from(record.record.length)).sum();
        match condemned {
            None if records.is_empty() => {
                self.condemned(bytes);
                self.unless_counting(|| Ok(meta.write(|tx| tx.condemn_pack(pack, self.now))?))
            }
            None if used.saturating_mul(REWRITE_BELOW) < bytes => {
                self.condemned(bytes);
                self.unless_counting(|| rewrite(meta, packs, &records))
            }
            None => Ok(()),
            Some(_) if !records.is_empty() => self.unless_counting(|| Ok(meta.write(|tx| tx.spare_pack(pack))?)),
            Some(since) if self.retention.may_free(since, self.now) => {
                self.collected.packs_freed += 1;
                self.collected.bytes_freed += bytes;
                self.unless_counting(|| {
                    // The file first: if this is cut short, the next round finds a condemned pack without one.
                    packs.remove_pack(pack)?;
                    Ok(meta.write(|tx| tx.spare_pack(pack))?)
                })
            }
            Some(_) => {
                self.condemned(bytes);
                Ok(())
            }
        }
    }

    /// Forgets condemned packs whose files are gone: freeing them was cut short.
    pub(super) fn forget_freed(&self, meta: &impl MetaStore, packs: &impl PackStore) -> Result<(), CollectError> {
        let condemned = meta.read(|read| read.condemned_packs())?;
        if condemned.is_empty() || self.mode == Mode::CountPacks {
            return Ok(());
        }
        let there: BTreeSet<PackId> = packs.finished_packs()?.into_iter().map(|(pack, _)| pack).collect();
        let freed = condemned.into_iter().map(|(pack, _)| pack).filter(|pack| !there.contains(pack));
        for pack in freed {
            meta.write(|tx| tx.spare_pack(pack))?;
        }
        Ok(())
    }

    fn condemned(&mut self, bytes: u64) {
        self.collected.packs_condemned += 1;
        self.collected.bytes_condemned += bytes;
    }

    fn unless_counting(&self, work: impl FnOnce() -> Result<(), CollectError>) -> Result<(), CollectError> {
        match self.mode {
            Mode::Collect => work(),
            Mode::CountPacks => Ok(()),
        }
    }
}

/// Copies what lies in a pack to the open one, and leads the rows there once that is durable. The old pack is condemned by the next
/// round. A record that cannot be read keeps its place, and is marked: the pack stays for whoever may still read it.
fn rewrite(meta: &impl MetaStore, packs: &impl PackStore, records: &[RecordRows]) -> Result<(), CollectError> {
    let mut moved: Vec<(RecordPlace, RecordPlace)> = Vec::with_capacity(records.len());
    let mut damaged = Vec::new();
    for RecordRows { record, .. } in records {
        match packs.read(*record) {
            Ok(block) => moved.push((*record, packs.append(&block)?)),
            Err(BlobError::Damaged { .. }) => damaged.push(*record),
            Err(error) => return Err(error.into()),
        }
    }
    let places: Vec<RecordPlace> = moved.iter().map(|(_, to)| *to).collect();
    packs.make_durable(&places)?;
    Ok(meta.write(|tx| {
        damaged.iter().try_for_each(|record| tx.mark_damaged(*record).map(drop))?;
        moved.iter().try_for_each(|(from, to)| tx.move_record(*from, *to))
    })?)
}
