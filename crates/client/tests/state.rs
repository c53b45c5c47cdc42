//! The state in SQLite against three plain maps: whatever is set, both give the same answers.
#![expect(clippy::unwrap_used, reason = "a failing test should say where")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skep_client::SqliteTrees;
use skep_planner::{Absence, Beginning, Found, Local, LocalContent, Stage, Synced, Trees};
use skep_types::*;

/// The three trees, kept whole.
#[derive(Default)]
struct Model {
    synced: BTreeMap<NodeId, Synced>,
    local: BTreeMap<NodeId, Local>,
    remote: BTreeMap<NodeId, NodeState>,
    resting: BTreeSet<NodeId>,
    left_out: BTreeSet<NodeId>,
    offered: BTreeSet<NodeId>,
    applying: BTreeMap<NodeId, NodeState>,
    selection_changes: u64,
    taken_out_to: Seq,
    shadow: BTreeMap<NodeId, NodeState>,
    beginning: Option<Beginning>,
    past: BTreeMap<NodeId, NodeState>,
    absences: BTreeMap<NodeId, Absence>,
    damages: BTreeMap<NodeId, ContentId>,
    last_step: Option<Timestamp>,
    cursor: Option<Cursor>,
}

impl Model {
    fn all(&self) -> BTreeSet<NodeId> {
        self.synced.keys().chain(self.local.keys()).chain(self.remote.keys()).copied().collect()
    }

    fn differs_remotely(&self, node: NodeId) -> bool {
        self.remote.get(&node) != self.synced.get(&node).map(|synced| &synced.state) && !self.resting.contains(&node)
    }

    fn differs(&self, node: NodeId) -> bool {
        self.differs_remotely(node) || self.local.get(&node) != self.synced.get(&node).map(Synced::as_local).as_ref()
    }
}

