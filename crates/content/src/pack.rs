//! The layout of a pack file: a header with a random salt, records one after the other, and, once it is closed, an index.
//!
//! See `docs/formats/pack.md`. A pack is only ever appended to. Each record header carries its own checksum, bound to the
//! salt, so that after a crash the last whole record is found without an index, and a stale block of an older file is not
//! taken for one. What a record holds is proven by its seal (`seal.rs`), not here.

use std::fmt;

use skep_types::Limits;

use crate::block::{check_encoded, check_shape};
use crate::wire::{CHUNK_REF_BYTES, put_chunk_refs, take, take_array, take_chunk_refs, take_u32};
use crate::{ChunkRef, Encoding};

const PACK_MAGIC: [u8; 8] = *b"SKEPPACK";
const PACK_VERSION: u16 = 1;
/// The last byte is the version of the record layout, so that the version is part of what is sealed.
const RECORD_MAGIC: [u8; 4] = *b"SKR1";
const FOOTER_MAGIC: [u8; 8] = *b"SKEPEND1";
const CHECKSUM_BYTES: usize = 8;

/// Random bytes of one pack: what makes its record keys its own. Never used for a second pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackSalt(pub [u8; PackSalt::LEN]);

impl PackSalt {
    /// Size in bytes.
    pub const LEN: usize = 32;
}

/// Which master key a pack is sealed with. Tells nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; KeyId::LEN]);

impl KeyId {
    /// Size in bytes.
    pub const LEN: usize = 16;
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyId(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Why bytes are not a pack, a record or an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// They end too early: cut off, or never written whole.
    #[error("the bytes end too early")]
    Short,
    /// They do not start as they should.
    #[error("these are not the bytes of a {0}")]
    WrongMagic(&'static str),
    /// Made by a newer program.
    #[error("pack of the unknown version {0}")]
    UnknownVersion(u16),
    /// The checksum does not fit.
    #[error("wrong checksum of a {0}")]
    WrongChecksum(&'static str),
    /// Whole, but against the rules of the format or over a limit.
    #[error("malformed pack: {0}")]
    Malformed(&'static str),
    /// The seal does not fit the bytes: changed, moved, or sealed with another key.
    #[error("the seal of a record is broken")]
    BrokenSeal,
}

/// The first bytes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackHeader {
    /// Of this pack alone.
    pub salt: PackSalt,
    /// Of the master key.
    pub key: KeyId,
}

impl PackHeader {
    /// Its size; the first record starts here.
    pub const BYTES: usize = 72;

    /// The header as it stands in the file.
    pub fn to_bytes(&self) -> [u8; PackHeader::BYTES] {
        let mut bytes = [0; PackHeader::BYTES];
        bytes[..8].copy_from_slice(&PACK_MAGIC);
        bytes[8..10].copy_from_slice(&PACK_VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.key.0);
        bytes[32..64].copy_from_slice(&self.salt.0);
        let sum = checksum(&[&bytes[..64]]);
        bytes[64..].copy_from_slice(&sum);
        bytes
    }

    /// Reads the header at the start of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<PackHeader, PackError> {
        let head = bytes.get(..PackHeader::BYTES).ok_or(PackError::Short)?;
        let mut rest = head;
        if take_array(&mut rest) != Some(PACK_MAGIC) {
            return Err(PackError::WrongMagic("pack"));
        }
        match take_array(&mut rest).map(u16::from_le_bytes).ok_or(PackError::Short)? {
            PACK_VERSION => {}
            unknown => return Err(PackError::UnknownVersion(unknown)),
        }
        if take_array(&mut rest) != Some([0; 6]) {
            return Err(PackError::Malformed("unknown flags"));
        }
        let key = KeyId(take_array(&mut rest).ok_or(PackError::Short)?);
        let salt = PackSalt(take_array(&mut rest).ok_or(PackError::Short)?);
        if rest != checksum(&[&head[..64]]) {
            return Err(PackError::WrongChecksum("pack header"));
        }
        Ok(PackHeader { salt, key })
    }
}

/// What stands before the sealed bytes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeader {
    /// Which record of its pack: the n-th, from 0. Goes into its key.
    pub number: u32,
    /// How the block is encoded.
    pub encoding: Encoding,
    /// The chunks of the block.
    pub chunks: Vec<ChunkRef>,
    /// Bytes of the encoded block.
    pub block_bytes: u32,
}

impl RecordHeader {
    /// Bytes before the list of chunks: enough to know by [`RecordHeader::bytes_announced`] how long the header is.
    pub const FIXED_BYTES: usize = 24;
    /// Bytes of the seal behind the encoded block.
    pub const SEAL_BYTES: usize = 16;

