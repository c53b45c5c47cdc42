//! When a call was last alive: silence counts only while the network is what is waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body, Frame};
use skep_protocol::{BodyError, ByteStream};
use tokio::time::{Instant, sleep_until};

/// The signs of life of one call.
#[derive(Debug, Clone)]
pub struct Activity {
    last: Arc<Mutex<Last>>,
    quiet: Duration,
}

#[derive(Debug)]
struct Last {
    sign: Instant,
    // The sender's own body has nothing to send yet: its slowness is not the server's.
    sender_waits: bool,
}

impl Activity {
    /// Begins now; `quiet` is how long a silence may be.
    pub fn begin(quiet: Duration) -> Activity {
        let last = Last { sign: Instant::now(), sender_waits: false };
        Activity { last: Arc::new(Mutex::new(last)), quiet }
    }

    /// Completes with what `answer` does; `None` if there was silence for too long before.
    pub async fn watch<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = self.silence() => None,
        }
    }

    async fn silence(&self) {
        loop {
            let silent_at = {
                let mut last = self.lock();
                if last.sender_waits {
                    last.sign = Instant::now();
                }
                last.sign + self.quiet
            };
            if silent_at <= Instant::now() {
                return;
            }
            sleep_until(silent_at).await;
        }
    }

    fn sign(&self, sender_waits: bool) {
        *self.lock() = Last { sign: Instant::now(), sender_waits };
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a call on its way out.
pub struct Outgoing {
    // hyper wants bodies to be `Sync`; nobody ever locks this twice at a time.
    pieces: Mutex<ByteStream>,
    activity: Activity,
}

impl Outgoing {
    /// Sends `pieces`, each a sign of life.
    pub fn new(pieces: ByteStream, activity: Activity) -> Outgoing {
        Outgoing { pieces: Mutex::new(pieces), activity }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let pieces = self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
        let piece = Stream::poll_next(pieces.as_mut(), cx);
        self.activity.sign(piece.is_pending());
        Poll::Ready(ready!(piece).map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should stop at once")]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    const QUIET: Duration = Duration::from_secs(40);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_call_that_only_the_server_holds_up() {
        let activity = Activity::begin(QUIET);
        let begun = Instant::now();
        assert_eq!(activity.watch(std::future::pending::<()>()).await, None);
        assert!(begun.elapsed() >= QUIET && begun.elapsed() < QUIET + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sender_is_no_silence() {
        let activity = Activity::begin(QUIET);
        let slow = stream::iter(0..3).then(|_| async {
            tokio::time::sleep(QUIET * 3).await;
            Ok(Bytes::from_static(b"piece"))
        });
        let outgoing = Outgoing::new(Box::pin(slow), activity.clone());
        let sent = activity.watch(outgoing.collect()).await.unwrap().unwrap();
        assert_eq!(sent.to_bytes().len(), 15);
    }
}
