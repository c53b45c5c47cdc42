//! Chunk ids.

use skep_types::ChunkId;

/// The id of a chunk: BLAKE3 of its plain bytes.
pub fn chunk_id(plain: &[u8]) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(plain).as_bytes())
}
