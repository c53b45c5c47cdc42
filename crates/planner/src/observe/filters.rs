//! What is not synced, as far as it is known: the rules of each directory, and what they were found to concern.
//!
//! Rules come with the look at their directory, before its other entries are taken in, and a directory is looked at only when the rules
//! above it are known. So nothing is sent for a moment that the rules will ignore. An ignore file that changes is believed when it has held
//! still for a moment (a program that saves it may empty it first); until then, what is new is ignored if the old *or* the new rules say so.
//!
//! Ignored is not deleted. What is ignored is not in Local. A node that was in all three trees and is ignored from now on is *let go*: it
//! stays in Remote only, where it rests, and on the disk. When the rule goes, both meet as they do in a join.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_types::{Kind, Name, NodeId, NodeState, product};

use super::{Findings, Observer};
use crate::ignore::{Filter, IgnoreReason, IgnoreRules, built_in, is_ignore_file};
use crate::trees::{CHAIN_MAX, LIMBO, Trees};
use crate::{IgnoreFault, Sight};

/// What is told of an ignore file whose text is not known.
const UNREADABLE: IgnoreFault = IgnoreFault { line: 0, what: "it cannot be read" };

/// An ignore file that has just changed.
#[derive(Debug)]
struct Changing {
    rules: Arc<IgnoreRules>,
    since_ms: u64,
}

/// All that is known.
#[derive(Debug)]
pub(crate) struct Filters {
    built_in: Arc<IgnoreRules>,
    /// Of directories that hold an ignore file.
    rules: BTreeMap<NodeId, Arc<IgnoreRules>>,
    changing: BTreeMap<NodeId, Changing>,
    /// Directories whose ignore file could not be read.
    unreadable: BTreeSet<NodeId>,
    /// Directories of which it is known whether they hold an ignore file, and which.
    known: BTreeSet<NodeId>,
    /// What is ignored in each directory.
    ignored: BTreeMap<NodeId, BTreeMap<Name, Option<Kind>>>,
    /// How many entries these are.
    ignored_count: u64,
    /// Directories that a person wants not to be here.
    deselected: BTreeSet<NodeId>,
    /// How often that had been changed, ever, when it was told last.
    selection_changes: u64,
    /// What is missing may be so because the selection changed: until all was looked at, its absence is no deletion. The number of the change.
    distrusts_until: Option<u64>,
    /// Nodes of Remote that were left out, by their directory.
    left_out: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

/// The rules that count for the entries of a directory.
#[derive(Debug)]
pub(super) struct Rules {
    now: Filter,
    /// Once the ignore files that have just changed are believed; `None`: there are none.
    next: Option<Filter>,
}

impl Filters {
    /// Only what is built in.
    pub(super) fn new() -> Filters {
        Filters {
            built_in: Arc::new(built_in()),
            rules: BTreeMap::new(),
            changing: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            known: BTreeSet::new(),
            ignored: BTreeMap::new(),
            ignored_count: 0,
            deselected: BTreeSet::new(),
            selection_changes: 0,
            distrusts_until: None,
            left_out: BTreeMap::new(),
        }
    }

    /// The name of ignore files.
    pub(crate) fn file_name() -> Name {
        Name::try_from(product::IGNORE_FILE).expect("a short text without separators is a name")
    }

    /// Takes up what was left out before.
    pub(super) fn start(&mut self, trees: &dyn Trees) {
        for node in trees.left_out() {
            if let Some(state) = trees.remote(node) {
                self.leave_out(&state);
            }
        }
    }

    /// Directories that a person wants not to be here.
    pub(crate) fn deselected(&self) -> &BTreeSet<NodeId> {
        &self.deselected
    }

    /// Whether absence says nothing now.
    pub(super) fn distrust_absence(&self) -> bool {
        self.distrusts_until.is_some()
    }

    /// A node of Remote is left out.
    pub(crate) fn leave_out(&mut self, state: &NodeState) {
        self.left_out.entry(state.place.parent).or_default().insert(state.node);
    }

