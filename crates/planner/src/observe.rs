//! From what was seen on the disk to Local.
//!
//! Hints and scans say where to look; looks say what stands there. Identity: a regular file is what stands at a node's path,
//! whatever its inode, and only when the path stays free is its inode looked for elsewhere (so that the save patterns of editors
//! keep id and history); a directory is its inode first. What vanished is *missing* until enough is known to call it moved or
//! deleted: a place can be empty for a moment, and a move is seen in two halves.

mod see;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Name, NodeId, Stat};

use crate::shape::Shape;
use crate::trees::{LIMBO, Trees};
use crate::{Effect, LookId, ReadError};

/// Looks that are under way at once.
const LOOKS_MAX: usize = 16;

/// What of a directory must be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Dirty {
    /// Everything, and all directories beneath it.
    Deep,
    /// These names.
    Names(BTreeSet<Name>),
}

/// A file that stands where Local knew nothing, with the inode of a node that Local has elsewhere.
#[derive(Debug, Clone)]
struct Arrival {
    stat: Stat,
    candidate: NodeId,
}

/// What is known of a node that is not where it was.
#[derive(Debug, Clone, Copy)]
struct Missing {
    since_ms: u64,
}

/// A file that is read until it holds still.
#[derive(Debug, Clone, Copy)]
struct Busy {
    tries: u32,
    retry_at_ms: u64,
}

/// The `retry_at_ms` of a file whose time has come and that was not read since.
const NOT_WAITING: u64 = u64::MAX;

impl Busy {
    /// Whether it is left alone for the moment.
    fn waits(&self) -> bool {
        self.retry_at_ms != NOT_WAITING
    }
}

/// What observing came to, for the engine.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Nodes of Local that changed.
    pub(crate) touched: BTreeSet<NodeId>,
    /// Nodes that cannot be read, with what to say of them.
    pub(crate) unreadable: Vec<(NodeId, ReadError)>,
    /// Directories that cannot be listed.
    pub(crate) unlistable: Vec<NodeId>,
    /// Directories that were listed, or are there no more.
    pub(crate) listed: Vec<NodeId>,
    /// Nodes that were read well.
    pub(crate) readable: Vec<NodeId>,
}

/// Keeps what must be looked at and what is not certain yet.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    dirty: BTreeMap<NodeId, Dirty>,
    looks: BTreeMap<LookId, (NodeId, Dirty)>,
    looks_asked: u64,
    watched: BTreeSet<NodeId>,
    /// Directories that became other nodes: watches that were set before still tell of the old ones.
    renamed: BTreeMap<NodeId, NodeId>,
    missing: BTreeMap<NodeId, Missing>,
    missing_changed_ms: u64,
    arrivals: BTreeMap<(NodeId, Name), Arrival>,
    /// Places that apply operations are working on.
    frozen: BTreeSet<(NodeId, Name)>,
    reading: BTreeSet<NodeId>,
    busy: BTreeMap<NodeId, Busy>,
    /// Files that were read within the tick of the clock in which they changed: to be read once more.
    racy: BTreeMap<NodeId, u64>,
}

impl Observer {
    /// Everything must be looked at; what was in limbo when the program ended is missing.
    pub(crate) fn start(&mut self, trees: &dyn Trees, at_ms: u64) {
        self.scan();
        for (_, node) in trees.local_children(LIMBO) {
            self.set_missing(node, at_ms);
        }
    }

    /// Everything must be looked at.
    pub(crate) fn scan(&mut self) {
        self.dirty.insert(NodeId::ROOT, Dirty::Deep);
    }

    /// An entry may have changed: of this directory, or of the one that it became. (It may be there again beside that one.)
    pub(crate) fn hint(&mut self, dir: NodeId, name: Name) {
        let mut at = Some(dir);
        while let Some(dir) = at {
            if let Dirty::Names(names) = self.dirty.entry(dir).or_insert_with(|| Dirty::Names(BTreeSet::new())) {
                names.insert(name.clone());
            }
            at = self.renamed.get(&dir).copied();
        }
    }

    /// A directory became another node.
    pub(crate) fn renamed(&mut self, old: NodeId, new: NodeId) {
        // What others became is the end of the way, so that no way is a circle.
        self.renamed.remove(&new);
        self.renamed.insert(old, new);
        self.look_anew(new);
    }

    /// The directory is watched anew and looked at as a whole.
    pub(crate) fn look_anew(&mut self, dir: NodeId) {
        self.watched.remove(&dir);
        self.dirty.insert(dir, Dirty::Deep);
    }

    /// Apply operations begin to work on these places.
    pub(crate) fn freeze(&mut self, places: &BTreeSet<(NodeId, Name)>) {
        self.frozen.extend(places.iter().cloned());
    }

    /// Apply operations have ended.
    pub(crate) fn thaw(&mut self, places: &BTreeSet<(NodeId, Name)>) {
        for place in places {
            self.frozen.remove(place);
        }
    }

    /// Whether the directory was not looked at as a whole since the start: before that, what is known of it is of another time.
    pub(crate) fn is_unseen(&self, dir: NodeId) -> bool {
        !self.watched.contains(&dir)
    }

