//! [`Watcher`] on inotify: watches are added by directory descriptor, so that no path is looked up and a renamed directory
//! keeps its watch.
//!
//! One thread waits for the kernel and hands hints over at once. A hint that waits already is not queued a second time, so
//! that a file in constant writing costs one hint per turn of the reader.

use std::collections::{BTreeMap, HashMap, hash_map};
use std::future::Future;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use skep_types::{Change, Name, NodeId};
use tokio::sync::Notify;

use super::files::{LinuxDir, LinuxFiles};
use crate::{Hint, WatchError, Watcher};

/// Most hints that are handed over at a time.
const HINTS_BATCH_MAX: usize = 4096;
/// Hints that wait for the reader; when they are more, everything must be looked at anyway.
const HINTS_QUEUED_MAX: usize = 65_536;
/// Bytes of events that are read at a time.
const EVENTS_BUFFER_BYTES: usize = 64 << 10;

/// Watches directories with inotify. Clones are one watcher; its thread ends with the last of them.
#[derive(Clone)]
pub struct LinuxWatcher {
    watching: Arc<Watching>,
}

/// What ends the thread when it is dropped.
struct Watching {
    shared: Arc<Shared>,
    stop: OwnedFd,
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Adding one to the counter of an event descriptor that nobody else writes cannot fail.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
    }
}

struct Shared {
    inotify: OwnedFd,
    /// Held while a watch is added, so that no event of a new watch is read before its node is known.
    watches: Mutex<Watches>,
    queue: Mutex<Queue>,
    is_filled: Notify,
}

/// Watch descriptors and nodes, both ways.
#[derive(Default)]
struct Watches {
    nodes: BTreeMap<i32, NodeId>,
    descriptors: BTreeMap<NodeId, i32>,
}

/// Hints that wait.
#[derive(Default)]
struct Queue {
    /// In order; an entry of a directory, or the directory itself, which is watched no more.
    order: Vec<(NodeId, Option<Name>)>,
    /// What may have happened to those in `order`; never iterated.
    waiting: HashMap<(NodeId, Option<Name>), Change>,
    is_lost: bool,
}

impl Queue {
    fn push(&mut self, dir: NodeId, name: Option<Name>, change: Change) {
        if self.is_lost {
            return;
        }
        if self.order.len() >= HINTS_QUEUED_MAX {
            return self.lose();
        }
        match self.waiting.entry((dir, name)) {
            hash_map::Entry::Occupied(mut waiting) => {
                let known = *waiting.get();
                waiting.insert(known.followed_by(change));
            }
            hash_map::Entry::Vacant(vacant) => {
                self.order.push(vacant.key().clone());
                vacant.insert(change);
            }
        }
    }

    fn lose(&mut self) {
        *self = Queue { is_lost: true, ..Queue::default() };
    }

    fn take(&mut self) -> Vec<Hint> {
        if std::mem::take(&mut self.is_lost) {
            return vec![Hint::Lost];
        }
        let len = self.order.len().min(HINTS_BATCH_MAX);
        let taken = self.order.drain(..len).map(|key| {
            let change = self.waiting.remove(&key).unwrap_or(Change::Bytes);
            match key {
                (dir, Some(name)) => Hint::Entry { dir, name, change },
                (dir, None) => Hint::Unwatched { dir },
            }
        });
        taken.collect()
    }
}

impl Shared {
    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinuxWatcher {
    /// A watcher that watches nothing yet.
    pub fn new() -> Result<LinuxWatcher, WatchError> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(watch_error)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(watch_error)?;
        let stopped = rustix::io::fcntl_dupfd_cloexec(&stop, 0).map_err(watch_error)?;
        let shared =
            Arc::new(Shared { inotify, watches: Mutex::default(), queue: Mutex::default(), is_filled: Notify::new() });
        let reader = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("skep-watcher".to_owned())
            .spawn(move || read_events(&reader, &stopped))
            .map_err(|error| WatchError::Failed(error.to_string()))?;
        Ok(LinuxWatcher { watching: Arc::new(Watching { shared, stop }) })
    }
}

impl Watcher for LinuxWatcher {
    type Files = LinuxFiles;

