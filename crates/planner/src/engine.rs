//! The loop as a state machine: observe, reconcile, plan, execute, observe.

mod corrected;
mod hold;
mod ignored;
mod judge;
mod listing;
mod own;
mod report;
mod results;
mod selection;
mod special;

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{
    Commit, CommitId, Cursor, DeviceId, DriveId, Entry, Kind, Limits, Name, NodeId, NodeState, Seq, Stat, Timestamp,
    Version,
};

use crate::absence::{Absence, Absences, Found};
use crate::ids::IdSource;
use crate::observe::{Findings, Observer};
use crate::plan::{Applying, Begun, Outcome, Plan, Purpose, Room, Scene, Sending, Traffic, new_parent, read_effects};
use crate::shadow::{begin, is_purged};
use crate::trees::{CHAIN_MAX, LocalContent, Synced, Trees};
use crate::{ApplyKind, ApplyOperation, BatchId, Effect, Event, Input};

pub use corrected::Correction;
pub use ignored::{IgnoreCheck, Ignored};
pub use listing::{Listed, Listing, path_here};
pub use report::{EngineProblem, Progress};
pub use selection::Selectable;

use hold::Holds;

/// Files that are read at once, and commits and batches that are under way at once.
const READS_MAX: usize = 1024;
const COMMITS_MAX: usize = 3;
const BATCHES_MAX: usize = 3;

/// Nodes that wait for room, with their directory first: what lies together travels together, so that a batch works in few directories.
type Queue = BTreeSet<(NodeId, NodeId)>;

/// Who an engine works for.
#[derive(Debug, Clone)]
pub struct Identity {
    /// This device.
    pub device: DeviceId,
    /// What its owner calls it; stands in the names of conflict copies.
    pub device_name: String,
    /// The drive that the folder shows.
    pub drive: DriveId,
}

/// A commit that is under way.
#[derive(Debug)]
struct CommitUnderWay {
    groups: Vec<BTreeSet<NodeId>>,
    /// Nodes of groups that bring content.
    bringing: BTreeSet<NodeId>,
    big: bool,
}

/// A batch that is under way.
#[derive(Debug)]
struct BatchUnderWay {
    operations: Vec<(ApplyOperation, Purpose)>,
    places: BTreeSet<(NodeId, Name)>,
    big: bool,
}

/// The client's mind. Owns no data but what may be lost: everything that must survive is in the trees.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    limits: Limits,
    ids: IdSource,
    now: Timestamp,
    at_ms: u64,
    observer: Observer,
    holds: Holds,
    absences: Absences,
    /// The first look at everything since the start is not over.
    is_starting: bool,
    /// Nodes to be considered.
    touched: BTreeSet<NodeId>,
    /// Nodes that wait for something else to happen.
    blocked: BTreeSet<NodeId>,
    /// Nodes that are to come into a directory which is not here yet, or was not looked at yet, by that directory.
    waiters: BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// Nodes that are ready, but for which there was no room.
    to_read: Queue,
    to_send: Queue,
    to_send_big: Queue,
    to_apply: Queue,
    to_apply_big: Queue,
    /// Nodes for which something is under way.
    busy: BTreeSet<NodeId>,
    commits: BTreeMap<CommitId, CommitUnderWay>,
    batches: BTreeMap<BatchId, BatchUnderWay>,
    traffic: Traffic,
    batches_begun: u64,
    /// Where commits put nodes that are busy since: the journal is still to tell of it.
    put: BTreeMap<NodeId, NodeId>,
    /// Nodes that stay busy until the journal was taken up to a position.
    releases: BTreeMap<Seq, BTreeSet<NodeId>>,
    connected: bool,
    /// Folder and server have not agreed yet since they came together.
    begun: Option<Begun>,
    head: Seq,
    /// Nothing is sent before the journal was taken up to where it ended when the connection was made.
    send_from: Seq,
    /// Nothing is sent before this time.
    send_after_ms: u64,
    pulling: bool,
}

