//! One transaction: what upkeep reads and writes.

use skep_blobstore::{PackId, RecordPlace};
use skep_types::{ChunkId, DriveId, Entry, FieldGroups, ListId, NodeId, NodeState, Seq, Timestamp};

use super::session::{Session, stored_entry};
use super::{row, sql};
use crate::{ChunkRow, Drive, ManifestRow, ReadUpkeep, StoreError, Thinned, WriteUpkeep};

fn place(record: RecordPlace) -> Result<(i64, i64, u32), StoreError> {
    Ok((row::integer(record.pack.0)?, row::integer(record.offset)?, record.length))
}

fn maximum(row: &rusqlite::Row<'_>) -> Result<Option<u64>, StoreError> {
    let found: Option<i64> = row.get(0).map_err(row::failed)?;
    Ok(found.and_then(|found| u64::try_from(found).ok()))
}

impl ReadUpkeep for Session<'_> {
    fn every_drive(&self) -> Result<Vec<Drive>, StoreError> {
        self.all(sql::EVERY_DRIVE, [], row::drive)
    }

    fn chunk_rows(&self, drive: DriveId, chunks: &[ChunkId]) -> Result<Vec<Option<ChunkRow>>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(vec![None; chunks.len()]) };
        chunks.iter().map(|chunk| self.one(sql::CHUNK, (number, chunk.as_bytes()), row::chunk)).collect()
    }

    fn chunks_after(
        &self,
        drive: DriveId,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<(ChunkId, ChunkRow)>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        let after = after.as_ref().map_or(&[][..], |chunk| chunk.as_bytes());
        let params = (number, after, row::integer(limit as u64)?);
        self.all(sql::CHUNKS_AFTER, params, |row| Ok((row::chunk_id(row, 7)?, row::chunk(row)?)))
    }

    fn pack_after(&self, after: Option<PackId>) -> Result<Option<PackId>, StoreError> {
        let after = after.map_or(Ok(-1), |pack| row::integer(pack.0))?;
        self.one(sql::PACK_AFTER, [after], |row| row::count(row, 0).map(PackId))
    }

    fn last_pack(&self) -> Result<Option<PackId>, StoreError> {
        Ok(self.one(sql::LAST_PACK, [], maximum)?.flatten().map(PackId))
    }

    fn chunks_of_pack(&self, pack: PackId) -> Result<Vec<(DriveId, ChunkId, ChunkRow)>, StoreError> {
        let chunk = |row: &rusqlite::Row<'_>| Ok((row::drive_id(row, 8)?, row::chunk_id(row, 7)?, row::chunk(row)?));
        self.all(sql::CHUNKS_OF_PACK, [row::integer(pack.0)?], chunk)
    }

    fn manifests_after(
        &self,
        drive: DriveId,
        after: Option<ListId>,
        limit: usize,
    ) -> Result<Vec<ManifestRow>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        let after = after.as_ref().map_or(&[][..], |list| list.as_bytes());
        self.all(sql::MANIFESTS_AFTER, (number, after, row::integer(limit as u64)?), row::manifest)
    }

    fn lists_leased(&self, drive: DriveId, time: Timestamp) -> Result<Vec<ListId>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        self.all(sql::LISTS_LEASED, (number, row::nanoseconds(time)), |row| row::list_id(row, 0))
    }

    fn thinned(&self, drive: DriveId) -> Result<Thinned, StoreError> {
        let thinned = self.one(sql::THINNED, [self.number_of(drive)?], |row| {
            Ok(Thinned { floor: Seq(row::count(row, 0)?), done: Seq(row::count(row, 1)?) })
        })?;
        thinned.ok_or_else(|| StoreError::Damaged("a drive is gone".to_owned()))
    }

    fn entries_of(&self, drive: DriveId, node: NodeId, before: Seq) -> Result<Vec<Entry>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        let before = i64::try_from(before.0).unwrap_or(i64::MAX);
        self.all(sql::ENTRIES_OF, (number, node.as_bytes(), before), stored_entry)
    }

    fn trashed(
        &self,
        drive: DriveId,
        after: Option<(NodeId, NodeId)>,
        limit: usize,
    ) -> Result<Vec<NodeState>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        // The root has the lowest id, and is no node in the trash.
        let (parent, node) = after.unwrap_or((NodeId::ROOT, NodeId::ROOT));
        let params = (number, parent.as_bytes(), node.as_bytes(), row::integer(limit as u64)?);
        self.all(sql::TRASHED, params, row::node)
    }

    fn any_children(&self, drive: DriveId, parent: NodeId, limit: usize) -> Result<Vec<NodeState>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        self.all(sql::ANY_CHILDREN, (number, parent.as_bytes(), row::integer(limit as u64)?), row::node)
    }

    fn condemned_packs(&self) -> Result<Vec<(PackId, Timestamp)>, StoreError> {
        self.all(sql::CONDEMNED_PACKS, [], |row| Ok((PackId(row::count(row, 0)?), row::time(row, 1)?)))
    }
}

