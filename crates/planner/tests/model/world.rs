//! Several clients with disks, one drive, and every effect carried out at a random time.

use std::collections::BTreeMap;

use skep_drive::memory::MemoryDrive;
use skep_planner::{
    ApplyError, ApplyOperation, ApplyResult, CommitFailure, Effect, Engine, Event, HoldDecision, Identity, Input,
    MemoryTrees, Trees,
};
use skep_types::{Cursor, DeviceId, DriveId, Generation, Limits, Name, NodeId, Seq, Timestamp};

use crate::disk::Disk;
use crate::faults::{self, Faults};
use crate::large;
use crate::random::Random;

/// More steps than any run needs.
const STEPS_MAX: usize = 20_000;
/// States of the trees that a power cut may bring back.
const OLDER_MAX: usize = 4;

pub struct Client {
    pub name: &'static str,
    pub engine: Engine,
    pub trees: MemoryTrees,
    pub older: Vec<MemoryTrees>,
    pub disk: Disk,
    pub watched: BTreeMap<u64, NodeId>,
    pub inbox: Vec<Event>,
    pub effects: Vec<Effect>,
    pub wake_at_ms: Option<u64>,
    pub offline: bool,
    pub lost_hints: bool,
    /// Its watcher can watch nothing more.
    pub is_deaf: bool,
}

impl Client {
    /// It loses the connection.
    pub fn part(&mut self) {
        self.offline = true;
        self.inbox.push(Event::Disconnected);
    }

    /// It is connected again.
    pub fn come_back(&mut self) {
        self.offline = false;
        self.inbox.push(Event::Connected);
    }
}

pub struct World {
    pub seed: u64,
    pub random: Random,
    pub drive: MemoryDrive,
    pub clients: Vec<Client>,
    pub at_ms: u64,
    pub limits: Limits,
    pub contents: u64,
    pub faults: Faults,
    pub starts: u64,
    pub rolled_back: bool,
    /// Somebody decides what is held, one way or the other.
    pub decides_holds: bool,
    /// Now and then the files are brought back.
    pub brings_back: bool,
    /// Effects carried out so far, but for wake-ups.
    pub effects: usize,
    pub counts: BTreeMap<&'static str, usize>,
    pub trace: Vec<String>,
}

fn device(number: usize) -> DeviceId {
    DeviceId::from_bytes([number as u8 + 1; 8])
}

pub fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

pub fn engine(number: usize, limits: Limits, seed: u64) -> Engine {
    let mut bytes = [number as u8; 32];
    bytes[8..16].copy_from_slice(&seed.to_le_bytes());
    let identity =
        Identity { device: device(number), device_name: format!("dev{number}"), drive: DriveId::from_bytes([7; 16]) };
    Engine::new(identity, bytes, limits)
}

impl World {
    /// Clients of an empty drive, with tiny limits.
    pub fn new(seed: u64, clients: usize) -> World {
        let mut random = Random(seed);
        let limits = Limits {
            bundle_files_max: 1 + random.below(6),
            bundle_bytes_max: 1 + random.below(4),
            feed_entries_max: 1 + random.below(5),
            // Without a draw of its own, or the seeds that are known would be others.
            hold_files: if seed.is_multiple_of(5) { seed / 5 % 4 } else { Limits::SHIPPED.hold_files },
            hold_percent: seed / 20 % 3 * 20,
            ..Limits::SHIPPED
        };
        World { decides_holds: true, ..World::with_limits(seed, random, clients, limits) }
    }

