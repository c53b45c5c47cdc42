//! The planner against a model of the world: several disks, one drive, every effect carried out at a random time.
//!
//! One tree is made and agreed on, then perturbed on each disk at once; nothing else is done but what the engines ask for. It must
//! end soon, with all disks equal to the drive and no content lost.

#![expect(clippy::unwrap_used, reason = "what the model cannot do is a failed test")]

mod disk;

use std::collections::{BTreeMap, BTreeSet};

use disk::{Body, Disk, ROOT, content_of};
use skep_drive::memory::MemoryDrive;
use skep_planner::{Effect, Engine, Event, Identity, Input, MemoryTrees, Trees};
use skep_types::{Content, ContentId, Cursor, DeviceId, DriveId, Generation, Limits, Name, NodeId, Seq, Timestamp};

/// A small generator of numbers (splitmix64): the same seed, the same run.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

struct Client {
    name: &'static str,
    engine: Engine,
    trees: MemoryTrees,
    disk: Disk,
    watched: BTreeMap<u64, NodeId>,
    inbox: Vec<Event>,
    effects: Vec<Effect>,
    wake_at_ms: Option<u64>,
    offline: bool,
}

struct World {
    random: Random,
    drive: MemoryDrive,
    clients: Vec<Client>,
    at_ms: u64,
    limits: Limits,
    contents: u64,
    trace: Vec<String>,
}

