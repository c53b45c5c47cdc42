//! Which directories are on a computer is its own affair: nothing is deleted elsewhere, and nothing goes that is nowhere else.
//!
//! A row as in `ignored.rs`; `B: -d` takes the directory `d` from B, `B: +d` brings it back.

use std::collections::BTreeSet;

use skep_planner::{Event, Trees};
use skep_types::NodeId;

use crate::rules::{act, text};
use crate::world::{World, engine, name};
use crate::{in_many_orders, replayable, settle};

struct Row {
    rule: &'static str,
    steps: &'static [&'static str],
    a: &'static str,
    b: &'static str,
    problems: &'static [&'static str],
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { rule: "it goes from here only", steps: &["A: mkdir d, write d/a 1, mkdir d/e, write d/e/b 2, write c 3", "B: -d"],
        a: "c=3 d/ d/a=1 d/e/ d/e/b=2", b: "c=3", problems: &[] },
    Row { rule: "it comes back", steps: &["A: mkdir d, write d/a 1, mkdir d/e, write d/e/b 2", "B: -d", "B: +d"],
        a: "d/ d/a=1 d/e/ d/e/b=2", b: "d/ d/a=1 d/e/ d/e/b=2", problems: &[] },
    Row { rule: "what happens there is not for here", steps: &["A: mkdir d, write d/a 1", "B: -d", "A: write d/a 2, write d/b 3"],
        a: "d/ d/a=2 d/b=3", b: "", problems: &[] },
    Row { rule: "it comes back as it is then", steps: &["A: mkdir d, write d/a 1", "B: -d", "A: write d/a 2, write d/b 3", "B: +d"],
        a: "d/ d/a=2 d/b=3", b: "d/ d/a=2 d/b=3", problems: &[] },
    Row { rule: "renamed elsewhere, it stays away", steps: &["A: mkdir d, write d/a 1", "B: -d", "A: mv d f"],
        a: "f/ f/a=1", b: "", problems: &[] },
    Row { rule: "what moves out of it comes", steps: &["A: mkdir d, write d/a 1", "B: -d", "A: mv d/a a"],
        a: "a=1 d/", b: "a=1", problems: &[] },
    Row { rule: "what moves into it goes", steps: &["A: mkdir d, write a 1, mkdir e, write e/b 2", "B: -d", "A: mv a d/a, mv e d/e"],
        a: "d/ d/a=1 d/e/ d/e/b=2", b: "", problems: &[] },
    Row { rule: "a deletion above leaves it", steps: &["A: mkdir m, mkdir m/d, write m/d/a 1, write m/b 2", "B: -m/d", "B: rm m"],
        a: "m/ m/d/ m/d/a=1", b: "m/", problems: &[] },
    Row { rule: "deleted elsewhere", steps: &["A: mkdir d, write d/a 1", "B: -d", "A: rm d"],
        a: "", b: "", problems: &[] },
    Row { rule: "what is new in it stays and is told", steps: &["A: mkdir d, write d/a 1", "B: -d", "B: mkdir d, write d/n 2"],
        a: "d/ d/a=1", b: "d/ d/n=2", problems: &["E-NOT-SELECTED"] },
    Row { rule: "what is new in it is sent when it comes back", steps: &["A: mkdir d, write d/a 1", "B: -d", "B: mkdir d, write d/n 2", "B: +d"],
        a: "d/ d/a=1 d/n=2", b: "d/ d/a=1 d/n=2", problems: &[] },
    Row { rule: "what is new in it is no edit of what was taken out", steps: &["B: mkdir d, write d/a 1", "B: -d", "B: mkdir d, write d/a 2", "B: +d"],
        a: "d/ d/a=1 d/a~1=2", b: "d/ d/a=1 d/a~1=2", problems: &[] },
    Row { rule: "nor is it while that is not here", steps: &["B: mkdir d, write d/a 1", "B: -d", "B: mkdir d, write d/a 2"],
        a: "d/ d/a=1", b: "d/ d/a=2", problems: &["E-NOT-SELECTED"] },
    Row { rule: "the same again is what was taken out", steps: &["B: mkdir d, write d/a 1", "B: -d", "B: mkdir d, write d/a 1"],
        a: "d/ d/a=1", b: "", problems: &[] },
    Row { rule: "what is ignored in it stays", steps: &["A: write .skepignore 1, mkdir d, write d/a 1", "B: write d/x 2", "B: -d"],
        a: ".skepignore=1 d/ d/a=1", b: ".skepignore=1 d/ d/x=2", problems: &[] },
];

