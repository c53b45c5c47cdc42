//! The data directory as a service: `skep.db`, `packs/`, `keys/`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_blobstore::{BlobStore, LocalPacks, MemoryBlobs, PackStore};
use skep_content::MasterKey;
use skep_metastore::{MetaStore, Sqlite, StoreError};
use skep_platform::runtime::{RuntimeClock, RuntimeTasks, SystemEntropy};
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{NativeFiles, own_files};
use skep_protocol::{ByteStream, ErrorReply, FeedRequest};
use skep_service::{Parts, Service, ServiceError};
use skep_types::{Limits, OwnDir, product};
use tokio::runtime::Handle;

use crate::answers::Answers;
use crate::config::Site;
use crate::keys::{self, KeyError};

/// A service on a disk.
pub type DiskService<B> = Service<Sqlite, B, RuntimeClock, SystemEntropy, RuntimeTasks>;
/// Where a running server keeps content.
pub type Packs = LocalPacks<NativeFiles>;

/// What a data directory has from the first start on.
pub(crate) const DATABASE: &str = "skep.db";
/// Locked by whoever may change content.
pub(crate) const LOCK_FILE: &str = "server.lock";

/// What a running server holds.
pub struct Opened {
    /// The service.
    pub service: DiskService<Packs>,
    /// Where its content lies.
    pub packs: Arc<Packs>,
    /// What it runs its tasks on.
    pub tasks: RuntimeTasks,
    // Held as long as the server runs.
    _lock: own_files::Lock,
}

/// Opens a data directory to serve it; makes it if it is not there. Only one process can.
pub async fn open(site: &Site) -> Result<Opened, Complaint> {
    let data_dir = site.data_dir.as_path();
    make_data_dir(data_dir)?;
    let shown = data_dir.display();
    own_files::mark_own_dir(data_dir, OwnDir::ServerData)
        .map_err(|error| failed("E-DATA", format!("Cannot write into `{shown}`: {error}.")))?;
    let lock = own_files::lock(&data_dir.join(LOCK_FILE))
        .map_err(|error| failed("E-DATA", format!("Cannot lock `{shown}`: {error}.")))?
        .ok_or_else(|| {
            let what = format!("Another server is running on `{shown}`.");
            failed("E-DATA-IN-USE", what).hint("Stop it first, or name another directory with --data-dir.")
        })?;
    let master = MasterKey::from_bytes(keys::master_key(site).map_err(|error| complaint_of_key(&error))?);
    let files =
        NativeFiles::open(data_dir).map_err(|error| failed("E-DATA", format!("Cannot open `{shown}`: {error}.")))?;
    let limits = Limits { reserve_bytes: site.reserve_bytes, ..Limits::SHIPPED };
    let packs = LocalPacks::open(files, Arc::new(SystemEntropy), master, limits)
        .map_err(|error| failed("E-DATA", format!("Cannot open the packs in `{shown}`: {error}.")))?;
    let meta = open_meta(data_dir)?;
    // Also above those that are named and not there: a lost pack must not be mistaken for a new one.
    let last = meta.read(|read| read.last_pack()).map_err(|error| complaint_of(&error.into()))?;
    last.into_iter().for_each(|last| packs.count_on_from(last));
    let tasks = RuntimeTasks::new(Handle::current());
    let packs = Arc::new(packs);
    let service = service(meta, Arc::clone(&packs), tasks.clone(), limits).await?;
    Ok(Opened { service, packs, tasks, _lock: lock })
}

/// Opens a data directory to administer it, beside a running server or without one. Content is out of reach: two processes
/// must not write packs.
pub async fn administer(data_dir: &Path) -> Result<DiskService<MemoryBlobs>, Complaint> {
    require_data(data_dir)?;
    let tasks = RuntimeTasks::new(Handle::current());
    service(open_meta(data_dir)?, Arc::new(MemoryBlobs::new()), tasks, Limits::SHIPPED).await
}

/// Refuses a directory in which no server ever ran: one that is named by mistake gets no second life of its own.
pub fn require_data(data_dir: &Path) -> Result<(), Complaint> {
    if own_files::is_there(&data_dir.join(DATABASE)) {
        return Ok(());
    }
    let shown = data_dir.display();
    let what = match own_files::is_there(data_dir) {
        true => format!("`{shown}` is not the data directory of a server: there is no `{DATABASE}` in it."),
        false => format!("There is no data directory `{shown}`."),
    };
    Err(Complaint::new(Exit::NotFound, "E-NO-DATA-DIR", what).hint(
        "Nothing was made. Name the right one: --data-dir DIR   (the log of the server says which: \"data in …\")\n\
         If it is to be a new server, start it first:   skep-server run --data-dir DIR",
    ))
}

fn open_meta(data_dir: &Path) -> Result<Sqlite, Complaint> {
    open_database(data_dir).map_err(|error| {
        let complaint = failed("E-DATA", format!("Cannot open `{}`: {error}.", data_dir.join(DATABASE).display()));
        match error {
            StoreError::Damaged(_) => complaint.hint("See what is damaged: skep-server fsck --data-dir DIR"),
            StoreError::Newer { known, .. } => complaint.hint(way_back(data_dir, known)),
            _ => complaint,
        }
    })
}

