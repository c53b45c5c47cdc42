//! What every [`BlobStore`] does, as a test that runs on any of them.

use std::collections::BTreeSet;

use bytes::Bytes;
use skep_content::{Block, Encoding, chunk_id};
use skep_types::Limits;

use crate::{BlobError, BlobStore, PackId, RecordPlace};

/// Runs the suite on an empty store of blocks within `limits`. Panics where the store does not conform.
pub fn conforms(store: &impl BlobStore, limits: &Limits) {
    let blocks = blocks(limits);
    let places: Vec<RecordPlace> =
        blocks.iter().map(|block| store.append(block).expect("a store takes a good block")).collect();
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), places.len(), "each record has its own place");
    reads_all(store, &places, &blocks);

    store.make_durable(&[]).expect("nothing is durable at once");
    store.make_durable(&places[..1]).expect("a record becomes durable");
    store.make_durable(&places).expect("all become durable");
    store.make_durable(&places).expect("and stay so");
    reads_all(store, &places, &blocks);

    let again = store.append(&blocks[0]).expect("a block may be stored twice");
    assert!(!places.contains(&again), "a record is never written over");
    reads_all(store, &places, &blocks);
    reads_all(store, &[again], &blocks[..1]);
    refuses_places_without_a_record(store, &places);
}

fn reads_all(store: &impl BlobStore, places: &[RecordPlace], blocks: &[Block]) {
    for (place, block) in places.iter().zip(blocks) {
        assert_eq!(store.read(*place).as_ref(), Ok(block), "at {place:?}");
    }
}

fn refuses_places_without_a_record(store: &impl BlobStore, places: &[RecordPlace]) {
    for place in places {
        let wrong = [
            RecordPlace { pack: PackId(place.pack.0 + 1_000_000), ..*place },
            RecordPlace { offset: place.offset + 1, ..*place },
            RecordPlace { offset: u64::MAX, ..*place },
            RecordPlace { length: place.length + 1, ..*place },
            RecordPlace { length: place.length - 1, ..*place },
            RecordPlace { length: 0, ..*place },
            RecordPlace { length: u32::MAX, ..*place },
        ];
        for wrong in wrong {
            assert!(matches!(store.read(wrong), Err(BlobError::Damaged { .. })), "there is nothing at {wrong:?}");
        }
    }
}

/// Blocks of each kind: plain and compressed, of one chunk and as many as there may be, short and as long as there may be.
fn blocks(limits: &Limits) -> Vec<Block> {
    let longest = limits.chunk_bytes_max.min(limits.block_bytes_max);
    let many = limits.block_chunks_max.min(limits.block_bytes_max);
    let blocks: Vec<Block> = [vec![noise(1, 1)], vec![noise(2, longest)], vec![vec![7; longest]]]
        .into_iter()
        .chain([(0..many).map(|index| noise(index as u64, limits.block_bytes_max / many)).collect::<Vec<_>>()])
        .map(|parts| {
            let parts = parts.into_iter().map(|part: Vec<u8>| part.into_iter().take(limits.chunk_bytes_max).collect());
            let chunks: Vec<_> = parts.map(|part: Bytes| (chunk_id(&part), part)).collect();
            Block::encode(&chunks, limits)
        })
        .collect();
    assert!(blocks.iter().any(|block| block.encoding == Encoding::Plain));
    blocks
}

/// `count` bytes that look random; xorshift is enough for that.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}
