//! Healing, retention, garbage collection.

use skep_blobstore::{PackId, RecordPlace};
use skep_content::{ChunkRef, Manifest};
use skep_types::{ChunkId, ContentId, DeviceId, Entry, FieldGroups, ListId, NodeId, Place, Seq};

use super::{commit_id, directory, moved, node_id, read, seconds, some_drive};
use crate::{ChunkPlace, ChunkRow, Connection, MetaStore, Thinned};

fn chunk(number: u8) -> ChunkId {
    ChunkId::from_bytes([number; 32])
}

fn record(pack: u64, offset: u64) -> RecordPlace {
    RecordPlace { pack: PackId(pack), offset, length: 900 }
}

fn place(pack: u64, offset: u64, index: u16) -> ChunkPlace {
    ChunkPlace { record: record(pack, offset), index, length: 10 }
}

/// Damage is per record, in every drive that has a chunk in it; the next place heals, and only that chunk.
pub fn a_damaged_chunk_counts_as_lacking_until_it_is_sent_again(store: &impl MetaStore) {
    let (one, two) = (some_drive(store, 1), some_drive(store, 2));
    store
        .write(|write| {
            write.put_chunk(one, chunk(1), &place(1, 72, 0), seconds(10))?;
            write.put_chunk(one, chunk(2), &place(1, 72, 1), seconds(10))?;
            write.put_chunk(one, chunk(3), &place(1, 972, 0), seconds(10))?;
            write.put_chunk(two, chunk(1), &place(1, 72, 0), seconds(10))
        })
        .unwrap();
    assert_eq!(store.write(|write| write.mark_damaged(record(1, 72))).unwrap(), 3);
    assert_eq!(store.write(|write| write.mark_damaged(record(1, 72))).unwrap(), 0);
    let held = |drive| read(store, |read| read.chunks(drive, &[1, 2, 3].map(chunk)));
    assert_eq!(held(one), [None, None, Some(place(1, 972, 0))]);
    assert_eq!(held(two), [None, None, None]);
    let holds = |number| read(store, |read| Ok(read.view(one)?.holds(&ContentId::Chunk(chunk(number))).unwrap()));
    assert_eq!([1, 2, 3].map(holds), [false, false, true]);
    let rows = read(store, |read| read.chunk_rows(one, &[chunk(1), chunk(9)]));
    assert_eq!(rows, [Some(ChunkRow { place: place(1, 72, 0), lease: seconds(10), damaged: true }), None]);

    store.write(|write| write.put_chunk(one, chunk(1), &place(2, 72, 4), seconds(5))).unwrap();
    assert_eq!(held(one), [Some(place(2, 72, 4)), None, Some(place(1, 972, 0))]);
    let healed = ChunkRow { place: place(2, 72, 4), lease: seconds(10), damaged: false };
    assert_eq!(read(store, |read| read.chunk_rows(one, &[chunk(1)])), [Some(healed)]);
    // A list is held only if all its chunks are.
    let list = ListId::from_bytes([8; 32]);
    let listed = [2, 3].map(|number| ChunkRef { id: chunk(number), length: 10 }).to_vec();
    store.write(|write| write.put_manifest(one, list, &Manifest { chunks: listed }, seconds(1))).unwrap();
    let holds_list = || read(store, |read| Ok(read.view(one)?.holds(&ContentId::List(list)).unwrap()));
    assert!(!holds_list());
    // Damage found at the old place says nothing of the new one.
    assert_eq!(store.write(|write| write.mark_damaged(record(1, 72))).unwrap(), 0);
    assert_eq!(store.write(|write| write.mark_sound(record(1, 72))).unwrap(), 2);
    assert_eq!(held(two), [Some(place(1, 72, 0)), None, None]);
    assert!(holds_list());
}

