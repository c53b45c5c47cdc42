//! The planner against a model of the world: several disks, one drive, every effect carried out at a random time.
//!
//! One tree is made and agreed on, then perturbed on each disk at once while things go wrong; nothing else is done but what the
//! engines ask for. It must end soon, with all disks equal to the drive and no content lost.

#![expect(clippy::unwrap_used, reason = "a test: what fails is a finding")]

mod check;
mod corrected;
mod damage;
mod disk;
mod faults;
mod holds;
mod ignored;
mod interrupted;
mod large;
mod meeting;
mod problems;
mod random;
mod relinking;
mod rules;
mod selected;
mod user;
mod world;
mod writing;

use std::collections::BTreeSet;

use disk::{Body, ROOT};
use faults::Faults;
use random::Random;
use skep_planner::Event;
use skep_types::NodeId;
use world::{Client, World, engine, name};

/// Seeds that once failed, and what they found.
const FOUND: &[(u64, &str)] = &[
    (2308, "a node renamed within a directory that is looked at as a whole was called missing"),
    (2802, "a file that moved out of a directory which then vanished waited for ever"),
    (8297, "an arrival in a directory that became another node"),
    (24549, "a group that closes a cycle by the move of another node"),
    (29919, "what lives in the directory that recovers a trashed one stayed in the trashed one here"),
    (9013, "a watch that was set before its directory became another node"),
    (2498, "an arrival at a place where something else was seen meanwhile"),
    (22665, "the executable bit that was shown when only the mode was settled"),
    (18300, "a directory takes the place of the trashed one that holds it"),
    (41143, "a file was read at a path that another one has by now"),
    (57039, "a chmod between the look and a rename"),
    (13_771, "what rested beneath a directory that came out of the trash while it was on this disk"),
    (10_900, "a directory was moved while another batch went through it"),
    (106_456, "a watch was set on a directory that had come to this path meanwhile"),
    (93_281, "a node that moves deep into the new directory that takes its name"),
    (118_061, "the directory that recovers a trashed one is one of the same name"),
];

/// The same of runs in which things go wrong.
const FOUND_WITH_FAULTS: &[(u64, &str)] = &[
    (14, "a problem outlived its cause"),
    (183, "a busy file that something else settled was waited for"),
    (57_421, "a node was made in a directory that had gone for good meanwhile"),
    (95_286, "a conflict copy of a file that had a name for a moment"),
    (103_734, "what had been taken out of a removed directory unseen was lost sight of"),
];

/// Runs a case; if it fails, shows the end of its trace (all of it with `MODEL_TRACE`) and the seed.
fn replayable(seed: u64, clients: usize, case: impl Fn(&mut World)) {
    let mut world = World::new(seed, clients);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&mut world)));
    if let Err(panic) = outcome {
        let all = std::env::var("MODEL_TRACE").is_ok();
        let skip = if all { 0 } else { world.trace.len().saturating_sub(12) };
        for line in &world.trace[skip..] {
            eprintln!("{line}");
        }
        for client in world.clients.iter().filter(|_| all) {
            eprintln!("{} {:#?}", client.name, client.engine);
        }
        eprintln!("seed {seed}");
        std::panic::resume_unwind(panic);
    }
}

/// Runs a case with its events in many orders.
fn in_many_orders(clients: usize, case: impl Fn(&mut World)) {
    for seed in 0..20 {
        replayable(seed, clients, &case);
    }
}

/// The seeds to run: `MODEL_SEED` and `MODEL_COUNT`, else so many from 0.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |key: &str| std::env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    let start = number("MODEL_SEED").unwrap_or(0);
    start..start + number("MODEL_COUNT").unwrap_or(count)
}

/// Everybody is online again, and it ends.
fn settle(world: &mut World) {
    for client in &mut world.clients {
        if std::mem::take(&mut client.offline) {
            client.inbox.push(Event::Connected);
        }
    }
    world.run();
}

/// Restarted engines find nothing to do.
fn restart(world: &mut World) {
    let (head, faults) = (world.head(), std::mem::take(&mut world.faults));
    for number in 0..world.clients.len() {
        world.clients[number].engine = engine(number, world.limits, world.seed ^ 0xffff);
        world.clients[number].inbox = vec![Event::Started, Event::Connected];
    }
    world.run();
    world.check(&BTreeSet::new());
    assert_eq!(world.head(), head, "a restart changed something");
    world.faults = faults;
}

/// Some of them lose the connection or all keep it.
fn go_offline(world: &mut World) {
    if world.random.below(2) == 0 {
        return;
    }
    world.clients.iter_mut().for_each(Client::part);
}

