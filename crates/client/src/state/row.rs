//! Rows: how nodes are kept in columns and in CBOR.

use minicbor::{Decode, Encode};
use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};
use skep_planner::{Local, LocalContent, Synced};
use skep_types::{Content, Mode, Name, NodeId, NodeState, Stat};

/// [`Local`] as stored. Encoding borrows nothing, for rows are small.
#[derive(Encode, Decode)]
struct LocalRow {
    #[n(0)]
    parent: NodeId,
    #[n(1)]
    name: Name,
    /// `None`: seen, not read.
    #[n(2)]
    content: Option<Content>,
    #[n(3)]
    mode: Mode,
    #[n(4)]
    stat: Stat,
}

/// [`Synced`] as stored.
#[derive(Encode, Decode)]
struct SyncedRow {
    #[n(0)]
    state: NodeState,
    #[n(1)]
    shown: Stat,
}

pub(super) fn local_to_bytes(local: &Local) -> Vec<u8> {
    to_cbor(&LocalRow {
        parent: local.parent,
        name: local.name.clone(),
        content: local.content.known().cloned(),
        mode: local.mode,
        stat: local.stat,
    })
}

pub(super) fn local_from_bytes(bytes: &[u8]) -> rusqlite::Result<Local> {
    let row: LocalRow = from_cbor(bytes)?;
    Ok(Local {
        parent: row.parent,
        name: row.name,
        content: row.content.map_or(LocalContent::Unread, LocalContent::Known),
        mode: row.mode,
        stat: row.stat,
    })
}

pub(super) fn synced_to_bytes(synced: &Synced) -> Vec<u8> {
    to_cbor(&SyncedRow { state: synced.state.clone(), shown: synced.shown })
}

pub(super) fn synced_from_bytes(bytes: &[u8]) -> rusqlite::Result<Synced> {
    let row: SyncedRow = from_cbor(bytes)?;
    Ok(Synced { state: row.state, shown: row.shown })
}

pub(super) fn to_cbor(value: &impl Encode<()>) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory cannot fail")
}

pub(super) fn from_cbor<'a, T: Decode<'a, ()>>(bytes: &'a [u8]) -> rusqlite::Result<T> {
    minicbor::decode(bytes).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error)))
}

/// An inode as SQLite keeps integers: the same bits.
pub(super) fn from_inode(inode: u64) -> i64 {
    inode.cast_signed()
}

pub(super) fn kept_node(row: &Row<'_>, column: usize) -> rusqlite::Result<NodeId> {
    let bytes = row.get_ref(column)?.as_blob()?;
    NodeId::from_slice(bytes)
        .ok_or_else(|| FromSqlError::InvalidBlobSize { expected_size: 16, blob_size: bytes.len() }.into())
}

pub(super) fn kept_name(row: &Row<'_>, column: usize) -> rusqlite::Result<Name> {
    let bytes = row.get_ref(column)?.as_blob()?;
    Name::new(bytes).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}
