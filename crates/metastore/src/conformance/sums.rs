//! Sums: kept by every change, of what lives and nothing else.

use skep_types::{DriveId, NodeId, NodeState, Place, Sum};

use super::{directory, moved, node_id, read, some_drive};
use crate::MetaStore;

const LAST: NodeId = NodeId::from_bytes([0xff; NodeId::LEN]);

/// The sum that is kept, the marks and the ranges are what the nodes say.
pub(super) fn expect_counted(store: &impl MetaStore, drive: DriveId) {
    let nodes = read(store, |read| read.nodes(drive, None, 1000));
    let lives = |state: &NodeState| {
        let mut at = state;
        for _ in 0..=nodes.len() {
            if at.place.trashed {
                return false;
            }
            if at.place.parent == NodeId::ROOT {
                return true;
            }
            at = nodes.iter().find(|above| above.node == at.place.parent).unwrap();
        }
        false
    };
    let (live, dead): (Vec<&NodeState>, Vec<&NodeState>) = nodes.iter().partition(|state| lives(state));
    let sums: Vec<Sum> = live.iter().map(|state| Sum::of(state)).collect();
    assert_eq!(read(store, |read| read.sum(drive)), Some(sums.iter().sum()));
    let listed = read(store, |read| read.live_nodes(drive, NodeId::ROOT, LAST, 1000));
    assert!(listed.iter().eq(live));
    let uncounted: Vec<NodeId> =
        dead.into_iter().filter(|state| !state.place.trashed).map(|state| state.node).collect();
    assert_eq!(read(store, |read| read.uncounted(drive, None, 1000)), uncounted);
}

/// What goes to the trash with its directory goes from the sum, comes back with it, and may be purged.
pub fn a_sum_follows_the_trash(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    assert_eq!(read(store, |read| read.sum(drive)), Some(Sum::default()));
    let made = [
        directory(1, 1, NodeId::ROOT, "a"),
        directory(2, 2, node_id(1), "b"),
        directory(3, 3, node_id(2), "c"),
        directory(4, 4, NodeId::ROOT, "d"),
    ];
    store.write(|write| made.iter().try_for_each(|entry| write.append(drive, entry))).unwrap();
    expect_counted(store, drive);
    let whole = read(store, |read| read.sum(drive));
    let trashed = moved(&made[0], 5, 5, Place { trashed: true, ..made[0].state.place.clone() });
    store.write(|write| write.append(drive, &trashed)).unwrap();
    expect_counted(store, drive);
    assert_eq!(read(store, |read| read.sum(drive)).unwrap().nodes(), 1);
    let back = moved(&made[0], 6, 6, made[0].state.place.clone());
    store.write(|write| write.append(drive, &back)).unwrap();
    assert_eq!(read(store, |read| read.sum(drive)), whole);
    expect_counted(store, drive);
    // A directory and its parent change places, by way of a cycle.
    let (under, top) = (Place { parent: node_id(2), ..back.state.place.clone() }, made[1].state.place.clone());
    let below = moved(&made[0], 7, 7, under);
    let above = moved(&made[1], 8, 7, Place { parent: NodeId::ROOT, ..top });
    store.write(|write| [&below, &above].into_iter().try_for_each(|entry| write.append(drive, entry))).unwrap();
    expect_counted(store, drive);
    let trashed = moved(&above, 9, 9, Place { trashed: true, ..above.state.place.clone() });
    let touched = moved(&made[3], 10, 10, made[3].state.place.clone());
    store.write(|write| [&trashed, &touched].into_iter().try_for_each(|entry| write.append(drive, entry))).unwrap();
    expect_counted(store, drive);
    let before = read(store, |read| read.sum(drive));
    store.write(|write| [1, 3, 2].into_iter().try_for_each(|node| write.purge(drive, node_id(node)))).unwrap();
    assert_eq!(read(store, |read| read.sum(drive)), before);
    expect_counted(store, drive);
    assert_eq!(store.write(|write| write.recount(drive)).ok(), before);
    let page = |from: u8, to: u8, limit| read(store, |read| read.live_nodes(drive, node_id(from), node_id(to), limit));
    assert_eq!(page(4, 4, 10).len(), 1);
    assert_eq!(page(5, 9, 10), []);
}
