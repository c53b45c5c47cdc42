//! Versions, the trash, what has changed since; what all of it counts against a quota.

use skep_blobstore::{PackId, RecordPlace};
use skep_types::{ChunkId, Entry, Name, NodeId, Place, Seq};

use super::{account_id, directory, moved, node_id, read, seconds, some_drive};
use crate::{Account, ChunkPlace, MetaStore, Quota};

/// Newest first, of one node and one drive only, a page at a time.
pub fn versions_come_newest_first(store: &impl MetaStore) {
    let (one, two) = (some_drive(store, 1), some_drive(store, 2));
    let first = directory(1, 1, NodeId::ROOT, "a");
    let renamed = |seq: u64, name: &str| moved(&first, seq, seq, place(NodeId::ROOT, name, false));
    let entries = [first.clone(), directory(2, 2, NodeId::ROOT, "x"), renamed(3, "b"), renamed(4, "c")];
    store
        .write(|write| {
            entries.iter().try_for_each(|entry| write.append(one, entry))?;
            write.append(two, &first)
        })
        .unwrap();
    let versions = |before: u64, limit: usize| -> Vec<u64> {
        let found = read(store, |read| read.versions(one, node_id(1), Seq(before), limit));
        found.iter().map(|entry| entry.seq.0).collect()
    };
    assert_eq!(versions(u64::MAX, 10), [4, 3, 1]);
    assert_eq!(versions(u64::MAX, 2), [4, 3]);
    assert_eq!(versions(3, 10), [1]);
    assert_eq!(read(store, |read| read.versions(two, node_id(2), Seq(9), 10)), []);
    let before = |seq: u64, limit: usize| -> Vec<u64> {
        read(store, |read| read.entries_before(one, Seq(seq), limit)).iter().map(|entry| entry.seq.0).collect()
    };
    assert_eq!((before(u64::MAX, 2), before(3, 9), before(1, 9)), (vec![4, 3], vec![2, 1], vec![]));
    let since = |seq: u64, after: Option<u8>, limit: usize| {
        read(store, |read| read.changed_since(one, Seq(seq), after.map(node_id), limit))
    };
    assert_eq!(since(0, None, 9), [node_id(1), node_id(2)]);
    assert_eq!(since(0, None, 1), [node_id(1)]);
    assert_eq!(since(0, Some(1), 9), [node_id(2)]);
    assert_eq!(since(2, None, 9), [node_id(1)]);
    assert_eq!(since(4, None, 9), []);
}

/// Only what was trashed itself, the last first, by its name and of the whole drive.
pub fn the_trash_comes_the_last_deleted_first(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let made: Vec<Entry> = (1..=3).map(|number| directory(number, number as u8, NodeId::ROOT, "a")).collect();
    let below = directory(7, 4, node_id(3), "b");
    store
        .write(|write| {
            // Each was deleted before the next one took its name; the second one first and then again.
            for (seq, entry) in [1, 3, 5].into_iter().zip(&made) {
                write.append(drive, &again(entry, seq))?;
                write.append(drive, &moved(entry, seq + 1, seq + 1, place(NodeId::ROOT, "a", true)))?;
            }
            write.append(drive, &below)
        })
        .unwrap();
    let name = Name::try_from("a").unwrap();
    let nodes = |limit: usize| -> Vec<NodeId> {
        let found = read(store, |read| read.trashed_children(drive, NodeId::ROOT, &name, limit));
        found.iter().map(|state| state.node).collect()
    };
    assert_eq!(nodes(9), [3, 2, 1].map(node_id));
    assert_eq!(nodes(1), [node_id(3)]);
    let other = Name::try_from("b").unwrap();
    assert_eq!(read(store, |read| read.trashed_children(drive, node_id(3), &other, 9)), []);
    let all = |before: u64, limit: usize| -> Vec<NodeId> {
        let found = read(store, |read| read.trashed_before(drive, Seq(before), limit));
        found.iter().map(|state| state.node).collect()
    };
    assert_eq!((all(u64::MAX, 9), all(6, 9), all(u64::MAX, 2)), (nodes(9), [2, 1].map(node_id).to_vec(), nodes(2)));
}

/// What an account's drives hold is counted chunk by chunk: once each, whatever happens to it, until it goes.
pub fn what_is_kept_counts_against_the_quota(store: &impl MetaStore) {
    let account = account_id(1);
    let person = Account { id: account, name: "ada".into(), password_hash: None, created: seconds(1), disabled: false };
    store.write(|write| write.put_account(&person)).unwrap();
    let (one, two) = (some_drive(store, 1), some_drive(store, 2));
    let chunk = |number: u8| ChunkId::from_bytes([number; 32]);
    let place = |offset: u64, length: u32| ChunkPlace {
        record: RecordPlace { pack: PackId(1), offset, length: 900 },
        index: 0,
        length,
    };
    let quota = || read(store, |read| read.quota(account));
    assert_eq!(quota(), Quota::default());
    store
        .write(|write| {
            write.put_chunk(one, chunk(1), &place(72, 10), seconds(10))?;
            write.put_chunk(one, chunk(1), &place(972, 10), seconds(11))?;
            write.put_chunk(one, chunk(2), &place(972, 5), seconds(10))?;
            write.put_chunk(two, chunk(1), &place(72, 10), seconds(10))?;
            write.put_quota(account, Some(30))
        })
        .unwrap();
    assert_eq!(quota(), Quota { limit_bytes: Some(30), used_bytes: 25 });
    store
        .write(|write| {
            write.mark_damaged(place(72, 10).record)?;
            write.put_chunk(one, chunk(1), &place(1972, 10), seconds(10))?;
            write.drop_chunk(one, chunk(2))?;
            write.drop_chunk(one, chunk(2))?;
            // An account that is changed keeps its quota.
            write.put_account(&Account { disabled: true, ..person.clone() })
        })
        .unwrap();
    assert_eq!(quota(), Quota { limit_bytes: Some(30), used_bytes: 20 });
    store.write(|write| write.put_quota(account, None)).unwrap();
    assert_eq!(quota().limit_bytes, None);
    assert_eq!(read(store, |read| read.quota(account_id(9))), Quota::default());
}

fn place(parent: NodeId, name: &str, trashed: bool) -> Place {
    Place { parent, name: Name::try_from(name).unwrap(), trashed }
}

/// The entry that makes the same directory at another position.
fn again(entry: &Entry, seq: u64) -> Entry {
    directory(seq, entry.state.node.as_bytes()[0], entry.state.place.parent, &entry.state.place.name.display())
}
