//! What the engine wants done. Effects are carried out in any order; each is answered by one event.

use std::collections::BTreeMap;

use skep_types::{Commit, Content, ContentId, FileContent, Mode, Name, NodeId, Stat};

/// Names one look, for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookId(pub u64);

/// Names one batch of apply operations, for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// An entry of a directory beneath the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The directory: names from the root down.
    pub dir: Vec<Name>,
    /// The entry in it.
    pub name: Name,
}

impl Location {
    /// The path with `/` between the names, for people.
    pub fn display(&self) -> String {
        let names = self.dir.iter().chain([&self.name]);
        names.map(|name| name.display().into_owned()).collect::<Vec<_>>().join("/")
    }
}

/// A file to be read and hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// Which node stands there.
    pub node: NodeId,
    /// Where.
    pub at: Location,
    /// Its size when last seen.
    pub size: u64,
}

/// Where bytes can be read on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where the file stands.
    pub at: Location,
    /// What it was when it was hashed: other stat, other bytes.
    pub stat: Stat,
    /// What it held.
    pub content: FileContent,
}

/// One change of this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyOperation {
    /// The node that it is done for.
    pub node: NodeId,
    /// What.
    pub kind: ApplyKind,
    /// Where the bytes that it brings may stand on this disk already, some of them at least: they need not be fetched. A hint.
    pub nearby: Option<Source>,
}

impl ApplyOperation {
    /// The places that it reads or changes.
    pub fn places(&self) -> impl Iterator<Item = &Location> {
        let (one, two) = match &self.kind {
            ApplyKind::Rename { from, to, .. } => (from, Some(to)),
            ApplyKind::Create { at, .. }
            | ApplyKind::Replace { at, .. }
            | ApplyKind::Touch { at, .. }
            | ApplyKind::Remove { at, .. } => (at, None),
        };
        std::iter::once(one).chain(two)
    }

    /// Whether a path of it leads through a place that `failed`, an earlier operation, was to change.
    pub fn goes_through(&self, failed: &ApplyOperation) -> bool {
        let leads = |at: &Location, place: &Location| {
            at.dir.get(..place.dir.len()) == Some(&place.dir) && at.dir.get(place.dir.len()) == Some(&place.name)
        };
        self.places().any(|at| failed.places().any(|place| leads(at, place)))
    }
}

/// What to do to this disk. `expected` is what must stand there, else nothing is changed and the answer is
/// [`crate::ApplyError::Changed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyKind {
    /// Makes a directory, file or symlink where nothing stands.
    Create {
        /// Where.
        at: Location,
        /// What it holds.
        content: Content,
        /// Its mode.
        mode: Mode,
    },
    /// Replaces the content of a file or symlink in one step.
    Replace {
        /// Where.
        at: Location,
        /// What it will hold.
        content: Content,
        /// Its mode.
        mode: Mode,
        /// What stands there; it goes to the safe.
        expected: Stat,
    },
    /// Renames or moves to where nothing stands.
    Rename {
        /// From where.
        from: Location,
        /// To where.
        to: Location,
        /// What stands there: of a directory, only the inode counts.
        expected: Stat,
    },
    /// Sets mtime and mode of a file without touching its bytes.
    Touch {
        /// Where.
        at: Location,
        /// Whose mtime it gets.
        content: FileContent,
        /// Its mode.
        mode: Mode,
        /// What stands there.
        expected: Stat,
    },
    /// Removes an empty directory, or moves a file or symlink to the safe.
    Remove {
        /// Where.
        at: Location,
        /// What stands there: of a directory, only the inode counts.
        expected: Stat,
    },
}

/// What the engine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Look at a directory: all of it, or some names. Answered by [`crate::Event::Looked`].
    Look {
        /// For the answer.
        look: LookId,
        /// Which directory.
        dir: NodeId,
        /// Its path from the root.
        path: Vec<Name>,
        /// Which names; `None`: all.
        names: Option<Vec<Name>>,
        /// Watch the directory before looking (asked for when it is looked at as a whole for the first time).
        watch: bool,
    },
    /// Read and hash files, all of them; each is answered by its own [`crate::Event::Read`].
    Read(Vec<ReadRequest>),
    /// Send a commit, with the contents that the drive may lack. Answered by [`crate::Event::Committed`].
    Commit {
        /// What to send.
        commit: Commit,
        /// The files whose bytes it brings.
        sources: BTreeMap<NodeId, Source>,
    },
    /// Change this disk, in this order. An operation that fails does not stop the next; but one that goes through a place where an
    /// earlier one failed to put or to leave something fails as well ([`ApplyOperation::goes_through`]), for another directory may
    /// stand there. Answered by [`crate::Event::Applied`] when the result is durable.
    Apply {
        /// For the answer.
        batch: BatchId,
        /// What to do.
        operations: Vec<ApplyOperation>,
    },
    /// Read what was displaced where a file with this stat and content was expected. What holds something else was written in that very
    /// moment: it comes back under a name beside. Answered by [`crate::Event::CameBack`].
    CheckDisplaced {
        /// What was expected.
        expected: Stat,
        /// What it held.
        content: ContentId,
    },
    /// Ask the server for the journal after the cursor (a feed does this by itself). Answered by [`crate::Event::Entries`] or
    /// [`crate::Event::PullFailed`].
    Pull,
    /// Call [`crate::Engine::step`] with [`crate::Event::Tick`] at this time (of `Input::at_ms`) or soon after. A later one replaces an earlier one.
    WakeAt {
        /// When.
        at_ms: u64,
    },
}
