//! The watcher of the simulated disk.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Poll, Waker};

use skep_platform::{Hint, WatchError, Watcher};
use skep_types::{Change, Name, NodeId};

use super::files::SimDir;
use super::inode::Slot;
use super::state::ProcessId;
use super::{Shared, SimDisk};

/// Most hints that are handed over at a time.
const HINTS_BATCH_MAX: usize = 4096;

/// Tells a process what changed on its [`SimDisk`]. Clones are one watcher.
///
/// Hints come in the order of the changes; how late, is up to the executor that polls [`Watcher::hints`].
#[derive(Clone)]
pub struct SimWatcher {
    registration: Arc<Registration>,
}

struct Registration {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.state().watches.watchers.remove(&self.number);
    }
}

impl SimWatcher {
    /// A watcher of the process that `disk` belongs to.
    pub fn new(disk: &SimDisk) -> SimWatcher {
        let number = disk.shared.state().watches.add(disk.process);
        SimWatcher { registration: Arc::new(Registration { shared: Arc::clone(&disk.shared), number }) }
    }
}

impl Watcher for SimWatcher {
    type Files = SimDisk;

    fn watch(&self, dir: &SimDir, node: NodeId) -> Result<(), WatchError> {
        let failed = |error: skep_platform::FileError| WatchError::Failed(error.message);
        let mut state = self.registration.shared.enter("watch").map_err(failed)?;
        let slot = state.handle(dir).map_err(failed)?;
        state.live_dir(slot).map_err(failed)?;
        let watches_max = state.config.watches_max;
        let total: usize = state.watches.watchers.values().map(|watcher| watcher.nodes.len()).sum();
        let Some(watcher) = state.watches.watchers.get_mut(&self.registration.number) else {
            return Err(WatchError::Failed("the process has ended".to_owned()));
        };
        if total >= watches_max && !watcher.nodes.contains_key(&slot) {
            return Err(WatchError::Limit);
        }
        watcher.nodes.retain(|_, other| *other != node);
        watcher.nodes.insert(slot, node);
        Ok(())
    }

    fn unwatch(&self, node: NodeId) {
        if let Some(watcher) = self.registration.shared.state().watches.watchers.get_mut(&self.registration.number) {
            watcher.nodes.retain(|_, other| *other != node);
        }
    }

    fn hints(&self) -> impl Future<Output = Vec<Hint>> + Send {
        let registration = Arc::clone(&self.registration);
        poll_fn(move |context| {
            let mut state = registration.shared.state();
            let Some(watcher) = state.watches.watchers.get_mut(&registration.number) else { return Poll::Pending };
            if watcher.queue.is_empty() {
                if !watcher.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    watcher.wakers.push(context.waker().clone());
                }
                return Poll::Pending;
            }
            let len = watcher.queue.len().min(HINTS_BATCH_MAX);
            Poll::Ready(watcher.queue.drain(..len).collect())
        })
    }
}

/// The watchers of all processes.
#[derive(Default)]
pub(super) struct Watches {
    watchers: BTreeMap<u64, Registered>,
    added: u64,
}

struct Registered {
    process: ProcessId,
    nodes: BTreeMap<Slot, NodeId>,
    queue: VecDeque<Hint>,
    wakers: Vec<Waker>,
}

impl Registered {
    fn push(&mut self, hint: Hint, queued_max: usize) {
        // As the real one does: what waits and tells of the same entry is the same hint. (That one looks at all that wait.)
        if let (Some(Hint::Entry { dir, name, change }), Hint::Entry { dir: same_dir, name: same_name, change: later }) =
            (self.queue.back_mut(), &hint)
            && (&*dir, &*name) == (same_dir, same_name)
        {
            *change = change.followed_by(*later);
            return;
        }
        if self.queue.back() == Some(&hint) {
            return;
        }
        if self.queue.len() >= queued_max {
            self.queue.clear();
            self.queue.push_back(Hint::Lost);
        } else {
            self.queue.push_back(hint);
        }
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

impl Watches {
    fn add(&mut self, process: ProcessId) -> u64 {
        self.added += 1;
        let (nodes, queue, wakers) = (BTreeMap::new(), VecDeque::new(), Vec::new());
        self.watchers.insert(self.added, Registered { process, nodes, queue, wakers });
        self.added
    }

    /// Something happened to the entry `name` of `dir`.
    pub(super) fn push(&mut self, dir: Slot, name: &Name, change: Change, queued_max: usize) {
        for watcher in self.watchers.values_mut() {
            if let Some(node) = watcher.nodes.get(&dir) {
                let hint = Hint::Entry { dir: *node, name: name.clone(), change };
                watcher.push(hint, queued_max);
            }
        }
    }

    pub(super) fn lose_hints(&mut self) {
        for watcher in self.watchers.values_mut() {
            watcher.queue.clear();
            watcher.push(Hint::Lost, usize::MAX);
        }
    }

    /// A removed directory is no longer watched.
    pub(super) fn forget_dir(&mut self, dir: Slot, queued_max: usize) {
        for watcher in self.watchers.values_mut() {
            if let Some(node) = watcher.nodes.remove(&dir) {
                watcher.push(Hint::Unwatched { dir: node }, queued_max);
            }
        }
    }

    pub(super) fn forget_process(&mut self, process: ProcessId) {
        self.watchers.retain(|_, watcher| watcher.process != process);
    }

    pub(super) fn forget_all(&mut self) {
        self.watchers.clear();
    }
}
