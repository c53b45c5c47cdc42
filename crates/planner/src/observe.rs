//! From what was seen on the disk to Local.
//!
//! Hints and scans say where to look; looks say what stands there. Identity: a regular file is what stands at a node's path,
//! whatever its inode, and only when the path stays free is its inode looked for elsewhere (so that the save patterns of editors
//! keep id and history); a directory is its inode first. What vanished is *missing* until enough is known to call it moved or
//! deleted: a place can be empty for a moment, and a move is seen in two halves.

mod damage;
mod filters;
mod moment;
mod see;
mod settle;
mod special;
mod spelled;
mod writing;

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Change, ContentId, Limits, Name, NodeId, NodeState, OwnDir, Stat, Timestamp};

use crate::shape::Shape;
use crate::trees::{LIMBO, Trees};
use crate::{Effect, LookId, ReadError};

pub(crate) use filters::Filters;
pub(crate) use moment::Displaced;
use moment::Left;
pub(crate) use see::is_same_file;
pub(crate) use special::{Special, Specials};
use spelled::Spellings;
use writing::Writing;

/// Looks that are under way at once.
const LOOKS_MAX: usize = 16;

/// What of a directory must be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Dirty {
    /// Everything, and all directories beneath it.
    deep: bool,
    /// These names, if not everything; and what may have happened to them.
    names: BTreeMap<Name, Change>,
}

impl Dirty {
    fn add(&mut self, name: Name, change: Change) {
        let known = self.names.entry(name).or_insert(change);
        *known = known.followed_by(change);
    }

    /// The same of what was hinted at before all that is known.
    fn add_earlier(&mut self, name: Name, change: Change) {
        let known = self.names.entry(name).or_insert(change);
        *known = change.followed_by(*known);
    }

    /// Whether this very name was hinted at.
    fn has_name(&self, name: &Name) -> bool {
        self.names.contains_key(name)
    }

    fn covers(&self, name: &Name) -> bool {
        self.deep || self.names.contains_key(name)
    }
}

/// A look that was asked for.
#[derive(Debug)]
struct LookUnderWay {
    dir: NodeId,
    dirty: Dirty,
    /// The directory is to be watched, too.
    watch: bool,
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
    /// Nodes of which the disk shows something else than before: what failed with them may go well now.
    pub(crate) changed: BTreeSet<NodeId>,
    /// Nodes in whose place something stands that is not synced.
    pub(crate) special: Vec<(NodeId, Option<OwnDir>)>,
    /// Nodes that were among those, and are not any more.
    pub(crate) plain: Vec<NodeId>,
    /// Nodes that cannot be read, with what to say of them.
    pub(crate) unreadable: Vec<(NodeId, ReadError)>,
    /// Nodes that are gone, though nobody told of it.
    pub(crate) absent: Vec<NodeId>,
    /// Directories that cannot be listed.
    pub(crate) unlistable: Vec<NodeId>,
    /// Directories that were listed, or are there no more.
    pub(crate) listed: Vec<NodeId>,
    /// Nodes that were read well.
    pub(crate) readable: Vec<NodeId>,
}

