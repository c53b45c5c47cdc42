//! Deletions that nobody saw: few go, many wait for a person.

use std::collections::BTreeSet;

use skep_planner::{DeletionHold, Event, Found, HoldDecision};
use skep_types::{Evidence, Limits, Name};

use crate::random::Random;
use crate::rules::{act, run, text};
use crate::world::{World, engine, name};

/// More than two files, and more than half of the folder, are held.
fn world(seed: u64) -> World {
    let limits = Limits { hold_files: 2, hold_percent: 50, ..Limits::SHIPPED };
    World::with_limits(seed, Random(seed), 2, limits)
}

/// The client was off while this was done.
fn away(world: &mut World, acts: &str) {
    act(&mut world.clients[0].disk, acts);
    start_anew(world);
}

fn start_anew(world: &mut World) {
    let limits = world.limits;
    let client = &mut world.clients[0];
    client.disk.changes.clear();
    client.effects.clear();
    client.watched.clear();
    client.engine = engine(0, limits, world.seed ^ world.at_ms ^ 0xa);
    client.inbox = vec![Event::Started, Event::Connected];
}

fn hold(world: &World) -> Option<DeletionHold> {
    let client = &world.clients[0];
    let progress = client.engine.progress(&client.trees);
    assert!(progress.settled, "{progress:?}");
    let codes: Vec<&str> = progress.problems.iter().map(|problem| problem.code).collect();
    let hold = client.engine.hold().cloned();
    assert_eq!(codes, if hold.is_some() { vec!["E-HELD"] } else { vec![] });
    hold
}

fn decide(world: &mut World, under: Option<Vec<Name>>, decision: HoldDecision) {
    let hold = hold(world).unwrap().id;
    world.clients[0].inbox.push(Event::HoldDecided { hold, under, decision });
    world.run();
}

const BEFORE: &str = "a=1 d/ d/b=2 d/c=3 d/e/ d/e/f=4";

/// Most of the folder is gone without a word.
fn held(seed: u64) -> World {
    let mut world = world(seed);
    run(&mut world, 0, BEFORE);
    world.run();
    away(&mut world, "rm d");
    world.run();
    assert_eq!(text(&world.clients[1].disk), BEFORE, "held deletions were sent");
    world
}

fn paths(paths: &[&str]) -> Vec<(String, u64)> {
    paths.iter().map(|path| path.split_once('=').unwrap()).map(|(path, n)| (path.into(), n.parse().unwrap())).collect()
}

#[test]
fn many_deletions_that_nobody_saw_are_held_with_their_evidence() {
    for seed in 0..20 {
        let mut world = held(seed);
        let first = hold(&world).unwrap();
        assert_eq!((first.files, first.directories, first.folder_files, first.percent()), (3, 2, 4, 75));
        assert_eq!((first.found, &first.places), (Found::AtStart, &paths(&["d=3"])));
        // Another start changes nothing, not even since when it waits.
        start_anew(&mut world);
        world.run();
        assert_eq!(hold(&world).unwrap(), first);
        assert_eq!(text(&world.clients[1].disk), BEFORE);
    }
}

#[test]
fn an_approved_hold_is_sent_as_approved_and_nothing_that_goes_later() {
    for seed in 0..20 {
        let mut world = held(seed);
        decide(&mut world, None, HoldDecision::Approve);
        assert_eq!(hold(&world), None);
        assert_eq!(text(&world.clients[1].disk), "a=1");
        world.check(&BTreeSet::from([1]));
        let approved = format!("{:?}", Evidence::Approved);
        assert!(world.trace.iter().any(|line| line.contains(&format!("evidence: {approved}"))));
        run(&mut world, 0, "b=5 c=6 e=7");
        world.run();
        away(&mut world, "rm b, rm c, rm e");
        world.run();
        assert_eq!(hold(&world).unwrap().files, 3);
        assert_eq!(text(&world.clients[1].disk), "a=1 b=5 c=6 e=7");
    }
}

