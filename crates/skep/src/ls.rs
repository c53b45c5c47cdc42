//! `skep ls`: what is in a directory, and how far each entry is.

use std::fmt::Write;
use std::path::Path;

use jiff::Zoned;
use serde_json::json;
use skep_platform::talk::{Complaint, Exit};

use crate::args::{Global, LsArgs};
use crate::clock;
use crate::commands::{daemon_off, print_json, strange};
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection, EntryAnswer};
use crate::home::{Config, Home};
use crate::names::{self, NameText, PathNames};
use crate::status::{SCHEMA, bytes_text};
use crate::terminal;

/// Entries that one answer with `--json` holds; who has more asks for a directory below.
const JSON_ENTRIES_MAX: usize = 1_000_000;

/// Lists what was asked for.
pub async fn ls(global: &Global, args: LsArgs) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let start = match &args.path {
        Some(path) => names::relative(path, &config)?,
        None => here(&config),
    };
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    let now = clock::now();
    let mut found = Vec::new();
    // Depth first, in the order of names: what waits is at most one directory's entries for each level.
    let mut waiting = vec![start.clone()];
    while let Some(dir) = waiting.pop() {
        let mut below = Vec::new();
        let entries = read_dir(&mut daemon, &dir, &args).await?;
        let Some(entries) = entries else {
            // A directory that went away while the ones before it were listed is no mistake.
            if dir == start {
                return Err(nothing_there(&dir));
            }
            continue;
        };
        let is_itself = !dir.is_empty() && entries.len() == 1 && dir.last() == Some(&entries[0].name);
        let above = if is_itself && entries[0].kind != "directory" { &dir[..dir.len() - 1] } else { &dir[..] };
        for entry in &entries {
            if args.recursive && entry.kind == "directory" {
                below.push(dir.iter().chain([&entry.name]).cloned().collect());
            }
        }
        waiting.extend(below.into_iter().rev());
        if !global.json {
            terminal::print(&text(&start, above, &entries, &args, &now))?;
        } else if found.len() < JSON_ENTRIES_MAX {
            found.extend(entries.iter().map(|entry| json_entry(above, entry)));
        }
    }
    if global.json {
        let path = names::display(&start);
        print_json(&json!({ "schema": SCHEMA, "path": path, "entries": found }))?;
    }
    Ok(Exit::Done)
}

/// The directory in which the command runs, if it is synced; else the synced folder.
fn here(config: &Config) -> PathNames {
    names::relative(Path::new("."), config).unwrap_or_default()
}

async fn read_dir(
    daemon: &mut DaemonConnection,
    dir: &PathNames,
    args: &LsArgs,
) -> Result<Option<Vec<EntryAnswer>>, Complaint> {
    let mut all = Vec::new();
    let mut after: Option<NameText> = None;
    loop {
        match daemon.ask(&ControlRequest::List { path: dir.clone(), after }).await? {
            ControlAnswer::NotThere { .. } => return Ok(None),
            ControlAnswer::Listed { entries, more, .. } => {
                after = entries.last().map(|entry| entry.name.clone());
                all.extend(entries.into_iter().filter(|entry| args.all || !is_hidden(&entry.name)));
                if !more || after.is_none() {
                    return Ok(Some(all));
                }
            }
            other => return Err(strange(&other)),
        }
    }
}

fn is_hidden(name: &NameText) -> bool {
    matches!(name, NameText::Text(text) if text.starts_with('.'))
}

fn nothing_there(path: &PathNames) -> Complaint {
    let what = format!("There is no `{}`, neither here nor on the server.", names::display(path));
    Complaint::new(Exit::NotFound, "E-NOT-FOUND", what)
        .hint("What is ignored is not listed. See what is there:   skep ls")
}

fn json_entry(above: &[NameText], entry: &EntryAnswer) -> serde_json::Value {
    let path: PathNames = above.iter().chain([&entry.name]).cloned().collect();
    let mut json = json!({
        "path": names::display(&path), "name": entry.name, "kind": entry.kind, "state": entry.state,
        "reason": entry.reason, "size": entry.size, "changed": entry.changed,
    });
    if let Some(shown) = &entry.shown {
        json["shown"] = json!(shown);
    }
    json
}

fn text(start: &PathNames, dir: &[NameText], entries: &[EntryAnswer], args: &LsArgs, now: &Zoned) -> String {
    let mut text = String::new();
    let inner = dir.get(start.len()..).unwrap_or_default();
    let prefix = if inner.is_empty() { String::new() } else { format!("{}/", names::display(inner)) };
    for entry in entries {
        let slash = if entry.kind == "directory" { "/" } else { "" };
        let shown = entry.shown.as_ref().map_or(String::new(), |shown| format!("   (here: {})", shown.display()));
        let name = format!("{prefix}{}{slash}{shown}", entry.name.display());
        let state = if entry.state == "two versions" { "2 versions" } else { &entry.state };
        let changed = entry.changed.as_deref().and_then(clock::parse_utc);
        let changed = changed.map_or(String::new(), |time| clock::text(time, now));
        let size = if entry.kind == "file" { bytes_text(entry.size) } else { String::new() };
        let line = match args.long {
            true => format!("{state:10} {size:>9}  {changed:15}  {name}"),
            false => format!("{state:10} {name}"),
        };
        writeln!(text, "{line}").expect("writing to a string cannot fail");
    }
    text
}
