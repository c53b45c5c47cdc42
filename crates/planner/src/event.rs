//! What the engine is told.

use std::collections::BTreeSet;

use skep_types::{
    Change, CommitId, CommitReply, ContentId, Cursor, Entry, Name, NodeId, NodeState, OwnDir, Seq, Stat, Timestamp,
};

use crate::{BatchId, Correction, HoldDecision, HoldId, LookId};

/// An event and when it came.
#[derive(Debug, Clone)]
pub struct Input {
    /// Wall-clock time, for problems and conflict notices.
    pub now: Timestamp,
    /// Milliseconds that never go back, for waiting.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
}

/// An entry of a directory, as a look found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Its name.
    pub name: Name,
    /// What it is; `None`: nothing of that name.
    pub stat: Option<Stat>,
    /// The target, if it is a symlink.
    pub target: Option<Vec<u8>>,
    /// What it holds, if it is a file with ignore rules ([`is_ignore_file`](crate::is_ignore_file)); `None` if it cannot be read, too.
    /// One byte more than [`IGNORE_BYTES_MAX`](crate::IGNORE_BYTES_MAX) is enough.
    pub text: Option<Vec<u8>>,
    /// Why it is no part of the folder, if it is a directory of ours; the stat is then without a kind.
    pub own: Option<OwnDir>,
}

/// A look failed. The directory counts as unknown, never as empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookError {
    /// The path leads to no directory any more.
    Gone,
    /// It cannot be read now.
    Denied,
    /// Anything else.
    Failed,
}

/// What reading a file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadResult {
    /// Its content.
    pub content: ContentId,
    /// Its bytes.
    pub size: u64,
    /// What it was, equally, before and after the reading.
    pub stat: Stat,
    /// Wall-clock time just before `stat` was taken the second time: a change in the same tick of the clock would not show.
    pub at: Timestamp,
}

/// A file was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// There is no regular file of that name any more.
    Gone,
    /// It changed while it was read.
    Busy,
    /// It may not be read.
    Denied,
    /// The disk failed.
    Failed,
}

/// A commit came to no decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitFailure {
    /// No answer: it may have been done or not. Try again when connected.
    Unreachable,
    /// These files changed or vanished before their bytes were sent; nothing was done.
    SourcesChanged(Vec<NodeId>),
    /// The server refused the commit as a whole: stable code and sentence. Temporary ones are tried again.
    Refused {
        /// `E-…`
        code: &'static str,
        /// For people.
        message: String,
        /// It may succeed later by itself.
        temporary: bool,
    },
}

/// An apply operation was not done; the disk is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyError {
    /// What stands there is not what was expected: look again.
    Changed,
    /// The directory is not empty: look again.
    NotEmpty,
    /// The bytes could not be fetched: no connection.
    Unreachable,
    /// The server does not deliver the bytes, though it should hold them.
    MissingContent,
    /// The disk is full.
    NoSpace,
    /// It would not fit on the disk, so it was not begun.
    TooBig {
        /// Bytes that it needs.
        needed_bytes: u64,
        /// Bytes that are free for it: some are kept free, some are promised to others.
        free_bytes: u64,
    },
    /// Permission denied, read-only, immutable.
    Denied,
    /// The file system cannot hold this name.
    BadName,
    /// Anything else, in the system's words.
    Failed(String),
}

/// The outcome of one apply operation: what the disk shows of the node now (`None` after a removal).
pub type ApplyResult = Result<Option<Stat>, ApplyError>;

