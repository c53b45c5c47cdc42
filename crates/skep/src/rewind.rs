//! `skep rewind`: a directory as it was at some time.

use std::fmt::Write;

use serde_json::{Value, json};
use skep_client::{RewindPlan, Rewound, rewind_groups};
use skep_platform::Entropy;
use skep_platform::runtime::SystemEntropy;
use skep_platform::talk::{Complaint, Exit};
use skep_types::{Content, Group, GroupResult, Limits, Name, NodeId, Timestamp};

use crate::args::{Global, RewindArgs};
use crate::clock;
use crate::commands::print_json;
use crate::names;
use crate::past::{self, Talk};
use crate::status::{SCHEMA, counted};
use crate::terminal;

/// So often is planned anew what others overtook meanwhile.
const ROUNDS_MAX: usize = 8;
/// Changes that are listed one by one, without `--json`.
const LISTED_MAX: usize = 50;
/// Bytes of operations in one commit, well below the limit: a name is at most 255 bytes.
const OPERATIONS_MAX: usize = 4096;
/// What the operations of one node take at most, roughly.
const NODE_BYTES: usize = 768;

/// Sets a directory back, or says what that would change.
pub async fn rewind(global: &Global, args: &RewindArgs) -> Result<Exit, Complaint> {
    let talk = Talk::open(global)?;
    let path = talk.path(&args.path)?;
    let now = clock::now();
    let at = past::time(&args.at, &now)?;
    let found = talk.found(&path).await?;
    let directory = match &found[0] {
        first if !first.in_trash && first.state.content == Content::Directory => first.state.node,
        first => return Err(not_live(&path, first.in_trash)),
    };
    let plan = talk.past.rewind_plan(directory, at).await.map_err(|error| too_old(talk.failed(error)))?;
    let counts = Counts::of(&plan);
    if args.dry_run || counts.all() == 0 {
        tell_plan(global, &path, &plan, &counts, clock::full(at, &now))?;
        return Ok(Exit::Done);
    }
    let undo = format!("skep rewind \"{}\" --at {}", shown(&path), clock::exact(plan.time));
    let left = carry_out(&talk, directory, at, plan).await?;
    if global.json {
        let done = counts.json();
        print_json(&json!({ "schema": SCHEMA, "path": shown(&path), "changed": done, "left": left, "undo": undo }))?;
    } else if !global.quiet {
        terminal::say(&format!("{} is as of {}: {}.", shown(&path), clock::full(at, &now), counts.text()));
        terminal::say(&format!("Undo:   {undo}"));
    }
    if left == 0 {
        return Ok(Exit::Done);
    }
    let what = format!("{} could not be set back.", counted(left as u64, "change"));
    Err(Complaint::new(Exit::Partly, "E-PARTLY", what)
        .hint("Something else has their names or places by now.   skep rewind --dry-run   lists them."))
}

/// Commits what is to be done, anew as long as that gets further; gives how many nodes are still not as they were.
async fn carry_out(talk: &Talk, directory: NodeId, at: Timestamp, first: RewindPlan) -> Result<usize, Complaint> {
    let mut plan = first;
    for _ in 0..ROUNDS_MAX {
        let groups = rewind_groups(&plan, together_max());
        let mut accepted = 0;
        for commit in commits(groups) {
            let results = talk.past.commit(SystemEntropy.bytes(), commit).await;
            let results = results.map_err(|error| talk.content_failed(error, "some files"))?;
            accepted += results.iter().filter(|result| !matches!(result, GroupResult::Rejected(_))).count();
        }
        let left = talk.past.rewind_plan(directory, at).await.map_err(|error| talk.failed(error))?;
        let count = Counts::of(&left).all();
        if count == 0 || accepted == 0 {
            return Ok(count);
        }
        plan = left;
    }
    Ok(Counts::of(&plan).all())
}

/// Operations that are committed all or nothing.
fn together_max() -> usize {
    OPERATIONS_MAX.min(Limits::SHIPPED.commit_operations_max).min(Limits::SHIPPED.commit_bytes_max / NODE_BYTES)
}

/// Groups in commits that keep the limits.
fn commits(groups: Vec<Group>) -> Vec<Vec<Group>> {
    let mut commits: Vec<Vec<Group>> = Vec::new();
    let mut operations = usize::MAX;
    for group in groups {
        if operations.saturating_add(group.0.len()) > together_max() {
            commits.push(Vec::new());
            operations = 0;
        }
        operations += group.0.len();
        commits.last_mut().expect("one was made just now or before").push(group);
    }
    commits
}

