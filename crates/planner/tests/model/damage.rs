//! Bytes that changed though nobody changed them are never taken for an edit.

use skep_planner::{Event, Trees};
use skep_types::Name;

use crate::disk::ROOT;
use crate::replayable;
use crate::rules::{act, run, text};
use crate::world::{World, name};

/// Damages a file of the first client, and has it read by an audit.
fn rot(world: &mut World, path: &str, content: u64) {
    let name: Name = name(path);
    let client = &mut world.clients[0];
    let inode = client.disk.get(ROOT, &name).unwrap();
    client.disk.rot(inode, content);
    audit(world, path);
}

fn audit(world: &mut World, path: &str) {
    let name: Name = name(path);
    let client = &mut world.clients[0];
    let node = client.trees.local_child(skep_types::NodeId::ROOT, &name).unwrap();
    let result = client.disk.read(&skep_planner::Location { dir: Vec::new(), name });
    client.inbox.push(Event::Audited { node, result });
}

#[test]
fn damage_is_repaired_and_not_sent() {
    for seed in 0..20 {
        replayable(seed, 2, |world| {
            run(world, 0, "a=1 b=2");
            world.run();
            let head = world.head();
            rot(world, "a", 9);
            audit(world, "b");
            world.run();
            assert_eq!(text(&world.clients[0].disk), "a=1 b=2");
            assert_eq!(world.head(), head);
            world.check(&[1, 2].into());
        });
    }
}

#[test]
fn damage_waits_for_the_server_and_an_edit_ends_it() {
    for seed in 0..20 {
        replayable(seed, 2, |world| {
            run(world, 0, "a=1 b=2 c=3");
            world.run();
            world.clients[0].offline = true;
            world.clients[0].inbox.push(Event::Disconnected);
            for (path, content) in [("a", 7), ("b", 8), ("c", 9)] {
                rot(world, path, content);
            }
            world.run();
            assert_eq!(text(&world.clients[0].disk), "a=7 b=8 c=9");
            act(&mut world.clients[0].disk, "mv a d, write b 5, rm c");
            world.run();
            world.clients[0].offline = false;
            world.clients[0].inbox.push(Event::Connected);
            world.run();
            assert_eq!(text(&world.clients[1].disk), "b=5 d=1");
            world.check(&[1, 2, 3, 5].into());
        });
    }
}

#[test]
fn a_newer_version_from_elsewhere_ends_damage() {
    for seed in 0..20 {
        replayable(seed, 2, |world| {
            run(world, 0, "a=1");
            world.run();
            world.clients[0].offline = true;
            world.clients[0].inbox.push(Event::Disconnected);
            rot(world, "a", 9);
            act(&mut world.clients[1].disk, "write a 4");
            world.run();
            world.clients[0].offline = false;
            world.clients[0].inbox.push(Event::Connected);
            world.run();
            assert_eq!(text(&world.clients[0].disk), "a=4");
            world.check(&[1, 4].into());
        });
    }
}

#[test]
fn what_was_edited_while_an_audit_read_it_is_no_damage() {
    for seed in 0..20 {
        replayable(seed, 2, |world| {
            run(world, 0, "a=1");
            world.run();
            // The edit comes before what the audit had read.
            act(&mut world.clients[0].disk, "write a 6");
            audit(world, "a");
            world.run();
            assert_eq!(text(&world.clients[1].disk), "a=6");
            world.check(&[1, 6].into());
        });
    }
}
