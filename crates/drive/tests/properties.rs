//! What holds after any commits by any devices.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skep_drive::memory::MemoryDrive;
use skep_drive::{Decision, View, decide, root};
use skep_types::{
    ChunkId, Commit, CommitId, CommitReply, Content, ContentId, DeviceId, DriveId, Entry, Evidence, FileContent, Group,
    GroupResult, Limits, Mode, Name, NodeId, NodeState, Operation, Seq, Timestamp,
};

const NODES: u8 = 10;
const NAMES: u8 = 4;
const DEVICES: u8 = 3;

/// An operation before the drive is known that it is based on.
#[derive(Debug, Clone)]
struct Draw {
    verb: u8,
    node: u8,
    parent: u8,
    name: u8,
    content: u8,
}

/// A commit before the drive is known: the device looks at the drive first, or goes by what it saw last.
#[derive(Debug, Clone)]
struct DrawnCommit {
    device: u8,
    looks: bool,
    groups: Vec<Vec<Draw>>,
}

fn draw() -> impl Strategy<Value = Draw> {
    (0..12u8, 1..=NODES, 0..=NODES, 0..NAMES, 0..6u8).prop_map(|(verb, node, parent, name, content)| Draw {
        verb,
        node,
        parent,
        name,
        content,
    })
}

fn drawn_commit() -> impl Strategy<Value = DrawnCommit> {
    let groups = prop::collection::vec(prop::collection::vec(draw(), 1..4), 1..5);
    (0..DEVICES, prop::bool::weighted(0.7), groups).prop_map(|(device, looks, groups)| DrawnCommit {
        device,
        looks,
        groups,
    })
}

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

fn content(draw: &Draw, kind: u8) -> Content {
    match kind {
        0..=2 => Content::Directory,
        3 => Content::Symlink { target: vec![b'0' + draw.content] },
        _ => {
            let id = ContentId::Chunk(ChunkId::from_bytes([draw.content; 32]));
            Content::File(FileContent { id, size: 1, mtime: Timestamp::default() })
        }
    }
}

fn operation(draw: &Draw, seen: &MemoryDrive) -> Operation {
    let id = node(draw.node);
    let known = seen.node(id).unwrap().unwrap_or_else(root);
    // Half of the parents are drawn again towards the root, or nearly everything would be refused.
    let parent = node(if draw.parent > NODES / 2 { 0 } else { draw.parent });
    let name = Name::new(vec![b'a' + draw.name]).unwrap();
    match draw.verb {
        0..=4 => {
            let content = content(draw, draw.node % 5);
            Operation::Create { node: id, parent, name, content, mode: Mode::default() }
        }
        5..=7 => Operation::Move { node: id, base: known.place_version, parent, name },
        8 => Operation::Edit { node: id, base: known.content_version, content: content(draw, draw.node % 5) },
        9 => {
            let mode = Mode { executable: draw.content.is_multiple_of(2) };
            Operation::SetMode { node: id, base: known.mode_version, mode }
        }
        _ => Operation::Trash { node: id, base: known.place_version, seen: seen.head().unwrap() },
    }
}

fn limits() -> Limits {
    Limits { depth_max: 4, ..Limits::SHIPPED }
}

/// The commit of a draw, on what its device has seen.
fn commit(number: usize, drawn: &DrawnCommit, seen: &MemoryDrive) -> Commit {
    let id = CommitId::new(DeviceId::from_bytes([drawn.device + 1; 8]), (number as u64).to_be_bytes());
    let group = |draws: &Vec<Draw>| Group(draws.iter().map(|draw| operation(draw, seen)).collect());
    let groups = drawn.groups.iter().map(group).collect();
    Commit { id, drive: DriveId::from_bytes([1; 16]), groups, evidence: Evidence::Events }
}

fn results(decision: &Decision) -> &[GroupResult] {
    match &decision.reply {
        CommitReply::Decided { results, .. } => results,
        CommitReply::Missing { .. } => panic!("nothing is missing"),
    }
}

/// No orphan, no cycle, no name twice.
fn check_tree(drive: &MemoryDrive) {
    let mut names = BTreeSet::new();
    for state in drive.nodes().values() {
        let mut at = state.clone();
        for step in 0.. {
            assert!(step <= usize::from(NODES), "cycle at {:?}", state.node);
            if at.node == NodeId::ROOT {
                break;
            }
            at = drive.node(at.place.parent).unwrap().expect("a node without a parent");
            assert_eq!(at.content, Content::Directory, "{:?} is in no directory", state.node);
        }
        if !state.place.trashed {
            assert!(names.insert((state.place.parent, &state.place.name)), "two are {:?}", state.place);
            let child = drive.child(state.place.parent, &state.place.name).unwrap();
            assert_eq!(child.as_ref(), Some(state), "the names do not agree with the nodes");
        }
    }
}

