//! Nodes that were found gone, though nobody saw them go.
//!
//! A deletion that the watcher told of goes to the server at once. What a look merely did not find any more may be a mistake: a disk
//! that lost its files, a program that emptied the folder while nobody watched, a wrong restore. Such absences are kept in the trees,
//! and judged together when everything was looked at: a few are sent, many wait for a person, as one hold.
//!
//! Invariant: what is not in here was seen to go. A held node is not sent until a person approved of this very hold.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Evidence, Kind, Limits, NodeId, Timestamp};

use crate::trees::{CHAIN_MAX, Trees};

/// When not everything can be looked at, because programs never pause, absences are judged after this time all the same.
const VERDICT_WAIT_MS: u64 = 30_000;
/// Directories that a hold tells of. One with more tells of these first.
const PLACES_MAX: usize = 100;

/// What is known of a node that was found gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// When that was found.
    pub since: Timestamp,
    /// How.
    pub found: Found,
    /// What came of it.
    pub stage: Stage,
}

/// How a node was found gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// By the first look at everything after a start: it went while the program was off.
    AtStart,
    /// By a later look, without a word from the watcher.
    InScan,
}

/// How far an absence was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not yet.
    Open,
    /// There are few of them: they go.
    Cleared,
    /// There are many: they wait for a person.
    Held,
    /// A person wants them gone.
    Approved,
}

/// Names one hold as it is: another number, other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldId(pub u128);

/// Deletions that look like a mistake and wait for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionHold {
    /// Which hold.
    pub id: HoldId,
    /// Since when it waits.
    pub since: Timestamp,
    /// How the nodes were found gone; of several ways, the first.
    pub found: Found,
    /// Files and symlinks.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Files that the folder should hold, those of the hold among them.
    pub folder_files: u64,
    /// Where they were: a directory that is gone, or one out of which something is gone; with the number of files. The most first.
    pub places: Vec<(String, u64)>,
}

impl DeletionHold {
    /// The part of the folder that is gone, in percent.
    pub fn percent(&self) -> u64 {
        self.files.saturating_mul(100) / self.folder_files.max(1)
    }
}

/// What a person wants done with held deletions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldDecision {
    /// They are meant: the server is to follow.
    Approve,
    /// They are a mistake: the files come back to this disk.
    BringBack,
}

/// Whether a deletion may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// It is not judged yet.
    Waits,
    /// A person is needed.
    Held,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    absence: Absence,
    parent: NodeId,
    kind: Kind,
}

impl Known {
    fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// All absences, as the trees keep them.
#[derive(Debug, Default)]
pub(crate) struct Absences {
    nodes: BTreeMap<NodeId, Known>,
    /// Directories above nodes that wait: who deletes such a directory deletes them.
    above: BTreeMap<NodeId, Stage>,
    /// The last absence was found at this time.
    found_at_ms: u64,
    /// The files that the folder held when the first of them was found gone: what came since is no part of what they are a part of.
    held_then: u64,
    /// Some stage changed since the places were counted.
    is_stale: bool,
    hold: Option<DeletionHold>,
}

impl Absences {
    /// Takes what the trees keep: after a start.
    pub(crate) fn load(&mut self, trees: &dyn Trees, at_ms: u64) {
        *self = Absences { found_at_ms: at_ms, held_then: trees.totals().0, ..Absences::default() };
        for (node, absence) in trees.absences() {
            self.keep(trees, node, absence);
        }
        self.refresh(trees);
    }

    fn keep(&mut self, trees: &dyn Trees, node: NodeId, absence: Absence) {
        let Some(state) = trees.remote(node) else { return };
        self.nodes.insert(node, Known { absence, parent: state.place.parent, kind: state.kind() });
        self.is_stale = true;
    }

    /// These nodes were found gone. What was never agreed on with the server is no deletion.
    pub(crate) fn found(&mut self, trees: &mut dyn Trees, nodes: Vec<NodeId>, absence: Absence, at_ms: u64) {
        if self.nodes.is_empty() && absence.found == Found::InScan {
            self.held_then = trees.totals().0;
        }
        for node in nodes {
            if is_deletion(trees, node) {
                trees.set_absence(node, Some(absence));
                self.keep(trees, node, absence);
                self.found_at_ms = at_ms;
            }
        }
        self.refresh(trees);
    }

    /// Forgets those of `nodes` that are no deletions any more.
    pub(crate) fn review<'a>(&mut self, trees: &mut dyn Trees, nodes: impl IntoIterator<Item = &'a NodeId>) {
        if self.nodes.is_empty() {
            return;
        }
        let over: Vec<NodeId> = nodes
            .into_iter()
            .filter(|node| self.nodes.contains_key(node) && !is_deletion(trees, **node))
            .copied()
            .collect();
        for node in &over {
            self.nodes.remove(node);
            trees.set_absence(*node, None);
        }
        self.is_stale |= !over.is_empty();
        self.refresh(trees);
    }

