//! Between rows and the words of Skep. What does not read back is damage, and said so.

use minicbor::{Decode, Encode};
use rusqlite::{ErrorCode, Row};
use skep_blobstore::{PackId, RecordPlace};
use skep_types::{
    AccountId, ChunkId, CommitId, DeviceId, DriveId, FieldGroups, Generation, ListId, Mode, Name, NodeId, NodeState,
    Place, Seq, Sum, Timestamp, Version,
};

use crate::{Account, ChunkPlace, ChunkRow, Connection, Device, Drive, ManifestRow, StoreError};

/// The error of a statement.
pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::NoSpace,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => match error {
            rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::IntegralValueOutOfRange(..) => {
                StoreError::Damaged(error.to_string())
            }
            _ => StoreError::Failed(error.to_string()),
        },
    }
}

/// Whether a statement failed because something that must be unique would not have been.
pub(super) fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Bytes for the database.
pub(super) fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("memory takes every byte")
}

/// A value from the database.
pub(super) fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, StoreError> {
    minicbor::decode(bytes).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// Nanoseconds since 1970, for times of our own clock; clamped to the years 1677 to 2262.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    let clamped = time.as_nanoseconds().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    clamped as i64
}

/// A number that SQLite can hold; ours never come near its bound.
pub(super) fn integer(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Failed(format!("{number} is beyond what the database can count")))
}

/// The field groups of an entry, as one number.
pub(super) fn changed_bits(changed: FieldGroups) -> u8 {
    u8::from(changed.place) | u8::from(changed.content) << 1 | u8::from(changed.mode) << 2
}

/// What [`changed_bits`] has packed.
pub(super) fn changed_groups(bits: u8) -> FieldGroups {
    FieldGroups { place: bits & 1 != 0, content: bits & 2 != 0, mode: bits & 4 != 0 }
}

fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, index: usize) -> Result<T, StoreError> {
    row.get(index).map_err(failed)
}

/// A number that is never negative.
pub(super) fn count(row: &Row<'_>, index: usize) -> Result<u64, StoreError> {
    let number: i64 = column(row, index)?;
    u64::try_from(number).map_err(|_| StoreError::Damaged(format!("a count of {number}")))
}

macro_rules! id_column {
    ($function:ident, $id:ident) => {
        pub(super) fn $function(row: &Row<'_>, index: usize) -> Result<$id, StoreError> {
            let bytes = row.get_ref(index).map_err(failed)?;
            let id = bytes.as_bytes().ok().and_then($id::from_slice);
            id.ok_or_else(|| StoreError::Damaged(concat!("a ", stringify!($id)).to_owned()))
        }
    };
}

id_column!(account_id, AccountId);
id_column!(device_id, DeviceId);
id_column!(drive_id, DriveId);
id_column!(node_id, NodeId);
id_column!(commit_id, CommitId);
id_column!(generation, Generation);
id_column!(chunk_id, ChunkId);
id_column!(list_id, ListId);

pub(super) fn optional<T>(
    row: &Row<'_>,
    index: usize,
    read: impl Fn(&Row<'_>, usize) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let is_null = row.get_ref(index).map_err(failed)? == rusqlite::types::ValueRef::Null;
    if is_null { Ok(None) } else { read(row, index).map(Some) }
}

pub(super) fn time(row: &Row<'_>, index: usize) -> Result<Timestamp, StoreError> {
    column::<i64>(row, index).map(|nanoseconds| Timestamp::from_nanoseconds(i128::from(nanoseconds)))
}

/// The sum of a drive.
pub(super) fn sum(row: &Row<'_>, index: usize) -> Result<Sum, StoreError> {
    let bytes = row.get_ref(index).map_err(failed)?;
    let sum = bytes.as_bytes().ok().and_then(Sum::from_slice);
    sum.ok_or_else(|| StoreError::Damaged("a sum".to_owned()))
}

fn version(row: &Row<'_>, index: usize) -> Result<Version, StoreError> {
    Ok(Version { seq: Seq(count(row, index)?), commit: commit_id(row, index + 1)? })
}

/// A row of `node`.
pub(super) fn node(row: &Row<'_>) -> Result<NodeState, StoreError> {
    let name = Name::new(column::<Vec<u8>>(row, 2)?).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let content = row.get_ref(4).map_err(failed)?;
    let content = content.as_bytes().map_err(|error| StoreError::Damaged(error.to_string()))?;
    Ok(NodeState {
        node: node_id(row, 0)?,
        place: Place { parent: node_id(row, 1)?, name, trashed: column::<u8>(row, 3)? == 1 },
        content: decode(content)?,
        mode: Mode { executable: column(row, 5)? },
        place_version: version(row, 6)?,
        content_version: version(row, 8)?,
        mode_version: version(row, 10)?,
    })
}

/// A row of `account`.
pub(super) fn account(row: &Row<'_>) -> Result<Account, StoreError> {
    Ok(Account {
        id: account_id(row, 0)?,
        name: column(row, 1)?,
        password_hash: column(row, 2)?,
        created: time(row, 3)?,
        disabled: column(row, 4)?,
    })
}

/// A row of `device`.
pub(super) fn device(row: &Row<'_>) -> Result<Device, StoreError> {
    Ok(Device {
        id: device_id(row, 0)?,
        account: account_id(row, 1)?,
        name: column(row, 2)?,
        platform: column(row, 3)?,
        client_version: column(row, 4)?,
        token_hash: column(row, 5)?,
        created: time(row, 6)?,
        last_seen: time(row, 7)?,
        revoked: column(row, 8)?,
    })
}

/// A row of `drive`.
pub(super) fn drive(row: &Row<'_>) -> Result<Drive, StoreError> {
    Ok(Drive {
        id: drive_id(row, 0)?,
        owner: account_id(row, 1)?,
        name: column(row, 2)?,
        generation: generation(row, 3)?,
        head: Seq(count(row, 4)?),
    })
}

/// A row of `chunk`.
pub(super) fn chunk(row: &Row<'_>) -> Result<ChunkRow, StoreError> {
    let record = RecordPlace { pack: PackId(count(row, 0)?), offset: count(row, 1)?, length: column(row, 2)? };
    let place = ChunkPlace { record, index: column(row, 3)?, length: column(row, 4)? };
    Ok(ChunkRow { place, lease: time(row, 5)?, damaged: column(row, 6)? })
}

/// A row of `manifest`.
pub(super) fn manifest(row: &Row<'_>) -> Result<ManifestRow, StoreError> {
    let bytes = row.get_ref(2).map_err(failed)?;
    let manifest = decode(bytes.as_bytes().map_err(|error| StoreError::Damaged(error.to_string()))?)?;
    Ok(ManifestRow { list: list_id(row, 0)?, lease: time(row, 1)?, manifest })
}

/// A row of `connection`.
pub(super) fn connection(row: &Row<'_>) -> Result<Connection, StoreError> {
    Ok(Connection {
        time: time(row, 0)?,
        peer: column(row, 1)?,
        account: optional(row, 2, account_id)?,
        device: optional(row, 3, device_id)?,
        request: column(row, 4)?,
        outcome: column(row, 5)?,
        bytes_in: count(row, 6)?,
        bytes_out: count(row, 7)?,
        duration_ms: count(row, 8)?,
    })
}
