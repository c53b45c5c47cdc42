//! A service on real stores, with virtual time, and devices that call it.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use skep_blobstore::{BlobError, BlobStore, LocalPacks, PackId, PackStore, RecordPlace};
use skep_content::{Block, MasterKey, chunk_id};
use skep_metastore::{Account, Device, Drive, MetaStore, Read, Sqlite, StoreError, Write};
use skep_platform::{Clock, Entropy, Lane, NativeFiles, Tasks};
use skep_protocol::{
    ByteStream, Code, Entries, ErrorReply, FeedRequest, Frame, FrameDecoder, FrameKind, Reply, Request, body_of,
};
use skep_service::{Parts, Service};
use skep_types::{
    AccountId, ChunkId, Commit, CommitId, CommitReply, Content, ContentId, Cursor, DeviceId, DriveId, Entry, Evidence,
    FileContent, Generation, Group, Limits, Mode, Name, NodeId, Operation, Seq, Timestamp,
};
use tempfile::TempDir;

pub type Server = Service<Store, Blobs, VirtualClock, CountingEntropy, InlineTasks>;

pub const PEER: &str = "192.0.2.7:5000";

/// The real store, of which some transactions can be made to fail at their end.
pub struct Store {
    stored: Sqlite,
    failing: AtomicU64,
}

impl Store {
    /// Makes the next `count` transactions fail.
    pub fn fail(&self, count: u64) {
        self.failing.store(count, Ordering::Relaxed);
    }

    pub fn image(&self) -> Vec<u8> {
        self.stored.image().unwrap()
    }
}

impl MetaStore for Store {
    fn read<T>(&self, work: impl FnOnce(&dyn Read) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.stored.read(work)
    }

    fn write<T>(&self, work: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let failing = self.failing.load(Ordering::Relaxed);
        self.failing.store(failing.saturating_sub(1), Ordering::Relaxed);
        self.stored.write(|tx| match work(tx) {
            Ok(_) if failing > 0 => Err(StoreError::Failed("a test made it fail".to_owned())),
            done => done,
        })
    }
}

/// Packs on a disk, of which some records can be made unreadable.
pub struct Blobs {
    stored: LocalPacks<NativeFiles>,
    dir: Arc<TempDir>,
    limits: Limits,
    places: Mutex<Vec<RecordPlace>>,
    damaged: Mutex<BTreeSet<RecordPlace>>,
    /// What is free on the disk.
    pub free: AtomicU64,
}

impl Blobs {
    fn new(limits: Limits) -> Blobs {
        Blobs::open(Arc::new(tempfile::tempdir().unwrap()), limits, 0)
    }

    /// The same packs as another process finds them.
    pub fn reopened(&self) -> Blobs {
        Blobs::open(Arc::clone(&self.dir), self.limits, 1 + self.count() as u64)
    }

    fn open(dir: Arc<TempDir>, limits: Limits, salt: u64) -> Blobs {
        let entropy = Arc::new(CountingEntropy(AtomicU64::new(salt << 32)));
        let files = NativeFiles::open(dir.path()).unwrap();
        let stored = LocalPacks::open(files, entropy, MasterKey::from_bytes([7; 32]), limits).unwrap();
        Blobs {
            stored,
            dir,
            limits,
            places: Mutex::default(),
            damaged: Mutex::default(),
            free: AtomicU64::new(u64::MAX),
        }
    }

    pub fn damage(&self, index: usize) {
        let place = self.places.lock().unwrap()[index];
        self.damaged.lock().unwrap().insert(place);
    }

    /// The record can be read again.
    pub fn mend(&self, index: usize) {
        let place = self.places.lock().unwrap()[index];
        self.damaged.lock().unwrap().remove(&place);
    }

    pub fn count(&self) -> usize {
        self.places.lock().unwrap().len()
    }

    /// Where the packs lie.
    pub fn packs_dir(&self) -> PathBuf {
        self.dir.path().join("packs")
    }
}

impl BlobStore for Blobs {
    fn append(&self, block: &Block) -> Result<RecordPlace, BlobError> {
        let place = self.stored.append(block)?;
        self.places.lock().unwrap().push(place);
        Ok(place)
    }

    fn make_durable(&self, places: &[RecordPlace]) -> Result<(), BlobError> {
        self.stored.make_durable(places)
    }

    fn free_bytes(&self) -> Result<u64, BlobError> {
        Ok(self.free.load(Ordering::Relaxed))
    }

