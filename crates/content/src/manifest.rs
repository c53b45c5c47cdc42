//! Manifests: the chunks of a file that has more than one.

use minicbor::{Decode, Encode};
use skep_types::{ChunkId, ContentId, ListId};

/// One chunk of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct ChunkRef {
    /// Which bytes.
    #[n(0)]
    pub id: ChunkId,
    /// How many plain bytes.
    #[n(1)]
    pub length: u32,
}

/// The chunks of a file, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Manifest {
    /// In the order of the file.
    #[n(0)]
    pub chunks: Vec<ChunkRef>,
}

impl Manifest {
    /// The content id of a file with these chunks; a list id only where there are two or more.
    pub fn content_id(&self) -> ContentId {
        match self.chunks.as_slice() {
            [] => ContentId::Empty,
            [only] => ContentId::Chunk(only.id),
            _ => ContentId::List(self.list_id()),
        }
    }

    /// The id of this list: see `docs/formats/content.md`.
    pub fn list_id(&self) -> ListId {
        let mut hasher = blake3::Hasher::new_derive_key("skep 1 list of chunks, gear 1");
        hasher.update(&self.length().to_le_bytes());
        for chunk in &self.chunks {
            hasher.update(&chunk.length.to_le_bytes());
            hasher.update(chunk.id.as_bytes());
        }
        ListId::from_bytes(*hasher.finalize().as_bytes())
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.length)).sum()
    }
}