    pub fn with_limits(seed: u64, random: Random, clients: usize, limits: Limits) -> World {
        let client = |number: usize| Client {
            name: ["A", "B", "C"][number],
            engine: engine(number, limits, seed),
            trees: MemoryTrees::new(),
            older: Vec::new(),
            disk: Disk::new(),
            watched: BTreeMap::new(),
            inbox: vec![Event::Started],
            effects: Vec::new(),
            wake_at_ms: None,
            offline: false,
            lost_hints: false,
            is_deaf: false,
        };
        let mut world = World {
            seed,
            random,
            drive: MemoryDrive::new(),
            clients: (0..clients).map(client).collect(),
            at_ms: 0,
            limits,
            contents: 0,
            faults: Faults::default(),
            starts: 0,
            rolled_back: false,
            decides_holds: false,
            brings_back: true,
            effects: 0,
            counts: BTreeMap::new(),
            trace: Vec::new(),
        };
        let start = world.cursor(Seq::START);
        for client in &mut world.clients {
            client.inbox.extend([Event::SnapshotDone { cursor: start, since: None }, Event::Connected]);
        }
        world
    }

    pub fn cursor(&self, seq: Seq) -> Cursor {
        let commit = self.drive.journal().get((seq.0 as usize).wrapping_sub(1)).map(|entry| entry.commit);
        Cursor { generation: Generation::from_bytes([1; 16]), seq, commit }
    }

    pub fn head(&self) -> Seq {
        Seq(self.drive.journal().len() as u64)
    }

    pub fn note(&mut self, text: String) {
        self.trace.push(text);
    }

