//! `skep conflicts`: files with two versions, and how to end that.

use std::path::Path;

use jiff::Zoned;
use serde_json::json;
use skep_platform::talk::{Complaint, Exit};

use crate::args::{ConflictsCommand, Global, KeepWhich};
use crate::clock;
use crate::commands::{daemon_off, print_json, strange};
use crate::control::{
    ConflictAnswer, ControlAnswer, ControlRequest, DaemonConnection, EntryAnswer, KeepWord, Resolved,
};
use crate::home::{Config, Home};
use crate::names;
use crate::status::{SCHEMA, bytes_text, counted};
use crate::terminal;

/// Does what was asked about files with two versions.
pub async fn conflicts(global: &Global, command: Option<ConflictsCommand>) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    let all = match daemon.ask(&ControlRequest::Conflicts).await? {
        ControlAnswer::Conflicts { conflicts, .. } => conflicts,
        other => return Err(strange(&other)),
    };
    match command.unwrap_or(ConflictsCommand::Ls) {
        ConflictsCommand::Ls => list(global, &all, &config),
        ConflictsCommand::Show { path } => {
            let chosen = chosen(&all, &path, &config)?;
            list(global, &chosen, &config)
        }
        ConflictsCommand::Resolve { path, keep, dry_run, .. } => {
            let chosen = match &path {
                Some(path) => chosen(&all, path, &config)?,
                None => all,
            };
            let plan = planned(chosen, keep, &config)?;
            if dry_run {
                return say_plan(global, &plan);
            }
            resolve(global, &mut daemon, plan).await
        }
    }
}

