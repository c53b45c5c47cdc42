//! Manifests: the chunks of a file that has more than one.

use minicbor::{Decode, Encode};
use skep_types::{ChunkId, ContentId, Limits, ListId};

use crate::wire::{CHUNK_REF_BYTES, plain_bytes, put_chunk_refs, take_array, take_chunk_refs, take_u32};

/// The first byte of an encoded manifest: this layout, and chunks cut by the chunker "gear 1".
const VERSION: u8 = 1;

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

/// Why bytes are not a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Malformed, or over a limit.
    #[error("malformed manifest: {0}")]
    Malformed(&'static str),
    /// Made by a newer program.
    #[error("manifest of the unknown version {0}")]
    UnknownVersion(u8),
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
        plain_bytes(&self.chunks)
    }

    /// The manifest as the payload of a `manifest` frame: see `docs/formats/content.md`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.chunks.len()).expect("a manifest has at most manifest_chunks_max chunks");
        let mut bytes = Vec::with_capacity(5 + self.chunks.len() * CHUNK_REF_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&count.to_le_bytes());
        put_chunk_refs(&self.chunks, &mut bytes);
        bytes
    }

    /// Reads what [`Manifest::to_bytes`] made. Checks shape and limits; whether it is the manifest that was asked for, its
    /// [`Manifest::content_id`] tells.
    pub fn from_bytes(mut bytes: &[u8], limits: &Limits) -> Result<Manifest, ManifestError> {
        let [version] = take_array(&mut bytes).ok_or(ManifestError::Malformed("no version"))?;
        if version != VERSION {
            return Err(ManifestError::UnknownVersion(version));
        }
        let count = take_u32(&mut bytes).ok_or(ManifestError::Malformed("no count"))? as usize;
        if count > limits.manifest_chunks_max {
            return Err(ManifestError::Malformed("more chunks than the limit"));
        }
        let chunks = take_chunk_refs(&mut bytes, count, limits).map_err(ManifestError::Malformed)?;
        if !bytes.is_empty() {
            return Err(ManifestError::Malformed("more bytes than announced"));
        }
        Ok(Manifest { chunks })
    }
}
