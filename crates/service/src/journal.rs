//! Reading a drive's journal and its nodes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use skep_blobstore::BlobStore;
use skep_metastore::{Drive, MetaStore, Read, StoreError};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{Code, DriveSummary, Entries, ErrorReply, Frame, FrameKind, FrameStream, Reply, SnapshotRows};
use skep_types::{Cursor, DriveId, NodeId, Seq, Standing};

use crate::Service;
use crate::answer::{Frames, done_with, no_more, reply};
use crate::hub::Hub;
use crate::lineage::standing_of;

/// So soon after one page of a snapshot a device asks for the next one, or begins anew. Meanwhile no node goes for good: the pages
/// would not fit together, and no entry tells of it.
const BETWEEN_PAGES_MAX_MS: u64 = 15 * 60_000;

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Entries`].
    pub(crate) async fn entries(
        &self,
        hub: Arc<Hub>,
        after: Cursor,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (drive, entries_max) = (hub.drive, self.inner.parts.limits.feed_entries_max);
        let page = self.read(move |read| {
            let drive = drive_row(read, drive)?;
            Ok(if holds_cursor(read, &drive, &after)? { Some(page(read, &drive, after, entries_max)?) } else { None })
        });
        let page = page.await?.ok_or_else(other_history)?;
        Ok(done_with(Frame::cbor(FrameKind::Entries, &page)))
    }

    /// [`skep_protocol::Request::Snapshot`].
    pub(crate) async fn snapshot(
        &self,
        hub: Arc<Hub>,
        after: Option<NodeId>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (drive, rows_max) = (hub.drive, self.inner.parts.limits.snapshot_rows_max);
        let paging_until_ms = Arc::clone(&self.inner.paging_until_ms);
        let until_ms = self.inner.parts.clock.monotonic_ms().saturating_add(BETWEEN_PAGES_MAX_MS);
        let page = self.read(move |read| {
            // Said before the rows are read: from here on nothing is purged between this page and the next.
            paging_until_ms.fetch_max(until_ms, Ordering::SeqCst);
            let head = head_of(read, &drive_row(read, drive)?)?;
            // One more than fits tells whether there are more.
            let mut rows = read.nodes(drive, after, rows_max + 1)?;
            let more = rows.len() > rows_max;
            rows.truncate(rows_max);
            Ok(SnapshotRows { rows, more, head })
        });
        Ok(done_with(Frame::cbor(FrameKind::SnapshotRows, &page.await?)))
    }

    /// [`skep_protocol::Request::Head`].
    pub(crate) async fn head(&self, hub: Arc<Hub>, mut body: FrameStream) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let drive = hub.drive;
        let head = self.read(move |read| head_of(read, &drive_row(read, drive)?)).await?;
        Ok(reply(&Reply::Head { head }))
    }
}

/// The refusal of a cursor that is not in the drive's history.
pub(crate) fn other_history() -> ErrorReply {
    ErrorReply::new(Code::History, "the server's history does not contain this position")
}

/// What the store knows of a drive that this process has seen before.
pub(crate) fn drive_row(read: &(impl Read + ?Sized), drive: DriveId) -> Result<Drive, StoreError> {
    read.drive(drive)?.ok_or_else(|| StoreError::Damaged(format!("drive {drive} is gone")))
}

/// Whether `cursor` is a position of the drive's history from which its journal can be read on: not before the floor, below which the
/// journal is thinned, and made by that commit. Of which generation it is does not matter: up to a fork, histories are one.
pub(crate) fn holds_cursor(read: &(impl Read + ?Sized), drive: &Drive, cursor: &Cursor) -> Result<bool, StoreError> {
    Ok(cursor.seq >= read.thinned(drive.id)?.floor && standing_of(read, drive, cursor)? == Standing::Held)
}

/// The entries after a cursor that the drive holds; whole commits.
pub(crate) fn page(
    read: &(impl Read + ?Sized),
    drive: &Drive,
    after: Cursor,
    entries_max: usize,
) -> Result<Entries, StoreError> {
    let entries = read.entries(drive.id, after.seq, entries_max)?;
    let to = entries.last().map_or(after, |last| Cursor {
        generation: drive.generation,
        seq: last.seq,
        commit: Some(last.commit),
    });
    Ok(Entries { drive: drive.id, after: after.seq, entries, to, head: drive.head })
}

/// The cursor at the end of the drive's journal.
pub(crate) fn head_of(read: &(impl Read + ?Sized), drive: &Drive) -> Result<Cursor, StoreError> {
    let commit = match drive.head {
        Seq::START => None,
        seq => match read.entry(drive.id, seq)? {
            Some(entry) => Some(entry.commit),
            None => return Err(StoreError::Damaged(format!("entry {seq} of drive {} is gone", drive.id))),
        },
    };
    Ok(Cursor { generation: drive.generation, seq: drive.head, commit })
}

/// A drive as its devices see it.
pub(crate) fn summary(read: &(impl Read + ?Sized), drive: &Drive) -> Result<DriveSummary, StoreError> {
    Ok(DriveSummary { drive: drive.id, name: drive.name.clone(), head: head_of(read, drive)? })
}
