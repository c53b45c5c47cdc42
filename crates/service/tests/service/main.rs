//! The service as its devices see it: real stores, real frames, no sockets.
#![expect(clippy::unwrap_used, reason = "a failed test should stop at once")]

mod rig;

mod calls;
mod checks;
mod classic;
mod codes;
mod commits;
mod content;
mod feeds;
mod joins;
mod knocks;
mod lineage;
mod past;
mod people;
mod room;
mod upkeep;
