//! What cannot be done here is a problem: told, tried again in measure, and over when its cause is.

use skep_types::Name;

use crate::disk::{Body, Disk, ROOT};
use crate::in_many_orders;
use crate::rules::{act, put, run, text};
use crate::world::{Client, World, name};

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
fn a_socket_is_told_as_not_synced_as_long_as_it_is_there() {
    in_many_orders(2, |world| {
        run(world, 0, "d/ d/a=1 b=2");
        world.run();
        let (dir, _) = inode(&world.clients[0].disk, "d");
        let told = |world: &World| {
            let progress = world.clients[0].engine.progress(&world.clients[0].trees);
            assert!(progress.settled && progress.problems.is_empty(), "{progress:?}");
            let told: Vec<String> = progress.not_synced_told.iter().map(|told| told.path.clone()).collect();
            assert_eq!(progress.not_synced, told.len() as u64);
            told
        };
        let listed = |world: &World, path: &[&str]| {
            let path: Vec<Name> = path.iter().map(|text| name(text)).collect();
            let Client { engine, trees, .. } = &world.clients[0];
            let listing = engine.list(trees, &path, None, 10)?;
            let entries = listing.entries.iter().map(|entry| format!("{} {}", entry.name.display(), entry.state));
            Some((engine.explain(trees, &path).0, entries.collect::<Vec<_>>()))
        };
        assert_eq!(told(world), [""; 0]);
        for entry in ["socket", "tube"] {
            put(&mut world.clients[0].disk, dir, &name(entry), Body::Special);
        }
        an_hour(world);
        assert_eq!(told(world), ["d/socket", "d/tube"]);
        let all = ["a synced", "socket not synced", "tube not synced"].map(str::to_owned).to_vec();
        assert_eq!(listed(world, &["d"]), Some(("synced", all)));
        assert_eq!(listed(world, &["d", "tube"]), Some(("not synced", vec!["tube not synced".to_owned()])));
        // One goes unseen, one with its directory.
        world.clients[0].disk.put(dir, &name("socket"), None);
        world.clients[0].disk.changes.clear();
        world.clients[0].inbox.push(skep_planner::Event::ScanDue);
        act(&mut world.clients[0].disk, "mv d e");
        world.run();
        assert_eq!(told(world), ["e/tube"]);
        act(&mut world.clients[0].disk, "mv e/tube b");
        an_hour(world);
        assert_eq!(codes(world, 0), ["E-SPECIAL-FILE"]);
        act(&mut world.clients[0].disk, "rm b");
        world.run();
        assert_eq!(told(world), [""; 0]);
        assert_eq!(listed(world, &["e", "tube"]), None);
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

#[test]
fn a_directory_that_is_covered_by_a_mount_waits_and_goes_on_when_it_is_gone() {
    in_many_orders(2, |world| {
        run(world, 0, "d/ d/a=1 d/e/ d/e/b=2 c=3");
        world.run();
        let (dir, entry) = inode(&world.clients[0].disk, "d");
        // Nobody hints at a mount; a look finds it.
        let cover = |world: &mut World, scan: bool| {
            let disk = &mut world.clients[0].disk;
            let mounted = disk.make(Body::Special);
            disk.put(ROOT, &entry, Some(mounted));
            disk.changes.clear();
            if scan {
                world.clients[0].inbox.push(skep_planner::Event::ScanDue);
            }
            world.run_until(world.at_ms + 1_000);
        };
        let uncover = |world: &mut World| {
            let disk = &mut world.clients[0].disk;
            disk.put(ROOT, &entry, Some(dir));
            disk.changes.clear();
        };
        for (scan, edit) in [(true, 4), (false, 5)] {
            cover(world, scan);
            act(&mut world.clients[1].disk, &format!("write d/a {edit}, write d/new{edit} 7, write c {edit}"));
            world.clients[1].disk.make(Body::Symlink("time passes".into()));
            world.run_until(world.at_ms + 200_000);
            assert_eq!(codes(world, 0), ["E-SPECIAL-FILE"]);
            assert_eq!(text(&world.clients[0].disk), format!("c={edit} d?"));
            uncover(world);
            world.run_until(world.at_ms + 200_000);
            assert_eq!(codes(world, 0), [""; 0]);
            assert_eq!(text(&world.clients[0].disk), text(&world.clients[1].disk));
            assert!(text(&world.clients[0].disk).contains(&format!("d/a={edit} d/e/ d/e/b=2")));
        }
    });
}
