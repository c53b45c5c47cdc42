//! Blocks, manifests and packs: what is written reads back, golden files of every version stay readable, and no mutation
//! of a byte makes a decoder panic or return what was never written.

use bytes::Bytes;
use skep_content::{Block, BlockError, ChunkRef, Encoding, Manifest, ManifestError, chunk_id};
use skep_types::{ChunkId, ContentId, Limits};

#[path = "support/made_up.rs"]
mod made_up;
#[path = "support/mutations.rs"]
mod mutations;
use made_up::{random_bytes, text_bytes};
use mutations::for_each_mutation;

const LIMITS: Limits = Limits::SHIPPED;

fn chunks(parts: &[Vec<u8>]) -> Vec<(ChunkId, Bytes)> {
    parts.iter().map(|part| (chunk_id(part), Bytes::copy_from_slice(part))).collect()
}

fn golden_chunks() -> Vec<(ChunkId, Bytes)> {
    chunks(&[text_bytes("golden 1", 700), text_bytes("golden 2", 1), text_bytes("golden 3", 300)])
}

fn golden_manifest() -> Manifest {
    let chunk = |name: &str, length| ChunkRef { id: chunk_id(name.as_bytes()), length };
    Manifest { chunks: vec![chunk("one", 300_000), chunk("two", 1 << 20), chunk("three", 1)] }
}

const BLOCK_ZSTD: &[u8] = include_bytes!("golden/block-zstd.bin");
const BLOCK_PLAIN: &[u8] = include_bytes!("golden/block-plain.bin");
const MANIFEST: &[u8] = include_bytes!("golden/manifest.bin");

#[test]
fn golden_blocks_are_read() {
    let block = Block::from_bytes(Bytes::from_static(BLOCK_ZSTD), &LIMITS).unwrap();
    assert_eq!(block.encoding, Encoding::Zstd);
    assert_eq!(block.open(&LIMITS).unwrap(), golden_chunks());
    let block = Block::from_bytes(Bytes::from_static(BLOCK_PLAIN), &LIMITS).unwrap();
    assert_eq!(block.encoding, Encoding::Plain);
    assert_eq!(block.open(&LIMITS).unwrap(), chunks(&[random_bytes("golden", 200)]));
    assert_eq!(Block::encode(&chunks(&[random_bytes("golden", 200)]), &LIMITS).to_bytes(), BLOCK_PLAIN);
}

#[test]
fn golden_manifest_is_read_and_written() {
    assert_eq!(Manifest::from_bytes(MANIFEST, &LIMITS), Ok(golden_manifest()));
    assert_eq!(golden_manifest().to_bytes(), MANIFEST);
    let list = golden_manifest().list_id().to_string();
    assert_eq!(list, "cb6740ca02cdf5ee86e1ddb312991600433d5639200b886d669bd9a3c7bb384a");
    assert_eq!(golden_manifest().length(), 300_000 + (1 << 20) + 1);
}

#[test]
fn ids_never_change() {
    let hash_of_nothing = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(chunk_id(b"").to_string(), hash_of_nothing);
    assert_eq!(Manifest::default().content_id(), ContentId::Empty);
    let one = Manifest { chunks: golden_manifest().chunks[..1].to_vec() };
    assert_eq!(one.content_id(), ContentId::Chunk(chunk_id(b"one")));
    assert_eq!(golden_manifest().content_id(), ContentId::List(golden_manifest().list_id()));
}

#[test]
fn blocks_read_back_and_are_compressed_where_it_pays() {
    let cases = [
        (chunks(&[random_bytes("a", 1 << 20)]), Encoding::Plain),
        (chunks(&[text_bytes("a", 1 << 20)]), Encoding::Zstd),
        (chunks(&[vec![0; 1 << 20]]), Encoding::Zstd),
        (chunks(&[vec![7]]), Encoding::Plain),
        (chunks(&[random_bytes("b", 300)]), Encoding::Plain),
        (chunks(&(0..256).map(|n| text_bytes(&n.to_string(), 4096)).collect::<Vec<_>>()), Encoding::Zstd),
        (chunks(&[random_bytes("c", 5000), random_bytes("d", 60_000)]), Encoding::Plain),
    ];
    for (chunks, encoding) in cases {
        let block = Block::encode(&chunks, &LIMITS);
        assert_eq!(block.encoding, encoding);
        let read = Block::from_bytes(block.to_bytes(), &LIMITS).unwrap();
        assert_eq!(read, block);
        assert_eq!(read.open(&LIMITS).unwrap(), chunks);
    }
}