/// The conflicts of a file, given as one of the two or by its number.
fn chosen(all: &[ConflictAnswer], path: &Path, config: &Config) -> Result<Vec<ConflictAnswer>, Complaint> {
    let relative = names::relative(path, config);
    if let Ok(relative) = &relative {
        let is_it = |conflict: &&ConflictAnswer| conflict.copy_path() == *relative || conflict.path() == *relative;
        let found: Vec<ConflictAnswer> = all.iter().filter(is_it).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let number: Option<usize> = path.to_str().and_then(|text| text.parse().ok());
    let numbered = number.and_then(|number| all.get(number.checked_sub(1)?));
    match (numbered, relative) {
        (Some(conflict), _) => Ok(vec![conflict.clone()]),
        (None, Err(complaint)) if number.is_none() => Err(complaint),
        _ => {
            let what = format!("`{}` does not have two versions.", path.display());
            Err(Complaint::new(Exit::NotFound, "E-NOT-FOUND", what).hint("See what has:   skep conflicts"))
        }
    }
}

fn list(global: &Global, conflicts: &[ConflictAnswer], config: &Config) -> Result<Exit, Complaint> {
    if global.json {
        let shown: Vec<_> = conflicts.iter().map(|conflict| json_conflict(conflict, config)).collect();
        print_json(&json!({ "schema": SCHEMA, "conflicts": shown }))?;
        return Ok(Exit::Done);
    }
    if conflicts.is_empty() {
        if !global.quiet {
            terminal::say("No file has two versions.");
        }
        return Ok(Exit::Done);
    }
    let now = clock::now();
    let lines: Vec<String> =
        conflicts.iter().enumerate().map(|(index, conflict)| text(index + 1, conflict, config, &now)).collect();
    terminal::print(&lines.concat())?;
    if !global.quiet {
        terminal::say("Both are safe. Keep one, or both:   skep conflicts resolve PATH --keep mine|theirs|both|newest");
    }
    Ok(Exit::Done)
}

fn json_conflict(conflict: &ConflictAnswer, config: &Config) -> serde_json::Value {
    let mine = if copy_is_mine(conflict, config) { "copy" } else { "original" };
    json!({
        "path": names::display(&conflict.path()), "copy_path": names::display(&conflict.copy_path()),
        "device": conflict.device, "mine": mine, "copy": conflict.copy, "original": conflict.original, "newest": conflict.newest,
    })
}

fn text(number: usize, conflict: &ConflictAnswer, config: &Config, now: &Zoned) -> String {
    let (copy_word, original_word) = match copy_is_mine(conflict, config) {
        true => ("yours", "theirs"),
        false => ("theirs", "yours"),
    };
    let path = names::display(&conflict.path());
    let device = names::printable(&conflict.device);
    let copy = version_text(&conflict.copy, now);
    let original = match &conflict.original {
        Some(original) => format!("{}   <- has the name", version_text(original, now)),
        None => "is no longer there".into(),
    };
    let name = conflict.copy.name.display();
    format!("{number}  {path}\n   {copy_word:7} {copy}   {device}   {name}\n   {original_word:7} {original}\n")
}

fn version_text(entry: &EntryAnswer, now: &Zoned) -> String {
    let changed = entry.changed.as_deref().and_then(clock::parse_utc);
    let changed = changed.map_or(String::new(), |time| clock::text(time, now));
    let size = if entry.kind == "file" { bytes_text(entry.size) } else { entry.kind.clone() };
    format!("{size:>9}   {changed:15}")
}

/// Whether the copy is this computer's version. Names of devices are cut and cleaned before they get into the name of a file.
fn copy_is_mine(conflict: &ConflictAnswer, config: &Config) -> bool {
    let is_kept = |letter: &char| !letter.is_control() && !"/\\:*?\"<>|".contains(*letter);
    let own: String = config.device.name.chars().filter(is_kept).collect();
    let device = conflict.device.as_str();
    // What came back from the safe was written here.
    let is_cut = device.len() > 30 && own.starts_with(device);
    own == device || is_cut || device.starts_with("kept ")
}

/// What is to be done about each.
fn planned(
    conflicts: Vec<ConflictAnswer>,
    keep: KeepWhich,
    config: &Config,
) -> Result<Vec<(ConflictAnswer, KeepWord)>, Complaint> {
    let with_word = |conflict: ConflictAnswer| {
        let is_mine = copy_is_mine(&conflict, config);
        let word = match keep {
            KeepWhich::Both => KeepWord::Both,
            KeepWhich::Mine if is_mine => KeepWord::Copy,
            KeepWhich::Theirs if !is_mine => KeepWord::Copy,
            KeepWhich::Mine | KeepWhich::Theirs => KeepWord::Original,
            KeepWhich::Newest => conflict.newest,
        };
        (conflict, word)
    };
    let plan: Vec<(ConflictAnswer, KeepWord)> = conflicts.into_iter().map(with_word).collect();
    // Only one of several copies can get the name.
    let is_one_of_several =
        |copy: &ConflictAnswer| plan.iter().filter(|(other, _)| other.path() == copy.path()).count() > 1;
    match plan.iter().find(|(conflict, word)| *word == KeepWord::Copy && is_one_of_several(conflict)) {
        None => Ok(plan),
        Some((several, _)) => {
            let path = names::display(&several.path());
            let what = format!("`{path}` has more than two versions; which one is meant cannot be told.");
            Err(Complaint::new(Exit::Guard, "E-SEVERAL", what)
                .hint("Nothing was changed. Name the copy:   skep conflicts resolve COPY --keep mine|theirs"))
        }
    }
}

fn say_plan(global: &Global, plan: &[(ConflictAnswer, KeepWord)]) -> Result<Exit, Complaint> {
    if global.json {
        let steps: Vec<_> = plan.iter().map(|(conflict, word)| step_json(conflict, *word)).collect();
        print_json(&json!({ "schema": SCHEMA, "dry_run": true, "resolved": steps }))?;
        return Ok(Exit::Done);
    }
    let lines: Vec<String> = plan.iter().map(|(conflict, word)| step_text(conflict, *word)).collect();
    terminal::print(&lines.concat())?;
    terminal::say("Nothing was changed. Run without --dry-run to do it.");
    Ok(Exit::Done)
}

fn step_json(conflict: &ConflictAnswer, word: KeepWord) -> serde_json::Value {
    json!({ "path": names::display(&conflict.path()), "copy_path": names::display(&conflict.copy_path()), "keep": word })
}

fn step_text(conflict: &ConflictAnswer, word: KeepWord) -> String {
    let (path, copy) = (names::display(&conflict.path()), names::display(&conflict.copy_path()));
    match word {
        KeepWord::Original => format!("{path}   stays as it is; `{copy}` goes to the safe\n"),
        KeepWord::Copy => format!("{path}   gets the content of `{copy}`; what it was goes to the safe\n"),
        KeepWord::Both => format!("{path}   stays as it is; `{copy}` becomes a file like any other\n"),
    }
}

async fn resolve(
    global: &Global,
    daemon: &mut DaemonConnection,
    plan: Vec<(ConflictAnswer, KeepWord)>,
) -> Result<Exit, Complaint> {
    let mut done = Vec::new();
    let mut refused = Vec::new();
    for (conflict, word) in plan {
        match daemon.ask(&ControlRequest::Resolve { path: conflict.copy_path(), keep: word }).await? {
            ControlAnswer::Resolved { outcome: Resolved::Done, .. } => done.push((conflict, word)),
            ControlAnswer::Resolved { outcome: Resolved::Refused(why), .. } => refused.push((conflict, why)),
            other => return Err(strange(&other)),
        }
    }
    if global.json {
        let resolved: Vec<_> = done.iter().map(|(conflict, word)| step_json(conflict, *word)).collect();
        let left: Vec<_> = refused
            .iter()
            .map(|(conflict, why)| json!({ "path": names::display(&conflict.path()), "reason": why }))
            .collect();
        print_json(&json!({ "schema": SCHEMA, "resolved": resolved, "refused": left }))?;
    } else if !global.quiet {
        done.iter().for_each(|(conflict, word)| terminal::say(step_text(conflict, *word).trim_end()));
    }
    let Some((first, why)) = refused.first() else { return Ok(Exit::Done) };
    for (conflict, why) in refused.iter().skip(1) {
        terminal::say(&format!("{}: {why}", names::display(&conflict.path())));
    }
    let (exit, code) = if done.is_empty() { (Exit::Guard, "E-NOT-RESOLVED") } else { (Exit::Partly, "E-PARTLY") };
    let count = counted(refused.len() as u64, "file");
    let what = format!("{count} could not be resolved: `{}`: {why}.", names::display(&first.path()));
    Err(Complaint::new(exit, code, what).hint("Both versions are still there. See:   skep conflicts"))
}
