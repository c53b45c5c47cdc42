//! Room: what the disk and the account's quota may still take in. Asked before anything is sent, and again before it is kept.
//!
//! Only content is refused: deletions, renames, log-ins and upkeep go on, for what they need the reserve is left.

use skep_blobstore::BlobStore;
use skep_metastore::{Read, StoreError};
use skep_protocol::{Code, ErrorReply};
use skep_types::{AccountId, ChunkId, DriveId};

use crate::intake::Rows;

/// Refuses content that would take the reserve of the disk. Where nobody knows what is free, the disk tells.
pub(crate) fn on_disk(blobs: &impl BlobStore, reserve_bytes: u64, bytes: u64) -> Result<(), ErrorReply> {
    let free = blobs.free_bytes().unwrap_or(u64::MAX);
    let room = free.saturating_sub(reserve_bytes);
    if bytes <= room {
        return Ok(());
    }
    tracing::warn!(free, reserve_bytes, bytes, "content was refused: the rest of the disk is the reserve");
    let message = format!("the server's disk is full: it has room for {}, this needs {}", text(room), text(bytes));
    Err(ErrorReply::new(Code::NoSpace, message))
}

/// The refusal of so many more bytes for an account, if they are beyond its quota.
pub(crate) fn in_quota(
    read: &(impl Read + ?Sized),
    account: AccountId,
    bytes: u64,
) -> Result<Option<ErrorReply>, StoreError> {
    let quota = read.quota(account)?;
    let Some(limit) = quota.limit_bytes.filter(|limit| bytes > 0 && quota.used_bytes.saturating_add(bytes) > *limit)
    else {
        return Ok(None);
    };
    let left = limit.saturating_sub(quota.used_bytes);
    let message = format!("the quota of {} is used up but for {}, this needs {}", text(limit), text(left), text(bytes));
    Ok(Some(ErrorReply::new(Code::Quota, message)))
}

/// The same for chunks that have come. What the drive has already needs no room.
pub(crate) fn rows_in_quota(
    read: &(impl Read + ?Sized),
    (account, drive): (AccountId, DriveId),
    rows: &Rows,
) -> Result<Option<ErrorReply>, StoreError> {
    if rows.is_empty() || read.quota(account)?.limit_bytes.is_none() {
        return Ok(None);
    }
    let ids: Vec<ChunkId> = rows.iter().map(|(chunk, _)| *chunk).collect();
    let held = read.chunk_rows(drive, &ids)?;
    let new = rows.iter().zip(held).filter(|(_, held)| held.is_none());
    in_quota(read, account, new.map(|((_, place), _)| u64::from(place.length)).sum())
}

/// `18.2 MB`, for people.
fn text(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}
