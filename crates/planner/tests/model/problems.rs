//! What cannot be done here is a problem: told, tried again in measure, and over when its cause is.

use skep_types::Name;

use crate::disk::{Body, Disk, ROOT};
use crate::in_many_orders;
use crate::rules::{act, put, run, text};
use crate::world::{World, name};

/// So many effects are enough for an hour with one problem.
const EFFECTS_MAX: usize = 150;

/// The codes of the problems of a client that says that it has nothing else to do.
fn codes(world: &World, number: usize) -> Vec<&'static str> {
    let progress = world.clients[number].engine.progress(&world.clients[number].trees);
    assert!(progress.settled, "{progress:?}");
    progress.problems.iter().map(|problem| problem.code).collect()
}

/// For an hour, with all that is due in it.
fn an_hour(world: &mut World) {
    let end = world.at_ms + 3_600_000;
    let before = world.effects;
    world.run_until(end);
    let spent = world.effects - before;
    assert!(spent <= EFFECTS_MAX, "{spent} effects");
}

fn inode(disk: &Disk, entry: &str) -> (u64, Name) {
    let entry = name(entry);
    (disk.get(ROOT, &entry).unwrap(), entry)
}

#[test]
fn a_directory_that_holds_a_socket_stays_and_is_told() {
    in_many_orders(2, |world| {
        run(world, 0, "d/ d/a=1");
        world.run();
        let (dir, _) = inode(&world.clients[1].disk, "d");
        put(&mut world.clients[1].disk, dir, &name("socket"), Body::Special);
        world.run();
        act(&mut world.clients[0].disk, "rm d");
        an_hour(world);
        assert_eq!(text(&world.clients[1].disk), "d/ d/socket?");
        assert_eq!(codes(world, 1), ["E-NOT-EMPTY"]);
        let disk = &mut world.clients[1].disk;
        disk.put(dir, &name("socket"), None);
        world.run();
        assert_eq!(codes(world, 1), [""; 0]);
        world.check(&[1].into());
    });
}

#[test]
fn a_directory_that_may_not_be_listed_is_told_and_nothing_in_it_is_deleted() {
    in_many_orders(2, |world| {
        run(world, 0, "d/ d/a=1 b=2");
        world.run();
        let (dir, _) = inode(&world.clients[0].disk, "d");
        world.clients[0].disk.denied.insert(dir);
        act(&mut world.clients[0].disk, "rm d/a, write d/c 3, write b 4");
        an_hour(world);
        assert_eq!(codes(world, 0), ["E-CANNOT-READ"]);
        assert_eq!(text(&world.clients[1].disk), "b=4 d/ d/a=1");
        world.clients[0].disk.denied.clear();
        world.run();
        assert_eq!(text(&world.clients[1].disk), "b=4 d/ d/c=3");
        world.check(&[1, 3, 4].into());
    });
}
