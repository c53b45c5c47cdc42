//! What the engine says of itself.

use std::collections::BTreeSet;

use skep_types::{Cursor, Name, NodeId, Seq, Timestamp};

use super::Engine;
use super::hold::Hold;
use crate::shape::Shape;
use crate::trees::{CHAIN_MAX, Trees};

/// Something that cannot be synced now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineProblem {
    /// Which node; the root if it concerns everything.
    pub node: NodeId,
    /// Its path from the root, for people.
    pub path: String,
    /// Stable code, `E-…`.
    pub code: &'static str,
    /// A sentence: what happened.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Since when.
    pub since: Timestamp,
    /// It will not go away by itself.
    pub needs_person: bool,
}

/// How far things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Nothing waits to be looked at, read, sent or applied, but for problems: the three trees are equal but for these.
    pub settled: bool,
    /// Everything up to here was taken from the journal.
    pub cursor: Option<Cursor>,
    /// Of a first snapshot some nodes were taken, and not all.
    pub partly_taken: bool,
    /// Everything is equal up to the cursor, without a single exception.
    pub is_whole: bool,
    /// The journal's end, as far as known.
    pub head: Seq,
    /// The feed is open.
    pub connected: bool,
    /// Nodes that wait.
    pub queue_files: u64,
    /// What stands on this disk and is ignored; a directory counts once.
    pub ignored: u64,
    /// What cannot be done, and why; by path.
    pub problems: Vec<EngineProblem>,
    /// How many things stand on this disk that are nothing to be synced: pipes, sockets, devices, other file systems.
    pub not_synced: u64,
    /// The first of them.
    pub not_synced_told: Vec<EngineProblem>,
}

impl Engine {
    /// How far things are.
    pub fn progress(&self, trees: &dyn Trees) -> Progress {
        let cursor = trees.cursor();
        let mut problems: Vec<EngineProblem> =
            self.holds.troubles().map(|(node, hold)| problem(trees, node, hold)).collect();
        problems.extend(self.ignore_problems(trees));
        problems.extend(self.hold_problem(trees));
        problems.extend(self.damage_problems(trees));
        problems.extend(self.own_problems(trees));
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        let (not_synced, not_synced_told) = self.not_synced(trees);
        let waiters = self.waiters.values().map(BTreeSet::len).sum();
        let waiting = [self.touched.len(), self.blocked.len(), self.busy.len(), waiters];
        let queued =
            [&self.to_read, &self.to_send, &self.to_send_big, &self.to_apply, &self.to_apply_big].map(BTreeSet::len);
        let settled = self.is_settled(trees);
        Progress {
            settled,
            is_whole: settled && trees.differing(None, 1).is_empty(),
            cursor,
            partly_taken: cursor.is_none() && !trees.known(None, 1).is_empty(),
            head: self.head,
            connected: self.connected,
            queue_files: waiting.iter().chain(&queued).map(|nodes| *nodes as u64).sum(),
            ignored: self.observer.filters.count_ignored(),
            problems,
            not_synced,
            not_synced_told,
        }
    }

    /// Whether everything is equal, or a problem.
    pub(super) fn is_settled(&self, trees: &dyn Trees) -> bool {
        let working = !self.observer.is_settled(trees)
            || !self.touched.is_empty()
            || !self.to_read.is_empty()
            || !self.to_send.is_empty()
            || !self.to_send_big.is_empty()
            || !self.to_apply.is_empty()
            || !self.to_apply_big.is_empty()
            || !self.busy.is_empty()
            || self.observer.damages().keys().any(|node| self.holds.trouble(*node).is_none())
            || trees.cursor().is_none();
        if working {
            return false;
        }
        let mut after = None;
        loop {
            let nodes = trees.differing(after, 256);
            let Some(last) = nodes.last() else { return true };
            if !nodes.iter().all(|node| self.is_told_of(trees, *node)) {
                return false;
            }
            after = Some(*last);
        }
    }

    /// Whether what the node waits for is told of.
    fn is_told_of(&self, trees: &dyn Trees, node: NodeId) -> bool {
        self.holds.trouble(node).is_some()
            || self.absences.is_held(node)
            || self.waits_for_held(trees, node)
            || self.waits_for_trouble(trees, node)
    }

    /// Whether a node above this one, or on its place, has a problem.
    fn waits_for_trouble(&self, trees: &dyn Trees, node: NodeId) -> bool {
        let local = trees.local(node).map(|local| local.parent);
        let remote = trees.remote(node).map(|state| state.place.parent);
        [local, remote].into_iter().flatten().any(|parent| {
            let mut at = parent;
            for _ in 0..CHAIN_MAX {
                if at == NodeId::ROOT {
                    return false;
                }
                if self.holds.trouble(at).is_some() || self.waits_for_held(trees, at) {
                    return true;
                }
                let above = trees.local(at).map(|local| local.parent);
                match above.or_else(|| trees.remote(at).map(|state| state.place.parent)) {
                    Some(parent) => at = parent,
                    None => return false,
                }
            }
            false
        })
    }

