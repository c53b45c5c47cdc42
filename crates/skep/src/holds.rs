//! `skep holds`: deletions that look like a mistake, and what a person decides of them.

use serde_json::json;
use skep_platform::talk::{Complaint, Exit};

use crate::args::{Global, HeldArgs, HoldsCommand};
use crate::clock;
use crate::commands::{daemon_off, print_json, strange};
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection, DecisionWord, HoldAnswer};
use crate::home::{Config, Home};
use crate::names::{self, printable};
use crate::status::{SCHEMA, counted};
use crate::terminal;

/// Directories that a list shows.
const PLACES_LISTED: usize = 5;

/// Does what was asked about held deletions.
pub async fn holds(global: &Global, command: Option<HoldsCommand>) -> Result<Exit, Complaint> {
    match command.unwrap_or(HoldsCommand::Ls) {
        HoldsCommand::Ls => list(global, PLACES_LISTED).await,
        HoldsCommand::Show => list(global, usize::MAX).await,
        HoldsCommand::Approve(args) => approve(global, args).await,
        HoldsCommand::BringBack(args) => decide(global, args, DecisionWord::BringBack).await,
    }
}

/// Lets held deletions through.
pub async fn approve(global: &Global, args: HeldArgs) -> Result<Exit, Complaint> {
    decide(global, args, DecisionWord::Approve).await
}

async fn opened(global: &Global) -> Result<(DaemonConnection, Config, Option<HoldAnswer>), Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    match daemon.ask(&ControlRequest::Hold).await? {
        ControlAnswer::Hold { hold, .. } => Ok((daemon, config, hold)),
        other => Err(strange(&other)),
    }
}

async fn list(global: &Global, places_max: usize) -> Result<Exit, Complaint> {
    let (_, _, hold) = opened(global).await?;
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "holds": hold.into_iter().collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    match hold {
        Some(hold) => terminal::print(&text(&hold, places_max))?,
        None if !global.quiet => terminal::say("Nothing is held."),
        None => {}
    }
    Ok(Exit::Done)
}

fn text(hold: &HoldAnswer, places_max: usize) -> String {
    let now = clock::now();
    let since = clock::parse_utc(&hold.since).map_or_else(|| hold.since.clone(), |since| clock::text(since, &now));
    let how = match hold.found.as_str() {
        "at_start" => "they went while the background service was off",
        _ => "they went without a word from the system",
    };
    let (files, directories) = (counted(hold.files, "file"), counted(hold.directories, "directory"));
    let directories = directories.replace("directorys", "directories");
    let mut text = format!("{files} and {directories} wait since {since}: {how} ({} % of the folder)\n", hold.percent);
    for place in hold.places.iter().take(places_max) {
        let path = if place.path.is_empty() { "the folder itself".into() } else { printable(&place.path) };
        text += &format!("  {:>14}   {path}\n", counted(place.files, "file"));
    }
    let more = hold.places.len().saturating_sub(places_max);
    if more > 0 {
        text += &format!("  and in {more} more   skep holds show\n");
    }
    text + "They are safe on the server.   A mistake: skep holds bring-back   Meant: skep holds approve\n"
}

async fn decide(global: &Global, args: HeldArgs, decision: DecisionWord) -> Result<Exit, Complaint> {
    let (mut daemon, config, hold) = opened(global).await?;
    let hold =
        hold.ok_or_else(|| Complaint::new(Exit::NotFound, "E-NOT-FOUND", "Nothing is held, so nothing was done."))?;
    let under = args.path.as_deref().map(|path| names::relative(path, &config)).transpose()?;
    let whose = match &under {
        Some(path) => format!("what is held at and beneath `{}`", names::display(path)),
        None => counted(hold.files, "file"),
    };
    let (will, done) = match decision {
        DecisionWord::Approve => ("would be deleted on the server and everywhere", "is deleted everywhere"),
        DecisionWord::BringBack => ("would come back from the server", "comes back"),
    };
    if args.dry_run {
        return say(global, &format!("{}: {will}. Nothing was done.", capital(&whose)));
    }
    if decision == DecisionWord::Approve && !args.yes {
        if !terminal::has_person() {
            let what = "Nobody can be asked whether these deletions are meant.";
            return Err(Complaint::new(Exit::Usage, "E-USAGE", what).hint("If they are:   skep holds approve --yes"));
        }
        terminal::say(&text(&hold, PLACES_LISTED));
        if !terminal::confirm(&format!("Delete {whose} on the server and everywhere?"))? {
            return say(global, "Nothing was done.");
        }
    }
    let request = ControlRequest::DecideHold { id: hold.id, under, decision };
    match daemon.ask(&request).await? {
        ControlAnswer::HoldDecided { done: true, .. } if global.json => {
            print_json(&json!({ "schema": SCHEMA, "done": true }))?;
            Ok(Exit::Done)
        }
        ControlAnswer::HoldDecided { done: true, .. } => say(global, &format!("{} {done}.", capital(&whose))),
        ControlAnswer::HoldDecided { .. } => {
            let what = "The hold has changed in this moment, so nothing was done.";
            Err(Complaint::new(Exit::Guard, "E-HOLD-CHANGED", what).hint("Look again:   skep holds"))
        }
        other => Err(strange(&other)),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn say(global: &Global, text: &str) -> Result<Exit, Complaint> {
    if !global.quiet {
        terminal::say(text);
    }
    Ok(Exit::Done)
}
