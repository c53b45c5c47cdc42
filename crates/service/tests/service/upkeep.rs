//! Retention and garbage collection: what goes, what stays, and that a kill between any two steps changes nothing of that.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skep_blobstore::{BlobError, BlobStore, PackId, PackStore, RecordPlace};
use skep_content::{Block, ChunkRef, Manifest, chunk_id};
use skep_drive::Retention;
use skep_metastore::{MetaStore, Read, StoreError, Write};
use skep_protocol::{Code, Frame, FrameKind, ManifestFrame, Request};
use skep_service::check::check;
use skep_service::upkeep::{CollectError, Collected, Mode, collect, scrub};
use skep_types::{
    ChunkId, Content, ContentId, Cursor, Entry, FieldGroups, FileContent, Limits, NodeId, NodeState, Operation, Place,
    Seq, Timestamp, Version,
};

use crate::rig::{Blobs, Caller, Rig, Store, block, create, noise};

/// Every file in a pack of its own.
const ONE_A_PACK: Limits = Limits { pack_bytes_target: 100, ..Limits::SHIPPED };
const DAY: Duration = Duration::from_secs(86_400);

fn state(rig: &Rig, caller: &Caller, node: NodeId) -> NodeState {
    rig.read(|read| Ok(read.view(caller.drive)?.node(node).unwrap())).unwrap()
}

async fn edit(rig: &Rig, caller: &Caller, node: NodeId, bytes: &[u8]) {
    let id = ContentId::Chunk(chunk_id(bytes));
    let content = Content::File(FileContent { id, size: bytes.len() as u64, mtime: Timestamp::default() });
    let base = state(rig, caller, node).content_version;
    let commit = caller.commit_of(vec![Operation::Edit { node, base, content }]);
    caller.send(&commit, vec![block(&[bytes], &caller.limits)]).await.committed();
}

async fn trash(rig: &Rig, caller: &Caller, node: NodeId) {
    let now = state(rig, caller, node);
    let operation = Operation::Trash { node, base: now.place_version, seen: caller.head().await.seq };
    caller.send(&caller.commit_of(vec![operation]), vec![]).await.committed();
}

async fn upload(caller: &Caller, bytes: &[u8]) -> ChunkId {
    caller.call(&Request::Upload { drive: caller.drive }, vec![block(&[bytes], &caller.limits)]).await.reply();
    chunk_id(bytes)
}

/// A file of two chunks, by a list.
async fn save_list(caller: &Caller, name: &str, seed: u64) -> [ChunkId; 2] {
    let parts = [noise(seed, 3000), noise(seed + 1, 3000)];
    let refs = parts.iter().map(|bytes| ChunkRef { id: chunk_id(bytes), length: bytes.len() as u32 });
    let manifest = Manifest { chunks: refs.collect() };
    let list = manifest.list_id();
    let content = FileContent { id: ContentId::List(list), size: manifest.length(), mtime: Timestamp::default() };
    let Operation::Create { node, parent, name, mode, .. } = create(name, b"") else { panic!("a creation") };
    let commit =
        caller.commit_of(vec![Operation::Create { node, parent, name, content: Content::File(content), mode }]);
    let frame = Frame::cbor(FrameKind::Manifest, &ManifestFrame { list, bytes: manifest.to_bytes() });
    caller.send(&commit, vec![block(&[&parts[0], &parts[1]], &caller.limits), frame]).await.committed();
    manifest.chunks.iter().map(|chunk| chunk.id).collect::<Vec<_>>().try_into().unwrap()
}

/// A drive with a past: what is in use, what only the past names, what nobody names.
struct Past {
    rig: Rig,
    ada: Caller,
    /// These must stay.
    used: Vec<ChunkId>,
    /// This must stay as long as its lease.
    leased: ChunkId,
    /// These must go.
    garbage: Vec<ChunkId>,
    edited: NodeId,
    trashed: NodeId,
    /// Before everything.
    start: Cursor,
}

