//! Commands that ask: `status`, `sync wait`, `whoami`, `version`.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use skep_client::WaitOutcome;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::Reply;
use skep_types::{Limits, product};
use tokio::time::{sleep, timeout};

use crate::args::{self, Command, Global, SyncCommand};
use crate::clock;
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection, Selecting, Waited};
use crate::home::{Home, LastWords};
use crate::link::HttpLink;
use crate::names::{self, NameText};
use crate::status::{SCHEMA, StatusAnswer, exit_of_wait};
use crate::{
    account, activity, conflicts, connect, daemon, devices, doctor, get, history, holds, ignore, join, limit, ls,
    pause, remote, restore, rewind, selection, terminal, trash, update,
};

/// A daemon that was asked to wait answers a little after the time is up, if it is well.
const WAIT_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How often a person who waits is told how far things are; what is done sooner needs no telling.
const PROGRESS_EVERY: Duration = Duration::from_millis(300);

/// A daemon that is just being started, as by a script one line before, answers within this time.
const STARTING_WITHIN: Duration = Duration::from_secs(5);
/// How often a starting daemon is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Does what was asked.
pub async fn carry_out(command: Command, global: &Global) -> Result<Exit, Complaint> {
    match command {
        Command::Join(args) => join::join(global, args).await,
        Command::Connect(args) => connect::connect(global, args).await,
        Command::AccountId(command) => connect::account_id(global, command).await,
        Command::Ls(args) => ls::ls(global, args).await,
        Command::Conflicts { command } => conflicts::conflicts(global, command).await,
        Command::Ignore { command } => ignore::ignore(global, command).await,
        Command::Limit(args) => limit::limit(global, &args).await,
        Command::Holds { command } => holds::holds(global, command).await,
        Command::Sync(SyncCommand::Apply(args)) => holds::approve(global, args).await,
        Command::Log(args) => activity::log(global, &args).await,
        Command::History(args) => history::history(global, &args).await,
        Command::Restore(args) => restore::restore(global, &args).await,
        Command::Get(args) => get::get(global, &args).await,
        Command::Trash { command, list } => trash::trash(global, command, list).await,
        Command::Rewind(args) => rewind::rewind(global, &args).await,
        Command::Pause(args) => pause::pause(global, &args).await,
        Command::Resume => pause::resume(global).await,
        Command::Status { path: Some(path), .. } => status_of(global, &path).await,
        Command::Status { path: None, check } => status(global, check).await,
        Command::Sync(SyncCommand::Wait { timeout }) => wait(global, timeout).await,
        Command::Sync(SyncCommand::Ls) => selection::ls(global).await,
        Command::Sync(SyncCommand::Add { path, dry_run }) => {
            selection::select(global, &path, Selecting::Here, dry_run).await
        }
        Command::Sync(SyncCommand::Rm { path, dry_run, .. }) => {
            selection::select(global, &path, Selecting::NotHere, dry_run).await
        }
        Command::Daemon(command) => daemon::daemon(command, global).await,
        Command::Whoami => whoami(global).await,
        Command::Profile { name } => account::profile(global, name).await,
        Command::Passwd { password_stdin } => account::passwd(global, password_stdin).await,
        Command::Logout => account::logout(global).await,
        Command::Devices { command } => devices::devices(global, command).await,
        Command::Doctor { verify } => doctor::doctor(global, verify).await,
        Command::Version => version(global),
        Command::Update(args) => update::update(global, args).await,
        Command::Man => update::manual(),
        Command::Completions { shell } => terminal::print(&args::completions(shell)).map(|()| Exit::Done),
    }
}

async fn status(global: &Global, check: bool) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let answer = match DaemonConnection::open(&home).await {
        None => StatusAnswer::not_running(&config, home.last_words()),
        Some(mut daemon) => match daemon.ask(&ControlRequest::Status).await? {
            ControlAnswer::Status(answer) => *answer,
            other => return Err(strange(&other)),
        },
    };
    let is_off = answer.folders.is_empty();
    if global.json {
        print_json(&answer)?;
    } else if is_off && !check {
        return Err(daemon_off_because(home.last_words()));
    } else if !check {
        terminal::print(&answer.text(&clock::now()))?;
    }
    Ok(if check || is_off { answer.check() } else { Exit::Done })
}

async fn status_of(global: &Global, path: &Path) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let path = names::relative(path, &config)?;
    let path = path.iter().map(NameText::display).collect::<Vec<_>>().join("/");
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    match daemon.ask(&ControlRequest::StatusOf { path }).await? {
        ControlAnswer::StatusOf(answer) if global.json => print_json(&answer)?,
        ControlAnswer::StatusOf(answer) => terminal::print(&answer.text())?,
        other => return Err(strange(&other)),
    }
    Ok(Exit::Done)
}

