//! From what was seen on the disk to Local.
//!
//! Hints and scans say where to look; looks say what stands there. Identity: a regular file is what stands at a node's path,
//! whatever its inode, and only when the path stays free is its inode looked for elsewhere (so that the save patterns of editors
//! keep id and history); a directory is its inode first. What vanished is *missing* until enough is known to call it moved or
//! deleted: a place can be empty for a moment, and a move is seen in two halves.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Content, FileContent, Kind, Limits, Mode, Name, NodeId, Stat, Timestamp};

use crate::ids::IdSource;
use crate::names::{is_conflict_copy_of, node_of_swap_name};
use crate::shape::Shape;
use crate::trees::{LIMBO, Local, LocalContent, Trees};
use crate::{Effect, LookError, LookId, ReadError, ReadResult, Sight};

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
            && self.busy.is_empty()
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

    /// Takes what a look found.
    pub(crate) fn looked(
        &mut self,
        trees: &mut dyn Trees,
        ids: &mut IdSource,
        look: LookId,
        result: Result<(Stat, Vec<Sight>), LookError>,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        let Some((dir, dirty)) = self.looks.remove(&look) else { return };
        if result.is_ok() {
            findings.listed.push(dir);
        }
        let known = trees.local(dir);
        if dir != NodeId::ROOT && known.is_none() {
            return;
        }
        let (stat, sights) = match result {
            Ok(found) => found,
            Err(LookError::Gone) if dir != NodeId::ROOT => return self.lost_directory(known, dir, dirty),
            Err(_) => {
                findings.unlistable.push(dir);
                return;
            }
        };
        if known.as_ref().is_some_and(|local| local.stat.inode != stat.inode) {
            // Another directory stands there: whoever looks at the one above finds out. Its watch may tell of the wrong one now.
            for node in trees.local_by_inode(stat.inode) {
                if trees.local(node).is_some_and(|local| local.kind() == Kind::Directory) {
                    self.look_anew(node);
                }
            }
            return self.lost_directory(known, dir, dirty);
        }
        let mut unseen: BTreeMap<Name, NodeId> = match &dirty {
            Dirty::Deep => trees.local_children(dir).into_iter().collect(),
            Dirty::Names(_) => BTreeMap::new(),
        };
        // What was seen here before is seen again, or no more.
        match &dirty {
            Dirty::Deep => self.arrivals.retain(|(arrived, _), _| *arrived != dir),
            Dirty::Names(names) => self.arrivals.retain(|(arrived, name), _| *arrived != dir || !names.contains(name)),
        }
        for sight in sights {
            unseen.remove(&sight.name);
            self.see(trees, ids, dir, sight, dirty == Dirty::Deep, at_ms, findings);
        }
        for (name, node) in unseen {
            // What was seen under another name of this directory meanwhile is not missing.
            if trees.local_child(dir, &name) == Some(node) {
                self.set_missing(node, at_ms);
            }
        }
    }

    /// The directory is not where Local has it: the entry above tells more. It is looked at again where that finds it.
    fn lost_directory(&mut self, known: Option<Local>, dir: NodeId, dirty: Dirty) {
        match dirty {
            Dirty::Deep => self.look_anew(dir),
            Dirty::Names(names) => names.into_iter().for_each(|name| self.hint(dir, name)),
        }
        if let Some(local) = known
            && local.parent != LIMBO
        {
            self.hint(local.parent, local.name);
        }
    }

    /// One entry, as it was seen.
    #[expect(clippy::too_many_arguments, reason = "one sight needs the whole scene")]
    fn see(
        &mut self,
        trees: &mut dyn Trees,
        ids: &mut IdSource,
        dir: NodeId,
        sight: Sight,
        deep: bool,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        let existing = trees.local_child(dir, &sight.name);
        let kind = sight.stat.and_then(|stat| stat.kind);
        match (existing, sight.stat) {
            (None, None) => {}
            (Some(node), None) => self.set_missing(node, at_ms),
            // A socket, a device, or another file system mounted here: neither content nor a deletion.
            (_, Some(_)) if kind.is_none() => {}
            (Some(node), Some(stat)) => {
                let Some(known) = trees.local(node) else { return };
                let same_kind = kind == Some(known.kind());
                if same_kind && (known.kind() != Kind::Directory || known.stat.inode == stat.inode) {
                    self.forget_missing(node, at_ms);
                    self.update(trees, node, known, stat, sight.target, findings);
                    if deep && kind == Some(Kind::Directory) {
                        self.dirty.insert(node, Dirty::Deep);
                    }
                } else {
                    self.displace(trees, node, at_ms, findings);
                    self.arrive(trees, ids, dir, sight, stat, at_ms, findings);
                }
            }
            (None, Some(stat)) => self.arrive(trees, ids, dir, sight, stat, at_ms, findings),
        }
    }

    /// A node is where it was: has it changed?
    fn update(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        known: Local,
        stat: Stat,
        target: Option<Vec<u8>>,
        findings: &mut Findings,
    ) {
        let unread = known.content == LocalContent::Unread;
        let content = match stat.kind {
            Some(Kind::File) if unread || content_may_differ(&known.stat, &stat) => LocalContent::Unread,
            Some(Kind::Symlink) => {
                target.map_or(known.content.clone(), |target| LocalContent::Known(Content::Symlink { target }))
            }
            _ => known.content.clone(),
        };
        // A directory's own times change with every entry in it; only its identity matters.
        let quiet = match stat.kind {
            Some(Kind::Directory) => known.stat.inode == stat.inode && known.stat.birth == stat.birth,
            _ => known.stat == stat,
        };
        if quiet && content == known.content {
            return;
        }
        let mode = self.mode_of(trees, node, &known, &stat);
        trees.set_local(node, Some(Local { content, mode, stat, ..known }));
        findings.touched.insert(node);
    }

    /// Only a change against what this disk showed is an edit: a disk without executable bits never clears them elsewhere.
    fn mode_of(&self, trees: &dyn Trees, node: NodeId, known: &Local, stat: &Stat) -> Mode {
        match trees.synced(node) {
            Some(synced) if synced.shown.executable == stat.executable => synced.state.mode,
            _ if known.stat.executable == stat.executable => known.mode,
            _ => Mode { executable: stat.executable },
        }
    }

    /// Something stands where Local knew nothing.
    #[expect(clippy::too_many_arguments, reason = "one sight needs the whole scene")]
    fn arrive(
        &mut self,
        trees: &mut dyn Trees,
        ids: &mut IdSource,
        dir: NodeId,
        sight: Sight,
        stat: Stat,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        let named = node_of_swap_name(&sight.name)
            .filter(|node| trees.local(*node).is_some_and(|local| Some(local.kind()) == stat.kind));
        match stat.kind {
            Some(Kind::Directory) => match self.same_inode(trees, &stat, None).or(named) {
                Some(node) if !Shape::default().is_beneath(trees, dir, node) => {
                    self.moved(trees, node, dir, sight.name, stat, at_ms, findings);
                    self.dirty.insert(node, Dirty::Deep);
                }
                _ => {
                    let node = new_node(trees, ids, &sight.name);
                    let content = LocalContent::Known(Content::Directory);
                    self.appear(trees, node, dir, sight.name, content, stat, at_ms, findings);
                    self.dirty.insert(node, Dirty::Deep);
                }
            },
            Some(Kind::File) => match self.same_inode(trees, &stat, Some(&sight.name)).or(named) {
                Some(candidate) => {
                    if let Some(local) = trees.local(candidate)
                        && local.parent != LIMBO
                    {
                        self.hint(local.parent, local.name);
                    }
                    self.arrivals.insert((dir, sight.name), Arrival { stat, candidate });
                }
                None => {
                    let node = new_node(trees, ids, &sight.name);
                    self.appear(trees, node, dir, sight.name, LocalContent::Unread, stat, at_ms, findings);
                }
            },
            Some(Kind::Symlink) => {
                let Some(target) = sight.target else { return };
                if let Some(node) = named {
                    return self.moved(trees, node, dir, sight.name, stat, at_ms, findings);
                }
                let content = LocalContent::Known(Content::Symlink { target });
                let node = new_node(trees, ids, &sight.name);
                self.appear(trees, node, dir, sight.name, content, stat, at_ms, findings);
            }
            Some(Kind::Mount) | None => {}
        }
    }

    /// The node of Local that this inode is, if it certainly is one.
    fn same_inode(&self, trees: &dyn Trees, stat: &Stat, name: Option<&Name>) -> Option<NodeId> {
        let same = |node: &NodeId| {
            let Some(local) = trees.local(*node) else { return false };
            let known = &local.stat;
            let proven = match (known.birth, stat.birth) {
                (Some(known), Some(seen)) => known == seen,
                _ => stat.kind == Some(Kind::Directory) || (known.size, known.mtime) == (stat.size, stat.mtime),
            };
            // A conflict copy that was renamed away just before a crash is not a move of the node that it was made of.
            let is_copy = name.is_some_and(|name| is_conflict_copy_of(name, &local.name));
            local.kind() == stat.kind.unwrap_or(Kind::Mount)
                && (stat.kind == Some(Kind::Directory) || stat.links == 1)
                && proven
                && !is_copy
        };
        trees.local_by_inode(stat.inode).into_iter().find(same)
    }

    /// A node that was not known stands there.
    #[expect(clippy::too_many_arguments, reason = "one sight needs the whole scene")]
    fn appear(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        parent: NodeId,
        name: Name,
        content: LocalContent,
        stat: Stat,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        if let Some(other) = trees.local_child(parent, &name) {
            self.displace(trees, other, at_ms, findings);
        }
        let mode = Mode { executable: stat.executable };
        trees.set_local(node, Some(Local { parent, name, content, mode, stat }));
        findings.touched.insert(node);
    }

    /// What the node is now that it was renamed here: as it was, but for what happened to it between the last look and the rename.
    pub(crate) fn renamed_here(
        &self,
        trees: &dyn Trees,
        node: NodeId,
        known: Local,
        place: (NodeId, Name),
        stat: Stat,
    ) -> Local {
        let same_bytes = (known.stat.size, known.stat.mtime, known.stat.inode) == (stat.size, stat.mtime, stat.inode);
        let unread = known.kind() == Kind::File && !same_bytes;
        let content = if unread { LocalContent::Unread } else { known.content.clone() };
        let mode = self.mode_of(trees, node, &known, &stat);
        Local { parent: place.0, name: place.1, content, mode, stat }
    }

    /// A node stands in another place.
    #[expect(clippy::too_many_arguments, reason = "one sight needs the whole scene")]
    fn moved(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        parent: NodeId,
        name: Name,
        stat: Stat,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        let Some(known) = trees.local(node) else { return };
        if let Some(other) = trees.local_child(parent, &name)
            && other != node
        {
            self.displace(trees, other, at_ms, findings);
        }
        self.forget_missing(node, at_ms);
        // A rename changes the ctime, as an edit that restores the mtime would: the content is read again.
        let content = if known.kind() == Kind::File { LocalContent::Unread } else { known.content.clone() };
        let mode = self.mode_of(trees, node, &known, &stat);
        trees.set_local(node, Some(Local { parent, name, content, mode, stat }));
        findings.touched.insert(node);
    }

    /// Something else stands where the node was.
    pub(crate) fn displace(&mut self, trees: &mut dyn Trees, node: NodeId, at_ms: u64, findings: &mut Findings) {
        if let Some(known) = trees.local(node) {
            let name = Name::new(node.to_string()).expect("hexadecimal digits are a name");
            trees.set_local(node, Some(Local { parent: LIMBO, name, ..known }));
            findings.touched.insert(node);
        }
        self.set_missing(node, at_ms);
    }

    fn set_missing(&mut self, node: NodeId, at_ms: u64) {
        self.missing.entry(node).or_insert(Missing { since_ms: at_ms });
        self.missing_changed_ms = at_ms;
    }

    fn forget_missing(&mut self, node: NodeId, at_ms: u64) {
        if self.missing.remove(&node).is_some() {
            self.missing_changed_ms = at_ms;
        }
    }

    /// Decides what can be decided by now: moved, new, deleted. Returns when to come back.
    pub(crate) fn settle(
        &mut self,
        trees: &mut dyn Trees,
        ids: &mut IdSource,
        limits: &Limits,
        at_ms: u64,
        findings: &mut Findings,
    ) -> Option<u64> {
        let arrivals = self.settle_arrivals(trees, ids, limits, at_ms, findings);
        let missing = self.settle_missing(trees, limits, at_ms, findings);
        let rereads = self.settle_rereads(trees, at_ms, findings);
        [arrivals, missing, rereads].into_iter().flatten().min()
    }

    fn settle_arrivals(
        &mut self,
        trees: &mut dyn Trees,
        ids: &mut IdSource,
        limits: &Limits,
        at_ms: u64,
        findings: &mut Findings,
    ) -> Option<u64> {
        let mut next = None;
        for (place, arrival) in self.arrivals.clone() {
            let (dir, name) = place.clone();
            if dir != NodeId::ROOT && trees.local(dir).is_none() {
                // The directory became another node, which is looked at anew.
                self.arrivals.remove(&place);
                continue;
            }
            let candidate = trees.local(arrival.candidate);
            let free_since = candidate.as_ref().and_then(|_| self.missing_since(trees, arrival.candidate));
            if let (Some(local), None) = (candidate, free_since)
                && local.parent != LIMBO
                && self.is_unsure(trees, local.parent, &local.name)
            {
                continue;
            }
            match free_since {
                // Its path is free, and was for long enough: it moved here. (In limbo its path is taken by another kind of thing.)
                Some(since_ms) if at_ms >= since_ms + limits.move_quiet_ms => {
                    self.arrivals.remove(&place);
                    self.moved(trees, arrival.candidate, dir, name, arrival.stat, at_ms, findings);
                }
                Some(since_ms) => {
                    let due = since_ms + limits.move_quiet_ms;
                    next = Some(next.map_or(due, |next: u64| next.min(due)));
                }
                // Something stands at its path, so that is the node, and this is a new one.
                None => {
                    self.arrivals.remove(&place);
                    let node = new_node(trees, ids, &name);
                    self.appear(trees, node, dir, name, LocalContent::Unread, arrival.stat, at_ms, findings);
                }
            }
        }
        next
    }

    /// Whether it is not known what stands at a place, because it or a directory above it waits to be looked at.
    fn is_unsure(&self, trees: &dyn Trees, dir: NodeId, name: &Name) -> bool {
        if self.is_pending(dir, name) {
            return true;
        }
        let mut at = dir;
        while at != NodeId::ROOT {
            let Some(local) = trees.local(at) else { return false };
            if self.missing.contains_key(&at) || local.parent == LIMBO {
                return false;
            }
            if self.is_pending(local.parent, &local.name) {
                return true;
            }
            at = local.parent;
        }
        false
    }

    /// What is missing is deleted when everything was looked at and nothing more went missing for a while, so that a whole tree
    /// goes as one.
    fn settle_missing(
        &mut self,
        trees: &mut dyn Trees,
        limits: &Limits,
        at_ms: u64,
        findings: &mut Findings,
    ) -> Option<u64> {
        let first = self.missing.values().map(|missing| missing.since_ms).min()?;
        // What waits beneath something missing will be found with it, or is gone with it.
        let waiting =
            self.dirty.iter().filter(|(dir, _)| !self.is_beneath_missing(trees, **dir)).map(|(_, dirty)| dirty);
        let waiting: Vec<&Dirty> = waiting.chain(self.looks.values().map(|(_, dirty)| dirty)).collect();
        let scanning = waiting.iter().any(|dirty| **dirty == Dirty::Deep);
        let latest = first + limits.delete_wait_max_ms;
        if scanning || !self.arrivals.is_empty() {
            return None;
        }
        if !waiting.is_empty() && at_ms < latest {
            return Some(latest);
        }
        let due = latest.min(self.missing_changed_ms + limits.delete_quiet_ms);
        if at_ms < due {
            return Some(due);
        }
        for node in std::mem::take(&mut self.missing).into_keys() {
            self.vanish(trees, node, findings);
        }
        None
    }

    /// A node and all beneath it are not on this disk.
    fn vanish(&mut self, trees: &mut dyn Trees, node: NodeId, findings: &mut Findings) {
        let mut left = vec![node];
        while let Some(node) = left.pop() {
            left.extend(trees.local_children(node).into_iter().map(|(_, child)| child));
            trees.set_local(node, None);
            findings.listed.push(node);
            self.watched.remove(&node);
            self.missing.remove(&node);
            self.dirty.remove(&node);
            findings.touched.insert(node);
        }
    }

    fn settle_rereads(&mut self, trees: &mut dyn Trees, at_ms: u64, findings: &mut Findings) -> Option<u64> {
        let racy: Vec<NodeId> = due(&self.racy, at_ms, |at| *at);
        for node in racy {
            self.racy.remove(&node);
            if let Some(local) = trees.local(node)
                && local.kind() == Kind::File
            {
                trees.set_local(node, Some(Local { content: LocalContent::Unread, ..local }));
                findings.touched.insert(node);
            }
        }
        let is_unread = |node: &NodeId| trees.local(*node).is_some_and(|local| local.content == LocalContent::Unread);
        self.busy.retain(|node, _| is_unread(node));
        for node in due(&self.busy, at_ms, |busy| busy.retry_at_ms) {
            if let Some(busy) = self.busy.get_mut(&node) {
                busy.retry_at_ms = u64::MAX;
            }
            // Its look asks for the read.
            if let Some(local) = trees.local(node) {
                self.hint(local.parent, local.name);
                findings.touched.insert(node);
            }
        }
        let busy = self.busy.values().map(|busy| busy.retry_at_ms).filter(|at| *at != u64::MAX);
        self.racy.values().copied().chain(busy).min()
    }

    /// Whether a read of the node may be asked for now.
    pub(crate) fn may_read(&self, node: NodeId) -> bool {
        !self.reading.contains(&node) && self.busy.get(&node).is_none_or(|busy| busy.retry_at_ms == u64::MAX)
    }

    /// Takes what reading a file found.
    pub(crate) fn read(
        &mut self,
        trees: &mut dyn Trees,
        limits: &Limits,
        node: NodeId,
        result: Result<ReadResult, ReadError>,
        at_ms: u64,
        findings: &mut Findings,
    ) {
        self.reading.remove(&node);
        let Some(local) = trees.local(node) else {
            self.busy.remove(&node);
            return;
        };
        findings.touched.insert(node);
        match result {
            // By now, the path that was read belongs to another file: a look tells which.
            Ok(read) if read.stat.inode != local.stat.inode => {
                self.busy.remove(&node);
                self.hint(local.parent, local.name);
            }
            Ok(read) => {
                self.busy.remove(&node);
                findings.readable.push(node);
                if is_racy(&read, limits) {
                    self.racy.insert(node, at_ms + limits.racy_ms);
                }
                let mtime = match trees.synced(node) {
                    // A coarse clock rounded the mtime when it was written here; that is no change.
                    Some(synced) if synced.shown.mtime == read.stat.mtime => {
                        synced.state.content.file().map_or(read.stat.mtime, |file| file.mtime)
                    }
                    _ => read.stat.mtime,
                };
                let content = FileContent { id: read.content, size: read.size, mtime };
                let mode = self.mode_of(trees, node, &local, &read.stat);
                let content = LocalContent::Known(Content::File(content));
                trees.set_local(node, Some(Local { content, mode, stat: read.stat, ..local }));
            }
            Err(ReadError::Gone) => {
                self.busy.remove(&node);
                self.hint(local.parent, local.name);
            }
            Err(error @ ReadError::Busy) => {
                let tries = self.busy.get(&node).map_or(0, |busy| busy.tries) + 1;
                let retry_at_ms = at_ms + limits.busy_retry_ms;
                self.busy.insert(node, Busy { tries, retry_at_ms });
                if tries >= limits.busy_tries_max {
                    findings.unreadable.push((node, error));
                }
            }
            Err(error @ (ReadError::Denied | ReadError::Failed)) => {
                self.busy.remove(&node);
                findings.unreadable.push((node, error));
            }
        }
    }
}