    /// Whether the rules of the directory itself are known.
    pub(super) fn know(&self, dir: NodeId) -> bool {
        self.known.contains(&dir)
    }

    /// Whether the rules of the directories above are known. (Those of the next one are known only if all others are.)
    pub(super) fn know_above(&self, trees: &dyn Trees, dir: NodeId) -> bool {
        dir == NodeId::ROOT
            || trees.local(dir).is_none_or(|local| local.parent == LIMBO || self.known.contains(&local.parent))
    }

    /// The directory cannot be looked at: whatever rules are in it, what is beneath need not wait for them.
    pub(super) fn cannot_know(&mut self, dir: NodeId) {
        self.known.insert(dir);
    }

    /// Whether ignore files have changed and are not believed yet.
    pub(super) fn are_changing(&self) -> bool {
        !self.changing.is_empty()
    }

    /// Whether the ignore file of the directory has changed and is not believed yet.
    pub(crate) fn is_changing(&self, dir: NodeId) -> bool {
        self.changing.contains_key(&dir)
    }

    /// Whether any directory has rules.
    pub(crate) fn are_any(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether an entry was ignored when its directory was looked at.
    pub(crate) fn is_ignored_entry(&self, dir: NodeId, name: &Name) -> bool {
        self.ignored.get(&dir).is_some_and(|ignored| ignored.contains_key(name))
    }

    /// What an ignored entry was when its directory was looked at.
    pub(crate) fn kind_of_ignored(&self, dir: NodeId, name: &Name) -> Option<Kind> {
        self.ignored.get(&dir)?.get(name).copied().flatten()
    }

    /// Whether anything in the directory itself was ignored when it was looked at.
    pub(crate) fn has_ignored(&self, dir: NodeId) -> bool {
        self.ignored.contains_key(&dir)
    }

    /// How many entries of all directories are ignored. An ignored directory counts as one.
    pub(crate) fn count_ignored(&self) -> u64 {
        self.ignored_count
    }

    /// What is ignored, by directory.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = (NodeId, &Name, Option<Kind>)> {
        self.ignored.iter().flat_map(|(dir, ignored)| ignored.iter().map(|(name, kind)| (*dir, name, *kind)))
    }

    /// Lines of ignore files that are no rules, by directory.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (NodeId, &IgnoreFault)> {
        let lines = self.rules.iter().flat_map(|(dir, rules)| rules.faults().iter().map(|fault| (*dir, fault)));
        lines.chain(self.unreadable.iter().map(|dir| (*dir, &UNREADABLE)))
    }

    /// Takes the rules of a directory from a look.
    pub(super) fn read_rules(&mut self, dir: NodeId, is_whole: bool, sights: &[Sight], at_ms: u64) {
        let sight = sights.iter().find(|sight| is_ignore_file(&sight.name));
        if sight.is_none() && !is_whole {
            return;
        }
        let is_file = sight.and_then(|sight| sight.stat?.kind) == Some(Kind::File);
        let text = sight.and_then(|sight| sight.text.as_deref());
        if is_file && text.is_none() {
            // The rules that were known still count.
            self.unreadable.insert(dir);
            self.known.insert(dir);
            return;
        }
        self.unreadable.remove(&dir);
        let rules = Arc::new(text.map(IgnoreRules::parse).unwrap_or_default());
        if self.known.insert(dir) {
            return self.believe(dir, rules);
        }
        let is_new = match (self.changing.get(&dir), self.rules.get(&dir)) {
            (Some(changing), _) => changing.rules != rules,
            (None, Some(known)) => *known != rules,
            (None, None) => !rules.is_empty(),
        };
        if is_new {
            self.changing.insert(dir, Changing { rules, since_ms: at_ms });
        }
    }

    fn believe(&mut self, dir: NodeId, rules: Arc<IgnoreRules>) {
        if rules.is_empty() {
            self.rules.remove(&dir);
        } else {
            self.rules.insert(dir, rules);
        }
    }