#[test]
fn an_approval_of_another_hold_counts_for_nothing() {
    for seed in 0..20 {
        let mut world = held(seed);
        let known = hold(&world).unwrap().id;
        away(&mut world, "rm a");
        world.run();
        let (hold_now, decision) = (hold(&world).unwrap(), HoldDecision::Approve);
        assert_eq!((hold_now.files, hold_now.folder_files), (4, 4));
        world.clients[0].inbox.push(Event::HoldDecided { hold: known, under: None, decision });
        world.run();
        assert_eq!(hold(&world), Some(hold_now));
        assert_eq!(text(&world.clients[1].disk), BEFORE);
    }
}

#[test]
fn held_files_are_brought_back() {
    for seed in 0..20 {
        let mut world = held(seed);
        decide(&mut world, None, HoldDecision::BringBack);
        assert_eq!(hold(&world), None);
        assert_eq!(text(&world.clients[0].disk), BEFORE);
        world.check(&BTreeSet::from([1, 2, 3, 4]));
    }
}

#[test]
fn a_part_of_a_hold_is_decided_by_itself() {
    for seed in 0..20 {
        let mut world = held(seed);
        let under = vec![name("d"), name("e")];
        decide(&mut world, Some(under.clone()), HoldDecision::Approve);
        assert_eq!(text(&world.clients[1].disk), "a=1 d/ d/b=2 d/c=3");
        assert_eq!(hold(&world).unwrap().files, 2);
        decide(&mut world, Some(vec![name("d"), name("b")]), HoldDecision::BringBack);
        assert_eq!(text(&world.clients[0].disk), "a=1 d/ d/b=2");
        assert_eq!(hold(&world).unwrap().places, paths(&["d=1"]));
        decide(&mut world, None, HoldDecision::Approve);
        assert_eq!(text(&world.clients[1].disk), "a=1 d/ d/b=2");
        world.check(&BTreeSet::from([1, 2, 3, 4]));
    }
}

#[test]
fn few_deletions_that_nobody_saw_go() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 0, BEFORE);
        world.run();
        away(&mut world, "rm d/e, rm a");
        world.run();
        assert_eq!(text(&world.clients[1].disk), "d/ d/b=2 d/c=3");
        world.check(&BTreeSet::from([1, 2, 3, 4]));
    }
}

#[test]
fn deletions_that_were_seen_go_however_many() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 0, BEFORE);
        world.run();
        act(&mut world.clients[0].disk, "rm d, rm a");
        world.run();
        assert_eq!(text(&world.clients[1].disk), "");
        world.check(&BTreeSet::from([1, 2, 3, 4]));
    }
}

#[test]
fn deletions_that_were_seen_without_a_connection_go_after_a_restart() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 0, BEFORE);
        world.run();
        world.clients[0].offline = true;
        world.clients[0].inbox.push(Event::Disconnected);
        act(&mut world.clients[0].disk, "rm d, rm a");
        world.run();
        world.clients[0].offline = false;
        start_anew(&mut world);
        world.run();
        assert_eq!(text(&world.clients[1].disk), "");
        world.check(&BTreeSet::from([1, 2, 3, 4]));
    }
}

#[test]
fn who_puts_the_files_back_has_decided() {
    for seed in 0..20 {
        let mut world = held(seed);
        act(&mut world.clients[0].disk, "mkdir d, write d/b 2, write d/c 3");
        world.run();
        assert_eq!(hold(&world).unwrap().files, 1);
        act(&mut world.clients[0].disk, "mkdir d/e, write d/e/f 5");
        world.run();
        assert_eq!(hold(&world), None);
        assert_eq!(text(&world.clients[1].disk), "a=1 d/ d/b=2 d/c=3 d/e/ d/e/f=5");
        world.check(&BTreeSet::from([1, 2, 3, 4, 5]));
    }
}

#[test]
fn a_restored_folder_is_no_deletion() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 0, BEFORE);
        world.run();
        away(&mut world, "rm d, rm a, mkdir d, write d/b 2, write d/c 3, mkdir d/e, write d/e/f 4, write a 1");
        let before = world.head();
        world.run();
        assert_eq!(hold(&world), None);
        let since = &world.drive.journal()[before.0 as usize..];
        assert!(since.iter().all(|entry| !entry.changed.place), "{since:?}");
        assert_eq!(text(&world.clients[1].disk), BEFORE);
    }
}

