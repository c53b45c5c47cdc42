//! Local packs: conformance, crashes at every byte, failed syncs, full disks, many threads.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use skep_blobstore::{BlobError, BlobStore, LocalPacks, MemoryBlobs, PackId, RecordPlace, conformance};
use skep_content::{Block, MasterKey, chunk_id};
use skep_platform::Entropy;
use skep_types::Limits;

mod disk;
use disk::Disk;

const TINY: Limits = Limits {
    chunk_bytes_min: 16,
    chunk_bytes_average: 32,
    chunk_bytes_max: 64,
    block_bytes_max: 128,
    block_chunks_max: 4,
    pack_bytes_target: 700,
    ..Limits::SHIPPED
};

/// Counts up, so that no two salts are equal.
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        bytes.iter_mut().zip(count.iter().cycle()).for_each(|(byte, count)| *byte = *count);
    }
}

static SALTS: AtomicU64 = AtomicU64::new(0);

fn open_with(disk: &Disk, key: u8, limits: Limits) -> Result<LocalPacks<Disk>, BlobError> {
    // Salts differ between processes, too.
    let entropy = Arc::new(Counter(AtomicU64::new(SALTS.fetch_add(1 << 20, Ordering::Relaxed))));
    LocalPacks::open(disk.clone(), entropy, MasterKey::from_bytes([key; 32]), limits)
}

fn open(disk: &Disk) -> LocalPacks<Disk> {
    open_with(disk, 1, TINY).unwrap()
}

/// A block of two chunks that no other number has.
fn block(number: usize) -> Block {
    let part = |part: &str| {
        let bytes = Bytes::from(blake3::hash(format!("{number} {part}").as_bytes()).as_bytes().to_vec());
        (chunk_id(&bytes), bytes)
    };
    Block::encode(&[part("first"), part("second")], &TINY)
}

fn append_all(store: &impl BlobStore, numbers: std::ops::Range<usize>) -> Vec<RecordPlace> {
    numbers.map(|number| store.append(&block(number)).unwrap()).collect()
}

fn is_damaged(result: Result<Block, BlobError>) -> bool {
    matches!(result, Err(BlobError::Damaged { .. }))
}

#[test]
fn both_stores_conform() {
    for limits in [TINY, Limits::SHIPPED] {
        conformance::conforms(&MemoryBlobs::new(), &limits);
        conformance::conforms(&open_with(&Disk::default(), 1, limits).unwrap(), &limits);
    }
}

#[test]
fn a_power_cut_at_any_byte_keeps_what_was_durable() {
    let disk = Disk::default();
    let store = open(&disk);
    let durable = append_all(&store, 0..2);
    store.make_durable(&durable).unwrap();
    let not_durable = append_all(&store, 2..4);
    assert!(disk.longest_tail() > 200);
    for beyond in 0..=disk.longest_tail() {
        for torn in [false, true] {
            let disk = disk.after_power_cut(beyond);
            let cut = disk.bytes_of("00000001.pack");
            if torn {
                // The file has its full length, but the last blocks never reached the disk.
                disk.set_bytes_of("00000001.pack", [cut.clone(), vec![0; 100]].concat());
            }
            check_after_power_cut(&disk, &durable, &not_durable, cut.len());
        }
    }
}

fn check_after_power_cut(disk: &Disk, durable: &[RecordPlace], not_durable: &[RecordPlace], cut: usize) {
    let store = open(disk);
    let before = disk.bytes_of("00000001.pack");
    for (number, place) in durable.iter().enumerate() {
        assert_eq!(store.read(*place), Ok(block(number)), "cut at {cut}");
    }
    let whole = |place: &&RecordPlace| place.offset + u64::from(place.length) <= cut as u64;
    for (number, place) in (2..).zip(not_durable) {
        match whole(&place) {
            true => assert_eq!(store.read(*place), Ok(block(number))),
            false => assert!(is_damaged(store.read(*place)), "cut at {cut}"),
        }
    }
    let listed: Vec<RecordPlace> = store.records(PackId(1)).unwrap().into_iter().map(|(place, _)| place).collect();
    let expected: Vec<RecordPlace> = durable.iter().chain(not_durable).filter(whole).copied().collect();
    assert_eq!(listed, expected, "cut at {cut}");
    let new = store.append(&block(9)).unwrap();
    assert_eq!(new.pack, PackId(2), "a pack is never appended to by another process");
    store.make_durable(&[new]).unwrap();
    let store = open(&disk.after_power_cut(0));
    assert_eq!(store.read(new), Ok(block(9)));
    assert_eq!(disk.bytes_of("00000001.pack"), before);
}

