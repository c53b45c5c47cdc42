//! What a caller may do of whom nothing is known yet.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use skep_platform::Clock;
use skep_protocol::{BodyError, ByteStream};

/// Longest frame of a stranger.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 10;
/// A stranger's call is one small frame: it is here within this time.
const WITHIN_MS: u64 = 20_000;

/// The body of a stranger's call, cut if it takes too long as a whole, however it trickles.
pub(crate) fn hurried<C: Clock>(body: ByteStream, clock: Arc<C>) -> ByteStream {
    let until_ms = clock.monotonic_ms() + WITHIN_MS;
    Box::pin(stream::unfold(Some(body), move |body| {
        let late = clock.sleep_until(until_ms);
        async move {
            let mut body = body?;
            let next = match select(pin!(body.next()), late).await {
                Either::Left((next, _)) => Some(next),
                Either::Right(_) => None,
            };
            match next {
                Some(piece) => piece.map(|piece| (piece, Some(body))),
                None => Some((Err(BodyError::Cut("the call took too long to come".to_owned())), None)),
            }
        }
    }))
}