async fn past() -> Past {
    let rig = Rig::with(ONE_A_PACK).await;
    let ada = rig.device(rig.account(1), 1);
    let (kept, edited) = (noise(1, 5000), ada.save("edited", &noise(10, 5000)).await);
    let start = ada.head().await;
    ada.save("kept", &kept).await;
    edit(&rig, &ada, edited, &noise(11, 5000)).await;
    edit(&rig, &ada, edited, &noise(12, 5000)).await;
    let [first, second] = save_list(&ada, "list", 20).await;
    let folder = Operation::Create {
        node: NodeId::from_bytes([77; 16]),
        parent: NodeId::ROOT,
        name: "folder".try_into().unwrap(),
        content: Content::Directory,
        mode: skep_types::Mode::default(),
    };
    let trashed = folder.node();
    let Operation::Create { node, name, content, mode, .. } = create("inside", &noise(30, 5000)) else {
        panic!("a creation")
    };
    let inside = Operation::Create { node, parent: trashed, name, content, mode };
    let commit = ada.commit_of(vec![folder, inside]);
    ada.send(&commit, vec![block(&[&noise(30, 5000)], &ada.limits)]).await.committed();
    trash(&rig, &ada, trashed).await;
    let unused = upload(&ada, &noise(40, 5000)).await;
    tokio::time::advance(DAY * 200).await;
    edit(&rig, &ada, edited, &noise(13, 5000)).await;
    let leased = upload(&ada, &noise(41, 5000)).await;
    let used = [chunk_id(&kept), first, second].into_iter();
    let used = used.chain([12, 13].map(|seed| chunk_id(&noise(seed, 5000)))).collect();
    let garbage = [10, 11, 30].map(|seed| chunk_id(&noise(seed, 5000))).into_iter().chain([unused]).collect();
    Past { rig, ada, used, leased, garbage, edited, trashed, start }
}

impl Past {
    fn now(&self, days: u64) -> Timestamp {
        Timestamp { seconds: 1_800_000_000, nanoseconds: 0 }.plus_milliseconds((200 + days) * 86_400_000 + 1000)
    }

    fn collect(&self, days: u64) -> Collected {
        collect(&*self.rig.meta, &*self.rig.blobs, self.now(days), Retention::SHIPPED, Mode::Collect).unwrap()
    }

    fn held(&self) -> BTreeSet<ChunkId> {
        let all: Vec<ChunkId> = self.used.iter().chain(&self.garbage).chain([&self.leased]).copied().collect();
        let rows = self.rig.read(|read| read.chunks(self.ada.drive, &all));
        all.into_iter().zip(rows).filter_map(|(chunk, row)| row.map(|_| chunk)).collect()
    }

