//! Reading and sending while a program writes.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use skep_planner::{CommitFailure, Location, ReadRequest, Source};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{ByteStream, FeedRequest};
use skep_sim::disk::{DiskConfig, SimDisk, SimWatcher};
use skep_types::{Commit, CommitId, DeviceId, DriveId, Evidence, FileContent, Name, NodeId, Timestamp};

use super::*;
use crate::root::{Marker, RootId, open_root, prepare_root};
use crate::{Link, LinkError, Machine};

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
    fn monotonic_ms(&self) -> u64 {
        0
    }
    fn sleep_until(&self, _: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}

struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// Runs each job at once.
#[derive(Clone)]
struct AtOnce;

impl Tasks for AtOnce {
    fn spawn(&self, _: &'static str, _: impl Future<Output = ()> + Send + 'static) {}
    fn run_job(&self, _: Lane, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

/// A connection that breaks after it took a whole body; counts whole bodies.
#[derive(Clone, Default)]
struct Sink(Arc<AtomicU64>);

impl Link for Sink {
    async fn call(&self, _: Option<&str>, mut body: ByteStream) -> Result<ByteStream, LinkError> {
        let mut is_whole = true;
        while let Some(piece) = body.next().await {
            is_whole &= piece.is_ok();
        }
        self.0.fetch_add(u64::from(is_whole), Ordering::Relaxed);
        Err(LinkError::Unreachable("the cable was cut".into()))
    }
    async fn feed(&self, _: &str, _: FeedRequest) -> Result<ByteStream, LinkError> {
        Err(LinkError::Unreachable("the cable was cut".into()))
    }
}

type TestWorld = Machine<StillClock, Zeros, AtOnce, SimDisk, SimWatcher, Sink>;

const LIMITS: Limits =
    Limits { chunk_bytes_min: 64, chunk_bytes_average: 128, chunk_bytes_max: 512, ..Limits::SHIPPED };

fn executor() -> (Executor<TestWorld>, SimDisk, Sink) {
    let ticks = AtomicU64::new(0);
    let clock = move || Timestamp::default().plus_milliseconds(ticks.fetch_add(10, Ordering::Relaxed));
    let files = SimDisk::new(DiskConfig::default(), Arc::new(clock));
    let (id, drive) = (RootId::from_bytes([1; 16]), DriveId::from_bytes([1; 16]));
    prepare_root(&files, Marker { id, drive, device: DeviceId::from_bytes([1; 8]) }).unwrap();
    let root = open_root(&files, id).unwrap();
    let (watcher, link) = (SimWatcher::new(&files), Sink::default());
    let world =
        Machine { clock: StillClock, entropy: Zeros, tasks: AtOnce, files: files.clone(), watcher, link: link.clone() };
    let server = Server::new(link.clone(), "token".into(), drive, "test".into(), LIMITS);
    (Executor::new(Arc::new(world), root, server, LIMITS), files, link)
}

fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn at() -> Location {
    Location { dir: Vec::new(), name: Name::try_from("f").unwrap() }
}

/// Writes into the file `f` before the call of that number.
fn write_at_call(disk: &SimDisk, wanted: u64, bytes: Vec<u8>) {
    let (user, calls) = (disk.user(), AtomicU64::new(0));
    disk.set_hook(Some(Arc::new(move |_| {
        if calls.fetch_add(1, Ordering::Relaxed) == wanted {
            user.write("f", &bytes).unwrap();
        }
    })));
}

fn content_of(executor: &Executor<TestWorld>) -> ContentId {
    executor.shared.read_file(&at()).unwrap().result.content
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_busy() {
    let mut busy = 0;
    for call in 0..20 {
        let (executor, disk, _) = executor();
        disk.user().write("f", &noise(1, 2_000)).unwrap();
        let old = content_of(&executor);
        write_at_call(&disk, call, noise(2, 2_000));
        let read = executor.shared.read_file(&at());
        disk.set_hook(None);
        let new = content_of(&executor);
        match read {
            Ok(read) => assert!([old, new].contains(&read.result.content), "a mix at call {call}"),
            Err(error) => {
                assert_eq!(error.kind, skep_platform::FileErrorKind::Exists);
                busy += 1;
            }
        }
    }
    assert!(busy > 0);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_not_committed() {
    let mut changed = 0;
    for call in 0..20 {
        let (executor, disk, sink) = executor();
        // In one chunk, so that the drive is not asked about it before.
        disk.user().write("f", &noise(1, 60)).unwrap();
        let node = NodeId::from_bytes([3; 16]);
        let request = ReadRequest { node, at: at(), size: 60 };
        let events = executor.shared.read_group(vec![request]).await;
        let [Event::Read { result: Ok(read), .. }] = events.as_slice() else { panic!("{events:?}") };
        let content = FileContent { id: read.content, size: read.size, mtime: read.stat.mtime };
        let sources = [(node, Source { at: at(), stat: read.stat, content })].into();
        let id = CommitId::from_bytes([4; 16]);
        let drive = DriveId::from_bytes([1; 16]);
        let commit = Commit { id, drive, groups: Vec::new(), evidence: Evidence::Events };
        write_at_call(&disk, call, noise(2, 60));
        let failure = executor.shared.commit(commit, sources, None).await.unwrap_err();
        disk.set_hook(None);
        let bodies = sink.0.load(Ordering::Relaxed);
        if disk.user().read("f").unwrap().as_slice() == noise(1, 60) {
            assert_eq!((failure, bodies), (CommitFailure::Unreachable, 1));
        } else {
            assert_eq!((failure, bodies), (CommitFailure::SourcesChanged(vec![node]), 0), "call {call}");
            changed += 1;
        }
    }
    assert!(changed > 0);
}
