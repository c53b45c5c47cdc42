//! Status as scripts get it (a shape that is contract) and as people read it.

use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use skep_client::{AuditState, PathReport, Problem, State, Status, WaitOutcome};
use skep_platform::talk::{Exit, utc_text};

pub use skep_types::bytes_text;

use crate::clock;
use crate::equality::EqualityAnswer;
use crate::home::{Config, LastWords, PauseConfig};
use crate::names::printable;
use jiff::Zoned;

/// The number of the shape; fields are only added within one.
pub const SCHEMA: u32 = 1;

/// What stands for the end of a pause that only a person ends.
const RESUMED: &str = "resumed";

/// The state of everything, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Everything is equal to the server's.
    UpToDate,
    /// Work is under way.
    Syncing,
    /// The server cannot be reached; changes wait.
    Offline,
    /// A person paused syncing; changes wait.
    Paused,
    /// Something needs a person; the rest goes on.
    Attention,
    /// Nothing is synced until a person does something.
    Stopped,
    /// The background service is off.
    NotRunning,
}

/// `skep status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// [`SCHEMA`].
    pub schema: u32,
    /// In one word.
    pub state: Word,
    /// The server.
    pub server: ServerAnswer,
    /// Each synced folder.
    pub folders: Vec<FolderAnswer>,
    /// What cannot be synced, and why.
    pub problems: Vec<ProblemAnswer>,
    /// What is nothing to be synced; the first ones, if there are very many.
    #[serde(default)]
    pub not_synced: Vec<ProblemAnswer>,
    /// What the disk shows by another name, because it cannot hold its own; the first ones, if there are very many.
    #[serde(default)]
    pub shown_otherwise: Vec<ProblemAnswer>,
    /// Until when syncing pauses: a time, or `resumed`; null if it does not.
    pub paused: Option<String>,
}

/// The server in a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAnswer {
    /// Where it is.
    pub url: String,
    /// Whether it answers; unknown while the background service is off.
    pub reachable: Option<bool>,
    /// How fast it answers, when measured.
    pub latency_ms: Option<u64>,
    /// When it last confirmed that we have what it has.
    pub confirmed_at: Option<String>,
}

/// A folder in a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderAnswer {
    /// Its id on this computer.
    pub id: String,
    /// Where it is here.
    pub local: String,
    /// Where it is on the server.
    pub remote: String,
    /// `two-way`.
    pub mode: String,
    /// In one word.
    pub state: Word,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are only on the server.
    pub online_only: CountAnswer,
    /// What waits to be sent or applied.
    pub queue: QueueAnswer,
    /// Changes are found by scans, for lack of watches.
    pub watch_degraded: bool,
    /// What stands in it and is ignored; a directory counts once.
    #[serde(default)]
    pub ignored: u64,
    /// What stands in it and is nothing to be synced: pipes, sockets, devices, other file systems.
    #[serde(default)]
    pub not_synced: u64,
    /// What the disk shows by another name, because it cannot hold its own.
    #[serde(default)]
    pub shown_otherwise: u64,
    /// All files are read again now and then, and compared with what they should hold.
    #[serde(default)]
    pub audit: AuditAnswer,
    /// Whether both sides were found to be equal.
    #[serde(flatten)]
    pub equality: EqualityAnswer,
}

/// How far the audit of a folder is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAnswer {
    /// When all files had last been read; null: not yet.
    pub completed_at: Option<String>,
    /// Damaged files that were ever found here, and repaired from the server.
    pub damaged: u64,
    /// The last of them.
    pub last_damaged: Option<String>,
    /// When that was found.
    pub last_damaged_at: Option<String>,
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountAnswer {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAnswer {
    /// Files and directories.
    pub files: u64,
    /// Bytes, as far as known.
    pub bytes: u64,
    /// How long it may take, when known.
    pub eta_s: Option<u64>,
}

/// A problem in a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemAnswer {
    /// Stable code.
    pub code: String,
    /// Relative to the folder; null if it concerns everything.
    pub path: Option<String>,
    /// Since when, if that is known.
    pub since: Option<String>,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

/// `skep status PATH --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathAnswer {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Relative to the folder.
    pub path: String,
    /// In one word.
    pub state: String,
    /// Why.
    pub reason: String,
}

