//! `skep ignore`: what is ignored, by which rule, and a rule more.

use std::path::Path;

use serde_json::json;
use skep_client::IgnoreRules;
use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit};
use skep_types::product;

use crate::args::{Global, IgnoreCommand};
use crate::commands::{daemon_off, print_json, strange};
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection, IgnoreRuleAnswer};
use crate::home::Home;
use crate::names;
use crate::status::{SCHEMA, counted};
use crate::terminal;

/// Does what was asked.
pub async fn ignore(global: &Global, command: Option<IgnoreCommand>) -> Result<Exit, Complaint> {
    match command.unwrap_or(IgnoreCommand::List) {
        IgnoreCommand::List => list(global).await,
        IgnoreCommand::Check { path } => check(global, &path).await,
        IgnoreCommand::Add { pattern } => add(global, &pattern),
    }
}

async fn list(global: &Global) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    home.joined()?;
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    let entries = match daemon.ask(&ControlRequest::Ignored).await? {
        ControlAnswer::Ignored { entries, .. } => entries,
        other => return Err(strange(&other)),
    };
    if global.json {
        let entries = entries.iter();
        let shown = entries.map(|entry| json!({ "path": names::display(&entry.path), "directory": entry.directory }));
        print_json(&json!({ "schema": SCHEMA, "entries": shown.collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    for entry in &entries {
        let slash = if entry.directory { "/" } else { "" };
        terminal::print(&format!("{}{slash}\n", names::display(&entry.path)))?;
    }
    if !global.quiet {
        let count = entries.len() as u64;
        terminal::say(&match count {
            0 => "Nothing in the folder is ignored.".to_owned(),
            _ => format!("{} ignored. Why:   skep ignore check PATH", counted(count, "thing")),
        });
    }
    Ok(Exit::Done)
}

async fn check(global: &Global, path: &Path) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let names = names::relative(path, &config)?;
    let directory = path.as_os_str().to_string_lossy().ends_with('/');
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    let rule = match daemon.ask(&ControlRequest::CheckIgnored { path: names.clone(), directory }).await? {
        ControlAnswer::CheckedIgnored { rule, .. } => rule,
        other => return Err(strange(&other)),
    };
    let shown = names::display(&names);
    let is_ignored = rule.as_ref().is_some_and(|rule| rule.ignored);
    if global.json {
        let because = rule.as_ref().map(|rule| {
            let by = names::display(&names[..rule.depth.min(names.len())]);
            let file = rule.file.as_ref().map(|file| names::display(file));
            json!({ "of": by, "file": file, "line": rule.line, "pattern": rule.pattern })
        });
        print_json(&json!({ "schema": SCHEMA, "path": shown, "ignored": is_ignored, "rule": because }))?;
    } else {
        let verdict = if is_ignored { "ignored" } else { "not ignored" };
        terminal::print(&format!("{shown}   {verdict}\n"))?;
        if let Some(rule) = &rule {
            terminal::print(&format!("  {}\n", reason(rule, &names)))?;
        }
    }
    Ok(if is_ignored { Exit::Done } else { Exit::NotFound })
}

/// `Project/.skepignore line 3: node_modules/`, and of what the rule speaks if that is a directory above.
fn reason(rule: &IgnoreRuleAnswer, names: &names::PathNames) -> String {
    let pattern = names::printable(&rule.pattern);
    let by = match &rule.file {
        Some(file) => format!("{} line {}: {pattern}", names::display(file), rule.line),
        None => format!("built in: {pattern}"),
    };
    match rule.depth < names.len() {
        true => format!("{by}   (of `{}`, which holds it)", names::display(&names[..rule.depth])),
        false => by,
    }
}

/// Adds a rule to the file at the top of the folder. The daemon sees it as any other change.
fn add(global: &Global, pattern: &str) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let rules = IgnoreRules::parse(pattern.as_bytes());
    if let Some(fault) = rules.faults().first() {
        let what = format!("`{}` is no rule: {}.", names::printable(pattern), fault.what);
        return Err(Complaint::new(Exit::Usage, "E-USAGE", what).hint("Nothing was changed"));
    }
    if rules.is_empty() || pattern.contains('\n') {
        let what = format!("`{}` is not one rule.", names::printable(pattern));
        return Err(Complaint::new(Exit::Usage, "E-USAGE", what).hint("Nothing was changed"));
    }
    let path = config.folder.local.join(product::IGNORE_FILE);
    let cannot = |error: std::io::Error| {
        let what = format!("Cannot write `{}`: {error}.", path.display());
        Complaint::new(Exit::Failed, "E-CANNOT-WRITE", what).hint("Nothing was changed")
    };
    let text = own_files::read(&path).map_err(cannot)?.unwrap_or_default();
    let is_there = text.split(|byte| *byte == b'\n').any(|line| line == pattern.as_bytes());
    if !is_there {
        let begin = if text.last().is_some_and(|byte| *byte != b'\n') { "\n" } else { "" };
        own_files::append(&path, format!("{begin}{pattern}\n").as_bytes()).map_err(cannot)?;
    }
    if global.json {
        let file = path.display().to_string();
        print_json(&json!({ "schema": SCHEMA, "file": file, "pattern": pattern, "added": !is_there }))?;
    } else if !global.quiet {
        let verb = if is_there { "is already in" } else { "is now in" };
        terminal::say(&format!("`{}` {verb} {}.", names::printable(pattern), path.display()));
        terminal::say("What it ignores stays where it is, here and on the server; it is not synced any more.");
    }
    Ok(Exit::Done)
}
