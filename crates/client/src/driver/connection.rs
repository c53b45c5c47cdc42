//! The connection: a snapshot for a device that knows nothing, then the journal, by push or by asking.

use std::sync::Arc;

use futures_util::future::{Either, select};
use skep_content::Block;
use skep_planner::{Event, Progress};
use skep_platform::{Clock, Entropy};
use skep_protocol::{BodyError, Code, Entries, ErrorReply, Frame, FrameKind};
use skep_types::{Cursor, Limits, Seq, Timestamp};
use tokio::sync::oneshot;

use super::report::{halt_by_call, standstill_by_call};
use super::{Driver, Feed, Signal};
use crate::CallError;
use crate::world::World;

/// Where feeds cannot be had, the server is asked at most so many times between two tries to open one.
const POLLS_BETWEEN_FEEDS_MAX: u32 = 15;

/// When a feed is worth a try. A proxy that lets no feed through may take its time to say so, and asking must not wait for it each time.
#[derive(Debug)]
struct FeedTries {
    /// Without one that was opened.
    failed: u32,
    /// The server is only asked, so many times.
    polls_left: u32,
}

impl FeedTries {
    fn new(feed: Feed) -> FeedTries {
        FeedTries { failed: 0, polls_left: if feed == Feed::Push { 0 } else { u32::MAX } }
    }

    /// Whether to try this time.
    fn is_due(&mut self) -> bool {
        let is_due = self.polls_left == 0;
        if !is_due && self.polls_left < u32::MAX {
            self.polls_left -= 1;
        }
        is_due
    }

    /// 0, 1, 3, 7 … polls come before the next try: what was only a moment's trouble costs little.
    fn failed(&mut self) {
        self.polls_left = ((1 << self.failed.min(16)) - 1).min(POLLS_BETWEEN_FEEDS_MAX);
        self.failed = self.failed.saturating_add(1);
    }

    fn opened(&mut self) {
        self.failed = 0;
    }
}

/// Connects again and again, until the client stops or a person is needed.
pub(super) async fn run<M: World>(driver: Arc<Driver<M>>, feed: Feed) {
    let mut failures = 0u32;
    let mut tries = FeedTries::new(feed);
    loop {
        let began_ms = driver.world.clock().monotonic_ms();
        if driver.pause_now().is_some() {
            driver.tell(Signal::Event(Event::Disconnected)).await;
        }
        if driver.unless_stopping(driver.not_paused()).await.is_none() {
            return;
        }
        let connection = driver.unless_paused(driver.connect(&mut tries));
        let Some(ended) = driver.unless_stopping(connection).await else { return };
        let Some(ended) = ended else { continue };
        let wait_ms = match ended {
            Ok(()) => {
                failures = 0;
                driver.limits.poll_ms
            }
            Err(error) => {
                driver.tell(Signal::Event(Event::Disconnected)).await;
                if let Some(problem) = halt_by_call(&error, driver.world.clock().now()) {
                    return driver.tell(Signal::Halt(problem)).await;
                }
                if let Some(problem) = standstill_by_call(&error, driver.world.clock().now()) {
                    driver.tell(Signal::Standstill(Some(problem))).await;
                }
                tracing::info!(%error, failures, "no connection");
                // A connection that lasted was a good one.
                let lasted_ms = driver.world.clock().monotonic_ms().saturating_sub(began_ms);
                failures = if lasted_ms > driver.limits.retry_max_ms { 0 } else { failures.saturating_add(1) };
                driver.back_off_ms(failures, lasted_ms, &error)
            }
        };
        if driver.unless_stopping(driver.wait_to_reconnect(wait_ms)).await.is_none() {
            return;
        }
    }
}

impl<M: World> Driver<M> {
    /// Follows the journal by feed until that fails; or, where there is no feed, takes it to its end once.
    async fn connect(&self, tries: &mut FeedTries) -> Result<(), CallError> {
        // Asked before the server is: what it acknowledges meanwhile is no sign that it forgot something.
        let heard_of = self.progress().await?.head;
        let summary = self.server.hello().await?;
        self.check_lineage(&summary).await?;
        self.tell(Signal::Standstill(None)).await;
        self.check_head(&summary, heard_of).await?;
        let progress = self.progress().await?;
        let after = match progress.cursor {
            Some(cursor) => cursor,
            // What was taken before that broke off, the server may have lost since, or let go.
            None if progress.partly_taken => {
                return self.meet_anew(Cursor { seq: Seq::START, commit: None, ..summary.head }).await;
            }
            None => self.snapshot().await?,
        };
        self.tell(Signal::Event(Event::Head(summary.head.seq))).await;
        match self.follow(after, tries).await {
            Err(CallError::Refused(reply)) if reply.code == Code::History => self.meet_anew(after).await,
            followed => followed,
        }
    }

    /// Meets a server that may not be as it was when it was followed to `cursor`; then the connection begins again.
    async fn meet_anew(&self, cursor: Cursor) -> Result<(), CallError> {
        // Nothing is sent meanwhile, for what would be sent rests on another history.
        self.tell(Signal::Event(Event::Disconnected)).await;
        self.meet(cursor).await?;
        Err(CallError::Unreachable("the server was met anew".into()))
    }

