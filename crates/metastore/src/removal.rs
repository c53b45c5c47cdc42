//! Removing an account and what belongs to it, for good.

use skep_types::{AccountId, DriveId};

use crate::StoreError;

/// What is removed leaves no row. Contents in packs are freed as those of which no row is left always are.
pub trait WriteRemoval {
    /// Removes a bounded number of rows of a drive, about `limit`, at last the drive itself. Gives back whether anything is left. Nobody
    /// may use the drive meanwhile; broken off, it can be gone on with.
    fn remove_drive_rows(&mut self, drive: DriveId, limit: usize) -> Result<bool, StoreError>;
    /// Removes an account with its devices, its account id and its join codes. Its drives must be gone.
    fn remove_account(&mut self, account: AccountId) -> Result<(), StoreError>;
}