impl Engine {
    /// An engine that draws ids from `seed`, which nobody else can know.
    pub fn new(identity: Identity, seed: [u8; 32], limits: Limits) -> Engine {
        Engine {
            identity,
            limits,
            ids: IdSource::new(seed),
            now: Timestamp::default(),
            at_ms: 0,
            observer: Observer::new(limits),
            holds: Holds::default(),
            absences: Absences::default(),
            is_starting: true,
            touched: BTreeSet::new(),
            blocked: BTreeSet::new(),
            waiters: BTreeMap::new(),
            to_read: Queue::new(),
            to_send: Queue::new(),
            to_send_big: Queue::new(),
            to_apply: Queue::new(),
            to_apply_big: Queue::new(),
            busy: BTreeSet::new(),
            commits: BTreeMap::new(),
            batches: BTreeMap::new(),
            traffic: Traffic::default(),
            batches_begun: 0,
            put: BTreeMap::new(),
            releases: BTreeMap::new(),
            connected: false,
            begun: None,
            head: Seq::START,
            send_from: Seq::START,
            send_after_ms: 0,
            pulling: false,
        }
    }

    /// Takes events, in the order in which they came, and says what to do. Everything that it writes to `trees` must be stored before the
    /// effects are carried out. Give it all events that wait at once: what is planned together travels together.
    pub fn step(&mut self, trees: &mut dyn Trees, inputs: impl IntoIterator<Item = Input>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut unblock = false;
        for input in inputs {
            self.now = input.now;
            self.at_ms = input.at_ms;
            self.observer.set_now(input.now, input.at_ms);
            unblock |= !matches!(input.event, Event::Read { .. } | Event::Changed { .. } | Event::Tick);
            self.take(trees, input.event, &mut effects);
        }
        let mut findings = Findings::default();
        let mut wake = self.observer.settle(trees, &mut self.ids, &mut findings);
        self.take_absences(trees, &mut findings);
        self.take_findings(findings);
        let expired = self.holds.expire(self.at_ms);
        for dir in expired.iter().filter(|node| self.holds.is_unlistable(**node)) {
            self.observer.look_anew(*dir);
        }
        for node in expired.iter().filter(|node| self.holds.is_special(**node)) {
            self.observer.look_at(trees, *node);
        }
        self.holds.forget_gone(|node| is_directory_here(trees, node));
        unblock |= !expired.is_empty();
        self.touched.extend(expired);
        if unblock || self.is_idle() {
            self.touched.append(&mut self.blocked);
        }
        if self.is_idle() && !self.observer.is_looking() {
            // Nothing is under way that could end their waiting: whatever it was, they are considered again.
            self.touched.extend(std::mem::take(&mut self.waiters).into_values().flatten());
        }
        if trees.cursor().is_some() {
            self.absences.review(trees, &self.touched);
            effects.extend(self.plan(trees));
            self.end_beginning(trees);
        }
        effects.extend(self.observer.looks(trees));
        let verdict = self.judge_absences(trees);
        trees.set_last_step(self.now);
        if self.send_after_ms > self.at_ms {
            wake = Some(wake.map_or(self.send_after_ms, |wake| wake.min(self.send_after_ms)));
        }
        // What a queue left to be considered has no event of its own to wait for. Before the first cursor nothing can be.
        let is_left = trees.cursor().is_some() && !self.touched.is_empty() && self.is_idle();
        let left = is_left.then_some(self.at_ms);
        let wake = [wake, verdict, left, self.observer.next_grown(), self.holds.next()].into_iter().flatten().min();
        effects.extend(wake.map(|at_ms| Effect::WakeAt { at_ms: at_ms.max(self.at_ms + 1) }));
        effects
    }

    /// Once folder and server agree, what each of them does is a change against that.
    fn end_beginning(&mut self, trees: &mut dyn Trees) {
        if self.begun.is_some() && self.is_settled(trees) {
            self.begun = None;
            trees.set_beginning(None);
            trees.clear_past();
        }
    }

    /// Whether nothing is under way whose end would bring an event.
    fn is_idle(&self) -> bool {
        self.commits.is_empty()
            && self.batches.is_empty()
            && self.releases.is_empty()
            && self.observer.reads_under_way() == 0
    }