fn node_at(world: &World, path: &str) -> NodeId {
    path.split('/').fold(NodeId::ROOT, |dir, part| {
        let children = world.drive.children(dir);
        children.into_iter().find(|state| state.place.name == name(part)).map(|state| state.node).unwrap()
    })
}

fn select(world: &mut World, number: usize, chosen: &BTreeSet<NodeId>, changes: u64) {
    world.clients[number].inbox.push(Event::Selected { outside: chosen.clone(), changes });
}

fn check(world: &World, row: &Row) {
    let found = [0, 1].map(|number| text(&world.clients[number].disk));
    assert_eq!(found, [row.a, row.b], "{}: A, B", row.rule);
    for (number, client) in world.clients.iter().enumerate() {
        let progress = client.engine.progress(&client.trees);
        assert!(progress.settled, "{}: {} is not settled: {progress:?}", row.rule, client.name);
        let codes: Vec<&str> = progress.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, if number == 1 { row.problems } else { &[] }, "{}: {}", row.rule, client.name);
        assert_eq!(
            client.trees.differing(None, 10).len(),
            codes.len(),
            "{}: trees of {} differ",
            row.rule,
            client.name
        );
    }
}

#[test]
fn a_selection_deletes_nothing_elsewhere_and_nothing_that_is_nowhere_else() {
    for row in ROWS {
        in_many_orders(2, |world| {
            world.run();
            let (mut chosen, mut changes) = (BTreeSet::new(), 0);
            let before_last = row.steps.len() - 1;
            let mut older = None;
            for (at, step) in row.steps.iter().enumerate() {
                let (who, acts) = step.split_once(": ").unwrap();
                let number = usize::from(who == "B");
                match acts.split_at(1) {
                    ("-", path) => _ = chosen.insert(node_at(world, path)),
                    ("+", path) => _ = chosen.remove(&node_at(world, path)),
                    _ => act(&mut world.clients[number].disk, acts),
                }
                if acts.starts_with(['-', '+']) {
                    changes += 1;
                    if at == before_last {
                        older = Some(world.clients[1].trees.clone());
                    }
                    select(world, number, &chosen, changes);
                }
                world.run_until(world.at_ms + 100_000);
            }
            check(world, row);
            // A restart, and one with a state from before the selection changed last, find nothing to do.
            let head = world.head();
            for trees in [None, older] {
                for number in 0..2 {
                    world.clients[number].engine = engine(number, world.limits, world.seed ^ 0xffff);
                    world.clients[number].effects.clear();
                    world.clients[number].inbox.clear();
                }
                if let Some(trees) = trees {
                    world.clients[1].trees = trees;
                }
                select(world, 1, &chosen, changes);
                for client in &mut world.clients {
                    client.inbox.extend([Event::Started, Event::Connected]);
                }
                world.run_until(world.at_ms + 100_000);
                check(world, row);
                assert_eq!(world.head(), head, "{}: a restart changed something", row.rule);
            }
            settle_if_well(world, row);
        });
    }
}

fn settle_if_well(world: &mut World, row: &Row) {
    if row.problems.is_empty() {
        settle(world);
        check(world, row);
    }
}

#[test]
fn an_older_choice_that_comes_later_does_not_count() {
    replayable(0, 2, |world| {
        act(&mut world.clients[0].disk, "mkdir d, write d/a 1");
        world.run();
        let chosen = BTreeSet::from([node_at(world, "d")]);
        select(world, 1, &BTreeSet::new(), 2);
        select(world, 1, &chosen, 1);
        world.run();
        assert_eq!(text(&world.clients[1].disk), "d/ d/a=1");
    });
}
