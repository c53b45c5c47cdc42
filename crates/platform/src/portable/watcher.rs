//! A stand-in for a watcher: it notices nothing, and says from time to time that it may have missed something.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use skep_types::NodeId;
use tokio::sync::Notify;

use super::files::{PortableDir, PortableFiles};
use crate::{Hint, WatchError, Watcher};

/// Says [`Hint::Lost`] at a fixed interval, so that everything is looked at again. Clones are one watcher; its thread ends
/// with the last of them.
#[derive(Clone)]
pub struct PollingWatcher {
    polling: Arc<Polling>,
}

struct Polling {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_stopped: Mutex<bool>,
    stopped: Condvar,
    /// Keeps one permit while nobody waits: two rounds that nobody asked about are one.
    is_due: Notify,
}

impl Drop for Polling {
    fn drop(&mut self) {
        *self.shared.is_stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.stopped.notify_all();
    }
}

impl PollingWatcher {
    /// A watcher that asks for a look at everything twice a minute.
    pub fn new() -> Result<PollingWatcher, WatchError> {
        const INTERVAL_MS: u64 = 30_000;
        PollingWatcher::every(INTERVAL_MS)
    }

    /// A watcher that asks for a look at everything every `interval_ms`.
    pub fn every(interval_ms: u64) -> Result<PollingWatcher, WatchError> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("skep-watcher".to_owned())
            .spawn(move || tick(&ticking, Duration::from_millis(interval_ms)))
            .map_err(|error| WatchError::Failed(error.to_string()))?;
        Ok(PollingWatcher { polling: Arc::new(Polling { shared }) })
    }
}

fn tick(shared: &Shared, interval: Duration) {
    let mut is_stopped = shared.is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
    while !*is_stopped {
        let waited = shared.stopped.wait_timeout(is_stopped, interval).unwrap_or_else(PoisonError::into_inner);
        is_stopped = waited.0;
        if waited.1.timed_out() {
            shared.is_due.notify_one();
        }
    }
}

impl Watcher for PollingWatcher {
    type Files = PortableFiles;

    fn watch(&self, _dir: &PortableDir, _node: NodeId) -> Result<(), WatchError> {
        Ok(())
    }

    fn unwatch(&self, _node: NodeId) {}

    fn hints(&self) -> impl Future<Output = Vec<Hint>> + Send {
        let polling = Arc::clone(&self.polling);
        async move {
            polling.shared.is_due.notified().await;
            vec![Hint::Lost]
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn it_asks_for_a_look_at_everything_again_and_again() {
        drop(PollingWatcher::new().unwrap());
        let watcher = PollingWatcher::every(1).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..3 {
            assert_eq!(runtime.block_on(watcher.hints()), [Hint::Lost]);
        }
    }
}
