//! What goes wrong in a run, and how often.

use skep_planner::{ApplyError, CommitFailure, Effect, Event, ReadError, Trees};

use crate::random::Random;
use crate::world::{World, engine};

/// For each kind of fault: one in so many times; 0: never. All together only so often, so that a run can end.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    pub left: usize,
    pub answers: usize,
    pub refusals: usize,
    pub hints: usize,
    pub reads: usize,
    pub applies: usize,
    pub crashes: usize,
    pub rollbacks: bool,
    /// A crash loses no answers of applies: what was applied is known afterwards.
    pub whole_applies: bool,
}

impl Faults {
    /// Some kinds, now and then.
    pub fn draw(random: &mut Random) -> Faults {
        let mut rate = |rates: [usize; 4]| rates[random.below(4)];
        Faults {
            left: rate([0, 5, 10, 30]),
            answers: rate([0, 3, 10, 10]),
            refusals: rate([0, 0, 4, 10]),
            hints: rate([0, 0, 2, 6]),
            reads: rate([0, 0, 3, 8]),
            applies: rate([0, 0, 3, 8]),
            crashes: rate([0, 0, 40, 200]),
            rollbacks: rate([0, 0, 0, 1]) == 1,
            whole_applies: false,
        }
    }

    /// Whether it goes wrong now.
    pub fn strike(&mut self, random: &mut Random, rate: impl Fn(&Faults) -> usize) -> bool {
        let rate = rate(self);
        let strikes = self.left > 0 && rate > 0 && random.below(rate) == 0;
        self.left -= usize::from(strikes);
        strikes
    }
}

pub fn read_error(random: &mut Random) -> ReadError {
    [ReadError::Busy, ReadError::Busy, ReadError::Denied, ReadError::Failed][random.below(4)]
}

pub fn apply_error(random: &mut Random) -> ApplyError {
    let errors = [
        ApplyError::Changed,
        ApplyError::Changed,
        ApplyError::NoSpace,
        ApplyError::Denied,
        ApplyError::Unreachable,
        ApplyError::Failed("it failed".into()),
    ];
    errors[random.below(errors.len())].clone()
}

pub fn refusal() -> CommitFailure {
    CommitFailure::Refused { code: "E-BUSY", message: "try again".into(), temporary: true }
}

impl World {
    /// The program ends without warning and starts again. What was under way may have been done, its answer is lost.
    pub fn crash(&mut self, number: usize) {
        if self.faults.whole_applies {
            let client = &mut self.clients[number];
            client.inbox.retain(|event| matches!(event, Event::Applied { .. }));
            self.deliver_all(number);
            self.clients[number].effects.retain(|effect| matches!(effect, Effect::Commit { .. }));
        }
        for effect in std::mem::take(&mut self.clients[number].effects) {
            match effect {
                Effect::Commit { commit, .. } if self.random.below(2) == 0 && !self.clients[number].offline => {
                    self.drive.commit(&commit, Default::default(), &self.limits);
                }
                Effect::Apply { operations, .. } => {
                    let done = self.random.below(operations.len() + 1);
                    for operation in &operations[..done] {
                        let _ = self.clients[number].disk.apply(operation);
                    }
                }
                _ => {}
            }
        }
        self.starts += 1;
        let client = &mut self.clients[number];
        if self.faults.rollbacks && !client.older.is_empty() {
            let kept = self.random.below(client.older.len());
            client.trees = client.older.swap_remove(kept);
            client.older.clear();
            self.rolled_back = true;
        }
        client.engine = engine(number, self.limits, self.seed ^ (self.starts << 32));
        client.watched.clear();
        client.disk.changes.clear();
        client.wake_at_ms = None;
        client.inbox = vec![Event::Started];
        if client.trees.cursor().is_none() {
            let cursor = self.cursor(skep_types::Seq::START);
            self.clients[number].inbox.push(Event::SnapshotDone { cursor, since: None });
        }
        if !self.clients[number].offline {
            self.clients[number].inbox.push(Event::Connected);
        }
        let text = format!("{} {} crashes", self.at_ms, self.clients[number].name);
        self.note(text);
    }
}
