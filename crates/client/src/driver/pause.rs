//! Pausing: nothing is sent, fetched or applied; the folder is watched all the while.
//!
//! The connection is closed, so the engine plans nothing for the server; what it wants done to this disk waits. A commit that is
//! under way counts as unanswered; an apply that is under way is finished, for half of one would have to be examined.

use futures_util::future::{Either, select};
use skep_platform::Clock;

use super::{Client, Driver, Ended, Signal};
use crate::status::Pause;
use crate::world::World;

/// The clock on the wall may be set, and does not stand still while the computer sleeps: it is looked at again after so long.
const LOOK_AGAIN_MS: u64 = 30_000;

impl Client {
    /// Pauses syncing, or resumes it.
    pub async fn pause(&self, pause: Option<Pause>) -> Result<(), Ended> {
        self.ask(|answer| Signal::Pause(pause, answer)).await
    }
}

impl<M: World> Driver<M> {
    /// How long syncing pauses, if it does.
    pub(super) fn pause_now(&self) -> Option<Pause> {
        *self.pause.borrow()
    }

    /// Completes when syncing is paused.
    pub(super) async fn paused(&self) {
        let mut pause = self.pause.subscribe();
        // The sender lives as long as this driver.
        let _ = pause.wait_for(Option::is_some).await;
    }

    /// Completes when syncing is not paused; ends the pause when its time is over.
    pub(super) async fn not_paused(&self) {
        let mut changes = self.pause.subscribe();
        loop {
            let Some(pause) = *changes.borrow_and_update() else { return };
            let left_ms = pause.left_ms(self.world.clock().now());
            if left_ms == Some(0) {
                self.pause.send_if_modified(|now| {
                    let is_this = *now == Some(pause);
                    if is_this {
                        *now = None;
                    }
                    is_this
                });
                continue;
            }
            let wait = Box::pin(self.sleep(left_ms.unwrap_or(LOOK_AGAIN_MS).min(LOOK_AGAIN_MS)));
            let changed = Box::pin(changes.changed());
            select(changed, wait).await;
        }
    }

    /// `future`'s output, or `None` if syncing is paused first.
    pub(super) async fn unless_paused<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match select(Box::pin(self.paused()), Box::pin(future)).await {
            Either::Left(_) => None,
            Either::Right((output, _)) => Some(output),
        }
    }
}