    fn expect_clean(&self, when: &str) {
        let report = check(&*self.rig.meta, &*self.rig.blobs, &self.rig.limits).unwrap();
        assert!(report.is_fine(), "{when}: {report:?}");
        let used: BTreeSet<ChunkId> = self.used.iter().copied().collect();
        assert!(self.held().is_superset(&used), "{when}: something in use went");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_past_its_time_goes_and_all_else_stays() {
    let past = past().await;
    let packs_before = past.rig.blobs.finished_packs().unwrap().len();
    let first = past.collect(0);
    past.expect_clean("after the first round");
    assert_eq!(past.held(), past.used.iter().chain([&past.leased]).copied().collect());
    assert_eq!((first.entries, first.nodes, first.chunks, first.packs_freed), (3, 2, 4, 0), "{first:?}");
    assert!(past.rig.read(|read| Ok(read.view(past.ada.drive)?.node(past.trashed).unwrap())).is_none());
    assert_eq!(state(&past.rig, &past.ada, past.edited).content.file().unwrap().size, 5000);
    assert_eq!(past.rig.blobs.finished_packs().unwrap().len(), packs_before, "no byte is freed before its time");

    // What is thinned is not read on from, and what is left is.
    let refused = past.ada.call(&Request::Entries { drive: past.ada.drive, after: past.start }, vec![]).await;
    assert_eq!(refused.code(), Code::History);
    assert!(past.ada.feed(past.start, false).await.is_err());
    let head = past.ada.head().await;
    assert_eq!(past.ada.entries(head).await.entries, []);

    assert_eq!(past.collect(0).packs_freed, 0);
    let later = past.collect(2);
    past.expect_clean("after the packs were freed");
    // The lease of the upload is over by then.
    assert_eq!((later.packs_freed, later.chunks), (4, 1), "{later:?}");
    assert_eq!(past.rig.blobs.finished_packs().unwrap().len(), packs_before - 4);
    assert!(past.collect(2).packs_freed == 0);
}

#[tokio::test(start_paused = true)]
async fn an_upload_without_a_commit_goes_when_its_lease_ends_and_not_before() {
    let rig = Rig::with(ONE_A_PACK).await;
    let ada = rig.device(rig.account(1), 1);
    let chunk = upload(&ada, b"never committed").await;
    for hours in [1, 22] {
        tokio::time::advance(Duration::from_secs(hours * 3600)).await;
        rig.server.collect_garbage(Retention::SHIPPED).await.unwrap();
        assert!(rig.read(|read| read.chunks(ada.drive, &[chunk]))[0].is_some());
    }
    // Asked for once more, it stays for another day.
    assert_eq!(ada.lacks(&[chunk]).await, []);
    tokio::time::advance(DAY - Duration::from_secs(60)).await;
    rig.server.collect_garbage(Retention::SHIPPED).await.unwrap();
    assert!(rig.read(|read| read.chunks(ada.drive, &[chunk]))[0].is_some());
    tokio::time::advance(Duration::from_secs(3600)).await;
    rig.server.collect_garbage(Retention::SHIPPED).await.unwrap();
    assert_eq!(ada.lacks(&[chunk]).await, [chunk]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_purged_while_a_device_takes_a_snapshot() {
    let past = past().await;
    let is_there = || past.rig.read(|read| Ok(read.view(past.ada.drive)?.node(past.trashed).unwrap())).is_some();
    past.ada.call(&Request::Snapshot { drive: past.ada.drive, after: None }, vec![]).await;
    past.rig.server.collect_garbage(Retention::SHIPPED).await.unwrap();
    assert!(is_there());
    tokio::time::advance(Duration::from_secs(16 * 60)).await;
    past.rig.server.collect_garbage(Retention::SHIPPED).await.unwrap();
    assert!(!is_there());
}

#[tokio::test(start_paused = true)]
async fn upkeep_goes_on_by_itself_and_scrubs_once_a_month() {
    let past = past().await;
    let server = past.rig.server.clone();
    let upkeep = async move { server.keep_up(Retention::SHIPPED).await };
    let watch = async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(past.held(), past.used.iter().chain([&past.leased]).copied().collect());
        past.rig.blobs.damage(1);
        tokio::time::sleep(DAY * 25).await;
        let kept = chunk_id(&noise(1, 5000));
        assert_eq!(past.ada.lacks(&[kept]).await, [], "not read again yet");
        tokio::time::sleep(DAY * 10).await;
        assert_eq!(past.ada.lacks(&[kept]).await, [kept]);
    };
    futures_util::future::select(std::pin::pin!(upkeep), std::pin::pin!(watch)).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_a_century_throws_nothing_away() {
    let past = past().await;
    past.collect(0);
    let before = past.held();
    for days in [36_500, 36_501, 36_502] {
        past.collect(days);
    }
    let gone: Vec<_> = before.difference(&past.held()).copied().collect();
    assert_eq!(gone, [past.leased], "only the upload whose lease of a day is over");
}

#[tokio::test(start_paused = true)]
async fn a_pack_of_which_little_is_used_is_rewritten() {
    let rig = Rig::with(Limits { pack_bytes_target: 40_000, ..Limits::SHIPPED }).await;
    let ada = rig.device(rig.account(1), 1);
    ada.save("kept", &noise(1, 5000)).await;
    for seed in 2..10 {
        upload(&ada, &noise(seed, 5000)).await;
    }
    ada.save("next pack", &noise(50, 5000)).await;
    tokio::time::advance(DAY * 2).await;
    let now = Timestamp { seconds: 1_800_000_000, nanoseconds: 0 }.plus_milliseconds(2 * 86_400_000);
    let place = || rig.read(|read| read.chunks(ada.drive, &[chunk_id(&noise(1, 5000))]))[0].unwrap().record.pack;
    assert_eq!(place(), PackId(1));
    for days in [0, 2, 4] {
        let now = now.plus_milliseconds(days * 86_400_000);
        collect(&*rig.meta, &*rig.blobs, now, Retention::SHIPPED, Mode::Collect).unwrap();
        assert!(check(&*rig.meta, &*rig.blobs, &rig.limits).unwrap().is_fine());
    }
    assert_ne!(place(), PackId(1));
    assert!(rig.blobs.finished_packs().unwrap().iter().all(|(pack, _)| *pack != PackId(1)));
}

/// Does something just before a certain transaction.
struct Meddling {
    meta: Arc<Store>,
    left: AtomicU64,
    meddle: Box<dyn Fn(&Store) + Send + Sync>,
}

impl MetaStore for Meddling {
    fn read<T>(&self, work: impl FnOnce(&dyn Read) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.meta.read(work)
    }

    fn write<T>(&self, work: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            (self.meddle)(&self.meta);
        }
        self.meta.write(work)
    }
}

/// What `meddle` finds to be held just before transaction `number` of a round, and puts to use, is held after the round.
async fn meddle_before_each(meddle: fn(&mut dyn Write, &Past) -> Result<(), StoreError>) {
    for number in 1..20 {
        let past = Arc::new(past().await);
        let shared = Arc::clone(&past);
        let run = move |meta: &Store| meta.write(|tx| meddle(tx, &shared)).unwrap();
        let (meta, left) = (Arc::clone(&past.rig.meta), AtomicU64::new(number));
        let meddling = Meddling { meta, left, meddle: Box::new(run) };
        collect(&meddling, &*past.rig.blobs, past.now(0), Retention::SHIPPED, Mode::Collect).unwrap();
        past.expect_clean(&format!("meddled before transaction {number}"));
        let lists = past.rig.read(|read| read.manifests_after(past.ada.drive, None, 100));
        for chunk in lists.iter().flat_map(|row| &row.manifest.chunks) {
            assert!(past.held().contains(&chunk.id), "meddled before transaction {number}: a list lost a chunk");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_comes_between_two_steps_keeps_what_it_names() {
    meddle_before_each(|tx, past| {
        let chunk = past.garbage[3];
        let drive = past.ada.drive;
        if tx.view(drive)?.holds(&ContentId::Chunk(chunk)).unwrap() {
            let seq = tx.drive(drive)?.unwrap().head.next();
            let content = FileContent { id: ContentId::Chunk(chunk), size: 5000, mtime: Timestamp::default() };
            let Operation::Create { node, parent, name, mode, .. } = create("uses it", b"") else {
                panic!("a creation")
            };
            let version = Version { seq, commit: past.ada.commit_id() };
            let state = NodeState {
                node,
                place: Place { parent, name, trashed: false },
                content: Content::File(content),
                mode,
                place_version: version,
                content_version: version,
                mode_version: version,
            };
            let (commit, changed) = (version.commit, FieldGroups::ALL);
            tx.append(drive, &Entry { seq, commit, time: past.now(0), changed, state })?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_comes_between_two_steps_keeps_its_chunks() {
    meddle_before_each(|tx, past| {
        let chunks = [past.garbage[3], past.used[0]].map(|id| ChunkRef { id, length: 5000 });
        let ids = chunks.map(|chunk| chunk.id);
        if tx.chunks(past.ada.drive, &ids)?.iter().all(Option::is_some) {
            let manifest = Manifest { chunks: chunks.to_vec() };
            let lease = past.now(1);
            tx.put_manifest(past.ada.drive, manifest.list_id(), &manifest, lease)?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_scrub_marks_what_is_damaged_and_clears_what_is_whole() {
    let past = past().await;
    past.rig.blobs.damage(1);
    let scrubbed = scrub(&*past.rig.meta, &*past.rig.blobs, &past.rig.limits).unwrap();
    assert_eq!((scrubbed.damaged, scrubbed.chunks_marked, scrubbed.chunks_sound), (1, 1, 0), "{scrubbed:?}");
    let kept = chunk_id(&noise(1, 5000));
    assert_eq!(past.ada.lacks(&[kept]).await, [kept]);
    past.rig.blobs.mend(1);
    let scrubbed = scrub(&*past.rig.meta, &*past.rig.blobs, &past.rig.limits).unwrap();
    assert_eq!((scrubbed.damaged, scrubbed.chunks_marked, scrubbed.chunks_sound), (0, 0, 1));
    assert_eq!(past.ada.lacks(&[kept]).await, []);
}

/// Stores of a process that dies after so many operations.
struct Mortal {
    meta: Arc<Store>,
    blobs: Arc<Blobs>,
    left: AtomicU64,
}

impl Mortal {
    fn lives(&self) -> bool {
        let counted = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        counted.is_ok()
    }

    fn blob<T>(&self, work: impl FnOnce() -> Result<T, BlobError>) -> Result<T, BlobError> {
        if self.lives() { work() } else { Err(BlobError::Disk("killed".to_owned())) }
    }
}

impl MetaStore for Mortal {
    fn read<T>(&self, work: impl FnOnce(&dyn Read) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.meta.read(work)
    }

    fn write<T>(&self, work: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.lives() { self.meta.write(work) } else { Err(StoreError::Failed("killed".to_owned())) }
    }
}

impl BlobStore for Mortal {
    fn append(&self, block: &Block) -> Result<RecordPlace, BlobError> {
        self.blob(|| self.blobs.append(block))
    }

    fn make_durable(&self, places: &[RecordPlace]) -> Result<(), BlobError> {
        self.blob(|| self.blobs.make_durable(places))
    }

    fn read(&self, place: RecordPlace) -> Result<Block, BlobError> {
        BlobStore::read(&*self.blobs, place)
    }
}

impl PackStore for Mortal {
    fn finished_packs(&self) -> Result<Vec<(PackId, u64)>, BlobError> {
        self.blobs.finished_packs()
    }

    fn count_on_from(&self, last: PackId) {
        self.blobs.count_on_from(last);
    }

    fn remove_pack(&self, pack: PackId) -> Result<(), BlobError> {
        self.blob(|| self.blobs.remove_pack(pack))
    }

    fn set_aside(&self, pack: PackId) -> Result<String, BlobError> {
        self.blob(|| self.blobs.set_aside(pack))
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_between_any_two_steps_loses_nothing_and_the_next_round_ends_it() {
    for lives in 0.. {
        let past = past().await;
        let (meta, blobs) = (Arc::clone(&past.rig.meta), Arc::clone(&past.rig.blobs));
        let mortal = Mortal { meta, blobs, left: AtomicU64::new(lives) };
        let mut killed = false;
        for days in [0, 2] {
            let done = collect(&mortal, &mortal, past.now(days), Retention::SHIPPED, Mode::Collect);
            killed |= matches!(done, Err(CollectError::Store(_) | CollectError::Blobs(_)));
            past.expect_clean(&format!("killed after {lives} operations"));
        }
        let freed: u64 = [4, 6].map(|days| past.collect(days).packs_freed).iter().sum();
        past.rig.read(|read| {
            assert!(read.condemned_packs()?.len() <= 1, "killed after {lives} operations");
            Ok(())
        });
        assert!(killed || freed <= 1, "nothing was left to do");
        if !killed {
            assert!(lives > 12, "a round has that many operations");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn counting_frees_nothing() {
    let past = past().await;
    let image = skep_metastore::Sqlite::from_image(&past.rig.meta.image()).unwrap();
    let counted = collect(&image, &*past.rig.blobs, past.now(0), Retention::SHIPPED, Mode::CountPacks).unwrap();
    assert_eq!((counted.nodes, counted.chunks, counted.packs_condemned), (2, 4, 4), "{counted:?}");
    assert_eq!(past.held().len(), past.used.len() + past.garbage.len() + 1);
    assert!(past.rig.read(|read| read.condemned_packs()).is_empty());
    assert_eq!(past.rig.read(|read| read.thinned(past.ada.drive)).floor, Seq::START);
}
