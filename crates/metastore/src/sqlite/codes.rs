//! One transaction: join codes.

use rusqlite::Row;

use super::session::Session;
use super::{row, sql};
use crate::{JoinCodeRow, ReadCodes, StoreError, WriteCodes};

impl ReadCodes for Session<'_> {
    fn join_codes(&self) -> Result<Vec<JoinCodeRow>, StoreError> {
        self.all(sql::JOIN_CODES, [], join_code)
    }
}

impl WriteCodes for Session<'_> {
    fn put_join_code(&mut self, code: &JoinCodeRow) -> Result<(), StoreError> {
        let JoinCodeRow { locator, letters, account, user, made, ends, tries } = code;
        let account = account.as_ref().map(|account| account.as_bytes().as_slice());
        let (made, ends) = (row::nanoseconds(*made), row::nanoseconds(*ends));
        self.change(sql::PUT_JOIN_CODE, (locator, letters, account, user, made, ends, tries)).map(drop)
    }

    fn remove_join_code(&mut self, locator: u16) -> Result<(), StoreError> {
        self.change(sql::REMOVE_JOIN_CODE, [locator]).map(drop)
    }
}

fn join_code(row: &Row<'_>) -> Result<JoinCodeRow, StoreError> {
    Ok(JoinCodeRow {
        locator: row.get(0).map_err(row::failed)?,
        letters: row.get(1).map_err(row::failed)?,
        account: row::optional(row, 2, row::account_id)?,
        user: row.get(3).map_err(row::failed)?,
        made: row::time(row, 4)?,
        ends: row::time(row, 5)?,
        tries: row.get(6).map_err(row::failed)?,
    })
}
