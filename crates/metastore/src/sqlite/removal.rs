//! One transaction: removing an account and what belongs to it.

use skep_types::{AccountId, DriveId};

use super::session::Session;
use super::{row, sql};
use crate::{StoreError, WriteRemoval};

impl WriteRemoval for Session<'_> {
    fn remove_drive_rows(&mut self, drive: DriveId, limit: usize) -> Result<bool, StoreError> {
        let Some(number) = self.number(drive)? else { return Ok(false) };
        let limit_rows = row::integer(limit as u64)?;
        self.tallies.remove(&number);
        self.change(sql::FORGET_SUM, [number])?;
        // What names contents goes before the contents: at no time does a row name one that is not there.
        for statement in sql::REMOVE_ROWS_OF_DRIVE {
            if self.change(statement, (number, limit_rows))? == limit {
                return Ok(true);
            }
        }
        self.change(sql::REMOVE_DRIVE, [number])?;
        self.forget_number();
        Ok(false)
    }

    fn remove_account(&mut self, account: AccountId) -> Result<(), StoreError> {
        sql::REMOVE_OF_ACCOUNT.iter().try_for_each(|statement| self.change(statement, [account.as_bytes()]).map(drop))
    }
}
