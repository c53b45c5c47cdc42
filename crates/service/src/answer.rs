//! Answers: frames on their way to a device.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt, stream};
use skep_protocol::{ByteStream, Code, ErrorReply, Frame, FrameKind, FrameStream, Reply};

use crate::connections::CallRecord;
use crate::error::{body_refusal, signed_out};
use crate::session::Session;

/// A payload up to this size is copied behind its header, so that a small answer is one piece.
const JOINED_BYTES_MAX: usize = 4096;

/// The frames of an answer without the end frame; an error ends them.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Result<Frame, ErrorReply>> + Send>>;

/// An answer of these frames.
pub(crate) fn frames(frames: Vec<Frame>) -> Frames {
    Box::pin(stream::iter(frames.into_iter().map(Ok)))
}

/// An answer that is only a reply.
pub(crate) fn reply(reply: &Reply) -> Frames {
    frames(vec![Frame::cbor(FrameKind::Reply, reply)])
}

/// [`Reply::Done`] and one more frame.
pub(crate) fn done_with(frame: Frame) -> Frames {
    frames(vec![Frame::cbor(FrameKind::Reply, &Reply::Done), frame])
}

/// Requires that a body has no more frames, and that it was not cut.
pub(crate) async fn no_more(body: &mut FrameStream) -> Result<(), ErrorReply> {
    match body.next_frame().await.map_err(|error| body_refusal(&error))? {
        None => Ok(()),
        Some(frame) => Err(ErrorReply::new(Code::BadRequest, format!("unexpected {:?} frame", frame.kind))),
    }
}

/// The bytes of an answer: its frames, then an end frame; or, from the point at which something fails or the device is
/// signed out, an error frame.
pub(crate) fn bytes_of(frames: Frames, session: Option<Arc<Session>>, record: CallRecord) -> ByteStream {
    let outgoing = Outgoing { frames: Some(frames), session, record, pieces: VecDeque::new() };
    Box::pin(stream::unfold(outgoing, |mut outgoing| async {
        let piece = outgoing.next_piece().await?;
        Some((Ok(piece), outgoing))
    }))
}

struct Outgoing {
    /// `None` once the last frame was taken.
    frames: Option<Frames>,
    session: Option<Arc<Session>>,
    record: CallRecord,
    pieces: VecDeque<Bytes>,
}

impl Outgoing {
    async fn next_piece(&mut self) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.next_frame().await;
        }
        let piece = self.pieces.pop_front()?;
        self.record.sent(piece.len());
        Some(piece)
    }

    async fn next_frame(&mut self) {
        let Some(frames) = &mut self.frames else { return };
        let next = match &self.session {
            None => frames.next().await,
            Some(session) => match select(pin!(session.revoked()), frames.next()).await {
                Either::Left(_) => Some(Err(signed_out())),
                Either::Right((next, _)) => next,
            },
        };
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.frames = None;
                self.record.failed(error.code);
                Frame::cbor(FrameKind::Error, &error)
            }
            None => {
                self.frames = None;
                self.record.completed();
                Frame::end()
            }
        };
        if frame.payload.len() <= JOINED_BYTES_MAX {
            self.pieces.push_back(frame.to_bytes());
        } else {
            self.pieces.extend([frame.header(), frame.payload]);
        }
    }
}