/// The database of a data directory. One of an older format is copied before it is brought to the present one.
pub fn open_database(data_dir: &Path) -> Result<Sqlite, StoreError> {
    let path = data_dir.join(DATABASE);
    if let Some(format) = Sqlite::older_format(&path)? {
        let failed =
            |error: io::Error| StoreError::Failed(format!("cannot copy it before its format changes: {error}"));
        let copy = copy_of_format(data_dir, format);
        // Whatever stands there is of an attempt that was broken off, or of another process at the same work.
        let part = copy.with_extension(format!("{}.part", std::process::id()));
        own_files::remove(&part).map_err(failed)?;
        Sqlite::copy_as_it_is(&path, &part)?;
        own_files::adopt(&part, &copy).map_err(failed)?;
        tracing::info!(
            "the database has format {format}: copied to {}, now brought to the present one",
            copy.display()
        );
    }
    Sqlite::open(&path)
}

/// Where the database is kept as a program left it that knows formats up to this one.
fn copy_of_format(data_dir: &Path, format: u32) -> PathBuf {
    data_dir.join(format!("before-format-{}.db", format + 1))
}

/// What to do when an older program meets a newer database.
fn way_back(data_dir: &Path, known: u32) -> String {
    let (shown, copy) = (data_dir.display(), copy_of_format(data_dir, known));
    let newer = "Nothing was changed. Start the newer program again.";
    if !own_files::is_there(&copy) {
        return format!("{newer} To go back to this one, bring back a backup of its time.");
    }
    format!(
        "{newer} Or go back to this one, with the database as it was before; devices send again what they have more:\n\
           mkdir {shown}/newer && mv {shown}/{DATABASE}* {shown}/newer/\n\
           mv {} {shown}/{DATABASE} && skep-server backup restored --data-dir {shown}",
        copy.display()
    )
}

async fn service<B: BlobStore>(
    meta: Sqlite,
    blobs: Arc<B>,
    tasks: RuntimeTasks,
    limits: Limits,
) -> Result<DiskService<B>, Complaint> {
    let parts = Parts {
        meta: Arc::new(meta),
        blobs,
        clock: Arc::new(RuntimeClock::start()),
        entropy: Arc::new(SystemEntropy),
        tasks,
        limits,
        server_version: format!("{} {}", product::SERVER, env!("CARGO_PKG_VERSION")),
    };
    Service::open(parts).await.map_err(|error| complaint_of(&error))
}

fn make_data_dir(data_dir: &Path) -> Result<(), Complaint> {
    own_files::make_private_dir(data_dir).map_err(|error| {
        failed("E-DATA", format!("Cannot make the directory `{}`: {error}.", data_dir.display()))
            .hint("Name one that you may write to: --data-dir DIR")
    })
}

fn failed(code: &'static str, what: String) -> Complaint {
    Complaint::new(Exit::Failed, code, what)
}

/// Why there is no usable key, told to a person.
pub fn complaint_of_key(error: &KeyError) -> Complaint {
    let hint = match error {
        KeyError::MasterKeyLost(_) => "Bring the file back from your backup. Nothing was changed.",
        KeyError::Disk { .. } | KeyError::Unusable { .. } => "",
    };
    failed("E-KEYS", format!("Cannot use the server's keys: {error}.")).hint(hint)
}

/// Why a command failed, told to a person.
pub fn complaint_of(error: &ServiceError) -> Complaint {
    let (exit, code) = match error {
        ServiceError::Store(StoreError::Exists(_)) => (Exit::Failed, "E-EXISTS"),
        ServiceError::Store(StoreError::NoSpace) => (Exit::Failed, "E-NO-SPACE"),
        ServiceError::Store(_) | ServiceError::Blobs(_) | ServiceError::Gone(_) => (Exit::Failed, "E-INTERNAL"),
        ServiceError::BadUserName { .. } | ServiceError::BadPassword(_) => (Exit::Usage, "E-BAD-REQUEST"),
        ServiceError::UnknownUser(_) | ServiceError::UnknownDevice(_) => (Exit::NotFound, "E-NOT-FOUND"),
        ServiceError::AmbiguousDevice { .. } => (Exit::Usage, "E-AMBIGUOUS"),
        ServiceError::NoSuchKnock => (Exit::NotAllowed, "E-CODE"),
        ServiceError::KnockIsAnswered => (Exit::Temporary, "E-BUSY"),
        ServiceError::FolderOfAnother => (Exit::Guard, "E-OTHER-ACCOUNT"),
        ServiceError::HasAccounts => (Exit::Guard, "E-HAS-ACCOUNTS"),
    };
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    Complaint::new(exit, code, format!("{first}{}.", letters.as_str()))
}

impl<B: BlobStore> Answers for DiskService<B> {
    async fn call(&self, token: Option<&str>, peer: &str, body: ByteStream) -> ByteStream {
        Service::call(self, token, peer, body).await
    }

    async fn feed(&self, token: &str, peer: &str, request: FeedRequest) -> Result<ByteStream, ErrorReply> {
        Service::feed(self, token, peer, request).await
    }
}
