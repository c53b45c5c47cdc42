//! The one framing: `kind u8 · flags u8 · length u32 (little endian) · payload`; see `docs/formats/wire.md`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Set in `flags`: a reader that does not know the kind may skip the frame. Without it, an unknown kind ends the body.
const MAY_SKIP: u8 = 1;
/// Bytes before the payload.
const HEADER_BYTES: usize = 6;

/// What a payload is. Numbers are for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// [`crate::Request`].
    Request = 1,
    /// [`crate::Reply`].
    Reply = 2,
    /// [`crate::ErrorReply`] in place of a reply, or at any point of a body whose sender cannot go on.
    Error = 3,
    /// One block of chunks, as stored.
    Block = 4,
    /// [`crate::ManifestFrame`].
    Manifest = 5,
    /// A `skep_types::Commit`; answered by one [`FrameKind::Result`].
    Operations = 6,
    /// A `skep_types::CommitReply`.
    Result = 7,
    /// [`crate::Entries`] of a journal.
    Entries = 8,
    /// [`crate::SnapshotRows`].
    SnapshotRows = 9,
    /// Nothing happened; the sender is alive.
    Heartbeat = 10,
    /// The body is complete. A body that stops without it was cut.
    End = 11,
    // Reserved: 12 chunk, 13 splice, 14 delta, 15 signature, 16 provisional, 17 copy-range, 18 sealed.
}

impl FrameKind {
    fn from_number(number: u8) -> Option<FrameKind> {
        use FrameKind::*;
        [Request, Reply, Error, Block, Manifest, Operations, Result, Entries, SnapshotRows, Heartbeat, End]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Its bytes.
    pub payload: Bytes,
}

/// Bytes are no frame, or one that this end does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than this end allows.
    #[error("a frame of {0} bytes is over the limit")]
    TooLong(u32),
    /// A kind from the future that may not be skipped.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// The payload is not what its kind says.
    #[error("malformed {0:?} frame: {1}")]
    Malformed(FrameKind, String),
}

impl Frame {
    /// A frame of `kind` around `payload`.
    pub fn new(kind: FrameKind, payload: impl Into<Bytes>) -> Frame {
        Frame { kind, payload: payload.into() }
    }

    /// A frame around the CBOR of `value`.
    pub fn cbor(kind: FrameKind, value: &impl minicbor::Encode<()>) -> Frame {
        let payload = minicbor::to_vec(value).expect("writing to memory cannot fail");
        Frame::new(kind, payload)
    }

    /// The last frame of every body.
    pub fn end() -> Frame {
        Frame::new(FrameKind::End, Bytes::new())
    }

    /// Reads the payload as CBOR.
    pub fn read<'a, T: minicbor::Decode<'a, ()>>(&'a self) -> Result<T, FrameError> {
        minicbor::decode(&self.payload).map_err(|error| FrameError::Malformed(self.kind, error.to_string()))
    }

    /// The header of this frame; its payload follows.
    pub fn header(&self) -> Bytes {
        let mut header = BytesMut::with_capacity(HEADER_BYTES);
        header.put_u8(self.kind as u8);
        header.put_u8(0);
        header.put_u32_le(u32::try_from(self.payload.len()).expect("payloads are bounded far below 4 GiB"));
        header.freeze()
    }

    /// Header and payload in one.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.put(self.header());
        bytes.put(self.payload.clone());
        bytes.freeze()
    }
}

/// Makes frames of bytes that come in any pieces. Holds at most one frame.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    payload_bytes_max: usize,
}

impl FrameDecoder {
    /// A decoder that refuses longer payloads.
    pub fn new(payload_bytes_max: usize) -> FrameDecoder {
        FrameDecoder { buffer: BytesMut::new(), payload_bytes_max }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole frame, if it is there. Skips what may be skipped.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        while let Some((kind, flags, length)) = self.peek_header() {
            if length as usize > self.payload_bytes_max {
                return Err(FrameError::TooLong(length));
            }
            let known = FrameKind::from_number(kind);
            if known.is_none() && flags & MAY_SKIP == 0 {
                return Err(FrameError::UnknownKind(kind));
            }
            if self.buffer.len() < HEADER_BYTES + length as usize {
                self.buffer.reserve(HEADER_BYTES + length as usize - self.buffer.len());
                return Ok(None);
            }
            self.buffer.advance(HEADER_BYTES);
            let payload = self.buffer.split_to(length as usize).freeze();
            if let Some(kind) = known {
                return Ok(Some(Frame { kind, payload }));
            }
        }
        Ok(None)
    }

    /// Whether a frame was begun and not finished.
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn peek_header(&self) -> Option<(u8, u8, u32)> {
        let header = self.buffer.get(..HEADER_BYTES)?;
        Some((header[0], header[1], u32::from_le_bytes([header[2], header[3], header[4], header[5]])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let frames = [
            Frame::new(FrameKind::Block, vec![7u8; 300]),
            Frame::new(FrameKind::Heartbeat, Bytes::new()),
            Frame::end(),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.to_bytes()).collect();
        for piece_len in [1, 2, 5, 6, 7, 100, 1000] {
            let mut decoder = FrameDecoder::new(1000);
            let mut read = Vec::new();
            for piece in bytes.chunks(piece_len) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    read.push(frame);
                }
            }
            assert_eq!(read, frames);
            assert!(!decoder.is_mid_frame());
        }
    }

    #[test]
    fn unknown_kinds_are_skipped_only_when_they_allow_it() {
        let mut decoder = FrameDecoder::new(10);
        decoder.push(&[200, MAY_SKIP, 1, 0, 0, 0, 9]);
        decoder.push(&Frame::end().to_bytes());
        assert_eq!(decoder.next_frame().unwrap(), Some(Frame::end()));
        decoder.push(&[200, 0, 1, 0, 0, 0, 9]);
        assert_eq!(decoder.next_frame(), Err(FrameError::UnknownKind(200)));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_read() {
        let mut decoder = FrameDecoder::new(10);
        decoder.push(&[FrameKind::Block as u8, 0, 255, 255, 255, 255]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(u32::MAX)));
    }
}