    fn take(&mut self, trees: &mut dyn Trees, event: Event, effects: &mut Vec<Effect>) {
        let mut findings = Findings::default();
        match event {
            Event::Started => {
                self.begun = Begun::load(trees);
                self.observer.start(trees);
                self.absences.load(trees, self.at_ms);
                self.observer.load_damages(trees);
                self.touched.extend(self.observer.damages().keys().copied());
                let differing = trees.differing(None, usize::MAX);
                let interrupted =
                    trees.applying_nodes().into_iter().filter(|node| differing.binary_search(node).is_ok());
                effects.extend(interrupted.filter_map(|node| self.observer.check_interrupted(trees, node)));
                self.touched.extend(differing);
            }
            Event::Changed { dir, name, change } => {
                self.observer.hint_follows(trees, dir, &name, change);
                effects.extend(self.observer.check_displaced(dir, &name, change));
                self.try_again_below(trees, dir, &name);
                self.observer.tell(trees, dir, &name);
                self.observer.hint(dir, name, change);
            }
            Event::Unwatched { dir } => self.observer.unwatched(trees, dir),
            Event::ScanDue => {
                self.observer.scan();
                effects.extend(self.observer.check_all_displaced());
            }
            Event::Looked { look, watching, result } => {
                self.observer.looked(trees, &mut self.ids, look, watching, result, &mut findings);
            }
            Event::Read { node, result } => {
                self.observer.read(trees, node, result, &mut findings);
            }
            Event::Audited { node, result } if !self.busy.contains(&node) => {
                self.observer.audited(trees, node, result, &mut findings);
            }
            Event::Audited { .. } => {}
            Event::Committed { commit, result } => self.committed(trees, commit, result, effects),
            Event::Applied { batch, results } => self.applied(trees, batch, results, &mut findings, effects),
            Event::CameBack { names } => self.observer.came_back(names),
            Event::Connected => {
                self.connected = true;
                self.send_from = self.head;
                self.send_after_ms = 0;
                self.touched.extend(self.holds.forgive_link());
            }
            Event::Disconnected => self.connected = false,
            Event::Entries { after, entries, to, head } => self.entries(trees, after, entries, to, head, effects),
            Event::PullFailed => self.pulling = false,
            Event::SnapshotRows { rows } => {
                if trees.cursor().is_none() {
                    for row in rows {
                        self.touched.insert(row.node);
                        trees.set_remote(row.node, Some(row));
                    }
                }
            }
            Event::PastRows { rows } => {
                if trees.cursor().is_none() {
                    rows.into_iter().for_each(|row| trees.set_past(row));
                }
            }
            Event::SnapshotDone { cursor, since } => {
                if trees.cursor().is_none() {
                    trees.set_cursor(Some(cursor));
                    self.head = self.head.max(cursor.seq);
                    begin(trees, since);
                    self.begun = Begun::load(trees);
                }
            }
            Event::ShadowBegun => {
                trees.clear_shadow();
                if trees.cursor().is_none() {
                    trees.clear_past();
                }
            }
            Event::Corrected { at, corrections } => self.corrected(trees, at, corrections),
            Event::ShadowRows { rows } => rows.into_iter().for_each(|row| trees.set_shadow(row)),
            Event::Head(head) => {
                self.head = self.head.max(head);
                self.pull_if_behind(trees, effects);
            }
            Event::Selected { outside, changes } => {
                self.observer.select(trees, outside, changes, &mut findings);
                self.holds.try_again(self.at_ms, |_| true);
            }
            Event::HoldDecided { hold, under, decision } => {
                let under = under.map(|path| report::follow(&path, |parent, name| trees.remote_child(parent, name)));
                if under != Some(None) {
                    self.touched.extend(self.absences.decide(trees, hold, under.flatten(), decision));
                }
            }
            Event::TryAgain => self.holds.try_again(self.at_ms, |_| true),
            Event::Tick => {}
        }
        self.take_findings(findings);
    }

    /// Somebody did something to this entry: perhaps what it takes that a problem of it, or of an entry of it, is none any more.
    fn try_again_below(&mut self, trees: &dyn Trees, dir: NodeId, name: &Name) {
        if self.holds.troubles().next().is_none() {
            return;
        }
        if let Some(node) = trees.local_child(dir, name) {
            let is_in_it = |held| trees.local(held).is_some_and(|local| local.parent == node);
            self.holds.try_again(self.at_ms, |held| held == node || is_in_it(held));
        }
    }

