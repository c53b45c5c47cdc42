//! Trees, journals and content of drives.

use skep_blobstore::{PackId, RecordPlace};
use skep_content::{ChunkRef, Manifest};
use skep_drive::memory::MemoryDrive;
use skep_drive::{View, decide};
use skep_types::{
    ChunkId, Content, ContentId, DeviceId, DriveId, Entry, FileContent, Group, Limits, ListId, Mode, Name, NodeId,
    Operation, Place, Seq,
};

use super::sums::expect_counted;
use super::{commit, commit_id, directory, moved, node_id, read, seconds, some_drive};
use crate::{ChunkPlace, MetaStore, StoreError};

/// Entries are taken one after the other, per drive, and read back as they were.
pub fn journal_has_no_gap(store: &impl MetaStore) {
    let (one, two) = (some_drive(store, 1), some_drive(store, 2));
    let first = directory(1, 1, NodeId::ROOT, "a");
    for wrong in [directory(2, 1, NodeId::ROOT, "a"), directory(0, 1, NodeId::ROOT, "a")] {
        assert!(store.write(|write| write.append(one, &wrong)).is_err());
    }
    store.write(|write| write.append(one, &first)).unwrap();
    assert!(store.write(|write| write.append(one, &first)).is_err(), "the same position twice");
    store.write(|write| write.append(two, &first)).unwrap();
    let nowhere = DriveId::from_bytes([9; 16]);
    assert!(store.write(|write| write.append(nowhere, &first)).is_err());
    assert_eq!(read(store, |read| read.entry(one, Seq(1))), Some(first.clone()));
    assert_eq!(read(store, |read| read.entry(one, Seq(2))), None);
    assert_eq!(read(store, |read| read.entry(nowhere, Seq(1))), None);
    assert_eq!(read(store, |read| read.drive(one)).unwrap().head, Seq(1));
    let root = directory(2, 0, NodeId::ROOT, "root");
    assert!(store.write(|write| write.append(one, &root)).is_err(), "the root changed");
}

/// A page ends where a commit ends, however long that is.
pub fn pages_end_at_the_end_of_a_commit(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let in_commit = |seq: u64, number: u64| {
        let entry = directory(seq, seq as u8, NodeId::ROOT, &format!("n{seq}"));
        Entry { commit: commit_id(1, number), ..entry }
    };
    let entries = [in_commit(1, 1), in_commit(2, 2), in_commit(3, 2), in_commit(4, 2), in_commit(5, 3)];
    store.write(|write| entries.iter().try_for_each(|entry| write.append(drive, entry))).unwrap();
    let page = |after: u64, limit: usize| read(store, |read| read.entries(drive, Seq(after), limit));
    assert_eq!(page(0, 1), entries[..1]);
    assert_eq!(page(0, 2), entries[..4]);
    assert_eq!(page(1, 1), entries[1..4]);
    assert_eq!(page(0, 5), entries);
    assert_eq!(page(4, 100), entries[4..]);
    assert_eq!(page(5, 100), []);
}

/// Nodes come by id, trashed ones too; children by name, live ones only.
pub fn nodes_are_paged_and_children_sorted(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let made = [
        directory(1, 3, NodeId::ROOT, "b"),
        directory(2, 1, NodeId::ROOT, "a"),
        directory(3, 2, node_id(3), "a"),
        directory(4, 4, NodeId::ROOT, "B"),
    ];
    let trashed = moved(&made[1], 5, 9, Place { trashed: true, ..made[1].state.place.clone() });
    store.write(|write| made.iter().chain([&trashed]).try_for_each(|entry| write.append(drive, entry))).unwrap();
    let page = |after: Option<NodeId>, limit: usize| read(store, |read| read.nodes(drive, after, limit));
    let nodes = [&trashed, &made[2], &made[0], &made[3]].map(|entry| entry.state.clone());
    assert_eq!(page(None, 10), nodes);
    assert_eq!(page(None, 2), nodes[..2]);
    assert_eq!(page(Some(node_id(2)), 2), nodes[2..]);
    assert_eq!(page(Some(node_id(4)), 2), []);
    let children = |parent: NodeId| read(store, |read| read.children(drive, parent));
    assert_eq!(children(NodeId::ROOT), [made[3].state.clone(), made[0].state.clone()]);
    assert_eq!(children(node_id(3)), [made[2].state.clone()]);
    assert_eq!(children(node_id(1)), []);
}

