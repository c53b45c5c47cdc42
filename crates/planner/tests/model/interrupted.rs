//! A program that ends in the middle of an apply, with or without its last steps: what it did to the disk is not taken for the person's.

use skep_planner::{ApplyError, ApplyOperation, BatchId, Effect, Event, MemoryTrees};

use crate::disk::ROOT;
use crate::in_many_orders;
use crate::rules::{act, run, text};
use crate::settle;
use crate::world::{World, engine};

/// What stood on both disks; what was done to one of them, in turns that the drive takes one by one; what stands on both afterwards.
const CASES: &[(&str, &[&str], &str)] = &[
    ("a=1", &["rm a", "write a 2"], "a=2"),
    ("a=1", &["mv a b", "write a 2"], "a=2 b=1"),
    ("l>x", &["rm l", "ln l y"], "l>y"),
    ("a=1 b=2", &["mv a t, mv b a, mv t b"], "a=2 b=1"),
    ("a=1 b=2 c=3", &["mv a t, mv c a, mv b c, mv t b"], "a=3 b=1 c=2"),
    ("a=1 d/", &["mv a d/a", "write a 2"], "a=2 d/ d/a=1"),
    ("a=1", &["write a 2", "write a 3"], "a=3"),
];

/// Ends B's program with some of what it was to apply done; it starts with the state that was stored, or with that from before.
fn interrupt(world: &mut World, is_taken_back: bool) {
    let before = world.clients[1].trees.clone();
    while !world.clients[1].effects.iter().any(|effect| matches!(effect, Effect::Apply { .. })) {
        assert!(world.step(), "nothing to apply");
    }
    if is_taken_back {
        // All of it, and what else there was to apply.
        world.run();
        take_back(world, before);
    } else {
        world.crash(1);
    }
}

#[test]
fn what_was_applied_is_not_taken_for_a_change_of_the_person() {
    for is_taken_back in [false, true] {
        for (before, turns, after) in CASES {
            in_many_orders(2, |world| {
                run(world, 0, before);
                world.run();
                world.clients[1].part();
                world.run();
                for turn in *turns {
                    // One id for the whole of it: moves are moves.
                    act(&mut world.clients[0].disk, turn);
                    world.run();
                }
                world.clients[1].come_back();
                interrupt(world, is_taken_back);
                settle(world);
                let what = format!("{before} {turns:?}, taken back: {is_taken_back}");
                assert_eq!(text(&world.clients[0].disk), *after, "{what}");
                world.check(&world.standing());
            });
        }
    }
}

#[test]
fn what_was_made_before_the_end_and_moved_elsewhere_meanwhile_is_moved() {
    // Deep, so that other directories are looked at before.
    for turn in ["mv d/e/f/a a", "mv d/e/f/a b/a", "mv d/e/f/a a, rm d"] {
        in_many_orders(2, |world| {
            run(world, 0, "b/ d/ d/e/ d/e/f/");
            world.run();
            act(&mut world.clients[0].disk, "write d/e/f/a 1");
            let (_, operations) = next_apply(world);
            let b = &mut world.clients[1];
            operations.iter().for_each(|operation| assert!(b.disk.apply(operation).is_ok()));
            let stored = b.trees.clone();
            act(&mut world.clients[0].disk, turn);
            world.run();
            take_back(world, stored);
            settle(world);
            assert!(!text(&world.clients[0].disk).contains("f/a"), "{turn}");
            world.check(&world.standing());
        });
    }
}

/// B's program ends, and starts with an older state.
fn take_back(world: &mut World, trees: MemoryTrees) {
    let (started, head) = (engine(1, world.limits, world.seed ^ 0xff00), world.head());
    let client = &mut world.clients[1];
    (client.trees, client.engine) = (trees, started);
    client.effects.clear();
    client.watched.clear();
    client.wake_at_ms = None;
    // Nothing is sent before the journal was taken that far.
    client.inbox = vec![Event::Started, Event::Head(head), Event::Connected];
}

#[test]
fn what_this_device_sent_and_forgot_is_edited_on_top() {
    in_many_orders(2, |world| {
        world.run();
        let before = world.clients[1].trees.clone();
        act(&mut world.clients[1].disk, "write a 1");
        world.run();
        act(&mut world.clients[1].disk, "rm a, write a 2");
        take_back(world, before);
        settle(world);
        assert_eq!(text(&world.clients[0].disk), "a=2");
        world.check(&world.standing());
    });
}

#[test]
fn what_came_and_went_while_the_state_was_taken_back_goes() {
    in_many_orders(2, |world| {
        world.run();
        let before = world.clients[1].trees.clone();
        act(&mut world.clients[0].disk, "write a 1, ln l x");
        world.run();
        world.clients[1].part();
        world.run();
        act(&mut world.clients[0].disk, "rm a, rm l");
        world.run();
        take_back(world, before);
        // What stands there is known before the journal comes.
        world.clients[1].inbox.truncate(2);
        world.run();
        settle(world);
        assert_eq!(text(&world.clients[0].disk), "");
        world.check(&world.standing());
    });
}