    fn take_findings(&mut self, findings: Findings) {
        self.touched.extend(findings.touched);
        if !findings.changed.is_empty() {
            self.holds.try_again(self.at_ms, |node| findings.changed.contains(&node));
        }
        for node in findings.readable {
            self.holds.forget(node);
        }
        for node in findings.plain {
            self.holds.seen(node);
            // What failed beneath it, or because of it, may go well now.
            self.holds.try_again(self.at_ms, |_| true);
        }
        for (node, own) in findings.special {
            self.holds.special(node, own, self.now, self.at_ms);
        }
        for (node, error) in findings.unreadable {
            self.holds.unreadable(node, error, self.now, self.at_ms);
        }
        for dir in findings.listed {
            self.holds.listed(dir);
            self.touched.extend(self.waiters.remove(&dir).into_iter().flatten());
        }
        for dir in findings.unlistable {
            self.holds.unlistable(dir, self.now, self.at_ms);
        }
    }

    /// Takes a page of the journal into Remote, whole commits at a time.
    fn entries(
        &mut self,
        trees: &mut dyn Trees,
        after: Seq,
        entries: Vec<Entry>,
        to: Cursor,
        head: Seq,
        effects: &mut Vec<Effect>,
    ) {
        self.pulling = false;
        self.head = self.head.max(head).max(to.seq);
        let Some(cursor) = trees.cursor() else { return };
        if after > cursor.seq {
            // Something between was lost on the way.
            return self.pull_if_behind(trees, effects);
        }
        if to.seq <= cursor.seq {
            return;
        }
        for entry in entries.into_iter().filter(|entry| entry.seq > cursor.seq) {
            // A snapshot is newer in places than the cursor that comes with it.
            if trees.remote(entry.state.node).is_none_or(|known| known.newest().seq < entry.seq || is_purged(&known)) {
                self.take_entry(trees, entry);
            }
        }
        trees.set_cursor(Some(to));
        self.release(to.seq);
        self.pull_if_behind(trees, effects);
    }

    fn take_entry(&mut self, trees: &mut dyn Trees, entry: Entry) {
        self.settle_own(trees, &entry);
        self.take_state(trees, entry.state);
    }

    /// The server says this of a node from now on.
    fn take_state(&mut self, trees: &mut dyn Trees, state: NodeState) {
        let node = state.node;
        let before = trees.remote(node).filter(|before| before.kind() == Kind::Directory);
        let is_elsewhere = before.as_ref().is_some_and(|before| before.place != state.place);
        let rested = (is_elsewhere && trees.rests(node)) || (before.is_some() && !is_live_remotely(trees, node));
        trees.set_remote(node, Some(state));
        self.touched.insert(node);
        self.holds.try_again(self.at_ms, |held| held == node);
        if rested {
            // It was in the trash, by itself or with a directory above it, or left out where it was: what rests beneath it may live again.
            let mut left = trees.remote_children(node);
            while let Some(child) = left.pop() {
                trees.rest(child, false);
                self.touched.insert(child);
                left.extend(trees.remote_children(child));
            }
        } else if is_elsewhere {
            self.observer.wake_beneath(trees, node, &mut self.touched);
        }
    }

    /// What this device sent is an ancestor of what its disk shows, and so is a version that the disk shows because it was applied before a
    /// power cut took the state back. Before another device's change takes its place in Remote, it becomes the merge base.
    fn settle_own(&mut self, trees: &mut dyn Trees, entry: &Entry) {
        let node = entry.state.node;
        let Some(before) = trees.remote(node) else { return };
        let synced = trees.synced(node);
        let Some(local) = trees.local(node) else { return self.pass_over(trees, before, synced.is_some()) };
        let is_base = |version: fn(&NodeState) -> Version| {
            let of_remote = version(&before);
            of_remote.is_by(self.identity.device)
                && !version(&entry.state).is_by(self.identity.device)
                && synced.as_ref().is_none_or(|synced| version(&synced.state) != of_remote)
        };
        let place = is_base(|state| state.place_version);
        let is_new_content = before.content_version != entry.state.content_version
            && synced.as_ref().is_none_or(|synced| synced.state.content_version != before.content_version);
        let is_here = local.content.known().is_some_and(|known| known.same_bytes(&before.content));
        if is_new_content && local.content == LocalContent::Unread {
            self.observer.pass_by(trees, before.clone());
        }
        let content = is_base(|state| state.content_version) || (is_new_content && is_here && synced.is_some());
        let mode = is_base(|state| state.mode_version);
        if !(place || content || mode) {
            return;
        }
        let is_new = synced.is_none();
        let mut base = synced.unwrap_or_else(|| Synced { state: before.clone(), shown: local.stat });
        if place {
            (base.state.place, base.state.place_version) = (before.place, before.place_version);
        }
        if content || is_new {
            let is_shown = local.content.known() == Some(&before.content);
            let sent_mtime = before.content.file().map_or(local.stat.mtime, |file| file.mtime);
            let mtime = if is_shown { local.stat.mtime } else { sent_mtime };
            base.shown = Stat { mtime, executable: base.shown.executable, ..local.stat };
            (base.state.content, base.state.content_version) = (before.content, before.content_version);
        }
        if mode || is_new {
            // Only a change against what was shown is an edit.
            base.shown.executable = (local.mode == before.mode) == local.stat.executable;
            (base.state.mode, base.state.mode_version) = (before.mode, before.mode_version);
        }
        trees.set_synced(node, Some(base));
        trees.set_offered(node, false);
    }