/// Keeps what must be looked at and what is not certain yet.
#[derive(Debug)]
pub(crate) struct Observer {
    limits: Limits,
    pub(crate) filters: Filters,
    dirty: BTreeMap<NodeId, Dirty>,
    looks: BTreeMap<LookId, LookUnderWay>,
    looks_asked: u64,
    /// What was hinted of directories that could not be looked at: it is looked at with the next look that is asked for.
    failed: BTreeMap<NodeId, BTreeMap<Name, Change>>,
    /// Directories that were looked at as a whole since the start.
    seen: BTreeSet<NodeId>,
    watched: BTreeSet<NodeId>,
    /// Directories of which no hints come: what changes in them is found by looking only.
    unhinted: BTreeSet<NodeId>,
    /// Hints that tell of the place of a file from which we took it mean the file.
    left: BTreeMap<(NodeId, Name), Left>,
    /// Files that were displaced a moment ago.
    displaced: BTreeMap<(NodeId, Name), Displaced>,
    /// Displaced files that are being read.
    checks: usize,
    /// Versions that the journal passed through while it was not known which of them the disk shows.
    passed: BTreeMap<NodeId, Vec<NodeState>>,
    now: Timestamp,
    at_ms: u64,
    /// Hints since then may be lost: looks at everything do not trust a stat that is as young.
    doubt_since: Option<Timestamp>,
    /// Directories that became other nodes: watches that were set before still tell of the old ones.
    renamed: BTreeMap<NodeId, NodeId>,
    missing: BTreeMap<NodeId, Missing>,
    missing_changed_ms: u64,
    /// Nodes at whose places something happened, as the watcher told, since they were last seen there.
    told: BTreeSet<NodeId>,
    /// Directories of which no hints come were looked at since the last thing went missing: it may have moved into one.
    missing_sought: bool,
    arrivals: BTreeMap<(NodeId, Name), Arrival>,
    /// Places that apply operations are working on.
    frozen: BTreeSet<(NodeId, Name)>,
    reading: BTreeSet<NodeId>,
    busy: BTreeMap<NodeId, Busy>,
    /// Nodes in whose place something stands that is not synced.
    special: BTreeSet<NodeId>,
    /// All things that are not synced, also where no node is.
    pub(crate) specials: Specials,
    /// All that the disk shows by another name.
    pub(crate) spellings: Spellings,
    /// Files of which no hints come and that were read within the tick of the clock in which they changed: to be read once more.
    racy: BTreeMap<NodeId, u64>,
    /// Files that hold something else than they should, though nobody changed them; and what.
    damages: BTreeMap<NodeId, ContentId>,
    /// Files that programs have open and write, by inode: a file that is renamed meanwhile is the same one.
    writing: BTreeMap<u64, Writing>,
    /// Files that changed a moment ago, and when that moment is over.
    young: BTreeMap<NodeId, u64>,
}

impl Observer {
    /// An observer that knows nothing yet.
    pub(crate) fn new(limits: Limits) -> Observer {
        Observer {
            limits,
            filters: Filters::new(),
            dirty: BTreeMap::new(),
            looks: BTreeMap::new(),
            looks_asked: 0,
            failed: BTreeMap::new(),
            seen: BTreeSet::new(),
            watched: BTreeSet::new(),
            unhinted: BTreeSet::new(),
            left: BTreeMap::new(),
            displaced: BTreeMap::new(),
            checks: 0,
            passed: BTreeMap::new(),
            now: Timestamp::default(),
            at_ms: 0,
            doubt_since: None,
            renamed: BTreeMap::new(),
            missing: BTreeMap::new(),
            missing_changed_ms: 0,
            told: BTreeSet::new(),
            missing_sought: false,
            arrivals: BTreeMap::new(),
            frozen: BTreeSet::new(),
            reading: BTreeSet::new(),
            busy: BTreeMap::new(),
            special: BTreeSet::new(),
            specials: Specials::default(),
            spellings: Spellings::default(),
            racy: BTreeMap::new(),
            damages: BTreeMap::new(),
            writing: BTreeMap::new(),
            young: BTreeMap::new(),
        }
    }

    /// Everything must be looked at; what was in limbo when the program ended is missing.
    pub(crate) fn start(&mut self, trees: &dyn Trees) {
        self.dirty.insert(NodeId::ROOT, Dirty { deep: true, ..Dirty::default() });
        self.filters.start(trees);
        self.doubt(trees.last_step());
        for (_, node) in trees.local_children(LIMBO) {
            self.set_missing(node);
        }
    }

    /// Everything must be looked at, and watched anew: what hints told of, the end of watches too, may be lost.
    pub(crate) fn scan(&mut self) {
        self.dirty.entry(NodeId::ROOT).or_default().deep = true;
        self.watched.clear();
        self.doubt(Some(self.now));
    }

    /// Hints of what happened since a while before `time` may be lost.
    fn doubt(&mut self, time: Option<Timestamp>) {
        let since = time.map(|time| time.minus_milliseconds(self.limits.hint_late_ms));
        self.doubt_since = match (self.doubt_since, since) {
            (Some(known), Some(since)) => Some(known.min(since)),
            (known, since) => known.or(since),
        };
    }

    /// It is now.
    pub(crate) fn set_now(&mut self, now: Timestamp, at_ms: u64) {
        (self.now, self.at_ms) = (now, at_ms);
    }