impl StatusAnswer {
    /// The status of a running client.
    pub fn of(status: &Status, config: &Config) -> StatusAnswer {
        let plain = match status.state {
            State::UpToDate => Word::UpToDate,
            State::Syncing => Word::Syncing,
            State::Offline => Word::Offline,
            State::Paused => Word::Paused,
            State::Stopped => Word::Stopped,
        };
        // What is offline or stopped says so first: problems are listed beside it.
        let needs_person = !status.problems.is_empty() && matches!(status.state, State::UpToDate | State::Syncing);
        let folder = FolderAnswer {
            id: "fld_01".into(),
            local: config.folder.local.display().to_string(),
            remote: "/".into(),
            mode: "two-way".into(),
            state: plain,
            files: status.files,
            bytes: status.bytes,
            online_only: CountAnswer { files: 0, bytes: 0 },
            queue: QueueAnswer { files: status.queue_files, bytes: status.queue_bytes, eta_s: None },
            watch_degraded: status.watch_degraded,
            ignored: status.ignored,
            audit: AuditAnswer::from(&status.audit),
            not_synced: status.not_synced,
            equality: EqualityAnswer::of(&status.checked, status.changes_since),
            shown_otherwise: status.shown_otherwise,
        };
        let server = ServerAnswer {
            url: config.server.url.to_string(),
            reachable: Some(status.state != State::Offline).filter(|_| status.pause.is_none()),
            latency_ms: None,
            confirmed_at: status.confirmed.map(utc_text),
        };
        let state = if needs_person { Word::Attention } else { plain };
        StatusAnswer {
            schema: SCHEMA,
            state,
            server,
            folders: vec![folder],
            problems: status.problems.iter().map(ProblemAnswer::of).collect(),
            not_synced: status.not_synced_told.iter().map(ProblemAnswer::of).collect(),
            shown_otherwise: status.shown_otherwise_told.iter().map(ProblemAnswer::of).collect(),
            paused: status.pause.map(|pause| PauseConfig::from(pause).until.unwrap_or_else(|| RESUMED.into())),
        }
    }

    /// The status while the background service is off.
    pub fn not_running(config: &Config, why: Option<LastWords>) -> StatusAnswer {
        let server =
            ServerAnswer { url: config.server.url.to_string(), reachable: None, latency_ms: None, confirmed_at: None };
        let problem = ProblemAnswer {
            code: "E-DAEMON-OFF".into(),
            path: None,
            since: None,
            message: "The background service is off, so nothing is being synced.".into(),
            hint: "skep daemon start".into(),
        };
        let why = why.map(|why| ProblemAnswer {
            code: why.code,
            path: None,
            since: Some(why.at),
            message: why.message,
            hint: why.hint,
        });
        StatusAnswer {
            schema: SCHEMA,
            state: Word::NotRunning,
            server,
            folders: Vec::new(),
            problems: [problem].into_iter().chain(why).collect(),
            not_synced: Vec::new(),
            shown_otherwise: Vec::new(),
            paused: None,
        }
    }

    /// What `status --check` tells by its exit code.
    pub fn check(&self) -> Exit {
        match self.state {
            Word::UpToDate | Word::Syncing | Word::Paused => Exit::Done,
            Word::Offline | Word::NotRunning => Exit::Unreachable,
            Word::Attention | Word::Stopped => Exit::NeedsPerson,
        }
    }

    /// As people read it, now.
    pub fn text(&self, now: &Zoned) -> String {
        let mut text = format!("{}{}\n", self.headline(now), self.confirmed(now));
        for problem in &self.problems {
            let subject = problem.path.as_ref().map(|path| format!("{}   ", printable(path))).unwrap_or_default();
            line(&mut text, &format!("  {subject}{}   {}", printable(&problem.message), problem.code));
            if !problem.hint.is_empty() {
                line(&mut text, &format!("      {}", printable(&problem.hint)));
            }
        }
        for folder in &self.folders {
            let counts = format!("{}, {}", counted(folder.files, "file"), bytes_text(folder.bytes));
            line(&mut text, &format!("  {}   {counts}", home_relative(Path::new(&folder.local))));
            for told in folder.equality.lines(now) {
                line(&mut text, &format!("      {told}"));
            }
            if folder.queue.files > 0 {
                let waiting = bytes_text(folder.queue.bytes);
                line(&mut text, &format!("      waiting: {}, {waiting}", counted(folder.queue.files, "change")));
            }
            if folder.ignored > 0 {
                line(&mut text, &format!("      ignored: {}   skep ignore list", folder.ignored));
            }
            if let (Some(path), Some(at)) = (&folder.audit.last_damaged, &folder.audit.last_damaged_at) {
                let at = clock::parse_utc(at).map_or_else(|| at.clone(), |at| clock::text(at, &clock::now()));
                let count = counted(folder.audit.damaged, "time");
                line(&mut text, &format!("      this disk damaged files {count}, the last {at}: {}", printable(path)));
                line(&mut text, "      check it; each was found by the audit, and repaired from the server");
            }
            if folder.not_synced > 0 {
                line(&mut text, &format!("      not synced: {}", folder.not_synced));
                for special in &self.not_synced {
                    let path = special.path.as_deref().unwrap_or_default();
                    line(&mut text, &format!("        {}   {}", printable(path), special.code));
                }
                line(&mut text, "        Pipes, sockets, devices and other file systems stay on this computer.");
            }
            if folder.shown_otherwise > 0 {
                line(&mut text, &format!("      shown by other names: {}", folder.shown_otherwise));
                for shown in &self.shown_otherwise {
                    line(&mut text, &format!("        {}   {}", printable(&shown.message), shown.code));
                }
                line(&mut text, "        This disk cannot hold their names; everywhere else they have them.");
            }
            if folder.watch_degraded {
                line(&mut text, "      not everything can be watched: changes are found by scans");
            }
        }
        text
    }