    /// A version of a file that is not here, which a newer one follows, passes by. If what stands in its place is not known, or not what was
    /// synced there, it may be this version, applied before a power cut took the state back.
    fn pass_over(&mut self, trees: &mut dyn Trees, version: NodeState, was_here: bool) {
        let Some(other) = trees.local_child(version.place.parent, &version.place.name) else { return };
        let Some(local) = trees.local(other) else { return };
        let may_be_it = match local.content.known() {
            Some(known) => {
                let is_itself = trees.synced(other).is_some_and(|synced| known.same_bytes(&synced.state.content));
                known.same_bytes(&version.content) && !is_itself
            }
            None => true,
        };
        if !was_here && may_be_it && version.kind() != Kind::Directory {
            self.observer.pass_by(trees, version);
        }
    }

    /// The journal was taken up to here: what waited for it can go on.
    fn release(&mut self, seq: Seq) {
        let later = self.releases.split_off(&seq.next());
        for nodes in std::mem::replace(&mut self.releases, later).into_values() {
            self.free(nodes);
        }
    }

    fn free(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        for node in nodes {
            self.busy.remove(&node);
            self.put.remove(&node);
            self.touched.insert(node);
        }
    }

    /// Without a feed, the journal is asked for.
    fn pull_if_behind(&mut self, trees: &dyn Trees, effects: &mut Vec<Effect>) {
        let behind = trees.cursor().is_some_and(|cursor| cursor.seq < self.head);
        if behind && !self.pulling {
            self.pulling = true;
            effects.push(Effect::Pull);
        }
    }

    /// What can be done now.
    fn plan(&mut self, trees: &mut dyn Trees) -> Vec<Effect> {
        let room = self.room(trees);
        let holds = &self.holds;
        let held = |node: NodeId| holds.holds(node);
        let scene = Scene {
            who: &self.identity,
            limits: &self.limits,
            seen: trees.cursor().map_or(Seq::START, |cursor| cursor.seq),
            begun: self.begun.as_ref(),
            busy: &self.busy,
            put: &self.put,
            traffic: &self.traffic,
            held: &held,
            observer: &mut self.observer,
            absences: &self.absences,
        };
        let mut plan = Plan::new(trees, scene, room);
        let mut waiting = Waiting::default();
        consider_touched(&mut self.touched, &mut self.waiters, &mut waiting, &mut plan);
        fill(&mut self.to_read, &mut waiting, &mut plan, |plan| plan.room.read > 0);
        // Big and small ones wait apart: room for a big one is no reason to consider all the small ones.
        fill(&mut self.to_send_big, &mut waiting, &mut plan, |plan| plan.room.send_big);
        fill(&mut self.to_send, &mut waiting, &mut plan, |plan| plan.room.send);
        fill(&mut self.to_apply_big, &mut waiting, &mut plan, |plan| plan.room.apply_big);
        fill(&mut self.to_apply, &mut waiting, &mut plan, |plan| plan.room.apply);
        // What was decided for those touches others: nothing else may come that would make them be considered.
        self.touched.append(&mut plan.touched);
        consider_touched(&mut self.touched, &mut self.waiters, &mut waiting, &mut plan);
        self.touched.append(&mut plan.touched);
        self.blocked.append(&mut waiting.blocked);
        for (dir, mut nodes) in waiting.waiters {
            self.waiters.entry(dir).or_default().append(&mut nodes);
        }
        self.to_read.extend(waiting.to_read);
        self.to_send.extend(waiting.to_send);
        self.to_send_big.extend(waiting.to_send_big);
        self.to_apply.extend(waiting.to_apply);
        self.to_apply_big.extend(waiting.to_apply_big);

        let sendings = [(std::mem::take(&mut plan.sending), false), (std::mem::take(&mut plan.sending_big), true)];
        let applyings = [(std::mem::take(&mut plan.applying), false), (std::mem::take(&mut plan.applying_big), true)];
        let reads = std::mem::take(&mut plan.reads);
        let agreed = std::mem::take(&mut plan.agreed);
        let unselected = std::mem::take(&mut plan.unselected);
        let places = plan.into_places();
        self.absences.review(trees, &agreed);
        for node in agreed {
            self.holds.forget(node);
        }
        for node in unselected {
            self.holds.unselected(node, self.now, self.at_ms);
        }
        let mut effects = read_effects(reads);
        for (sending, big) in sendings {
            effects.extend(self.begin_commit(sending, big));
        }
        for (applying, big) in applyings {
            effects.extend(self.begin_batch(trees, applying, big, &places));
        }
        effects
    }