    /// Whether apply operations are working on entries of the directory.
    pub(crate) fn has_frozen(&self, dir: NodeId) -> bool {
        self.frozen.range((dir, first_name())..).next().is_some_and(|(frozen, _)| *frozen == dir)
    }

    /// Whether it is not known what stands there.
    pub(crate) fn is_pending(&self, dir: NodeId, name: &Name) -> bool {
        let covers = |dirty: &Dirty| match dirty {
            Dirty::Deep => true,
            Dirty::Names(names) => names.contains(name),
        };
        self.dirty.get(&dir).is_some_and(covers)
            || self.looks.values().any(|(looked, dirty)| *looked == dir && covers(dirty))
            || self.arrivals.contains_key(&(dir, name.clone()))
    }

    /// Whether it is not known where the node is.
    pub(crate) fn is_missing(&self, node: NodeId) -> bool {
        self.missing.contains_key(&node)
    }

    /// Whether the file may have changed right after it was read, without a trace: it is to be read once more.
    pub(crate) fn is_racy(&self, node: NodeId) -> bool {
        self.racy.contains_key(&node)
    }

    /// Whether the node is being read.
    pub(crate) fn is_reading(&self, node: NodeId) -> bool {
        self.reading.contains(&node) || self.busy.contains_key(&node)
    }

    /// Whether files are being read.
    pub(crate) fn reads_under_way(&self) -> usize {
        self.reading.len()
    }

    /// A read was asked for.
    pub(crate) fn begin_read(&mut self, node: NodeId) {
        self.reading.insert(node);
    }

    /// Whether nothing is uncertain.
    pub(crate) fn is_settled(&self) -> bool {
        self.dirty.is_empty()
            && self.looks.is_empty()
            && self.missing.is_empty()
            && self.arrivals.is_empty()
            && self.reading.is_empty()
            && !self.busy.values().any(Busy::waits)
            && self.racy.is_empty()
    }

    /// Starts looks, as many as there is room for.
    pub(crate) fn looks(&mut self, trees: &dyn Trees) -> Vec<Effect> {
        let mut effects = Vec::new();
        let shape = Shape::default();
        for dir in self.dirty.keys().copied().collect::<Vec<_>>() {
            if self.looks.len() >= LOOKS_MAX {
                break;
            }
            let under_way = self.looks.values().any(|(looked, _)| *looked == dir);
            if under_way || self.is_frozen(dir, &self.dirty[&dir]) || self.may_be_elsewhere(trees, dir) {
                continue;
            }
            let Some(dirty) = self.dirty.remove(&dir) else { continue };
            let Some(path) = shape.path(trees, dir) else {
                // Not on this disk (any more).
                self.watched.remove(&dir);
                continue;
            };
            self.looks_asked += 1;
            let look = LookId(self.looks_asked);
            let names = match &dirty {
                Dirty::Deep => None,
                Dirty::Names(names) => Some(names.iter().cloned().collect()),
            };
            let watch = names.is_none() && self.watched.insert(dir);
            self.looks.insert(look, (dir, dirty));
            effects.push(Effect::Look { look, dir, path, names, watch });
        }
        effects
    }

    /// Whether it is not known where the directory is, or it is being moved.
    fn may_be_elsewhere(&self, trees: &dyn Trees, dir: NodeId) -> bool {
        let Some(local) = trees.local(dir) else { return false };
        self.is_beneath_missing(trees, dir)
            || self.frozen.contains(&(local.parent, local.name.clone()))
            || (local.parent != LIMBO && self.is_pending_name(local.parent, &local.name))
    }

    /// Whether the node, or a directory above it, is missing.
    fn is_beneath_missing(&self, trees: &dyn Trees, node: NodeId) -> bool {
        self.missing_since(trees, node).is_some()
    }

    /// Since when the node, or the first directory above it that is missing, is missing.
    fn missing_since(&self, trees: &dyn Trees, node: NodeId) -> Option<u64> {
        let mut at = node;
        while !self.missing.is_empty() && at != NodeId::ROOT {
            if let Some(missing) = self.missing.get(&at) {
                return Some(missing.since_ms);
            }
            at = trees.local(at)?.parent;
        }
        None
    }

    /// Whether this one name waits to be looked at.
    fn is_pending_name(&self, dir: NodeId, name: &Name) -> bool {
        let covers = |dirty: &Dirty| matches!(dirty, Dirty::Names(names) if names.contains(name));
        self.dirty.get(&dir).is_some_and(covers)
            || self.looks.values().any(|(looked, dirty)| *looked == dir && covers(dirty))
    }

    fn is_frozen(&self, dir: NodeId, dirty: &Dirty) -> bool {
        match dirty {
            Dirty::Deep => self.has_frozen(dir),
            Dirty::Names(names) => names.iter().any(|name| self.frozen.contains(&(dir, name.clone()))),
        }
    }
}

fn first_name() -> Name {
    Name::new([1u8]).expect("one byte is a name")
}
