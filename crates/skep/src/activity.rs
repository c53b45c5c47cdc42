//! What happened on this computer: `H/activity.log`, one JSON object a line, and `skep log`.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;

use jiff::Zoned;
use serde::{Deserialize, Serialize};
use skep_client::{Activity, ActivityKind, Client};
use skep_platform::own_files::{self, BoundedLog};
use skep_platform::talk::{Complaint, Exit, utc_text};

use crate::args::{Global, LogArgs};
use crate::clock;
use crate::commands::{daemon_off, print_json, strange};
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection};
use crate::home::Home;
use crate::names::{self, printable};
use crate::status::SCHEMA;
use crate::terminal;

/// The file and its one predecessor are at most this long each.
const LOG_BYTES_MAX: u64 = 4 << 20;

/// One thing that happened; a line of `activity.log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityLine {
    /// [`SCHEMA`].
    pub schema: u32,
    /// One more than that of the line before, also over restarts.
    pub number: u64,
    /// When.
    pub at: String,
    /// `sent`, `received`, `conflict`, `problem` …
    pub what: String,
    /// Relative to the folder; empty if it concerns everything.
    pub path: String,
    /// Of a move: from where. Of a problem: its code.
    pub detail: String,
}

impl ActivityLine {
    /// What the client tells, with its number in the file.
    pub fn of(number: u64, activity: &Activity) -> ActivityLine {
        let what = match activity.kind {
            ActivityKind::Sent => "sent",
            ActivityKind::SentMove => "sent_move",
            ActivityKind::SentDeletion => "sent_deletion",
            ActivityKind::Received => "received",
            ActivityKind::ReceivedMove => "received_move",
            ActivityKind::ReceivedDeletion => "received_deletion",
            ActivityKind::Conflict => "conflict",
            ActivityKind::ProblemBegan => "problem",
            ActivityKind::ProblemEnded => "problem_over",
            ActivityKind::Connected => "connected",
            ActivityKind::Disconnected => "disconnected",
        };
        ActivityLine {
            schema: SCHEMA,
            number,
            at: utc_text(activity.at),
            what: what.into(),
            path: activity.path.clone(),
            detail: activity.detail.clone(),
        }
    }

    fn text(&self, now: &Zoned) -> String {
        let at = clock::parse_utc(&self.at).map_or(String::new(), |at| clock::text(at, now));
        let (path, detail) = (printable(&self.path), printable(&self.detail));
        let subject = match self.what.as_str() {
            "sent_move" | "received_move" => format!("{detail} -> {path}"),
            "conflict" => path,
            _ if detail.is_empty() => path,
            _ => format!("{path}   {detail}"),
        };
        let line = format!("{at:16} {:18} {subject}", self.what.replace('_', " "));
        format!("{}\n", line.trim_end())
    }

    fn concerns(&self, path: Option<&str>) -> bool {
        let is_below = |whole: &str, dir: &str| {
            whole.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        path.is_none_or(|path| is_below(&self.path, path) || is_below(&self.detail, path))
    }
}

/// The number of the last line in a home's log.
pub fn last_number(home: &Home) -> io::Result<u64> {
    let (mut last, path) = (0, home.activity());
    read_lines(&path, |line| last = line.number)?;
    Ok(last)
}

/// Writes what a client tells to the log of its home, for ever. The numbers go on after `base`.
pub async fn keep(client: Client, home: Home, base: u64) {
    let mut number = 0;
    let mut log = BoundedLog::open(&home.activity(), LOG_BYTES_MAX);
    loop {
        let news = client.activity_after(number).await;
        number = news.last().map_or(number, |(number, _)| *number);
        let mut text = String::new();
        for (number, activity) in &news {
            let line = ActivityLine::of(base + number, activity);
            text.push_str(&serde_json::to_string(&line).expect("a line has text keys only"));
            text.push('\n');
        }
        let written = match &mut log {
            Ok(log) => log.write_all(text.as_bytes()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "what happened could not be written down");
            log = BoundedLog::open(&home.activity(), LOG_BYTES_MAX);
        }
    }
}

/// Calls `take` for each line of the file at `path` and its predecessor. A line that was cut by a crash is left out.
fn read_lines(path: &Path, mut take: impl FnMut(ActivityLine)) -> io::Result<()> {
    let mut older = path.to_owned().into_os_string();
    older.push(".1");
    for path in [Path::new(&older), path] {
        let bytes = own_files::read(path)?.unwrap_or_default();
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Ok(line) = serde_json::from_slice(line) {
                take(line);
            }
        }
    }
    Ok(())
}

/// `skep log`.
pub async fn log(global: &Global, args: &LogArgs) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let path = args.path.as_ref().map(|path| names::relative(path, &config)).transpose()?;
    let path = path.filter(|path| !path.is_empty()).map(|path| names::display(&path));
    let mut lines = VecDeque::new();
    let mut number = 0;
    let read = read_lines(&home.activity(), |line| {
        number = line.number;
        if line.concerns(path.as_deref()) {
            lines.push_back(line);
            if lines.len() > args.lines {
                lines.pop_front();
            }
        }
    });
    read.map_err(|error| {
        let what = format!("Cannot read `{}`: {error}.", home.activity().display());
        Complaint::new(Exit::Failed, "E-HOME", what)
    })?;
    if global.json && !args.follow {
        print_json(&serde_json::json!({ "schema": SCHEMA, "activities": lines }))?;
        return Ok(Exit::Done);
    }
    print(global, lines.iter())?;
    if !args.follow {
        return Ok(Exit::Done);
    }
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    loop {
        match daemon.ask(&ControlRequest::Activity { after: number }).await? {
            ControlAnswer::Activity { lines, .. } => {
                number = lines.last().map_or(number, |line| line.number);
                print(global, lines.iter().filter(|line| line.concerns(path.as_deref())))?;
            }
            other => return Err(strange(&other)),
        }
    }
}

fn print<'a>(global: &Global, lines: impl Iterator<Item = &'a ActivityLine>) -> Result<(), Complaint> {
    let now = clock::now();
    let mut text = String::new();
    for line in lines {
        if global.json {
            text.push_str(&serde_json::to_string(line).expect("a line has text keys only"));
            text.push('\n');
        } else {
            text.push_str(&line.text(&now));
        }
    }
    terminal::print(&text)
}
