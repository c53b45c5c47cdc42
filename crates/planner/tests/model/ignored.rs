//! What is ignored is not synced, and is not deleted either: neither here nor elsewhere.
//!
//! A row: what A and B do, one after the other, each until nothing is left to do; and what stands then on A, on B and on the drive, but for
//! the ignore files. The content of an ignore file is the number of its text ([`RULES_TEXTS`](crate::disk::RULES_TEXTS)). After a step of
//! `A soon`, the next one comes before an ignore file that changed is believed.

use crate::disk::Body;
use crate::rules::{act, text};
use crate::world::{World, engine};
use crate::{replayable, settle};
use skep_planner::{Event, Trees};

struct Row {
    rule: &'static str,
    steps: &'static [&'static str],
    a: &'static str,
    b: &'static str,
    drive: &'static str,
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { rule: "what is ignored is not sent", steps: &["A: write .skepignore 1, write x 31, write y 32"],
        a: "x=31 y=32", b: "y=32", drive: "y=32" },
    Row { rule: "the rules are there before the rest", steps: &["A: write x 31, write y 32, mkdir d, write d/x 33, write .skepignore 1"],
        a: "d/ d/x=33 x=31 y=32", b: "d/ y=32", drive: "d/ y=32" },
    Row { rule: "a directory is ignored with all in it", steps: &["A: mkdir d, write d/a 31, mkdir d/e, write d/e/b 32, write .skepignore 3"],
        a: "d/ d/a=31 d/e/ d/e/b=32", b: "", drive: "" },
    Row { rule: "deeper rules", steps: &["A: mkdir d, write d/.skepignore 1, write d/x 31, write x 32"],
        a: "d/ d/x=31 x=32", b: "d/ x=32", drive: "d/ x=32" },
    Row { rule: "what was synced stays everywhere", steps: &["A: write x 31, write y 32", "A: write .skepignore 1"],
        a: "x=31 y=32", b: "x=31 y=32", drive: "x=31 y=32" },
    Row { rule: "a synced directory stays everywhere", steps: &["A: mkdir d, write d/a 31, mkdir d/e, write d/e/b 32", "B: write .skepignore 3"],
        a: "d/ d/a=31 d/e/ d/e/b=32", b: "d/ d/a=31 d/e/ d/e/b=32", drive: "d/ d/a=31 d/e/ d/e/b=32" },
    Row { rule: "what happens to it then is nobody else's", steps: &["A: write x 31, mkdir d, write d/x 32", "A: write .skepignore 1", "A: write x 33", "B: rm x, rm d/x"],
        a: "d/ d/x=32 x=33", b: "d/", drive: "d/ d/x=32 x=31" },
    Row { rule: "the rule goes: equal bytes are one node", steps: &["A: write x 31", "A: write .skepignore 1", "A: rm .skepignore"],
        a: "x=31", b: "x=31", drive: "x=31" },
    Row { rule: "the rule goes: a deletion meanwhile was none", steps: &["A: write x 31", "A: write .skepignore 1", "B: rm x", "A: rm .skepignore"],
        a: "x=31", b: "x=31", drive: "x=31" },
    Row { rule: "the rule goes: it comes to whom it is new", steps: &["A: write .skepignore 1", "A: write x 31", "A: rm .skepignore"],
        a: "x=31", b: "x=31", drive: "x=31" },
    Row { rule: "a rule changes", steps: &["A: write x 31, write y.o 32, write .skepignore 1", "A: write .skepignore 2"],
        a: "x=31 y.o=32", b: "x=31 y.o=32", drive: "x=31 y.o=32" },
    Row { rule: "deleted elsewhere, and what is ignored goes later", steps: &["A: write .skepignore 1", "A: mkdir d, mkdir d/e, write d/e/a 31", "B: write d/e/x 32", "A: rm d", "B: rm d/e/x"],
        a: "", b: "", drive: "" },
    Row { rule: "deleted elsewhere, what is ignored stays", steps: &["A: write .skepignore 1", "A: mkdir d, write d/a 31", "B: write d/x 32", "A: rm d"],
        a: "", b: "d/ d/x=32", drive: "" },
    Row { rule: "deleted elsewhere, deep", steps: &["A: write .skepignore 1", "A: mkdir d, write d/a 31, mkdir d/e", "B: write d/e/x 32", "A: rm d"],
        a: "", b: "d/ d/e/ d/e/x=32", drive: "" },
    Row { rule: "deleted elsewhere, something new comes beside it", steps: &["A: write .skepignore 1", "A: mkdir d, write d/a 31", "B: write d/x 32", "A: rm d", "B: write d/b 33"],
        a: "d/ d/b=33", b: "d/ d/b=33 d/x=32", drive: "d/ d/b=33" },
    Row { rule: "deleted elsewhere, then all of it here", steps: &["A: write .skepignore 1", "A: mkdir d, write d/a 31", "B: write d/x 32", "A: rm d", "B: rm d/x, rm d"],
        a: "", b: "", drive: "" },
    Row { rule: "deleted elsewhere, then moved here", steps: &["A: write .skepignore 1", "A: mkdir d, write d/a 31", "B: write d/x 32", "A: rm d", "B: mv d f"],
        a: "f/", b: "f/ f/x=32", drive: "f/" },
    Row { rule: "deleted elsewhere, made again", steps: &["A: write .skepignore 1", "A: mkdir d, write d/a 31", "B: write d/x 32", "A: rm d", "A: mkdir d, write d/c 33"],
        a: "d/ d/c=33", b: "d/ d/c=33 d/x=32", drive: "d/ d/c=33" },
    Row { rule: "a directory is renamed with what is ignored in it", steps: &["A: write .skepignore 1", "A: mkdir d, write d/a 31", "B: write d/x 32", "A: mv d f"],
        a: "f/ f/a=31", b: "f/ f/a=31 f/x=32", drive: "f/ f/a=31" },
    Row { rule: "renamed out of reach of the rule", steps: &["A: write .skepignore 5", "A: mkdir d, write d/a 31, write d/b 32", "A: mv d f"],
        a: "f/ f/a=31 f/b=32", b: "f/ f/a=31 f/b=32", drive: "f/ f/a=31 f/b=32" },
    Row { rule: "renamed into its reach", steps: &["A: write .skepignore 5", "A: mkdir f, write f/a 31, write f/b 32", "A: mv f d"],
        a: "d/ d/a=31 d/b=32", b: "d/ d/a=31 d/b=32", drive: "d/ d/a=31 d/b=32" },
    Row { rule: "two directories trade places, one in reach of a rule", steps: &["A: mkdir y, write y/a 31, mkdir z, write z/.skepignore 1, mkdir z/y, write z/y/x 32", "A: swap y z/y"],
        a: "y/ y/x=32 z/ z/y/ z/y/a=31", b: "y/ y/x=32 z/ z/y/ z/y/a=31", drive: "y/ y/x=32 z/ z/y/ z/y/a=31" },
    Row { rule: "a file is renamed to an ignored name", steps: &["A: write .skepignore 1", "A: write y 31", "A: mv y x"],
        a: "x=31", b: "", drive: "" },
    Row { rule: "and back", steps: &["A: write .skepignore 1", "A: write y 31", "A: mv y x", "A: mv x y"],
        a: "y=31", b: "y=31", drive: "y=31" },
    Row { rule: "a directory of an ignored file's name", steps: &["A: write .skepignore 7", "A: mkdir b, write b/a 31", "A: rm b, write b 32"],
        a: "b=32", b: "b=32", drive: "b=32" },
    Row { rule: "a bad line and a good one", steps: &["A: write .skepignore 6", "A: write x 31, write b 32"],
        a: "b=32 x=31", b: "b=32", drive: "b=32" },
    Row { rule: "what is deleted before the rule comes is deleted", steps: &["A: write x 31, write y 32", "A: rm x, write .skepignore 2"],
        a: "y=32", b: "y=32", drive: "y=32" },
    Row { rule: "a rule that comes and goes at once", steps: &["A soon: write .skepignore 1", "A soon: write x 31, mkdir d, write d/x 32", "A: rm .skepignore"],
        a: "d/ d/x=32 x=31", b: "d/ d/x=32 x=31", drive: "d/ d/x=32 x=31" },
    Row { rule: "renamed elsewhere to a name that is ignored here", steps: &["A: write y 31", "A: offline", "B: offline", "A: mv y x", "B: write .skepignore 1", "A: online", "B: online"],
        a: "x=31", b: "", drive: "x=31" },
    Row { rule: "renamed elsewhere to a name that something ignored has here", steps: &["A: write y 31", "A: offline", "B: offline", "A: mv y x", "B: write .skepignore 1, write x 33", "A: online", "B: online"],
        a: "x=31", b: "x=33", drive: "x=31" },
    Row { rule: "a directory, renamed so, goes with all in it", steps: &["A: mkdir d, write d/a 31, mkdir d/e, write d/e/b 32", "A: offline", "B: offline", "A: mv d x", "B: write .skepignore 1, mkdir x, write x/c 33", "A: online", "B: online"],
        a: "x/ x/a=31 x/e/ x/e/b=32", b: "x/ x/c=33", drive: "x/ x/a=31 x/e/ x/e/b=32" },
    Row { rule: "what was edited in it is sent first", steps: &["A: mkdir d, write d/a 31", "A: offline", "B: offline", "A: mv d x", "B: write .skepignore 1, write d/a 33", "A: online", "B: online"],
        a: "x/ x/a=33", b: "", drive: "x/ x/a=33" },
    Row { rule: "what moves out of it to its place stays", steps: &["A: mkdir d, write d/a 31, mkdir d/e, write d/e/b 32", "A: offline", "B: offline", "A: mv d x, mv x/e d", "B: write .skepignore 1", "A: online", "B: online"],
        a: "d/ d/b=32 x/ x/a=31", b: "d/ d/b=32", drive: "d/ d/b=32 x/ x/a=31" },
    Row { rule: "what is ignored in it stays, under its name", steps: &["A: mkdir e, write e/c 31", "A: offline", "B: offline", "A: mv e d", "B: write .skepignore 8, write e/b 33", "A: online", "B: online"],
        a: "d/ d/c=31 e/", b: "e/ e/b=33", drive: "d/ d/c=31 e/" },
    Row { rule: "renamed so, and the rule goes", steps: &["A: mkdir d, write d/a 31", "A: offline", "B: offline", "A: mv d x", "B: write .skepignore 1", "A: online", "B: online", "B: rm .skepignore"],
        a: "x/ x/a=31", b: "x/ x/a=31", drive: "x/ x/a=31" },
    Row { rule: "renamed so, and back: it is new", steps: &["A: mkdir d, write d/a 31", "A: offline", "B: offline", "A: mv d x", "B: write .skepignore 1", "A: online", "B: online", "A: mv x d"],
        a: "d/ d/a=31", b: "d/ d/a=31", drive: "d/ d/a=31 x/ x/a=31" },
    Row { rule: "an ignore file in a directory that is ignored is not waited for", steps: &["A: mkdir d, write d/.skepignore 0, write d/a 31", "B: write .skepignore 3", "A: write d/.skepignore 1, write c 32"],
        a: "c=32 d/ d/a=31", b: "c=32 d/ d/a=31", drive: "c=32 d/ d/a=31" },
];

