//! One transaction: its writing half.

use rusqlite::Params;
use skep_content::Manifest;
use skep_types::{AccountId, ChunkId, DriveId, Entry, ListId, NodeId, NodeState, Timestamp};

use super::session::{DriveNumber, Session};
use super::{row, sql};
use crate::{Account, ChunkPlace, Connection, Device, Drive, StoreError, Write};

/// Lines that the connection log keeps.
const CONNECTIONS_KEPT: u32 = 100_000;

impl Session<'_> {
    /// Gives the nodes that wait for their names what they wait for; an error if one of the names is still taken.
    pub(super) fn settle_names(&mut self) -> Result<(), StoreError> {
        for (drive, node) in std::mem::take(&mut self.waiting) {
            match self.try_change(sql::LET_STAND, (drive, node.as_bytes())) {
                Err(error) if row::is_taken(&error) => {
                    return Err(StoreError::Failed(format!("node {node} would share its name with another one")));
                }
                done => done.map_err(row::failed)?,
            };
        }
        Ok(())
    }

    fn try_change(&self, statement: &str, params: impl Params) -> Result<usize, rusqlite::Error> {
        self.connection.prepare_cached(statement)?.execute(params)
    }

    pub(super) fn change(&self, statement: &str, params: impl Params) -> Result<usize, StoreError> {
        self.try_change(statement, params).map_err(row::failed)
    }

    /// Sets a node's row. Where another one has its name still, that one waits until an entry to come moves it away.
    pub(super) fn put_node(&mut self, drive: DriveNumber, state: &NodeState) -> Result<(), StoreError> {
        match self.try_put_node(drive, state) {
            Err(error) if row::is_taken(&error) => {
                let place = (drive, state.place.parent.as_bytes(), state.place.name.as_bytes());
                let waiting = self.all(sql::LET_WAIT, place, |row| row::node_id(row, 0))?;
                self.waiting.extend(waiting.into_iter().map(|node| (drive, node)));
                self.try_put_node(drive, state).map_err(row::failed)
            }
            done => done.map_err(row::failed),
        }
    }

    fn try_put_node(&self, drive: DriveNumber, state: &NodeState) -> Result<(), rusqlite::Error> {
        let NodeState { node, place, content, mode, place_version, content_version, mode_version } = state;
        self.try_change(
            sql::PUT_NODE,
            (
                drive,
                node.as_bytes(),
                place.parent.as_bytes(),
                place.name.as_bytes(),
                place.trashed,
                row::encode(content),
                mode.executable,
                place_version.seq.0 as i64,
                place_version.commit.as_bytes(),
                content_version.seq.0 as i64,
                content_version.commit.as_bytes(),
                mode_version.seq.0 as i64,
                mode_version.commit.as_bytes(),
            ),
        )?;
        Ok(())
    }
}

impl Write for Session<'_> {
    fn put_setting(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.change(sql::PUT_SETTING, (key, value)).map(drop)
    }

    fn put_account(&mut self, account: &Account) -> Result<(), StoreError> {
        let Account { id, name, password_hash, created, disabled } = account;
        let created = row::nanoseconds(*created);
        let params = (id.as_bytes(), name, name.to_lowercase(), password_hash, created, disabled);
        match self.try_change(sql::PUT_ACCOUNT, params) {
            Err(error) if row::is_taken(&error) => Err(StoreError::Exists(format!("account `{name}`"))),
            done => done.map(drop).map_err(row::failed),
        }
    }

    fn put_classic_id(&mut self, account: AccountId, hash: &[u8; 32]) -> Result<(), StoreError> {
        match self.try_change(sql::PUT_CLASSIC_ID, (account.as_bytes(), hash)) {
            Err(error) if row::is_taken(&error) => Err(StoreError::Exists("an account with that id".to_owned())),
            done => done.map(drop).map_err(row::failed),
        }
    }

    fn put_quota(&mut self, account: AccountId, limit_bytes: Option<u64>) -> Result<(), StoreError> {
        // Nobody keeps more than the database can count.
        let limit = limit_bytes.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        self.change(sql::PUT_QUOTA, (account.as_bytes(), limit)).map(drop)
    }

    fn put_device(&mut self, device: &Device) -> Result<(), StoreError> {
        let params = (
            device.id.as_bytes(),
            device.account.as_bytes(),
            &device.name,
            &device.platform,
            &device.client_version,
            &device.token_hash,
            row::nanoseconds(device.created),
            row::nanoseconds(device.last_seen),
            device.revoked,
        );
        match self.try_change(sql::PUT_DEVICE, params) {
            Err(error) if row::is_taken(&error) => Err(StoreError::Exists(format!("device `{}`", device.name))),
            done => done.map(drop).map_err(row::failed),
        }
    }

    fn put_drive(&mut self, drive: &Drive) -> Result<(), StoreError> {
        let Drive { id, owner, name, generation, head: _ } = drive;
        self.change(sql::PUT_DRIVE, (id.as_bytes(), owner.as_bytes(), name, generation.as_bytes())).map(drop)
    }

    fn append(&mut self, drive: DriveId, entry: &Entry) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        let Entry { seq, commit, time: _, changed, state } = entry;
        if state.node == NodeId::ROOT {
            return Err(StoreError::Failed("no entry changes the root".to_owned()));
        }
        let seq_number = row::integer(seq.0)?;
        if self.change(sql::ADVANCE_HEAD, (number, seq_number))? == 0 {
            return Err(StoreError::Failed(format!("entry {seq} is not the next one of drive {drive}")));
        }
        let changed = row::changed_bits(*changed);
        let params = (number, seq_number, state.node.as_bytes(), commit.as_bytes(), changed, row::encode(entry));
        self.change(sql::PUT_ENTRY, params)?;
        self.note(number, state.node)?;
        self.put_node(number, state)
    }

    fn put_chunk(
        &mut self,
        drive: DriveId,
        chunk: ChunkId,
        place: &ChunkPlace,
        lease: Timestamp,
    ) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        let ChunkPlace { record, index, length } = place;
        let (pack, offset) = (row::integer(record.pack.0)?, row::integer(record.offset)?);
        let lease = row::nanoseconds(lease);
        let params = (number, chunk.as_bytes(), pack, offset, record.length, index, length, lease);
        self.change(sql::PUT_CHUNK, params).map(drop)
    }

    fn renew_chunk(&mut self, drive: DriveId, chunk: ChunkId, lease: Timestamp) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        self.change(sql::RENEW_CHUNK, (number, chunk.as_bytes(), row::nanoseconds(lease))).map(drop)
    }

    fn put_manifest(
        &mut self,
        drive: DriveId,
        list: ListId,
        manifest: &Manifest,
        lease: Timestamp,
    ) -> Result<(), StoreError> {
        let number = self.number_of(drive)?;
        let params = (number, list.as_bytes(), row::encode(manifest), row::nanoseconds(lease));
        self.change(sql::PUT_MANIFEST, params).map(drop)
    }

    fn put_connection(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let params = (
            row::nanoseconds(connection.time),
            &connection.peer,
            connection.account.as_ref().map(|id| id.as_bytes()),
            connection.device.as_ref().map(|id| id.as_bytes()),
            &connection.request,
            &connection.outcome,
            row::integer(connection.bytes_in)?,
            row::integer(connection.bytes_out)?,
            row::integer(connection.duration_ms)?,
        );
        self.change(sql::PUT_CONNECTION, params)?;
        self.change(sql::DROP_OLD_CONNECTIONS, [CONNECTIONS_KEPT]).map(drop)
    }
}