    /// An entry may have changed: of this directory, or of the one that it became. (It may be there again beside that one.)
    pub(crate) fn hint(&mut self, dir: NodeId, name: Name, change: Change) {
        if change.is_of_bytes() && self.filters.is_ignored_entry(dir, &name) {
            // Whatever it holds now, it is still what it was.
            return;
        }
        self.tell_all(dir, |dirty| dirty.add(name.clone(), change));
    }

    /// The same of a hint that was taken before all that wait, and not followed up.
    fn hint_earlier(&mut self, dir: NodeId, name: &Name, change: Change) {
        self.tell_all(dir, |dirty| dirty.add_earlier(name.clone(), change));
    }

    /// To this directory, and to those that it became.
    fn tell_all(&mut self, dir: NodeId, tell: impl Fn(&mut Dirty)) {
        let mut at = Some(dir);
        while let Some(dir) = at {
            tell(self.dirty.entry(dir).or_default());
            at = self.renamed.get(&dir).copied();
        }
    }

    /// The watcher tells of this entry: if the node is gone, that was seen.
    pub(crate) fn tell(&mut self, trees: &dyn Trees, dir: NodeId, name: &Name) {
        let mut at = Some(dir);
        while let Some(dir) = at {
            self.told.extend(trees.local_child(dir, name));
            at = self.renamed.get(&dir).copied();
        }
    }

    /// The directory is watched no more. If it is still believed to be here, it was removed, or replaced by another one.
    pub(crate) fn unwatched(&mut self, trees: &dyn Trees, dir: NodeId) {
        match trees.local(dir) {
            Some(_) => self.look_anew(dir),
            None => self.forget_directory(dir),
        }
    }

    /// A directory became another node.
    pub(crate) fn renamed(&mut self, old: NodeId, new: NodeId) {
        // What others became is the end of the way, so that no way is a circle.
        self.renamed.remove(&new);
        self.renamed.insert(old, new);
        self.filters.renamed(old, new);
        // The look that follows finds them again.
        self.specials.forget(old);
        self.spellings.forget(old);
        self.look_anew(new);
    }

    /// The directory is watched anew and looked at as a whole.
    pub(crate) fn look_anew(&mut self, dir: NodeId) {
        self.watched.remove(&dir);
        self.seen.remove(&dir);
        self.dirty.entry(dir).or_default().deep = true;
    }

    /// The place of the node is looked at.
    pub(crate) fn look_at(&mut self, trees: &dyn Trees, node: NodeId) {
        if let Some(local) = trees.local(node) {
            self.hint(local.parent, local.name, Change::Entry);
        }
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
        !self.seen.contains(&dir)
    }

    /// Whether apply operations are working on entries of the directory.
    pub(crate) fn has_frozen(&self, dir: NodeId) -> bool {
        self.frozen.range((dir, first_name())..).next().is_some_and(|(frozen, _)| *frozen == dir)
    }

