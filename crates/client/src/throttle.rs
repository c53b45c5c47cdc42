//! How fast bytes go to the server and come from it.
//!
//! A bucket for each way, filled at a person's rate. The first bytes of a body go before what follows in others, so that a small change passes
//! a big file that is on its way; within a body the order stays. Without a rate, nothing is counted.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use skep_platform::Clock;
use skep_protocol::ByteStream;
use skep_types::Timestamp;
use tokio::sync::watch;

use crate::world::World;

/// Bytes that are let through at a time: what is urgent waits for no more than these.
const PIECE_BYTES_MAX: usize = 16 << 10;
/// So many bytes of each body are urgent.
const URGENT_BYTES_MAX: usize = 256 << 10;
/// What was not used lately may be made up for, up to so long a time.
const BURST_MS: u64 = 200;
/// Of a rate that changes, what waits gets to know within this time.
const LOOK_AGAIN_MS: u64 = 1_000;

/// How fast bytes may go, in bytes a second; `None`: as fast as they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// To the server.
    pub up: Option<u64>,
    /// From the server.
    pub down: Option<u64>,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

/// Lets bytes through at a person's rates.
#[derive(Clone)]
pub(crate) struct Throttle {
    clock: Arc<dyn Clock>,
    rates: Arc<watch::Sender<Rates>>,
    up: Arc<Mutex<Bucket>>,
    down: Arc<Mutex<Bucket>>,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").field("rates", &*self.rates.borrow()).finish_non_exhaustive()
    }
}

/// When the next bytes may go.
#[derive(Debug, Default)]
struct Bucket {
    /// From then on, in thousandths of a millisecond of the clock that never goes back.
    free_at_us: u64,
    /// Urgent bytes that wait.
    urgent: usize,
}

/// The clock of a world.
pub(crate) struct WorldClock<M>(pub(crate) Arc<M>);

impl<M: World> Clock for WorldClock<M> {
    fn now(&self) -> Timestamp {
        self.0.clock().now()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.clock().monotonic_ms()
    }

    fn sleep_until(&self, at_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.clock().sleep_until(at_ms)
    }
}

/// The place of a body among those that wait, given back when it waits no more.
struct Waiting<'a>(&'a Mutex<Bucket>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(self.0).urgent -= 1;
    }
}

impl Throttle {
    pub(crate) fn new(clock: impl Clock, rates: Rates) -> Throttle {
        let rates = Arc::new(watch::channel(rates).0);
        Throttle { clock: Arc::new(clock), rates, up: Arc::default(), down: Arc::default() }
    }

    /// From now on, these rates.
    pub(crate) fn set(&self, rates: Rates) {
        self.rates.send_replace(rates);
    }

    /// `body`, at the rate of its way.
    pub(crate) fn slowed(&self, body: ByteStream, way: Way) -> ByteStream {
        let state = (self.clone(), body, VecDeque::<Bytes>::new(), 0usize);
        Box::pin(stream::unfold(state, move |(throttle, mut body, mut pieces, mut passed)| async move {
            while pieces.is_empty() {
                match body.next().await? {
                    Ok(bytes) if throttle.rate(way).is_none() => {
                        return Some((Ok(bytes), (throttle, body, pieces, passed)));
                    }
                    Ok(mut bytes) => {
                        while bytes.len() > PIECE_BYTES_MAX {
                            pieces.push_back(bytes.split_to(PIECE_BYTES_MAX));
                        }
                        pieces.push_back(bytes);
                    }
                    Err(error) => return Some((Err(error), (throttle, body, pieces, passed))),
                }
            }
            let piece = pieces.pop_front()?;
            throttle.pass(way, piece.len(), passed < URGENT_BYTES_MAX).await;
            passed = passed.saturating_add(piece.len());
            Some((Ok(piece), (throttle, body, pieces, passed)))
        }))
    }

    fn rate(&self, way: Way) -> Option<u64> {
        let rates = *self.rates.borrow();
        match way {
            Way::Up => rates.up,
            Way::Down => rates.down,
        }
    }

    /// Completes when so many bytes may go.
    async fn pass(&self, way: Way, bytes: usize, urgent: bool) {
        let bucket = match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        };
        let _waiting = urgent.then(|| {
            lock(bucket).urgent += 1;
            Waiting(bucket)
        });
        while let Some(rate) = self.rate(way) {
            let now_ms = self.clock.monotonic_ms();
            let at_ms = {
                let mut bucket = lock(bucket);
                if bucket.free_at_us <= now_ms * 1000 && (urgent || bucket.urgent == 0) {
                    let from_us = bucket.free_at_us.max(now_ms.saturating_sub(BURST_MS) * 1000);
                    bucket.free_at_us = from_us + (bytes as u64).saturating_mul(1_000_000) / rate.max(1);
                    return;
                }
                bucket.free_at_us.div_ceil(1000)
            };
            // Whoever is more urgent takes its turn in between.
            self.clock.sleep_until(at_ms.clamp(now_ms + 1, now_ms + LOOK_AGAIN_MS)).await;
        }
    }
}

fn lock(bucket: &Mutex<Bucket>) -> MutexGuard<'_, Bucket> {
    // Two numbers hold no promise that a panic could have broken.
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
