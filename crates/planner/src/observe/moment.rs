//! What a program does to a file in the very moment in which it is put there, renamed or displaced leaves no trace in its stat if it
//! restores size and mtime: the clock that stamps changes has ticks of some milliseconds. The hint that bytes were written tells;
//! where no hints come, the file is read once more.

use skep_types::{Change, Content, ContentId, Limits, Name, NodeId, NodeState, Stat};

use super::{Observer, age_ms};
use crate::Effect;
use crate::trees::Trees;

/// A place that a file left in a rename of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    node: NodeId,
    at_ms: u64,
}

/// Versions of a node that are remembered while it is not known which of them the disk shows.
const PASSED_MAX: usize = 64;

/// A file that we displaced: what was expected there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Displaced {
    pub(crate) expected: Stat,
    pub(crate) content: ContentId,
    pub(crate) at_ms: u64,
}

impl Observer {
    /// A program wrote bytes there: if we displaced a file there a moment ago, it may have been that one.
    pub(crate) fn check_displaced(&mut self, dir: NodeId, name: &Name, change: Change) -> Option<Effect> {
        if !change.is_of_bytes() || self.displaced.is_empty() {
            return None;
        }
        let Displaced { expected, content, .. } = self.displaced.remove(&(dir, name.clone()))?;
        self.checks += 1;
        Some(Effect::CheckDisplaced { expected, content })
    }

    /// We displaced a file there.
    pub(crate) fn displaced(&mut self, dir: NodeId, name: &Name, displaced: Displaced) -> Option<Effect> {
        self.displaced.insert((dir, name.clone()), displaced);
        let waiting = self.dirty.get(&dir).and_then(|dirty| dirty.names.get(name)).copied();
        let may_lack_hints = self.unhinted.contains(&dir) || self.doubt_since.is_some();
        self.check_displaced(dir, name, if may_lack_hints { Change::Bytes } else { waiting? })
    }

    /// The program begins, and had ended while something was applied to this node: hints of what was written to the displaced file are lost.
    pub(crate) fn check_interrupted(&mut self, trees: &dyn Trees, node: NodeId) -> Option<Effect> {
        let local = trees.local(node)?;
        let content = local.file()?.id;
        self.checks += 1;
        Some(Effect::CheckDisplaced { expected: local.stat, content })
    }

    /// Hints were lost: all that was displaced a moment ago is read.
    pub(crate) fn check_all_displaced(&mut self) -> Vec<Effect> {
        let displaced = std::mem::take(&mut self.displaced).into_values();
        let checks: Vec<Effect> =
            displaced.map(|Displaced { expected, content, .. }| Effect::CheckDisplaced { expected, content }).collect();
        self.checks += checks.len();
        checks
    }

    /// A displaced file was read.
    pub(crate) fn came_back(&mut self, names: Vec<Name>) {
        self.checks = self.checks.saturating_sub(1);
        for name in names {
            self.hint(NodeId::ROOT, name, Change::Bytes);
        }
    }

    /// The journal goes on from a version of the node, and it is not known yet whether the disk shows that one: it may have been applied
    /// before a power cut took the state back. The first is stored, the others are remembered until the file is read.
    pub(crate) fn pass_by(&mut self, trees: &mut dyn Trees, version: NodeState) {
        let node = version.node;
        if trees.applying(node).is_none() {
            return trees.set_applying(node, Some(version));
        }
        let passed = self.passed.entry(node).or_default();
        if passed.len() < PASSED_MAX {
            passed.push(version);
        }
    }

    /// The version of the node that was, or may have been, applied without its result being stored, if one of them holds this.
    pub(crate) fn applied_version(&self, trees: &dyn Trees, node: NodeId, content: &Content) -> Option<NodeState> {
        let stored = trees.applying(node).into_iter();
        let mut versions = stored.chain(self.passed.get(&node).into_iter().flatten().cloned());
        versions.find(|version| version.content.same_bytes(content))
    }

    /// What the disk shows of the node is known.
    pub(crate) fn forget_versions(&mut self, trees: &mut dyn Trees, node: NodeId) {
        self.passed.remove(&node);
        trees.set_applying(node, None);
    }

    /// Forgets moments that are too long ago for a hint.
    pub(super) fn forget_moments(&mut self) {
        let (now_ms, late_ms) = (self.at_ms, self.limits.hint_late_ms);
        self.left.retain(|_, left| left.at_ms + late_ms > now_ms);
        self.displaced.retain(|_, displaced| displaced.at_ms + late_ms > now_ms);
    }

    /// A program hints at bytes that were written: if we took the file from there a moment ago, it may be that one.
    pub(crate) fn hint_follows(&mut self, trees: &dyn Trees, dir: NodeId, name: &Name, change: Change) {
        let left = self.left.get(&(dir, name.clone())).copied().filter(|_| change.is_of_bytes());
        if let Some(local) = left.and_then(|left| trees.local(left.node)) {
            self.hint(local.parent, local.name, change);
        }
    }

    /// We took the file from there a moment ago: what is hinted of that place, now or soon, may be of the file.
    pub(crate) fn took(&mut self, trees: &dyn Trees, node: NodeId, dir: NodeId, name: &Name) {
        self.left.insert((dir, name.clone()), Left { node, at_ms: self.at_ms });
        let waiting = self.dirty.get(&dir).and_then(|dirty| dirty.names.get(name)).copied();
        if let Some(change) = waiting {
            self.hint_follows(trees, dir, name, change);
        }
    }

    /// Whether the file at this stat could change once more without a trace but a hint, and until when, if so.
    pub(crate) fn is_young(&mut self, node: NodeId, stat: &Stat) -> bool {
        let racy_ms = racy_ms(stat, &self.limits);
        let is_young = age_ms(self.now, stat).is_some_and(|age| age < racy_ms);
        if is_young {
            self.young.insert(node, self.at_ms + racy_ms);
        }
        is_young
    }

    /// When the first file that was young is so no more.
    pub(crate) fn next_grown(&self) -> Option<u64> {
        self.young.values().copied().min()
    }

    /// Whether no hint would tell of a change of the node's bytes.
    pub(super) fn is_unhinted(&self, trees: &dyn Trees, node: NodeId) -> bool {
        trees.local(node).is_some_and(|local| self.unhinted.contains(&local.parent))
    }

    /// The file was put there, and its stat taken, by us: a change in the same tick of the clock is told by a hint, if by anything.
    pub(crate) fn put_there(&mut self, trees: &dyn Trees, node: NodeId) {
        if let Some(local) = trees.local(node).filter(|_| self.is_unhinted(trees, node)) {
            self.racy.insert(node, self.at_ms + racy_ms(&local.stat, &self.limits));
        }
    }
}

/// How long a further change may leave the ctime as it is. Clocks of file systems that count whole seconds, or pairs of them, show it by their numbers:
/// of any other clock, one stamp in a billion looks so.
pub(super) fn racy_ms(stat: &Stat, limits: &Limits) -> u64 {
    match (stat.ctime.nanoseconds, stat.ctime.seconds % 2) {
        (0, 0) => limits.racy_ms.max(2_000),
        (0, _) => limits.racy_ms.max(1_000),
        _ => limits.racy_ms,
    }
}