    /// Whether the deletion of this node may be sent.
    pub(crate) fn gate(&self, node: NodeId) -> Gate {
        let own = self.nodes.get(&node).map_or(Stage::Cleared, |known| known.absence.stage);
        let beneath = self.above.get(&node).copied().unwrap_or(Stage::Cleared);
        match (own, beneath) {
            (Stage::Held, _) | (_, Stage::Held) => Gate::Held,
            (Stage::Open, _) | (_, Stage::Open) => Gate::Waits,
            _ => Gate::Open,
        }
    }

    /// Whether the node waits for a person.
    pub(crate) fn is_held(&self, node: NodeId) -> bool {
        self.gate(node) == Gate::Held
    }

    /// Whether some are not judged yet.
    pub(crate) fn has_open(&self) -> bool {
        self.nodes.values().any(|known| known.absence.stage == Stage::Open)
    }

    /// When they are judged whatever else goes on.
    pub(crate) fn verdict_due_ms(&self) -> u64 {
        self.found_at_ms + VERDICT_WAIT_MS
    }

    /// Judges what is open. Gives back the nodes that may go on, or wait from now on.
    pub(crate) fn judge(&mut self, trees: &mut dyn Trees, limits: &Limits) -> Vec<NodeId> {
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.review(trees, &nodes);
        let waits = |known: &&Known| matches!(known.absence.stage, Stage::Open | Stage::Held);
        let (files, folder_files) = self.count_files(trees, self.nodes.values().filter(waits));
        let is_part = files.saturating_mul(100) > folder_files.saturating_mul(limits.hold_percent);
        let stage = if files > limits.hold_files && is_part { Stage::Held } else { Stage::Cleared };
        let is_open = |known: &Known| known.absence.stage == Stage::Open;
        let open: Vec<NodeId> = self.nodes.iter().filter(|(_, known)| is_open(known)).map(|(node, _)| *node).collect();
        self.set_stage(trees, &open, stage);
        open
    }

    fn set_stage(&mut self, trees: &mut dyn Trees, nodes: &[NodeId], stage: Stage) {
        for node in nodes {
            if let Some(known) = self.nodes.get_mut(node) {
                known.absence.stage = stage;
                trees.set_absence(*node, Some(known.absence));
            }
        }
        self.is_stale = true;
        self.refresh(trees);
    }

    /// Carries out what a person decided of the hold, or of the part of it at and beneath `under`. Gives back the nodes to be considered.
    pub(crate) fn decide(
        &mut self,
        trees: &mut dyn Trees,
        id: HoldId,
        under: Option<NodeId>,
        decision: HoldDecision,
    ) -> Vec<NodeId> {
        if self.hold.as_ref().is_none_or(|hold| hold.id != id) {
            return Vec::new();
        }
        let held = self.held_beneath(trees, under);
        match decision {
            HoldDecision::Approve => self.set_stage(trees, &held, Stage::Approved),
            HoldDecision::BringBack => self.bring_back(trees, &held),
        }
        held.into_iter().chain(self.above.keys().copied()).collect()
    }

    /// The held nodes at and beneath a node.
    fn held_beneath(&self, trees: &dyn Trees, under: Option<NodeId>) -> Vec<NodeId> {
        let held = self.nodes.iter().filter(|(_, known)| known.absence.stage == Stage::Held).map(|(node, _)| *node);
        held.filter(|node| under.is_none_or(|under| self.chain(trees, *node).any(|above| above == under))).collect()
    }

    /// Of these nodes and the directories that they need, nothing is agreed on any more: what the server has is new to this disk.
    fn bring_back(&mut self, trees: &mut dyn Trees, nodes: &[NodeId]) {
        let mut back: BTreeSet<NodeId> = BTreeSet::new();
        for node in nodes {
            // What was put in its place will turn out to be the same thing.
            if stands_for(trees, *node) {
                continue;
            }
            for above in self.chain(trees, *node) {
                if trees.local(above).is_some() || !back.insert(above) {
                    break;
                }
            }
        }
        for node in back {
            self.nodes.remove(&node);
            trees.set_absence(node, None);
            trees.set_offered(node, false);
            trees.set_synced(node, None);
        }
        self.is_stale = true;
        self.refresh(trees);
    }