    /// The size of this header.
    pub fn header_bytes(&self) -> usize {
        RecordHeader::FIXED_BYTES + self.chunks.len() * CHUNK_REF_BYTES
    }

    /// The size of the whole record: header, encoded block, seal.
    pub fn record_bytes(&self) -> usize {
        self.header_bytes() + self.block_bytes as usize + RecordHeader::SEAL_BYTES
    }

    /// The size of the longest record that keeps the limits.
    pub fn record_bytes_max(limits: &Limits) -> usize {
        RecordHeader::header_bytes_max(limits) + limits.block_bytes_max + RecordHeader::SEAL_BYTES
    }

    /// The size of the longest header that keeps the limits.
    pub fn header_bytes_max(limits: &Limits) -> usize {
        RecordHeader::FIXED_BYTES + limits.block_chunks_max * CHUNK_REF_BYTES
    }

    /// Appends the header as it stands in a pack with this salt. Everything after its checksum is what the seal vouches for.
    pub fn encode(&self, salt: &PackSalt, out: &mut Vec<u8>) {
        let count = u16::try_from(self.chunks.len()).expect("a block has at most block_chunks_max chunks");
        let start = out.len();
        out.extend_from_slice(&[0; CHECKSUM_BYTES]);
        out.extend_from_slice(&RECORD_MAGIC);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&[self.encoding.number(), 0]);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&self.block_bytes.to_le_bytes());
        put_chunk_refs(&self.chunks, out);
        let sum = checksum(&[&salt.0, &out[start + CHECKSUM_BYTES..]]);
        out[start..start + CHECKSUM_BYTES].copy_from_slice(&sum);
    }

    /// How long the header is of which `fixed` are the first [`RecordHeader::FIXED_BYTES`]; believed only when it was read.
    pub fn bytes_announced(fixed: &[u8], limits: &Limits) -> Result<usize, PackError> {
        let mut rest = fixed.get(CHECKSUM_BYTES..RecordHeader::FIXED_BYTES).ok_or(PackError::Short)?;
        if take_array(&mut rest) != Some(RECORD_MAGIC) {
            return Err(PackError::WrongMagic("record"));
        }
        let count = match rest {
            [_, _, _, _, _, _, low, high, ..] => usize::from(u16::from_le_bytes([*low, *high])),
            _ => return Err(PackError::Short),
        };
        if count > limits.block_chunks_max {
            return Err(PackError::Malformed("more chunks than the limit"));
        }
        Ok(RecordHeader::FIXED_BYTES + count * CHUNK_REF_BYTES)
    }

    /// Reads the header at the start of `bytes`, which may go on behind it.
    pub fn from_bytes(bytes: &[u8], salt: &PackSalt, limits: &Limits) -> Result<RecordHeader, PackError> {
        let header_bytes = RecordHeader::bytes_announced(bytes, limits)?;
        let mut rest = bytes.get(..header_bytes).ok_or(PackError::Short)?;
        let sum = take(&mut rest, CHECKSUM_BYTES).ok_or(PackError::Short)?;
        if sum != checksum(&[&salt.0, rest]) {
            return Err(PackError::WrongChecksum("record header"));
        }
        take(&mut rest, RECORD_MAGIC.len()).ok_or(PackError::Short)?;
        let number = take_u32(&mut rest).ok_or(PackError::Short)?;
        let [encoding, zero, low, high] = take_array(&mut rest).ok_or(PackError::Short)?;
        let encoding = Encoding::from_number(encoding).ok_or(PackError::Malformed("unknown encoding"))?;
        if zero != 0 {
            return Err(PackError::Malformed("unknown flags"));
        }
        let block_bytes = take_u32(&mut rest).ok_or(PackError::Short)?;
        let count = usize::from(u16::from_le_bytes([low, high]));
        let chunks = take_chunk_refs(&mut rest, count, limits).map_err(PackError::Malformed)?;
        check_shape(&chunks, limits)
            .and_then(|()| check_encoded(encoding, u64::from(block_bytes), &chunks))
            .map_err(|_| PackError::Malformed("a record that is no block within the limits"))?;
        Ok(RecordHeader { number, encoding, chunks, block_bytes })
    }

    /// What the seal vouches for besides the block: an encoded header without its checksum.
    #[cfg(feature = "seal")]
    pub(crate) fn vouched(header: &[u8]) -> &[u8] {
        &header[CHECKSUM_BYTES..]
    }
}

