//! What happened: a bounded list, written as the engine's work is answered, read by a shell that keeps it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skep_planner::{ApplyKind, ApplyOperation, ApplyResult, BatchId, CHAIN_MAX, Effect, Event, Progress, Trees};
use skep_types::product::TWO_VERSIONS;
use skep_types::{Commit, CommitId, CommitReply, GroupResult, Name, NodeId, Operation, Timestamp};
use tokio::sync::watch;

use super::Client;

/// What is kept until a shell has read it. More than two commits and two batches bring at once.
const ACTIVITIES_MAX: usize = 20_000;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActivityKind {
    /// A new or changed file or directory was taken by the server.
    Sent,
    /// The server took another name or place.
    SentMove,
    /// The server took a deletion.
    SentDeletion,
    /// A new or changed file or directory from elsewhere is here.
    Received,
    /// Another name or place from elsewhere.
    ReceivedMove,
    /// A deletion from elsewhere.
    ReceivedDeletion,
    /// A file was changed here and elsewhere; this is the path of the copy.
    Conflict,
    /// Something cannot be synced.
    ProblemBegan,
    /// It is over.
    ProblemEnded,
    /// The server is there.
    Connected,
    /// The server cannot be reached, or syncing is paused.
    Disconnected,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: ActivityKind,
    /// Relative to the root, for people; empty if it concerns everything.
    pub path: String,
    /// Of a move: from where. Of a problem: its code. Else empty.
    pub detail: String,
}

/// What happened last, numbered from 1.
#[derive(Debug)]
pub(super) struct Activities {
    kept: Mutex<VecDeque<Activity>>,
    count: watch::Sender<u64>,
}

impl Activities {
    pub(super) fn new() -> Activities {
        Activities { kept: Mutex::new(VecDeque::new()), count: watch::channel(0).0 }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Activity>> {
        // A list has no invariant that a panic could have broken.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, new: Vec<Activity>) {
        if new.is_empty() {
            return;
        }
        let added = new.len() as u64;
        let mut kept = self.kept();
        kept.extend(new);
        let surplus = kept.len().saturating_sub(ACTIVITIES_MAX);
        kept.drain(..surplus);
        self.count.send_modify(|count| *count += added);
    }

    fn after(&self, number: u64) -> Vec<(u64, Activity)> {
        let kept = self.kept();
        let first = *self.count.borrow() - kept.len() as u64 + 1;
        let numbered = (first..).zip(kept.iter());
        numbered.filter(|(at, _)| *at > number).map(|(at, activity)| (at, activity.clone())).collect()
    }
}

impl Client {
    /// What happened after the activity of this number, as soon as something did. The first has number 1; of very many, those in front
    /// may be missing. Never completes once the client has ended.
    pub async fn activity_after(&self, number: u64) -> Vec<(u64, Activity)> {
        let mut count = self.activities.count.subscribe();
        // The sender is in the same list.
        let _ = count.wait_for(|count| *count > number).await;
        self.activities.after(number)
    }
}

/// What will have happened: kind, path, detail.
type Draft = (ActivityKind, String, String);

/// Remembers what is under way, so that its answer can be told of.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    commits: BTreeMap<CommitId, Vec<Vec<Draft>>>,
    batches: BTreeMap<BatchId, Vec<Option<Draft>>>,
    problems: BTreeSet<(String, &'static str)>,
    connected: bool,
    news: Vec<Activity>,
}

impl Ledger {
    /// Takes the answers in `events`, before the engine does.
    pub(super) fn take(&mut self, events: &[Event], now: Timestamp) {
        for event in events {
            match event {
                Event::Committed { commit, result } => {
                    let groups = self.commits.remove(commit).unwrap_or_default();
                    let Ok(CommitReply::Decided { results, .. }) = result else { continue };
                    let accepted = groups
                        .into_iter()
                        .zip(results)
                        .filter(|(_, result)| matches!(result, GroupResult::Accepted | GroupResult::AcceptedAs(_)));
                    accepted.for_each(|(group, _)| self.add(now, group));
                }
                Event::Applied { batch, results } => {
                    let drafts = self.batches.remove(batch).unwrap_or_default();
                    let done = drafts.into_iter().zip(results).filter(|(_, result)| ApplyResult::is_ok(result));
                    let done: Vec<_> = done.filter_map(|(draft, _)| draft).collect();
                    self.add(now, done);
                }
                _ => {}
            }
        }
    }

