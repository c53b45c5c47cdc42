//! An answer's frames as an HTTP response, and the requests' bodies as streams of bytes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use skep_protocol::{BodyError, ByteStream, Code, ErrorReply, FRAMES_TYPE, Frame, FrameDecoder, FrameKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// So much of a refused call's body is still read, so that the sender gets to see why it was refused instead of a reset,
const DRAIN_BYTES_MAX: usize = 16 << 20;
/// and so long.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// A body of which fewer bytes come in the time after which silence cuts it is as good as silent. Slow lines bring ten times as many.
const BYTES_IN_QUIET_MIN: usize = 4 << 10;

/// The response to a call. A refusal in place of the reply is told by the status too, for people, proxies and logs.
pub async fn response(mut answer: ByteStream, frame_bytes_max: usize) -> Response {
    let mut begin = BytesMut::new();
    while !is_telling(&begin) {
        match answer.next().await {
            Some(Ok(piece)) => begin.extend_from_slice(&piece),
            Some(Err(error)) => return refusal(&reply_of(error)),
            None => return refusal(&ErrorReply::new(Code::Internal, "the server gave no answer")),
        }
    }
    let mut decoder = FrameDecoder::new(frame_bytes_max);
    decoder.push(&begin);
    if let Ok(Some(frame)) = decoder.next_frame()
        && frame.kind == FrameKind::Error
        && let Ok(error) = frame.read()
    {
        return refusal(&error);
    }
    let begun = stream::iter([Ok(begin.freeze())]);
    frames(StatusCode::OK, Body::from_stream(begun.chain(ending_openly(answer))))
}

/// A response that only says why there is no answer.
pub fn refusal(error: &ErrorReply) -> Response {
    let mut response = frames(status_of(error.code), Body::from(Frame::cbor(FrameKind::Error, error).to_bytes()));
    if let Some(wait_ms) = error.retry_after_ms {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000)));
    }
    response
}

/// A request's body as it comes in. Silence for `quiet` while it is being read cuts it, and so does a trickle; what nobody read of it when it is
/// dropped goes to `drain`.
pub fn incoming(body: Body, quiet: Duration, drain: mpsc::UnboundedSender<ByteStream>) -> ByteStream {
    let pieces = body.into_data_stream().map(|piece| piece.map_err(|error| BodyError::Cut(error.to_string())));
    Box::pin(Incoming { pieces: Some(patient(Box::pin(pieces), quiet)), drain })
}

/// Reads what was left of a body, to its end or the bounds.
pub async fn drain(body: ByteStream) {
    // Whoever is slower than that does not learn why.
    let _ = timeout(DRAIN_WITHIN, drain_bytes(body)).await;
}

async fn drain_bytes(mut body: ByteStream) {
    let mut len = 0;
    while let Some(Ok(piece)) = body.next().await {
        len += piece.len();
        if len > DRAIN_BYTES_MAX {
            return;
        }
    }
}

struct Incoming {
    pieces: Option<ByteStream>,
    drain: mpsc::UnboundedSender<ByteStream>,
}

impl Stream for Incoming {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        let piece = std::task::ready!(pieces.as_mut().poll_next(context));
        if !matches!(piece, Some(Ok(_))) {
            self.pieces = None;
        }
        Poll::Ready(piece)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(rest) = self.pieces.take() {
            // Without a reader the connection is going down anyway.
            let _ = self.drain.send(rest);
        }
    }
}

/// A stream, and what came of it in the present stretch of waiting.
struct Patience {
    pieces: ByteStream,
    waited: Duration,
    bytes: usize,
}

/// The same stream, cut when nothing, or next to nothing, comes for `quiet` although somebody waits for it. The time in which nobody
/// does counts for nothing.
fn patient(pieces: ByteStream, quiet: Duration) -> ByteStream {
    let patience = Patience { pieces, waited: Duration::ZERO, bytes: 0 };
    Box::pin(stream::unfold(Some(patience), move |patience| async move {
        let mut patience = patience?;
        let asked = Instant::now();
        let Ok(next) = timeout(quiet, patience.pieces.next()).await else {
            return Some((Err(BodyError::Cut("nothing came for too long".into())), None));
        };
        let piece = next?;
        patience.waited += asked.elapsed();
        patience.bytes += piece.as_ref().map_or(0, Bytes::len);
        if patience.waited >= quiet {
            if patience.bytes < BYTES_IN_QUIET_MIN {
                return Some((Err(BodyError::Cut("it came too slowly".into())), None));
            }
            (patience.waited, patience.bytes) = (Duration::ZERO, 0);
        }
        Some((piece, Some(patience)))
    }))
}

