//! Metadata of a server: accounts, devices, drives, nodes, journals, places of chunks, connections.
//!
//! [`MetaStore`] is the seam; [`Sqlite`] the implementation by default. Every implementation passes `conformance`.
//! No SQL leaves the folder of its implementation.
//! Invariant: reading, deciding and writing happen in one transaction; a write that returned is durable.
#![forbid(unsafe_code)]

mod codes;
pub mod conformance;
mod knocks;
mod past;
mod removal;
mod sqlite;
mod sums;
mod upkeep;

pub use codes::{JoinCodeRow, ReadCodes, WriteCodes};
pub use knocks::{KnockAnswerRow, KnockEnd, KnockRow, KnockStanding, ReadKnocks, WriteKnocks};
pub use past::ReadPast;
pub use removal::WriteRemoval;
pub use sqlite::Sqlite;
pub use sums::{ReadSums, WriteSums};
pub use upkeep::{ChunkRow, ManifestRow, ReadUpkeep, Thinned, WriteUpkeep};

use skep_blobstore::RecordPlace;
use skep_content::Manifest;
use skep_drive::View;
use skep_types::{AccountId, ChunkId, DeviceId, DriveId, Entry, Generation, ListId, NodeId, NodeState, Seq, Timestamp};

/// The store failed; nothing of the transaction was done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its disk is full.
    #[error("the disk of the metadata store is full")]
    NoSpace,
    /// A name or id is taken already.
    #[error("{0} exists already")]
    Exists(String),
    /// Stored bytes cannot be read.
    #[error("damaged metadata: {0}")]
    Damaged(String),
    /// The database was made by a newer program.
    #[error("the database has format {found}, this program knows formats up to {known}")]
    Newer {
        /// In the database.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// Anything else.
    #[error("metadata store: {0}")]
    Failed(String),
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The login name: unique, compared without case.
    pub name: String,
    /// Argon2id in PHC form; `None`: no password log-in.
    pub password_hash: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// It may not be used.
    pub disabled: bool,
}

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it; unique in the account.
    pub name: String,
    /// Operating system and architecture.
    pub platform: String,
    /// Program and version that it last came with.
    pub client_version: String,
    /// BLAKE3 of its token. The token itself is stored nowhere.
    pub token_hash: [u8; 32],
    /// When it joined.
    pub created: Timestamp,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// It was signed out; its token no longer counts.
    pub revoked: bool,
}

/// How much an account may keep, and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Plain bytes of content at most; `None`: as much as the disk takes.
    pub limit_bytes: Option<u64>,
    /// What its drives hold, versions and trash included.
    pub used_bytes: u64,
}

/// A drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// Its id.
    pub id: DriveId,
    /// Whose it is.
    pub owner: AccountId,
    /// What people call it; `home` for the first of an account.
    pub name: String,
    /// The generation of its history.
    pub generation: Generation,
    /// The end of its journal.
    pub head: Seq,
}

/// Where a chunk of a drive lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The record that holds it.
    pub record: RecordPlace,
    /// Which chunk of that record.
    pub index: u16,
    /// Plain bytes.
    pub length: u32,
}

/// One line of the connection log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// When it began.
    pub time: Timestamp,
    /// From where: address and port.
    pub peer: String,
    /// Who, if known.
    pub account: Option<AccountId>,
    /// With which device, if known.
    pub device: Option<DeviceId>,
    /// What was asked: `login`, `new_client`, `push`, `pull`, …
    pub request: String,
    /// `ok`, or the stable error code.
    pub outcome: String,
    /// Bytes taken in.
    pub bytes_in: u64,
    /// Bytes given out.
    pub bytes_out: u64,
    /// How long it took.
    pub duration_ms: u64,
}

