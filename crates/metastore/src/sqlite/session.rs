//! One transaction: its reading half.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Params, Row};
use skep_content::Manifest;
use skep_drive::View;
use skep_types::{AccountId, DeviceId, DriveId, Entry, ListId, NodeId, NodeState, Seq, Tally};

use super::view::DriveView;
use super::{row, sql};
use crate::{Account, Connection as LoggedConnection, Device, Drive, Quota, Read, StoreError};

/// The number of a drive in the tables.
pub(super) type DriveNumber = i64;

/// A transaction that is open on a connection.
pub(super) struct Session<'c> {
    pub(super) connection: &'c Connection,
    /// Why a [`View`] of this session failed. It decides what the session comes to, whatever is made of the view's own error.
    pub(super) view_failure: RefCell<Option<StoreError>>,
    /// Live nodes whose name another one has, until the end of the transaction.
    pub(super) waiting: BTreeSet<(DriveNumber, NodeId)>,
    /// The nodes that were changed, by drive, with what they were.
    pub(super) tallies: BTreeMap<DriveNumber, Tally>,
    last_drive: Cell<Option<(DriveId, DriveNumber)>>,
}

impl<'c> Session<'c> {
    /// On a connection with an open transaction.
    pub(super) fn new(connection: &'c Connection) -> Session<'c> {
        Session {
            connection,
            view_failure: RefCell::default(),
            waiting: BTreeSet::new(),
            tallies: BTreeMap::new(),
            last_drive: Cell::default(),
        }
    }

    /// What the session comes to if `done` is what was made of it.
    pub(super) fn outcome<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        match self.view_failure.take() {
            Some(failure) => Err(failure),
            None => done,
        }
    }

    /// The first row of a query.
    pub(super) fn one<T>(
        &self,
        query: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(query).map_err(row::failed)?;
        let mut rows = statement.query(params).map_err(row::failed)?;
        rows.next().map_err(row::failed)?.map(read).transpose()
    }

    /// All rows of a query.
    pub(super) fn all<T>(
        &self,
        query: &str,
        params: impl Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(query).map_err(row::failed)?;
        let mut rows = statement.query(params).map_err(row::failed)?;
        let mut values = Vec::new();
        while let Some(row) = rows.next().map_err(row::failed)? {
            values.push(read(row)?);
        }
        Ok(values)
    }

    /// The number of a drive, if it is there.
    pub(super) fn number(&self, drive: DriveId) -> Result<Option<DriveNumber>, StoreError> {
        if let Some((last, number)) = self.last_drive.get()
            && last == drive
        {
            return Ok(Some(number));
        }
        let number = self.one(sql::DRIVE_NUMBER, [drive.as_bytes()], |row| row.get(0).map_err(row::failed))?;
        if let Some(number) = number {
            self.last_drive.set(Some((drive, number)));
        }
        Ok(number)
    }

    /// Forgets the number that [`Session::number`] has remembered: its drive was removed.
    pub(super) fn forget_number(&self) {
        self.last_drive.set(None);
    }

    /// The number of a drive that must be there.
    pub(super) fn number_of(&self, drive: DriveId) -> Result<DriveNumber, StoreError> {
        self.number(drive)?.ok_or_else(|| StoreError::Failed(format!("there is no drive {drive}")))
    }
}

pub(super) fn stored_entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    let bytes = row.get_ref(0).map_err(row::failed)?;
    row::decode(bytes.as_bytes().map_err(|error| StoreError::Damaged(error.to_string()))?)
}