/// Within a transaction two nodes may have one name, as long as each has one of its own in the end.
pub fn names_may_swap_within_a_transaction(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let (a, b) = (directory(1, 1, NodeId::ROOT, "a"), directory(2, 2, NodeId::ROOT, "b"));
    let (b_place, a_place) = (b.state.place.clone(), a.state.place.clone());
    let (a_as_b, b_as_a) = (moved(&a, 3, 3, b_place.clone()), moved(&b, 4, 3, a_place.clone()));
    // The second passes over the name of the first, which must have it again afterwards.
    let (passes, stays) = (moved(&a, 5, 4, a_place), moved(&a, 6, 4, b_place));
    let all = [&a, &b, &a_as_b, &b_as_a, &passes, &stays];
    store.write(|write| all.iter().try_for_each(|entry| write.append(drive, entry))).unwrap();
    assert_eq!(read(store, |read| read.children(drive, NodeId::ROOT)), [b_as_a.state.clone(), stays.state.clone()]);
    let child = |name: &str| {
        let name = Name::try_from(name).unwrap();
        read(store, |read| Ok(read.view(drive)?.child(NodeId::ROOT, &name).unwrap()))
    };
    assert_eq!((child("a"), child("b")), (Some(b_as_a.state), Some(stays.state)));
}

/// A transaction that would end with two live nodes of one name fails.
pub fn a_name_taken_twice_undoes_all(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let (a, b) = (directory(1, 1, NodeId::ROOT, "a"), directory(2, 2, NodeId::ROOT, "a"));
    let done = store.write(|write| write.append(drive, &a).and_then(|()| write.append(drive, &b)));
    assert!(done.is_err());
    assert_eq!(read(store, |read| read.nodes(drive, None, 10)), []);
}

/// A drive holds what it was given, and no other drive does.
pub fn chunks_and_manifests_are_per_drive(store: &impl MetaStore) {
    let (one, two) = (some_drive(store, 1), some_drive(store, 2));
    let chunk = |number: u8| ChunkId::from_bytes([number; 32]);
    let place = |offset: u64| ChunkPlace {
        record: RecordPlace { pack: PackId(7), offset, length: 900 },
        index: 255,
        length: 1 << 20,
    };
    let list = ListId::from_bytes([5; 32]);
    let refs = [1, 2].map(|number| ChunkRef { id: chunk(number), length: 10 });
    let manifest = Manifest { chunks: refs.to_vec() };
    store
        .write(|write| {
            write.put_chunk(one, chunk(1), &place(1 << 40), seconds(10))?;
            write.put_chunk(one, chunk(1), &place(2), seconds(20))?;
            write.renew_chunk(one, chunk(1), seconds(5))?;
            write.renew_chunk(one, chunk(2), seconds(5))?;
            write.put_manifest(one, list, &manifest, seconds(30))?;
            write.put_manifest(one, list, &manifest, seconds(20))
        })
        .unwrap();
    let places = |drive: DriveId| read(store, |read| read.chunks(drive, &[chunk(2), chunk(1)]));
    assert_eq!(places(one), [None, Some(place(1 << 40))]);
    assert_eq!(places(two), [None, None]);
    assert_eq!(read(store, |read| read.manifest(one, list)), Some(manifest));
    assert_eq!(read(store, |read| read.manifest(two, list)), None);
    let holds = |drive: DriveId, id: ContentId| read(store, |read| Ok(read.view(drive)?.holds(&id).unwrap()));
    assert!(holds(one, ContentId::Chunk(chunk(1))) && holds(one, ContentId::List(list)));
    assert!(holds(two, ContentId::Empty));
    assert!(!holds(one, ContentId::Chunk(chunk(2))));
    assert!(!holds(two, ContentId::Chunk(chunk(1))) && !holds(two, ContentId::List(list)));
}

