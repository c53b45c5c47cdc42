//! What every [`MetaStore`] must do, as a suite to run on each implementation.
//!
//! Each function wants an empty store and panics where the store does wrong; [`run`] calls them all.
#![expect(clippy::unwrap_used, reason = "a suite of tests")]

mod codes;
mod drives;
mod past;
mod people;
mod sums;
mod upkeep;

use std::panic::{AssertUnwindSafe, catch_unwind};

use skep_types::{
    AccountId, Commit, CommitId, Content, DeviceId, DriveId, Entry, FieldGroups, Generation, Mode, Name, NodeId,
    NodeState, Place, Seq, Timestamp, Version,
};

pub use codes::{join_codes, knocks, what_is_removed_leaves_no_row};
pub use drives::{
    a_name_taken_twice_undoes_all, agrees_with_the_plain_meaning, chunks_and_manifests_are_per_drive,
    journal_has_no_gap, names_may_swap_within_a_transaction, nodes_are_paged_and_children_sorted,
    pages_end_at_the_end_of_a_commit,
};
pub use past::{
    the_trash_comes_the_last_deleted_first, versions_come_newest_first, what_is_kept_counts_against_the_quota,
};
pub use people::{accounts, classic_ids, connections, devices, drives, settings};
pub use sums::a_sum_follows_the_trash;
pub use upkeep::{
    a_damaged_chunk_counts_as_lacking_until_it_is_sent_again, chunks_are_found_by_their_place, connections_go_by_age,
    lists_are_paged_and_kept_by_lease, purged_nodes_are_gone, thinned_entries_lose_groups_and_raise_the_floor,
};

use crate::{Drive, MetaStore, Read, StoreError};

/// Runs the whole suite, each function on a store of its own.
pub fn run<S: MetaStore>(make: impl Fn() -> S) {
    settings(&make());
    accounts(&make());
    classic_ids(&make());
    devices(&make());
    drives(&make());
    connections(&make());
    join_codes(&make());
    knocks(&make());
    what_is_removed_leaves_no_row(&make());
    journal_has_no_gap(&make());
    pages_end_at_the_end_of_a_commit(&make());
    nodes_are_paged_and_children_sorted(&make());
    names_may_swap_within_a_transaction(&make());
    a_name_taken_twice_undoes_all(&make());
    chunks_and_manifests_are_per_drive(&make());
    agrees_with_the_plain_meaning(&make());
    a_sum_follows_the_trash(&make());
    a_damaged_chunk_counts_as_lacking_until_it_is_sent_again(&make());
    chunks_are_found_by_their_place(&make());
    lists_are_paged_and_kept_by_lease(&make());
    thinned_entries_lose_groups_and_raise_the_floor(&make());
    purged_nodes_are_gone(&make());
    connections_go_by_age(&make());
    versions_come_newest_first(&make());
    the_trash_comes_the_last_deleted_first(&make());
    what_is_kept_counts_against_the_quota(&make());
    an_error_undoes_all(&make());
    a_panic_undoes_all(&make());
}

/// A transaction that ends in an error leaves nothing behind.
pub fn an_error_undoes_all(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let failed = store.write::<()>(|write| {
        write.put_setting("key", b"value")?;
        write.append(drive, &directory(1, 1, NodeId::ROOT, "a"))?;
        Err(StoreError::Failed("on purpose".to_owned()))
    });
    assert!(matches!(failed, Err(StoreError::Failed(why)) if why == "on purpose"));
    expect_untouched(store, drive);
}

/// A panic within a transaction leaves nothing behind, and the store goes on.
pub fn a_panic_undoes_all(store: &impl MetaStore) {
    let drive = some_drive(store, 1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.write::<()>(|write| {
            write.put_setting("key", b"value")?;
            write.append(drive, &directory(1, 1, NodeId::ROOT, "a"))?;
            std::panic::resume_unwind(Box::new("on purpose"))
        })
    }));
    assert!(panicked.is_err());
    let panicked =
        catch_unwind(AssertUnwindSafe(|| store.read::<()>(|_| std::panic::resume_unwind(Box::new("on purpose")))));
    assert!(panicked.is_err());
    expect_untouched(store, drive);
}

fn expect_untouched(store: &impl MetaStore, drive: DriveId) {
    assert_eq!(read(store, |read| read.setting("key")), None);
    assert_eq!(read(store, |read| read.drive(drive)).unwrap().head, Seq::START);
    assert_eq!(read(store, |read| read.nodes(drive, None, 10)), []);
    store.write(|write| write.append(drive, &directory(1, 1, NodeId::ROOT, "a"))).unwrap();
    assert_eq!(read(store, |read| read.children(drive, NodeId::ROOT)).len(), 1);
}

/// A reading that must succeed.
fn read<T>(store: &impl MetaStore, work: impl FnOnce(&dyn Read) -> Result<T, StoreError>) -> T {
    store.read(work).unwrap()
}

fn account_id(number: u8) -> AccountId {
    AccountId::from_bytes([number; 16])
}

fn node_id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanoseconds: 123_456_789 }
}

/// The commit `number` of a device.
fn commit_id(device: u8, number: u64) -> CommitId {
    CommitId::new(DeviceId::from_bytes([device; 8]), number.to_be_bytes())
}

/// A new drive.
fn some_drive(store: &impl MetaStore, number: u8) -> DriveId {
    let id = DriveId::from_bytes([number; 16]);
    let drive = Drive {
        id,
        owner: account_id(1),
        name: format!("drive {number}"),
        generation: Generation::from_bytes([number; 16]),
        head: Seq::START,
    };
    store.write(|write| write.put_drive(&drive)).unwrap();
    id
}

/// The entry at `seq` that makes the directory `node`, in a commit of its own.
fn directory(seq: u64, node: u8, parent: NodeId, name: &str) -> Entry {
    let commit = commit_id(1, seq);
    let version = Version { seq: Seq(seq), commit };
    let state = NodeState {
        node: node_id(node),
        place: Place { parent, name: Name::try_from(name).unwrap(), trashed: false },
        content: Content::Directory,
        mode: Mode::default(),
        place_version: version,
        content_version: version,
        mode_version: version,
    };
    Entry { seq: Seq(seq), commit, time: seconds(5), changed: FieldGroups::ALL, state }
}

/// What `entry` made, moved by the entry at `seq` of the commit `commit`.
fn moved(entry: &Entry, seq: u64, commit: u64, place: Place) -> Entry {
    let commit = commit_id(1, commit);
    let place_version = Version { seq: Seq(seq), commit };
    let state = NodeState { place, place_version, ..entry.state.clone() };
    let changed = FieldGroups { place: true, ..FieldGroups::default() };
    Entry { seq: Seq(seq), commit, time: seconds(6), changed, state }
}

/// A commit to a drive.
fn commit(device: u8, number: u64, drive: DriveId, groups: Vec<skep_types::Group>) -> Commit {
    Commit { id: commit_id(device, number), drive, groups, evidence: skep_types::Evidence::Events }
}
