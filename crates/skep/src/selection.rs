//! `skep sync ls`, `add` and `rm`: which directories of the server are on this computer.

use std::path::Path;

use serde_json::json;
use skep_platform::talk::{Complaint, Exit};

use crate::args::Global;
use crate::commands::{daemon_off, print_json, strange};
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection, SelectableAnswer, Selecting};
use crate::home::Home;
use crate::names;
use crate::status::{SCHEMA, bytes_text, counted};
use crate::terminal;

/// What is not on this computer.
pub async fn ls(global: &Global) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    let entries = match daemon.ask(&ControlRequest::Selection).await? {
        ControlAnswer::Selection { entries, .. } => entries,
        other => return Err(strange(&other)),
    };
    if global.json {
        let shown: Vec<_> = entries.iter().map(shape).collect();
        print_json(
            &json!({ "schema": SCHEMA, "folder": config.folder.local.display().to_string(), "not_here": shown }),
        )?;
        return Ok(Exit::Done);
    }
    let but = if entries.is_empty() { "" } else { ", but for" };
    terminal::print(&format!("{}   everything is synced{but}\n", config.folder.local.display()))?;
    for entry in &entries {
        let size = format!("{}, {} on the server", counted(entry.files, "file"), bytes_text(entry.bytes));
        terminal::print(&format!("  {}/   {size}\n", names::display(&entry.path)))?;
    }
    Ok(Exit::Done)
}

/// Syncs a directory of the server to this computer again (`Here`), or not any more (`NotHere`).
pub async fn select(global: &Global, path: &Path, wish: Selecting, is_dry: bool) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let path = names::relative(path, &config)?;
    let mut daemon = DaemonConnection::open(&home).await.ok_or_else(daemon_off)?;
    let request = ControlRequest::Select { path: path.clone(), wish, dry_run: is_dry };
    let plan = match daemon.ask(&request).await? {
        ControlAnswer::Selected { plan, .. } => plan,
        ControlAnswer::NotSelected { code, message, hint, .. } => {
            let (exit, code) = match code.as_str() {
                "E-NOT-FOUND" => (Exit::NotFound, "E-NOT-FOUND"),
                "E-DISK-FULL" => (Exit::Guard, "E-DISK-FULL"),
                _ => (Exit::Guard, "E-SELECTION"),
            };
            return Err(Complaint::new(exit, code, message).hint(hint));
        }
        other => return Err(strange(&other)),
    };
    if global.json {
        let here = wish == Selecting::Here;
        print_json(&json!({ "schema": SCHEMA, "here": here, "done": !is_dry, "plan": shape(&plan) }))?;
    } else if !global.quiet {
        terminal::print(&text(&plan, wish, is_dry))?;
    }
    Ok(Exit::Done)
}

fn shape(entry: &SelectableAnswer) -> serde_json::Value {
    json!({
        "path": names::display(&entry.path), "files": entry.files, "bytes": entry.bytes,
        "files_here": entry.files_here, "bytes_here": entry.bytes_here,
        "unsent": entry.unsent, "unsent_count": entry.unsent_count, "free_bytes": entry.free_bytes,
    })
}

fn text(plan: &SelectableAnswer, wish: Selecting, is_dry: bool) -> String {
    let path = names::display(&plan.path);
    let mut text = match wish {
        Selecting::NotHere => {
            let (is, go) = if is_dry { ("would not be", "would go") } else { ("is not", "go") };
            let size = format!("{}, {}", counted(plan.files_here, "file"), bytes_text(plan.bytes_here));
            format!(
                "`{path}` {is} synced on this computer any more: {size} {go} from here. \
                 They stay on the server and on your other computers.\n"
            )
        }
        Selecting::Here => {
            let (is, come) = if is_dry { ("would be", "would come") } else { ("is", "come") };
            let (files, bytes) =
                (plan.files.saturating_sub(plan.files_here), plan.bytes.saturating_sub(plan.bytes_here));
            let size = format!("{}, {}", counted(files, "file"), bytes_text(bytes));
            format!(
                "`{path}` {is} synced on this computer again: {size} {come} here; {} are free.\n",
                bytes_text(plan.free_bytes)
            )
        }
    };
    if plan.unsent_count > 0 {
        let things = counted(plan.unsent_count, "file");
        text +=
            &format!("  {things} here with changes that are not on the server yet: these stay until they are sent.\n");
        for unsent in &plan.unsent {
            text += &format!("    {}\n", names::printable(unsent));
        }
    }
    if is_dry {
        text += "Nothing was changed. Run it without --dry-run.\n";
    }
    text
}
