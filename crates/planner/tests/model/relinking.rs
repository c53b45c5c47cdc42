//! The rules of coming together again after the state of a device was lost, one row a rule.
//!
//! All agree on `before`. B loses its state and, being off, its user does `here`, while A's does `there`. Then B meets its folder and the server
//! as if for the first time; but the folder remembers where the journal ended.

use std::collections::BTreeMap;

use skep_planner::{Event, MemoryTrees};
use skep_types::{NodeId, NodeState, Seq};

use crate::meeting::{begin_anew, join_anew};
use crate::rules::{act, run, text};
use crate::world::{Client, World};
use crate::{in_many_orders, replayable, seeds, settle};

struct Rule {
    rule: &'static str,
    before: &'static str,
    there: &'static str,
    here: &'static str,
    after: &'static str,
}

/// Reads like a table.
const fn rule(
    rule: &'static str,
    before: &'static str,
    there: &'static str,
    here: &'static str,
    after: &'static str,
) -> Rule {
    Rule { rule, before, there, here, after }
}

#[rustfmt::skip]
const RELINKED: &[Rule] = &[
    rule("nothing happened",               "a=1 d/ d/b=2 l>x", "",                 "",              "a=1 d/ d/b=2 l>x"),
    // There only.
    rule("deleted there",                  "a=1 b=2",          "rm a",             "",              "b=2"),
    rule("a tree was deleted there",       "d/ d/e/ d/e/a=1 b=2", "rm d",          "",              "b=2"),
    rule("a link was deleted there",       "l>x b=2",          "rm l",             "",              "b=2"),
    rule("moved there",                    "a=1",              "mv a b",           "",              "b=1"),
    rule("a directory was moved there",    "d/ d/a=1 e/",      "mv d e/f",         "",              "e/ e/f/ e/f/a=1"),
    rule("out of a moved directory",       "d/ d/a=1",         "mv d e, mv e/a b", "",              "b=1 e/"),
    rule("out of a deleted directory",     "d/ d/a=1",         "mv d/a b, rm d",   "",              "b=1"),
    rule("edited there",                   "a=1",              "write a 2",        "",              "a=2"),
    rule("edited and moved there",         "a=1 d/",           "write a 2, mv a d/b", "",           "d/ d/b=2"),
    rule("made anew there",                "a=1",              "rm a, write a 2",  "",              "a=2"),
    rule("its name was taken there",       "a=1",              "mv a b, write a 2", "",             "a=2 b=1"),
    rule("two were swapped there",         "a=1 b=2",          "swap a b",         "",              "a=2 b=1"),
    rule("two directories were swapped",   "a/ a/x=1 b/ b/y=2", "swap a b",        "",              "a/ a/y=2 b/ b/x=1"),
    rule("made there",                     "a=1",              "write b 2",        "",              "a=1 b=2"),
    rule("a file became a directory",      "a=1",              "rm a, mkdir a",    "",              "a/"),
    // Here only.
    rule("edited here",                    "a=1",              "",                 "write a 3",     "a=3"),
    rule("made here",                      "a=1",              "",                 "write b 3",     "a=1 b=3"),
    rule("deleted here: nobody saw it",    "a=1 b=2",          "",                 "rm a",          "a=1 b=2"),
    rule("moved here: nobody saw it",      "a=1 b=2",          "",                 "mv a c",        "a=1 b=2 c=1"),
    rule("a directory of files made here", "a=1",              "",                 "mkdir d, write d/b 2", "a=1 d/ d/b=2"),
    // Both.
    rule("edited on both sides",           "a=1",              "write a 2",        "write a 3",     "a=2 a~1=3"),
    rule("edited equally",                 "a=1",              "write a 2",        "write a 2",     "a=2"),
    rule("deleted there, edited here",     "a=1",              "rm a",             "write a 3",     "a=3"),
    rule("moved there, edited here",       "a=1",              "mv a b",           "write a 3",     "b=3"),
    rule("deleted there, made inside here", "d/ d/a=1",        "rm d",             "write d/b 2",   "d/ d/b=2"),
    rule("moved there, made inside here",  "d/ d/a=1",         "mv d e",           "write d/b 2",   "e/ e/a=1 e/b=2"),
    rule("deleted on both sides",          "a=1 b=2",          "rm a",             "rm a",          "b=2"),
    rule("deleted there, moved here",      "a=1",              "rm a",             "mv a b",        "b=1"),
    rule("made on both sides",             "a=1",              "write b 2",        "write b 3",     "a=1 b=2 b~1=3"),
];