#[test]
fn what_a_power_cut_brings_back_lives() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1 b=2 d/ d/x=3");
        world.run();
        let before = world.clients[1].trees.clone();
        act(&mut world.clients[1].disk, "mv a b, rm d/x");
        world.run();
        // The rename is undone, and so is what it overwrote and what was removed.
        act(&mut world.clients[1].disk, "mv b a, write b 2, write d/x 3");
        take_back(world, before);
        settle(world);
        assert_eq!(text(&world.clients[0].disk), "a=1 b=2 d/ d/x=3");
        world.check(&world.standing());
    });
}

#[test]
fn what_the_journal_will_tell_is_waited_for() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1");
        world.run();
        act(&mut world.clients[0].disk, "write a 2");
        let (batch, operations) = next_apply(world);
        let before = world.clients[1].trees.clone();
        let b = &mut world.clients[1];
        let results = operations.iter().map(|operation| b.disk.apply(operation)).collect();
        b.inbox.push(Event::Applied { batch, results });
        world.run();
        act(&mut world.clients[0].disk, "write a 3");
        world.run();
        take_back(world, before);
        settle(world);
        assert_eq!(text(&world.clients[0].disk), "a=3");
        world.check(&world.standing());
    });
}

#[test]
fn what_an_apply_did_that_failed_is_looked_at_before_the_next() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1");
        world.run();
        act(&mut world.clients[0].disk, "write a 2");
        let (batch, operations) = next_apply(world);
        let b = &mut world.clients[1];
        operations.iter().for_each(|operation| assert!(b.disk.apply(operation).is_ok()));
        // The rename was done, then the disk failed; and it cannot be looked at for a moment.
        b.inbox.push(Event::Applied { batch, results: vec![Err(ApplyError::Denied); operations.len()] });
        b.disk.denied.insert(ROOT);
        world.run_until(world.at_ms + 500);
        act(&mut world.clients[0].disk, "write a 3");
        world.run_until(world.at_ms + 500);
        world.clients[1].disk.denied.clear();
        settle(world);
        assert_eq!(text(&world.clients[0].disk), "a=3");
        world.check(&world.standing());
    });
}

#[test]
fn what_moves_to_the_place_of_a_trashed_file_lives_on() {
    in_many_orders(2, |world| {
        run(world, 0, "b=1 c=1");
        world.run();
        act(&mut world.clients[0].disk, "rm b");
        let (batch, operations) = next_apply(world);
        let b = &mut world.clients[1];
        act(&mut b.disk, "mv c b");
        let results = operations.iter().map(|operation| b.disk.apply(operation)).collect();
        b.inbox.push(Event::Applied { batch, results });
        settle(world);
        assert_eq!(text(&world.clients[0].disk), "b=1");
        world.check(&world.standing());
    });
}

/// The next batch that B is to apply.
fn next_apply(world: &mut World) -> (BatchId, Vec<ApplyOperation>) {
    loop {
        let is_apply = |effect: &Effect| matches!(effect, Effect::Apply { .. });
        if let Some(at) = world.clients[1].effects.iter().position(is_apply)
            && let Effect::Apply { batch, operations } = world.clients[1].effects.swap_remove(at)
        {
            return (batch, operations);
        }
        // The watcher is waited for.
        let wake = world.clients.iter().filter_map(|client| client.wake_at_ms).min();
        if !world.step() {
            world.at_ms = world.at_ms.max(wake.expect("something is to be applied"));
        }
    }
}

/// What was moved into a directory goes with it only if nobody else has changed it: also while the journal has not told of the move.
#[test]
fn a_directory_does_not_take_along_what_was_edited_elsewhere_and_just_moved_into_it() {
    in_many_orders(2, |world| {
        run(world, 0, "a=1 d/ d/b=2");
        world.run();
        let before = world.head();
        world.clients[1].part();
        act(&mut world.clients[0].disk, "write a 7");
        world.run();
        assert_ne!(world.head(), before);
        // B hears of the edit while its user moves the file, and of nothing after that.
        act(&mut world.clients[1].disk, "mv a d/a");
        world.clients[1].come_back();
        world.send_entries(1);
        work_unheard(world, 1);
        act(&mut world.clients[1].disk, "rm d");
        work_unheard(world, 1);
        settle(world);
        assert!(text(&world.clients[0].disk).contains("=7"), "the edit is gone: {}", text(&world.clients[0].disk));
    });
}

/// Lets a client do what it can while the journal tells it nothing more.
fn work_unheard(world: &mut World, number: usize) {
    for _ in 0..200 {
        if world.deliver(number) | world.watch(number) | world.carry_out_first(number) {
            continue;
        }
        match world.clients[number].wake_at_ms {
            Some(wake) if wake > world.at_ms => world.at_ms = wake,
            _ => return,
        }
    }
}