    /// Whether it is not known what stands there.
    pub(crate) fn is_pending(&self, dir: NodeId, name: &Name) -> bool {
        self.dirty.get(&dir).is_some_and(|dirty| dirty.covers(name))
            || self.looks.values().any(|look| look.dir == dir && look.dirty.covers(name))
            || self.failed.get(&dir).is_some_and(|names| names.contains_key(name))
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

    /// Whether the directory was looked at as a whole, and is not to be again.
    pub(crate) fn is_listed(&self, dir: NodeId) -> bool {
        self.seen.contains(&dir)
            && !self.dirty.get(&dir).is_some_and(|dirty| dirty.deep)
            && !self.looks.values().any(|look| look.dir == dir && look.dirty.deep)
    }

    /// Whether looks are under way or to come.
    pub(crate) fn is_looking(&self) -> bool {
        !self.dirty.is_empty() || !self.looks.is_empty()
    }

    /// Whether something is missing, or whole directories are to be looked at.
    pub(crate) fn is_scanning(&self) -> bool {
        let mut dirty = self.dirty.values().chain(self.looks.values().map(|look| &look.dirty));
        dirty.any(|dirty| dirty.deep) || !self.missing.is_empty() || !self.arrivals.is_empty()
    }

    /// Whether nothing is uncertain.
    pub(crate) fn is_settled(&self, trees: &dyn Trees) -> bool {
        self.dirty.is_empty()
            && self.looks.is_empty()
            && self.missing.is_empty()
            && self.arrivals.is_empty()
            && self.reading.is_empty()
            && !self.busy.values().any(Busy::waits)
            && !self.filters.are_changing()
            && self.racy.is_empty()
            && self.checks == 0
            && !self.waits_for_programs(trees)
    }

    /// Starts looks, as many as there is room for.
    pub(crate) fn looks(&mut self, trees: &dyn Trees) -> Vec<Effect> {
        let mut effects = Vec::new();
        let shape = Shape::default();
        for dir in self.dirty.keys().copied().collect::<Vec<_>>() {
            if self.looks.len() >= LOOKS_MAX {
                break;
            }
            if self.is_covered(trees, dir) {
                // What is in it is not ours to see; it is looked at, with all beneath it, when it can be reached again.
                self.dirty.remove(&dir);
                continue;
            }
            let under_way = self.looks.values().any(|look| look.dir == dir);
            if under_way || self.is_frozen(dir, &self.dirty[&dir]) || self.may_be_elsewhere(trees, dir) {
                continue;
            }
            let Some(path) = shape.path(trees, dir) else {
                // Not on this disk (any more).
                self.dirty.remove(&dir);
                self.forget_directory(dir);
                continue;
            };
            if !self.filters.know_above(trees, dir) {
                // Which of its entries count is told by what is still to be looked at.
                continue;
            }
            let Some(mut dirty) = self.dirty.remove(&dir) else { continue };
            for (name, change) in self.failed.remove(&dir).unwrap_or_default() {
                dirty.add_earlier(name, change);
            }
            if !self.filters.know(dir) {
                dirty.add(Filters::file_name(), Change::Entry);
            }
            self.looks_asked += 1;
            let look = LookId(self.looks_asked);
            let names = (!dirty.deep).then(|| dirty.names.keys().cloned().collect());
            let watch = dirty.deep && self.watched.insert(dir);
            if dirty.deep {
                self.seen.insert(dir);
            }
            self.looks.insert(look, LookUnderWay { dir, dirty, watch });
            effects.push(Effect::Look { look, dir, path, names, watch });
        }
        let mut waiting = self.dirty.values().chain(self.looks.values().map(|look| &look.dirty));
        if !waiting.any(|dirty| dirty.deep) {
            // Everything was looked at.
            self.doubt_since = None;
        }
        effects
    }

    /// Whether anything can be covered.
    pub(crate) fn is_any_covered(&self) -> bool {
        !self.special.is_empty()
    }

    /// Whether something that is not synced, such as another file system, stands in the place of the directory or of one above it: what is
    /// beneath it is as it was, and cannot be reached.
    pub(crate) fn is_covered(&self, trees: &dyn Trees, dir: NodeId) -> bool {
        let mut at = dir;
        while !self.special.is_empty() && at != NodeId::ROOT {
            if self.special.contains(&at) {
                return true;
            }
            let Some(local) = trees.local(at) else { return false };
            at = local.parent;
        }
        false
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
    pub(crate) fn is_pending_name(&self, dir: NodeId, name: &Name) -> bool {
        self.dirty.get(&dir).is_some_and(|dirty| dirty.has_name(name))
            || self.looks.values().any(|look| look.dir == dir && look.dirty.has_name(name))
    }

    fn is_frozen(&self, dir: NodeId, dirty: &Dirty) -> bool {
        match dirty.deep {
            true => self.has_frozen(dir),
            false => dirty.names.keys().any(|name| self.frozen.contains(&(dir, name.clone()))),
        }
    }

    /// The directory is not on this disk any more.
    fn forget_directory(&mut self, dir: NodeId) {
        self.watched.remove(&dir);
        self.seen.remove(&dir);
        self.unhinted.remove(&dir);
        self.failed.remove(&dir);
        self.filters.forget(dir);
        self.specials.forget(dir);
        self.spellings.forget(dir);
    }
}

/// How long ago the file was changed last, by the clock that stamps changes; `None` if that is in the future: the clock was set back,
/// and a further change gets another stamp.
fn age_ms(now: Timestamp, stat: &Stat) -> Option<u64> {
    u64::try_from((now.as_nanoseconds() - stat.ctime.as_nanoseconds()) / 1_000_000).ok()
}

fn first_name() -> Name {
    Name::new([1u8]).expect("one byte is a name")
}