#[test]
fn a_plain_block_is_opened_without_a_copy() {
    let block = Block::encode(&chunks(&[random_bytes("a", 100_000), random_bytes("b", 100_000)]), &LIMITS);
    let opened = block.open(&LIMITS).unwrap();
    assert_eq!(opened[0].1.as_ptr(), block.bytes.as_ptr());
    assert_eq!(opened[1].1.as_ptr(), block.bytes[100_000..].as_ptr());
}

#[test]
fn a_block_that_lies_is_refused() {
    let good = Block::encode(&golden_chunks(), &LIMITS);
    let change = |change: &dyn Fn(&mut Block)| {
        let mut block = good.clone();
        change(&mut block);
        block.open(&LIMITS).unwrap_err()
    };
    let wrong = chunk_id(b"another");
    assert_eq!(change(&|block| block.chunks[1].id = wrong), BlockError::WrongHash(wrong));
    let lies: [&dyn Fn(&mut Block); 7] = [
        &|block| block.chunks[0].length += 1,
        &|block| block.chunks[0].length -= 1,
        &|block| block.chunks[0].length = u32::MAX,
        &|block| block.chunks[1].length = 0,
        &|block| block.chunks.clear(),
        &|block| block.encoding = Encoding::Plain,
        &|block| block.bytes = [&block.bytes[..], &block.bytes[..]].concat().into(),
    ];
    for (index, lie) in lies.iter().enumerate() {
        assert!(matches!(change(lie), BlockError::Malformed(_)), "lie {index}");
    }
}

#[test]
fn limits_hold_before_anything_is_allocated() {
    let block = Block::encode(&golden_chunks(), &LIMITS);
    let small = [
        Limits { chunk_bytes_max: 699, ..LIMITS },
        Limits { block_bytes_max: 1000, ..LIMITS },
        Limits { block_chunks_max: 2, ..LIMITS },
    ];
    for limits in small {
        assert!(block.open(&limits).is_err());
        assert!(Block::from_bytes(block.to_bytes(), &limits).is_err());
    }
    let few = Limits { manifest_chunks_max: 2, ..LIMITS };
    assert!(Manifest::from_bytes(MANIFEST, &few).is_err());
    // Four thousand million chunks are announced, none is there.
    assert!(Manifest::from_bytes(&[1, 0xff, 0xff, 0xff, 0xff], &LIMITS).is_err());
    assert_eq!(Manifest::from_bytes(&[2, 0, 0, 0, 0], &LIMITS), Err(ManifestError::UnknownVersion(2)));
}

#[test]
fn no_mutation_of_a_block_gives_other_bytes() {
    for golden in [BLOCK_ZSTD, BLOCK_PLAIN] {
        for_each_mutation(golden, |mutant| {
            let Ok(block) = Block::from_bytes(Bytes::from(mutant), &LIMITS) else { return };
            for (id, bytes) in block.open(&LIMITS).unwrap_or_default() {
                assert_eq!(chunk_id(&bytes), id);
                assert!(bytes.len() <= LIMITS.chunk_bytes_max);
            }
        });
    }
}

#[test]
fn no_mutation_of_a_manifest_goes_by_its_id() {
    let list = golden_manifest().list_id();
    for_each_mutation(MANIFEST, |mutant| {
        let Ok(manifest) = Manifest::from_bytes(&mutant, &LIMITS) else { return };
        assert!(manifest.list_id() != list || manifest == golden_manifest());
        assert_eq!(manifest.to_bytes(), mutant, "each manifest is written in one way");
    });
}