    /// The directory is looked at as a whole: what is ignored in it is seen anew.
    pub(super) fn look_through(&mut self, dir: NodeId) {
        let before = self.ignored.remove(&dir);
        self.ignored_count -= before.map_or(0, |ignored| ignored.len() as u64);
    }

    fn set_ignored(&mut self, dir: NodeId, name: &Name, kind: Option<Kind>) {
        if self.ignored.entry(dir).or_default().insert(name.clone(), kind).is_none() {
            self.ignored_count += 1;
        }
    }

    fn set_counting(&mut self, dir: NodeId, name: &Name) {
        if let Some(ignored) = self.ignored.get_mut(&dir) {
            if ignored.remove(name).is_some() {
                self.ignored_count -= 1;
            }
            if ignored.is_empty() {
                self.ignored.remove(&dir);
            }
        }
    }

    /// The directory is not on this disk any more.
    pub(super) fn forget(&mut self, dir: NodeId) {
        self.rules.remove(&dir);
        self.changing.remove(&dir);
        self.unreadable.remove(&dir);
        self.known.remove(&dir);
        self.look_through(dir);
    }

    /// The directory became another node.
    pub(super) fn renamed(&mut self, old: NodeId, new: NodeId) {
        let (rules, ignored) = (self.rules.remove(&old), self.ignored.remove(&old));
        self.look_through(new);
        self.rules.extend(rules.map(|rules| (new, rules)));
        self.ignored.extend(ignored.map(|ignored| (new, ignored)));
        if self.known.remove(&old) {
            self.known.insert(new);
        }
        self.forget_changing(old);
    }

    fn forget_changing(&mut self, dir: NodeId) {
        self.changing.remove(&dir);
        self.unreadable.remove(&dir);
    }

    /// The rules for the entries of a directory.
    pub(super) fn rules_for(&self, trees: &dyn Trees, dir: NodeId) -> Rules {
        let now = self.filter(trees, dir);
        let next = (!self.changing.is_empty()).then(|| {
            let changed = |dir: NodeId| match self.changing.get(&dir) {
                Some(changing) => Some(&changing.rules),
                None => self.rules.get(&dir),
            };
            self.collect(trees, dir, changed)
        });
        Rules { now, next }
    }

    /// The rules for the entries of a directory, as they are believed now.
    pub(crate) fn filter(&self, trees: &dyn Trees, dir: NodeId) -> Filter {
        if self.rules.is_empty() {
            return self.collect(trees, NodeId::ROOT, |_| None);
        }
        self.collect(trees, dir, |dir| self.rules.get(&dir))
    }

    fn collect<'a>(
        &self,
        trees: &dyn Trees,
        dir: NodeId,
        rules_of: impl Fn(NodeId) -> Option<&'a Arc<IgnoreRules>>,
    ) -> Filter {
        let mut filter = Filter::default();
        let mut path: Vec<Name> = Vec::new();
        let mut at = dir;
        for _ in 0..CHAIN_MAX {
            if let Some(rules) = rules_of(at) {
                filter.add(Some(at), rules.clone(), path.iter().rev().cloned().collect());
            }
            let Some((parent, name)) = place(trees, at) else { break };
            path.push(name);
            at = parent;
        }
        filter.add(None, self.built_in.clone(), Vec::new());
        filter
    }

    /// Whether the same rules say the same of what lies beneath a directory when it moves. Of one that was pushed from its place it is not
    /// known any more which counted there.
    pub(crate) fn rules_stay(&self, trees: &dyn Trees, dir: NodeId, to: NodeId) -> bool {
        if self.rules.is_empty() {
            return true;
        }
        let Some(local) = trees.local(dir).filter(|local| local.parent != LIMBO) else { return false };
        let (before, after) = (self.rules_above(trees, local.parent), self.rules_above(trees, to));
        before == after && !before.iter().any(|dir| self.rules[dir].go_by_paths())
    }

    fn rules_above(&self, trees: &dyn Trees, dir: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut at = Some(dir);
        while let Some(dir) = at
            && found.len() < CHAIN_MAX
        {
            if self.rules.contains_key(&dir) {
                found.push(dir);
            }
            at = place(trees, dir).map(|(parent, _)| parent);
        }
        found
    }

    /// The rule that decides on a node of Remote at its place there, if one does. What lies above it is another question.
    pub(crate) fn reason(&self, trees: &dyn Trees, state: &NodeState) -> Option<IgnoreReason> {
        self.filter(trees, state.place.parent).reason(&state.place.name, Some(state.kind()))
    }
}

