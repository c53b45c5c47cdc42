//! `skep history`: the versions of a file, also of a deleted one.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Zoned;
use serde_json::{Value, json};
use skep_client::SafeEntry;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_protocol::Author;
use skep_types::{DeviceId, Entry, FieldGroups, Name, Timestamp};

use crate::args::{Global, HistoryArgs};
use crate::clock;
use crate::commands::print_json;
use crate::names;
use crate::past::{self, Talk};
use crate::status::{SCHEMA, bytes_text};
use crate::terminal;

/// One line of a history.
struct Line {
    entry: Entry,
    /// What the entry did.
    what: String,
    /// Its content is the one that is there now.
    is_now: bool,
}

/// Lists the versions of a file.
pub async fn history(global: &Global, args: &HistoryArgs) -> Result<Exit, Complaint> {
    let talk = Talk::open(global)?;
    let path = talk.path(&args.path)?;
    let safe = match path.last() {
        // A folder that is not there has no safe; the server's versions are told all the same.
        Some(name) => talk.safe_entries(name).unwrap_or_default(),
        None => Vec::new(),
    };
    let found = match talk.found(&path).await {
        Err(complaint) if complaint.exit == Exit::NotFound && !safe.is_empty() => Vec::new(),
        found => found?,
    };
    let (mut lines, mut authors) = (Vec::new(), BTreeMap::new());
    for node in &found {
        let (entries, known) = talk.past.history(node.state.node).await.map_err(|error| talk.failed(error))?;
        authors.extend(past::people(known));
        let now = (!node.in_trash).then_some(node.state.content_version.seq);
        lines.extend(told(entries, now, &authors));
    }
    // One file after the other may have stood there: together they are its history.
    lines.sort_by_key(|line| std::cmp::Reverse(line.entry.seq));
    let safe = only_here(safe, &lines);
    lines.truncate(args.lines);
    if global.json {
        let versions: Vec<Value> = lines.iter().map(|line| json_line(line, &authors)).collect();
        let safe: Vec<Value> = safe.iter().map(|(number, entry)| json_safe(*number, entry)).collect();
        let path = names::display_names(&path);
        print_json(&json!({ "schema": SCHEMA, "path": path, "versions": versions, "safe": safe }))?;
    } else {
        terminal::print(&text(&lines, &safe, &authors, &clock::now()))?;
    }
    Ok(Exit::Done)
}

/// Lines for the entries of one node, newest first.
fn told(entries: Vec<Entry>, now: Option<skep_types::Seq>, authors: &BTreeMap<DeviceId, Author>) -> Vec<Line> {
    let words: Vec<String> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let by_hand = authors.get(&entry.commit.device()).is_some_and(|author| author.by_hand);
            what(entry, entries.get(index + 1), by_hand)
        })
        .collect();
    let line = |(entry, what): (Entry, String)| Line { is_now: now == Some(entry.seq), entry, what };
    entries.into_iter().zip(words).map(line).collect()
}

/// What an entry did to its node, which was as `before` says.
fn what(entry: &Entry, before: Option<&Entry>, by_hand: bool) -> String {
    let (changed, state) = (entry.changed, &entry.state);
    let Some(before) = before.map(|before| &before.state) else {
        let word = if changed == FieldGroups::ALL { "created" } else { "the first that is kept" };
        return word.into();
    };
    let mut words = Vec::new();
    if changed.place {
        words.push(match (&before.place, &state.place) {
            (_, now) if now.trashed => "deleted".into(),
            (then, _) if then.trashed => "brought back".into(),
            (then, now) if then.parent == now.parent => {
                format!("renamed from {}", names::printable(&then.name.display()))
            }
            (then, now) if then.name == now.name => "moved here from another directory".into(),
            (then, _) => format!("moved here, was {}", names::printable(&then.name.display())),
        });
    }
    if changed.content {
        let word = match before.content.same_bytes(&state.content) {
            true => "touched",
            false if by_hand => "restored",
            false => "edited",
        };
        words.push(word.into());
    }
    if changed.mode {
        words.push(if state.mode.executable { "made executable" } else { "made not executable" }.into());
    }
    words.join(", ")
}

/// What the safe has that no version has; with its number.
fn only_here(safe: Vec<SafeEntry>, lines: &[Line]) -> Vec<(usize, SafeEntry)> {
    let is_version = |entry: &SafeEntry| {
        let mut contents = lines.iter().filter_map(|line| line.entry.state.content.file());
        contents.any(|file| (file.size, file.mtime) == (entry.stat.size, entry.stat.mtime))
    };
    safe.into_iter()
        .enumerate()
        .map(|(index, entry)| (index + 1, entry))
        .filter(|(_, entry)| !is_version(entry))
        .collect()
}

fn json_line(line: &Line, authors: &BTreeMap<DeviceId, Author>) -> Value {
    let Entry { seq, time, changed, state, commit } = &line.entry;
    let author = authors.get(&commit.device());
    let file = state.content.file();
    json!({
        "version": seq.0, "time": clock::exact(*time), "what": line.what, "now": line.is_now, "kind": past::kind_word(state),
        "size": file.map(|file| file.size), "mtime": file.map(|file| clock::exact(file.mtime)), "name": names::NameText::from(&state.place.name),
        "user": author.map(|author| &author.account_name), "device": author.map(|author| &author.device_name),
        "by_hand": author.is_some_and(|author| author.by_hand),
        "changed": { "place": changed.place, "content": changed.content, "mode": changed.mode },
        "deleted": state.place.trashed, "node": state.node.to_string(),
    })
}

/// An entry of the safe, as `--json` shows it.
pub fn json_safe(number: usize, entry: &SafeEntry) -> Value {
    json!({
        "version": format!("safe{number}"), "name": names::NameText::from(&entry.name), "size": entry.stat.size,
        "mtime": utc_text(entry.stat.mtime), "displaced": utc_text(entry.displaced()),
    })
}

fn text(lines: &[Line], safe: &[(usize, SafeEntry)], authors: &BTreeMap<DeviceId, Author>, now: &Zoned) -> String {
    let mut text = String::new();
    for line in lines {
        let Entry { seq, time, state, .. } = &line.entry;
        let who = past::who(authors.get(&line.entry.commit.device()));
        let size = state.content.file().map_or(String::new(), |file| bytes_text(file.size));
        let mark = if line.is_now { "   <- now" } else { "" };
        row(&mut text, &seq.to_string(), *time, now, &format!("{size:>9}  {who:22}  {}{mark}", line.what));
    }
    for (number, entry) in safe {
        let rest = safe_text(entry);
        row(&mut text, &format!("safe{number}"), entry.displaced(), now, &rest);
    }
    text
}

/// An entry of the safe behind its number and time.
pub fn safe_text(entry: &SafeEntry) -> String {
    let size =
        if entry.stat.kind == Some(skep_types::Kind::File) { bytes_text(entry.stat.size) } else { String::new() };
    format!("{size:>9}  {:22}  {}", "this computer", shown_name(&entry.name))
}

fn shown_name(name: &Name) -> String {
    format!("gave way here: {}", names::printable(&name.display()))
}

/// One line that begins with a number and a time.
pub fn row(text: &mut String, number: &str, time: Timestamp, now: &Zoned, rest: &str) {
    let time = clock::full(time, now);
    writeln!(text, "{number:>8}  {time}  {rest}").expect("writing to a string cannot fail");
}