    /// What may be begun. One commit is always sent at once; a further one only when it is full, so that what comes while the first is
    /// under way travels together.
    fn room(&self, trees: &dyn Trees) -> Room {
        let caught_up = trees.cursor().is_some_and(|cursor| cursor.seq >= self.send_from);
        let may_send = self.connected && caught_up && self.at_ms >= self.send_after_ms;
        let small_commits = self.commits.values().filter(|commit| !commit.big).count();
        let small_batches = self.batches.values().filter(|batch| !batch.big).count();
        let many = self.limits.bundle_files_max / 2;
        let more = |under_way: usize, max: usize, waiting: usize| under_way == 0 || (under_way < max && waiting > many);
        Room {
            send: may_send && more(small_commits, COMMITS_MAX, self.to_send.len()),
            send_big: may_send && small_commits == self.commits.len(),
            apply: more(small_batches, BATCHES_MAX, self.to_apply.len()),
            apply_big: small_batches == self.batches.len(),
            fetch: self.connected,
            judge: self.connected && caught_up,
            read: READS_MAX.saturating_sub(self.observer.reads_under_way()),
        }
    }

    fn begin_commit(&mut self, sending: Sending, big: bool) -> Option<Effect> {
        if sending.groups.is_empty() {
            return None;
        }
        let id = self.ids.commit(self.identity.device);
        let groups: Vec<BTreeSet<NodeId>> =
            sending.groups.iter().map(|group| group.0.iter().map(|operation| operation.node()).collect()).collect();
        self.busy.extend(groups.iter().flatten().copied());
        let operations = sending.groups.iter().flat_map(|group| &group.0);
        self.put.extend(operations.filter_map(|operation| Some((operation.node(), new_parent(operation)?))));
        let brings = |group: &&BTreeSet<NodeId>| group.iter().any(|node| sending.sources.contains_key(node));
        let bringing = groups.iter().filter(brings).flatten().copied().collect();
        self.commits.insert(id, CommitUnderWay { groups, bringing, big });
        let drive = self.identity.drive;
        let evidence = self.absences.evidence(sending.nodes.iter());
        let commit = Commit { id, drive, groups: sending.groups, evidence };
        Some(Effect::Commit { commit, sources: sending.sources })
    }

    fn begin_batch(
        &mut self,
        trees: &mut dyn Trees,
        applying: Applying,
        big: bool,
        places: &BTreeSet<(NodeId, Name)>,
    ) -> Option<Effect> {
        if applying.operations.is_empty() {
            return None;
        }
        self.batches_begun += 1;
        let batch = BatchId(self.batches_begun);
        self.observer.freeze(places);
        let operations: Vec<ApplyOperation> =
            applying.operations.iter().map(|(operation, _)| operation.clone()).collect();
        for (operation, purpose) in &applying.operations {
            self.busy.insert(operation.node);
            match purpose {
                Purpose::Copy { copy, .. } => _ = self.busy.insert(*copy),
                // What was touched is what it was if it is found again.
                Purpose::Become(state) if !matches!(operation.kind, ApplyKind::Touch { .. }) => {
                    trees.set_applying(operation.node, Some(NodeState::clone(state)));
                }
                _ => {}
            }
        }
        let under_way = BatchUnderWay { operations: applying.operations, places: places.clone(), big };
        self.batches.insert(batch, under_way);
        self.count_traffic(trees);
        Some(Effect::Apply { batch, operations })
    }
}