/// What the engine is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// The state was opened, the root is in place: begin, with a complete scan.
    Started,
    /// The watcher hints that this entry may have changed.
    Changed {
        /// The directory, as it was watched.
        dir: NodeId,
        /// The entry.
        name: Name,
        /// What may have happened to it.
        change: Change,
    },
    /// The directory, as it was watched, is watched no more.
    Unwatched {
        /// The directory.
        dir: NodeId,
    },
    /// The watcher lost hints, or a scan is due: look at everything.
    ScanDue,
    /// Answer to [`crate::Effect::Look`].
    Looked {
        /// To which.
        look: LookId,
        /// Whether hints will tell what changes in it from now on. Counts only if the look was to watch.
        watching: bool,
        /// What was found: all entries if all were asked for, else one sight for each name asked for. With the stat of the
        /// directory itself, taken from the same handle.
        result: Result<(Stat, Vec<Sight>), LookError>,
    },
    /// Answer to [`crate::Effect::Read`], for one file.
    Read {
        /// Which node.
        node: NodeId,
        /// What was found.
        result: Result<ReadResult, ReadError>,
    },
    /// An audit has read a file again. Nobody asked for it: the answer counts only if all is as the trees say.
    Audited {
        /// Which node.
        node: NodeId,
        /// What was found.
        result: Result<ReadResult, ReadError>,
    },
    /// Answer to [`crate::Effect::Commit`].
    Committed {
        /// To which.
        commit: CommitId,
        /// The drive's answer.
        result: Result<CommitReply, CommitFailure>,
    },
    /// Answer to [`crate::Effect::Apply`]: one result for each operation, in order.
    Applied {
        /// To which.
        batch: BatchId,
        /// What came of each.
        results: Vec<ApplyResult>,
    },
    /// Answer to [`crate::Effect::CheckDisplaced`].
    CameBack {
        /// Names in the root under which files came back.
        names: Vec<Name>,
    },
    /// The feed is open: the server can be reached.
    Connected,
    /// The feed is closed: the server cannot be reached, or not by push.
    Disconnected,
    /// The next entries of the journal, whole commits.
    Entries {
        /// They follow this position.
        after: Seq,
        /// In order.
        entries: Vec<Entry>,
        /// The cursor after them.
        to: Cursor,
        /// The journal's end, as far as known.
        head: Seq,
    },
    /// The answer to [`crate::Effect::Pull`] did not come.
    PullFailed,
    /// A page of a snapshot. Taken only while there is no cursor.
    SnapshotRows {
        /// Nodes.
        rows: Vec<NodeState>,
    },
    /// The snapshot is complete; the journal follows from this cursor, which was the head when the first page was read.
    SnapshotDone {
        /// From where the journal follows.
        cursor: Cursor,
        /// Where the journal ended when folder and server were equal last, if the folder remembers that; how the nodes that changed since were
        /// then was told before ([`Event::PastRows`]).
        since: Option<Seq>,
    },
    /// How nodes were when folder and server were equal last; of those that changed since and were not in the trash. Taken only while there
    /// is no cursor.
    PastRows {
        /// Nodes.
        rows: Vec<NodeState>,
    },
    /// A comparison with the server has found that Remote is not what the server says: this is what it says.
    Corrected {
        /// At this position; counts only there.
        at: Cursor,
        /// Of these nodes.
        corrections: Vec<Correction>,
    },
    /// A snapshot is begun beside Remote: what was taken of an earlier one is forgotten.
    ShadowBegun,
    /// A page of that snapshot. When it is complete, [`crate::take_shadow`] puts it in Remote's place, under a new engine.
    ShadowRows {
        /// Nodes.
        rows: Vec<NodeState>,
    },
    /// The journal's end is at least here (from a question or a heartbeat).
    Head(Seq),
    /// Which directories a person wants not to be on this disk. Told before [`Event::Started`], and whenever it changes.
    Selected {
        /// Their nodes; with each, all that lies beneath it.
        outside: BTreeSet<NodeId>,
        /// How often this was changed, ever.
        changes: u64,
    },
    /// A person decided what becomes of held deletions. Counts only for this very hold.
    HoldDecided {
        /// Which hold.
        hold: HoldId,
        /// Only what was at or beneath this path; `None`: all of it.
        under: Option<Vec<Name>>,
        /// What is to be done.
        decision: HoldDecision,
    },
    /// What failed is to be tried again now, however lately it was tried.
    TryAgain,
    /// Time passed.
    Tick,
}