#[test]
fn nothing_durable_means_nothing_promised() {
    let disk = Disk::default();
    let store = open(&disk);
    let place = store.append(&block(0)).unwrap();
    assert_eq!(store.read(place), Ok(block(0)), "it can be read at once");
    let disk = disk.after_power_cut(0);
    assert!(disk.names().is_empty());
    let store = open(&disk);
    assert!(is_damaged(store.read(place)));
    assert_eq!(store.append(&block(1)).unwrap().pack, PackId(1));
    assert!(is_damaged(store.read(RecordPlace { length: place.length - 1, ..place })));
}

#[test]
fn packs_are_rolled_and_closed_with_an_index() {
    let disk = Disk::default();
    let store = open(&disk);
    let places = append_all(&store, 0..40);
    store.make_durable(&places).unwrap();
    let packs = store.packs().unwrap();
    assert!(packs.len() > 5);
    assert_eq!(packs, (1..=packs.len() as u64).map(PackId).collect::<Vec<_>>());
    let store = open(&disk.after_power_cut(0));
    let mut listed = Vec::new();
    for pack in &packs {
        listed.extend(store.records(*pack).unwrap());
    }
    let expected: Vec<_> = (0..).zip(&places).map(|(number, place)| (*place, block(number).chunks)).collect();
    assert_eq!(listed, expected);
    // Without its index, or with a broken one, a closed pack gives the same.
    let closed = disk.bytes_of("00000002.pack");
    for at in [1, 40, 100] {
        let mut broken = closed.clone();
        let byte = broken.len() - at;
        broken[byte] ^= 1;
        disk.set_bytes_of("00000002.pack", broken);
        let of_two: Vec<_> = expected.iter().filter(|(place, _)| place.pack == PackId(2)).cloned().collect();
        assert_eq!(open(&disk).records(PackId(2)).unwrap(), of_two, "{at} from the end");
    }
}

#[test]
fn one_sync_serves_all_whose_records_it_covers() {
    let disk = Disk::default();
    let store = open(&disk);
    let before = disk.syncs();
    let places = append_all(&store, 0..3);
    for place in &places {
        store.make_durable(&[*place]).unwrap();
    }
    assert_eq!(disk.syncs() - before, 1);
}

#[test]
fn a_record_that_came_after_the_start_of_a_sync_waits_for_the_next() {
    let disk = Disk::default();
    let store = Arc::new(open(&disk));
    let first = store.append(&block(0)).unwrap();
    let late = Arc::new(Mutex::new(None));
    let (appends, slot) = (Arc::clone(&store), Arc::clone(&late));
    disk.set_in_sync(Some(Arc::new(move || *slot.lock().unwrap() = Some(appends.append(&block(1)).unwrap()))));
    store.make_durable(&[first]).unwrap();
    disk.set_in_sync(None);
    let late = late.lock().unwrap().unwrap();
    assert!(is_damaged(open(&disk.after_power_cut(0)).read(late)));
    store.make_durable(&[late]).unwrap();
    assert_eq!(open(&disk.after_power_cut(0)).read(late), Ok(block(1)));
}

#[test]
fn a_failed_sync_loses_its_records_for_every_caller() {
    let disk = Disk::default();
    let store = Arc::new(open(&disk));
    let safe = store.append(&block(0)).unwrap();
    store.make_durable(&[safe]).unwrap();
    let mine = store.append(&block(1)).unwrap();
    let of_another = store.append(&block(2)).unwrap();
    // A third record comes while the sync runs that will fail.
    let late = Arc::new(Mutex::new(None));
    let (appends, slot) = (Arc::clone(&store), Arc::clone(&late));
    disk.set_in_sync(Some(Arc::new(move || *slot.lock().unwrap() = Some(appends.append(&block(3)).unwrap()))));
    disk.fail_syncs(1);
    assert!(matches!(store.make_durable(&[mine]), Err(BlobError::Disk(_))));
    disk.set_in_sync(None);

    let new = store.append(&block(4)).unwrap();
    assert_eq!(new.pack, PackId(2));
    store.make_durable(&[new]).unwrap();
    // A later sync that succeeds proves nothing for the pack that was given up.
    let late = late.lock().unwrap().unwrap();
    for lost in [mine, of_another, late] {
        assert!(matches!(store.make_durable(&[new, lost]), Err(BlobError::Disk(_))), "{lost:?}");
    }
    store.make_durable(&[safe, new]).unwrap();
    let after = open(&disk.after_power_cut(0));
    assert_eq!((after.read(safe), after.read(new)), (Ok(block(0)), Ok(block(4))));
}