    /// Follows the journal from `after`.
    async fn follow(&self, mut after: Cursor, tries: &mut FeedTries) -> Result<(), CallError> {
        if tries.is_due() {
            match self.server.feed(after).await {
                Ok(mut frames) => {
                    tries.opened();
                    self.tell(Signal::Event(Event::Connected)).await;
                    loop {
                        let again = Box::pin(self.connect_again.notified());
                        match select(again, Box::pin(frames.next_frame())).await {
                            Either::Left(_) => return Err(CallError::Unreachable("the state was read anew".into())),
                            Either::Right((Ok(Some(frame)), _)) => self.take(frame).await?,
                            Either::Right((Ok(None), _)) => {
                                return Err(CallError::Unreachable("the feed was closed".into()));
                            }
                            Either::Right((Err(error), _)) => return Err(error.into()),
                        }
                    }
                }
                Err(error) if is_final(&error, self.world.clock().now()) => return Err(error),
                Err(error) => {
                    tries.failed();
                    tracing::info!(%error, every_ms = self.limits.poll_ms, "no feed: the server is asked from time to time");
                }
            }
        }
        self.tell(Signal::Event(Event::Connected)).await;
        loop {
            let page = self.server.entries(after).await?;
            let is_last = page.to.seq >= page.head || page.to == after;
            after = page.to;
            self.take_entries(page).await;
            if is_last {
                return Ok(());
            }
        }
    }

    /// How far everything is; asked in the order of inputs, so that nothing that was passed on is asked for again.
    pub(super) async fn progress(&self) -> Result<Progress, CallError> {
        let (flush, flushed) = oneshot::channel();
        self.tell(Signal::Flush(flush)).await;
        flushed.await.map_err(|_| CallError::Unreachable("the state is not ready".into()))
    }

    /// Takes all nodes, for a device that knows nothing.
    async fn snapshot(&self) -> Result<Cursor, CallError> {
        let cursor = self.take_pages(|rows| Event::SnapshotRows { rows }).await?;
        let since = self.recall().await?;
        self.tell(Signal::Event(Event::SnapshotDone { cursor, since })).await;
        Ok(cursor)
    }

    async fn take(&self, frame: Frame) -> Result<(), CallError> {
        match frame.kind {
            FrameKind::Block => match Block::from_bytes(frame.payload, &self.limits) {
                Ok(block) => self.executor().keep_block(block).await,
                Err(error) => return Err(CallError::Malformed(error.to_string())),
            },
            FrameKind::Entries => {
                self.take_entries(frame.read().map_err(BodyError::from)?).await;
            }
            FrameKind::Heartbeat => self.tell(Signal::Heartbeat).await,
            _ => return Err(CallError::Malformed(format!("a {:?} frame in a feed", frame.kind))),
        }
        Ok(())
    }

    async fn take_entries(&self, page: Entries) {
        let Entries { after, entries, to, head, .. } = page;
        self.tell(Signal::Event(Event::Entries { after, entries, to, head })).await;
    }

    /// Doubles with every failure, up to a bound, between half of it and all of it.
    fn back_off_ms(&self, failures: u32, lasted_ms: u64, error: &CallError) -> u64 {
        let doubled = self.limits.retry_first_ms.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let most = doubled.min(longest_wait_ms(&self.limits, lasted_ms, error));
        let random = u64::from(u32::from_be_bytes(self.world.entropy().bytes()));
        let jittered = most / 2 + (most / 2).saturating_mul(random) / u64::from(u32::MAX);
        let asked = match error {
            CallError::Refused(ErrorReply { retry_after_ms, .. }) => retry_after_ms.unwrap_or(0),
            _ => 0,
        };
        jittered.max(asked.min(self.limits.retry_max_ms))
    }

    /// Waits so long, or until something waits to be sent; but at least the shortest wait.
    async fn wait_to_reconnect(&self, wait_ms: u64) {
        let first_ms = wait_ms.min(self.limits.retry_first_ms);
        self.sleep(first_ms).await;
        let rest = Box::pin(self.sleep(wait_ms - first_ms));
        select(Box::pin(self.reconnect.notified()), rest).await;
    }
}

/// A server that refuses has its reasons, and one that does not answer is asked seldom; one that is not there is missed at once when
/// it comes back.
fn longest_wait_ms(limits: &Limits, lasted_ms: u64, error: &CallError) -> u64 {
    match error {
        CallError::Unreachable(_) if lasted_ms < limits.retry_first_ms => limits.retry_quick_max_ms,
        _ => limits.retry_max_ms,
    }
}

/// Whether trying again would not help: a person is needed, or the server is to be met anew.
fn is_final(error: &CallError, now: Timestamp) -> bool {
    let is_other_history = matches!(error, CallError::Refused(reply) if reply.code == Code::History);
    is_other_history || halt_by_call(error, now).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_there_is_soon_seen_to_be_back() {
        let limits = Limits::SHIPPED;
        let gone = CallError::Unreachable("connection refused".into());
        assert_eq!(longest_wait_ms(&limits, 3, &gone), limits.retry_quick_max_ms);
        assert!(limits.retry_quick_max_ms <= 5_000);
        // Packets that nobody answers, and a server that says no.
        assert_eq!(longest_wait_ms(&limits, 10_000, &gone), limits.retry_max_ms);
        let refused = CallError::Malformed("no answer of ours".into());
        assert_eq!(longest_wait_ms(&limits, 3, &refused), limits.retry_max_ms);
    }

    #[test]
    fn a_feed_that_cannot_be_had_is_tried_less_and_less_often() {
        let mut tries = FeedTries::new(Feed::Push);
        let mut polls = Vec::new();
        for _ in 0..7 {
            assert!(tries.is_due());
            tries.failed();
            let between = (0..).take_while(|_| tries.polls_left > 0 && !tries.is_due()).count();
            polls.push(between);
        }
        assert_eq!(polls, [0, 1, 3, 7, 15, 15, 15]);
        assert!(tries.is_due());
        tries.opened();
        tries.failed();
        assert!(tries.is_due());
        assert!(!FeedTries::new(Feed::Poll).is_due());
    }
}
