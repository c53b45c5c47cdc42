//! Positions in a drive's journal.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::{CommitId, Generation, Version};

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

impl Cursor {
    /// What the last entry that was taken set; `None` at [`Seq::START`].
    pub fn stands_at(&self) -> Option<Version> {
        self.commit.map(|commit| Version { seq: self.seq, commit })
    }
}

/// A generation of a drive's history that began at some point of another one: the server was brought back from a copy.
///
/// The forks of a drive, oldest first, are its *lineage*. Up to `at` both histories are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Fork {
    /// The history that it continues.
    #[n(0)]
    pub parent: Generation,
    /// The last position that it shares with its parent.
    #[n(1)]
    pub at: Seq,
    /// What it is called from there on.
    #[n(2)]
    pub generation: Generation,
}

/// Whether a commit is in a drive's history, at the position at which somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// It is: all before it is common as well.
    #[n(0)]
    Held,
    /// It is not: another commit has that position, or the journal ends before.
    #[n(1)]
    Other,
    /// The journal was thinned there.
    #[n(2)]
    Thinned,
}
