//! Sealing: what lies in a pack can neither be read nor changed unnoticed by whoever has the disk but not the master key.
//!
//! Each record has a key of its own, from the master key, the salt of its pack and its number. So the nonce may be fixed,
//! and no counter has to survive a crash: a pack is never appended to by a second process, and a new pack has a new salt.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use skep_types::Limits;

use crate::{Block, KeyId, PackError, PackSalt, RecordHeader};

const RECORD_KEY: &str = "skep 1 pack record key";
const KEY_ID: &str = "skep 1 master key id";

/// The secret from which the keys of all packs are derived.
#[derive(Clone)]
pub struct MasterKey([u8; MasterKey::LEN]);

impl MasterKey {
    /// Size in bytes.
    pub const LEN: usize = 32;

    /// The key with these bytes, which must be unpredictable.
    pub fn from_bytes(bytes: [u8; MasterKey::LEN]) -> MasterKey {
        MasterKey(bytes)
    }

    /// What packs call this key.
    pub fn id(&self) -> KeyId {
        let mut id = [0; KeyId::LEN];
        id.copy_from_slice(&blake3::derive_key(KEY_ID, &self.0)[..KeyId::LEN]);
        KeyId(id)
    }

    /// The key of one record. All inputs have a fixed length, so that no two records have the same.
    fn record_key(&self, salt: &PackSalt, number: u32) -> LessSafeKey {
        let mut hasher = blake3::Hasher::new_derive_key(RECORD_KEY);
        hasher.update(&self.0).update(&salt.0).update(&number.to_le_bytes());
        let key = UnboundKey::new(&AES_256_GCM, hasher.finalize().as_bytes());
        LessSafeKey::new(key.expect("a BLAKE3 hash is as long as an AES-256 key"))
    }
}

/// Shows nothing of the key.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(hidden)")
    }
}

/// Appends `block` to `out` as record `number` of the pack with this salt. A number is used once in a pack, also if the record
/// never reaches the disk.
pub fn seal_record(master: &MasterKey, salt: &PackSalt, number: u32, block: &Block, out: &mut Vec<u8>) -> RecordHeader {
    let block_bytes = u32::try_from(block.bytes.len()).expect("a block is at most block_bytes_max long");
    let header = RecordHeader { number, encoding: block.encoding, chunks: block.chunks.clone(), block_bytes };
    out.reserve(header.record_bytes());
    let start = out.len();
    header.encode(salt, out);
    let body = out.len();
    out.extend_from_slice(&block.bytes);
    let (head, body) = out.split_at_mut(body);
    let seal = master
        .record_key(salt, number)
        .seal_in_place_separate_tag(only_nonce(), Aad::from(RecordHeader::vouched(&head[start..])), body)
        .expect("a block is far shorter than AES-GCM allows");
    out.extend_from_slice(seal.as_ref());
    header
}

/// The block in `record`, which is one whole record. Its chunks are those that were sealed; whether they have their ids was
/// checked before. Decrypts in place: the block shares the memory of `record`.
pub fn open_record(
    master: &MasterKey,
    salt: &PackSalt,
    mut record: Vec<u8>,
    limits: &Limits,
) -> Result<(RecordHeader, Block), PackError> {
    let header = RecordHeader::from_bytes(&record, salt, limits)?;
    if record.len() < header.record_bytes() {
        return Err(PackError::Short);
    }
    if record.len() > header.record_bytes() {
        return Err(PackError::Malformed("more bytes than the record has"));
    }
    let (head, sealed) = record.split_at_mut(header.header_bytes());
    master
        .record_key(salt, header.number)
        .open_in_place(only_nonce(), Aad::from(RecordHeader::vouched(head)), sealed)
        .map_err(|_| PackError::BrokenSeal)?;
    let start = header.header_bytes();
    let bytes = Bytes::from(record).slice(start..start + header.block_bytes as usize);
    let block = Block { chunks: header.chunks.clone(), encoding: header.encoding, bytes };
    Ok((header, block))
}

/// The nonce of the one message of each key.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
