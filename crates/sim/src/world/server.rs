//! The server's machine: the shipped service on SQLite in memory and packs on a simulated disk.

use std::sync::Arc;

use skep_blobstore::{BlobError, LocalPacks};
use skep_content::MasterKey;
use skep_metastore::{Account, Device, Drive, MetaStore, Sqlite, StoreError};
use skep_platform::{Clock, Entropy, Tasks};
use skep_service::{Parts, Retention, Service};
use skep_types::{AccountId, DeviceId, DriveId, Generation, Seq};

use crate::disk::SimDisk;
use crate::{Executor, Host, ProcessId, Random, SimClock, SimEntropy, SimTasks};

use super::Options;
use super::meeting::Backup;

pub(crate) type SimService = Service<Sqlite, LocalPacks<SimDisk>, SimClock, SimEntropy, SimTasks>;

/// A device that was signed in before the world began.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) device: DeviceId,
    pub(crate) device_name: String,
    pub(crate) token: String,
}

/// The server's machine.
pub(crate) struct Server {
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) drive: DriveId,
    pub(crate) devices: Vec<Credentials>,
    pub(crate) state: ServerState,
    /// Copies of its data, oldest first.
    pub(crate) backups: Vec<Backup>,
    /// Generations of its history, in the order in which they came up.
    pub(crate) generations: Vec<Generation>,
}

pub(crate) enum ServerState {
    /// With the database as the last process left it.
    Down {
        image: Vec<u8>,
        reader: Arc<Sqlite>,
    },
    Up {
        process: ProcessId,
        meta: Arc<Sqlite>,
    },
}

impl Server {
    /// A server with one account, its home drive, and a device for each machine.
    pub(crate) fn new(
        executor: &Executor,
        disk: SimDisk,
        machines: usize,
        random: &mut Random,
    ) -> Result<Server, StoreError> {
        let clock = SimClock::new(executor, 0);
        let entropy = SimEntropy::new(random.fork());
        let (drive, generation) = (DriveId::from_bytes(entropy.bytes()), Generation::from_bytes(entropy.bytes()));
        let account = AccountId::from_bytes(entropy.bytes());
        let devices: Vec<Credentials> = (0..machines)
            .map(|machine| Credentials {
                device: DeviceId::from_bytes(entropy.bytes()),
                device_name: format!("machine {machine}"),
                token: format!("skd_{machine}"),
            })
            .collect();
        let meta = Sqlite::in_memory()?;
        let now = clock.now();
        meta.write(|tx| {
            tx.put_setting("generation", generation.as_bytes())?;
            let (name, password_hash) = ("ann".to_owned(), None);
            tx.put_account(&Account { id: account, name, password_hash, created: now, disabled: false })?;
            tx.put_drive(&Drive { id: drive, owner: account, name: "home".to_owned(), generation, head: Seq::START })?;
            devices.iter().try_for_each(|credentials| {
                tx.put_device(&Device {
                    id: credentials.device,
                    account,
                    name: credentials.device_name.clone(),
                    platform: "simulated".to_owned(),
                    client_version: "simulated".to_owned(),
                    token_hash: *blake3::hash(credentials.token.as_bytes()).as_bytes(),
                    created: now,
                    last_seen: now,
                    revoked: false,
                })
            })
        })?;
        let state = ServerState::Down { image: meta.image()?, reader: Arc::new(meta) };
        Ok(Server { disk, clock, drive, devices, state, backups: Vec::new(), generations: Vec::new() })
    }

    pub(crate) fn process(&self) -> Option<ProcessId> {
        match &self.state {
            ServerState::Up { process, .. } => Some(*process),
            ServerState::Down { .. } => None,
        }
    }

    /// The metadata store, running or not.
    pub(crate) fn meta(&self) -> Arc<Sqlite> {
        match &self.state {
            ServerState::Up { meta, .. } | ServerState::Down { reader: meta, .. } => Arc::clone(meta),
        }
    }
}

/// The packs on a disk.
pub(crate) fn packs_on(disk: SimDisk, options: &Options) -> Result<LocalPacks<SimDisk>, BlobError> {
    LocalPacks::open(disk, Arc::new(SimEntropy::new(Random::new(0))), master_key(), options.limits)
}

/// The key that seals the packs.
fn master_key() -> MasterKey {
    MasterKey::from_bytes([7; MasterKey::LEN])
}

/// Opens the stores and the service; what it answers with, or why not.
pub(crate) async fn open_service(
    executor: Executor,
    process: ProcessId,
    meta: Arc<Sqlite>,
    disk: SimDisk,
    clock: SimClock,
    entropy: Random,
    options: Arc<Options>,
) -> Result<Host, String> {
    let entropy = Arc::new(SimEntropy::new(entropy));
    let blobs = LocalPacks::open(disk, Arc::clone(&entropy) as Arc<dyn Entropy>, master_key(), options.limits)
        .map_err(|error| error.to_string())?;
    let parts = Parts {
        meta,
        blobs: Arc::new(blobs),
        clock: Arc::new(clock),
        entropy,
        tasks: SimTasks::new(&executor, process),
        limits: options.limits,
        server_version: "simulated".to_owned(),
    };
    let service: SimService = Service::open(parts).await.map_err(|error| error.to_string())?;
    if options.meetings.collect_every_ms > 0 {
        SimTasks::new(&executor, process).spawn("upkeep", keep_up(service.clone(), executor.clone(), options));
    }
    let caller = service.clone();
    Ok(Host {
        process,
        call: Arc::new(move |token, body| {
            let service = caller.clone();
            Box::pin(async move { Ok(service.call(token.as_deref(), "10.0.0.1:7537", body).await) })
        }),
        feed: Arc::new(move |token, request| {
            let service = service.clone();
            Box::pin(async move { service.feed(&token, "10.0.0.1:7537", request).await })
        }),
    })
}

/// Lets go of the past, again and again. Bytes stay: a copy of the metadata that is brought back may name them.
async fn keep_up(service: SimService, executor: Executor, options: Arc<Options>) {
    let kept_ms = options.meetings.retention_ms;
    let retention =
        Retention { versions_ms: kept_ms, trash_ms: kept_ms, freed_after_ms: u64::MAX, ..Retention::SHIPPED };
    loop {
        executor.sleep_ms(options.meetings.collect_every_ms).await;
        // If a disk fails, the next round does it.
        drop(service.collect_garbage(retention).await);
    }
}
