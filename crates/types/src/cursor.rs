//! Positions in a drive's journal.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::{CommitId, Generation};

/// A position in the journal of one drive: 1 for its first entry, 0 before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Seq(#[n(0)] pub u64);

impl Seq {
    /// Before the first entry.
    pub const START: Seq = Seq(0);

    /// The position after this one.
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How far a device has followed a drive. The server checks that its entry at `seq` was made by `commit`, so that a
/// history that was copied back by hand is noticed although its numbers look right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Cursor {
    /// The history that `seq` counts in.
    #[n(0)]
    pub generation: Generation,
    /// The last entry that was taken.
    #[n(1)]
    pub seq: Seq,
    /// The commit of that entry; `None` only at [`Seq::START`].
    #[n(2)]
    pub commit: Option<CommitId>,
}