    /// Remembers what the engine wants, and tells what is new in its progress.
    pub(super) fn follow(&mut self, effects: &[Effect], progress: &Progress, trees: &dyn Trees, now: Timestamp) {
        let mut paths = Paths { trees, known: BTreeMap::new() };
        for effect in effects {
            match effect {
                Effect::Commit { commit, .. } => _ = self.commits.insert(commit.id, sent(commit, &mut paths)),
                Effect::Apply { batch, operations } => {
                    self.batches.insert(*batch, operations.iter().map(received).collect());
                }
                _ => {}
            }
        }
        let problems: BTreeSet<_> =
            progress.problems.iter().map(|problem| (problem.path.clone(), problem.code)).collect();
        let begun = problems.difference(&self.problems).map(|problem| (ActivityKind::ProblemBegan, problem));
        let ended = self.problems.difference(&problems).map(|problem| (ActivityKind::ProblemEnded, problem));
        let changed: Vec<_> =
            ended.chain(begun).map(|(kind, (path, code))| (kind, path.clone(), (*code).to_owned())).collect();
        self.add(now, changed);
        self.problems = problems;
        if progress.connected != self.connected {
            self.connected = progress.connected;
            let kind = if progress.connected { ActivityKind::Connected } else { ActivityKind::Disconnected };
            self.add(now, vec![(kind, String::new(), String::new())]);
        }
    }

    /// Gives what is new to those who read it.
    pub(super) fn publish(&mut self, activities: &Activities) {
        activities.add(std::mem::take(&mut self.news));
    }

    fn add(&mut self, at: Timestamp, drafts: Vec<Draft>) {
        self.news.extend(drafts.into_iter().map(|(kind, path, detail)| Activity { at, kind, path, detail }));
    }
}

/// What it means when the groups of a commit are accepted.
fn sent(commit: &Commit, paths: &mut Paths<'_>) -> Vec<Vec<Draft>> {
    let mut draft = |operation: &Operation| {
        let kind = match operation {
            Operation::Create { .. } | Operation::Edit { .. } => ActivityKind::Sent,
            Operation::Move { .. } => ActivityKind::SentMove,
            Operation::Trash { .. } => ActivityKind::SentDeletion,
            Operation::SetMode { .. } => return None,
        };
        let node = operation.node();
        let from = if kind == ActivityKind::SentMove { paths.there(node) } else { String::new() };
        let path = if kind == ActivityKind::SentDeletion { paths.there(node) } else { paths.here(node) };
        Some((kind, path, from))
    };
    commit.groups.iter().map(|group| group.0.iter().filter_map(&mut draft).collect()).collect()
}

/// What it means when an operation on this disk is done.
fn received(operation: &ApplyOperation) -> Option<Draft> {
    let is_copy = |name: &Name| name.display().contains(TWO_VERSIONS);
    match &operation.kind {
        ApplyKind::Create { at, .. } | ApplyKind::Replace { at, .. } => {
            Some((ActivityKind::Received, at.display(), String::new()))
        }
        ApplyKind::Rename { from, to, .. } if is_copy(&to.name) && !is_copy(&from.name) => {
            Some((ActivityKind::Conflict, to.display(), from.display()))
        }
        ApplyKind::Rename { from, to, .. } => Some((ActivityKind::ReceivedMove, to.display(), from.display())),
        ApplyKind::Remove { at, .. } => Some((ActivityKind::ReceivedDeletion, at.display(), String::new())),
        ApplyKind::Touch { .. } => None,
    }
}

/// Paths of nodes; those of directories are looked up once a turn.
struct Paths<'a> {
    trees: &'a dyn Trees,
    known: BTreeMap<NodeId, String>,
}

impl Paths<'_> {
    /// Where the node stands here.
    fn here(&mut self, node: NodeId) -> String {
        match self.trees.local(node) {
            Some(local) => self.beneath(local.parent, &local.name),
            None => self.there(node),
        }
    }

    /// Where the server has it.
    fn there(&mut self, node: NodeId) -> String {
        match self.trees.remote(node) {
            Some(state) => self.beneath(state.place.parent, &state.place.name),
            None => String::new(),
        }
    }

    fn beneath(&mut self, dir: NodeId, name: &Name) -> String {
        let above = self.directory(dir, 0);
        if above.is_empty() { name.display().into_owned() } else { format!("{above}/{}", name.display()) }
    }

    fn directory(&mut self, dir: NodeId, depth: usize) -> String {
        if dir == NodeId::ROOT || depth == CHAIN_MAX {
            return String::new();
        }
        if let Some(known) = self.known.get(&dir) {
            return known.clone();
        }
        let here = self.trees.local(dir).map(|local| (local.parent, local.name));
        let place = here.or_else(|| self.trees.remote(dir).map(|state| (state.place.parent, state.place.name)));
        let path = match place {
            None => String::new(),
            Some((parent, name)) => {
                let above = self.directory(parent, depth + 1);
                if above.is_empty() { name.display().into_owned() } else { format!("{above}/{}", name.display()) }
            }
        };
        self.known.insert(dir, path.clone());
        path
    }
}