    fn read(&self, place: RecordPlace) -> Result<Block, BlobError> {
        if self.damaged.lock().unwrap().contains(&place) {
            return Err(BlobError::Damaged { place, reason: "a test damaged it".to_owned() });
        }
        self.stored.read(place)
    }
}

impl PackStore for Blobs {
    fn finished_packs(&self) -> Result<Vec<(PackId, u64)>, BlobError> {
        self.stored.finished_packs()
    }

    fn count_on_from(&self, last: PackId) {
        self.stored.count_on_from(last);
    }

    fn remove_pack(&self, pack: PackId) -> Result<(), BlobError> {
        self.stored.remove_pack(pack)
    }

    fn set_aside(&self, pack: PackId) -> Result<String, BlobError> {
        self.stored.set_aside(pack)
    }
}

/// The time of the test's runtime, which stands still unless everything waits for it.
pub struct VirtualClock(tokio::time::Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: 1_800_000_000, nanoseconds: 0 }.plus_milliseconds(self.monotonic_ms())
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    fn sleep_until(&self, at_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep_until(self.0 + std::time::Duration::from_millis(at_ms)))
    }
}

/// Never the same bytes twice, always the same ones in a new test.
#[derive(Default)]
pub struct CountingEntropy(AtomicU64);

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        hasher.finalize_xof().fill(bytes);
    }
}

/// Runs jobs as tasks of the test's only thread, in the order in which they were given.
#[derive(Clone)]
pub struct InlineTasks;

impl Tasks for InlineTasks {
    #[expect(clippy::disallowed_methods, reason = "this is an implementation of the seam")]
    fn spawn(&self, _: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    #[expect(clippy::disallowed_methods, reason = "this is an implementation of the seam")]
    fn run_job(&self, _: Lane, job: Box<dyn FnOnce() + Send>) {
        tokio::spawn(async move { job() });
    }
}

pub struct Rig {
    pub server: Server,
    pub meta: Arc<Store>,
    pub blobs: Arc<Blobs>,
    pub limits: Limits,
}

impl Rig {
    pub async fn new() -> Rig {
        Rig::with(Limits::SHIPPED).await
    }

    pub async fn with(limits: Limits) -> Rig {
        let meta = Arc::new(Store { stored: Sqlite::in_memory().unwrap(), failing: AtomicU64::new(0) });
        let blobs = Arc::new(Blobs::new(limits));
        let server = Rig::serve(&meta, &blobs, limits).await;
        Rig { server, meta, blobs, limits }
    }

    /// Another process on the same stores.
    pub async fn another_process(&self) -> Server {
        Rig::serve(&self.meta, &self.blobs, self.limits).await
    }

    /// A server on metadata that were brought back, with the packs as they are.
    pub async fn bring_back(&mut self, stored: Sqlite) {
        self.meta = Arc::new(Store { stored, failing: AtomicU64::new(0) });
        self.server = self.another_process().await;
    }

    async fn serve(meta: &Arc<Store>, blobs: &Arc<Blobs>, limits: Limits) -> Server {
        let parts = Parts {
            meta: Arc::clone(meta),
            blobs: Arc::clone(blobs),
            clock: Arc::new(VirtualClock(tokio::time::Instant::now())),
            entropy: Arc::new(CountingEntropy::default()),
            tasks: InlineTasks,
            limits,
            server_version: "skep-server test".to_owned(),
        };
        Service::open(parts).await.unwrap()
    }

    /// An account with a home drive and without a password.
    pub fn account(&self, number: u8) -> (AccountId, DriveId) {
        let (account, drive) = (AccountId::from_bytes([number; 16]), DriveId::from_bytes([number; 16]));
        self.meta
            .write(|tx| {
                let generation = Generation::from_slice(&tx.setting("generation")?.unwrap()).unwrap();
                tx.put_account(&Account {
                    id: account,
                    name: format!("user {number}"),
                    password_hash: None,
                    created: Timestamp::default(),
                    disabled: false,
                })?;
                tx.put_drive(&Drive {
                    id: drive,
                    owner: account,
                    name: "home".to_owned(),
                    generation,
                    head: Seq::START,
                })
            })
            .unwrap();
        (account, drive)
    }

