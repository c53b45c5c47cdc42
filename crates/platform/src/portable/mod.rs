//! Files and a stand-in for the watcher on systems without an adapter of their own, on the standard library alone.
//!
//! Less is kept here than on Linux: a directory handle is a path, so it does not follow a rename, and between the check that
//! no component is a link and the call another program may put one there. Other file systems that are mounted beneath the root
//! are not told apart.

mod files;
mod names;
mod watcher;

#[cfg(not(target_os = "linux"))]
pub use files::{PortableDir, PortableFiles, PortableReader, PortableWriter};
#[cfg(not(target_os = "linux"))]
pub use watcher::PollingWatcher;
