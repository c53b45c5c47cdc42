//! Sums: golden vectors, order, and that a tally always comes to what counting anew comes to.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use proptest::prelude::*;
use skep_types::{
    ChunkId, CommitId, Content, ContentId, Counted, DriveId, FileContent, ListId, Mode, Name, NodeId, NodeState, Place,
    Seq, Sum, Tally, Timestamp, Version,
};

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

fn file(content: ContentId, size: u64) -> Content {
    Content::File(FileContent { id: content, size, mtime: Timestamp { seconds: -2, nanoseconds: 5 } })
}

fn state(node: u8, parent: u8, content: Content) -> NodeState {
    let version = Version { seq: Seq(1), commit: CommitId::from_bytes([9; 16]) };
    let name = Name::new(format!("n{node}")).unwrap();
    NodeState {
        node: id(node),
        place: Place { parent: id(parent), name, trashed: false },
        content,
        mode: Mode::default(),
        place_version: version,
        content_version: version,
        mode_version: version,
    }
}

#[test]
fn golden_sums_never_change() {
    let chunk = ContentId::Chunk(ChunkId::from_bytes([7; 32]));
    let list = ContentId::List(ListId::from_bytes([8; 32]));
    let mut executable = state(3, 1, file(chunk, 3));
    executable.mode = Mode { executable: true };
    let golden = [
        (state(1, 0, Content::Directory), "1:b241b5968f37e45f87f040e2da6bff68ad13900fb3aa0d37d787ba293bee2f40"),
        (state(2, 1, file(ContentId::Empty, 0)), "1:4fbbf17dd54fd44c716e823958d35268ee729a2a56dacb0a053e10ee74bdc473"),
        (executable, "1:8f5d55a94ad2cedf94ec61e856304ff74f20a49b9b1cb4ede411c8dc14a02cef"),
        (state(4, 1, file(list, 1 << 40)), "1:5181ad5ebd720832d2e79581ed92e5b677bd7777d4515eca205a425397a44b72"),
        (
            state(5, 0, Content::Symlink { target: b"../x".to_vec() }),
            "1:7c51b1896b16c5c4797cd5858d394ca19794119a952812bd0425a554cb8579ff",
        ),
        (
            state(6, 0, Content::Mount { drive: DriveId::from_bytes([3; 16]) }),
            "1:463ce7dcda3b0715319d4e4d1500874ef6c77edc59affc15a8d5dcd1eee83b71",
        ),
    ];
    for (state, expected) in &golden {
        assert_eq!(Sum::of(state).to_string(), *expected, "{:?}", state.content);
    }
    let all: Sum = golden.iter().map(|(state, _)| Sum::of(state)).collect::<Vec<_>>().iter().sum();
    assert_eq!(all.to_string(), "6:a3694283b31e5c980a4ddf581a3c5a6ff1c0d6c368cbfacc8e2c576e165f2286");
    assert_eq!(Sum::from_slice(&all.to_bytes()), Some(all));
    assert_eq!(Sum::from_slice(&all.to_bytes()[1..]), None);
}

#[test]
fn everything_that_people_see_of_a_node_counts_and_nothing_else() {
    let chunk = |byte| ContentId::Chunk(ChunkId::from_bytes([byte; 32]));
    let base = state(2, 1, file(chunk(1), 3));
    let changes: Vec<fn(&mut NodeState)> = vec![
        |state| state.node = id(3),
        |state| state.place.parent = id(3),
        |state| state.place.name = Name::new("other").unwrap(),
        |state| state.mode.executable = true,
        |state| state.content = file(ContentId::Chunk(ChunkId::from_bytes([2; 32])), 3),
        |state| state.content = file(ContentId::Chunk(ChunkId::from_bytes([1; 32])), 4),
        |state| state.content = file(ContentId::List(ListId::from_bytes([1; 32])), 3),
        |state| state.content = Content::Directory,
        |state| state.content = Content::Symlink { target: b"x".to_vec() },
    ];
    let mut sums = BTreeSet::from([Sum::of(&base).to_bytes()]);
    for change in &changes {
        let mut changed = base.clone();
        change(&mut changed);
        sums.insert(Sum::of(&changed).to_bytes());
    }
    assert_eq!(sums.len(), changes.len() + 1);
    let mut sent_again = base.clone();
    sent_again.content_version.seq = Seq(7);
    assert_eq!(Sum::of(&sent_again), Sum::of(&base));
}

/// A tree in memory.
#[derive(Debug, Clone, Default)]
struct Tree {
    nodes: BTreeMap<NodeId, NodeState>,
    uncounted: BTreeSet<NodeId>,
}