fn without_rules(text: String) -> String {
    text.split(' ').filter(|entry| !entry.contains(".skepignore")).collect::<Vec<_>>().join(" ")
}

fn check(world: &World, row: &Row) {
    let drive: Vec<String> = world
        .drive_tree()
        .into_iter()
        .map(|(path, (body, _))| match body {
            Body::File(content) => format!("{}={content}", &path[1..]),
            _ => format!("{}/", &path[1..]),
        })
        .collect();
    let [a, b] = [0, 1].map(|number| without_rules(text(&world.clients[number].disk)));
    let mut drive = drive;
    drive.sort();
    let found = [a, b, without_rules(drive.join(" "))];
    assert_eq!(found, [row.a, row.b, row.drive], "{}: A, B, drive", row.rule);
    for client in &world.clients {
        let progress = client.engine.progress(&client.trees);
        assert!(progress.settled, "{}: {} is not settled: {progress:?}", row.rule, client.name);
        assert_eq!(client.trees.differing(None, 10), vec![], "{}: trees of {} differ", row.rule, client.name);
    }
}

#[test]
fn what_is_ignored_is_neither_synced_nor_deleted() {
    for row in ROWS {
        for seed in 0..20 {
            replayable(seed, 2, |world| {
                world.run();
                for step in row.steps {
                    let (who, acts) = step.split_once(": ").unwrap();
                    let client = &mut world.clients[usize::from(who.starts_with('B'))];
                    match acts {
                        "offline" => client.inbox.push(Event::Disconnected),
                        "online" => client.inbox.push(Event::Connected),
                        _ => act(&mut client.disk, acts),
                    }
                    client.offline = (client.offline || acts == "offline") && acts != "online";
                    world.run_until(if who.ends_with("soon") { world.at_ms } else { u64::MAX });
                }
                settle(world);
                check(world, row);
                let head = world.head();
                for number in 0..2 {
                    world.clients[number].engine = engine(number, world.limits, world.seed ^ 0xffff);
                    world.clients[number].inbox = vec![Event::Started, Event::Connected];
                }
                world.run();
                check(world, row);
                assert_eq!(world.head(), head, "{}: a restart changed something", row.rule);
            });
        }
    }
}