/// Packs and records lead to their chunks, and a record moves with all of them.
pub fn chunks_are_found_by_their_place(store: &impl MetaStore) {
    let (one, two) = (some_drive(store, 1), some_drive(store, 2));
    assert_eq!(read(store, |read| read.last_pack()), None);
    store
        .write(|write| {
            write.put_chunk(one, chunk(2), &place(3, 972, 0), seconds(10))?;
            write.put_chunk(one, chunk(1), &place(3, 72, 1), seconds(10))?;
            write.put_chunk(two, chunk(3), &place(3, 72, 0), seconds(10))?;
            write.put_chunk(two, chunk(4), &place(7, 72, 0), seconds(10))?;
            write.condemn_pack(PackId(9), seconds(4))?;
            write.condemn_pack(PackId(9), seconds(5))
        })
        .unwrap();
    let after = |pack: Option<u64>| read(store, |read| read.pack_after(pack.map(PackId)));
    assert_eq!([None, Some(3), Some(6), Some(7)].map(after), [Some(PackId(3)), Some(PackId(7)), Some(PackId(7)), None]);
    assert_eq!(read(store, |read| read.last_pack()), Some(PackId(9)));
    assert_eq!(read(store, |read| read.condemned_packs()), [(PackId(9), seconds(4))]);
    let in_pack = |pack: u64| -> Vec<_> {
        let rows = read(store, |read| read.chunks_of_pack(PackId(pack)));
        rows.into_iter().map(|(drive, chunk, row)| (drive, chunk, row.place)).collect()
    };
    let rows = [(two, chunk(3), place(3, 72, 0)), (one, chunk(1), place(3, 72, 1)), (one, chunk(2), place(3, 972, 0))];
    assert_eq!(in_pack(3), rows);
    store.write(|write| write.move_record(record(3, 72), record(8, 100))).unwrap();
    assert_eq!(in_pack(3), rows[2..]);
    assert_eq!(in_pack(8), [(two, chunk(3), place(8, 100, 0)), (one, chunk(1), place(8, 100, 1))]);
    let page = |after: Option<u8>, limit| -> Vec<ChunkId> {
        let rows = read(store, |read| read.chunks_after(one, after.map(chunk), limit));
        rows.into_iter().map(|(chunk, _)| chunk).collect()
    };
    assert_eq!(page(None, 9), [1, 2].map(chunk));
    assert_eq!((page(None, 1), page(Some(1), 1), page(Some(2), 1)), (vec![chunk(1)], vec![chunk(2)], vec![]));
    store.write(|write| write.drop_chunk(one, chunk(1)).and_then(|()| write.spare_pack(PackId(9)))).unwrap();
    assert_eq!(in_pack(8), [(two, chunk(3), place(8, 100, 0))]);
    assert_eq!(read(store, |read| read.condemned_packs()), []);
}

/// Lists come in pages, and by how long they are kept.
pub fn lists_are_paged_and_kept_by_lease(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let list = |number: u8| ListId::from_bytes([number; 32]);
    let manifest = Manifest { chunks: vec![ChunkRef { id: chunk(1), length: 10 }; 2] };
    store
        .write(|write| {
            write.put_manifest(drive, list(2), &manifest, seconds(20))?;
            write.put_manifest(drive, list(1), &manifest, seconds(30))?;
            write.put_manifest(drive, list(1), &manifest, seconds(5))
        })
        .unwrap();
    let page = |after: Option<u8>, limit| read(store, |read| read.manifests_after(drive, after.map(list), limit));
    assert_eq!(
        page(None, 9).iter().map(|row| (row.list, row.lease)).collect::<Vec<_>>(),
        [(list(1), seconds(30)), (list(2), seconds(20))]
    );
    assert_eq!((page(None, 1)[0].list, page(Some(1), 1)[0].list), (list(1), list(2)));
    assert_eq!(page(None, 1)[0].manifest, manifest);
    assert_eq!(read(store, |read| read.lists_leased(drive, seconds(20))), [list(1)]);
    store.write(|write| write.drop_manifest(drive, list(1))).unwrap();
    assert_eq!(page(None, 9).len(), 1);
}

