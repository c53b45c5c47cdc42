//! Waiting until folder and server are equal *now*.
//!
//! A barrier, not a look at the queues: a cookie file in `.skep/` proves by its watch event that all earlier hints were taken, the
//! server is asked for its head, and then the engine must have settled with everything up to that head taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{Either, select};
use skep_planner::Event;
use skep_platform::{Clock, Entropy, Lane, offload};
use skep_types::{Name, Seq, Standing};
use tokio::sync::oneshot;

use super::report::is_equal;
use super::{Driver, Signal};
use crate::root::COOKIE;
use crate::status::WaitOutcome;
use crate::world::World;

/// A cookie that was not seen by then is not coming: everything is looked at.
const COOKIE_WAIT_MS: u64 = 1_000;

/// Waits for equality, at most until `deadline_ms`.
pub(super) async fn wait_equal<M: World>(
    driver: Arc<Driver<M>>,
    deadline_ms: u64,
    answer: oneshot::Sender<WaitOutcome>,
) {
    let outcome = {
        let waiting = Box::pin(async {
            // While it is paused, nobody asks the server.
            driver.unless_paused(driver.equal()).await.unwrap_or(WaitOutcome::Paused)
        });
        let due = driver.world.clock().sleep_until(deadline_ms);
        match select(waiting, due).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => driver.outcome_at_deadline(),
        }
    };
    // Whoever asked may have gone away.
    let _ = answer.send(outcome);
}

impl<M: World> Driver<M> {
    async fn equal(&self) -> WaitOutcome {
        // Whoever asks means the folder of that path, not one that was moved away while it was watched.
        if self.look_after_root().await.is_err() {
            return WaitOutcome::NeedsPerson;
        }
        if !self.all_hints_taken().await {
            self.tell(Signal::Event(Event::ScanDue)).await;
        }
        self.tell(Signal::Event(Event::TryAgain)).await;
        let head = self.server_head().await;
        self.tell(Signal::Event(Event::Head(head))).await;
        let (flush, flushed) = oneshot::channel();
        self.tell(Signal::Flush(flush)).await;
        // If nobody answers, the client is ending, and the caller's question with it.
        let _ = flushed.await;
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| {
            let Some(progress) = progress else { return false };
            let is_reached = progress.cursor.is_some_and(|cursor| cursor.seq >= head);
            is_reached && is_equal(progress) && progress.problems.iter().all(|problem| problem.needs_person)
        });
        match reached.await {
            Ok(progress) if progress.as_ref().is_some_and(|progress| progress.problems.is_empty()) => {
                WaitOutcome::Equal
            }
            _ => WaitOutcome::NeedsPerson,
        }
    }

    /// Asks for the head until there is an answer from a server that has the history which this device follows.
    async fn server_head(&self) -> Seq {
        loop {
            let cursor = self.progress.borrow().as_ref().and_then(|progress| progress.cursor);
            let stands_at = cursor.and_then(|cursor| cursor.stands_at());
            match self.server.compare(stands_at.into_iter().collect()).await {
                Ok(lineage) if !lineage.standings.contains(&Standing::Other) => return lineage.head.seq,
                Ok(_) => {
                    tracing::debug!("the server has another history");
                    self.connect_again.notify_one();
                }
                Err(error) => tracing::debug!(%error, "the server's head is not known"),
            }
            self.reconnect.notify_one();
            self.sleep(self.limits.retry_first_ms).await;
        }
    }

    /// Whether all hints of what happened before this call have been given to the engine.
    async fn all_hints_taken(&self) -> bool {
        if !self.is_watching_own.load(Ordering::Relaxed) || self.executor().watch_degraded() {
            return false;
        }
        let random: [u8; 8] = self.world.entropy().bytes();
        let name = Name::new(format!("{COOKIE}{:016x}", u64::from_be_bytes(random)));
        let name = name.expect("letters and digits are a name");
        let (seen, was_seen) = oneshot::channel();
        self.tell(Signal::ExpectCookie(name.clone(), seen)).await;
        if !self.executor().touch_cookie(name).await {
            return false;
        }
        let clock = self.world.clock();
        let due = clock.sleep_until(clock.monotonic_ms().saturating_add(COOKIE_WAIT_MS));
        matches!(select(was_seen, due).await, Either::Left((Ok(()), _)))
    }

    fn outcome_at_deadline(&self) -> WaitOutcome {
        match &*self.progress.borrow() {
            Some(progress) if !progress.connected => WaitOutcome::Offline,
            Some(progress) if is_equal(progress) && !progress.problems.is_empty() => WaitOutcome::NeedsPerson,
            _ => WaitOutcome::TimedOut,
        }
    }
}

impl<M: World> crate::Executor<M> {
    /// Makes and removes a file in `.skep`; false if that failed.
    async fn touch_cookie(&self, name: Name) -> bool {
        let files = self.root().clone();
        let touched = offload(self.world().tasks(), Lane::Disk, move || {
            use skep_platform::Files;
            let made = files.files.create(&files.own, &name).is_ok();
            made && files.files.remove_file(&files.own, &name).is_ok()
        });
        touched.await.unwrap_or(false)
    }
}
