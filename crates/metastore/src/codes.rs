//! Join codes that are open: few, and none for long.

use skep_types::{AccountId, Timestamp};

use crate::StoreError;

/// An open join code.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinCodeRow {
    /// The number of its public beginning; unique.
    pub locator: u16,
    /// Its letters. They are kept as they are: a hash of so few would hide nothing.
    pub letters: [u8; 8],
    /// The account that another device joins; `None` if an account is to be made.
    pub account: Option<AccountId>,
    /// The login name of the account to be made, if that is settled.
    pub user: Option<String>,
    /// When it was made.
    pub made: Timestamp,
    /// From then on it does not count.
    pub ends: Timestamp,
    /// How often it may still be tried.
    pub tries: u32,
}

/// Hides the secret.
impl std::fmt::Debug for JoinCodeRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let JoinCodeRow { locator, account, user, ends, tries, .. } = self;
        write!(f, "JoinCodeRow({locator}, {account:?}, {user:?}, ends {ends:?}, {tries} tries)")
    }
}

/// Reading them.
pub trait ReadCodes {
    /// All of them, the oldest first; also those that do not count any more.
    fn join_codes(&self) -> Result<Vec<JoinCodeRow>, StoreError>;
}

/// Writing them.
pub trait WriteCodes: ReadCodes {
    /// Keeps a code, in place of the one that has its locator.
    fn put_join_code(&mut self, code: &JoinCodeRow) -> Result<(), StoreError>;
    /// Removes the code with that locator, if there is one.
    fn remove_join_code(&mut self, locator: u16) -> Result<(), StoreError>;
}