    /// What the deletions of these nodes rest on; of several, what is the least of a habit.
    pub(crate) fn evidence<'a>(&self, nodes: impl Iterator<Item = &'a NodeId>) -> Evidence {
        let stages = nodes.filter_map(|node| self.nodes.get(node)).map(|known| known.absence.stage);
        match stages.max() {
            Some(Stage::Approved) => Evidence::Approved,
            Some(_) => Evidence::Scan,
            None => Evidence::Events,
        }
    }

    /// The hold, if something is held.
    pub(crate) fn hold(&self) -> Option<&DeletionHold> {
        self.hold.as_ref()
    }

    /// The node and the directories above it, as the server has them.
    fn chain<'a>(&'a self, trees: &'a dyn Trees, node: NodeId) -> impl Iterator<Item = NodeId> + 'a {
        let parent = |node: &NodeId| match self.nodes.get(node) {
            Some(known) => Some(known.parent),
            None => trees.remote(*node).map(|state| state.place.parent),
        };
        let above = std::iter::successors(Some(node), parent).take(CHAIN_MAX);
        above.take_while(|node| *node != NodeId::ROOT)
    }

    /// Counts anew what waits, and where.
    fn refresh(&mut self, trees: &dyn Trees) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let mut above: BTreeMap<NodeId, Stage> = BTreeMap::new();
        for stage in [Stage::Held, Stage::Open] {
            for node in self.nodes.iter().filter(|(_, known)| known.absence.stage == stage).map(|(node, _)| *node) {
                for dir in self.chain(trees, node).skip(1) {
                    if above.contains_key(&dir) {
                        break;
                    }
                    above.insert(dir, stage);
                }
            }
        }
        self.above = above;
        self.hold = self.count(trees);
    }

    fn count(&self, trees: &dyn Trees) -> Option<DeletionHold> {
        let held: BTreeMap<NodeId, Known> = self
            .nodes
            .iter()
            .filter(|(_, known)| known.absence.stage == Stage::Held)
            .map(|(node, known)| (*node, *known))
            .collect();
        let since = held.values().map(|known| known.absence.since).min()?;
        let found = held.values().map(|known| known.absence.found).min()?;
        let (files, folder_files) = self.count_files(trees, held.values());
        let mut places: BTreeMap<NodeId, u64> = BTreeMap::new();
        for (node, known) in &held {
            let mut place = if known.is_directory() { *node } else { known.parent };
            for _ in 0..CHAIN_MAX {
                match held.get(&place) {
                    Some(known) if held.contains_key(&known.parent) => place = known.parent,
                    _ => break,
                }
            }
            *places.entry(place).or_default() += u64::from(!known.is_directory());
        }
        let mut places: Vec<(NodeId, u64)> = places.into_iter().collect();
        places.sort_by_key(|(node, files)| (std::cmp::Reverse(*files), *node));
        places.truncate(PLACES_MAX);
        Some(DeletionHold {
            id: HoldId(held.keys().fold(0, |sum, node| sum ^ u128::from_be_bytes(*node.as_bytes()))),
            since,
            found,
            files,
            directories: held.len() as u64 - files,
            folder_files,
            places: places.into_iter().map(|(node, files)| (self.path(trees, node), files)).collect(),
        })
    }

    /// Files and symlinks among these, and those that the folder should hold, these among them: the trees count regular files only.
    fn count_files<'a>(&self, trees: &dyn Trees, known: impl Iterator<Item = &'a Known>) -> (u64, u64) {
        let (mut files, mut regular) = (0, 0);
        for known in known {
            files += u64::from(!known.is_directory());
            regular += u64::from(known.kind == Kind::File);
        }
        // One that was never agreed on is not counted in the totals.
        (files, trees.totals().0.min(self.held_then).max(regular) + files - regular)
    }

    fn path(&self, trees: &dyn Trees, node: NodeId) -> String {
        let name = |node: NodeId| trees.remote(node).map(|state| state.place.name.display().into_owned());
        let mut names: Vec<String> = self.chain(trees, node).filter_map(name).collect();
        names.reverse();
        names.join("/")
    }
}

/// Whether something of its kind stands where the node was.
fn stands_for(trees: &dyn Trees, node: NodeId) -> bool {
    let Some(state) = trees.remote(node) else { return false };
    let other = trees.local_child(state.place.parent, &state.place.name);
    other.and_then(|other| trees.local(other)).is_some_and(|local| local.kind() == state.kind())
}

/// Whether the node was here, is not any more, and is known to the server.
fn is_deletion(trees: &dyn Trees, node: NodeId) -> bool {
    trees.local(node).is_none() && (trees.synced(node).is_some() || trees.offered(node)) && trees.remote(node).is_some()
}
