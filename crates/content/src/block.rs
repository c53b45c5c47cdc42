//! Blocks: one or more chunks in one zstd frame, made by the client, stored and forwarded unchanged.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use skep_types::{ChunkId, Limits};
use zstd::zstd_safe;

use crate::wire::{CHUNK_REF_BYTES, plain_bytes, put_chunk_refs, take_array, take_chunk_refs};
use crate::{ChunkRef, chunk_id};

/// The level that costs least per byte saved.
const ZSTD_LEVEL: i32 = 1;
/// A frame is kept if it is shorter than this share of the plain bytes; below, reading it back costs more than it saves.
const WORTH_PERCENT: usize = 95;
/// Samples that the probe looks at: at the start, in the middle, at the end.
const PROBE_SAMPLES: usize = 3;
/// Bytes of each sample.
const PROBE_SAMPLE_BYTES: usize = 4096;
/// Bits per byte from which on bytes count as incompressible. (12 KiB of random bytes measure 7.98, text 4 to 5.)
const PROBE_BITS: f64 = 7.8;
/// Bytes before the list of chunks: encoding, zero, count.
const HEAD_BYTES: usize = 4;

/// How the chunks of a block are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Encoding {
    /// As they are.
    #[n(0)]
    Plain,
    /// One zstd frame over all of them.
    #[n(1)]
    Zstd,
}

/// One or more chunks, encoded together. Whether `bytes` really hold `chunks` is known only after [`Block::open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it holds, in order.
    pub chunks: Vec<ChunkRef>,
    /// How.
    pub encoding: Encoding,
    /// The encoded bytes.
    pub bytes: Bytes,
}

/// Why bytes are not the block that they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Malformed, or over a limit.
    #[error("malformed block: {0}")]
    Malformed(&'static str),
    /// A chunk's bytes do not have the hash that it is called by.
    #[error("chunk {0} does not have the bytes that its id promises")]
    WrongHash(ChunkId),
}

impl Encoding {
    /// Its number in the byte formats.
    pub(crate) fn number(self) -> u8 {
        match self {
            Encoding::Plain => 0,
            Encoding::Zstd => 1,
        }
    }

    /// The encoding of that number.
    pub(crate) fn from_number(number: u8) -> Option<Encoding> {
        match number {
            0 => Some(Encoding::Plain),
            1 => Some(Encoding::Zstd),
            _ => None,
        }
    }
}

impl Block {
    /// Encodes `chunks` (each at most [`Limits::chunk_bytes_max`], together at most [`Limits::block_bytes_max`]) into one block,
    /// compressed where a probe says that it pays.
    pub fn encode(chunks: &[(ChunkId, Bytes)], limits: &Limits) -> Block {
        let refs: Vec<ChunkRef> = chunks
            .iter()
            .map(|(id, bytes)| ChunkRef {
                id: *id,
                length: u32::try_from(bytes.len()).expect("a chunk is at most chunk_bytes_max long"),
            })
            .collect();
        debug_assert_eq!(check_shape(&refs, limits), Ok(()), "the caller keeps the limits of a block");
        let plain = match chunks {
            [(_, only)] => only.clone(),
            many => many.iter().map(|(_, bytes)| bytes.as_ref()).collect::<Vec<_>>().concat().into(),
        };
        match compress(&plain) {
            Some(frame) => Block { chunks: refs, encoding: Encoding::Zstd, bytes: frame.into() },
            None => Block { chunks: refs, encoding: Encoding::Plain, bytes: plain },
        }
    }

    /// The chunks in it, each checked against its id. Bounded: never makes more bytes than `chunks` announces, and that is
    /// checked against `limits` first. Chunks of a plain block share its bytes.
    pub fn open(&self, limits: &Limits) -> Result<Vec<(ChunkId, Bytes)>, BlockError> {
        self.check(limits)?;
        let mut rest = match self.encoding {
            Encoding::Plain => self.bytes.clone(),
            Encoding::Zstd => decompress(&self.bytes, plain_bytes(&self.chunks) as usize)?.into(),
        };
        let mut chunks = Vec::with_capacity(self.chunks.len());
        for chunk in &self.chunks {
            let bytes = rest.split_to(chunk.length as usize);
            if chunk_id(&bytes) != chunk.id {
                return Err(BlockError::WrongHash(chunk.id));
            }
            chunks.push((chunk.id, bytes));
        }
        Ok(chunks)
    }