/// The directory of a directory, and its name there: on this disk, or else on the server.
fn place(trees: &dyn Trees, dir: NodeId) -> Option<(NodeId, Name)> {
    if dir == NodeId::ROOT {
        return None;
    }
    match trees.local(dir) {
        Some(local) => (local.parent != LIMBO).then_some((local.parent, local.name)),
        None => trees.remote(dir).map(|state| (state.place.parent, state.place.name)),
    }
}

impl Observer {
    /// Ignore files that have held still are believed. Returns when the next one will be.
    pub(super) fn settle_rules(&mut self) -> Option<u64> {
        let (quiet_ms, at_ms) = (self.limits.delete_quiet_ms, self.at_ms);
        let due = |changing: &Changing| changing.since_ms + quiet_ms;
        let held_still: Vec<NodeId> =
            self.filters.changing.iter().filter(|(_, changing)| due(changing) <= at_ms).map(|(dir, _)| *dir).collect();
        for dir in held_still {
            let Some(changing) = self.filters.changing.remove(&dir) else { continue };
            self.filters.believe(dir, changing.rules);
            // Also if they are those of before again: what was new meanwhile may have been ignored by others that came and went.
            self.dirty.entry(dir).or_default().deep = true;
        }
        self.filters.changing.values().map(due).min()
    }

    /// Takes an entry that does not count, if the rules say so. What is in Local already is let go only by rules that are believed.
    pub(super) fn see_ignored(
        &mut self,
        trees: &mut dyn Trees,
        dir: NodeId,
        sight: &Sight,
        rules: &Rules,
        findings: &mut Findings,
    ) -> bool {
        let Some(stat) = sight.stat else {
            self.filters.set_counting(dir, &sight.name);
            return false;
        };
        // A directory of ours is one for the rules, which can end the notice of it.
        let kind = stat.kind.or(sight.own.map(|_| Kind::Directory));
        let is_ignored = rules.now.ignores(&sight.name, kind);
        let will_be = || rules.next.as_ref().is_some_and(|next| next.ignores(&sight.name, kind));
        // Nearly no entry is ignored: only for one that may be is it asked what stands there.
        let is_out = is_ignored || (will_be() && trees.local_child(dir, &sight.name).is_none());
        if !is_out {
            self.filters.set_counting(dir, &sight.name);
            return false;
        }
        self.filters.set_ignored(dir, &sight.name, kind);
        if let Some(node) = trees.local_child(dir, &sight.name) {
            match trees.local(node).is_some_and(|local| Some(local.kind()) == kind) {
                true => self.let_go(trees, node, findings),
                // What was here is gone; that something ignored took its place says nothing else.
                false => self.displace(trees, node, findings),
            }
        }
        true
    }

    /// A node, with all beneath it, counts no more here: it stays on the disk and on the server.
    fn let_go(&mut self, trees: &mut dyn Trees, node: NodeId, findings: &mut Findings) {
        let mut left = vec![node];
        while let Some(node) = left.pop() {
            left.extend(trees.local_children(node).into_iter().map(|(_, child)| child));
            trees.set_local(node, None);
            trees.set_synced(node, None);
            trees.set_offered(node, false);
            self.forget_versions(trees, node);
            self.forget_missing(node);
            self.forget_directory(node);
            self.dirty.remove(&node);
            self.busy.remove(&node);
            self.racy.remove(&node);
            self.young.remove(&node);
            if self.special.remove(&node) {
                findings.plain.push(node);
            }
            findings.listed.push(node);
            findings.changed.insert(node);
            // What is only on the server beneath it is left out with it.
            findings.touched.insert(node);
            findings.touched.extend(trees.remote_children(node));
        }
    }