fn device(number: usize) -> DeviceId {
    DeviceId::from_bytes([number as u8 + 1; 8])
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn engine(number: usize, limits: Limits, seed: u64) -> Engine {
    let mut bytes = [number as u8; 32];
    bytes[8..16].copy_from_slice(&seed.to_le_bytes());
    let identity =
        Identity { device: device(number), device_name: format!("dev{number}"), drive: DriveId::from_bytes([7; 16]) };
    Engine::new(identity, bytes, limits)
}

impl World {
    fn new(seed: u64, clients: usize) -> World {
        let mut random = Random(seed);
        let limits = Limits {
            bundle_files_max: 1 + random.below(6),
            bundle_bytes_max: 1 + random.below(4),
            feed_entries_max: 1 + random.below(5),
            ..Limits::SHIPPED
        };
        let client = |number: usize| Client {
            name: ["A", "B", "C"][number],
            engine: engine(number, limits, seed),
            trees: MemoryTrees::new(),
            disk: Disk::new(),
            watched: BTreeMap::new(),
            inbox: vec![Event::Started],
            effects: Vec::new(),
            wake_at_ms: None,
            offline: false,
        };
        let clients = (0..clients).map(client).collect();
        let mut world =
            World { random, drive: MemoryDrive::new(), clients, at_ms: 0, limits, contents: 0, trace: Vec::new() };
        let start = world.cursor(Seq::START);
        for client in &mut world.clients {
            client.inbox.extend([Event::SnapshotDone { cursor: start }, Event::Connected]);
        }
        world
    }

    fn cursor(&self, seq: Seq) -> Cursor {
        let commit = self.drive.journal().get((seq.0 as usize).wrapping_sub(1)).map(|entry| entry.commit);
        Cursor { generation: Generation::from_bytes([1; 16]), seq, commit }
    }

    fn head(&self) -> Seq {
        Seq(self.drive.journal().len() as u64)
    }

    fn note(&mut self, text: String) {
        self.trace.push(text);
    }

    /// One thing happens somewhere. False if there was nothing to do but to wait.
    fn step(&mut self) -> bool {
        let number = self.random.below(self.clients.len());
        let choices = self.random.below(4);
        for offset in 0..self.clients.len() {
            let number = (number + offset) % self.clients.len();
            for choice in 0..4 {
                let done = match (choices + choice) % 4 {
                    0 => self.deliver(number),
                    1 => self.carry_out(number),
                    2 => self.feed(number),
                    _ => self.watch(number),
                };
                if done {
                    return true;
                }
            }
        }
        false
    }

    /// Gives some of the waiting events to the engine.
    fn deliver(&mut self, number: usize) -> bool {
        let count = 1 + self.random.below(5);
        let (at_ms, client) = (self.at_ms, &mut self.clients[number]);
        let now = Timestamp::default().plus_milliseconds(at_ms);
        let due = client.wake_at_ms.is_some_and(|wake| wake <= at_ms);
        if client.inbox.is_empty() && !due {
            return false;
        }
        let mut events: Vec<Event> = client.inbox.drain(..count.min(client.inbox.len())).collect();
        if due {
            client.wake_at_ms = None;
            events.push(Event::Tick);
        }
        let text = format!("{at_ms} {} takes {events:?}", client.name);
        let inputs: Vec<Input> = events.into_iter().map(|event| Input { now, at_ms, event }).collect();
        let effects = client.engine.step(&mut client.trees, inputs);
        let text = format!("{text}\n      -> {effects:?}");
        for effect in effects {
            match effect {
                Effect::WakeAt { at_ms } => client.wake_at_ms = Some(at_ms),
                effect => client.effects.push(effect),
            }
        }
        self.note(text);
        true
    }

    /// Carries out one effect, whichever.
    fn carry_out(&mut self, number: usize) -> bool {
        if self.clients[number].effects.is_empty() {
            return false;
        }
        let index = self.random.below(self.clients[number].effects.len());
        let effect = self.clients[number].effects.swap_remove(index);
        let head = self.head();
        let client = &mut self.clients[number];
        client.disk.clock_ms += 30;
        match effect {
            Effect::Look { look, dir, path, names, watch } => {
                let result = client.disk.look(&path, names.as_deref());
                if let (true, Ok((stat, _))) = (watch, &result) {
                    client.watched.insert(stat.inode, dir);
                }
                client.inbox.push(Event::Looked { look, result });
            }
            Effect::Read(requests) => {
                for request in requests {
                    let result = client.disk.read(&request.at);
                    client.inbox.push(Event::Read { node: request.node, result });
                }
            }
            Effect::Commit { commit, sources } => {
                let changed: Vec<NodeId> = sources
                    .iter()
                    .filter(|(_, source)| client.disk.read(&source.at).map(|read| read.stat) != Ok(source.stat))
                    .map(|(node, _)| *node)
                    .collect();
                let result = if client.offline {
                    Err(skep_planner::CommitFailure::Unreachable)
                } else if !changed.is_empty() {
                    Err(skep_planner::CommitFailure::SourcesChanged(changed))
                } else {
                    let reply = self.drive.commit(&commit, Timestamp::default(), &self.limits).reply;
                    let lost = self.random.below(10) == 0;
                    if lost { Err(skep_planner::CommitFailure::Unreachable) } else { Ok(reply) }
                };
                let text = format!("   {} commit {commit:?} -> {result:?}", self.clients[number].name);
                self.note(text);
                self.clients[number].inbox.push(Event::Committed { commit: commit.id, result });
            }
            Effect::Apply { batch, operations } => {
                let results: Vec<_> = operations.iter().map(|operation| client.disk.apply(operation)).collect();
                let text = format!("   {} apply -> {results:?}", client.name);
                client.inbox.push(Event::Applied { batch, results });
                self.note(text);
            }
            Effect::Pull => {
                let event = if client.offline { Event::PullFailed } else { Event::Head(head) };
                client.inbox.push(event);
                if !client.offline {
                    self.send_entries(number);
                }
            }
            Effect::WakeAt { .. } => {}
        }
        true
    }

    /// The feed brings some entries.
    fn feed(&mut self, number: usize) -> bool {
        let taken = self.clients[number].trees.cursor().map_or(Seq::START, |cursor| cursor.seq);
        let waiting = self.clients[number].inbox.iter().any(|event| matches!(event, Event::Entries { .. }));
        if self.clients[number].offline || waiting || taken >= self.head() {
            return false;
        }
        self.send_entries(number);
        true
    }

    fn send_entries(&mut self, number: usize) {
        let after = self.clients[number].trees.cursor().map_or(Seq::START, |cursor| cursor.seq);
        let journal = self.drive.journal();
        let mut entries: Vec<_> = Vec::new();
        for entry in &journal[after.0 as usize..] {
            let whole = entries.last().is_none_or(|last: &skep_types::Entry| last.commit != entry.commit);
            if entries.len() >= self.limits.feed_entries_max && whole {
                break;
            }
            entries.push(entry.clone());
        }
        let to = self.cursor(entries.last().map_or(after, |entry| entry.seq));
        let head = self.head();
        self.clients[number].inbox.push(Event::Entries { after, entries, to, head });
    }

    /// The watcher tells of changes.
    fn watch(&mut self, number: usize) -> bool {
        let client = &mut self.clients[number];
        if client.disk.changes.is_empty() {
            return false;
        }
        for (inode, name) in std::mem::take(&mut client.disk.changes) {
            if let Some(dir) = client.watched.get(&inode) {
                client.inbox.push(Event::Changed { dir: *dir, name });
            }
        }
        true
    }

    /// Until nothing is left to do; panics if that does not come.
    fn run(&mut self) {
        for _ in 0..20_000 {
            if self.step() {
                continue;
            }
            let wakes = self.clients.iter().filter_map(|client| client.wake_at_ms);
            match wakes.min() {
                Some(wake) => {
                    self.at_ms = self.at_ms.max(wake);
                    for client in &mut self.clients {
                        client.disk.clock_ms += 100;
                    }
                }
                None => return,
            }
        }
        panic!("no end in sight");
    }

    /// A user does something on one disk.
    fn perturb(&mut self, number: usize) {
        let act = self.random.below(20);
        let disk = &self.clients[number].disk;
        let mut places = Vec::new();
        let mut left = vec![ROOT];
        let mut dirs = vec![ROOT];
        while let Some(dir) = left.pop() {
            for (name, inode) in disk.entries(dir) {
                if matches!(disk.inodes[&inode].body, Body::Directory(_)) {
                    left.push(inode);
                    dirs.push(inode);
                }
                places.push((dir, name, inode));
            }
        }
        let dir = dirs[self.random.below(dirs.len())];
        let fresh = name(["a", "b", "c", "d", "e.txt"][self.random.below(5)]);
        let pick = (!places.is_empty()).then(|| places[self.random.below(places.len())].clone());
        self.contents += 1;
        let content = match self.random.below(8) {
            0 => 0,
            1 => 1_000_000,
            _ => self.contents,
        };
        let disk = &mut self.clients[number].disk;
        let text = match (act, pick) {
            (0..5, _) => {
                match disk.get(dir, &fresh).map(|inode| (inode, disk.inodes[&inode].body.clone())) {
                    None => {
                        let inode = disk.make(Body::File(content));
                        disk.put(dir, &fresh, Some(inode));
                    }
                    Some((inode, Body::File(_))) => {
                        disk.write(inode, content);
                        disk.changes.push((dir, fresh.clone()));
                    }
                    Some(_) => {}
                }
                format!("writes {content} to {fresh:?} in {dir}")
            }
            (5..7, _) if disk.get(dir, &fresh).is_none() => {
                let inode = disk.make(Body::Directory(BTreeMap::new()));
                disk.put(dir, &fresh, Some(inode));
                format!("mkdir {fresh:?} in {dir}")
            }
            (7, _) if disk.get(dir, &fresh).is_none() => {
                let inode = disk.make(Body::Symlink(vec![b'x'; 1 + content as usize % 5]));
                disk.put(dir, &fresh, Some(inode));
                format!("ln {fresh:?} in {dir}")
            }
            (8..10, Some((parent, old, inode))) => {
                if matches!(disk.inodes[&inode].body, Body::File(_)) {
                    disk.write(inode, content);
                    disk.changes.push((parent, old.clone()));
                }
                format!("edits {old:?} in {parent}: {content}")
            }
            (10..14, Some((parent, old, inode))) if !disk.contains(inode, dir) && disk.get(dir, &fresh).is_none() => {
                disk.put(parent, &old, None);
                disk.put(dir, &fresh, Some(inode));
                format!("moves {old:?} in {parent} to {fresh:?} in {dir}")
            }
            (14..17, Some((parent, old, _))) => {
                disk.put(parent, &old, None);
                format!("removes {old:?} in {parent}")
            }
            (17, Some((parent, old, inode))) => {
                let file = matches!(disk.inodes[&inode].body, Body::File(_));
                if file {
                    let found = disk.inodes.get_mut(&inode).unwrap();
                    found.executable = !found.executable;
                    disk.clock_ms += 1;
                    found.ctime = Timestamp::default().plus_milliseconds(disk.clock_ms);
                    disk.changes.push((parent, old.clone()));
                }
                format!("chmod {old:?} in {parent}")
            }
            (18, Some((parent, old, inode))) => {
                let other = places[content as usize % places.len()].clone();
                if !disk.contains(inode, other.2) && !disk.contains(other.2, inode) {
                    disk.put(parent, &old, Some(other.2));
                    disk.put(other.0, &other.1, Some(inode));
                }
                format!("swaps {old:?} in {parent} and {:?} in {}", other.1, other.0)
            }
            (19, Some((parent, old, inode))) if matches!(disk.inodes[&inode].body, Body::File(_)) => {
                let saved = disk.make(Body::File(content));
                disk.put(parent, &old, Some(saved));
                format!("saves {content} over {old:?} in {parent}")
            }
            _ => "does nothing".into(),
        };
        let text = format!("{} {} {text}", self.at_ms, self.clients[number].name);
        self.note(text);
    }

    /// The drive's live tree by path.
    fn drive_tree(&self) -> BTreeMap<String, (Body, bool)> {
        let mut found = BTreeMap::new();
        let mut left = vec![(String::new(), NodeId::ROOT)];
        while let Some((path, dir)) = left.pop() {
            for state in self.drive.children(dir) {
                let path = format!("{path}/{}", state.place.name.display());
                let body = match &state.content {
                    Content::File(file) => Body::File(content_of(&file.id)),
                    Content::Symlink { target } => Body::Symlink(target.clone()),
                    _ => Body::Directory(BTreeMap::new()),
                };
                found.insert(path.clone(), (body, state.mode.executable));
                left.push((path, state.node));
            }
        }
        found
    }

    /// Everything is equal, everybody knows it, and every content is somewhere.
    fn check(&self, saved: &BTreeSet<u64>) {
        let drive = self.drive_tree();
        for client in &self.clients {
            assert_eq!(client.disk.tree(), drive, "disk of {} against the drive", client.name);
            let progress = client.engine.progress(&client.trees);
            assert!(progress.settled, "{} is not settled: {progress:?} {:?}", client.name, client.engine);
            assert_eq!(client.trees.differing(None, 10), vec![], "trees of {} differ", client.name);
        }
        let kept = self.drive.journal().iter().filter_map(|entry| entry.state.content.file());
        let mut kept: BTreeSet<u64> = kept.map(|file| content_of(&file.id)).collect();
        kept.extend(self.clients.iter().flat_map(|client| client.disk.safe.iter().copied()));
        let lost: Vec<&u64> = saved.iter().filter(|content| !kept.contains(content)).collect();
        assert!(lost.is_empty(), "contents {lost:?} are lost");
        assert!(!kept.contains(&u64::MAX) && content_of(&ContentId::Empty) == 0);
    }

    /// The contents that stand on the disks now.
    fn standing(&self) -> BTreeSet<u64> {
        let trees = self.clients.iter().flat_map(|client| client.disk.tree().into_values());
        trees.filter_map(|(body, _)| if let Body::File(content) = body { Some(content) } else { None }).collect()
    }
}

fn run_case(seed: u64) {
    let clients = 2 + usize::from(seed.is_multiple_of(5));
    let mut world = World::new(seed, clients);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..8 {
            world.perturb(0);
        }
        world.run();
        world.check(&world.standing());
        for round in 0..2 {
            let offline = world.random.below(2) == 0;
            for number in 0..world.clients.len() {
                world.clients[number].offline = offline;
                if offline {
                    world.clients[number].inbox.push(Event::Disconnected);
                }
            }
            for _ in 0..2 + world.random.below(8) {
                let number = world.random.below(world.clients.len());
                world.perturb(number);
                for _ in 0..world.random.below(if round == 0 { 1 } else { 12 }) {
                    world.step();
                }
            }
            let saved = world.standing();
            for client in &mut world.clients {
                if std::mem::take(&mut client.offline) {
                    client.inbox.push(Event::Connected);
                }
            }
            world.run();
            world.check(&saved);
        }
        // Restarted engines find nothing to do.
        let head = world.head();
        for number in 0..world.clients.len() {
            world.clients[number].engine = engine(number, world.limits, seed ^ 0xffff);
            world.clients[number].inbox = vec![Event::Started, Event::Connected];
        }
        world.run();
        world.check(&BTreeSet::new());
        assert_eq!(world.head(), head, "a restart changed something");
    }));
    if let Err(panic) = outcome {
        let skip = if std::env::var("MODEL_TRACE").is_ok() { 0 } else { world.trace.len().saturating_sub(12) };
        for line in &world.trace[skip..] {
            eprintln!("{line}");
        }
        for client in &world.clients {
            if skip == 0 {
                eprintln!("{} {:#?}", client.name, client.engine);
            }
        }
        eprintln!("seed {seed}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn perturbed_trees_converge_and_nothing_is_lost() {
    let start = std::env::var("MODEL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let count = std::env::var("MODEL_COUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    for seed in start..start + count {
        if std::env::var("MODEL_TRACE").is_ok() {
            eprintln!("seed {seed} begins");
        }
        run_case(seed);
    }
}