/// An id for what was not known: a new one, or the one that a name tells which was given for a moment before a crash.
fn new_node(trees: &dyn Trees, ids: &mut IdSource, name: &Name) -> NodeId {
    node_of_swap_name(name).filter(|node| trees.local(*node).is_none()).unwrap_or_else(|| ids.node())
}

/// The keys whose time has come.
fn due<V>(times: &BTreeMap<NodeId, V>, at_ms: u64, time: impl Fn(&V) -> u64) -> Vec<NodeId> {
    times.iter().filter(|(_, value)| time(value) <= at_ms).map(|(node, _)| *node).collect()
}

/// Whether a file may hold other bytes than when it showed `known`.
fn content_may_differ(known: &Stat, seen: &Stat) -> bool {
    (known.size, known.mtime, known.ctime, known.inode) != (seen.size, seen.mtime, seen.ctime, seen.inode)
}

/// Whether a change right after the reading could have left the stat as it is.
fn is_racy(read: &ReadResult, limits: &Limits) -> bool {
    let tick = i128::from(limits.racy_ms) * 1_000_000;
    let changed: Timestamp = read.stat.ctime.max(read.stat.mtime.min(read.at));
    read.at.as_nanoseconds() - changed.as_nanoseconds() < tick
}

fn first_name() -> Name {
    Name::new([1u8]).expect("one byte is a name")
}
