//! A server and devices in one process: real service, real engine, simulated disks, virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use skep_blobstore::MemoryBlobs;
use skep_client::{
    Account, Client, Feed, Link, LinkError, Machine, Marker, RootId, SqliteTrees, Start, StartError, State,
    WaitOutcome, prepare_root,
};
use skep_metastore::Sqlite;
use skep_platform::{Clock, Entropy, Lane, Tasks};
use skep_protocol::{ByteStream, FeedRequest, Joined};
use skep_service::{Parts, Service};
use skep_sim::disk::{DiskConfig, SimDisk, SimWatcher, TreeEntry};
use skep_types::{Limits, Timestamp};

pub type Server = Service<Sqlite, MemoryBlobs, VirtualClock, CountingEntropy, InlineTasks>;
pub type World = Machine<VirtualClock, CountingEntropy, InlineTasks, SimDisk, SimWatcher, LocalLink>;

pub const MINUTE_MS: u64 = 60_000;

/// The time of the test's runtime, which stands still unless everything waits for it.
#[derive(Clone, Copy)]
pub struct VirtualClock(pub tokio::time::Instant);

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
pub struct CountingEntropy(pub Arc<AtomicU64>);

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

/// Calls the service of the same process, unless the cable is out.
#[derive(Clone)]
pub struct LocalLink {
    server: Arc<Mutex<Server>>,
    is_cut: Arc<AtomicBool>,
    /// Whether feeds can be had.
    has_feed: bool,
    /// Bytes that came from the server.
    received: Arc<AtomicU64>,
}

impl LocalLink {
    fn server(&self) -> Server {
        self.server.lock().unwrap().clone()
    }

    fn check(&self) -> Result<(), LinkError> {
        match self.is_cut.load(Ordering::Relaxed) {
            true => Err(LinkError::Unreachable("the cable is out".into())),
            false => Ok(()),
        }
    }

    fn counted(&self, answer: ByteStream) -> ByteStream {
        let received = self.received.clone();
        Box::pin(answer.inspect(move |part| {
            let length = part.as_ref().map_or(0, |bytes| bytes.len());
            received.fetch_add(length as u64, Ordering::Relaxed);
        }))
    }
}

impl Link for LocalLink {
    async fn call(&self, token: Option<&str>, body: ByteStream) -> Result<ByteStream, LinkError> {
        self.check()?;
        let answer = self.server().call(token, "192.0.2.7:5000", body).await;
        self.check()?;
        Ok(self.counted(answer))
    }

    async fn feed(&self, token: &str, request: FeedRequest) -> Result<ByteStream, LinkError> {
        self.check()?;
        if !self.has_feed {
            return Err(LinkError::Unreachable("a proxy is in the way".into()));
        }
        Ok(self.counted(self.server().feed(token, "192.0.2.7:5000", request).await?))
    }
}

/// A server and what its devices share.
pub struct Rig {
    pub server: Server,
    /// The one that devices reach.
    reached: Arc<Mutex<Server>>,
    meta: Arc<Sqlite>,
    blobs: Arc<MemoryBlobs>,
    pub clock: VirtualClock,
    entropy: Arc<AtomicU64>,
    limits: Limits,
}

impl Rig {
    pub async fn new(limits: Limits) -> Rig {
        let clock = VirtualClock(tokio::time::Instant::now());
        let entropy = Arc::new(AtomicU64::new(0));
        let (meta, blobs) = (Arc::new(Sqlite::in_memory().unwrap()), Arc::new(MemoryBlobs::new()));
        let server = open(meta.clone(), blobs.clone(), clock, entropy.clone(), limits).await;
        server.add_user("maya", "correct horse").await.unwrap();
        Rig { reached: Arc::new(Mutex::new(server.clone())), server, meta, blobs, clock, entropy, limits }
    }

    /// A copy of what the server knows.
    pub fn copy(&self) -> Vec<u8> {
        self.meta.image().unwrap()
    }

    /// Another server, with what the first one knew when it was copied, takes its place.
    pub async fn bring_back(&self, copy: &[u8]) {
        let meta = Arc::new(Sqlite::from_image(copy).unwrap());
        let server = open(meta, self.blobs.clone(), self.clock, self.entropy.clone(), self.limits).await;
        *self.reached.lock().unwrap() = server;
    }

    /// A device with an empty folder, joined and started.
    pub async fn device(&self, name: &str) -> Device {
        self.device_with(name, Feed::Push, true).await
    }

