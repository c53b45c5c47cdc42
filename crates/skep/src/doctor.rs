//! `skep doctor`: checks everything, and says what to do.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::json;
use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::Reply;
use skep_types::{Limits, Timestamp};

use crate::args::Global;
use crate::commands::print_json;
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection};
use crate::home::{Config, Home};
use crate::link::HttpLink;
use crate::names::printable;
use crate::status::{SCHEMA, StatusAnswer, bytes_text, counted};
use crate::{clock, daemon, engine, equality, remote, terminal};

/// With less room than this, a folder soon cannot take what comes.
const FREE_BYTES_MIN: u64 = 1_000_000_000;
/// Clocks that are further apart tell people wrong times.
const CLOCK_OFF_MAX_MS: i64 = 5_000;
/// How many directories a person may watch.
const WATCH_LIMIT: &str = "/proc/sys/fs/inotify/max_user_watches";

/// Files that are named.
const NAMED_MAX: usize = 10;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    message: String,
    /// Stable code of what is wrong.
    code: Option<&'static str>,
    /// What to do.
    hint: String,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Check {
        Check { name, ok: true, message: message.into(), code: None, hint: String::new() }
    }

    fn bad(name: &'static str, complaint: Complaint) -> Check {
        Check { name, ok: false, message: complaint.what, code: Some(complaint.code), hint: complaint.hint }
    }

    fn of(name: &'static str, result: Result<String, Complaint>) -> Check {
        match result {
            Ok(message) => Check::ok(name, message),
            Err(complaint) => Check::bad(name, complaint),
        }
    }
}

/// Checks everything.
pub async fn doctor(global: &Global, verify: bool) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let mut checks = Vec::new();
    match home.joined() {
        Err(complaint) => checks.push(Check::bad("configuration", complaint)),
        Ok(config) => {
            checks.push(Check::ok("configuration", format!("in {}", home.dir().display())));
            checks.push(folder(&config));
            checks.push(Check::of("space", space(&config)));
            checks.push(Check::of("state", state(&home)));
            checks.push(Check::of("service", service(&home).await));
            if let Some(status) = status(&home).await {
                checks.push(Check::of("watching", watching(&status)));
                checks.push(Check::of("files", files(&status)));
                checks.push(Check::of("equality", equality::check(&home).await));
            }
            if verify {
                checks.push(Check::of("content", content(&home).await));
            }
            checks.extend(server(&home, &config).await);
        }
    }
    let is_well = checks.iter().all(|check| check.ok);
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "ok": is_well, "checks": checks }))?;
    } else {
        terminal::print(&text(&checks))?;
    }
    Ok(if is_well { Exit::Done } else { Exit::Partly })
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let word = if check.ok { "OK " } else { "FIX" };
        let code = check.code.map(|code| format!("   {code}")).unwrap_or_default();
        writeln!(text, "{word}  {:14} {}{code}", check.name, check.message).expect("writing to a string cannot fail");
        for line in check.hint.lines() {
            writeln!(text, "                    {line}").expect("writing to a string cannot fail");
        }
    }
    text
}

fn folder(config: &Config) -> Check {
    let shown = config.folder.local.display();
    Check::of("folder", engine::check_root(config).map(|()| format!("{shown} is the one that was joined")))
}

fn space(config: &Config) -> Result<String, Complaint> {
    let free_bytes = engine::free_bytes(config)?;
    let free = bytes_text(free_bytes);
    if free_bytes >= FREE_BYTES_MIN {
        return Ok(format!("{free} are free"));
    }
    Err(Complaint::new(Exit::Partly, "E-DISK-FULL", format!("Only {free} are free on the disk of the folder."))
        .hint("Make room; what does not fit waits, and is listed by:   skep status"))
}

fn state(home: &Home) -> Result<String, Complaint> {
    match own_files::is_there(&home.state()) {
        true => Ok("is there; it is checked at each start after an unclean end".into()),
        false => Ok("will be made from folder and server at the next start".into()),
    }
}

async fn service(home: &Home) -> Result<String, Complaint> {
    let (pid, version) = daemon::hello(home).await.ok_or_else(crate::commands::daemon_off)?;
    let ours = env!("CARGO_PKG_VERSION");
    if version == ours {
        return Ok(format!("runs, process {pid}, version {version}"));
    }
    let what = format!("The background service is of version {version}, this program of {ours}.");
    Err(Complaint::new(Exit::Partly, "E-VERSION", what).hint("Start it anew:   skep daemon restart"))
}

async fn status(home: &Home) -> Option<StatusAnswer> {
    let mut daemon = DaemonConnection::open(home).await?;
    match daemon.ask(&ControlRequest::Status).await {
        Ok(ControlAnswer::Status(status)) => Some(*status),
        _ => None,
    }
}

fn watching(status: &StatusAnswer) -> Result<String, Complaint> {
    let limit = own_files::read(Path::new(WATCH_LIMIT)).ok().flatten();
    let limit: Option<u64> = limit.and_then(|text| String::from_utf8_lossy(&text).trim().parse().ok());
    if !status.folders.iter().any(|folder| folder.watch_degraded) {
        let limit = limit.map(|limit| format!("; the system allows {limit}")).unwrap_or_default();
        return Ok(format!("all directories are watched{limit}"));
    }
    let what = "Not all directories can be watched: changes are found by scans, later.";
    let more = limit.unwrap_or(0).max(262_144).saturating_mul(2);
    Err(Complaint::new(Exit::Partly, "E-WATCH-LIMIT", what)
        .hint(format!("Allow more:   sudo sysctl fs.inotify.max_user_watches={more}")))
}

