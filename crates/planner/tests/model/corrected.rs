//! What a comparison with the server finds to be wrong in the trees is put right: nothing is sent, displaced or deleted for it.

use skep_planner::{Correction, Event, Synced, Trees};
use skep_types::{ChunkId, Content, ContentId, NodeId, NodeState};

use crate::replayable;
use crate::rules::{run, text};
use crate::world::{Client, World, name};

const TREE: &str = "c=3 d/ d/a=1 d/b=2 e/";

fn node_at(client: &Client, path: &[&str]) -> NodeId {
    path.iter().fold(NodeId::ROOT, |dir, part| client.trees.local_child(dir, &name(part)).unwrap())
}

/// What was agreed on of a node becomes something else, in all three trees: as when its row is spoiled.
fn spoil(client: &mut Client, node: NodeId, change: impl Fn(&mut NodeState)) {
    let Synced { mut state, shown } = client.trees.synced(node).unwrap();
    change(&mut state);
    let spoiled = Synced { state, shown };
    client.trees.set_remote(node, Some(spoiled.state.clone()));
    client.trees.set_local(node, Some(spoiled.as_local()));
    client.trees.set_synced(node, Some(spoiled));
}

fn forget(client: &mut Client, node: NodeId) {
    client.trees.set_synced(node, None);
    client.trees.set_local(node, None);
    client.trees.set_remote(node, None);
}

/// The server says what it has of these nodes.
fn correct(world: &mut World, nodes: &[NodeId]) {
    let corrections =
        nodes.iter().map(|node| Correction { node: *node, state: world.drive.nodes().get(node).cloned() });
    let corrections = corrections.collect();
    let at = world.clients[0].trees.cursor().unwrap();
    world.clients[0].inbox.push(Event::Corrected { at, corrections });
}

/// A fault in the trees of the first client, which tells the nodes that are not as the server has them.
type Fault = fn(&mut Client) -> Vec<NodeId>;

fn content(client: &mut Client) -> Vec<NodeId> {
    let node = node_at(client, &["d", "a"]);
    spoil(client, node, |state| {
        if let Content::File(file) = &mut state.content {
            file.id = ContentId::Chunk(ChunkId::from_bytes([99; 32]));
        }
    });
    vec![node]
}

fn file_name(client: &mut Client) -> Vec<NodeId> {
    let node = node_at(client, &["d", "a"]);
    spoil(client, node, |state| state.place.name = name("x"));
    vec![node]
}

fn directory_name(client: &mut Client) -> Vec<NodeId> {
    let node = node_at(client, &["d"]);
    spoil(client, node, |state| state.place.name = name("x"));
    vec![node]
}

fn parent(client: &mut Client) -> Vec<NodeId> {
    let (node, other) = (node_at(client, &["d", "b"]), node_at(client, &["e"]));
    spoil(client, node, |state| state.place.parent = other);
    vec![node]
}

fn mode(client: &mut Client) -> Vec<NodeId> {
    let node = node_at(client, &["c"]);
    spoil(client, node, |state| state.mode.executable = !state.mode.executable);
    vec![node]
}

fn unknown_file(client: &mut Client) -> Vec<NodeId> {
    let node = node_at(client, &["d", "b"]);
    forget(client, node);
    vec![node]
}

fn unknown_directory(client: &mut Client) -> Vec<NodeId> {
    let nodes = vec![node_at(client, &["d", "a"]), node_at(client, &["d", "b"]), node_at(client, &["d"])];
    nodes.iter().for_each(|node| forget(client, *node));
    nodes
}

/// A row of a node that never was.
fn ghost(client: &mut Client, of: &[&str]) -> Vec<NodeId> {
    let like = client.trees.synced(node_at(client, of)).unwrap();
    let node = NodeId::from_bytes([0x55; 16]);
    let mut state = NodeState { node, ..like.state };
    state.place.name = name("ghost");
    let synced = Synced { state, shown: skep_types::Stat { inode: 77_777, ..like.shown } };
    client.trees.set_remote(node, Some(synced.state.clone()));
    client.trees.set_local(node, Some(synced.as_local()));
    client.trees.set_synced(node, Some(synced));
    vec![node]
}

#[test]
fn what_was_wrong_in_the_trees_is_put_right_and_nothing_else_happens() {
    let faults: [(&str, Fault); 9] = [
        ("content", content),
        ("name of a file", file_name),
        ("name of a directory", directory_name),
        ("parent", parent),
        ("mode", mode),
        ("a file unknown", unknown_file),
        ("a directory unknown", unknown_directory),
        ("a file that never was", |client| ghost(client, &["c"])),
        ("a directory that never was", |client| ghost(client, &["e"])),
    ];
    for (what, fault) in faults {
        for seed in 0..10 {
            replayable(seed, 2, |world| {
                run(world, 0, TREE);
                world.run();
                let (head, shown) = (world.head(), text(&world.clients[0].disk));
                let nodes = fault(&mut world.clients[0]);
                correct(world, &nodes);
                world.run();
                assert_eq!(text(&world.clients[0].disk), shown, "{what}");
                assert_eq!(world.head(), head, "{what}: {:?}", &world.drive.journal()[head.0 as usize..]);
                let (client, drive) = (&world.clients[0], world.drive.nodes());
                for node in nodes {
                    assert_eq!(client.trees.remote(node).as_ref(), drive.get(&node), "{what}");
                    assert_eq!(
                        client.trees.synced(node).map(|synced| synced.state).as_ref(),
                        drive.get(&node),
                        "{what}"
                    );
                }
                world.check(&[1, 2, 3].into());
            });
        }
    }
}

#[test]
fn corrections_of_another_position_count_no_more() {
    replayable(1, 1, |world| {
        run(world, 0, TREE);
        world.run();
        let node = node_at(&world.clients[0], &["c"]);
        let before = world.clients[0].trees.remote(node);
        let mut at = world.clients[0].trees.cursor().unwrap();
        at.seq = skep_types::Seq(at.seq.0 - 1);
        world.clients[0].inbox.push(Event::Corrected { at, corrections: vec![Correction { node, state: None }] });
        world.run();
        assert_eq!(world.clients[0].trees.remote(node), before);
    });
}
