//! Content: how files become chunks and chunks become blocks, and how blocks are sealed into packs.
#![forbid(unsafe_code)]

mod block;
mod id;
mod manifest;

pub use block::{Block, BlockError, Encoding};
pub use id::chunk_id;
pub use manifest::{ChunkRef, Manifest};