impl WriteUpkeep for Session<'_> {
    fn mark_damaged(&mut self, record: RecordPlace) -> Result<usize, StoreError> {
        self.change(sql::MARK_DAMAGED, place(record)?)
    }

    fn mark_sound(&mut self, record: RecordPlace) -> Result<usize, StoreError> {
        self.change(sql::MARK_SOUND, place(record)?)
    }

    fn move_record(&mut self, from: RecordPlace, to: RecordPlace) -> Result<(), StoreError> {
        let ((pack, offset, length), (new_pack, new_offset, new_length)) = (place(from)?, place(to)?);
        self.change(sql::MOVE_RECORD, (pack, offset, length, new_pack, new_offset, new_length)).map(drop)
    }

    fn thin(&mut self, drive: DriveId, entry: &Entry, superseded: FieldGroups) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        let seq = row::integer(entry.seq.0)?;
        let left = FieldGroups {
            place: entry.changed.place && !superseded.place,
            content: entry.changed.content && !superseded.content,
            mode: entry.changed.mode && !superseded.mode,
        };
        if left == entry.changed {
            return Ok(());
        }
        if left == FieldGroups::default() {
            self.change(sql::DROP_ENTRY, (number, seq))?;
        } else {
            let thinned = Entry { changed: left, ..entry.clone() };
            let params = (number, seq, row::changed_bits(left), row::encode(&thinned));
            self.change(sql::PUT_THINNED_ENTRY, params)?;
        }
        self.change(sql::RAISE_FLOOR, (number, seq + 1)).map(drop)
    }

    fn put_thinned(&mut self, drive: DriveId, done: Seq) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        self.change(sql::PUT_THINNED, (number, row::integer(done.0)?)).map(drop)
    }

    fn purge(&mut self, drive: DriveId, node: NodeId) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        if node == NodeId::ROOT || !self.any_children(drive, node, 1)?.is_empty() {
            return Err(StoreError::Failed(format!("something stands beneath node {node}")));
        }
        let last = self.one(sql::LAST_ENTRY_OF, (number, node.as_bytes()), maximum)?.flatten().unwrap_or_default();
        let head = self.one(sql::HEAD, [number], |row| row::count(row, 0))?.unwrap_or_default();
        if last >= head {
            return Err(StoreError::Failed(format!("the journal ends with node {node}")));
        }
        self.note(number, node)?;
        self.change(sql::DROP_NODE, (number, node.as_bytes()))?;
        self.change(sql::DROP_ENTRIES_OF, (number, node.as_bytes()))?;
        self.change(sql::RAISE_FLOOR, (number, row::integer(last + 1)?)).map(drop)
    }

    fn drop_chunk(&mut self, drive: DriveId, chunk: ChunkId) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        self.change(sql::DROP_CHUNK, (number, chunk.as_bytes())).map(drop)
    }

    fn drop_manifest(&mut self, drive: DriveId, list: ListId) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        self.change(sql::DROP_MANIFEST, (number, list.as_bytes())).map(drop)
    }

    fn condemn_pack(&mut self, pack: PackId, since: Timestamp) -> Result<(), StoreError> {
        self.change(sql::CONDEMN_PACK, (row::integer(pack.0)?, row::nanoseconds(since))).map(drop)
    }

    fn spare_pack(&mut self, pack: PackId) -> Result<(), StoreError> {
        self.change(sql::SPARE_PACK, [row::integer(pack.0)?]).map(drop)
    }

    fn drop_connections_before(&mut self, time: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.change(sql::DROP_CONNECTIONS_BEFORE, (row::nanoseconds(time), row::integer(limit as u64)?))
    }
}