    /// Why the node at this path is as it is: a word (`synced`, `sending`, `receiving`, `waiting`, `problem`, `ignored`, `not synced`, `unknown`)
    /// and a sentence.
    pub fn explain(&self, trees: &dyn Trees, path: &[Name]) -> (&'static str, String) {
        if let Some(reason) = self.explain_ignored(trees, path) {
            return ("ignored", reason);
        }
        if let Some(reason) = self.explain_special(trees, path) {
            return ("not synced", reason);
        }
        let here = follow(path, |parent, name| trees.local_child(parent, name));
        let there = follow(path, |parent, name| trees.remote_child(parent, name));
        let is_it = |problem: &EngineProblem| problem.path == super::ignored::display(path);
        if let Some(problem) = self.own_problems(trees).into_iter().find(is_it) {
            return ("problem", format!("{} ({}). {}.", problem.message, problem.code, problem.hint));
        }
        let Some(node) = here.or(there) else {
            return ("unknown", "There is nothing of that name, neither here nor on the server.".into());
        };
        if node == NodeId::ROOT {
            return match self.is_settled(trees) {
                true => ("synced", "Everything in the folder is equal on both sides.".into()),
                false => ("waiting", "Something in the folder is still to be synced.".into()),
            };
        }
        self.explain_node(trees, node)
    }

    /// The same for a node other than the root.
    pub(super) fn explain_node(&self, trees: &dyn Trees, node: NodeId) -> (&'static str, String) {
        if let Some(hold) = self.holds.trouble(node) {
            let problem = problem(trees, node, hold);
            return ("problem", format!("{} ({}). {}.", problem.message, problem.code, problem.hint));
        }
        if self.absences.is_held(node) {
            return (
                "problem",
                "It was deleted here with many others, and waits until you decide: see `skep holds`.".into(),
            );
        }
        let (synced, local, remote) = (trees.synced(node), trees.local(node), trees.remote(node));
        let agreed_here = synced.as_ref().map(|synced| synced.as_local()) == local;
        let agreed_there = synced.as_ref().map(|synced| &synced.state) == remote.as_ref();
        let offline = if self.connected { "" } else { " The server cannot be reached; it goes on when it can." };
        match (agreed_here, agreed_there) {
            (true, true) => ("synced", "It is equal here and on the server.".into()),
            (false, _) if self.observer.is_being_written(trees, node) => (
                "waiting",
                "A program is writing it. It is sent when the program closes it, or pauses for a while.".into(),
            ),
            (false, _) if self.observer.is_reading(node) => ("waiting", "It is being read.".into()),
            (false, true) => ("sending", format!("It changed here and is on its way to the server.{offline}")),
            (true, false) => ("receiving", format!("It changed on the server and is on its way here.{offline}")),
            (false, false) => ("waiting", format!("It changed here and on the server.{offline}")),
        }
    }
}

pub(super) fn follow(path: &[Name], child: impl Fn(NodeId, &Name) -> Option<NodeId>) -> Option<NodeId> {
    path.iter().try_fold(NodeId::ROOT, child)
}

impl Engine {
    /// Damaged files that will be repaired. What keeps them from it is told by itself.
    fn damage_problems(&self, trees: &dyn Trees) -> Vec<EngineProblem> {
        let damages = self.observer.damages().keys().filter(|node| self.holds.trouble(**node).is_none());
        let problem = |node: &NodeId| {
            let path = path_of(trees, *node);
            EngineProblem {
                node: *node,
                message: format!("`{path}` was damaged by this disk: its bytes changed though nobody wrote to it"),
                path,
                code: "E-DISK-DAMAGE",
                hint: "The server's version is on its way; the damaged bytes go to `.skep/trash`. Check this disk"
                    .into(),
                since: trees.last_step().unwrap_or_default(),
                needs_person: false,
            }
        };
        damages.map(problem).collect()
    }

    /// Whether the file holds something else than it should, though nobody changed it.
    pub fn is_damaged(&self, node: NodeId) -> bool {
        self.observer.damage(node).is_some()
    }
}

fn problem(trees: &dyn Trees, node: NodeId, hold: &Hold) -> EngineProblem {
    let trouble = hold.trouble.expect("only holds with a trouble are reported");
    let path = path_of(trees, node);
    let detail = if hold.detail.is_empty() { String::new() } else { format!(": {}", hold.detail) };
    let subject = if path.is_empty() { "The synced folder itself".to_owned() } else { format!("`{path}`") };
    let message = format!("{subject} {}{detail}", trouble.message);
    EngineProblem {
        node,
        path,
        code: trouble.code,
        message,
        hint: trouble.hint.into(),
        since: hold.since,
        needs_person: trouble.needs_person,
    }
}

/// The path of a node, for people.
fn path_of(trees: &dyn Trees, node: NodeId) -> String {
    let shape = Shape::default();
    let place = trees
        .local(node)
        .map(|local| (local.parent, local.name))
        .or_else(|| trees.remote(node).map(|state| (state.place.parent, state.place.name)))
        .or_else(|| trees.synced(node).map(|synced| (synced.state.place.parent, synced.state.place.name)));
    match place {
        None => String::new(),
        Some((parent, name)) => match shape.location(trees, parent, &name) {
            Some(location) => location.display(),
            None => name.display().into_owned(),
        },
    }
}