/// How many nodes become what.
#[derive(Debug, Default)]
struct Counts {
    back: usize,
    older: usize,
    trash: usize,
}

impl Counts {
    fn of(plan: &RewindPlan) -> Counts {
        let count = |wanted: Rewound| plan.nodes.iter().filter(|past| Rewound::of(past) == Some(wanted)).count();
        Counts { back: count(Rewound::ComesBack), older: count(Rewound::AsItWas), trash: count(Rewound::ToTrash) }
    }

    fn all(&self) -> usize {
        self.back + self.older + self.trash
    }

    fn text(&self) -> String {
        let Counts { back, older, trash } = self;
        format!("{back} came back, {older} are as they were, {trash} went to the trash")
    }

    fn json(&self) -> Value {
        json!({ "come_back": self.back, "as_it_was": self.older, "to_trash": self.trash })
    }
}

fn tell_plan(global: &Global, path: &[Name], plan: &RewindPlan, counts: &Counts, at: String) -> Result<(), Complaint> {
    let mut changes: Vec<(String, &'static str, String)> = plan
        .nodes
        .iter()
        .filter_map(|past| {
            let (word, path) = match Rewound::of(past)? {
                Rewound::ComesBack => ("comes back", &past.path_then),
                Rewound::AsItWas => ("as it was", &past.path_then),
                Rewound::ToTrash => ("to trash", &past.path_now),
            };
            let is_moved = Rewound::of(past) == Some(Rewound::AsItWas) && past.path_now != past.path_then;
            let from = if is_moved { names::display_names(&past.path_now) } else { String::new() };
            Some((names::display_names(path), word, from))
        })
        .collect();
    changes.sort();
    if global.json {
        let changes: Vec<Value> = changes
            .iter()
            .map(|(path, word, from)| json!({ "path": path, "becomes": word, "now_at": (!from.is_empty()).then_some(from) }))
            .collect();
        return print_json(
            &json!({ "schema": SCHEMA, "path": shown(path), "changes": changes, "counts": counts.json() }),
        );
    }
    let mut text = String::new();
    for (path, word, from) in changes.iter().take(LISTED_MAX) {
        let from = if from.is_empty() { String::new() } else { format!("   (now {from})") };
        writeln!(text, "{word:10}  {path}{from}").expect("writing to a string cannot fail");
    }
    if changes.len() > LISTED_MAX {
        writeln!(text, "and {} more: --json lists all", changes.len() - LISTED_MAX)
            .expect("writing to a string cannot fail");
    }
    terminal::print(&text)?;
    if !global.quiet {
        let Counts { back, older, trash } = counts;
        let count = counted(counts.all() as u64, "file");
        terminal::say(&format!("{} as of {at} would change {count}:", shown(path)));
        terminal::say(&format!(
            "  {back} come back   {older} return to what they were   {trash} go to the trash (made after that time)"
        ));
        terminal::say("Nothing was changed.");
    }
    Ok(())
}

fn shown(path: &[Name]) -> String {
    if path.is_empty() { "skep:/".into() } else { names::display_names(path) }
}

fn not_live(path: &[Name], in_trash: bool) -> Complaint {
    let path = names::display_names(path);
    match in_trash {
        true => Complaint::new(Exit::NotFound, "E-NOT-FOUND", format!("`{path}` was deleted."))
            .hint(format!("Bring it back first:   skep restore \"{path}\"")),
        false => Complaint::new(Exit::Usage, "E-USAGE", format!("`{path}` is no directory."))
            .hint(format!("See its versions:   skep history \"{path}\"")),
    }
}

/// The refusal of a time that is too old, with what can be done.
fn too_old(complaint: Complaint) -> Complaint {
    match complaint.exit {
        Exit::NotFound => {
            complaint.hint("The server keeps the past for a while only: keep.versions and keep.trash in its settings.")
        }
        _ => complaint,
    }
}

#[cfg(test)]
mod tests {
    use skep_types::{Operation, Seq, Version};

    use super::*;

    #[test]
    fn commits_keep_the_limit_of_operations_and_leave_no_group_out() {
        let version = Version { seq: Seq(1), commit: skep_types::CommitId::from_bytes([1; 16]) };
        let group = |number: u8| {
            let node = NodeId::from_bytes([number; 16]);
            Group(vec![Operation::Trash { node, base: version, seen: Seq(1) }])
        };
        let groups: Vec<Group> = (0..together_max() + 5).map(|number| group(number as u8)).collect();
        let made = commits(groups.clone());
        assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [together_max(), 5]);
        assert_eq!(made.concat(), groups);
        assert!(commits(Vec::new()).is_empty());
    }
}
