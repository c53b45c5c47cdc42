//! How commands talk to the daemon of their home: one JSON object a line, over a socket in the home.

mod answers;
mod client;
mod server;
mod socket;

pub use answers::{
    ConflictAnswer, DecisionWord, EntryAnswer, HoldAnswer, IgnoreRuleAnswer, IgnoredAnswer, KeepWord, NotSelected,
    Resolved, SelectableAnswer, Selecting,
};
pub use client::DaemonConnection;
pub use server::{ControlServer, serve};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use skep_client::{Compared, PathReport, Status, Verified, WaitOutcome};
use skep_types::Kind;

use crate::activity::ActivityLine;
use crate::equality::ComparedAnswer;
use crate::home::{PauseConfig, SyncConfig};
use crate::names::{NameText, PathNames};
use crate::status::{PathAnswer, StatusAnswer};

/// Longest request or answer. A status with ten thousand problems fits.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// What the daemon's client can be asked.
pub trait Control: Send + Sync + 'static {
    /// How things stand.
    fn status(&self) -> BoxFuture<'static, Status>;
    /// Why a path (relative to the folder, `/` between names) is as it is.
    fn report(&self, path: String) -> BoxFuture<'static, PathReport>;
    /// Waits until local and server are equal now, at most so long.
    fn wait(&self, timeout_ms: u64) -> BoxFuture<'static, WaitOutcome>;
    /// A page of the directory at a path, after a name, and whether there is more; `None` if there is nothing at the path.
    fn list(&self, path: PathNames, after: Option<NameText>) -> BoxFuture<'static, Option<(Vec<EntryAnswer>, bool)>>;
    /// The files with two versions.
    fn conflicts(&self) -> BoxFuture<'static, Vec<ConflictAnswer>>;
    /// Ends the conflict of the copy at a path.
    fn resolve(&self, path: PathNames, keep: KeepWord) -> BoxFuture<'static, Resolved>;
    /// What is ignored.
    fn ignored(&self) -> BoxFuture<'static, Vec<IgnoredAnswer>>;
    /// The rule that decides whether a path is ignored; what is not there counts as a directory if so told.
    fn check_ignored(&self, path: PathNames, kind: Kind) -> BoxFuture<'static, Option<IgnoreRuleAnswer>>;
    /// The directories that are not on this computer.
    fn selection(&self) -> BoxFuture<'static, Vec<SelectableAnswer>>;
    /// Changes whether a directory is on this computer, also for later starts; or only says what that would mean.
    fn select(
        &self,
        path: PathNames,
        wish: Selecting,
        dry_run: bool,
    ) -> BoxFuture<'static, Result<SelectableAnswer, NotSelected>>;
    /// Changes how fast bytes may go, also for later starts; says why not if that cannot be kept.
    fn limit(&self, sync: SyncConfig) -> BoxFuture<'static, Result<(), String>>;
    /// The deletions that wait for a person.
    fn hold(&self) -> BoxFuture<'static, Option<HoldAnswer>>;
    /// What a person decided of the hold with this id, or of what was at and beneath a path; false if it is another one by now.
    fn decide_hold(&self, id: String, under: Option<PathNames>, decision: DecisionWord) -> BoxFuture<'static, bool>;
    /// Reads every file again and compares it; says why not if that cannot be done.
    fn verify(&self) -> BoxFuture<'static, Result<Verified, String>>;
    /// Compares what this computer and the server hold.
    fn compare(&self) -> BoxFuture<'static, Compared>;
    /// Pauses syncing, or resumes it, also for later starts; says why not if that cannot be kept.
    fn pause(&self, pause: Option<PauseConfig>) -> BoxFuture<'static, Result<(), String>>;
    /// What happened after the line of this number, as soon as something did.
    fn activity(&self, after: u64) -> BoxFuture<'static, Vec<ActivityLine>>;
    /// Comes to an orderly end: nothing half done that a kill would not leave too.
    fn stop(&self) -> BoxFuture<'static, ()>;
}

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum ControlRequest {
    /// How do things stand?
    Status,
    /// Why is this path as it is?
    StatusOf {
        /// Relative to the folder.
        path: String,
    },
    /// Tell me when local and server are equal.
    Wait {
        /// Give up after this long.
        timeout_ms: u64,
    },
    /// What stands in this directory?
    List {
        /// From the folder down.
        path: PathNames,
        /// Goes on after this name.
        after: Option<NameText>,
    },
    /// Which files have two versions?
    Conflicts,
    /// End the conflict of this copy.
    Resolve {
        /// From the folder down.
        path: PathNames,
        /// What stays.
        keep: KeepWord,
    },
    /// What is ignored?
    Ignored,
    /// Is this path ignored, and why?
    CheckIgnored {
        /// From the folder down.
        path: PathNames,
        /// What is not there counts as a directory.
        directory: bool,
    },
    /// Which directories are not on this computer?
    Selection,
    /// Have this directory on this computer, or not.
    Select {
        /// From the folder down.
        path: PathNames,
        /// What is wanted.
        wish: Selecting,
        /// Only say what that would mean.
        dry_run: bool,
    },
    /// From now on, bytes go at these rates.
    Limit {
        /// Which.
        sync: SyncConfig,
    },
    /// Which deletions wait for a person?
    Hold,
    /// Send them, or bring the files back.
    DecideHold {
        /// The hold as it was shown.
        id: String,
        /// Only what was at or beneath this path.
        under: Option<PathNames>,
        /// What is to be done.
        decision: DecisionWord,
    },
    /// Read every file again, and compare it with what it should hold.
    Verify,
    /// Compare what this computer and the server hold, now.
    Compare,
    /// Pause syncing, or resume it.
    Pause {
        /// How long; null: not at all.
        pause: Option<PauseConfig>,
    },
    /// Tell me when something has happened.
    Activity {
        /// After the line of this number.
        after: u64,
    },
    /// Who are you?
    Hello,
    /// End.
    Stop,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum ControlAnswer {
    /// To [`ControlRequest::Status`].
    Status(Box<StatusAnswer>),
    /// To [`ControlRequest::StatusOf`].
    StatusOf(PathAnswer),
    /// To [`ControlRequest::Wait`].
    Waited {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// How it ended.
        outcome: Waited,
    },
    /// To [`ControlRequest::List`].
    Listed {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// By name.
        entries: Vec<EntryAnswer>,
        /// There are more after the last one.
        more: bool,
    },
    /// To [`ControlRequest::List`]: there is nothing at that path.
    NotThere {
        /// [`crate::status::SCHEMA`].
        schema: u32,
    },
    /// To [`ControlRequest::Conflicts`].
    Conflicts {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// By path.
        conflicts: Vec<ConflictAnswer>,
    },
    /// To [`ControlRequest::Resolve`].
    Resolved {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// Whether it is done.
        outcome: Resolved,
    },
    /// To [`ControlRequest::Ignored`].
    Ignored {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// By path.
        entries: Vec<IgnoredAnswer>,
    },
    /// To [`ControlRequest::CheckIgnored`].
    CheckedIgnored {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// The rule that decides; null: none does.
        rule: Option<IgnoreRuleAnswer>,
    },
    /// To [`ControlRequest::Selection`].
    Selection {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// By path.
        entries: Vec<SelectableAnswer>,
    },
    /// To [`ControlRequest::Select`]: done, or what would be done.
    Selected {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// What it means.
        plan: SelectableAnswer,
    },
    /// To [`ControlRequest::Select`]: nothing was changed.
    NotSelected {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// Stable code.
        code: String,
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// To [`ControlRequest::Limit`].
    Limited {
        /// [`crate::status::SCHEMA`].
        schema: u32,
    },
    /// To [`ControlRequest::Hold`].
    Hold {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// If there is one.
        hold: Option<HoldAnswer>,
    },
    /// To [`ControlRequest::DecideHold`].
    HoldDecided {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// False: the hold is another one by now, and nothing was done.
        done: bool,
    },
    /// To [`ControlRequest::Verify`].
    Verified {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// Files that were read.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Those that are damaged; they are being repaired.
        damaged: Vec<String>,
        /// Those that could not be read.
        unreadable: Vec<String>,
    },
    /// To [`ControlRequest::Compare`].
    Compared {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// What it came to.
        result: ComparedAnswer,
    },
    /// To [`ControlRequest::Pause`].
    Paused {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// As asked.
        pause: Option<PauseConfig>,
    },
    /// To [`ControlRequest::Activity`].
    Activity {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// In order.
        lines: Vec<ActivityLine>,
    },
    /// To [`ControlRequest::Hello`].
    Hello {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// The daemon's process.
        pid: u32,
        /// Its version.
        version: String,
    },
    /// To [`ControlRequest::Stop`], before the end.
    Stopping {
        /// [`crate::status::SCHEMA`].
        schema: u32,
    },
    /// The request makes no sense to this daemon.
    Error {
        /// [`crate::status::SCHEMA`].
        schema: u32,
        /// Why.
        message: String,
    },
}

/// [`WaitOutcome`] on the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waited {
    /// Local and server were equal.
    Equal,
    /// Equal but for what needs a person.
    NeedsPerson,
    /// The server cannot be reached.
    Offline,
    /// Syncing is paused.
    Paused,
    /// The time was up.
    TimedOut,
}

impl From<WaitOutcome> for Waited {
    fn from(outcome: WaitOutcome) -> Waited {
        match outcome {
            WaitOutcome::Equal => Waited::Equal,
            WaitOutcome::NeedsPerson => Waited::NeedsPerson,
            WaitOutcome::Offline => Waited::Offline,
            WaitOutcome::Paused => Waited::Paused,
            WaitOutcome::TimedOut => Waited::TimedOut,
        }
    }
}

impl From<Waited> for WaitOutcome {
    fn from(waited: Waited) -> WaitOutcome {
        match waited {
            Waited::Equal => WaitOutcome::Equal,
            Waited::NeedsPerson => WaitOutcome::NeedsPerson,
            Waited::Offline => WaitOutcome::Offline,
            Waited::Paused => WaitOutcome::Paused,
            Waited::TimedOut => WaitOutcome::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests;