#[test]
fn a_sync_that_panics_is_a_failed_sync() {
    let disk = Disk::default();
    let store = open(&disk);
    let place = store.append(&block(0)).unwrap();
    disk.set_in_sync(Some(Arc::new(|| panic!("on purpose"))));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.make_durable(&[place])));
    assert!(panicked.is_err());
    disk.set_in_sync(None);
    assert!(matches!(store.make_durable(&[place]), Err(BlobError::Disk(_))));
    let place = store.append(&block(0)).unwrap();
    store.make_durable(&[place]).unwrap();
}

#[test]
fn a_full_disk_loses_nothing_and_heals() {
    for room in 0..400 {
        let disk = Disk::default();
        let store = open(&disk);
        let before = append_all(&store, 0..2);
        disk.set_room(Some(room));
        let mut taken = Vec::new();
        let failed = loop {
            match store.append(&block(2 + taken.len())) {
                Ok(place) => taken.push(place),
                Err(error) => break error,
            }
        };
        assert_eq!(failed, BlobError::NoSpace);
        disk.set_room(Some(0));
        for _ in 0..10 {
            assert_eq!(store.append(&block(99)), Err(BlobError::NoSpace));
        }
        assert!(disk.names().len() <= 3, "tries do not leave files behind");
        disk.set_room(None);
        let all = [before, taken, vec![store.append(&block(50)).unwrap()]].concat();
        store.make_durable(&all).unwrap();
        let after = open(&disk.after_power_cut(0));
        for (number, place) in all.iter().enumerate().take(all.len() - 1) {
            assert_eq!(after.read(*place), Ok(block(number)), "room for {room} bytes");
        }
        assert_eq!(after.read(all[all.len() - 1]), Ok(block(50)));
    }
}

#[test]
fn damage_is_reported_at_every_bit_and_never_returned() {
    let disk = Disk::default();
    let store = open(&disk);
    let place = store.append(&block(0)).unwrap();
    let good = disk.bytes_of("00000001.pack");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        disk.set_bytes_of("00000001.pack", bad);
        assert!(is_damaged(open(&disk).read(place)), "byte {at}");
    }
    disk.set_bytes_of("00000001.pack", good);
    assert_eq!(open(&disk).read(place), Ok(block(0)));
    assert!(is_damaged(open_with(&disk, 2, TINY).unwrap().read(place)), "another master key");
}

#[test]
fn a_block_that_no_reader_would_take_is_refused() {
    let store = open(&Disk::default());
    let mut long = block(0);
    long.chunks.clear();
    assert!(matches!(store.append(&long), Err(BlobError::Disk(_))));
}

#[test]
fn foreign_files_among_the_packs_do_no_harm() {
    let disk = Disk::default();
    drop(open(&disk));
    for name in ["00000007.pack", "7.pack", "x.pack", "00000009.pack.old", "18446744073709551615.pack"] {
        disk.set_bytes_of(name, b"whatever".to_vec());
    }
    let store = open(&disk);
    assert_eq!(store.packs().unwrap(), [PackId(7)]);
    assert_eq!(store.append(&block(0)).unwrap().pack, PackId(8));
    assert!(matches!(store.records(PackId(7)), Err(BlobError::Damaged { .. })));
}

#[test]
fn many_threads_lose_nothing() {
    let disk = Disk::default();
    let store = open(&disk);
    let before = disk.syncs();
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let (store, disk) = (&store, &disk);
            threads.spawn(move || {
                for round in 0..20 {
                    let number = thread * 1000 + round;
                    let place = store.append(&block(number)).unwrap();
                    assert_eq!(store.read(place), Ok(block(number)));
                    store.make_durable(&[place]).unwrap();
                    let after = open(&disk.after_power_cut(0));
                    assert_eq!(after.read(place), Ok(block(number)));
                }
            });
        }
    });
    assert!(disk.syncs() - before <= 160);
}
