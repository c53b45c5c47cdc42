//! Everything that the client decides, as pure functions and one state machine.
//!
//! Three trees of the same nodes: *Remote* (what the server says), *Local* (what this disk shows) and *Synced* (what both last agreed
//! on). Observations go into the trees; the plan is a function of the trees; effects carry it out and come back as events.
//!
//! Reading order: [`trees`], [`event`](Event) and [`effect`](Effect), `reconcile` (one node), `plan` (many nodes), `observe` (from what
//! was seen to Local), [`Engine`] (the loop).
//!
//! Invariant: no IO, clock, entropy or async. Ids and times come inside inputs; equal inputs give equal effects.
#![forbid(unsafe_code)]

mod absence;
mod effect;
mod engine;
mod event;
mod ids;
mod ignore;
mod memory;
mod names;
mod observe;
mod plan;
mod reconcile;
mod shadow;
mod shape;

pub mod trees;

pub use absence::{Absence, DeletionHold, Found, HoldDecision, HoldId, Stage};
pub use effect::{ApplyKind, ApplyOperation, BatchId, Effect, Location, LookId, ReadRequest, Source};
pub use engine::{
    Correction, Engine, EngineProblem, Identity, IgnoreCheck, Ignored, Listed, Listing, Progress, Selectable, path_here,
};
pub use event::{ApplyError, ApplyResult, CommitFailure, Event, Input, LookError, ReadError, ReadResult, Sight};
pub use ignore::{IGNORE_BYTES_MAX, IgnoreFault, IgnoreReason, IgnoreRules, is_ignore_file, is_path_ignored};

pub use memory::MemoryTrees;
pub use names::{TwoVersions, conflict_name};
pub use shadow::{Meeting, take_shadow};
pub use trees::{Beginning, CHAIN_MAX, Local, LocalContent, Synced, Trees};
