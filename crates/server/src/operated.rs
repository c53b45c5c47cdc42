//! The service with what only its shell knows of it: whether its disk is well, and how much is on it.

use std::sync::Arc;
use std::time::Duration;

use skep_blobstore::PackStore as _;
use skep_platform::runtime::RuntimeTasks;
use skep_platform::{Files, Lane, NativeFiles, offload, own_files};
use skep_protocol::{ByteStream, ErrorReply, FeedRequest};
use tokio::time::timeout;

use crate::acme::{self, Standings};
use crate::answers::Answers;
use crate::config::Site;
use crate::metrics::{self, Gauges};
use crate::store::{DiskService, Opened, Packs};

/// A database that answers later than this does not answer.
const DATABASE_WITHIN: Duration = Duration::from_secs(5);
/// With less space than one pack takes, devices are refused before long.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// A service on its disk, as the accept loop serves it.
#[derive(Clone)]
pub struct Operated {
    service: DiskService<Packs>,
    packs: Arc<Packs>,
    tasks: RuntimeTasks,
    site: Site,
    /// Of the public certificate, if one is ordered.
    standings: Option<Arc<Standings>>,
}

impl Operated {
    /// What was opened at a site.
    pub fn new(opened: &Opened, site: &Site, standings: Option<Arc<Standings>>) -> Operated {
        let Opened { service, packs, tasks, .. } = opened;
        let (service, packs, tasks) = (service.clone(), Arc::clone(packs), tasks.clone());
        Operated { service, packs, tasks, site: site.clone(), standings }
    }
}

impl Answers for Operated {
    async fn call(&self, token: Option<&str>, peer: &str, body: ByteStream) -> ByteStream {
        self.service.call(token, peer, body).await
    }

    async fn feed(&self, token: &str, peer: &str, request: FeedRequest) -> Result<ByteStream, ErrorReply> {
        self.service.feed(token, peer, request).await
    }

    async fn readiness(&self) -> Result<Option<String>, String> {
        match timeout(DATABASE_WITHIN, self.service.ask_database()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("The database does not answer: {error}.")),
            Err(_) => return Err("The database does not answer.".to_owned()),
        }
        let site = self.site.clone();
        let disk = offload(&self.tasks, Lane::Disk, move || look_at_disk(&site)).await;
        disk.unwrap_or_else(|_| Err("The server is stopping.".to_owned()))?;
        Ok(self.standings.as_ref().and_then(|standings| standings.now().told(acme::now())))
    }

    async fn metrics(&self) -> String {
        let (site, packs) = (self.site.clone(), Arc::clone(&self.packs));
        let gauges = offload(&self.tasks, Lane::Disk, move || measure(&site, &packs)).await;
        let certificate = self.standings.as_ref().map(|standings| standings.now());
        let gauges = Gauges { certificate, ..gauges.unwrap_or_default() };
        metrics::text(&self.service.figures(), &gauges, env!("CARGO_PKG_VERSION"))
    }
}

fn look_at_disk(site: &Site) -> Result<(), String> {
    own_files::is_writable_dir(&site.data_dir.join("packs"))
        .map_err(|error| format!("The directory of packs cannot be written to: {error}."))?;
    match free_bytes(site) {
        Some(free) if free < FREE_BYTES_MIN => Err(format!("The disk is full: {free} bytes are left.")),
        _ => Ok(()),
    }
}

fn free_bytes(site: &Site) -> Option<u64> {
    NativeFiles::open(&site.data_dir).and_then(|files| files.free_bytes()).ok()
}

fn measure(site: &Site, packs: &Packs) -> Gauges {
    let finished = packs.finished_packs().ok();
    Gauges {
        pack_bytes: finished.map(|packs| packs.iter().map(|(_, bytes)| bytes).sum()),
        disk_free_bytes: free_bytes(site),
        resident_bytes: resident_bytes(),
        certificate: None,
    }
}

#[cfg(target_os = "linux")]
fn resident_bytes() -> Option<u64> {
    let statm = own_files::read("/proc/self/statm".as_ref()).ok()??;
    let pages: u64 = std::str::from_utf8(&statm).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(not(target_os = "linux"))]
fn resident_bytes() -> Option<u64> {
    None
}