impl Read for Session<'_> {
    fn setting(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.one(sql::SETTING, [key], |row| row.get(0).map_err(row::failed))
    }

    fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.all(sql::ACCOUNTS, [], row::account)
    }

    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.one(sql::ACCOUNT, [id.as_bytes()], row::account)
    }

    fn account_by_name(&self, name: &str) -> Result<Option<Account>, StoreError> {
        self.one(sql::ACCOUNT_BY_NAME, [name.to_lowercase()], row::account)
    }

    fn account_by_classic_id(&self, hash: &[u8; 32]) -> Result<Option<Account>, StoreError> {
        self.one(sql::ACCOUNT_BY_CLASSIC_ID, [hash], row::account)
    }

    fn classic_id(&self, account: AccountId) -> Result<Option<[u8; 32]>, StoreError> {
        self.one(sql::CLASSIC_ID, [account.as_bytes()], |row| row.get(0).map_err(row::failed))
    }

    fn quota(&self, account: AccountId) -> Result<Quota, StoreError> {
        let quota = self.one(sql::QUOTA, [account.as_bytes()], |row| {
            let limit: Option<i64> = row.get(1).map_err(row::failed)?;
            let limit_bytes = limit.map(|limit| u64::try_from(limit).unwrap_or(0));
            Ok(Quota { limit_bytes, used_bytes: row::count(row, 0)? })
        })?;
        Ok(quota.unwrap_or_default())
    }

    fn device(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        self.one(sql::DEVICE, [id.as_bytes()], row::device)
    }

    fn device_by_token(&self, token_hash: &[u8; 32]) -> Result<Option<Device>, StoreError> {
        self.one(sql::DEVICE_BY_TOKEN, [token_hash], row::device)
    }

    fn devices(&self, account: AccountId) -> Result<Vec<Device>, StoreError> {
        self.all(sql::DEVICES, [account.as_bytes()], row::device)
    }

    fn drive(&self, id: DriveId) -> Result<Option<Drive>, StoreError> {
        self.one(sql::DRIVE, [id.as_bytes()], row::drive)
    }

    fn drives(&self, account: AccountId) -> Result<Vec<Drive>, StoreError> {
        self.all(sql::DRIVES, [account.as_bytes()], row::drive)
    }

    fn view(&self, drive: DriveId) -> Result<Box<dyn View + '_>, StoreError> {
        Ok(Box::new(DriveView::new(self, self.number_of(drive)?)))
    }

    fn entry(&self, drive: DriveId, seq: Seq) -> Result<Option<Entry>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(None) };
        self.one(sql::ENTRY, (number, row::integer(seq.0)?), stored_entry)
    }

    fn entries(&self, drive: DriveId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        let mut statement = self.connection.prepare_cached(sql::ENTRIES).map_err(row::failed)?;
        let mut rows = statement.query((number, row::integer(after.0)?)).map_err(row::failed)?;
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(row) = rows.next().map_err(row::failed)? {
            let entry = stored_entry(row)?;
            if entries.len() >= limit && entries.last().is_none_or(|last| last.commit != entry.commit) {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn nodes(&self, drive: DriveId, after: Option<NodeId>, limit: usize) -> Result<Vec<NodeState>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        // The root has the lowest id, and no row.
        let after = after.unwrap_or(NodeId::ROOT);
        self.all(sql::NODES, (number, after.as_bytes(), row::integer(limit as u64)?), row::node)
    }

    fn children(&self, drive: DriveId, parent: NodeId) -> Result<Vec<NodeState>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(Vec::new()) };
        self.all(sql::CHILDREN, (number, parent.as_bytes()), row::node)
    }

    fn manifest(&self, drive: DriveId, list: ListId) -> Result<Option<Manifest>, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(None) };
        self.one(sql::MANIFEST, (number, list.as_bytes()), |row| {
            let bytes = row.get_ref(0).map_err(row::failed)?;
            row::decode(bytes.as_bytes().map_err(|error| StoreError::Damaged(error.to_string()))?)
        })
    }

    fn connections(&self, limit: usize) -> Result<Vec<LoggedConnection>, StoreError> {
        self.all(sql::CONNECTIONS, [row::integer(limit as u64)?], row::connection)
    }

    fn connections_after(&self, number: u64, limit: usize) -> Result<Vec<(u64, LoggedConnection)>, StoreError> {
        let parameters = [row::integer(number)?, row::integer(limit as u64)?];
        self.all(sql::CONNECTIONS_AFTER, parameters, |found| Ok((row::count(found, 9)?, row::connection(found)?)))
    }
}
