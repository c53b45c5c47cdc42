//! From three trees to what can be done now.
//!
//! A pass considers nodes one by one. Each is settled, or leads to an operation that is ready (all that it needs is there, or will
//! be by an earlier operation of the same commit or batch), or waits. Whatever waits is considered again when anything changed.

mod apply;
mod identity;
mod leave;
mod meet;
mod relink;
mod send;

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Content, Group, Kind, Limits, NodeId, NodeState, Operation, Place, Seq, Stat, Version};

use crate::absence::{Absences, Gate};
use crate::engine::Identity;
use crate::ids;
use crate::ignore::Filter;
use crate::names::swap_name;
use crate::observe::Observer;
use crate::reconcile::{Merge, Verdict, merge};
use crate::shadow::is_purged;
use crate::shape::Shape;
use crate::trees::{CHAIN_MAX, LIMBO, Local, LocalContent, Synced, Trees};
use crate::{ApplyKind, ApplyOperation, Effect, Location, ReadRequest, Source};

pub(crate) use relink::Begun;
pub(crate) use send::new_parent;

/// Files in one read effect, bytes in it, and bytes asked for in one pass.
const READ_FILES_MAX: usize = 128;
const READ_BYTES_MAX: u64 = 16 << 20;
const PASS_BYTES_MAX: u64 = 4 * READ_BYTES_MAX;

/// What a pass may add to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// A commit may be sent.
    pub(crate) send: bool,
    /// A commit with a big file may be sent.
    pub(crate) send_big: bool,
    /// A batch may be applied.
    pub(crate) apply: bool,
    /// A batch with a big file may be applied.
    pub(crate) apply_big: bool,
    /// Content can be fetched.
    pub(crate) fetch: bool,
    /// It is known what the server had when the connection was made. Before that, what looks like two versions may be one that the journal is
    /// still to tell of.
    pub(crate) judge: bool,
    /// So many files may be read.
    pub(crate) read: usize,
}

/// What became of a node in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All sides agree, or something is on its way.
    Done,
    /// Something else must happen first.
    Waits,
    /// It is to be read, but enough is being read.
    NoRoomToRead,
    /// It is ready to be sent, but the commit is full.
    NoRoomToSend,
    /// It is ready to be sent, but another big file is under way.
    NoRoomToSendBig,
    /// It is ready to be applied, but the batch is full.
    NoRoomToApply,
    /// It is ready to be applied, but another big file is under way.
    NoRoomToApplyBig,
}

/// What an apply operation is for: what to write to the trees when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The node becomes this, wholly.
    Become(Box<NodeState>),
    /// The node moves there; to where the server had it with this version, if one is given.
    Place { parent: NodeId, agreed: Option<Version> },
    /// What stands there moves there and becomes another node: this device's version of a file that has two.
    Copy { copy: NodeId, parent: NodeId },
    /// The node leaves this disk.
    Leave,
}

/// Operations of one kind that go together.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    pub(crate) groups: Vec<Group>,
    pub(crate) sources: BTreeMap<NodeId, Source>,
    pub(crate) nodes: BTreeSet<NodeId>,
    operations: usize,
    encoded_bytes: usize,
    content_bytes: u64,
}

/// Apply operations that go together.
#[derive(Debug, Default)]
pub(crate) struct Applying {
    pub(crate) operations: Vec<(ApplyOperation, Purpose)>,
    content_bytes: u64,
}

/// The place of a node in the server's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The server does not know it, or not its directory.
    Unknown,
    /// It is there.
    Live,
    /// It is in the trash; the topmost node with the flag is this one.
    Trashed { top: NodeId, by: Version },
}

/// Batches go by paths and are carried out in any order: a directory through which one goes must not be moved by another.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Directories through which operations go.
    pub(crate) used: BTreeSet<NodeId>,
    /// Nodes that are moved or removed.
    pub(crate) moving: BTreeSet<NodeId>,
}

