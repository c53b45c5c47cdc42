//! `skep restore`: an old version becomes the newest, what was deleted comes back, what gave way on this computer comes out of the safe.

use std::path::Path;

use jiff::Zoned;
use serde_json::json;
use skep_platform::runtime::SystemEntropy;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::FoundNode;
use skep_types::{Content, Entry, Name};

use crate::args::{Global, RestoreArgs};
use crate::clock;
use crate::commands::print_json;
use crate::control::DaemonConnection;
use crate::engine;
use crate::names;
use crate::past::{self, Asked, Talk};
use crate::status::SCHEMA;
use crate::terminal;

/// What came of it.
pub struct Restored {
    /// Where it is now.
    pub path: Vec<Name>,
    /// Of when it is, for people; empty if it is as it was deleted.
    pub of: String,
    /// `false`: it was so already.
    pub is_change: bool,
    /// Where it came from.
    pub from: From,
}

/// From where something was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The server's versions or trash.
    Server,
    /// The safe of this computer.
    Safe,
}

/// Brings something back.
pub async fn restore(global: &Global, args: &RestoreArgs) -> Result<Exit, Complaint> {
    let talk = Talk::open(global)?;
    let path = talk.path(&args.path)?;
    let now = clock::now();
    let restored = match past::asked(&args.which, &now)? {
        Asked::Safe(number) => out_of_safe(&talk, &path, number, &now)?,
        Asked::Server(which) => {
            let found = talk.found(&path).await?;
            let entry = talk.chosen(&path, &found, which, &now).await?;
            version(&talk, &path, &found, &entry, &now).await?
        }
        Asked::Nothing if args.trash => from_trash(&talk, &path).await?,
        Asked::Nothing => {
            let found = talk.found(&path).await?;
            if !found[0].in_trash {
                return Err(which_one(&path, &found[0]));
            }
            from_trash(&talk, &path).await?
        }
    };
    tell(global, &talk, &restored).await?;
    Ok(Exit::Done)
}

/// Brings deleted files and directories back; what cannot be does not stop the others.
pub async fn restore_deleted(global: &Global, paths: &[impl AsRef<Path>]) -> Result<Exit, Complaint> {
    let talk = Talk::open(global)?;
    let mut failed = Vec::new();
    for path in paths {
        let restored = match talk.path(path.as_ref()) {
            Ok(path) => from_trash(&talk, &path).await,
            Err(complaint) => Err(complaint),
        };
        match restored {
            Ok(restored) => tell(global, &talk, &restored).await?,
            Err(complaint) => failed.push(complaint),
        }
    }
    match failed.len() {
        0 => Ok(Exit::Done),
        1 if paths.len() == 1 => Err(failed.remove(0)),
        count => {
            failed.iter().for_each(|complaint| terminal::say(&complaint.to_string()));
            let what = format!("{count} of {} were not restored.", paths.len());
            Err(Complaint::new(Exit::Partly, "E-PARTLY", what).hint("The others are back."))
        }
    }
}

/// Makes the content of an entry the newest of what stands at a path; if nothing stands there, brings the node back with it.
async fn version(
    talk: &Talk,
    path: &[Name],
    found: &[FoundNode],
    entry: &Entry,
    now: &Zoned,
) -> Result<Restored, Complaint> {
    let failed = |error| talk.restore_failed(error, path);
    let of = format!("as of {} (version {})", clock::full(entry.time, now), entry.seq);
    let live = found.first().filter(|first| !first.in_trash);
    if live.is_some_and(|live| live.state.content == Content::Directory && live.state.node == entry.state.node) {
        let path = names::display_names(path);
        return Err(Complaint::new(Exit::Usage, "E-USAGE", format!("`{path}` is a directory."))
            .hint(format!("Set it back with all that is in it:   skep rewind \"{path}\" --at TIME")));
    }
    if let Some(live) = live.filter(|live| live.state.kind() == entry.state.kind()) {
        let set = talk.past.set_content(&SystemEntropy, &live.state, &entry.state.content);
        let is_change = set.await.map_err(failed)?;
        return Ok(Restored { path: path.to_vec(), of, is_change, from: From::Server });
    }
    let node = found.iter().find(|found| found.state.node == entry.state.node);
    let node = node.ok_or_else(|| past::nothing_there(path))?;
    let back = talk.past.bring_back(&SystemEntropy, &node.state, path, Some(&entry.state.content));
    Ok(Restored { path: back.await.map_err(failed)?, of, is_change: true, from: From::Server })
}