/// Each entry says what it changed, and nothing else changed; the last one of a node is the node.
fn check_journal(drive: &MemoryDrive) {
    let mut nodes: BTreeMap<NodeId, NodeState> = BTreeMap::new();
    for (index, Entry { seq, commit, changed, state, .. }) in drive.journal().iter().enumerate() {
        assert_eq!(*seq, Seq(index as u64 + 1));
        let old = nodes.insert(state.node, state.clone());
        assert!(old.is_some() || (changed.place && changed.content && changed.mode), "a node out of nothing");
        let groups = [
            (changed.place, state.place_version, old.as_ref().map(|old| old.place_version)),
            (changed.content, state.content_version, old.as_ref().map(|old| old.content_version)),
            (changed.mode, state.mode_version, old.as_ref().map(|old| old.mode_version)),
        ];
        for (was_changed, version, old_version) in groups {
            let is_new = (version.seq, version.commit) == (*seq, *commit);
            assert_eq!(is_new, was_changed);
            assert!(was_changed || Some(version) == old_version);
        }
        if let Some(old) = old {
            assert_eq!(old.kind(), state.kind());
            assert!(changed.place || old.place == state.place);
            assert!(changed.content || old.content == state.content);
            assert!(changed.mode || old.mode == state.mode);
        }
    }
    assert_eq!(&nodes, drive.nodes());
}

/// Whether an id of the commit was read as another one.
fn has_alias(decision: &Decision) -> bool {
    results(decision).iter().any(|result| matches!(result, GroupResult::AcceptedAs(_)))
}

/// What was accepted is so: the last edit and the last place that the accepted groups asked for.
fn check_acknowledged(drive: &MemoryDrive, commit: &Commit, decision: &Decision) {
    if has_alias(decision) {
        return;
    }
    let accepted = commit.groups.iter().zip(results(decision)).filter(|(_, result)| **result == GroupResult::Accepted);
    let (mut contents, mut places) = (BTreeMap::new(), BTreeMap::new());
    for operation in accepted.flat_map(|(group, _)| &group.0) {
        match operation {
            Operation::Create { .. } | Operation::SetMode { .. } => {}
            Operation::Edit { node, content, .. } => drop(contents.insert(*node, content)),
            Operation::Move { node, parent, name, .. } => drop(places.insert(*node, Some((parent, name)))),
            Operation::Trash { node, .. } => drop(places.insert(*node, None)),
        }
    }
    for (node, content) in contents {
        assert_eq!(&drive.nodes()[&node].content, content);
    }
    for (node, place) in places {
        let Some((parent, name)) = place else { continue };
        let stands = &drive.nodes()[&node].place;
        assert_eq!((&stands.parent, &stands.name, stands.trashed), (parent, name, false));
    }
}

/// The groups that were accepted, if each of their operations made an entry: an answer to these can be lost without harm.
fn accepted_part(commit: &Commit, decision: &Decision) -> Option<Commit> {
    let taken = commit.groups.iter().zip(results(decision)).filter(|(_, result)| **result == GroupResult::Accepted);
    let groups: Vec<Group> = taken.map(|(group, _)| group.clone()).collect();
    let operations: usize = groups.iter().map(|group| group.0.len()).sum();
    (operations == decision.entries.len() && !has_alias(decision)).then(|| Commit { groups, ..commit.clone() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_stays_whole(draws in prop::collection::vec(drawn_commit(), 1..12)) {
        let mut drive = MemoryDrive::new();
        let mut seen = [(); DEVICES as usize].map(|()| MemoryDrive::new());
        let mut sent_again = Vec::new();
        for (number, drawn) in draws.iter().enumerate() {
            if drawn.looks {
                seen[usize::from(drawn.device)] = drive.clone();
            }
            let commit = commit(number, drawn, &seen[usize::from(drawn.device)]);
            let before = drive.clone();
            let decision = drive.commit(&commit, Timestamp::default(), &limits());
            let twice = decide(&commit, commit.id.device(), Timestamp::default(), &before, &limits()).unwrap();
            prop_assert_eq!(&decision, &twice, "the same input gave another answer");
            check_tree(&drive);
            check_acknowledged(&drive, &commit, &decision);
            sent_again.extend(accepted_part(&commit, &decision));
        }
        check_journal(&drive);
        for commit in sent_again {
            let again = drive.commit(&commit, Timestamp::default(), &limits());
            prop_assert_eq!(&again.entries, &[]);
            prop_assert!(results(&again).iter().all(|result| *result == GroupResult::Accepted), "{:?}", again);
        }
    }
}
