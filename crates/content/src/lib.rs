//! Content: how files become chunks and chunks become blocks, and how blocks are sealed into packs.
//!
//! Everything here is a function of its arguments: salts and keys come in, bytes go out. The formats are written down in
//! `docs/formats/content.md` and `docs/formats/pack.md`, and golden files pin them.
//!
//! Invariant: a decoder believes nothing. It checks what is announced against the limits before it allocates, and it returns
//! either what was encoded or an error. Without the feature `seal` the decoders need no cryptography but BLAKE3, so that
//! they can be fuzzed alone.
#![forbid(unsafe_code)]

mod block;
mod chunker;
mod id;
mod manifest;
mod pack;
#[cfg(feature = "seal")]
mod seal;
mod wire;

pub use block::{Block, BlockError, Encoding};
pub use chunker::{Chunker, Gear};
pub use id::chunk_id;
pub use manifest::{ChunkRef, Manifest, ManifestError};
pub use pack::{KeyId, PackError, PackFooter, PackHeader, PackSalt, RecordHeader, encode_index, read_index};
#[cfg(feature = "seal")]
pub use seal::{MasterKey, open_record, seal_record};