impl Trees for Model {
    fn synced(&self, node: NodeId) -> Option<Synced> {
        self.synced.get(&node).cloned()
    }
    fn local(&self, node: NodeId) -> Option<Local> {
        self.local.get(&node).cloned()
    }
    fn remote(&self, node: NodeId) -> Option<NodeState> {
        self.remote.get(&node).cloned()
    }
    fn local_child(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        self.local.iter().find(|(_, local)| local.parent == parent && local.name == *name).map(|(node, _)| *node)
    }
    fn remote_child(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        let is_it = |place: &Place| place.parent == parent && place.name == *name && !place.trashed;
        self.remote.iter().find(|(_, state)| is_it(&state.place)).map(|(node, _)| *node)
    }
    fn local_children(&self, parent: NodeId) -> Vec<(Name, NodeId)> {
        let children = self.local.iter().filter(|(_, local)| local.parent == parent);
        let mut children: Vec<_> = children.map(|(node, local)| (local.name.clone(), *node)).collect();
        children.sort();
        children
    }
    fn remote_children(&self, parent: NodeId) -> Vec<NodeId> {
        self.remote.iter().filter(|(_, state)| state.place.parent == parent).map(|(node, _)| *node).collect()
    }
    fn synced_with(&self, content: ContentId) -> Option<NodeId> {
        let is_list = matches!(content, ContentId::List(_));
        let holds = |synced: &Synced| synced.state.content.file().is_some_and(|file| is_list && file.id == content);
        self.synced.iter().find(|(_, synced)| holds(synced)).map(|(node, _)| *node)
    }
    fn local_by_inode(&self, inode: u64) -> Vec<NodeId> {
        self.local.iter().filter(|(_, local)| local.stat.inode == inode).map(|(node, _)| *node).collect()
    }
    fn differing(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        self.all().into_iter().filter(|node| Some(*node) > after && self.differs(*node)).take(limit).collect()
    }
    fn differing_remotely(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        self.all().into_iter().filter(|node| Some(*node) > after && self.differs_remotely(*node)).take(limit).collect()
    }
    fn set_local(&mut self, node: NodeId, local: Option<Local>) {
        if local.is_some() {
            self.rest(node, false);
        }
        put(&mut self.local, node, local);
    }
    fn set_remote(&mut self, node: NodeId, state: Option<NodeState>) {
        self.rest(node, false);
        put(&mut self.remote, node, state);
    }
    fn set_synced(&mut self, node: NodeId, synced: Option<Synced>) {
        if synced.is_some() {
            self.rest(node, false);
        }
        put(&mut self.synced, node, synced);
    }
    fn leave_out(&mut self, node: NodeId) {
        self.rest(node, true);
        self.left_out.insert(node);
    }
    fn rests(&self, node: NodeId) -> bool {
        self.resting.contains(&node)
    }
    fn left_out(&self) -> Vec<NodeId> {
        self.left_out.intersection(&self.resting).copied().collect()
    }
    fn rest(&mut self, node: NodeId, resting: bool) {
        self.left_out.remove(&node);
        let may_rest = self.remote.contains_key(&node) && !self.local.contains_key(&node);
        match resting && may_rest && !self.synced.contains_key(&node) {
            true => self.resting.insert(node),
            false => self.resting.remove(&node),
        };
    }
    fn offered(&self, node: NodeId) -> bool {
        self.offered.contains(&node)
    }
    fn set_offered(&mut self, node: NodeId, offered: bool) {
        match offered {
            true => self.offered.insert(node),
            false => self.offered.remove(&node),
        };
    }
    fn applying(&self, node: NodeId) -> Option<NodeState> {
        self.applying.get(&node).cloned()
    }
    fn applying_at(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        let is_it = |place: &Place| place.parent == parent && place.name == *name;
        self.applying.iter().find(|(_, state)| is_it(&state.place)).map(|(node, _)| *node)
    }
    fn set_applying(&mut self, node: NodeId, state: Option<NodeState>) {
        put(&mut self.applying, node, state);
    }
    fn selection_changes(&self) -> u64 {
        self.selection_changes
    }
    fn set_selection_changes(&mut self, changes: u64) {
        self.selection_changes = changes;
    }
    fn taken_out_to(&self) -> Seq {
        self.taken_out_to
    }
    fn set_taken_out_to(&mut self, seq: Seq) {
        self.taken_out_to = seq;
    }
    fn applying_nodes(&self) -> Vec<NodeId> {
        self.applying.keys().copied().collect()
    }
    fn known(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let is_known = |node: &NodeId| self.synced.contains_key(node) || self.remote.contains_key(node);
        self.all().into_iter().filter(|node| Some(*node) > after).filter(is_known).take(limit).collect()
    }
    fn shadow(&self, node: NodeId) -> Option<NodeState> {
        self.shadow.get(&node).cloned()
    }
    fn shadow_nodes(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        self.shadow.keys().filter(|node| Some(**node) > after).take(limit).copied().collect()
    }
    fn set_shadow(&mut self, state: NodeState) {
        self.shadow.insert(state.node, state);
    }
    fn clear_shadow(&mut self) {
        self.shadow.clear();
    }
    fn beginning(&self) -> Option<Beginning> {
        self.beginning
    }
    fn set_beginning(&mut self, beginning: Option<Beginning>) {
        self.beginning = beginning;
    }
    fn past(&self, node: NodeId) -> Option<NodeState> {
        self.past.get(&node).cloned()
    }
    fn past_nodes(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        self.past.keys().filter(|node| Some(**node) > after).take(limit).copied().collect()
    }
    fn set_past(&mut self, state: NodeState) {
        self.past.insert(state.node, state);
    }
    fn clear_past(&mut self) {
        self.past.clear();
    }
    fn absences(&self) -> Vec<(NodeId, Absence)> {
        self.absences.iter().map(|(node, absence)| (*node, *absence)).collect()
    }
    fn set_absence(&mut self, node: NodeId, absence: Option<Absence>) {
        put(&mut self.absences, node, absence);
    }
    fn damages(&self) -> Vec<(NodeId, ContentId)> {
        self.damages.iter().map(|(node, damage)| (*node, *damage)).collect()
    }
    fn set_damage(&mut self, node: NodeId, damage: Option<ContentId>) {
        put(&mut self.damages, node, damage);
    }
    fn last_step(&self) -> Option<Timestamp> {
        self.last_step
    }
    fn set_last_step(&mut self, now: Timestamp) {
        self.last_step = Some(now);
    }
    fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }
    fn set_cursor(&mut self, cursor: Option<Cursor>) {
        self.cursor = cursor;
    }
    fn totals(&self) -> (u64, u64) {
        let files = self.synced.values().filter_map(|synced| synced.state.content.file());
        files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.size))
    }
}

impl Model {
    /// Sizes of the files whose content is on one side only.
    fn waiting_bytes(&self) -> u64 {
        let waiting = |node: NodeId| {
            let synced = self.synced(node).and_then(|synced| synced.state.content.file().cloned());
            let local = self.local(node);
            let here = local.as_ref().and_then(|local| local.file().cloned());
            let there = self.remote(node);
            let is_awake = there.as_ref().is_some_and(|state| !state.place.trashed) && !self.rests(node);
            let there = there.and_then(|state| state.content.file().cloned());
            let id = |file: &Option<FileContent>| file.as_ref().map(|file| file.id);
            let size = |file: &Option<FileContent>, other: &Option<FileContent>| match file {
                Some(file) if ![id(&synced), id(other)].contains(&Some(file.id)) => file.size,
                _ => 0,
            };
            let sent = match &local {
                Some(Local { content: LocalContent::Unread, stat, .. }) => stat.size,
                _ => size(&here, &there),
            };
            sent + if is_awake { size(&there, &here) } else { 0 }
        };
        self.all().into_iter().map(waiting).sum()
    }
}

