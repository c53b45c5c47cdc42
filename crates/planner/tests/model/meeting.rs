//! The rules of meeting a server anew, one row a rule.
//!
//! The server is copied when all agree on `before`. Then A and B do `lost`, and all agree on that as well. Both go offline and do more; the
//! copy is brought back, in which `there` was done meanwhile by a third device. Each meets the server: A first, then B.

use skep_drive::memory::MemoryDrive;
use skep_planner::{Event, Meeting, MemoryTrees, Trees, take_shadow};
use skep_types::Seq;

use crate::disk::Disk;
use crate::rules::{act, run, text};
use crate::world::{Client, World, engine};
use crate::{in_many_orders, settle};

struct Rule {
    rule: &'static str,
    before: &'static str,
    lost: [&'static str; 2],
    there: &'static str,
    then: [&'static str; 2],
    after: &'static str,
}

/// Reads like a table.
const fn rule(
    rule: &'static str,
    before: &'static str,
    lost: [&'static str; 2],
    there: &'static str,
    then: [&'static str; 2],
    after: &'static str,
) -> Rule {
    Rule { rule, before, lost, there, then, after }
}

#[rustfmt::skip]
const RESTORED: &[Rule] = &[
    rule("nothing was lost",             "a=1 d/",     ["", ""],               "",                   ["", ""],            "a=1 d/"),
    rule("a creation was lost",          "",           ["write a 1", ""],      "",                   ["", ""],            "a=1"),
    rule("a tree was lost",              "",           ["mkdir d, write d/a 1", ""], "",             ["", ""],            "d/ d/a=1"),
    rule("a tree was lost, then edited", "",           ["mkdir d, write d/a 1", ""], "",             ["write d/a 2", "write d/b 3"], "d/ d/a=2 d/a~1=1 d/b=3"),
    rule("an edit was lost",             "a=1",        ["write a 2", ""],      "",                   ["", ""],            "a=2"),
    rule("two edits were lost",          "a=1",        ["write a 2", ""],      "",                   ["write a 3", ""],   "a=3 a~1=2"),
    rule("a rename was lost",            "a=1",        ["mv a b", ""],         "",                   ["", ""],            "b=1"),
    rule("a move was lost",              "a=1 d/",     ["mv a d/a", ""],       "",                   ["", ""],            "d/ d/a=1"),
    rule("a lost move of a directory",   "d/ d/a=1 e/", ["mv d e/d", ""],      "",                   ["", ""],            "e/ e/d/ e/d/a=1"),
    rule("a deletion was lost",          "a=1",        ["rm a", ""],           "",                   ["", ""],            "a=1"),
    rule("lost, then deleted here",      "",           ["write a 1, write b 2", ""], "",             ["rm a", "rm a"],    "b=2"),
    rule("an edit was lost, then it was deleted here", "a=1", ["write a 2", ""], "",                 ["rm a", "rm a"],    "a=1"),
    rule("deleted here, nothing of it was lost", "a=1 b=2", ["write b 3", ""], "",                   ["rm a", ""],        "b=3"),
    rule("edited here, nothing of it was lost", "a=1 b=2", ["write b 3", ""],  "",                   ["write a 4", ""],   "a=4 b=3"),
    rule("edited there, nothing of it was lost", "a=1 b=2", ["write b 3", ""], "write a 4",          ["", ""],            "a=4 b=3"),
    rule("both: two versions",           "a=1",        ["write a 2", ""],      "write a 3",          ["", ""],            "a=3 a~0=2 a~1=2"),
    rule("both, equal",                  "a=1",        ["write a 2", ""],      "write a 2",          ["", ""],            "a=2"),
    rule("lost edit, moved there",       "a=1",        ["write a 2", ""],      "mv a b",             ["", ""],            "b=2"),
    rule("lost move, edited there",      "a=1",        ["mv a b", ""],         "write a 2",          ["", ""],            "b=2"),
    rule("moved both: the server's place", "a=1",      ["mv a b", ""],         "mv a c",             ["", ""],            "c=1"),
    rule("lost edit, deleted there",     "a=1",        ["write a 2", ""],      "rm a",               ["", ""],            "a=2"),
    rule("deleted there",                "a=1 b=2",    ["write b 3", ""],      "rm a",               ["", ""],            "b=3"),
    rule("lost creation, its name is taken there", "", ["write a 1", ""],      "write a 2",          ["", ""],            "a=2 a~0=1"),
    rule("lost creation, equal there",   "",           ["write a 1", ""],      "write a 1",          ["", ""],            "a=1"),
    rule("lost directory, made there",   "",           ["mkdir d, write d/a 1", ""], "mkdir d, write d/b 2", ["", ""],    "d/ d/a=1 d/b=2"),
    rule("edited inside, deleted there", "d/ d/a=1 d/b=2", ["write d/a 3", ""], "rm d",              ["", ""],            "d/ d/a=3"),
    rule("came out of the trash",        "d/ d/a=1 d/b=2 e/", ["rm d", ""],    "",                   ["", ""],            "d/ d/a=1 d/b=2 e/"),
];

#[test]
fn a_server_that_was_brought_back_from_a_copy() {
    for rule in RESTORED {
        in_many_orders(3, |world| {
            run(world, 0, rule.before);
            world.run();
            let copy = world.drive.clone();
            act(&mut world.clients[0].disk, rule.lost[0]);
            act(&mut world.clients[1].disk, rule.lost[1]);
            world.run();
            world.clients.iter_mut().for_each(Client::part);
            act(&mut world.clients[0].disk, rule.then[0]);
            act(&mut world.clients[1].disk, rule.then[1]);
            world.run();
            let common = Seq(copy.journal().len() as u64);
            world.drive = copy;
            join_anew(world, 2);
            world.run();
            act(&mut world.clients[2].disk, rule.there);
            world.run();
            check_meeting(world, common, rule);
        });
    }
}

#[rustfmt::skip]
const AWAY: &[Rule] = &[
    rule("deleted for good there",          "a=1 b=2",     ["", ""], "rm a",               ["", ""],                  "b=2"),
    rule("a tree deleted for good there",   "d/ d/e/ d/e/a=1 b=2", ["", ""], "rm d",       ["", ""],                  "b=2"),
    rule("for good there, edited here",     "a=1 b=2",     ["", ""], "rm a",               ["write a 3", ""],         "a=3 b=2"),
    rule("for good there, moved here",      "a=1 d/",      ["", ""], "rm a",               ["mv a d/a", ""],          "d/ d/a=1"),
    rule("for good there, created inside",  "d/ d/a=1",    ["", ""], "rm d",               ["write d/b 2", ""],       "d/ d/b=2"),
    rule("for good there, edited inside",   "d/ d/a=1 d/b=2", ["", ""], "rm d",            ["write d/a 3", ""],       "d/ d/a=3"),
    rule("for good there, renamed here",    "d/ d/a=1",    ["", ""], "rm d",               ["mv d e", ""],            "e/ e/a=1"),
    rule("for good there, gone here",       "a=1 b=2",     ["", ""], "rm a",               ["rm a", ""],              "b=2"),
    rule("for good there, made anew there", "a=1",         ["", ""], "rm a, write a 2",    ["", ""],                  "a=2"),
    rule("for good there, moved out here",  "d/ d/a=1",    ["", ""], "rm d",               ["mv d/a a, rm d", ""],    "a=1"),
    rule("edited there often",              "a=1",         ["", ""], "write a 2",          ["", ""],                  "a=2"),
    rule("edited on both sides",            "a=1",         ["", ""], "write a 2",          ["write a 3", ""],         "a=2 a~0=3"),
];

#[test]
fn a_client_that_was_away_for_longer_than_the_journal_is_kept() {
    for rule in AWAY {
        in_many_orders(3, |world| {
            run(world, 0, rule.before);
            world.run();
            let common = Seq(world.drive.journal().len() as u64);
            world.clients.iter_mut().for_each(Client::part);
            act(&mut world.clients[0].disk, rule.then[0]);
            world.run();
            world.clients[2].come_back();
            act(&mut world.clients[2].disk, rule.there);
            world.run();
            empty_trash(world);
            check_meeting(world, common, rule);
        });
    }
}

/// The first two devices meet the server, one after the other; then all is as the rule says.
fn check_meeting(world: &mut World, common: Seq, rule: &Rule) {
    for number in [0, 1] {
        meet(world, number, common);
        world.clients[number].come_back();
        world.run();
    }
    settle(world);
    assert_eq!(text(&world.clients[1].disk), rule.after, "{}", rule.rule);
}

/// What is in the trash goes for good, as if it had never been.
fn empty_trash(world: &mut World) {
    let is_trashed = |drive: &MemoryDrive, node| {
        let mut at = node;
        while let Some(state) = drive.nodes().get(&at) {
            if state.place.trashed {
                return true;
            }
            at = state.place.parent;
        }
        false
    };
    let gone: Vec<_> = world.drive.nodes().keys().copied().filter(|node| is_trashed(&world.drive, *node)).collect();
    world.drive.forget(&gone);
}

pub fn begin_anew(world: &mut World, number: usize) {
    world.starts += 1;
    let (limits, seed) = (world.limits, world.seed ^ (world.starts << 32));
    let client = &mut world.clients[number];
    client.engine = engine(number, limits, seed);
    client.inbox = vec![Event::Started];
    client.effects.clear();
    client.watched.clear();
    client.wake_at_ms = None;
}

/// A device that knows nothing but what the server has.
pub fn join_anew(world: &mut World, number: usize) {
    let cursor = world.cursor(world.head());
    let rows = world.drive.nodes().values().cloned().collect();
    begin_anew(world, number);
    let client = &mut world.clients[number];
    (client.trees, client.disk, client.offline) = (MemoryTrees::new(), Disk::new(), false);
    client.inbox.extend([Event::SnapshotRows { rows }, Event::SnapshotDone { cursor, since: None }, Event::Connected]);
}

fn meet(world: &mut World, number: usize, common: Seq) {
    let cursor = world.cursor(world.head());
    let rows: Vec<_> = world.drive.nodes().values().cloned().collect();
    let trees = &mut world.clients[number].trees;
    trees.clear_shadow();
    rows.into_iter().for_each(|row| trees.set_shadow(row));
    take_shadow(trees, &Meeting { common, cursor, since: None });
    begin_anew(world, number);
}