fn files(status: &StatusAnswer) -> Result<String, Complaint> {
    match status.problems.len() {
        0 => Ok("none has a problem".into()),
        count => Err(Complaint::new(Exit::Partly, "E-NEEDS-YOU", format!("{count} things cannot be synced."))
            .hint("See which, and why:   skep status")),
    }
}

/// Reads every file again.
async fn content(home: &Home) -> Result<String, Complaint> {
    let mut daemon = DaemonConnection::open(home).await.ok_or_else(crate::commands::daemon_off)?;
    let (files, bytes, damaged, unreadable) = match daemon.ask(&ControlRequest::Verify).await? {
        ControlAnswer::Verified { files, bytes, damaged, unreadable, .. } => (files, bytes, damaged, unreadable),
        other => return Err(crate::commands::strange(&other)),
    };
    let named = |paths: &[String]| {
        let shown: Vec<String> = paths.iter().take(NAMED_MAX).map(|path| format!("`{}`", printable(path))).collect();
        let more =
            if paths.len() > NAMED_MAX { format!(" and {} more", paths.len() - NAMED_MAX) } else { String::new() };
        format!("{}{more}", shown.join(", "))
    };
    if !damaged.is_empty() {
        let count = counted(damaged.len() as u64, "file");
        let what = format!("{count} did not hold what they should, though nobody changed them: {}.", named(&damaged));
        let hint = "They are repaired from the server; what they held is in `.skep/trash`. Check this disk";
        return Err(Complaint::new(Exit::Partly, "E-DISK-DAMAGE", what).hint(hint));
    }
    if !unreadable.is_empty() {
        let what = format!("{} could not be read: {}.", counted(unreadable.len() as u64, "file"), named(&unreadable));
        return Err(Complaint::new(Exit::Partly, "E-DISK", what).hint("Check their rights, and this disk"));
    }
    Ok(format!("{}, {}, hold what they should", counted(files, "file"), bytes_text(bytes)))
}

/// Whether the server answers, has the key that is known, and takes this device; and whether both clocks show the same.
async fn server(home: &Home, config: &Config) -> Vec<Check> {
    let before = clock::now();
    let answer = match home.token() {
        Ok(token) => {
            let link = HttpLink::new(config.server.url.clone(), config.server.fingerprint, Limits::SHIPPED);
            remote::ask(&link, Some(&token), &remote::hello()).await
        }
        Err(complaint) => Err(complaint),
    };
    let (before, after) = (clock::timestamp(&before), clock::timestamp(&clock::now()));
    let (server_version, time) = match answer {
        Ok(Reply::Hello { server_version, time, .. }) => (server_version, time),
        Ok(_) => return vec![Check::bad("server", remote::strange())],
        Err(complaint) => return vec![Check::bad("server", complaint)],
    };
    let url = &config.server.url;
    let answers = format!("{url} answers with the key that is known, version {server_version}");
    let clocks = time.map(|time| Check::of("clock", clocks(time, before, after)));
    [Check::ok("server", answers)].into_iter().chain(clocks).collect()
}

/// Compares the server's clock with this one, between the two times at which the question was asked and answered.
fn clocks(server: Timestamp, before: Timestamp, after: Timestamp) -> Result<String, Complaint> {
    let (server, before, after) = (server.as_milliseconds(), before.as_milliseconds(), after.as_milliseconds());
    // Anything between the two may have been the moment at which the server looked.
    let (word, off_ms) = if server < before {
        ("ahead of", before - server)
    } else if server > after {
        ("behind", server - after)
    } else {
        return Ok("shows the same as the server's".into());
    };
    if off_ms <= CLOCK_OFF_MAX_MS {
        return Ok(format!("is {off_ms} ms {word} the server's"));
    }
    let what = format!("The clock of this computer is {} s {word} the server's.", off_ms / 1000);
    Err(Complaint::new(Exit::Partly, "E-CLOCK", what).hint(
        "Nothing is lost by that, but times of versions and of \"two versions\" are told wrong.\n\
         Set the clocks by the network:   timedatectl set-ntp true",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_far_apart_are_told_and_slow_answers_are_not() {
        let at = |milliseconds: i64| Timestamp::from_nanoseconds(i128::from(milliseconds) * 1_000_000);
        let rows = [
            (100_050, 100_000, 100_100, Ok("shows the same")),
            (100_000, 95_000, 125_000, Ok("shows the same")),
            (100_000, 103_000, 103_100, Ok("is 3000 ms ahead of")),
            (100_000, 94_000, 95_000, Ok("is 5000 ms behind")),
            (100_000, 94_000, 94_999, Err("is 5 s behind")),
            (100_000, 3_700_000, 3_700_100, Err("is 3600 s ahead of")),
        ];
        for (server, before, after, expected) in rows {
            match (clocks(at(server), at(before), at(after)), expected) {
                (Ok(text), Ok(part)) => assert!(text.contains(part), "{text}"),
                (Err(complaint), Err(part)) => assert!(complaint.what.contains(part), "{complaint}"),
                (other, _) => panic!("{other:?} in place of {expected:?}"),
            }
        }
    }
}