fn put<T>(tree: &mut BTreeMap<NodeId, T>, node: NodeId, value: Option<T>) {
    match value {
        Some(value) => tree.insert(node, value),
        None => tree.remove(&node),
    };
}

#[derive(Debug, Clone)]
enum Set {
    Local(NodeId, Option<Local>),
    Remote(NodeId, Option<NodeState>),
    Synced(NodeId, Option<Synced>),
    /// Makes Remote what Synced says, or Local what Synced says: where rows of the diff tables go.
    RemoteFromSynced(NodeId),
    LocalFromSynced(NodeId),
    SyncedFromRemote(NodeId),
    Rest(NodeId, bool),
    LeaveOut(NodeId),
    Offered(NodeId, bool),
    Applying(NodeId, Option<NodeState>),
    Shadow(NodeState),
    ClearShadow,
    Beginning(Option<Beginning>),
    Past(NodeState),
    ClearPast,
    Absence(NodeId, Option<Absence>),
    Damage(NodeId, bool),
    LastStep(u32),
    SelectionChanges(u64),
    TakenOutTo(Seq),
    Cursor(Option<u64>),
}

fn node(index: u8) -> NodeId {
    NodeId::from_bytes(std::array::from_fn(|at| if at == 0 { index } else { 7 }))
}

fn name(index: u8) -> Name {
    Name::new(vec![b'a' + index]).unwrap()
}

fn stat(index: u8) -> Stat {
    let time = Timestamp { seconds: i64::from(index), nanoseconds: 5 };
    let inode = if index == 0 { u64::MAX } else { u64::from(index) };
    Stat { kind: Some(Kind::File), inode, links: 1, size: 3, mtime: time, ctime: time, birth: None, executable: false }
}

fn content(index: u8) -> Content {
    match index {
        0 => Content::Directory,
        1 => Content::Symlink { target: b"x".to_vec() },
        _ => Content::File(FileContent {
            id: ContentId::Chunk(ChunkId::from_bytes([index; 32])),
            size: u64::from(index),
            mtime: Timestamp::default(),
        }),
    }
}

fn any_state(node: NodeId) -> impl Strategy<Value = NodeState> {
    (0..3u8, 0..2u8, any::<bool>(), 0..4u8).prop_map(move |(parent, name_index, trashed, content_index)| {
        let version = Version { seq: Seq(1), commit: CommitId::from_bytes([1; 16]) };
        NodeState {
            node,
            place: Place { parent: self::node(parent), name: name(name_index), trashed },
            content: content(content_index),
            mode: Mode::default(),
            place_version: version,
            content_version: version,
            mode_version: version,
        }
    })
}

fn any_absence(stage: usize, late: bool) -> Absence {
    let stage = [Stage::Open, Stage::Cleared, Stage::Held, Stage::Approved][stage];
    let (found, seconds) = if late { (Found::InScan, 9) } else { (Found::AtStart, 1) };
    Absence { since: Timestamp { seconds, nanoseconds: 5 }, found, stage }
}

