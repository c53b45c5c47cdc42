//! `skep trash`: what was deleted, and what had to give way on this computer.

use std::fmt::Write;

use serde_json::{Value, json};
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::TrashItem;

use crate::args::{Global, TrashCommand};
use crate::clock;
use crate::commands::print_json;
use crate::engine;
use crate::history::{json_safe, row, safe_text};
use crate::names;
use crate::past::{self, Talk};
use crate::restore;
use crate::status::{SCHEMA, bytes_text};
use crate::terminal;

/// Lines without `-n`, as its default.
const LINES: usize = 100;
/// Found items that a search holds to sort them.
const FOUND_MAX: usize = 100_000;

/// Does what was asked about the trash.
pub async fn trash(global: &Global, command: Option<TrashCommand>) -> Result<Exit, Complaint> {
    match command.unwrap_or(TrashCommand::Ls { search: None, lines: LINES, safe: false }) {
        TrashCommand::Ls { safe: true, lines, .. } => list_safe(global, lines),
        TrashCommand::Ls { search, lines, .. } => list(global, search.as_deref(), lines).await,
        TrashCommand::Restore { paths } => restore::restore_deleted(global, &paths).await,
    }
}

async fn list(global: &Global, search: Option<&str>, lines: usize) -> Result<Exit, Complaint> {
    let talk = Talk::open(global)?;
    let (mut items, mut authors, mut from) = (Vec::<TrashItem>::new(), Vec::new(), None);
    // What is searched comes in no order, so all of it is needed for the last ones.
    let items_max = if search.is_some() { FOUND_MAX } else { lines + 1 };
    loop {
        let page = talk.past.trash(search, from).await.map_err(|error| talk.failed(error))?;
        items.extend(page.items);
        authors.extend(page.authors);
        from = page.next;
        if from.is_none() || items.len() >= items_max {
            break;
        }
    }
    if search.is_some() {
        items.sort_by(|one, other| (other.deleted, &one.path).cmp(&(one.deleted, &other.path)));
    }
    let more = items.len() > lines || from.is_some();
    items.truncate(lines);
    let authors = past::people(authors);
    if global.json {
        let items: Vec<Value> = items
            .iter()
            .map(|item| {
                let author = authors.get(&item.by);
                json!({
                    "path": names::display_names(&item.path), "name": names::NameText::from(&item.state.place.name),
                    "kind": past::kind_word(&item.state), "size": item.state.content.file().map(|file| file.size),
                    "deleted": clock::exact(item.deleted), "with_directory": !item.by_itself, "node": item.state.node.to_string(),
                    "user": author.map(|author| &author.account_name), "device": author.map(|author| &author.device_name),
                })
            })
            .collect();
        print_json(&json!({ "schema": SCHEMA, "items": items, "more": more }))?;
        return Ok(Exit::Done);
    }
    let now = clock::now();
    let mut text = String::new();
    for item in &items {
        let size = item.state.content.file().map_or(String::new(), |file| bytes_text(file.size));
        let slash = if past::kind_word(&item.state) == "directory" { "/" } else { "" };
        let (time, who) = (clock::full(item.deleted, &now), past::who(authors.get(&item.by)));
        let path = names::display_names(&item.path);
        writeln!(text, "{time}  {who:22}  {size:>9}  {path}{slash}").expect("writing to a string cannot fail");
    }
    terminal::print(&text)?;
    if !global.quiet && items.is_empty() {
        terminal::say("Nothing of that is in the trash.");
    } else if !global.quiet {
        let more = if more { "There is more: -n, --search. " } else { "" };
        terminal::say(&format!("{more}Bring back:   skep trash restore PATH"));
    }
    Ok(Exit::Done)
}

fn list_safe(global: &Global, lines: usize) -> Result<Exit, Complaint> {
    let talk = Talk::open(global)?;
    let all = engine::safe_entries(&talk.safe()?)?;
    // Those of one name are numbered as --version takes them.
    let number = |index: usize| all[..=index].iter().filter(|entry| entry.name == all[index].name).count();
    let numbered: Vec<_> = all.iter().enumerate().take(lines).map(|(index, entry)| (number(index), entry)).collect();
    if global.json {
        let items: Vec<Value> = numbered.iter().map(|(number, entry)| json_safe(*number, entry)).collect();
        print_json(&json!({ "schema": SCHEMA, "safe": items, "more": all.len() > lines }))?;
        return Ok(Exit::Done);
    }
    let (mut text, now) = (String::new(), clock::now());
    for (number, entry) in &numbered {
        row(&mut text, &format!("safe{number}"), entry.displaced(), &now, &safe_text(entry));
    }
    terminal::print(&text)?;
    if !global.quiet {
        terminal::say("Bring back:   skep restore PATH --version safe1");
    }
    Ok(Exit::Done)
}