    /// A short line for who waits: how much is still to be done.
    pub fn progress(&self) -> String {
        let files = self.folders.iter().map(|folder| folder.queue.files).sum();
        let bytes = self.folders.iter().map(|folder| folder.queue.bytes).sum();
        match self.state {
            Word::Offline => "○ Offline: the server cannot be reached".into(),
            Word::Paused => "‖ Paused".into(),
            _ if files > 0 => format!("↻ {}, {} to go", counted(files, "change"), bytes_text(bytes)),
            _ => "↻ Asking the server whether there is more".into(),
        }
    }

    fn headline(&self, now: &Zoned) -> String {
        let count = self.problems.len();
        match self.state {
            Word::UpToDate => "● Up to date".into(),
            Word::Syncing => "↻ Syncing".into(),
            Word::Offline => format!("○ Offline: {} cannot be reached, changes wait here", self.server.url),
            Word::Paused => format!("‖ Paused until {}: changes wait, here and on the server", self.pause_text(now)),
            Word::Attention => {
                let things = if count == 1 { "1 thing needs you".into() } else { format!("{count} things need you") };
                let is_rest_equal = self.folders.iter().all(|folder| folder.state == Word::UpToDate);
                let files: u64 = self.folders.iter().map(|folder| folder.files).sum();
                let rest = format!("   everything else ({}) is up to date", counted(files, "file"));
                format!("▲ {things}{}", if is_rest_equal { rest } else { String::new() })
            }
            Word::Stopped => "■ Stopped: nothing is synced until you do something".into(),
            Word::NotRunning => "Not running".into(),
        }
    }

    fn pause_text(&self, now: &Zoned) -> String {
        let end = self.paused.as_deref().and_then(clock::parse_utc);
        end.map_or_else(|| "`skep resume`".into(), |end| clock::until_text(end, now))
    }

    fn confirmed(&self, now: &Zoned) -> String {
        match self.server.confirmed_at.as_deref().and_then(clock::parse_utc) {
            Some(at) => format!("   server confirmed {}   {}", clock::since_text(at, now), self.server.url),
            None => format!("   {}", self.server.url),
        }
    }
}

impl From<&AuditState> for AuditAnswer {
    fn from(audit: &AuditState) -> AuditAnswer {
        let (last_damaged_at, last_damaged) = audit.last_damage.clone().unzip();
        AuditAnswer {
            completed_at: audit.completed.map(utc_text),
            damaged: audit.damaged,
            last_damaged,
            last_damaged_at: last_damaged_at.map(utc_text),
        }
    }
}

impl ProblemAnswer {
    fn of(problem: &Problem) -> ProblemAnswer {
        ProblemAnswer {
            code: problem.code.to_owned(),
            path: problem.path.clone(),
            since: Some(utc_text(problem.since)),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }
}

impl PathAnswer {
    /// Why one path is as it is.
    pub fn of(report: &PathReport) -> PathAnswer {
        PathAnswer {
            schema: SCHEMA,
            path: report.path.clone(),
            state: report.state.to_owned(),
            reason: report.reason.clone(),
        }
    }

    /// As people read it.
    pub fn text(&self) -> String {
        format!("{}   {}\n  {}\n", printable(&self.path), self.state, printable(&self.reason))
    }
}

/// What `sync wait` tells by its exit code.
pub fn exit_of_wait(outcome: WaitOutcome) -> Exit {
    match outcome {
        WaitOutcome::Equal => Exit::Done,
        // A person paused it, and a person resumes it.
        WaitOutcome::NeedsPerson | WaitOutcome::Paused => Exit::NeedsPerson,
        // It was tried until the time was up.
        WaitOutcome::Offline | WaitOutcome::TimedOut => Exit::TimedOut,
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}

fn home_relative(path: &Path) -> String {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    match home.and_then(|home| path.strip_prefix(home).ok().map(|rest| rest.display().to_string())) {
        Some(rest) => printable(&format!("~/{rest}")),
        None => printable(&path.display().to_string()),
    }
}

/// `1,204 files`.
pub fn counted(count: u64, noun: &str) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