/// What a pass knows of the engine.
pub(crate) struct Scene<'a> {
    pub(crate) who: &'a Identity,
    pub(crate) limits: &'a Limits,
    pub(crate) seen: Seq,
    /// How folder and server came together, if they have not agreed yet.
    pub(crate) begun: Option<&'a Begun>,
    /// Nodes for which something is under way.
    pub(crate) busy: &'a BTreeSet<NodeId>,
    /// Where commits put nodes of which the journal is still to tell.
    pub(crate) put: &'a BTreeMap<NodeId, NodeId>,
    /// What batches that are under way do to directories.
    pub(crate) traffic: &'a Traffic,
    /// Nodes with a problem that is not to be tried again yet.
    pub(crate) held: &'a dyn Fn(NodeId) -> bool,
    pub(crate) observer: &'a mut Observer,
    /// Nodes that were found gone.
    pub(crate) absences: &'a Absences,
}

/// One pass.
pub(crate) struct Plan<'a> {
    pub(super) trees: &'a mut dyn Trees,
    pub(super) scene: Scene<'a>,
    pub(crate) room: Room,
    pub(crate) sending: Sending,
    pub(crate) sending_big: Sending,
    pub(crate) applying: Applying,
    pub(crate) applying_big: Applying,
    pub(crate) reads: Vec<ReadRequest>,
    read_bytes: u64,
    /// Nodes to be considered after this pass, because something about them was decided.
    pub(crate) touched: BTreeSet<NodeId>,
    /// New nodes in directories that are not to be on this disk.
    pub(crate) unselected: Vec<NodeId>,
    /// Nodes on which all sides agree.
    pub(crate) agreed: Vec<NodeId>,
    pub(super) shape: Shape,
    /// Nodes with a planned apply operation.
    pub(crate) applied: BTreeSet<NodeId>,
    /// Nodes that the commits of this pass create.
    pub(super) created: BTreeSet<NodeId>,
    /// Where the commits of this pass put nodes.
    pub(super) sent_parents: BTreeMap<NodeId, NodeId>,
    /// Directories through which operations of the batch with a big file go.
    big_used: BTreeSet<NodeId>,
    visiting: BTreeSet<NodeId>,
    standings: BTreeMap<NodeId, Standing>,
    /// Whether directories are left out here.
    outside: BTreeMap<NodeId, leave::Above>,
    /// The rules for the entries of directories.
    filters: BTreeMap<NodeId, Filter>,
    /// Whether the rules of directories themselves are on their way.
    lacking: BTreeMap<NodeId, bool>,
    /// Directories that stay on this disk for what is ignored in them.
    residues: BTreeSet<NodeId>,
    kept: Option<BTreeSet<NodeId>>,
    /// Directories in which commits that are under way put something, or beneath which.
    filling: Option<BTreeSet<NodeId>>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(trees: &'a mut dyn Trees, scene: Scene<'a>, room: Room) -> Plan<'a> {
        Plan {
            trees,
            scene,
            room,
            sending: Sending::default(),
            sending_big: Sending::default(),
            applying: Applying::default(),
            applying_big: Applying::default(),
            reads: Vec::new(),
            read_bytes: 0,
            touched: BTreeSet::new(),
            unselected: Vec::new(),
            agreed: Vec::new(),
            shape: Shape::default(),
            applied: BTreeSet::new(),
            created: BTreeSet::new(),
            sent_parents: BTreeMap::new(),
            big_used: BTreeSet::new(),
            visiting: BTreeSet::new(),
            standings: BTreeMap::new(),
            outside: BTreeMap::new(),
            filters: BTreeMap::new(),
            lacking: BTreeMap::new(),
            residues: BTreeSet::new(),
            kept: None,
            filling: None,
        }
    }

    /// The places that the planned apply operations work on.
    pub(crate) fn into_places(self) -> BTreeSet<(NodeId, skep_types::Name)> {
        self.shape.into_used()
    }

    /// The directory that holds the node, here or else on the server.
    pub(crate) fn directory(&self, node: NodeId) -> NodeId {
        let local = self.trees.local(node).map(|local| local.parent);
        local.or_else(|| self.trees.remote(node).map(|state| state.place.parent)).unwrap_or(NodeId::ROOT)
    }

    /// Whether the node is a directory, here or else on the server.
    pub(crate) fn is_directory(&self, node: NodeId) -> bool {
        let local = self.trees.local(node).map(|local| local.kind());
        local.or_else(|| self.trees.remote(node).map(|state| state.kind())) == Some(Kind::Directory)
    }

    /// The directory that must come here, or be looked at, before the node can come into it; none if it waits for something else.
    pub(crate) fn needed_directory(&self, node: NodeId) -> Option<NodeId> {
        if self.trees.local(node).is_some() {
            return None;
        }
        let dir = self.trees.remote(node)?.place.parent;
        let is_needed = self.trees.local(dir).is_none() || !self.scene.observer.is_listed(dir);
        (dir != NodeId::ROOT && is_needed).then_some(dir)
    }

    /// Considers one node.
    pub(crate) fn consider(&mut self, node: NodeId) -> Outcome {
        if self.is_sent(node) || self.applied.contains(&node) {
            return Outcome::Done;
        }
        if self.scene.busy.contains(&node) || self.is_uncertain(node) || (self.scene.held)(node) {
            return Outcome::Waits;
        }
        if !self.visiting.insert(node) {
            return Outcome::Waits;
        }
        let outcome = self.decide(node);
        self.visiting.remove(&node);
        outcome
    }

    /// Whether it is not known where the node is, or what stands there.
    pub(super) fn is_uncertain(&self, node: NodeId) -> bool {
        let observer = &self.scene.observer;
        if observer.is_any_covered() && observer.is_covered(&*self.trees, self.directory(node)) {
            return true;
        }
        match self.trees.local(node) {
            Some(local) => {
                observer.is_missing(node)
                    || (local.parent != LIMBO && observer.is_unseen(local.parent))
                    || observer.is_pending(local.parent, &local.name)
            }
            None => observer.is_missing(node) || self.may_stand_as_applied(node),
        }
    }

    /// Whether an apply operation may have put the node where nobody has looked since: its result was never stored.
    fn may_stand_as_applied(&self, node: NodeId) -> bool {
        let observer = &self.scene.observer;
        let mut at = node;
        for _ in 0..CHAIN_MAX {
            let Some(Place { parent, name, .. }) = self.trees.applying(at).map(|state| state.place) else {
                return false;
            };
            if parent == NodeId::ROOT || self.trees.local(parent).is_some() {
                return observer.is_unseen(parent) || observer.is_pending(parent, &name);
            }
            at = parent;
        }
        false
    }

    fn decide(&mut self, node: NodeId) -> Outcome {
        let synced = self.trees.synced(node);
        let local = self.trees.local(node);
        let remote = self.trees.remote(node);
        let standing = self.standing(node);
        if let (Some(here), None) = (&local, &remote)
            && let Some(outcome) = self.relink(node, here)
        {
            return outcome;
        }
        if local.as_ref().is_some_and(|local| local.content == LocalContent::Unread) {
            return self.ask_to_read(node);
        }
        let synced = match &local {
            Some(local) => self.adopt_applied(node, local, synced.as_ref()).or(synced),
            None => synced,
        };
        if let Some(local) = &local
            && let Some(outcome) = self.trade_places(node, local, synced.as_ref(), remote.as_ref())
        {
            return outcome;
        }
        match (local, remote, standing) {
            (None, None, _) => {
                self.agreed.push(node);
                self.trees.set_synced(node, None);
                Outcome::Done
            }
            (None, Some(_), Standing::Trashed { .. }) => self.settle_gone(node, synced),
            (None, Some(remote), Standing::Live) if self.is_outside(node) => self.leave_out(node, &remote),
            (None, Some(remote), Standing::Live) => self.absent_here(node, synced, remote),
            (_, Some(_), Standing::Unknown) => Outcome::Waits,
            (Some(local), None, _) => self.send_new(node, local),
            (Some(local), Some(remote), Standing::Trashed { top, .. }) => {
                if top != node && self.outlives_trash(top) {
                    // It comes out of the trash there with its directory.
                    self.consider(top);
                    return Outcome::Waits;
                }
                self.trashed_there(node, synced, local, remote)
            }
            (Some(local), Some(remote), Standing::Live) => self.on_both_sides(node, synced, local, remote),
        }
    }

    /// Gone here and in the trash there.
    fn settle_gone(&mut self, node: NodeId, synced: Option<Synced>) -> Outcome {
        if synced.is_some() {
            self.trees.set_synced(node, None);
        }
        self.agreed.push(node);
        self.trees.set_offered(node, false);
        self.trees.rest(node, true);
        let beneath = self.trees.remote_children(node);
        let waiting = beneath.into_iter().filter(|child| self.trees.synced(*child).is_some());
        self.touched.extend(waiting.collect::<Vec<_>>());
        Outcome::Done
    }

    /// The server has it, this disk does not: it was deleted here, or it is to be made here.
    fn absent_here(&mut self, node: NodeId, synced: Option<Synced>, remote: NodeState) -> Outcome {
        if self.was_deleted_here(node, synced.as_ref(), &remote) {
            self.send_trash(node, &remote)
        } else if self.may_stand_as_agreed(node) {
            match self.trees.local(node) {
                None => Outcome::Waits,
                // What stands where it was then is it.
                Some(_) => self.decide(node),
            }
        } else {
            self.create_here(node, remote)
        }
    }

    /// A deletion needs evidence (it was here) and gives way to any change that this disk has not shown.
    pub(super) fn was_deleted_here(&mut self, node: NodeId, synced: Option<&Synced>, remote: &NodeState) -> bool {
        let mine = |version: Version| version.is_by(self.scene.who.device);
        let unchanged = match synced {
            Some(synced) => {
                let state = &synced.state;
                (state.place_version == remote.place_version || mine(remote.place_version))
                    && (state.content_version == remote.content_version || mine(remote.content_version))
            }
            None => self.trees.offered(node) && mine(remote.place_version) && mine(remote.content_version),
        };
        unchanged && !self.is_kept(node) && !self.is_outside(node)
    }

    /// In the trash there, on this disk here.
    fn trashed_there(&mut self, node: NodeId, synced: Option<Synced>, local: Local, remote: NodeState) -> Outcome {
        // Without a Synced state, what this device sent is what its disk showed.
        let (place, content) = match &synced {
            Some(synced) => (&synced.state.place, &synced.state.content),
            None => (&remote.place, &remote.content),
        };
        // What the server had when it went to the trash was brought here by the server, whether or not Synced got to know.
        let stands_at = |place: &Place| (local.parent, &local.name) == (place.parent, &place.name);
        let moved = !stands_at(place) && !stands_at(&remote.place) && local.name != swap_name(node);
        let holds = |content: &Content| local.content.known().is_none_or(|known| known.same_bytes(content));
        let edited = !holds(content) && !holds(&remote.content);
        let is_residue = self.is_residue(node, synced.as_ref(), &remote);
        if moved && is_residue {
            return self.become_new(node, &local, &remote);
        }
        let came_back = !is_residue && !is_purged(&remote) && self.came_back(node);
        let lives = moved || edited || came_back || self.outlives_trash(node);
        if lives { self.send_restored(node, &local, &remote) } else { self.remove_here(node, &local, remote) }
    }

    /// Whether this device put it in the trash, because it was gone from here: then a power cut brought it back.
    fn came_back(&mut self, node: NodeId) -> bool {
        matches!(self.standing(node), Standing::Trashed { by, .. } if by.is_by(self.scene.who.device))
    }

    /// Whether the node, itself in the trash there, was agreed on to live after it went there, by a history that the server has lost.
    fn outlives_trash(&self, node: NodeId) -> bool {
        let (Some(synced), Some(remote)) = (self.trees.synced(node), self.trees.remote(node)) else { return false };
        let is_newer = synced.state.place_version.seq > remote.place_version.seq;
        remote.place.trashed && is_newer && !is_purged(&remote) && self.trees.local(node).is_some()
    }

    /// On both sides: field group by field group.
    fn on_both_sides(&mut self, node: NodeId, synced: Option<Synced>, local: Local, remote: NodeState) -> Outcome {
        let merged = self.merge(node, synced.as_ref(), &local, &remote);
        let is_met = synced.is_none();
        let all = [merged.place, merged.content, merged.mode];
        if merged.place != Verdict::Send && self.is_outside(node) {
            return self.take_out(node, synced, &local, remote, &merged);
        }
        if all == [Verdict::Same; 3] && self.scene.observer.damage(node).is_some() {
            // Its bytes are not what both sides believe them to be.
            return self.change_here(node, &local, &remote, &merged);
        }
        if all == [Verdict::Same; 3] {
            self.agreed.push(node);
            self.trees.set_synced(node, Some(Synced { state: remote, shown: local.stat }));
            self.trees.set_offered(node, false);
            return Outcome::Done;
        }
        if let Some(synced) = synced {
            self.settle_partly(node, synced, &merged, &local, &remote);
        }
        if merged.content == Verdict::KeepBoth {
            let is_newer = is_met && merged.place == Verdict::Same && self.is_newer_at_join(&local, &remote);
            return match is_newer {
                true => self.send_newer(node, &local, &remote, &merged),
                false => self.keep_both(node, &local, &remote),
            };
        }
        if merged.place != Verdict::Apply && all.contains(&Verdict::Send) {
            return self.send_changes(node, &local, &remote, &merged);
        }
        match merged.place {
            Verdict::Apply => self.move_here(node, &local, &remote),
            _ => self.change_here(node, &local, &remote, &merged),
        }
    }

    /// [`merge`], but for two kinds of place that are nobody's wish: a name which only served to pass a circle of names on, and the
    /// trashed directory that the one where the server has the node recovers.
    pub(super) fn merge(&mut self, node: NodeId, synced: Option<&Synced>, local: &Local, remote: &NodeState) -> Merge {
        let merged = merge(synced, local, remote, |version| self.is_shown(node, synced, version));
        let is_left = merged.place == Verdict::Send
            && (local.name == swap_name(node)
                || (local.name == remote.place.name
                    && local.parent != remote.place.parent
                    && self.recovered(local.parent) == Some(remote.place.parent)));
        if is_left { Merge { place: Verdict::Apply, ..merged } } else { merged }
    }

    /// Whether this device sent that version of the node and has not taken the node from its disk since: then what the disk shows came after it.
    pub(super) fn is_shown(&self, node: NodeId, synced: Option<&Synced>, version: Version) -> bool {
        version.is_by(self.scene.who.device)
            && (synced.is_some() || self.trees.offered(node) || version.seq > self.trees.taken_out_to())
    }

    /// The live directory of the server that takes what lives on in `dir`: itself, or if it is in the trash the one that recovers
    /// it, or one that has its name by now; `None` if it is still to be made.
    pub(super) fn recovered(&mut self, dir: NodeId) -> Option<NodeId> {
        if dir == NodeId::ROOT {
            return Some(dir);
        }
        match self.standing(dir) {
            Standing::Live => Some(dir),
            Standing::Unknown => None,
            Standing::Trashed { by, .. } => {
                let made = ids::recovered_directory(dir, by);
                if self.trees.remote(made).is_some() {
                    return self.recovered(made);
                }
                let place = self.trees.remote(dir)?.place;
                let parent = self.recovered(place.parent)?;
                let there = self.trees.remote_child(parent, &place.name)?;
                self.trees.remote(there).filter(|state| state.content == Content::Directory).map(|state| state.node)
            }
        }
    }

    /// The field groups on which both sides agree are settled, so that the next change of one of them has a base.
    pub(super) fn settle_partly(
        &mut self,
        node: NodeId,
        synced: Synced,
        merged: &Merge,
        local: &Local,
        remote: &NodeState,
    ) {
        let mut state = synced.state.clone();
        if merged.place == Verdict::Same {
            state.place = remote.place.clone();
            state.place_version = remote.place_version;
        }
        // What this disk showed goes with the field group that it stands for.
        let mut shown = synced.shown;
        if merged.content == Verdict::Same {
            state.content = remote.content.clone();
            state.content_version = remote.content_version;
            shown = Stat { executable: shown.executable, ..local.stat };
        }
        if merged.mode == Verdict::Same {
            state.mode = remote.mode;
            state.mode_version = remote.mode_version;
            shown.executable = local.stat.executable;
        }
        if state != synced.state {
            self.trees.set_synced(node, Some(Synced { state, shown }));
        }
    }

    fn ask_to_read(&mut self, node: NodeId) -> Outcome {
        if !self.scene.observer.may_read(&*self.trees, node) {
            return Outcome::Waits;
        }
        if self.room.read == 0 {
            return Outcome::NoRoomToRead;
        }
        let Some(local) = self.trees.local(node) else { return Outcome::Waits };
        let Some(at) = self.location_now(&local) else { return Outcome::Waits };
        self.scene.observer.begin_read(node);
        self.read_bytes += local.stat.size;
        self.reads.push(ReadRequest { node, at, size: local.stat.size });
        self.room.read = if self.read_bytes >= PASS_BYTES_MAX { 0 } else { self.room.read - 1 };
        Outcome::Done
    }

    /// Where the node stands in the server's tree.
    pub(super) fn standing(&mut self, node: NodeId) -> Standing {
        let mut chain = Vec::new();
        let mut at = node;
        let mut found = Standing::Live;
        while at != NodeId::ROOT {
            if let Some(known) = self.standings.get(&at) {
                found = *known;
                break;
            }
            let Some(state) = self.trees.remote(at) else {
                found = Standing::Unknown;
                break;
            };
            if chain.len() == CHAIN_MAX {
                found = Standing::Unknown;
                break;
            }
            chain.push(state.clone());
            at = state.place.parent;
        }
        for state in chain.into_iter().rev() {
            // Also beneath what the server lost: what is in the trash by itself is not alive, whatever becomes of that.
            if matches!(found, Standing::Live | Standing::Unknown) && state.place.trashed {
                found = Standing::Trashed { top: state.node, by: state.place_version };
            }
            if state.kind() == Kind::Directory || state.node == node {
                self.standings.insert(state.node, found);
            }
        }
        found
    }

    /// Whether something beneath the directory wants it to stay.
    pub(super) fn is_kept(&mut self, node: NodeId) -> bool {
        if self.kept.is_none() {
            let kept = self.find_kept();
            self.kept = Some(kept);
        }
        self.kept.as_ref().is_some_and(|kept| kept.contains(&node))
    }

    /// All directories above nodes that live, and that another device changed or of which nothing tells that they were ever here.
    fn find_kept(&mut self) -> BTreeSet<NodeId> {
        let mut kept = BTreeSet::new();
        // What is not here by choice was not here to be deleted.
        for node in self.scene.observer.filters.deselected() {
            let mut at = *node;
            while let Some(state) = self.trees.remote(at).filter(|state| !state.place.trashed)
                && state.place.parent != NodeId::ROOT
                && kept.insert(state.place.parent)
            {
                at = state.place.parent;
            }
        }
        for node in self.trees.differing_remotely(None, usize::MAX) {
            let Some(remote) = self.trees.remote(node) else { continue };
            let synced = self.trees.synced(node);
            let same = |version: fn(&NodeState) -> Version| {
                synced.as_ref().is_some_and(|synced| version(&synced.state) == version(&remote))
                    || self.is_shown(node, synced.as_ref(), version(&remote))
            };
            if (same(|state| state.place_version) && same(|state| state.content_version))
                || self.standing(node) != Standing::Live
            {
                continue;
            }
            let mut at = remote.place.parent;
            while at != NodeId::ROOT && kept.insert(at) {
                match self.trees.remote(at) {
                    Some(state) => at = state.place.parent,
                    None => break,
                }
            }
        }
        kept
    }

    /// Adds a group to the commit that it belongs to.
    pub(super) fn push_group(&mut self, operations: Vec<Operation>, sources: Vec<(NodeId, Source)>) {
        let bytes: u64 = sources.iter().map(|(_, source)| source.content.size).sum();
        let big = bytes > self.scene.limits.bundle_bytes_max as u64;
        let sending = if big { &mut self.sending_big } else { &mut self.sending };
        for operation in &operations {
            sending.nodes.insert(operation.node());
            if let Some(parent) = send::new_parent(operation) {
                self.sent_parents.insert(operation.node(), parent);
            }
            if let Operation::Create { node, .. } = operation {
                self.created.insert(*node);
                // A directory that recovers others is not on this disk yet: its absence is no deletion.
                if self.trees.local(*node).is_some() {
                    self.trees.set_offered(*node, true);
                }
            }
            // A create is the longest operation: three ids, versions, a name, a content id.
            sending.encoded_bytes += 192 + skep_types::Name::BYTES_MAX;
        }
        sending.operations += operations.len();
        sending.content_bytes += bytes;
        sending.sources.extend(sources);
        sending.groups.push(Group(operations));
        let limits = self.scene.limits;
        if big {
            self.room.send_big = false;
        } else if sending.operations + CHAIN_MAX.min(limits.commit_operations_max / 8) >= limits.commit_operations_max
            || sending.encoded_bytes >= limits.commit_bytes_max / 2
            || sending.content_bytes >= limits.bundle_bytes_max as u64
            || sending.sources.len() >= limits.bundle_files_max
        {
            self.room.send = false;
        }
    }

    /// Adds an apply operation to the batch that it belongs to.
    pub(super) fn push_apply(&mut self, node: NodeId, kind: ApplyKind, purpose: Purpose) {
        let bytes = match &kind {
            ApplyKind::Create { content, .. } | ApplyKind::Replace { content, .. } => {
                content.file().map_or(0, |file| file.size)
            }
            _ => 0,
        };
        let big = self.is_big(bytes);
        let nearby = self.nearby(node, &kind);
        let applying = if big { &mut self.applying_big } else { &mut self.applying };
        applying.operations.push((ApplyOperation { node, kind, nearby }, purpose));
        applying.content_bytes += bytes;
        self.applied.insert(node);
        if big {
            let mut at = self.directory(node);
            while at != NodeId::ROOT && self.big_used.insert(at) {
                at = self.directory(at);
            }
            self.room.apply_big = false;
        } else if applying.operations.len() >= self.scene.limits.bundle_files_max
            || applying.content_bytes >= self.scene.limits.bundle_bytes_max as u64
        {
            self.room.apply = false;
        }
    }

    /// Whether the path to the directory holds while this pass's operations are carried out.
    pub(super) fn is_steady(&self, dir: NodeId, bytes: u64) -> bool {
        let mut at = dir;
        for _ in 0..CHAIN_MAX {
            // A big file goes in a batch of its own, which must not wait for the other one.
            if self.scene.traffic.moving.contains(&at) || (self.is_big(bytes) && self.applied.contains(&at)) {
                return false;
            }
            match self.shape.place(self.trees, at) {
                Some((parent, _)) => at = parent,
                None => return true,
            }
        }
        false
    }

    /// Whether nothing that is under way goes through the node.
    pub(super) fn may_leave(&self, node: NodeId) -> bool {
        !self.scene.traffic.used.contains(&node) && !self.big_used.contains(&node)
    }

    pub(super) fn is_big(&self, bytes: u64) -> bool {
        bytes > self.scene.limits.bundle_bytes_max as u64
    }

    /// Where something stands before any planned operation is carried out.
    pub(super) fn location_now(&self, local: &Local) -> Option<Location> {
        Shape::default().location(self.trees, local.parent, &local.name)
    }

    /// The location of a node, with the operations planned so far carried out.
    pub(super) fn location(&self, node: NodeId) -> Option<Location> {
        let (parent, name) = self.shape.place(self.trees, node)?;
        self.shape.location(self.trees, parent, &name)
    }
}

/// The reads of a pass, in parts that can go to several hands.
pub(crate) fn read_effects(reads: Vec<ReadRequest>) -> Vec<Effect> {
    let mut parts: Vec<Vec<ReadRequest>> = Vec::new();
    let mut bytes = 0;
    for read in reads {
        bytes += read.size;
        match parts.last_mut() {
            Some(part) if part.len() < READ_FILES_MAX && bytes <= READ_BYTES_MAX => part.push(read),
            _ => {
                bytes = read.size;
                parts.push(vec![read]);
            }
        }
    }
    parts.into_iter().map(Effect::Read).collect()
}
