//! What the client says of itself. The shells render it.

use std::collections::BTreeSet;

use skep_planner::{Listed, TwoVersions};
use skep_types::{Name, NodeId, Timestamp};

use crate::throttle::Rates;

use crate::equality::Checked;
use crate::state::AuditState;

/// The one word for how things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Local, server and what both agreed on are equal, but for listed problems.
    UpToDate,
    /// Work is under way or waits to be done.
    Syncing,
    /// The server cannot be reached; changes wait.
    Offline,
    /// A person paused syncing; changes wait.
    Paused,
    /// Nothing is synced until a person does something: the root is missing, the server is another one, the token does not count.
    Stopped,
}

/// How long syncing pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Until a person resumes it.
    UntilResumed,
    /// Until this time.
    Until(Timestamp),
}

impl Pause {
    /// Milliseconds that are left of it at `now`; `None`: nobody knows.
    pub fn left_ms(&self, now: Timestamp) -> Option<u64> {
        match self {
            Pause::UntilResumed => None,
            Pause::Until(end) => {
                let left = end.as_nanoseconds().saturating_sub(now.as_nanoseconds()).max(0);
                Some(u64::try_from(left / 1_000_000 + i128::from(left % 1_000_000 > 0)).unwrap_or(u64::MAX))
            }
        }
    }
}

/// Which directories are on this computer: all but these. Kept in the configuration, not in the state, which may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Those that are not, with all that lies beneath them.
    pub outside: BTreeSet<NodeId>,
    /// How often this was changed, ever: the state tells by it whether it has followed.
    pub changes: u64,
}

/// What a person wishes for, beyond that a folder is synced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Syncing pauses.
    pub pause: Option<Pause>,
    /// Which directories are here.
    pub selection: Selection,
    /// How fast bytes may go.
    pub rates: Rates,
}

/// Something that cannot be synced, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code, `E-…`.
    pub code: &'static str,
    /// Path relative to the root; `None` if it concerns everything.
    pub path: Option<String>,
    /// A sentence: what happened.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Since when.
    pub since: Timestamp,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// In one word.
    pub state: State,
    /// When the server last confirmed that its head is what we have, if it ever did.
    pub confirmed: Option<Timestamp>,
    /// Files in the synced tree.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files and directories that wait to be sent or applied.
    pub queue_files: u64,
    /// Bytes of them, as far as known.
    pub queue_bytes: u64,
    /// What stands in the folder and is ignored; a directory counts once.
    pub ignored: u64,
    /// What needs a person, or time.
    pub problems: Vec<Problem>,
    /// How many things stand in the folder that are nothing to be synced: pipes, sockets, devices, other file systems.
    pub not_synced: u64,
    /// The first of them.
    pub not_synced_told: Vec<Problem>,
    /// How many things the disk shows by another name, because it cannot hold theirs.
    pub shown_otherwise: u64,
    /// The first of them.
    pub shown_otherwise_told: Vec<Problem>,
    /// Directories are not all watched: changes are found by scans.
    pub watch_degraded: bool,
    /// Files in the folder that are second versions of others: somebody has to choose.
    pub two_versions: usize,
    /// How long syncing pauses, if it does.
    pub pause: Option<Pause>,
    /// How far the audit is, and what it has found.
    pub audit: AuditState,
    /// Whether both sides were found to be equal, and when.
    pub checked: Checked,
    /// How much has changed since then, on either side; `None`: it is not known, or never was compared.
    pub changes_since: Option<u64>,
}

/// Why one path is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathReport {
    /// Relative to the root.
    pub path: String,
    /// `synced`, `sending`, `receiving`, `waiting`, `problem`, `ignored`, `not synced` or `unknown`.
    pub state: &'static str,
    /// A sentence: why.
    pub reason: String,
}

/// Two versions of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The directory that holds both: names from the root down.
    pub dir: Vec<Name>,
    /// What the copy's name tells.
    pub told: TwoVersions,
    /// The copy.
    pub copy: Listed,
    /// What has the name now, if anything has.
    pub original: Option<Listed>,
}

/// How waiting for equality ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitOutcome {
    /// Local and server were equal.
    Equal,
    /// Equal but for problems that need a person.
    NeedsPerson,
    /// The server cannot be reached.
    Offline,
    /// Syncing is paused, so the server is not asked.
    Paused,
    /// The time was up.
    TimedOut,
}
