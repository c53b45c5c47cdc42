//! What the byte formats share: a list of chunk references, and a reader that never runs past the end.

use skep_types::{ChunkId, Limits};

use crate::ChunkRef;

/// Bytes of one encoded [`ChunkRef`]: its length (u32, little-endian), then its id.
pub(crate) const CHUNK_REF_BYTES: usize = 4 + ChunkId::LEN;

/// Appends the references, one after the other.
pub(crate) fn put_chunk_refs(chunks: &[ChunkRef], out: &mut Vec<u8>) {
    for chunk in chunks {
        out.extend_from_slice(&chunk.length.to_le_bytes());
        out.extend_from_slice(chunk.id.as_bytes());
    }
}

/// Reads `count` references. Allocates only what `bytes` really holds.
pub(crate) fn take_chunk_refs(bytes: &mut &[u8], count: usize, limits: &Limits) -> Result<Vec<ChunkRef>, &'static str> {
    let table_bytes = count.checked_mul(CHUNK_REF_BYTES).ok_or("too many chunks")?;
    let table = take(bytes, table_bytes).ok_or("ends within its list of chunks")?;
    table.chunks_exact(CHUNK_REF_BYTES).map(|entry| chunk_ref(entry, limits)).collect()
}

fn chunk_ref(mut entry: &[u8], limits: &Limits) -> Result<ChunkRef, &'static str> {
    let length = take_u32(&mut entry).ok_or("ends within a chunk's length")?;
    let id = ChunkId::from_slice(entry).ok_or("ends within a chunk's id")?;
    match length {
        0 => Err("a chunk without bytes"),
        long if long as usize > limits.chunk_bytes_max => Err("a chunk is longer than the limit"),
        length => Ok(ChunkRef { id, length }),
    }
}

/// The next `count` bytes, if there are so many.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// The next `N` bytes, if there are so many.
pub(crate) fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}

/// The next little-endian u32.
pub(crate) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take_array(bytes).map(u32::from_le_bytes)
}

/// The plain bytes of all chunks together.
pub(crate) fn plain_bytes(chunks: &[ChunkRef]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.length)).sum()
}