    pub async fn device_with(&self, name: &str, feed: Feed, has_feed: bool) -> Device {
        let clock = self.clock;
        let disk = SimDisk::new(DiskConfig::default(), Arc::new(move || clock.now()));
        let link =
            LocalLink { server: self.reached.clone(), is_cut: Arc::default(), has_feed, received: Arc::default() };
        let joined = skep_client::join(&link, "maya", "correct horse", name, "test", "skep test").await.unwrap();
        let id = RootId::from_bytes(CountingEntropy(self.entropy.clone()).bytes());
        prepare_root(&disk, Marker { id, drive: joined.drives[0].drive, device: joined.device }).unwrap();
        let mut device = Device {
            disk,
            link,
            joined,
            id,
            name: name.into(),
            clock,
            entropy: self.entropy.clone(),
            limits: self.limits,
            feed,
            client: None,
            kept: Arc::default(),
        };
        device.start(SqliteTrees::in_memory().unwrap()).await.unwrap();
        device
    }
}

async fn open(
    meta: Arc<Sqlite>,
    blobs: Arc<MemoryBlobs>,
    clock: VirtualClock,
    entropy: Arc<AtomicU64>,
    limits: Limits,
) -> Server {
    let parts = Parts {
        meta,
        blobs,
        clock: Arc::new(clock),
        entropy: Arc::new(CountingEntropy(entropy)),
        tasks: InlineTasks,
        limits,
        server_version: "skep-server test".to_owned(),
    };
    Service::open(parts).await.unwrap()
}

/// A device and its folder.
pub struct Device {
    pub disk: SimDisk,
    link: LocalLink,
    pub joined: Joined,
    pub id: RootId,
    name: String,
    clock: VirtualClock,
    entropy: Arc<AtomicU64>,
    limits: Limits,
    feed: Feed,
    client: Option<Client>,
    /// What would be on the disk of the state.
    kept: Arc<Mutex<Vec<u8>>>,
}

impl Device {
    pub async fn start(&mut self, trees: SqliteTrees) -> Result<(), StartError> {
        let kept = self.kept.clone();
        let trees = trees.after_commit(move |trees| *kept.lock().unwrap() = trees.serialize().unwrap());
        let world: World = Machine {
            clock: self.clock,
            entropy: CountingEntropy(self.entropy.clone()),
            tasks: InlineTasks,
            files: self.disk.clone(),
            watcher: SimWatcher::new(&self.disk),
            link: self.link.clone(),
        };
        let account = Account {
            drive: self.joined.drives[0].drive,
            device: self.joined.device,
            device_name: self.name.clone(),
            token: self.joined.token.clone(),
            root: self.id,
            client_version: "skep test".into(),
        };
        let start = Start { world: Arc::new(world), trees, account, limits: self.limits, feed: self.feed };
        self.client = Some(Client::start(start).await?);
        Ok(())
    }

    /// The state as it was after the last step.
    pub fn kept_state(&self) -> SqliteTrees {
        SqliteTrees::from_bytes(&self.kept.lock().unwrap()).unwrap()
    }

    pub fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    pub async fn wait(&self) -> WaitOutcome {
        self.client().wait_equal(MINUTE_MS).await.unwrap()
    }

    /// Waits until folder and server are equal.
    pub async fn equal(&self) {
        let outcome = self.wait().await;
        assert_eq!(outcome, WaitOutcome::Equal, "{}: {:?}", self.name, self.client().status());
    }

    /// Waits for a state.
    pub async fn reaches(&self, state: State) {
        let mut client = self.client().clone();
        while client.status().state != state {
            client.status_changed().await.unwrap();
        }
    }

    /// Bytes that came from the server so far.
    pub fn received(&self) -> u64 {
        self.link.received.load(Ordering::Relaxed)
    }

    pub fn cut(&self, is_cut: bool) {
        self.link.is_cut.store(is_cut, Ordering::Relaxed);
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        self.disk.user().write(path, bytes).unwrap();
    }

    /// What the person sees, without times.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let tree = self.disk.tree().into_iter();
        let tree = tree.map(|(path, entry)| (String::from_utf8(path).unwrap(), entry));
        tree.filter(|(path, _)| !path.starts_with(".skep"))
            .map(|(path, entry)| {
                let shown = match entry {
                    TreeEntry::File { bytes, executable, .. } => {
                        format!("file {} {} {executable}", bytes.len(), blake3::hash(&bytes).to_hex())
                    }
                    other => format!("{other:?}"),
                };
                (path, shown)
            })
            .collect()
    }
}