    fn watch(&self, dir: &LinuxDir, node: NodeId) -> Result<(), WatchError> {
        let shared = &self.watching.shared;
        // The link in /proc leads to the open directory, wherever it is called what: following it is the point.
        let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
        let mut watches = shared.watches();
        let descriptor = inotify::add_watch(&shared.inotify, path, watched_events()).map_err(watch_error)?;
        if let Some(former) = watches.descriptors.insert(node, descriptor)
            && former != descriptor
        {
            watches.nodes.remove(&former);
            // It fails only if the kernel has dropped the watch already, with its directory.
            let _ = inotify::remove_watch(&shared.inotify, former);
        }
        if let Some(former) = watches.nodes.insert(descriptor, node)
            && former != node
        {
            watches.descriptors.remove(&former);
        }
        Ok(())
    }

    fn unwatch(&self, node: NodeId) {
        let shared = &self.watching.shared;
        let mut watches = shared.watches();
        if let Some(descriptor) = watches.descriptors.remove(&node) {
            watches.nodes.remove(&descriptor);
            // It fails only if the kernel has dropped the watch already, with its directory.
            let _ = inotify::remove_watch(&shared.inotify, descriptor);
        }
    }

    fn hints(&self) -> impl Future<Output = Vec<Hint>> + Send {
        let watching = Arc::clone(&self.watching);
        async move {
            loop {
                // Made before the look into the queue: what is queued after it wakes this call.
                let filled = watching.shared.is_filled.notified();
                let hints = watching.shared.queue().take();
                if !hints.is_empty() {
                    return hints;
                }
                filled.await;
            }
        }
    }
}

fn watched_events() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::ONLYDIR
        | WatchFlags::EXCL_UNLINK
}

fn watch_error(errno: Errno) -> WatchError {
    match errno {
        Errno::NOSPC | Errno::MFILE => WatchError::Limit,
        _ => WatchError::Failed(super::errno::file_error(errno).message),
    }
}

/// Reads events until the watcher is dropped.
fn read_events(shared: &Shared, stopped: &OwnedFd) {
    let mut buffer = vec![MaybeUninit::uninit(); EVENTS_BUFFER_BYTES];
    let mut reader = inotify::Reader::new(&shared.inotify, &mut buffer);
    loop {
        let mut ready = [PollFd::new(&shared.inotify, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break,
        }
        if !ready[1].revents().is_empty() {
            return;
        }
        match read_waiting(shared, &mut reader) {
            Ok(()) | Err(Errno::WOULDBLOCK | Errno::INTR) => shared.is_filled.notify_waiters(),
            Err(_) => break,
        }
    }
    // Nothing more will be noticed, which must not look like silence.
    shared.queue().lose();
    shared.is_filled.notify_waiters();
}

/// Takes one buffer of events over into the queue.
fn read_waiting(shared: &Shared, reader: &mut inotify::Reader<'_, &OwnedFd>) -> Result<(), Errno> {
    loop {
        let event = reader.next()?;
        let flags = event.events();
        if flags.intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::UNMOUNT) {
            shared.queue().lose();
        }
        let mut watches = shared.watches();
        if flags.contains(ReadFlags::IGNORED) {
            if let Some(node) = watches.nodes.remove(&event.wd())
                && watches.descriptors.get(&node) == Some(&event.wd())
            {
                watches.descriptors.remove(&node);
                shared.queue().push(node, None, Change::Entry);
            }
        } else if let Some(node) = watches.nodes.get(&event.wd()).copied() {
            // Without a name it is the directory itself that changed, which its parent's watch reports.
            let name = event.file_name().and_then(|name| Name::new(name.to_bytes()).ok());
            if let Some(name) = name {
                shared.queue().push(node, Some(name), change_of(flags));
            }
        }
        drop(watches);
        if reader.is_buffer_empty() {
            return Ok(());
        }
    }
}

/// What an event tells of an entry. Opening is not watched: readers open files, too, and far more often.
fn change_of(flags: ReadFlags) -> Change {
    match () {
        () if flags.contains(ReadFlags::CLOSE_WRITE) => Change::Bytes,
        () if flags.contains(ReadFlags::MODIFY) => Change::Writing,
        () if flags.contains(ReadFlags::CREATE) && !flags.contains(ReadFlags::ISDIR) => Change::Made,
        () => Change::Entry,
    }
}
