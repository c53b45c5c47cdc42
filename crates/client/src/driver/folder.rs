//! Whether the folder is in its place, and going on when it is back.
//!
//! A folder that was renamed away, unmounted or replaced tells nothing about what is in it. Until it is back, nothing is looked at, sent
//! or applied. Then it is opened anew, for the old handles may lead to a disk that is gone, and a new engine looks at everything.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures_util::future::select;
use skep_planner::Event;
use skep_platform::{Clock, Lane, offload};

use super::{Driver, Signal, report, watch_own_dir};
use crate::Executor;
use crate::root::{RootError, open_root};
use crate::world::World;

/// A disk that fails so often in a row is taken for one that is gone. A single failure says nothing.
const ROOT_FAILURES_MAX: u32 = 3;

impl<M: World> Driver<M> {
    /// Looks after the folder now and then, and at once when something hints at its having gone or come back.
    pub(super) async fn guard_root(self: Arc<Self>) {
        loop {
            let due = Box::pin(self.sleep(self.limits.root_check_ms));
            let hinted = Box::pin(self.check_root.notified());
            if self.unless_stopping(select(due, hinted)).await.is_none() {
                return;
            }
            // Whoever is to know has been told.
            let _ = self.look_after_root().await;
        }
    }

    /// Whether the folder is in its place, as far as known. Tells when it went, and opens it when it is back.
    pub(super) async fn look_after_root(&self) -> Result<(), RootError> {
        let _turn = self.root_turn.lock().await;
        let executor = self.executor();
        let found = match executor.root_lost() {
            Some(_) => self.reopen().await,
            None => self.still_there(&executor).await,
        };
        if let Err(error) = &found {
            let problem = report::root_lost(error, self.world.clock().now());
            self.tell(Signal::RootLost(problem)).await;
        }
        found
    }

    async fn still_there(&self, executor: &Executor<M>) -> Result<(), RootError> {
        match executor.look_for_root().await {
            Ok(mounts) => {
                self.root_failures.store(0, Ordering::Relaxed);
                if self.mounts.swap(mounts, Ordering::Relaxed) != mounts {
                    tracing::info!("something was mounted or unmounted in the folder: everything is looked at");
                    self.tell(Signal::Event(Event::ScanDue)).await;
                }
            }
            Err(RootError::Disk(error))
                if self.root_failures.fetch_add(1, Ordering::Relaxed) + 1 < ROOT_FAILURES_MAX =>
            {
                tracing::info!(%error, "the folder could not be looked at");
            }
            Err(error) => {
                executor.lose_root(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    async fn reopen(&self) -> Result<(), RootError> {
        let (world, expected) = (self.world.clone(), self.root);
        let opened = offload(self.world.tasks(), Lane::Disk, move || open_root(world.files(), expected)).await;
        // If the program is ending, nobody acts on it.
        let Ok(root) = opened else { return Ok(()) };
        let root = root?;
        self.is_watching_own.store(watch_own_dir(&*self.world, &root.own), Ordering::Relaxed);
        let executor = Executor::new(self.world.clone(), root, self.server.clone(), self.limits);
        *self.executor.write().unwrap_or_else(PoisonError::into_inner) = executor;
        self.root_failures.store(0, Ordering::Relaxed);
        self.tell(Signal::RootBack).await;
        Ok(())
    }
}