    /// A device that is signed in.
    pub fn device(&self, (account, drive): (AccountId, DriveId), number: u8) -> Caller {
        let id = DeviceId::from_bytes([number; 8]);
        let token = format!("skd_{number}");
        let device = Device {
            id,
            account,
            name: format!("device {number}"),
            platform: "test".to_owned(),
            client_version: "test 1".to_owned(),
            token_hash: *blake3::hash(token.as_bytes()).as_bytes(),
            created: Timestamp::default(),
            last_seen: Timestamp::default(),
            revoked: false,
        };
        self.meta.write(|tx| tx.put_device(&device)).unwrap();
        Caller { server: self.server.clone(), id, account, token, drive, made: Arc::default(), limits: self.limits }
    }

    pub fn read<R>(&self, work: impl FnOnce(&dyn Read) -> Result<R, StoreError>) -> R {
        self.meta.read(work).unwrap()
    }
}

/// One device.
#[derive(Clone)]
pub struct Caller {
    pub server: Server,
    pub id: DeviceId,
    pub account: AccountId,
    pub token: String,
    pub drive: DriveId,
    pub limits: Limits,
    made: Arc<AtomicU64>,
}

impl Caller {
    pub async fn call(&self, request: &Request, frames: Vec<Frame>) -> Answer {
        call(&self.server, Some(&self.token), request, frames).await
    }

    /// The same device, at another server.
    pub fn at(self, server: Server) -> Caller {
        Caller { server, ..self }
    }

    /// A new commit id of this device.
    pub fn commit_id(&self) -> CommitId {
        CommitId::new(self.id, self.made.fetch_add(1, Ordering::Relaxed).to_le_bytes())
    }

    pub fn commit_of(&self, operations: Vec<Operation>) -> Commit {
        let groups = operations.into_iter().map(|operation| Group(vec![operation])).collect();
        Commit { id: self.commit_id(), drive: self.drive, groups, evidence: Evidence::Events }
    }

    pub async fn send(&self, commit: &Commit, mut frames: Vec<Frame>) -> Answer {
        frames.push(Frame::cbor(FrameKind::Operations, commit));
        self.call(&Request::Commit { drive: commit.drive, seen: None }, frames).await
    }

    /// Commits a new file and requires that it is taken.
    pub async fn save(&self, name: &str, bytes: &[u8]) -> NodeId {
        let operation = create(name, bytes);
        let node = operation.node();
        let commit = self.commit_of(vec![operation]);
        let reply = self.send(&commit, vec![block(&[bytes], &self.limits)]).await.committed();
        let CommitReply::Decided { results, .. } = reply else { panic!("{reply:?}") };
        assert_eq!(results, [skep_types::GroupResult::Accepted]);
        node
    }

    pub async fn head(&self) -> Cursor {
        match self.call(&Request::Head { drive: self.drive }, vec![]).await.reply() {
            Reply::Head { head } => head,
            other => panic!("{other:?}"),
        }
    }

    pub async fn lacks(&self, chunks: &[ChunkId]) -> Vec<ChunkId> {
        let request = Request::Lacks { drive: self.drive, chunks: chunks.to_vec(), needs: None };
        match self.call(&request, vec![]).await.reply() {
            Reply::Lacks { chunks } => chunks,
            other => panic!("{other:?}"),
        }
    }

    pub async fn entries(&self, after: Cursor) -> Entries {
        self.call(&Request::Entries { drive: self.drive, after }, vec![])
            .await
            .frame(FrameKind::Entries)
            .read()
            .unwrap()
    }

    /// The cursor before the first entry.
    pub async fn start(&self) -> Cursor {
        Cursor { generation: self.head().await.generation, seq: Seq::START, commit: None }
    }

    pub async fn feed(&self, after: Cursor, wants_content: bool) -> Result<FeedReader, ErrorReply> {
        let request = FeedRequest { drive: self.drive, after, wants_content };
        let bytes = self.server.feed(&self.token, PEER, request).await?;
        Ok(FeedReader { bytes, decoder: FrameDecoder::new(self.limits.frame_bytes_max) })
    }
}

/// Reads a feed frame by frame.
pub struct FeedReader {
    bytes: ByteStream,
    decoder: FrameDecoder,
}

impl FeedReader {
    /// The next frame, `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            self.decoder.push(&self.bytes.next().await?.unwrap());
        }
    }

    /// The next frame that is no heartbeat.
    pub async fn next_news(&mut self) -> Frame {
        loop {
            let frame = self.next().await.unwrap();
            if frame.kind != FrameKind::Heartbeat {
                return frame;
            }
        }
    }

    /// Entries until the feed has all.
    pub async fn catch_up(&mut self, to: Seq) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        while all.last().map(|entry| entry.seq) != Some(to) {
            let frame = self.next_news().await;
            if frame.kind == FrameKind::Entries {
                let entries: Entries = frame.read().unwrap();
                assert_eq!(entries.after, all.last().map_or(entries.after, |last| last.seq));
                assert_eq!(entries.to.seq, entries.entries.last().unwrap().seq);
                assert_eq!(entries.to.commit, Some(entries.entries.last().unwrap().commit));
                all.extend(entries.entries);
            }
        }
        all
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub frames: Vec<Frame>,
}