#[test]
fn a_device_that_lost_its_state() {
    for rule in RELINKED {
        in_many_orders(2, |world| {
            run(world, 0, rule.before);
            world.run();
            let since = world.head();
            world.clients[1].part();
            world.run();
            act(&mut world.clients[0].disk, rule.there);
            world.run();
            act(&mut world.clients[1].disk, rule.here);
            lose_state(world, 1, since);
            settle(world);
            assert_eq!(text(&world.clients[0].disk), rule.after, "{}", rule.rule);
            assert_eq!(text(&world.clients[1].disk), rule.after, "{}", rule.rule);
            let notes = ["deleted there", "moved there", "edited there", "edited here"];
            if notes.contains(&rule.rule) {
                let nodes = world.drive.nodes().len();
                assert_eq!(nodes, rule.before.split(' ').count(), "{}: a node was made anew", rule.rule);
            }
        });
    }
}

/// What happens while it comes together is no reason to forget what the folder remembers.
#[test]
fn a_device_that_lost_its_state_and_is_restarted_meanwhile() {
    for seed in seeds(300) {
        replayable(seed, 2, |world| {
            run(world, 0, "a=1 d/ d/b=2 d/c=3 e/ e/f=4 g=5 h=6");
            world.run();
            let since = world.head();
            world.clients[1].part();
            world.run();
            act(&mut world.clients[0].disk, "rm a, mv d e/d, write e/d/b 7, rm e/f, mv g i");
            world.run();
            act(&mut world.clients[1].disk, "write h 8");
            lose_state(world, 1, since);
            world.deliver_all(1);
            world.clients[1].come_back();
            for _ in 0..4 {
                for _ in 0..world.random.below(30) {
                    world.step();
                }
                world.crash(1);
            }
            settle(world);
            for client in &world.clients {
                assert_eq!(text(&client.disk), "e/ e/d/ e/d/b=7 e/d/c=3 h=8 i=5");
            }
        });
    }
}

/// Of two files that meet in a join, the newer one keeps the name.
#[test]
fn of_two_contents_that_meet_in_a_join_the_newer_one_keeps_the_name() {
    // What the server has, what the newcomer has, whether that is newer, and what becomes of it.
    #[rustfmt::skip]
    let rows = [
        ("a=1",      "write a 2",             true,  "a=2 a~server=1"),
        ("a=1",      "write a 2",             false, "a=1 a~1=2"),
        ("a=1",      "write a 1",             true,  "a=1"),
        ("a=1 b=3",  "write b 3, write a 2",  false, "a=1 a~1=2 b=3"),
        ("d/ d/a=1", "mkdir d, write d/a 2",  true,  "d/ d/a=2 d/a~server=1"),
        ("a=0",      "write a 2",             false, "a=2"),
        ("a=1",      "write a 0",             true,  "a=1"),
        ("a=1",      "mkdir a, write a/b 2",  true,  "a=1 a~1/ a~1/b=2"),
    ];
    for (before, acts, is_newer, after) in rows {
        in_many_orders(2, |world| {
            run(world, 0, before);
            world.run();
            join_anew(world, 1);
            world.clients[1].disk.clock_ms = if is_newer { 1 << 20 } else { 0 };
            act(&mut world.clients[1].disk, acts);
            world.run();
            settle(world);
            assert_eq!(text(&world.clients[0].disk), after, "{before} {acts}");
            // Later, it is as everywhere: who was first keeps the name.
            world.clients.iter_mut().for_each(Client::part);
            world.run();
            act(&mut world.clients[0].disk, "write late 8");
            world.clients[1].disk.clock_ms = 1 << 30;
            act(&mut world.clients[1].disk, "write late 9");
            world.clients[0].come_back();
            world.run();
            world.clients[1].come_back();
            world.run();
            settle(world);
            assert!(text(&world.clients[0].disk).contains("late=8 late~1=9"), "{}", text(&world.clients[0].disk));
        });
    }
}

/// Its folder remembers that it was equal to the server when the journal ended at `since`; the server tells what was then.
fn lose_state(world: &mut World, number: usize, since: Seq) {
    let cursor = world.cursor(world.head());
    let rows = world.drive.nodes().values().cloned().collect();
    let (before, later) = world.drive.journal().split_at(since.0 as usize);
    let then: BTreeMap<NodeId, &NodeState> = before.iter().map(|entry| (entry.state.node, &entry.state)).collect();
    let is_live = |mut node: NodeId| loop {
        match then.get(&node) {
            _ if node == NodeId::ROOT => return true,
            Some(state) if !state.place.trashed => node = state.place.parent,
            _ => return false,
        }
    };
    let changed: BTreeMap<NodeId, &NodeState> =
        later.iter().filter_map(|entry| then.get(&entry.state.node).map(|state| (state.node, *state))).collect();
    let past = changed.into_values().filter(|state| is_live(state.node)).cloned().collect();
    begin_anew(world, number);
    let client = &mut world.clients[number];
    client.trees = MemoryTrees::new();
    let told = [
        Event::SnapshotRows { rows },
        Event::PastRows { rows: past },
        Event::SnapshotDone { cursor, since: Some(since) },
    ];
    client.inbox.extend(told);
}
