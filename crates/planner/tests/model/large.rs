//! Many files at once: the work grows with the change, and what can go together does.

use std::collections::BTreeMap;

use skep_planner::{Effect, Event};
use skep_types::{Limits, NodeId};

use crate::disk::{Body, ROOT};
use crate::random::Random;
use crate::world::{World, name};

const DIRECTORIES: usize = 100;
const FILES: usize = 100;

#[test]
fn ten_thousand_new_files_travel_in_full_commits() {
    let mut world = World::with_limits(1, Random(1), 2, Limits::SHIPPED);
    let disk = &mut world.clients[0].disk;
    for dir in 0..DIRECTORIES {
        let inode = disk.make(Body::Directory(BTreeMap::new()));
        disk.put(ROOT, &name(&format!("d{dir}")), Some(inode));
        for file in 0..FILES {
            let made = disk.make(Body::File((1 + dir * FILES + file) as u64));
            disk.put(inode, &name(&format!("f{file}")), Some(made));
        }
    }
    disk.changes.clear();
    world.run_in_order();
    let files = DIRECTORIES * FILES;
    assert_eq!(world.drive_tree().len(), DIRECTORIES + files);
    world.check(&world.standing());
    let counted = |kind: &str| world.counts.get(kind).copied().unwrap_or(0);
    assert!(counted("look") <= 6 * DIRECTORIES, "{:?}", world.counts);
    for kind in ["commit", "apply"] {
        assert!(counted(kind) <= files / 500, "{kind}: {:?}", world.counts);
    }
    assert!(counted("read") <= files / 100, "{:?}", world.counts);

    // One edit in it costs as much as in an empty folder.
    let before = world.counts.values().sum::<usize>();
    let disk = &mut world.clients[0].disk;
    let dir = disk.get(ROOT, &name("d7")).unwrap();
    let inode = disk.get(dir, &name("f7")).unwrap();
    disk.edit(dir, &name("f7"), inode, 1_000_000);
    world.run_in_order();
    let spent = world.counts.values().sum::<usize>() - before;
    assert!(spent <= 12, "{spent} effects for one edit");

    // A directory that moves is one operation and one rename.
    let before = world.counts.clone();
    let disk = &mut world.clients[0].disk;
    let moved = disk.put(ROOT, &name("d7"), None);
    disk.put(ROOT, &name("moved"), moved);
    let head = world.head();
    world.run_in_order();
    assert_eq!(world.head().0, head.0 + 1);
    assert_eq!(world.counts["apply"], before["apply"] + 1);
    assert_eq!(world.drive.children(NodeId::ROOT).len(), DIRECTORIES);
    world.check(&Default::default());
}

impl World {
    /// Until nothing is left to do: all that waits is given at once, and all effects are carried out.
    pub fn run_in_order(&mut self) {
        loop {
            let mut worked = false;
            for number in 0..self.clients.len() {
                self.deliver_all(number);
                worked |= !self.clients[number].effects.is_empty();
                while self.carry_out_first(number) {}
                worked |= self.watch(number) | self.feed(number);
            }
            let wake = self.clients.iter().filter_map(|client| client.wake_at_ms).min();
            match wake {
                _ if worked || self.clients.iter().any(|client| !client.inbox.is_empty()) => {}
                Some(wake) => self.at_ms = self.at_ms.max(wake),
                None => return,
            }
        }
    }
}

/// What kind of effect it is, for counting.
pub fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Look { .. } => "look",
        Effect::Read(_) => "read",
        Effect::Commit { .. } => "commit",
        Effect::Apply { .. } => "apply",
        Effect::Pull => "pull",
        Effect::CheckDisplaced { .. } => "check",
        Effect::WakeAt { .. } => "wake",
    }
}

#[test]
fn a_wake_up_is_no_event() {
    let mut world = World::with_limits(1, Random(1), 1, Limits::SHIPPED);
    world.run_in_order();
    let before = world.counts.clone();
    world.clients[0].inbox.push(Event::Tick);
    world.run_in_order();
    assert_eq!(world.counts, before, "something is done at every tick");
}