impl Engine {
    /// Through which directories the batches under way go, and what they move.
    fn count_traffic(&mut self, trees: &dyn Trees) {
        let mut traffic = Traffic::default();
        for batch in self.batches.values() {
            for (dir, _) in &batch.places {
                let mut at = *dir;
                while at != NodeId::ROOT && traffic.used.insert(at) {
                    let Some(local) = trees.local(at) else { break };
                    at = local.parent;
                }
            }
            let moves = |kind: &ApplyKind| matches!(kind, ApplyKind::Rename { .. } | ApplyKind::Remove { .. });
            let moved = batch.operations.iter().filter(|(operation, _)| moves(&operation.kind));
            traffic.moving.extend(moved.map(|(operation, _)| operation.node));
        }
        self.traffic = traffic;
    }
}

/// Whether the node is a directory on this disk.
fn is_directory_here(trees: &dyn Trees, node: NodeId) -> bool {
    node == NodeId::ROOT || trees.local(node).is_some_and(|local| local.kind() == Kind::Directory)
}

/// Whether neither the node nor a directory above it is in the trash on the server.
fn is_live_remotely(trees: &dyn Trees, node: NodeId) -> bool {
    let mut at = node;
    for _ in 0..CHAIN_MAX {
        match trees.remote(at) {
            _ if at == NodeId::ROOT => return true,
            Some(state) if !state.place.trashed => at = state.place.parent,
            _ => return false,
        }
    }
    false
}

/// Where the nodes of a pass go that could not be done.
#[derive(Debug, Default)]
struct Waiting {
    blocked: BTreeSet<NodeId>,
    waiters: BTreeMap<NodeId, BTreeSet<NodeId>>,
    to_read: Queue,
    to_send: Queue,
    to_send_big: Queue,
    to_apply: Queue,
    to_apply_big: Queue,
}

impl Waiting {
    fn sort(&mut self, plan: &Plan<'_>, node: NodeId, outcome: Outcome) {
        let queue = match outcome {
            Outcome::Done => return,
            Outcome::Waits => {
                match plan.needed_directory(node) {
                    Some(dir) => self.waiters.entry(dir).or_default().insert(node),
                    None => self.blocked.insert(node),
                };
                return;
            }
            Outcome::NoRoomToRead => &mut self.to_read,
            Outcome::NoRoomToSend => &mut self.to_send,
            Outcome::NoRoomToSendBig => &mut self.to_send_big,
            Outcome::NoRoomToApply => &mut self.to_apply,
            Outcome::NoRoomToApplyBig => &mut self.to_apply_big,
        };
        // Directories first: what lies in one waits for it, and would be considered again and again meanwhile.
        let directory = if plan.is_directory(node) { NodeId::ROOT } else { plan.directory(node) };
        queue.insert((directory, node));
    }
}

/// Considers the nodes that were touched. Each is considered a bounded number of times: when it was touched, and when another one touched it.
fn consider_touched(
    touched: &mut BTreeSet<NodeId>,
    all_waiters: &mut BTreeMap<NodeId, BTreeSet<NodeId>>,
    waiting: &mut Waiting,
    plan: &mut Plan<'_>,
) {
    let mut rounds = 0;
    while let Some(node) = touched.pop_first() {
        let outcome = plan.consider(node);
        waiting.sort(plan, node, outcome);
        if outcome == Outcome::Done
            && let Some(waiters) = all_waiters.remove(&node)
        {
            touched.extend(waiters);
        }
        if touched.is_empty() && rounds < 8 {
            rounds += 1;
            touched.append(&mut plan.touched);
        }
    }
}

/// Considers the nodes of a queue while there is room.
fn fill(queue: &mut Queue, waiting: &mut Waiting, plan: &mut Plan<'_>, has_room: impl Fn(&Plan<'_>) -> bool) {
    let mut left = std::mem::take(queue);
    while has_room(plan)
        && let Some((_, node)) = left.pop_first()
    {
        let outcome = plan.consider(node);
        waiting.sort(plan, node, outcome);
    }
    queue.append(&mut left);
}
