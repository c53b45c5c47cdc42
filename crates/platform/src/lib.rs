//! The seams between what Skep decides and the machine it runs on.
//!
//! `client`, `service` and `blobstore` are plain code against these traits, with no runtime in sight. Production is a thin
//! adapter (this crate for files and the watcher, the binaries for tasks and links); the simulator is another one, so that
//! it runs the shipped code over a simulated world.
//!
//! [`NativeFiles`] and [`NativeWatcher`] are the adapters for the system that this is built for; [`conformance`] is what any
//! adapter, and the simulated disk, must do.
//!
//! Invariant: this is the only crate that touches `std::fs`.

pub mod conformance;
mod files;
#[cfg(target_os = "linux")]
mod linux;
pub mod own_files;
// Compiled for tests everywhere, so that the checks run on it where developers are.
#[cfg(feature = "tokio-runtime")]
pub mod machine;
mod mapped;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;
#[cfg(feature = "tokio-runtime")]
pub mod runtime;
#[cfg(feature = "tokio-runtime")]
pub mod service_manager;
mod set_aside;
pub mod talk;
mod tasks;
mod watcher;

pub use files::{FileError, FileErrorKind, Files, RenameMode};
#[cfg(target_os = "linux")]
pub use linux::{LinuxDir, LinuxFiles, LinuxReader, LinuxWatcher, LinuxWriter};
pub use mapped::{MappedFiles, MappedWatcher};
#[cfg(not(target_os = "linux"))]
pub use portable::{PollingWatcher, PortableDir, PortableFiles, PortableReader, PortableWriter};
pub use set_aside::set_aside;
pub use skep_types::Stat;
pub use tasks::{Clock, Entropy, Gone, Lane, Tasks, offload};
pub use watcher::{Hint, WatchError, Watcher};

/// The files of the system that this is built for.
#[cfg(target_os = "linux")]
pub type NativeFiles = LinuxFiles;
/// The watcher of the system that this is built for.
#[cfg(target_os = "linux")]
pub type NativeWatcher = LinuxWatcher;
/// The files of the system that this is built for.
#[cfg(not(target_os = "linux"))]
pub type NativeFiles = PortableFiles;
/// The watcher of the system that this is built for.
#[cfg(not(target_os = "linux"))]
pub type NativeWatcher = PollingWatcher;