/// An entry loses what later ones supersede, then goes; whoever stands before it must not read on from there.
pub fn thinned_entries_lose_groups_and_raise_the_floor(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let made = directory(1, 1, NodeId::ROOT, "a");
    let place = |name: &str| Place { name: name.try_into().unwrap(), ..made.state.place.clone() };
    let entries = [made.clone(), moved(&made, 2, 2, place("b")), moved(&made, 3, 3, place("c"))];
    store.write(|write| entries.iter().try_for_each(|entry| write.append(drive, entry))).unwrap();
    let thinned = || read(store, |read| read.thinned(drive));
    assert_eq!(thinned(), Thinned { floor: Seq::START, done: Seq::START });
    let foreign = DeviceId::from_bytes([9; 8]);
    let changed_below =
        |seen| read(store, |read| Ok(read.view(drive)?.changed_below(node_id(1), Seq(seen), foreign).unwrap()));
    assert!(!changed_below(0));

    let only_place = FieldGroups { place: true, ..FieldGroups::default() };
    store
        .write(|write| {
            for entry in write.entries_of(drive, node_id(1), Seq(3))? {
                write.thin(drive, &entry, only_place)?;
            }
            write.put_thinned(drive, Seq(3))
        })
        .unwrap();
    assert_eq!(thinned(), Thinned { floor: Seq(3), done: Seq(3) });
    let left = FieldGroups { place: false, ..FieldGroups::ALL };
    let expected = [Entry { changed: left, ..entries[0].clone() }, entries[2].clone()];
    assert_eq!(read(store, |read| read.entries(drive, Seq::START, 10)), expected);
    assert!(changed_below(2), "what happened before the floor is not known");
    assert!(!changed_below(3));
    // Nothing superseded, nothing changed.
    store.write(|write| write.thin(drive, &entries[2], FieldGroups::default())).unwrap();
    assert_eq!(thinned().floor, Seq(3));
}

/// A trashed node goes with its entries, from the leaves up, and never with the journal's end.
pub fn purged_nodes_are_gone(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let top = directory(1, 5, NodeId::ROOT, "top");
    let below = directory(2, 1, node_id(5), "below");
    let own = moved(&below, 3, 3, Place { trashed: true, ..below.state.place.clone() });
    let trashed = moved(&top, 4, 4, Place { trashed: true, ..top.state.place.clone() });
    let all = [&top, &below, &own, &trashed];
    store.write(|write| all.iter().try_for_each(|entry| write.append(drive, entry))).unwrap();
    let page = |after, limit| -> Vec<NodeId> {
        let nodes = read(store, |read| read.trashed(drive, after, limit));
        nodes.into_iter().map(|state| state.node).collect()
    };
    assert_eq!(page(None, 9), [node_id(5), node_id(1)]);
    assert_eq!(page(Some((NodeId::ROOT, node_id(5))), 1), [node_id(1)]);
    assert_eq!(page(Some((node_id(5), node_id(1))), 1), []);
    assert_eq!(read(store, |read| read.any_children(drive, node_id(5), 9)), std::slice::from_ref(&own.state));

    let purge = |node| store.write(|write| write.purge(drive, node));
    assert!(purge(node_id(5)).is_err(), "something stands beneath it");
    purge(node_id(1)).unwrap();
    assert_eq!(read(store, |read| read.thinned(drive)).floor, Seq(4));
    assert!(purge(node_id(5)).is_err(), "the journal ends with it");
    store.write(|write| write.append(drive, &directory(5, 6, NodeId::ROOT, "other"))).unwrap();
    purge(node_id(5)).unwrap();
    assert_eq!(read(store, |read| read.nodes(drive, None, 9)).len(), 1);
    let left = read(store, |read| read.entries(drive, Seq::START, 10));
    assert_eq!((left.len(), left[0].commit), (1, commit_id(1, 5)));
    assert!(purge(NodeId::ROOT).is_err());
}

/// The oldest lines go, so many at a time.
pub fn connections_go_by_age(store: &impl MetaStore) {
    let line = |time| Connection {
        time: seconds(time),
        peer: "peer".to_owned(),
        account: None,
        device: None,
        request: "hello".to_owned(),
        outcome: "ok".to_owned(),
        bytes_in: 0,
        bytes_out: 0,
        duration_ms: 0,
    };
    store.write(|write| [3, 1, 2].iter().try_for_each(|time| write.put_connection(&line(*time)))).unwrap();
    let drop_before = |time, limit| store.write(|write| write.drop_connections_before(seconds(time), limit)).unwrap();
    assert_eq!((drop_before(3, 1), drop_before(3, 9), drop_before(3, 9)), (1, 1, 0));
    assert_eq!(read(store, |read| read.connections(9)), [line(3)]);
}
