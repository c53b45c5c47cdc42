//! The seams between what Skep decides and the machine it runs on.
//!
//! `client`, `service` and `blobstore` are plain code against these traits, with no runtime in sight. Production is a thin
//! adapter (this crate for files and the watcher, the binaries for tasks and links); the simulator is another one, so that
//! it runs the shipped code over a simulated world.
//!
//! Invariant: this is the only crate that touches `std::fs`.

mod files;
pub mod own_files;
#[cfg(feature = "tokio-runtime")]
pub mod runtime;
mod set_aside;
pub mod talk;
mod tasks;
mod watcher;

pub use files::{FileError, FileErrorKind, Files, RenameMode};
pub use set_aside::set_aside;
pub use skep_types::Stat;
pub use tasks::{Clock, Entropy, Gone, Lane, Tasks, offload};
pub use watcher::{Hint, WatchError, Watcher};