/// A consistent reading of the store.
pub trait Read: ReadUpkeep + ReadCodes + ReadKnocks + ReadPast + ReadSums {
    /// A value of the server's own, such as its format or generation.
    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// All accounts, by name.
    fn accounts(&self) -> Result<Vec<Account>, StoreError>;
    /// An account by id.
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError>;
    /// An account by login name, without regard to case.
    fn account_by_name(&self, name: &str) -> Result<Option<Account>, StoreError>;
    /// The account that has the classic id of this hash.
    fn account_by_classic_id(&self, hash: &[u8; 32]) -> Result<Option<Account>, StoreError>;
    /// The hash of an account's classic id, if it has one. The id itself is stored nowhere.
    fn classic_id(&self, account: AccountId) -> Result<Option<[u8; 32]>, StoreError>;
    /// How much an account may keep, and does; nothing of both for one that is not there.
    fn quota(&self, account: AccountId) -> Result<Quota, StoreError>;
    /// A device by id.
    fn device(&self, id: DeviceId) -> Result<Option<Device>, StoreError>;
    /// A device by the hash of its token.
    fn device_by_token(&self, token_hash: &[u8; 32]) -> Result<Option<Device>, StoreError>;
    /// The devices of an account, by name.
    fn devices(&self, account: AccountId) -> Result<Vec<Device>, StoreError>;
    /// A drive by id.
    fn drive(&self, id: DriveId) -> Result<Option<Drive>, StoreError>;
    /// The drives of an account; its home drive first.
    fn drives(&self, account: AccountId) -> Result<Vec<Drive>, StoreError>;
    /// One drive for [`skep_drive::decide`]; its failures are reported by the call that follows.
    fn view(&self, drive: DriveId) -> Result<Box<dyn View + '_>, StoreError>;
    /// The entry at a position.
    fn entry(&self, drive: DriveId, seq: Seq) -> Result<Option<Entry>, StoreError>;
    /// Entries after a position, in order: about `limit` of them, whole commits always.
    fn entries(&self, drive: DriveId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError>;
    /// Nodes of a drive by id after `after`, at most `limit`; trashed ones too, the root not.
    fn nodes(&self, drive: DriveId, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeState>, StoreError>;
    /// Live children of a directory, by name.
    fn children(&self, drive: DriveId, parent: NodeId) -> Result<Vec<NodeState>, StoreError>;
    /// Where these chunks of a drive lie; `None` for one that the drive does not hold, or holds damaged.
    fn chunks(&self, drive: DriveId, chunks: &[ChunkId]) -> Result<Vec<Option<ChunkPlace>>, StoreError> {
        let whole = |row: Option<ChunkRow>| row.filter(|row| !row.damaged).map(|row| row.place);
        Ok(self.chunk_rows(drive, chunks)?.into_iter().map(whole).collect())
    }
    /// A manifest of a drive.
    fn manifest(&self, drive: DriveId, list: ListId) -> Result<Option<Manifest>, StoreError>;
    /// The newest lines of the connection log, oldest first, at most `limit`.
    fn connections(&self, limit: usize) -> Result<Vec<Connection>, StoreError>;
    /// Lines of the connection log after the one of that number, oldest first, each with its number, at most `limit`. Numbers grow; the
    /// first is at least 1.
    fn connections_after(&self, number: u64, limit: usize) -> Result<Vec<(u64, Connection)>, StoreError>;
}

/// A transaction: what it read stays true until it ends, what it wrote is there wholly or not at all.
pub trait Write: Read + WriteUpkeep + WriteCodes + WriteKnocks + WriteRemoval + WriteSums {
    /// Sets a value of the server's own.
    fn put_setting(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Makes or replaces an account. [`StoreError::Exists`] if another one has its name.
    fn put_account(&mut self, account: &Account) -> Result<(), StoreError>;
    /// Gives an account the classic id of this hash, instead of the one that it had. [`StoreError::Exists`] if another one has it.
    fn put_classic_id(&mut self, account: AccountId, hash: &[u8; 32]) -> Result<(), StoreError>;
    /// Sets how much an account may keep.
    fn put_quota(&mut self, account: AccountId, limit_bytes: Option<u64>) -> Result<(), StoreError>;
    /// Makes or replaces a device.
    fn put_device(&mut self, device: &Device) -> Result<(), StoreError>;
    /// Makes a drive (with its root directory) or replaces what is known of it, but for its journal.
    fn put_drive(&mut self, drive: &Drive) -> Result<(), StoreError>;
    /// Appends an entry to a drive's journal, at the position after its head, and makes the node table agree. Between the
    /// entries of one commit two live nodes may have one name; a transaction that would end so fails.
    fn append(&mut self, drive: DriveId, entry: &Entry) -> Result<(), StoreError>;
    /// Lets a drive hold a chunk, until `lease` at least; a later lease extends an earlier one. A second place is taken only for a
    /// chunk that counts as damaged, which is whole again by that.
    fn put_chunk(
        &mut self,
        drive: DriveId,
        chunk: ChunkId,
        place: &ChunkPlace,
        lease: Timestamp,
    ) -> Result<(), StoreError>;
    /// Extends the lease of a chunk that the drive holds.
    fn renew_chunk(&mut self, drive: DriveId, chunk: ChunkId, lease: Timestamp) -> Result<(), StoreError>;
    /// Lets a drive hold a manifest, until `lease` at least. The caller has checked that it holds every chunk of it.
    fn put_manifest(
        &mut self,
        drive: DriveId,
        list: ListId,
        manifest: &Manifest,
        lease: Timestamp,
    ) -> Result<(), StoreError>;
    /// Adds a line to the connection log.
    fn put_connection(&mut self, connection: &Connection) -> Result<(), StoreError>;
}

/// Keeps metadata. Calls block; callers run them on a lane.
pub trait MetaStore: Send + Sync + 'static {
    /// Runs `work` on a consistent reading.
    fn read<T>(&self, work: impl FnOnce(&dyn Read) -> Result<T, StoreError>) -> Result<T, StoreError>;
    /// Runs `work` in a transaction, which is durable when this returns; an error undoes it all. Only one runs at a time.
    fn write<T>(&self, work: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>) -> Result<T, StoreError>;
}
