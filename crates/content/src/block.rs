//! Blocks: one or more chunks in one zstd frame, made by the client, stored and forwarded unchanged.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use skep_types::ChunkId;
use skep_types::Limits;

use crate::ChunkRef;

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

impl Block {
    /// Encodes `chunks` (each at most [`Limits::chunk_bytes_max`], together at most [`Limits::block_bytes_max`]) into one block,
    /// compressed where a probe says that it pays.
    pub fn encode(_chunks: &[(ChunkId, Bytes)], _limits: &Limits) -> Block {
        Block { chunks: Vec::new(), encoding: Encoding::Plain, bytes: Bytes::new() }
    }

    /// The chunks in it, each checked against its id. Bounded: never makes more bytes than `chunks` announces, and that is
    /// checked against `limits` first.
    pub fn open(&self, _limits: &Limits) -> Result<Vec<(ChunkId, Bytes)>, BlockError> {
        Err(BlockError::Malformed("stub"))
    }

    /// The block as the payload of a `block` frame: see `docs/formats/content.md`.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::new()
    }

    /// Reads a payload of a `block` frame. Checks shape and limits, not the hashes: see [`Block::open`].
    pub fn from_bytes(_payload: Bytes, _limits: &Limits) -> Result<Block, BlockError> {
        Err(BlockError::Malformed("stub"))
    }
}