impl Answer {
    pub fn reply(&self) -> Reply {
        let first = self.frames.first().unwrap();
        if first.kind == FrameKind::Error {
            panic!("{:?}", first.read::<ErrorReply>());
        }
        assert_eq!(self.frames.last().unwrap().kind, FrameKind::End);
        first.read().unwrap()
    }

    pub fn error(&self) -> ErrorReply {
        let last = self.frames.last().unwrap();
        assert_eq!(last.kind, FrameKind::Error, "{self:?}");
        last.read().unwrap()
    }

    pub fn code(&self) -> Code {
        self.error().code
    }

    pub fn frame(&self, kind: FrameKind) -> &Frame {
        assert_eq!(self.reply(), Reply::Done);
        self.frames.iter().find(|frame| frame.kind == kind).unwrap()
    }

    pub fn committed(&self) -> CommitReply {
        self.frame(FrameKind::Result).read().unwrap()
    }

    /// The chunks in its blocks, each block opened.
    pub fn chunks(&self) -> Vec<(ChunkId, Bytes)> {
        assert_eq!(self.reply(), Reply::Done);
        let blocks = self.frames.iter().filter(|frame| frame.kind == FrameKind::Block);
        blocks.flat_map(open).collect()
    }
}

pub fn open(frame: &Frame) -> Vec<(ChunkId, Bytes)> {
    Block::from_bytes(frame.payload.clone(), &Limits::SHIPPED).unwrap().open(&Limits::SHIPPED).unwrap()
}

/// The bytes of a call.
pub async fn call_bytes(request: &Request, frames: Vec<Frame>) -> Vec<u8> {
    let first = Frame::cbor(FrameKind::Request, request);
    let pieces: Vec<_> = body_of([vec![first], frames].concat()).collect().await;
    pieces.into_iter().flat_map(|piece| piece.unwrap()).collect()
}

pub fn body(bytes: &[u8]) -> ByteStream {
    // Small odd pieces: nothing may depend on how a body is cut.
    let pieces: Vec<_> = bytes.chunks(997).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

pub async fn call(server: &Server, token: Option<&str>, request: &Request, frames: Vec<Frame>) -> Answer {
    call_with(server, token, &call_bytes(request, frames).await).await
}

pub async fn call_with(server: &Server, token: Option<&str>, bytes: &[u8]) -> Answer {
    call_from(server, PEER, token, bytes).await
}

/// The same from another address.
pub async fn call_from(server: &Server, peer: &str, token: Option<&str>, bytes: &[u8]) -> Answer {
    let mut answer = server.call(token, peer, body(bytes)).await;
    let mut decoder = FrameDecoder::new(Limits::SHIPPED.frame_bytes_max);
    let mut frames = Vec::new();
    while let Some(piece) = answer.next().await {
        decoder.push(&piece.unwrap());
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    assert!(!decoder.is_mid_frame());
    Answer { frames }
}

/// A block frame with these chunks.
pub fn block(chunks: &[&[u8]], limits: &Limits) -> Frame {
    let chunks: Vec<_> = chunks.iter().map(|bytes| (chunk_id(bytes), Bytes::copy_from_slice(bytes))).collect();
    Frame::new(FrameKind::Block, Block::encode(&chunks, limits).to_bytes())
}

/// Creates a file in the root whose node id follows from its name.
pub fn create(name: &str, bytes: &[u8]) -> Operation {
    create_with(name, ContentId::Chunk(chunk_id(bytes)), bytes.len() as u64)
}

pub fn create_with(name: &str, id: ContentId, size: u64) -> Operation {
    let content = Content::File(FileContent { id, size, mtime: Timestamp::default() });
    Operation::Create {
        node: NodeId::from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]).unwrap(),
        parent: NodeId::ROOT,
        name: Name::try_from(name).unwrap(),
        content,
        mode: Mode::default(),
    }
}

/// Bytes that no compressor makes shorter.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
