//! One transaction: knocks.

use rusqlite::Row;

use super::session::Session;
use super::{row, sql};
use crate::{KnockRow, ReadKnocks, StoreError, WriteKnocks};

impl ReadKnocks for Session<'_> {
    fn knocks(&self) -> Result<Vec<KnockRow>, StoreError> {
        self.all(sql::KNOCKS, [], knock)
    }
}

impl WriteKnocks for Session<'_> {
    fn put_knock(&mut self, knock: &KnockRow) -> Result<(), StoreError> {
        let values = rusqlite::params![
            knock.locator,
            knock.secret_hash,
            knock.name,
            knock.platform,
            knock.client_version,
            knock.user,
            knock.drive.as_ref().map(|drive| drive.as_bytes().as_slice()),
            knock.peer,
            row::nanoseconds(knock.made),
            row::nanoseconds(knock.ends),
            knock.message,
            knock.round,
            knock.refused,
            row::encode(&knock.standing),
        ];
        self.change(sql::PUT_KNOCK, values).map(drop)
    }

    fn remove_knock(&mut self, locator: u16) -> Result<(), StoreError> {
        self.change(sql::REMOVE_KNOCK, [locator]).map(drop)
    }
}

fn knock(row: &Row<'_>) -> Result<KnockRow, StoreError> {
    Ok(KnockRow {
        locator: row.get(0).map_err(row::failed)?,
        secret_hash: row.get(1).map_err(row::failed)?,
        name: row.get(2).map_err(row::failed)?,
        platform: row.get(3).map_err(row::failed)?,
        client_version: row.get(4).map_err(row::failed)?,
        user: row.get(5).map_err(row::failed)?,
        drive: row::optional(row, 6, row::drive_id)?,
        peer: row.get(7).map_err(row::failed)?,
        made: row::time(row, 8)?,
        ends: row::time(row, 9)?,
        message: row.get(10).map_err(row::failed)?,
        round: row.get(11).map_err(row::failed)?,
        refused: row.get(12).map_err(row::failed)?,
        standing: row::decode(row.get_ref(13).map_err(row::failed)?.as_bytes().unwrap_or_default())?,
    })
}
