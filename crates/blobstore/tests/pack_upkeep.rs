//! Packs as wholes, on a real disk: which are finished, freeing, moving aside, numbers that are never given twice.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use skep_blobstore::{BlobError, BlobStore, LocalPacks, PackId, PackStore, RecordPlace};
use skep_content::{Block, MasterKey, chunk_id};
use skep_platform::{Entropy, NativeFiles};
use skep_types::Limits;

const TINY: Limits = Limits { pack_bytes_target: 700, ..Limits::SHIPPED };

struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        bytes.copy_from_slice(&blake3::hash(&count.to_le_bytes()).as_bytes()[..bytes.len()]);
    }
}

fn open(dir: &Path, first_salt: u64) -> LocalPacks<NativeFiles> {
    let entropy = Arc::new(Counter(AtomicU64::new(first_salt)));
    LocalPacks::open(NativeFiles::open(dir).unwrap(), entropy, MasterKey::from_bytes([1; 32]), TINY).unwrap()
}

fn block(number: usize) -> Block {
    let bytes = Bytes::from(blake3::hash(&number.to_le_bytes()).as_bytes().to_vec());
    Block::encode(&[(chunk_id(&bytes), bytes)], &TINY)
}

fn append_all(store: &impl BlobStore, numbers: std::ops::Range<usize>) -> Vec<RecordPlace> {
    numbers.map(|number| store.append(&block(number)).unwrap()).collect()
}

fn finished(store: &impl PackStore) -> Vec<u64> {
    store.finished_packs().unwrap().into_iter().map(|(pack, _)| pack.0).collect()
}

#[test]
fn a_pack_is_finished_when_it_is_closed_and_durable() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0);
    let places = append_all(&store, 0..12);
    assert!(places.last().unwrap().pack > PackId(1));
    assert_eq!(finished(&store), [] as [u64; 0], "nothing is durable yet");
    store.make_durable(&places).unwrap();
    let open_pack = places.last().unwrap().pack;
    assert_eq!(finished(&store), (1..open_pack.0).collect::<Vec<_>>());
    assert!(matches!(store.remove_pack(open_pack), Err(BlobError::Disk(_))), "the open pack is in use");
    assert!(matches!(store.set_aside(open_pack), Err(BlobError::Disk(_))));
    drop(store);
    assert_eq!(
        finished(&open(dir.path(), 100)),
        (1..=open_pack.0).collect::<Vec<_>>(),
        "nobody appends to them any more"
    );
}

#[test]
fn a_pack_that_was_removed_or_moved_aside_is_not_found_and_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0);
    let places = append_all(&store, 0..20);
    store.make_durable(&places).unwrap();
    store.remove_pack(PackId(1)).unwrap();
    store.remove_pack(PackId(1)).unwrap();
    let before = fs::read(dir.path().join("packs/00000002.pack")).unwrap();
    assert_eq!(store.set_aside(PackId(2)).unwrap(), "quarantine/00000002.pack");
    assert_eq!(fs::read(dir.path().join("quarantine/00000002.pack")).unwrap(), before);
    for (number, place) in places.iter().enumerate() {
        let read = store.read(*place);
        match place.pack.0 {
            1 | 2 => assert!(matches!(read, Err(BlobError::Damaged { .. })), "{place:?}"),
            _ => assert_eq!(read, Ok(block(number))),
        }
    }
    // Another pack of that number, as after a data directory was put together by hand, replaces nothing.
    fs::write(dir.path().join("packs/00000002.pack"), "other").unwrap();
    assert_eq!(store.set_aside(PackId(2)).unwrap(), "quarantine/00000002.2.pack");
    assert_eq!(fs::read(dir.path().join("quarantine/00000002.pack")).unwrap(), before);
}

#[test]
fn a_number_that_is_named_somewhere_is_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 0);
    store.count_on_from(PackId(41));
    store.count_on_from(PackId(3));
    assert_eq!(store.append(&block(1)).unwrap().pack, PackId(42));
}
