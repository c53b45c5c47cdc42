//! New computers that ask to be let in: few, and none for long.

use minicbor::{Decode, Encode};
use skep_types::{AccountId, DriveId, Timestamp};

use crate::StoreError;

/// A knock, also one that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnockRow {
    /// The number of the public beginning of its code; unique. The rest of the code is stored nowhere.
    pub locator: u16,
    /// BLAKE3 of what the new computer names it by; unique.
    pub secret_hash: [u8; 32],
    /// What the new computer calls itself.
    pub name: String,
    /// Operating system and architecture.
    pub platform: String,
    /// Program and version.
    pub client_version: String,
    /// The login name of the account that it is to belong to, if only that may answer.
    pub user: Option<String>,
    /// The drive that its folder shows already, if it does.
    pub drive: Option<DriveId>,
    /// From where it came: address and port.
    pub peer: String,
    /// When it was made.
    pub made: Timestamp,
    /// From then on it does not count.
    pub ends: Timestamp,
    /// The new computer's message for the next answer.
    pub message: Vec<u8>,
    /// How often it was answered.
    pub round: u32,
    /// The last answer that came with a wrong code.
    pub refused: Option<[u8; 16]>,
    /// What has become of it.
    pub standing: KnockStanding,
}

/// What has become of a knock. Part of the database's format.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum KnockStanding {
    /// Nobody has answered, or not with the right code.
    #[n(0)]
    Waiting,
    /// Somebody has, and the new computer has not read it.
    #[n(1)]
    Answered(#[n(0)] KnockAnswerRow),
    /// It is over.
    #[n(2)]
    Ended {
        /// By which answer.
        #[cbor(n(0), with = "minicbor::bytes")]
        answer: [u8; 16],
        /// How.
        #[n(1)]
        end: KnockEnd,
    },
}

/// How a knock ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum KnockEnd {
    /// The device came in.
    #[n(0)]
    Entered {
        /// What it is called now.
        #[n(0)]
        device_name: String,
    },
    /// It was sent away.
    #[n(1)]
    Denied,
    /// Too many answers came with a wrong code.
    #[n(2)]
    Wrong,
}

/// An answer to a knock.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KnockAnswerRow {
    /// Its id.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// To which account the new computer is let in.
    #[n(1)]
    pub account: AccountId,
    /// The answering end's message.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub message: Vec<u8>,
    /// What the new computer checks the answer by.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub proof: [u8; 32],
    /// A hash of what the new computer must show.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub expected_hash: [u8; 32],
    /// It is let in, else sent away.
    #[n(5)]
    pub approves: bool,
    /// When it was given.
    #[n(6)]
    pub made: Timestamp,
}

/// Reading them.
pub trait ReadKnocks {
    /// All of them, the oldest first; also those that do not count any more.
    fn knocks(&self) -> Result<Vec<KnockRow>, StoreError>;
}

/// Writing them.
pub trait WriteKnocks: ReadKnocks {
    /// Keeps a knock, in place of the one that has its locator.
    fn put_knock(&mut self, knock: &KnockRow) -> Result<(), StoreError>;
    /// Removes the knock with that locator, if there is one.
    fn remove_knock(&mut self, locator: u16) -> Result<(), StoreError>;
}
