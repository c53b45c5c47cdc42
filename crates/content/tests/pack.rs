//! Pack files: headers, sealed records, index; golden file and mutations.
#![cfg(feature = "seal")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use skep_content::{
    Block, Encoding, MasterKey, PackError, PackFooter, PackHeader, PackSalt, RecordHeader, chunk_id, encode_index,
    open_record, read_index, seal_record,
};
use skep_types::Limits;

#[path = "support/made_up.rs"]
mod made_up;
#[path = "support/mutations.rs"]
mod mutations;
use made_up::{random_bytes, text_bytes};
use mutations::for_each_mutation;

const LIMITS: Limits = Limits::SHIPPED;
const GOLDEN: &[u8] = include_bytes!("golden/pack.bin");
const SALT: PackSalt = PackSalt([0x5a; 32]);

fn master() -> MasterKey {
    MasterKey::from_bytes(std::array::from_fn(|index| index as u8))
}

fn golden_blocks() -> Vec<Block> {
    let block = |parts: &[Vec<u8>]| {
        let chunks: Vec<_> = parts.iter().map(|part| (chunk_id(part), Bytes::copy_from_slice(part))).collect();
        Block::encode(&chunks, &LIMITS)
    };
    // The frame is taken from a golden file, since another zstd may write another one.
    let frame = Bytes::from_static(include_bytes!("golden/block-zstd.bin"));
    vec![
        block(&[random_bytes("pack", 100)]),
        Block::from_bytes(frame, &LIMITS).unwrap(),
        block(&[text_bytes("pack", 9)]),
    ]
}

fn write_pack(blocks: &[Block]) -> Vec<u8> {
    let mut pack = PackHeader { salt: SALT, key: master().id() }.to_bytes().to_vec();
    let headers: Vec<RecordHeader> =
        (0..).zip(blocks).map(|(number, block)| seal_record(&master(), &SALT, number, block, &mut pack)).collect();
    let index = encode_index(&headers, &SALT, pack.len() as u64);
    pack.extend_from_slice(&index);
    pack
}

/// All blocks of a closed pack, read by its index.
fn read_pack(pack: &[u8], master: &MasterKey, limits: &Limits) -> Result<Vec<Block>, PackError> {
    let head = PackHeader::from_bytes(pack)?;
    let footer_at = pack.len().checked_sub(PackFooter::BYTES).ok_or(PackError::Short)?;
    let footer = PackFooter::from_bytes(&pack[footer_at..], pack.len() as u64)?;
    let index = &pack[footer.index_offset as usize..][..footer.index_bytes as usize];
    let mut blocks = Vec::new();
    for (offset, header) in read_index(index, &footer, &head.salt, limits)? {
        let record = pack.get(offset as usize..offset as usize + header.record_bytes()).ok_or(PackError::Short)?;
        let (read, block) = open_record(master, &head.salt, record.to_vec(), limits)?;
        assert_eq!(read, header);
        blocks.push(block);
    }
    Ok(blocks)
}

#[test]
fn golden_pack_is_read_and_written() {
    assert_eq!(read_pack(GOLDEN, &master(), &LIMITS).unwrap(), golden_blocks());
    assert_eq!(write_pack(&golden_blocks()), GOLDEN);
}

#[test]
fn no_mutation_of_a_pack_is_believed() {
    let blocks = golden_blocks();
    for_each_mutation(GOLDEN, |mutant| {
        if let Ok(read) = read_pack(&mutant, &master(), &LIMITS) {
            assert!(read == blocks && mutant != GOLDEN, "only what was written");
            panic!("no byte of a pack is without a check");
        }
    });
}

#[test]
fn a_record_opens_only_where_and_as_it_was_sealed() {
    let block = &golden_blocks()[1];
    assert_eq!(block.encoding, Encoding::Zstd);
    let mut record = Vec::new();
    let header = seal_record(&master(), &SALT, 3, block, &mut record);
    assert_eq!(record.len(), header.record_bytes());
    assert_eq!(open_record(&master(), &SALT, record.clone(), &LIMITS).unwrap(), (header.clone(), block.clone()));
    let other_key = MasterKey::from_bytes([9; 32]);
    assert_eq!(open_record(&other_key, &SALT, record.clone(), &LIMITS), Err(PackError::BrokenSeal));
    let other_salt = PackSalt([1; 32]);
    assert!(matches!(open_record(&master(), &other_salt, record.clone(), &LIMITS), Err(PackError::WrongChecksum(_))));
    // A forger can mend every checksum, but not the seal.
    for forge in [
        |header: &mut RecordHeader| header.number = 4,
        |header: &mut RecordHeader| header.chunks[0].id = chunk_id(b"forged"),
        |header: &mut RecordHeader| header.chunks.swap(0, 1),
    ] {
        let mut forged_header = header.clone();
        forge(&mut forged_header);
        let mut forged = Vec::new();
        forged_header.encode(&SALT, &mut forged);
        forged.extend_from_slice(&record[header.header_bytes()..]);
        assert_eq!(open_record(&master(), &SALT, forged, &LIMITS), Err(PackError::BrokenSeal));
    }
}

#[test]
fn every_record_has_a_key_of_its_own() {
    let block = &golden_blocks()[0];
    let seal = |master: &MasterKey, salt: PackSalt, number| {
        let mut record = Vec::new();
        let header = seal_record(master, &salt, number, block, &mut record);
        // Without the seal itself, which differs anyway, since it vouches for the number.
        record[header.header_bytes()..][..header.block_bytes as usize].to_vec()
    };
    let first = seal(&master(), SALT, 0);
    assert_ne!(first, seal(&master(), SALT, 1));
    assert_ne!(first, seal(&master(), PackSalt([0; 32]), 0));
    assert_ne!(first, seal(&MasterKey::from_bytes([7; 32]), SALT, 0));
    assert_eq!(first, seal(&master(), SALT, 0));
}

#[test]
fn a_cut_record_is_short_at_every_byte() {
    let mut record = Vec::new();
    seal_record(&master(), &SALT, 0, &golden_blocks()[0], &mut record);
    for length in 0..record.len() {
        assert_eq!(open_record(&master(), &SALT, record[..length].to_vec(), &LIMITS), Err(PackError::Short));
    }
}

#[test]
fn limits_bound_what_a_record_may_announce() {
    let mut record = Vec::new();
    let header = seal_record(&master(), &SALT, 0, &golden_blocks()[1], &mut record);
    for limits in [
        Limits { block_chunks_max: 2, ..LIMITS },
        Limits { block_bytes_max: 1000, ..LIMITS },
        Limits { chunk_bytes_max: 699, ..LIMITS },
    ] {
        assert!(matches!(RecordHeader::from_bytes(&record, &SALT, &limits), Err(PackError::Malformed(_))));
    }
    assert!(header.record_bytes() <= RecordHeader::record_bytes_max(&LIMITS));
}

#[test]
fn the_master_key_is_not_shown() {
    assert_eq!(format!("{:?}", master()), "MasterKey(hidden)");
    assert_eq!(format!("{:?}", master().id()), "KeyId(8542a909b058f60a9290271b97631012)");
}