    /// A person selected directories anew. What the trees know from before such a change, they may know from before the files went or came: at
    /// the start, absence is then no evidence.
    pub(crate) fn select(
        &mut self,
        trees: &mut dyn Trees,
        outside: BTreeSet<NodeId>,
        changes: u64,
        findings: &mut Findings,
    ) {
        if changes < self.filters.selection_changes {
            // A newer choice was told before this one.
            return;
        }
        self.filters.selection_changes = changes;
        let before = std::mem::replace(&mut self.filters.deselected, outside);
        let is_at_start = self.seen.is_empty() && self.looks.is_empty() && self.dirty.is_empty();
        let has_changed = trees.selection_changes() != changes;
        if is_at_start && has_changed {
            self.filters.distrusts_until = Some(changes);
        } else if !self.filters.distrust_absence() {
            trees.set_selection_changes(changes);
        }
        let after = self.filters.deselected.clone();
        findings.touched.extend(after.difference(&before).copied());
        for node in before.difference(&after) {
            self.wake_selected(trees, *node, findings);
        }
        if is_at_start && has_changed {
            // It may have been changed while nobody looked.
            for node in trees.left_out().into_iter().filter(|node| !after.contains(node)) {
                self.wake_selected(trees, node, findings);
            }
        }
    }

    /// A directory was moved on the server: what was left out beneath it is considered again.
    pub(crate) fn wake_beneath(&mut self, trees: &mut dyn Trees, dir: NodeId, touched: &mut BTreeSet<NodeId>) {
        let is_beneath = |above: &NodeId| {
            let mut at = *above;
            for _ in 0..CHAIN_MAX {
                match trees.remote(at) {
                    _ if at == dir => return true,
                    Some(state) => at = state.place.parent,
                    None => return false,
                }
            }
            false
        };
        let dirs: Vec<NodeId> = self.filters.left_out.keys().copied().filter(is_beneath).collect();
        for node in dirs.into_iter().filter_map(|dir| self.filters.left_out.remove(&dir)).flatten() {
            if trees.rests(node) {
                wake(trees, node, touched);
            }
        }
    }

    fn wake_selected(&mut self, trees: &mut dyn Trees, node: NodeId, findings: &mut Findings) {
        for nodes in self.filters.left_out.values_mut() {
            nodes.remove(&node);
        }
        wake(trees, node, &mut findings.touched);
    }

    /// All was looked at since the selection changed.
    pub(super) fn trust_absence(&mut self, trees: &mut dyn Trees) {
        if !self.seen.is_empty()
            && self.missing.is_empty()
            && self.doubt_since.is_none()
            && !self.is_looking()
            && let Some(changes) = self.filters.distrusts_until.take()
        {
            trees.set_selection_changes(changes);
        }
    }

    /// What was left out in a directory is considered again, if nothing speaks against it any more.
    pub(super) fn wake_left_out(&mut self, trees: &mut dyn Trees, dir: NodeId, findings: &mut Findings) {
        let Some(nodes) = self.filters.left_out.remove(&dir) else { return };
        for node in nodes {
            let Some(state) = trees.remote(node).filter(|_| trees.rests(node)) else { continue };
            if state.place.parent != dir {
                continue;
            }
            let is_ignored = self.filters.reason(trees, &state).is_some_and(|reason| reason.ignored);
            if is_ignored || self.filters.deselected.contains(&node) {
                self.filters.leave_out(&state);
            } else {
                wake(trees, node, &mut findings.touched);
            }
        }
    }
}

/// A node and all beneath it that rest are considered again.
fn wake(trees: &mut dyn Trees, node: NodeId, touched: &mut BTreeSet<NodeId>) {
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        trees.rest(node, false);
        touched.insert(node);
        left.extend(trees.remote_children(node));
    }
}
