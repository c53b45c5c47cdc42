//! Status: what the client says of itself.

use skep_planner::{EngineProblem, Progress};
use skep_types::Timestamp;

use crate::equality::{Checked, Difference, Whose};
use crate::root::RootError;
use crate::status::{Pause, Problem, State, Status};
use crate::{CallError, SqliteTrees, StateError};

/// Before the engine has said anything.
pub(super) fn at_start(trees: &SqliteTrees) -> Status {
    let totals = trees.counted();
    Status {
        state: State::Syncing,
        confirmed: None,
        files: totals.files,
        bytes: totals.bytes,
        queue_files: 0,
        queue_bytes: totals.waiting,
        ignored: 0,
        problems: Vec::new(),
        not_synced: 0,
        not_synced_told: Vec::new(),
        shown_otherwise: 0,
        shown_otherwise_told: Vec::new(),
        watch_degraded: false,
        two_versions: trees.count_copies(),
        pause: None,
        audit: trees.audit_state(),
        // Nothing is known yet of what came since.
        changes_since: None,
        checked: trees.checked().clone(),
    }
}

/// Whether everything that the server is known to have is here, and everything here is there.
pub(super) fn is_equal(progress: &Progress) -> bool {
    progress.settled && progress.cursor.is_some_and(|cursor| cursor.seq >= progress.head)
}

/// How much has changed since both sides were found to be equal; `None`: that cannot be counted.
pub(super) fn changes_since(checked: &Checked, progress: &Progress) -> Option<u64> {
    let (verified, cursor) = (checked.verified?, progress.cursor?);
    if cursor.generation != verified.cursor.generation {
        return None;
    }
    let of_server = progress.head.max(cursor.seq).0.checked_sub(verified.cursor.seq.0)?;
    Some(if progress.settled { of_server } else { of_server.saturating_add(progress.queue_files.max(1)) })
}

/// The problem of two sides that were found to differ.
pub(super) fn unequal(checked: &Checked) -> Option<Problem> {
    let Difference { at, whose, nodes, told, .. } = checked.difference.as_ref().filter(|found| !found.is_mended)?;
    let (message, hint) = match whose {
        Whose::Servers => (
            "The server's list of files is not what it counted as they changed: its database has a fault.".to_owned(),
            "Nothing was taken from it. On the server, run: skep-server fsck",
        ),
        Whose::Count => (
            "This device's sums were not those of its rows, which are right. They were counted anew.".to_owned(),
            "Nothing is to be done; both sides are compared once more.",
        ),
        Whose::Ours => {
            let first = told.iter().take(3).map(|one| format!("`{}` ({})", one.path, one.how)).collect::<Vec<_>>();
            let more = nodes.saturating_sub(first.len() as u64);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            (
                format!("This device's state was not what the server says: {}{more}.", first.join(", ")),
                "It is being put right. Nothing is deleted for it: a file that has to give way goes to `.skep/trash`.",
            )
        }
    };
    Some(everything("E-UNEQUAL", message, hint.into(), *at))
}

/// The one word for `progress`.
pub(super) fn state_of(progress: &Progress, is_halted: bool, pause: Option<Pause>) -> State {
    match () {
        () if is_halted => State::Stopped,
        () if pause.is_some() => State::Paused,
        () if !progress.connected => State::Offline,
        () if is_equal(progress) => State::UpToDate,
        () => State::Syncing,
    }
}

pub(super) fn problem_of(problem: EngineProblem) -> Problem {
    Problem {
        code: problem.code,
        path: Some(problem.path).filter(|path| !path.is_empty()),
        message: problem.message,
        hint: problem.hint,
        since: problem.since,
    }
}

/// The problem of a refusal that does not go away by itself; `None`: try again.
pub(super) fn halt_by_call(error: &CallError, now: Timestamp) -> Option<Problem> {
    use skep_protocol::Code;
    let (code, message, hint) = match error {
        CallError::WrongKey(_) => (
            "E-KEY-CHANGED",
            "Cannot trust this server: its key is not the one this device knows.",
            "If you reinstalled the server on purpose, join it again.",
        ),
        CallError::Refused(reply) => match reply.code {
            Code::SignIn => (
                "E-SIGN-IN",
                "This device is signed out: the server does not take its token any more.",
                "Your files stay here. To go on syncing:   skep logout   and then   skep join SERVER CODE",
            ),
            Code::NotFound | Code::NotAllowed => (
                "E-NOT-FOUND",
                "This account has no such drive any more.",
                "Your files stay here. Ask the owner of the drive, or join again.",
            ),
            _ => return None,
        },
        CallError::Unreachable(_) | CallError::Malformed(_) | CallError::Older => return None,
    };
    Some(everything(code, message.into(), hint.into(), now))
}

/// The problem of a server that cannot be used as it is, though nothing is wrong here; `None`: there is none.
pub(super) fn standstill_by_call(error: &CallError, now: Timestamp) -> Option<Problem> {
    let CallError::Older = error else { return None };
    let message = "This server is older than the one that this device has followed: what came after its data was brought back is not in it.";
    let hint = "Start the newer server again, and this device goes on by itself. If the older data is to count, stop it and run there: skep-server backup restored.";
    Some(everything("E-SERVER-OLDER", message.into(), hint.into(), now))
}

/// The problem of a folder that is not in its place.
pub(super) fn root_lost(error: &RootError, now: Timestamp) -> Problem {
    let (code, hint) = match error {
        RootError::Other => ("E-ROOT-OTHER", "Put the right folder back: syncing goes on by itself."),
        RootError::Missing(_) | RootError::InUse | RootError::Disk(_) => {
            ("E-ROOT-MISSING", "Put the folder back, or mount its disk: syncing goes on by itself.")
        }
    };
    everything(code, sentence(&error.to_string()), format!("Nothing was deleted anywhere. {hint}"), now)
}

pub(super) fn state_failed(error: &StateError, now: Timestamp) -> Problem {
    let hint = "Free some space on the disk that holds the state; it is tried again by itself.";
    everything("E-STATE", sentence(&error.to_string()), hint.into(), now)
}

fn everything(code: &'static str, message: String, hint: String, since: Timestamp) -> Problem {
    Problem { code, path: None, message, hint, since }
}

/// `text` with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}
