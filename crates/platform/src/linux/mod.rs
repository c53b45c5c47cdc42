//! Files and the watcher on Linux, directly on its system calls.

mod errno;
mod files;
mod mounts;
mod stat;
mod watcher;

pub use files::{LinuxDir, LinuxFiles, LinuxReader, LinuxWriter};
pub use watcher::LinuxWatcher;