async fn wait(global: &Global, at_most: Duration) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    home.joined()?;
    let mut daemon = starting_daemon(&home, at_most.min(STARTING_WITHIN)).await.ok_or_else(daemon_off)?;
    let timeout_ms = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
    let request = ControlRequest::Wait { timeout_ms };
    let asked = daemon.ask(&request);
    let answered = tokio::select! {
        answered = timeout(at_most.saturating_add(WAIT_ANSWER_WITHIN), asked) => answered,
        never = show_progress(&home), if !global.json && !global.quiet && terminal::shows_progress() => match never {},
    };
    let outcome = match answered {
        Err(_) => Waited::TimedOut,
        Ok(answer) => match answer? {
            ControlAnswer::Waited { outcome, .. } => outcome,
            other => return Err(strange(&other)),
        },
    };
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "outcome": outcome }))?;
    }
    let outcome = WaitOutcome::from(outcome);
    let exit = exit_of_wait(outcome);
    let what = match outcome {
        WaitOutcome::Equal => return Ok(exit),
        WaitOutcome::NeedsPerson => ("E-NEEDS-YOU", "Equal but for what needs you.", "skep status"),
        WaitOutcome::Paused => {
            let what = "Syncing is paused, so what the server has is not known.";
            return Err(Complaint::new(exit, "E-PAUSED", what).hint("Go on:   skep resume"));
        }
        WaitOutcome::Offline => ("E-TIMED-OUT", "The time is up, and the server cannot be reached.", "skep status"),
        WaitOutcome::TimedOut => ("E-TIMED-OUT", "Not equal yet; the time is up.", "skep status"),
    };
    Err(Complaint::new(exit, what.0, what.1).hint(format!("See:   {}", what.2)))
}

/// Tells at the terminal how much is still to be done, until the caller has seen enough.
async fn show_progress(home: &Home) -> Infallible {
    let mut line = terminal::Progress::default();
    loop {
        sleep(PROGRESS_EVERY).await;
        let Some(mut daemon) = DaemonConnection::open(home).await else { continue };
        if let Ok(ControlAnswer::Status(answer)) = daemon.ask(&ControlRequest::Status).await {
            line.show(&answer.progress());
        }
    }
}

async fn starting_daemon(home: &Home, at_most: Duration) -> Option<DaemonConnection> {
    let found = async {
        loop {
            match DaemonConnection::open(home).await {
                Some(daemon) => return daemon,
                None => sleep(LOOK_EVERY).await,
            }
        }
    };
    timeout(at_most, found).await.ok()
}

async fn whoami(global: &Global) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let token = home.token()?;
    let link = HttpLink::new(config.server.url.clone(), config.server.fingerprint, Limits::SHIPPED);
    let Reply::Hello { account_name, device_name, server_version, .. } =
        remote::ask(&link, Some(&token), &remote::hello()).await?
    else {
        return Err(remote::strange());
    };
    let (url, device, account) = (&config.server.url, config.device.id, config.device.account);
    if global.json {
        print_json(&json!({
            "schema": SCHEMA, "user": account_name, "account": account.to_string(), "device": device_name,
            "device_id": device.to_string(), "server": url.to_string(), "server_version": server_version,
        }))?;
    } else {
        terminal::print(&format!("{account_name} on {url}, as device {device_name} ({device})\n"))?;
    }
    Ok(Exit::Done)
}

fn version(global: &Global) -> Result<Exit, Complaint> {
    let version = env!("CARGO_PKG_VERSION");
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "name": product::NAME, "version": version }))?;
    } else {
        terminal::print(&format!("{} {version}\n", product::NAME))?;
    }
    Ok(Exit::Done)
}

/// The complaint of a command that needs the daemon.
pub fn daemon_off() -> Complaint {
    let what = "Not running: the background service is off, so nothing is being synced.";
    Complaint::new(Exit::Unreachable, "E-DAEMON-OFF", what).hint("Start it:   skep daemon start")
}

/// The same, with why it ended if it did by itself.
fn daemon_off_because(why: Option<LastWords>) -> Complaint {
    let complaint = daemon_off();
    let Some(LastWords { code, message, hint, at }) = why else { return complaint };
    let ended = clock::parse_utc(&at).map_or(at, |time| clock::text(time, &clock::now()));
    let start = complaint.hint.clone();
    complaint.hint(format!("It ended by itself, {ended}: {message}   {code}\n{hint}\n{start}"))
}

/// The complaint about an answer to another question.
pub fn strange(answer: &ControlAnswer) -> Complaint {
    Complaint::new(Exit::Failed, "E-DAEMON", format!("The background service answered something else: {answer:?}."))
}

/// Prints what a command answers with `--json`.
pub fn print_json(answer: &impl serde::Serialize) -> Result<(), Complaint> {
    let text = serde_json::to_string(answer).expect("answers have text keys only");
    terminal::print(&format!("{text}\n"))
}
