//! Checked equality: what was found when the sums of this device and of the server were compared.

use minicbor::{Decode, Encode};
use skep_types::{Cursor, Timestamp};

/// Sums were found to be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct VerifiedEqual {
    /// When, by the clock of this computer.
    #[n(0)]
    pub at: Timestamp,
    /// At which position of the drive's journal.
    #[n(1)]
    pub cursor: Cursor,
    /// Nodes that live on the server.
    #[n(2)]
    pub nodes: u64,
    /// Of these, how many are not on this disk by rule or by choice.
    #[n(3)]
    pub left_out: u64,
    /// How many differ and are told of as problems or holds.
    #[n(4)]
    pub told: u64,
}

/// Who had it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Whose {
    /// This device's state.
    #[n(0)]
    Ours,
    /// The server's database: its nodes are not what it counted as they changed.
    #[n(1)]
    Servers,
    /// This device's sums, which were not those of its rows: an older program has worked on them, or a program has a fault.
    #[n(2)]
    Count,
}

/// One node in which the two sides differed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Differing {
    /// Its path on the server, or else as this device had it.
    #[n(0)]
    pub path: String,
    /// In what, in words.
    #[n(1)]
    pub how: String,
}

/// Sums were found to differ.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Difference {
    /// When, by the clock of this computer.
    #[n(0)]
    pub at: Timestamp,
    /// Where the fault lay.
    #[n(1)]
    pub whose: Whose,
    /// In how many nodes, as far as it was looked for.
    #[n(2)]
    pub nodes: u64,
    /// The first of them.
    #[n(3)]
    pub told: Vec<Differing>,
    /// It was found to be equal since.
    #[n(4)]
    pub is_mended: bool,
}

/// What is known of equality; outlives restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Checked {
    /// When both sides were last found to be equal.
    #[n(0)]
    pub verified: Option<VerifiedEqual>,
    /// What was last found to differ.
    #[n(1)]
    pub difference: Option<Difference>,
    /// When every row on both sides was last counted.
    #[n(2)]
    pub counted: Option<Timestamp>,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// Both sides are equal, but for what is left out and what is told of.
    Equal(VerifiedEqual),
    /// They are not; what was wrong here is being put right.
    Differs(Difference),
    /// It could not be told: why, in a sentence.
    Unknown(String),
}