fn any_set() -> impl Strategy<Value = Set> {
    let local = (0..3u8, 0..2u8, 0..3u8, 0..4u8).prop_map(|(parent, name_index, inode, content_index)| Local {
        parent: node(parent),
        name: name(name_index),
        content: if content_index == 3 { LocalContent::Unread } else { LocalContent::Known(content(content_index)) },
        mode: Mode::default(),
        stat: stat(inode),
    });
    let any_node = || (0..5u8).prop_map(node);
    prop_oneof![
        (any_node(), proptest::option::of(local)).prop_map(|(node, local)| Set::Local(node, local)),
        any_node()
            .prop_flat_map(|node| (Just(node), proptest::option::of(any_state(node))))
            .prop_map(|(node, state)| Set::Remote(node, state)),
        any_node()
            .prop_flat_map(|node| (Just(node), proptest::option::of((any_state(node), 0..3u8))))
            .prop_map(|(node, synced)| Set::Synced(node, synced.map(|(state, at)| Synced { state, shown: stat(at) }))),
        any_node().prop_map(Set::RemoteFromSynced),
        any_node().prop_map(Set::LocalFromSynced),
        any_node().prop_map(Set::SyncedFromRemote),
        (any_node(), any::<bool>()).prop_map(|(node, rest)| Set::Rest(node, rest)),
        any_node().prop_map(Set::LeaveOut),
        (any_node(), any::<bool>()).prop_map(|(node, offered)| Set::Offered(node, offered)),
        any_node()
            .prop_flat_map(|node| (Just(node), proptest::option::of(any_state(node))))
            .prop_map(|(node, state)| Set::Applying(node, state)),
        any_node().prop_flat_map(any_state).prop_map(Set::Shadow),
        Just(Set::ClearShadow),
        prop_oneof![
            Just(None),
            Just(Some(Beginning::Join)),
            (0..3u64).prop_map(|since| Some(Beginning::Relink { since: Seq(since) })),
        ]
        .prop_map(Set::Beginning),
        any_node().prop_flat_map(any_state).prop_map(Set::Past),
        Just(Set::ClearPast),
        (any_node(), proptest::option::of((0..4usize, any::<bool>())))
            .prop_map(|(node, absence)| Set::Absence(node, absence.map(|(stage, late)| any_absence(stage, late)))),
        (any_node(), any::<bool>()).prop_map(|(node, damaged)| Set::Damage(node, damaged)),
        any::<u32>().prop_map(Set::LastStep),
        any::<u64>().prop_map(Set::SelectionChanges),
        any::<u64>().prop_map(|seq| Set::TakenOutTo(Seq(seq))),
        proptest::option::of(any::<u64>()).prop_map(Set::Cursor),
    ]
}

fn carry_out(trees: &mut dyn Trees, set: &Set) {
    match set.clone() {
        Set::Local(node, local) => trees.set_local(node, local),
        Set::Remote(node, state) => trees.set_remote(node, state),
        Set::Synced(node, synced) => trees.set_synced(node, synced),
        Set::RemoteFromSynced(node) => trees.set_remote(node, trees.synced(node).map(|synced| synced.state)),
        Set::LocalFromSynced(node) => trees.set_local(node, trees.synced(node).map(|synced| synced.as_local())),
        Set::SyncedFromRemote(node) => {
            trees.set_synced(node, trees.remote(node).map(|state| Synced { state, shown: stat(1) }));
        }
        // The engine lets only nodes rest that are only in Remote.
        Set::Rest(node, true) if trees.local(node).is_some() || trees.synced(node).is_some() => {}
        Set::Rest(node, rest) => trees.rest(node, rest),
        Set::LeaveOut(node) if trees.local(node).is_some() || trees.synced(node).is_some() => {}
        Set::LeaveOut(node) => trees.leave_out(node),
        Set::Offered(node, offered) => trees.set_offered(node, offered),
        Set::Applying(node, state) => trees.set_applying(node, state),
        Set::SelectionChanges(changes) => trees.set_selection_changes(changes),
        Set::TakenOutTo(seq) => trees.set_taken_out_to(seq),
        Set::Shadow(state) => trees.set_shadow(state),
        Set::ClearShadow => trees.clear_shadow(),
        Set::Beginning(beginning) => trees.set_beginning(beginning),
        Set::Past(state) => trees.set_past(state),
        Set::ClearPast => trees.clear_past(),
        Set::Absence(node, absence) => trees.set_absence(node, absence),
        Set::Damage(node, damaged) => {
            trees.set_damage(node, damaged.then_some(ContentId::Chunk(ChunkId::from_bytes([4; 32]))));
        }
        Set::LastStep(ms) => trees.set_last_step(Timestamp::default().plus_milliseconds(u64::from(ms))),
        Set::Cursor(seq) => trees.set_cursor(seq.map(|seq| Cursor {
            generation: Generation::from_bytes([3; 16]),
            seq: Seq(seq),
            commit: None,
        })),
    }
}