/// Brings back what was deleted last at a path.
async fn from_trash(talk: &Talk, path: &[Name]) -> Result<Restored, Complaint> {
    let found = talk.found(path).await?;
    let Some(node) = found.iter().find(|found| found.in_trash) else {
        let path = names::display_names(path);
        return Err(Complaint::new(
            Exit::NotFound,
            "E-NOT-FOUND",
            format!("Nothing that was at `{path}` was deleted."),
        )
        .hint(format!("See its versions:   skep history \"{path}\"")));
    };
    let back = talk.past.bring_back(&SystemEntropy, &node.state, path, None).await;
    let path = back.map_err(|error| talk.restore_failed(error, path))?;
    Ok(Restored { path, of: String::new(), is_change: true, from: From::Server })
}

fn out_of_safe(talk: &Talk, path: &[Name], number: usize, now: &Zoned) -> Result<Restored, Complaint> {
    let name = path.last().ok_or_else(|| past::nothing_there(path))?;
    let entries = talk.safe_entries(name)?;
    let chosen = entries.get(number - 1).ok_or_else(|| {
        let what =
            format!("The safe of this computer has no version safe{number} of `{}`.", names::display_names(path));
        Complaint::new(Exit::NotFound, "E-NOT-FOUND", what).hint("See what it has:   skep trash ls --safe")
    })?;
    let taken = talk.safe()?.take_out(&chosen.entry, path);
    let path = taken.map_err(|error| engine::disk_complaint(&talk.config, error))?;
    let of = format!("which gave way here {}", clock::full(chosen.displaced(), now));
    Ok(Restored { path, of, is_change: true, from: From::Safe })
}

/// The complaint that something is there and it was not said which of its versions is wanted.
fn which_one(path: &[Name], found: &FoundNode) -> Complaint {
    let path = names::display_names(path);
    let is_directory = found.state.content == Content::Directory;
    let hint = match is_directory {
        true => format!("Set it back with all that is in it:   skep rewind \"{path}\" --at TIME"),
        false => format!("See its versions:   skep history \"{path}\"\nThen:   skep restore \"{path}\" --version N"),
    };
    let what = format!("`{path}` is there; which version of it is wanted?");
    Complaint::new(Exit::Usage, "E-USAGE", what)
        .hint(format!("{hint}\nOne that was deleted before:   skep restore --trash \"{path}\""))
}

/// Says what was restored.
async fn tell(global: &Global, talk: &Talk, restored: &Restored) -> Result<(), Complaint> {
    let path = names::display_names(&restored.path);
    if global.json {
        let from = if restored.from == From::Safe { "safe" } else { "server" };
        return print_json(&json!({ "schema": SCHEMA, "restored": path, "changed": restored.is_change, "from": from }));
    }
    if global.quiet {
        return Ok(());
    }
    let of = if restored.of.is_empty() { String::new() } else { format!(", {}", restored.of) };
    if !restored.is_change {
        terminal::say(&format!("Nothing to do: {path} is so already{of}."));
        return Ok(());
    }
    terminal::say(&format!("Restored: {path}{of}."));
    if DaemonConnection::open(&talk.home).await.is_none() {
        terminal::say("The background service is off: the change is made when it runs.   skep daemon start");
    }
    Ok(())
}