    /// The block as the payload of a `block` frame: see `docs/formats/content.md`.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.chunks.len() * CHUNK_REF_BYTES + self.bytes.len());
        let count = u16::try_from(self.chunks.len()).expect("a block has at most block_chunks_max chunks");
        bytes.extend_from_slice(&[self.encoding.number(), 0]);
        bytes.extend_from_slice(&count.to_le_bytes());
        put_chunk_refs(&self.chunks, &mut bytes);
        bytes.extend_from_slice(&self.bytes);
        bytes.into()
    }

    /// Reads a payload of a `block` frame. Checks shape and limits, not the hashes: see [`Block::open`]. The block shares the
    /// bytes of the payload.
    pub fn from_bytes(payload: Bytes, limits: &Limits) -> Result<Block, BlockError> {
        let mut rest: &[u8] = &payload;
        let [encoding, zero, low, high] = take_array(&mut rest).ok_or(BlockError::Malformed("no head"))?;
        let encoding = Encoding::from_number(encoding).ok_or(BlockError::Malformed("unknown encoding"))?;
        if zero != 0 {
            return Err(BlockError::Malformed("unknown flags"));
        }
        let count = usize::from(u16::from_le_bytes([low, high]));
        let chunks = take_chunk_refs(&mut rest, count, limits).map_err(BlockError::Malformed)?;
        let bytes = payload.slice(payload.len() - rest.len()..);
        let block = Block { chunks, encoding, bytes };
        block.check(limits)?;
        Ok(block)
    }

    /// Whether the block keeps the limits and its encoded bytes can be so many; what any reader checks first.
    pub fn check(&self, limits: &Limits) -> Result<(), BlockError> {
        check_shape(&self.chunks, limits)?;
        check_encoded(self.encoding, self.bytes.len() as u64, &self.chunks)
    }
}

/// Whether a block of these chunks keeps the limits.
pub(crate) fn check_shape(chunks: &[ChunkRef], limits: &Limits) -> Result<(), BlockError> {
    if chunks.is_empty() {
        return Err(BlockError::Malformed("no chunks"));
    }
    if chunks.len() > limits.block_chunks_max {
        return Err(BlockError::Malformed("more chunks than the limit"));
    }
    if chunks.iter().any(|chunk| chunk.length == 0 || chunk.length as usize > limits.chunk_bytes_max) {
        return Err(BlockError::Malformed("a chunk is empty or longer than the limit"));
    }
    if plain_bytes(chunks) > limits.block_bytes_max as u64 {
        return Err(BlockError::Malformed("more bytes than the limit"));
    }
    Ok(())
}

/// Whether so many encoded bytes can be these chunks. A frame that is no shorter than the plain bytes is refused, so that
/// the plain size bounds everything.
pub(crate) fn check_encoded(encoding: Encoding, encoded_bytes: u64, chunks: &[ChunkRef]) -> Result<(), BlockError> {
    let plain = plain_bytes(chunks);
    match encoding {
        Encoding::Plain if encoded_bytes != plain => Err(BlockError::Malformed("not as long as its chunks")),
        Encoding::Zstd if encoded_bytes >= plain => Err(BlockError::Malformed("a frame that saves nothing")),
        _ => Ok(()),
    }
}

/// A zstd frame of `plain`, if it is worth it. The context is made anew: that is cheap beside a block, and keeps this pure.
fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    if entropy_of_samples(plain) >= PROBE_BITS {
        return None;
    }
    // No room is given to a frame that would not be kept: zstd stops as soon as it sees that.
    let bytes_max = plain.len() * WORTH_PERCENT / 100;
    let mut frame = Vec::with_capacity(bytes_max);
    let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok()?;
    compressor.compress_to_buffer(plain, &mut frame).ok()?;
    frame.shrink_to_fit();
    (frame.len() <= bytes_max).then_some(frame)
}

/// The plain bytes of exactly one zstd frame that announces exactly `plain_bytes`.
fn decompress(frame: &[u8], plain_bytes: usize) -> Result<Vec<u8>, BlockError> {
    let announced = zstd_safe::get_frame_content_size(frame).ok().flatten();
    if announced != Some(plain_bytes as u64) {
        return Err(BlockError::Malformed("a frame of another length than its chunks"));
    }
    if zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(BlockError::Malformed("not exactly one frame"));
    }
    let mut plain = Vec::with_capacity(plain_bytes);
    let mut decompressor = zstd::bulk::Decompressor::new().map_err(|_| BlockError::Malformed("no memory for zstd"))?;
    match decompressor.decompress_to_buffer(frame, &mut plain) {
        Ok(length) if length == plain_bytes => Ok(plain),
        _ => Err(BlockError::Malformed("a broken frame")),
    }
}

/// Bits per byte of a few samples, each byte seen alone.
fn entropy_of_samples(plain: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    let mut count_bytes = |sample: &[u8]| sample.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    if plain.len() <= PROBE_SAMPLES * PROBE_SAMPLE_BYTES {
        count_bytes(plain);
    } else {
        for index in 0..PROBE_SAMPLES {
            let from = (plain.len() - PROBE_SAMPLE_BYTES) * index / (PROBE_SAMPLES - 1);
            count_bytes(&plain[from..from + PROBE_SAMPLE_BYTES]);
        }
    }
    let total = f64::from(counts.iter().sum::<u32>());
    let present = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count));
    present.map(|count| count / total * (total / count).log2()).sum()
}