fn perturbed(world: &mut World, faults: Faults) {
    let big = world.random.below(20) == 0;
    let acts = if big { 80 } else { 8 };
    for _ in 0..acts {
        world.perturb(0);
    }
    world.run();
    world.check(&world.standing());
    world.check_effects(0, acts, 0);
    for round in 0..2 {
        world.faults = faults.clone();
        let before = world.effects;
        go_offline(world);
        let acts = (2 + world.random.below(8)) * if big { 4 } else { 1 };
        for _ in 0..acts {
            let number = world.random.below(world.clients.len());
            world.perturb(number);
            for _ in 0..world.random.below(if round == 0 { 1 } else { 12 }) {
                world.step();
            }
        }
        let saved = world.standing();
        settle(world);
        world.check(&saved);
        world.check_effects(before, acts, faults.left - world.faults.left);
    }
    restart(world);
}

#[test]
fn perturbed_trees_converge_and_nothing_is_lost() {
    for seed in seeds(2_000) {
        replayable(seed, 2 + (seed % 3 == 0) as usize, |world| perturbed(world, Faults::default()));
    }
}

#[test]
fn nothing_is_lost_when_things_go_wrong() {
    for seed in seeds(2_000) {
        replayable(seed, 2 + (seed % 3 == 0) as usize, |world| {
            let faults = Faults::draw(&mut world.random);
            perturbed(world, faults);
        });
    }
}

#[test]
fn found_before() {
    for (seed, what) in FOUND {
        eprintln!("{what}");
        replayable(*seed, 2 + (seed % 3 == 0) as usize, |world| perturbed(world, Faults::default()));
    }
    for (seed, what) in FOUND_WITH_FAULTS {
        eprintln!("{what}");
        replayable(*seed, 2 + (seed % 3 == 0) as usize, |world| {
            let faults = Faults::draw(&mut world.random);
            perturbed(world, faults);
        });
    }
}

#[test]
fn each_in_a_directory_of_its_own_never_meets_the_others() {
    for seed in seeds(1_000) {
        replayable(seed, 2 + (seed % 3 == 0) as usize, |world| {
            let faults = Faults { rollbacks: false, whole_applies: true, ..Faults::draw(&mut world.random) };
            world.brings_back = false;
            let tops: Vec<u64> = (0..world.clients.len()).map(|number| own_directory(world, number)).collect();
            world.run();
            for _ in 0..2 {
                world.faults = faults.clone();
                go_offline(world);
                for _ in 0..4 + world.random.below(20) {
                    let number = world.random.below(world.clients.len());
                    world.perturb_beneath(number, tops[number]);
                    for _ in 0..world.random.below(8) {
                        world.step();
                    }
                }
                let (saved, left) = (world.standing(), world.clients.iter().map(|client| client.disk.tree()));
                let left: Vec<_> = left.collect();
                settle(world);
                world.check(&saved);
                for (number, before) in left.iter().enumerate() {
                    world.check_untouched(number, before, &format!("/own{number}"));
                }
            }
            restart(world);
        });
    }
}

fn own_directory(world: &mut World, number: usize) -> u64 {
    let disk = &mut world.clients[number].disk;
    let inode = disk.make(Body::Directory(Default::default()));
    disk.put(ROOT, &name(&format!("own{number}")), Some(inode));
    inode
}

#[test]
fn saves_of_editors_keep_the_node() {
    for seed in seeds(500) {
        replayable(seed, 2, |world| {
            let saved = name("text");
            let disk = &mut world.clients[0].disk;
            let inode = disk.make(Body::File(7));
            disk.put(ROOT, &saved, Some(inode));
            world.run();
            let node = |world: &World| world.drive.children(NodeId::ROOT).first().map(|state| state.node);
            let before = node(world);
            for content in 10..10 + 3 {
                for step in 0..4 {
                    user::save_step(&mut world.clients[0].disk, ROOT, &saved, content, step);
                    for _ in 0..world.random.below(6) {
                        world.step();
                    }
                }
                if world.random.below(2) == 0 {
                    world.run();
                }
            }
            world.run();
            world.check(&BTreeSet::from([12]));
            assert_eq!(world.drive_tree().len(), 1);
            assert_eq!(node(world), before, "the file became another node");
        });
    }
}

#[test]
fn a_seed_repeats_itself() {
    let trace = |seed: u64| {
        let mut world = World::new(seed, 2);
        let faults = Faults::draw(&mut Random(seed));
        perturbed(&mut world, faults);
        world.trace
    };
    assert_eq!(trace(3), trace(3));
}
