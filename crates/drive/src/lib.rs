//! The server's rules: what a commit may do to a drive.
//!
//! [`decide`] is a pure function of the commit and of what stands in the drive, read through [`View`] inside the store's
//! transaction. It never does IO, and equal input gives equal output.
#![forbid(unsafe_code)]

mod decide;

pub use decide::{Decision, View, ViewFailed, decide};
