//! Bodies: streams of bytes that are read as frames.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::{ErrorReply, Frame, FrameDecoder, FrameError, FrameKind};

/// A body as it travels: bytes in pieces that mean nothing.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// A body cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection ended, or was quiet for too long.
    #[error("the connection was lost: {0}")]
    Cut(String),
    /// The other end sent what it may not.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other end gave up and said why.
    #[error(transparent)]
    Refused(#[from] ErrorReply),
}

/// Reads a body frame by frame.
pub struct FrameStream {
    bytes: ByteStream,
    decoder: FrameDecoder,
    ended: bool,
}

impl FrameStream {
    /// Reads `bytes` as frames with payloads of at most `payload_bytes_max`.
    pub fn new(bytes: ByteStream, payload_bytes_max: usize) -> FrameStream {
        FrameStream { bytes, decoder: FrameDecoder::new(payload_bytes_max), ended: false }
    }

    /// The next frame; `None` after the end frame. A body that stops before its end frame was cut.
    pub async fn next_frame(&mut self) -> Result<Option<Frame>, BodyError> {
        while !self.ended {
            if let Some(frame) = self.decoder.next_frame()? {
                match frame.kind {
                    FrameKind::End => self.ended = true,
                    FrameKind::Error => return Err(BodyError::Refused(frame.read()?)),
                    _ => return Ok(Some(frame)),
                }
                continue;
            }
            match self.bytes.next().await {
                Some(piece) => self.decoder.push(&piece?),
                None => return Err(BodyError::Cut("the body stopped before its end".into())),
            }
        }
        Ok(None)
    }
}

/// A body of these frames, the end frame added.
pub fn body_of(frames: Vec<Frame>) -> ByteStream {
    let frames = frames.into_iter().chain([Frame::end()]);
    Box::pin(stream::iter(frames.flat_map(|frame| [Ok(frame.header()), Ok(frame.payload)])))
}

/// A body without frames.
pub fn empty_body() -> ByteStream {
    body_of(Vec::new())
}
