//! The server's rules: what a commit may do to a drive.
//!
//! [`decide`] is a pure function of the commit and of what stands in the drive, read through [`View`] inside the store's
//! transaction. It never does IO, and equal input gives equal output.
//!
//! Invariant: entries that [`decide`] made, appended to a drive without orphans, cycles and names that are taken twice, leave it so.
#![forbid(unsafe_code)]

mod decide;
mod draft;
mod group;
pub mod memory;
mod operation;
mod retention;
mod valid;

pub use decide::{Decision, View, ViewFailed, decide};
pub use draft::root;
pub use retention::{Retention, retention_clock};