impl Counted for Tree {
    type Error = Infallible;

    fn node(&self, node: NodeId) -> Result<Option<NodeState>, Infallible> {
        Ok(self.nodes.get(&node).cloned())
    }

    fn nodes_in(&self, directory: NodeId) -> Result<Vec<NodeState>, Infallible> {
        Ok(self.nodes.values().filter(|state| state.place.parent == directory).cloned().collect())
    }

    fn is_uncounted(&self, node: NodeId) -> Result<bool, Infallible> {
        Ok(self.uncounted.contains(&node))
    }

    fn set_uncounted(&mut self, node: NodeId, uncounted: bool) -> Result<(), Infallible> {
        if uncounted {
            self.uncounted.insert(node)
        } else {
            self.uncounted.remove(&node)
        };
        Ok(())
    }
}

impl Tree {
    fn lives(&self, state: &NodeState) -> bool {
        let (mut at, mut steps) = (state, 0);
        loop {
            steps += 1;
            if at.place.trashed || steps > self.nodes.len() {
                return false;
            }
            if at.place.parent == NodeId::ROOT {
                return true;
            }
            match self.nodes.get(&at.place.parent) {
                Some(above) => at = above,
                None => return false,
            }
        }
    }

    /// Who lives, and who does not though it is not itself in the trash.
    fn counted_anew(&self) -> (Sum, BTreeSet<NodeId>) {
        let (live, dead): (Vec<_>, Vec<_>) = self.nodes.values().partition(|state| self.lives(state));
        let sums: Vec<Sum> = live.into_iter().map(Sum::of).collect();
        let uncounted = dead.into_iter().filter(|state| !state.place.trashed).map(|state| state.node);
        (sums.iter().sum(), uncounted.collect())
    }
}

/// One change of a node.
#[derive(Debug, Clone)]
enum Step {
    Put { node: u8, parent: u8, trashed: bool },
    Trash(u8, bool),
    Drop(u8),
}

const NODES: u8 = 8;
/// These and no others are directories: no node ever changes its kind.
const DIRECTORIES: u8 = 6;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..=NODES, 0..=DIRECTORIES, prop::bool::weighted(0.2))
            .prop_map(|(node, parent, trashed)| Step::Put { node, parent, trashed }),
        2 => (1..=NODES, any::<bool>()).prop_map(|(node, trashed)| Step::Trash(node, trashed)),
        1 => (1..=NODES).prop_map(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_tally_comes_to_what_counting_anew_comes_to(
        commits in prop::collection::vec(prop::collection::vec(step(), 1..6), 1..12)
    ) {
        let (mut tree, mut sum) = (Tree::default(), Sum::default());
        for steps in commits {
            let mut tally = Tally::default();
            for step in &steps {
                let (Step::Put { node, .. } | Step::Trash(node, _) | Step::Drop(node)) = step;
                let Ok(()) = tally.note(&tree, id(*node));
                match step {
                    Step::Put { node, parent, trashed } => {
                        let content = if *node <= DIRECTORIES { Content::Directory } else { file(ContentId::Empty, 0) };
                        let mut put = state(*node, *parent, content);
                        put.place.trashed = *trashed;
                        tree.nodes.insert(put.node, put);
                    }
                    Step::Trash(node, trashed) => {
                        tree.nodes.entry(id(*node)).and_modify(|state| state.place.trashed = *trashed);
                    }
                    Step::Drop(node) => drop(tree.nodes.remove(&id(*node))),
                }
            }
            let Ok(change) = tally.settle(&mut tree);
            sum = change.applied_to(sum);
            let (anew, uncounted) = tree.counted_anew();
            prop_assert_eq!(sum, anew);
            tree.uncounted.retain(|node| tree.nodes.contains_key(node));
            prop_assert_eq!(&tree.uncounted, &uncounted);
        }
    }

    #[test]
    fn no_order_matters_and_what_was_added_can_be_taken(nodes in prop::collection::vec((any::<u8>(), any::<u8>()), 0..20)) {
        let sums: Vec<Sum> =
            nodes.iter().map(|(node, parent)| Sum::of(&state(*node, *parent, Content::Directory))).collect();
        let forward: Sum = sums.iter().sum();
        let backward: Sum = sums.iter().rev().sum();
        prop_assert_eq!(forward, backward);
        let mut rest = forward;
        sums.iter().for_each(|sum| rest.take(sum));
        prop_assert_eq!(rest, Sum::default());
    }
}
