//! The loop as a state machine: observe, reconcile, plan, execute, observe.

use skep_types::{Cursor, DeviceId, DriveId, Limits, Name, NodeId, Seq, Timestamp};

use crate::{Effect, Input, Trees};

/// Who this engine works for.
#[derive(Debug, Clone)]
pub struct Identity {
    /// This device.
    pub device: DeviceId,
    /// What its owner calls it; stands in the names of conflict copies.
    pub device_name: String,
    /// The drive that the folder shows.
    pub drive: DriveId,
}

/// Something that cannot be synced now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineProblem {
    /// Which node; the root if it concerns everything.
    pub node: NodeId,
    /// Its path from the root, for people.
    pub path: String,
    /// Stable code, `E-…`.
    pub code: &'static str,
    /// A sentence: what happened.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Since when.
    pub since: Timestamp,
    /// It will not go away by itself.
    pub needs_person: bool,
}

/// How far things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Nothing waits to be looked at, read, sent or applied, but for problems: the three trees are equal but for these.
    pub settled: bool,
    /// Everything up to here was taken from the journal.
    pub cursor: Option<Cursor>,
    /// The journal's end, as far as known.
    pub head: Seq,
    /// The feed is open.
    pub connected: bool,
    /// Nodes that wait.
    pub queue_files: u64,
    /// What cannot be done, and why; by path.
    pub problems: Vec<EngineProblem>,
}

/// The client's mind. Owns no data but what may be lost: everything that must survive is in the trees.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    limits: Limits,
}

impl Engine {
    /// An engine that draws ids from `seed`, which nobody else can know.
    pub fn new(identity: Identity, seed: [u8; 32], limits: Limits) -> Engine {
        let _ = seed;
        Engine { identity, limits }
    }

    /// Takes one event and says what to do. Everything it writes to `trees` must be stored before the effects are carried out.
    pub fn step(&mut self, trees: &mut dyn Trees, input: Input) -> Vec<Effect> {
        let _ = (trees, input, &self.identity, &self.limits);
        Vec::new()
    }

    /// How far things are.
    pub fn progress(&self, trees: &dyn Trees) -> Progress {
        let _ = trees;
        Progress {
            settled: false,
            cursor: None,
            head: Seq::START,
            connected: false,
            queue_files: 0,
            problems: Vec::new(),
        }
    }

    /// Why the node at this path is as it is: a word (`synced`, `sending`, `receiving`, `waiting`, `problem`, `unknown`) and a sentence.
    pub fn explain(&self, trees: &dyn Trees, path: &[Name]) -> (&'static str, String) {
        let _ = (trees, path);
        ("unknown", String::new())
    }
}
