//! Versions, the trash, what has changed since.

use skep_types::{Entry, Name, NodeId, Place, Seq};

use super::{directory, moved, node_id, read, some_drive};
use crate::MetaStore;

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

fn place(parent: NodeId, name: &str, trashed: bool) -> Place {
    Place { parent, name: Name::try_from(name).unwrap(), trashed }
}

/// The entry that makes the same directory at another position.
fn again(entry: &Entry, seq: u64) -> Entry {
    directory(seq, entry.state.node.as_bytes()[0], entry.state.place.parent, &entry.state.place.name.display())
}
