//! Reading packs: one record by its place, and all records of a pack for whoever rebuilds or scrubs.

use skep_content::{Block, ChunkRef, PackFooter, PackHeader, PackSalt, RecordHeader, open_record, read_index};
use skep_platform::{FileErrorKind, Files};

use super::{LocalPacks, file_error, pack_name};
use crate::{BlobError, PackId, RecordPlace};

/// Salts that are kept in memory: those of 256 GiB of packs, in about 300 KiB.
pub(super) const SALTS_MAX: usize = 4096;

/// Beyond this no record starts; systems refuse to seek far beyond.
const OFFSET_MAX: u64 = u32::MAX as u64;

impl<F: Files> LocalPacks<F> {
    /// The whole records of a pack and their chunks, in order: by its index, or, where a crash left none, by walking it with every
    /// seal checked. A record with a broken seal is left out; behind a broken header nothing is found.
    pub fn records(&self, pack: PackId) -> Result<Vec<(RecordPlace, Vec<ChunkRef>)>, BlobError> {
        let start = RecordPlace { pack, offset: 0, length: PackHeader::BYTES as u32 };
        let stat = self.files.stat(&self.dir, &pack_name(pack)).map_err(file_error)?;
        let pack_bytes = stat.ok_or_else(|| damaged(start, "the pack is missing"))?.size;
        let salt = self.salt(start)?;
        if let Some(records) = self.indexed(start, pack_bytes, &salt)? {
            let place = |(offset, header): (u64, RecordHeader)| {
                (RecordPlace { pack, offset, length: header.record_bytes() as u32 }, header.chunks)
            };
            return Ok(records.into_iter().map(place).collect());
        }
        let mut records = Vec::new();
        let mut offset = PackHeader::BYTES as u64;
        while offset < pack_bytes {
            let head = RecordPlace { pack, offset, length: RecordHeader::header_bytes_max(&self.limits) as u32 };
            let Ok(header) = RecordHeader::from_bytes(&self.read_up_to(head)?, &salt, &self.limits) else { break };
            let place = RecordPlace { pack, offset, length: header.record_bytes() as u32 };
            match self.read_record(place) {
                Ok(_) => records.push((place, header.chunks)),
                Err(BlobError::Damaged { .. }) => {}
                Err(disk) => return Err(disk),
            }
            offset += u64::from(place.length);
        }
        Ok(records)
    }

    /// One record, with its seal checked.
    pub(super) fn read_record(&self, place: RecordPlace) -> Result<(RecordHeader, Block), BlobError> {
        if place.length as usize > RecordHeader::record_bytes_max(&self.limits) {
            return Err(damaged(place, "no record is so long"));
        }
        if place.offset > OFFSET_MAX {
            return Err(damaged(place, "no pack is so long"));
        }
        let salt = self.salt(place)?;
        let record = self.read_up_to(place)?;
        if record.len() != place.length as usize {
            return Err(damaged(place, "the pack ends before the record does"));
        }
        open_record(&self.master, &salt, record, &self.limits).map_err(|error| damaged(place, error))
    }

    /// What the index of a closed pack lists; `None` if it has none that is whole.
    fn indexed(
        &self,
        start: RecordPlace,
        pack_bytes: u64,
        salt: &PackSalt,
    ) -> Result<Option<Vec<(u64, RecordHeader)>>, BlobError> {
        let Some(footer_at) = pack_bytes.checked_sub(PackFooter::BYTES as u64) else { return Ok(None) };
        let at = |offset, length| self.read_up_to(RecordPlace { offset, length, ..start });
        let Ok(footer) = PackFooter::from_bytes(&at(footer_at, PackFooter::BYTES as u32)?, pack_bytes) else {
            return Ok(None);
        };
        let index = at(footer.index_offset, footer.index_bytes)?;
        Ok(read_index(&index, &footer, salt, &self.limits).ok())
    }

    /// The salt of the pack of this place.
    fn salt(&self, place: RecordPlace) -> Result<PackSalt, BlobError> {
        if let Some(salt) = self.lock_salts().get(&place.pack) {
            return Ok(*salt);
        }
        let start = RecordPlace { offset: 0, length: PackHeader::BYTES as u32, ..place };
        let header = PackHeader::from_bytes(&self.read_up_to(start)?).map_err(|error| damaged(place, error))?;
        if header.key != self.master.id() {
            return Err(damaged(place, "the pack is sealed with another master key"));
        }
        self.remember_salt(place.pack, header.salt);
        Ok(header.salt)
    }

    pub(super) fn remember_salt(&self, pack: PackId, salt: PackSalt) {
        let mut salts = self.lock_salts();
        if salts.len() >= SALTS_MAX {
            // The oldest packs are read least.
            salts.pop_first();
        }
        salts.insert(pack, salt);
    }

    fn lock_salts(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<PackId, PackSalt>> {
        self.salts.lock().expect("no thread panics while it holds the salts")
    }

    /// The bytes at a place, fewer where the pack ends before.
    fn read_up_to(&self, place: RecordPlace) -> Result<Vec<u8>, BlobError> {
        let name = pack_name(place.pack);
        self.files.read_range(&self.dir, &name, place.offset, place.length as usize).map_err(|error| match error.kind {
            FileErrorKind::NotFound => damaged(place, "the pack is missing"),
            _ => file_error(error),
        })
    }
}

fn damaged(place: RecordPlace, reason: impl ToString) -> BlobError {
    BlobError::Damaged { place, reason: reason.to_string() }
}