/// The last bytes of a closed pack: where its index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackFooter {
    /// Where the records end and the index starts.
    pub index_offset: u64,
    /// Bytes of the index.
    pub index_bytes: u32,
    /// Records in the pack.
    pub records: u32,
    checksum: [u8; CHECKSUM_BYTES],
}

impl PackFooter {
    /// Its size.
    pub const BYTES: usize = 32;

    /// Reads the footer, the last [`PackFooter::BYTES`] of a pack of `pack_bytes`. Its checksum covers the index and is
    /// checked with it.
    pub fn from_bytes(bytes: &[u8], pack_bytes: u64) -> Result<PackFooter, PackError> {
        let mut rest = bytes;
        let index_offset = take_array(&mut rest).map(u64::from_le_bytes).ok_or(PackError::Short)?;
        let index_bytes = take_u32(&mut rest).ok_or(PackError::Short)?;
        let records = take_u32(&mut rest).ok_or(PackError::Short)?;
        let checksum = take_array(&mut rest).ok_or(PackError::Short)?;
        if rest != FOOTER_MAGIC {
            return Err(PackError::WrongMagic("pack footer"));
        }
        let end = index_offset.checked_add(u64::from(index_bytes)).and_then(|end| end.checked_add(Self::BYTES as u64));
        if end != Some(pack_bytes) || index_offset < PackHeader::BYTES as u64 {
            return Err(PackError::Malformed("the footer is not where it says"));
        }
        Ok(PackFooter { index_offset, index_bytes, records, checksum })
    }
}

/// The index and the footer of a pack whose records have these headers and end at `index_offset`.
pub fn encode_index(records: &[RecordHeader], salt: &PackSalt, index_offset: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        record.encode(salt, &mut out);
    }
    let index_bytes = u32::try_from(out.len()).expect("a pack is far shorter than 4 GiB");
    let count = u32::try_from(records.len()).expect("a pack has far fewer than 2^32 records");
    let fields = [index_offset.to_le_bytes().as_slice(), &index_bytes.to_le_bytes(), &count.to_le_bytes()].concat();
    let sum = checksum(&[&salt.0, &out, &fields]);
    out.extend_from_slice(&fields);
    out.extend_from_slice(&sum);
    out.extend_from_slice(&FOOTER_MAGIC);
    out
}

/// The records of a pack and where each starts, from its index.
pub fn read_index(
    index: &[u8],
    footer: &PackFooter,
    salt: &PackSalt,
    limits: &Limits,
) -> Result<Vec<(u64, RecordHeader)>, PackError> {
    let fields = [
        footer.index_offset.to_le_bytes().as_slice(),
        &footer.index_bytes.to_le_bytes(),
        &footer.records.to_le_bytes(),
    ]
    .concat();
    if footer.checksum != checksum(&[&salt.0, index, &fields]) {
        return Err(PackError::WrongChecksum("pack index"));
    }
    let mut records = Vec::new();
    let (mut rest, mut offset) = (index, PackHeader::BYTES as u64);
    while !rest.is_empty() {
        let header = RecordHeader::from_bytes(rest, salt, limits)?;
        if header.number as usize != records.len() {
            return Err(PackError::Malformed("the numbers of the records do not count up"));
        }
        rest = &rest[header.header_bytes()..];
        let start = offset;
        offset += header.record_bytes() as u64;
        records.push((start, header));
    }
    if offset != footer.index_offset || records.len() != footer.records as usize {
        return Err(PackError::Malformed("the index does not fit the records"));
    }
    Ok(records)
}

/// BLAKE3, cut to 64 bits: against accidents, not against people; those meet the seal.
fn checksum(parts: &[&[u8]]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    sum
}