#[test]
fn an_edit_elsewhere_brings_a_held_file_back() {
    for seed in 0..20 {
        let mut world = held(seed);
        act(&mut world.clients[1].disk, "write d/e/f 9");
        world.run();
        assert_eq!(text(&world.clients[0].disk), "a=1 d/ d/e/ d/e/f=9");
        assert_eq!(hold(&world).unwrap().files, 2);
        decide(&mut world, None, HoldDecision::Approve);
        assert_eq!(text(&world.clients[1].disk), "a=1 d/ d/e/ d/e/f=9");
        world.check(&BTreeSet::from([1, 2, 3, 4, 9]));
    }
}

#[test]
fn a_deletion_that_was_seen_takes_nothing_held_along() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 0, "d/ d/a=1 d/b=2 d/c=3 d/e=4");
        world.run();
        away(&mut world, "rm d/a, rm d/b, rm d/c");
        world.run();
        assert_eq!(hold(&world).unwrap().files, 3);
        act(&mut world.clients[0].disk, "rm d");
        world.run();
        assert_eq!(text(&world.clients[1].disk), "d/ d/a=1 d/b=2 d/c=3");
        decide(&mut world, None, HoldDecision::BringBack);
        assert_eq!(text(&world.clients[0].disk), "d/ d/a=1 d/b=2 d/c=3");
        world.check(&BTreeSet::from([1, 2, 3, 4]));
    }
}

#[test]
fn something_else_in_the_place_of_a_held_directory_waits_with_it() {
    for seed in 0..20 {
        let mut world = held(seed);
        act(&mut world.clients[0].disk, "write d 8");
        world.run();
        assert_eq!(hold(&world).unwrap().files, 3);
        decide(&mut world, None, HoldDecision::Approve);
        assert_eq!(text(&world.clients[1].disk), "a=1 d=8");
        world.check(&BTreeSet::from([1, 2, 3, 4, 8]));
    }
}

#[test]
fn names_that_were_passed_on_from_a_held_file_wait_with_it() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 0, "c=1 d=2 e=3 p/ q/");
        world.run();
        away(&mut world, "rm c, rm d, rm e");
        world.run();
        act(&mut world.clients[0].disk, "mv p c, mv q p");
        world.run();
        assert_eq!(hold(&world).unwrap().files, 3);
        decide(&mut world, None, HoldDecision::Approve);
        assert_eq!(text(&world.clients[1].disk), "c/ p/");
        world.check(&BTreeSet::from([1, 2, 3]));
    }
}

#[test]
fn symlinks_count_in_a_hold_and_in_the_folder() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 0, "a=1 b>x c>y d>z");
        world.run();
        away(&mut world, "rm a, rm b, rm c");
        world.run();
        let held = hold(&world).unwrap();
        assert_eq!((held.files, held.folder_files), (3, 3), "the symlink that is still here is not counted");
    }
}

#[test]
fn nothing_is_asked_for_before_the_server_was_met() {
    let mut world = world(0);
    world.clients[0].offline = true;
    world.clients[0].inbox = vec![Event::Started];
    act(&mut world.clients[0].disk, "write a 1, mkdir d, write d/b 2");
    world.run();
    let progress = world.clients[0].engine.progress(&world.clients[0].trees);
    assert_eq!(progress.cursor, None);
}

#[test]
fn a_mass_deletion_from_elsewhere_is_applied() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 1, BEFORE);
        world.run();
        act(&mut world.clients[1].disk, "rm d, rm a");
        world.run();
        assert_eq!(hold(&world), None);
        assert_eq!(text(&world.clients[0].disk), "");
    }
}

/// What came since does not make less of what went.
#[test]
fn an_emptied_folder_is_held_though_more_comes_than_went() {
    for seed in 0..20 {
        let mut world = world(seed);
        run(&mut world, 0, "a=1 b=2 c=3 d=4");
        world.run();
        world.clients[0].part();
        run(&mut world, 1, "e=5 f=6 g=7 h=8 i=9 j=10");
        world.run();
        world.clients[0].offline = false;
        away(&mut world, "rm a, rm b, rm c, rm d");
        world.run();
        let hold = hold(&world).unwrap();
        assert_eq!((hold.files, hold.folder_files), (4, 4));
        assert_eq!(text(&world.clients[1].disk), "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8 i=9 j=10");
    }
}