/// A refusal in the middle of an answer becomes its last frame; anything else cuts it, which the reader notices by the
/// missing end.
fn ending_openly(answer: ByteStream) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
    answer.map(|piece| match piece {
        Err(BodyError::Refused(error)) => Ok(Frame::cbor(FrameKind::Error, &error).to_bytes()),
        other => other,
    })
}

/// Whether the beginning of an answer tells if it is a refusal: another kind of frame, or a whole one.
fn is_telling(begin: &BytesMut) -> bool {
    match begin.first() {
        Some(kind) if *kind == FrameKind::Error as u8 => {
            let len = begin.get(2..6).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes);
            len.is_some_and(|len| begin.len() >= 6 + len as usize)
        }
        Some(_) => true,
        None => false,
    }
}

/// What a failed stream says to the other end.
pub fn reply_of(error: BodyError) -> ErrorReply {
    match error {
        BodyError::Refused(error) => error,
        BodyError::Frame(error) => ErrorReply::new(Code::BadRequest, error.to_string()),
        BodyError::Cut(reason) => ErrorReply::new(Code::Internal, reason),
    }
}

fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadRequest => StatusCode::BAD_REQUEST,
        Code::SignIn => StatusCode::UNAUTHORIZED,
        Code::NotAllowed | Code::NotOpen | Code::JoinCode | Code::Denied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::NoSpace | Code::Quota => StatusCode::INSUFFICIENT_STORAGE,
        Code::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Code::RateLimit => StatusCode::TOO_MANY_REQUESTS,
        Code::History => StatusCode::GONE,
        Code::Damaged | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Exists => StatusCode::CONFLICT,
        Code::WrongHash => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn frames(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FRAMES_TYPE));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_cut_and_one_that_nobody_reads_is_not() {
        let quiet = Duration::from_secs(40);
        let trickle = |bytes: usize| {
            let pieces = stream::unfold((), move |()| async move {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Some((Ok(Bytes::from(vec![0; bytes])), ()))
            });
            patient(Box::pin(pieces), quiet)
        };
        let mut slow = trickle(1);
        for _ in 0..3 {
            assert!(slow.next().await.unwrap().is_ok());
        }
        assert_eq!(slow.next().await, Some(Err(BodyError::Cut("it came too slowly".into()))));
        assert_eq!(slow.next().await, None);
        let mut enough = trickle(BYTES_IN_QUIET_MIN / 4);
        for _ in 0..20 {
            assert!(enough.next().await.unwrap().is_ok());
        }
        let mut unread = patient(Box::pin(stream::repeat(Ok(Bytes::from("x")))), quiet);
        for _ in 0..20 {
            assert!(unread.next().await.unwrap().is_ok());
            tokio::time::sleep(quiet).await;
        }
    }

    #[tokio::test]
    async fn what_nobody_read_of_a_body_is_drained_and_nothing_else() {
        let (drain, mut rests) = mpsc::unbounded_channel();
        let body = |pieces: &'static [&'static str]| {
            Body::from_stream(stream::iter(pieces.iter().map(|piece| Ok::<_, BodyError>(Bytes::from(*piece)))))
        };
        let quiet = Duration::from_secs(1);
        let mut unread = incoming(body(&["a", "b"]), quiet, drain.clone());
        assert_eq!(unread.next().await, Some(Ok(Bytes::from("a"))));
        drop(unread);
        let mut rest = rests.try_recv().expect("the rest goes to the drain");
        assert_eq!(rest.next().await, Some(Ok(Bytes::from("b"))));

        let read = incoming(body(&["a"]), quiet, drain).collect::<Vec<_>>().await;
        assert_eq!(read, [Ok(Bytes::from("a"))]);
        assert!(rests.try_recv().is_err());
    }
}