/// Numbers that look random and are the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u8) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(bound)) as u8
    }
}

fn operation(draw: &mut Draw, seen: &MemoryDrive) -> Operation {
    let node = node_id(1 + draw.below(24));
    let parent = if draw.below(2) == 0 { NodeId::ROOT } else { node_id(1 + draw.below(24)) };
    let name = Name::new(vec![b'a' + draw.below(12)]).unwrap();
    let content = match node.as_bytes()[0] % 3 {
        0 => Content::File(FileContent { id: ContentId::Empty, size: 0, mtime: seconds(i64::from(draw.below(9))) }),
        _ => Content::Directory,
    };
    let known = seen.node(node).unwrap().unwrap_or_else(skep_drive::root);
    match draw.below(9) {
        0..=1 => Operation::Create { node, parent, name, content, mode: Mode::default() },
        2..=4 => Operation::Move { node, base: known.place_version, parent, name },
        5..=6 => Operation::Edit { node, base: known.content_version, content },
        7 => Operation::SetMode { node, base: known.mode_version, mode: Mode { executable: draw.below(2) == 0 } },
        _ => Operation::Trash { node, base: known.place_version, seen: seen.head().unwrap() },
    }
}

/// Commits by three devices come to the same on the store as on [`MemoryDrive`].
pub fn agrees_with_the_plain_meaning(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let mut draw = Draw(1);
    let mut plain = MemoryDrive::new();
    let mut seen = [MemoryDrive::new(), MemoryDrive::new(), MemoryDrive::new()];
    for number in 0..600 {
        let device = draw.below(3);
        if draw.below(3) > 0 {
            seen[usize::from(device)] = plain.clone();
        }
        let mut groups = Vec::new();
        for _ in 0..=draw.below(4) {
            let operations = 0..=draw.below(6) / 4;
            groups.push(Group(operations.map(|_| operation(&mut draw, &seen[usize::from(device)])).collect()));
        }
        let commit = commit(device, number, drive, groups);
        let wanted = plain.commit(&commit, seconds(7), &Limits::SHIPPED);
        let device = DeviceId::from_bytes([device; 8]);
        let got = store.write(|write| {
            let decision = decide(&commit, device, seconds(7), &*write.view(drive)?, &Limits::SHIPPED)
                .map_err(|failed| StoreError::Failed(failed.to_string()))?;
            decision.entries.iter().try_for_each(|entry| write.append(drive, entry))?;
            Ok(decision)
        });
        assert_eq!(got.unwrap(), wanted, "commit {number}");
        compare(store, drive, &plain, device, Seq(plain.journal().len() as u64 / 2));
    }
    assert!(plain.journal().len() > 200, "too little happened: {}", plain.journal().len());
    assert_eq!(read(store, |read| read.entries(drive, Seq::START, usize::MAX >> 1)), plain.journal());
}

fn compare(store: &impl MetaStore, drive: DriveId, plain: &MemoryDrive, device: DeviceId, seen: Seq) {
    let nodes = read(store, |read| read.nodes(drive, None, 100));
    assert!(nodes.iter().eq(plain.nodes().values()));
    let below = |view: &dyn View| -> Vec<bool> {
        let ids = plain.nodes().keys().chain([&NodeId::ROOT]);
        let questions = ids.flat_map(|node| [(node, seen), (node, Seq::START)]);
        questions.map(|(node, seen)| view.changed_below(*node, seen, device).unwrap()).collect()
    };
    assert_eq!(read(store, |read| Ok(below(&*read.view(drive)?))), below(plain));
    let children = read(store, |read| read.children(drive, NodeId::ROOT));
    assert!(children.iter().eq(plain.children(NodeId::ROOT)));
    expect_counted(store, drive);
}