    /// One thing happens somewhere. False if there was nothing to do but to wait.
    pub fn step(&mut self) -> bool {
        let number = self.random.below(self.clients.len());
        if self.faults.strike(&mut self.random, |faults| faults.crashes) {
            self.crash(number);
            return true;
        }
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
    pub fn deliver(&mut self, number: usize) -> bool {
        let count = 1 + self.random.below(5);
        self.deliver_some(number, count)
    }

    /// Gives all waiting events to the engine.
    pub fn deliver_all(&mut self, number: usize) {
        self.deliver_some(number, usize::MAX);
    }

    fn deliver_some(&mut self, number: usize, count: usize) -> bool {
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
        if self.faults.rollbacks && client.older.len() < OLDER_MAX && self.random.below(4) == 0 {
            client.older.push(client.trees.clone());
        }
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
    pub fn carry_out(&mut self, number: usize) -> bool {
        if self.clients[number].effects.is_empty() {
            return false;
        }
        let index = self.random.below(self.clients[number].effects.len());
        let effect = self.clients[number].effects.swap_remove(index);
        self.perform(number, effect);
        true
    }

    /// Carries out the effect that was asked for first.
    pub fn carry_out_first(&mut self, number: usize) -> bool {
        if self.clients[number].effects.is_empty() {
            return false;
        }
        let effect = self.clients[number].effects.remove(0);
        self.perform(number, effect);
        true
    }

    fn perform(&mut self, number: usize, effect: Effect) {
        *self.counts.entry(large::kind(&effect)).or_default() += 1;
        let head = self.head();
        let (random, wrong) = (&mut self.random, &mut self.faults);
        let client = &mut self.clients[number];
        client.disk.clock_ms += 30;
        self.effects += 1;
        match effect {
            Effect::Look { look, dir, path, names, watch } => {
                let result = client.disk.look(&path, names.as_deref());
                let watching = !client.is_deaf;
                if let (true, Ok((stat, _))) = (watch && watching, &result) {
                    client.watched.insert(stat.inode, dir);
                }
                client.inbox.push(Event::Looked { look, watching, result });
            }
            Effect::Read(requests) => {
                for request in requests {
                    let fails = wrong.strike(random, |faults| faults.reads);
                    let result = if fails { Err(faults::read_error(random)) } else { client.disk.read(&request.at) };
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
                    Err(CommitFailure::Unreachable)
                } else if !changed.is_empty() {
                    Err(CommitFailure::SourcesChanged(changed))
                } else if wrong.strike(random, |faults| faults.refusals) {
                    Err(faults::refusal())
                } else {
                    let reply = self.drive.commit(&commit, Timestamp::default(), &self.limits).reply;
                    let lost = wrong.strike(random, |faults| faults.answers);
                    if lost { Err(CommitFailure::Unreachable) } else { Ok(reply) }
                };
                let text = format!("   {} commit {commit:?} -> {result:?}", self.clients[number].name);
                self.note(text);
                self.clients[number].inbox.push(Event::Committed { commit: commit.id, result });
            }
            Effect::Apply { batch, operations } => {
                let results = apply(&mut client.disk, &operations, random, wrong);
                let text = format!("   {} apply -> {results:?}", client.name);
                client.inbox.push(Event::Applied { batch, results });
                self.note(text);
            }
            Effect::CheckDisplaced { .. } => client.inbox.push(Event::CameBack { names: Vec::new() }),
            Effect::Pull => {
                let event = if client.offline { Event::PullFailed } else { Event::Head(head) };
                client.inbox.push(event);
                if !client.offline {
                    self.send_entries(number);
                }
            }
            Effect::WakeAt { .. } => {}
        }
    }

    /// The feed brings some entries.
    pub fn feed(&mut self, number: usize) -> bool {
        let taken = self.clients[number].trees.cursor().map_or(Seq::START, |cursor| cursor.seq);
        let waiting = self.clients[number].inbox.iter().any(|event| matches!(event, Event::Entries { .. }));
        if self.clients[number].offline || waiting || taken >= self.head() {
            return false;
        }
        self.send_entries(number);
        true
    }

    pub fn send_entries(&mut self, number: usize) {
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
    pub fn watch(&mut self, number: usize) -> bool {
        let client = &mut self.clients[number];
        if client.disk.changes.is_empty() {
            return false;
        }
        for (inode, name, change) in std::mem::take(&mut client.disk.changes) {
            if self.faults.strike(&mut self.random, |faults| faults.hints) {
                client.lost_hints = true;
                continue;
            }
            if let Some(dir) = client.watched.get(&inode) {
                client.inbox.push(Event::Changed { dir: *dir, name, change });
            }
        }
        true
    }

    /// Somebody decides what a client holds, if it holds anything.
    fn decide_hold(&mut self) -> bool {
        if !self.decides_holds {
            return false;
        }
        let is_meant = !self.brings_back || (self.seed ^ self.at_ms).is_multiple_of(2);
        let Some(client) = self.clients.iter_mut().find(|client| !client.offline && client.engine.hold().is_some())
        else {
            return false;
        };
        let hold = client.engine.hold().unwrap().id;
        let decision = if is_meant { HoldDecision::Approve } else { HoldDecision::BringBack };
        client.inbox.push(Event::HoldDecided { hold, under: None, decision });
        true
    }

    /// Until nothing is left to do; panics if that does not come.
    pub fn run(&mut self) {
        self.run_until(u64::MAX);
    }

    /// Until nothing is left to do before that time.
    pub fn run_until(&mut self, end_ms: u64) {
        for _ in 0..STEPS_MAX {
            if self.step() {
                continue;
            }
            let wakes = self.clients.iter().filter_map(|client| client.wake_at_ms);
            match wakes.min() {
                Some(wake) if wake > end_ms => return,
                Some(wake) => {
                    self.at_ms = self.at_ms.max(wake);
                    for client in &mut self.clients {
                        client.disk.clock_ms += 100;
                    }
                }
                None if self.clients.iter().any(|client| client.lost_hints) => {
                    for client in self.clients.iter_mut().filter(|client| client.lost_hints) {
                        client.lost_hints = false;
                        client.inbox.push(Event::ScanDue);
                    }
                }
                None if self.decide_hold() => {}
                None => return,
            }
        }
        panic!("no end in sight");
    }
}

/// A batch, as the executor does it.
fn apply(disk: &mut Disk, operations: &[ApplyOperation], random: &mut Random, wrong: &mut Faults) -> Vec<ApplyResult> {
    let mut failed: Vec<&ApplyOperation> = Vec::new();
    let mut results = Vec::new();
    for operation in operations {
        let result = if failed.iter().any(|earlier| operation.goes_through(earlier)) {
            Err(ApplyError::Changed)
        } else if wrong.strike(random, |faults| faults.applies) {
            Err(faults::apply_error(random))
        } else {
            disk.apply(operation)
        };
        failed.extend(result.is_err().then_some(operation));
        results.push(result);
    }
    results
}