fn assert_same(state: &SqliteTrees, model: &Model) {
    for index in 0..5 {
        let at = node(index);
        assert_eq!(state.synced(at), model.synced(at));
        assert_eq!(state.local(at), model.local(at));
        assert_eq!(state.remote(at), model.remote(at));
        assert_eq!(state.offered(at), model.offered(at));
        assert_eq!(state.applying(at), model.applying(at));
        assert_eq!(state.shadow(at), model.shadow(at));
        assert_eq!(state.past(at), model.past(at));
        assert_eq!(state.local_children(at), model.local_children(at));
        assert_eq!(state.remote_children(at), model.remote_children(at));
        for name_index in 0..2 {
            assert_eq!(state.local_child(at, &name(name_index)), model.local_child(at, &name(name_index)));
            assert_eq!(state.remote_child(at, &name(name_index)), model.remote_child(at, &name(name_index)));
            assert_eq!(state.applying_at(at, &name(name_index)), model.applying_at(at, &name(name_index)));
        }
        for after in [None, Some(at)] {
            assert_eq!(state.differing(after, 2), model.differing(after, 2));
            assert_eq!(state.differing(after, 100), model.differing(after, 100));
            assert_eq!(state.differing_remotely(after, 100), model.differing_remotely(after, 100));
            assert_eq!(state.known(after, 2), model.known(after, 2));
            assert_eq!(state.shadow_nodes(after, 2), model.shadow_nodes(after, 2));
            assert_eq!(state.past_nodes(after, 2), model.past_nodes(after, 2));
        }
        assert_eq!(state.local_by_inode(stat(index).inode), model.local_by_inode(stat(index).inode));
    }
    assert_eq!(state.beginning(), model.beginning());
    (0..5).for_each(|index| assert_eq!(state.rests(node(index)), model.rests(node(index))));
    assert_eq!(state.left_out(), model.left_out());
    assert_eq!(state.applying_nodes(), model.applying_nodes());
    assert_eq!(state.absences(), model.absences());
    assert_eq!(state.damages(), model.damages());
    assert_eq!(state.cursor(), model.cursor());
    assert_eq!(state.last_step(), model.last_step());
    assert_eq!(state.selection_changes(), model.selection_changes());
    assert_eq!(state.taken_out_to(), model.taken_out_to());
    assert_eq!(state.totals(), model.totals());
    assert_eq!(state.waiting_bytes(), model.waiting_bytes());
    assert_eq!(state.take_failure(), None);
}

proptest! {
    #[test]
    fn answers_are_those_of_three_plain_maps(steps in proptest::collection::vec(proptest::collection::vec(any_set(), 1..6), 1..12)) {
        let mut state = SqliteTrees::in_memory().unwrap();
        let mut model = Model::default();
        for step in &steps {
            state.begin().unwrap();
            for set in step {
                carry_out(&mut state, set);
                carry_out(&mut model, set);
                assert_same(&state, &model);
            }
            state.commit().unwrap();
        }
        let kept = SqliteTrees::from_bytes(&state.serialize().unwrap()).unwrap();
        assert_same(&kept, &model);
    }

    #[test]
    fn a_step_that_is_undone_leaves_nothing(before in proptest::collection::vec(any_set(), 0..10), undone in proptest::collection::vec(any_set(), 1..10)) {
        let mut state = SqliteTrees::in_memory().unwrap();
        let mut model = Model::default();
        state.with_step(|state| before.iter().for_each(|set| carry_out(state, set))).unwrap();
        before.iter().for_each(|set| carry_out(&mut model, set));
        state.begin().unwrap();
        undone.iter().for_each(|set| carry_out(&mut state, set));
        state.rollback().unwrap();
        assert_same(&state, &model);
    }
}

#[test]
fn a_file_is_opened_again_as_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let cursor = Cursor { generation: Generation::from_bytes([3; 16]), seq: Seq(9), commit: None };
    let mut state = SqliteTrees::open(&path).unwrap();
    state.with_step(|state| state.set_cursor(Some(cursor))).unwrap();
    drop(state);
    let state = SqliteTrees::open(&path).unwrap();
    assert_eq!(state.cursor(), Some(cursor));
    state.close().unwrap();
    assert_eq!(SqliteTrees::open(&path).unwrap().cursor(), Some(cursor));
}

#[test]
fn a_damaged_file_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    std::fs::write(&path, vec![0x5a; 20_000]).unwrap();
    let state = SqliteTrees::open(&path).unwrap();
    assert_eq!(state.cursor(), None);
    assert_eq!(std::fs::read(dir.path().join("state.db.damaged-1")).unwrap(), vec![0x5a; 20_000]);
}

#[test]
fn damage_inside_is_found_after_an_unclean_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut state = SqliteTrees::open(&path).unwrap();
    let file = |index: u8| Local {
        parent: NodeId::ROOT,
        name: name(index % 26),
        content: LocalContent::Unread,
        mode: Mode::default(),
        stat: stat(index),
    };
    state.with_step(|state| (0..250).for_each(|index| state.set_local(node(index), Some(file(index))))).unwrap();
    drop(state);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let state = SqliteTrees::open(&path).unwrap();
    assert_eq!(state.differing(None, 10), Vec::new());
    assert!(dir.path().join("state.db.damaged-1").exists());
}
