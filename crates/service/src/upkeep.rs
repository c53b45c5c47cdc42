//! Upkeep: retention, garbage collection and scrub, in the background or at once.
//!
//! All of it goes in small steps with pauses between, so that devices do not notice it.

mod collector;
mod marks;
mod packs;
mod scrub;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use skep_blobstore::PackStore;
use skep_drive::Retention;
use skep_metastore::{MetaStore, Read, StoreError, Write};
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_types::{Limits, Timestamp};

pub use collector::{CollectError, Collected, Mode};
pub use scrub::Scrubbed;

use crate::pins::Pins;
use crate::service::lock;
use crate::{Service, ServiceError};
use collector::{Collector, Progress, Works};
use scrub::Scrub;

/// A round of upkeep begins this long after the start, when devices have caught up,
const FIRST_ROUND_AFTER_MS: u64 = 10 * 60_000;
/// and then this often.
const ROUND_EVERY_MS: u64 = 24 * 3_600_000;
/// Between two steps of a round in the background.
const STEP_PAUSE_MS: u64 = 20;
/// Everything is scrubbed this often.
const SCRUB_EVERY_MS: u64 = 30 * 24 * 3_600_000;
/// The setting that holds when the last scrub came to its end.
const SCRUB_TIME: &str = "scrub_time";
/// Bytes that a step of a scrub reads,
const SCRUB_STEP_BYTES: u64 = 4 << 20;
/// and the pause after it: at most 16 MiB a second.
const SCRUB_PAUSE_MS: u64 = 250;

/// Garbage collection in one go, where no service runs. Nobody else may use the packs meanwhile, unless they are only counted.
pub fn collect(
    meta: &impl MetaStore,
    packs: &impl PackStore,
    clock: Timestamp,
    retention: Retention,
    mode: Mode,
) -> Result<Collected, CollectError> {
    let mut collector = Collector::begin(meta, clock, retention, mode)?;
    let pins = Pins::default();
    while collector.step(clock, meta, packs, &pins)? != Progress::Done {}
    Ok(collector.collected)
}

/// Scrub in one go, beside a service or without one.
pub fn scrub(meta: &impl MetaStore, packs: &impl PackStore, limits: &Limits) -> Result<Scrubbed, StoreError> {
    let mut scrub = Scrub::default();
    while scrub.step(meta, packs, limits, SCRUB_STEP_BYTES)? {}
    Ok(scrub.scrubbed)
}

impl<M: MetaStore, B: PackStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// Upkeep for as long as the service runs: a round soon after the start, then one a day; a scrub when the last
    /// one is a month past.
    pub async fn keep_up(&self, retention: Retention) {
        let clock = &self.inner.parts.clock;
        let mut next_ms = clock.monotonic_ms().saturating_add(FIRST_ROUND_AFTER_MS);
        loop {
            clock.sleep_until(next_ms).await;
            match self.collect_garbage(retention).await {
                Ok(collected) => tracing::info!(?collected, "garbage was collected"),
                Err(error) => tracing::error!(%error, "garbage could not be collected; tried again tomorrow"),
            }
            match self.scrub_if_due().await {
                Ok(None) => {}
                Ok(Some(Scrubbed { records, bytes, damaged: 0, unread: 0, .. })) => {
                    tracing::info!(records, bytes, "all content was read and is whole");
                }
                Ok(Some(scrubbed)) => {
                    tracing::error!(?scrubbed, "content is damaged; `skep-server fsck` tells which files");
                }
                Err(error) => tracing::error!(%error, "content could not be scrubbed; tried again tomorrow"),
            }
            next_ms = next_ms.saturating_add(ROUND_EVERY_MS).max(clock.monotonic_ms());
        }
    }

    /// One round of retention and garbage collection, step by step.
    pub async fn collect_garbage(&self, retention: Retention) -> Result<Collected, ServiceError> {
        let parts = &self.inner.parts;
        let clock = parts.clock.now();
        let begun =
            self.job(Lane::Database, move |meta, _, _| Collector::begin(meta, clock, retention, Mode::Collect)).await?;
        let collector = Arc::new(Mutex::new(begun));
        let mut lane = Lane::Database;
        loop {
            let (shared, clock, now_ms) = (Arc::clone(&collector), parts.clock.now(), parts.clock.monotonic_ms());
            let paging_until_ms = Arc::clone(&self.inner.paging_until_ms);
            let step = self.job(lane, move |meta, packs, pins| {
                let mut collector = lock(&shared);
                // Pages of snapshots are read on the lane of this job, one job at a time.
                collector.may_purge = paging_until_ms.load(Ordering::SeqCst) <= now_ms;
                collector.step(clock, meta, packs, pins)
            });
            let progress = step.await?;
            lane = match progress {
                Progress::Done => return Ok(lock(&collector).collected),
                Progress::More(Works::Metadata) => Lane::Database,
                // Long reads and writes must not hold up the commits, which wait on the other lane.
                Progress::More(Works::Packs) => Lane::Disk,
            };
            parts.clock.sleep_until(parts.clock.monotonic_ms() + STEP_PAUSE_MS).await;
        }
    }

    async fn scrub_if_due(&self) -> Result<Option<Scrubbed>, ServiceError> {
        let now = self.inner.parts.clock.now();
        let last = self.read(|read| time_of(read, SCRUB_TIME)).await?;
        // A time in the future comes from a clock that was wrong, and is no reason to wait for it.
        if last.is_some_and(|last| last <= now && now < last.plus_milliseconds(SCRUB_EVERY_MS)) {
            return Ok(None);
        }
        let scrubbed = self.scrub_in_background().await?;
        self.write(move |tx| put_time(tx, SCRUB_TIME, now)).await?;
        Ok(Some(scrubbed))
    }

    async fn scrub_in_background(&self) -> Result<Scrubbed, ServiceError> {
        let parts = &self.inner.parts;
        let limits: Limits = parts.limits;
        let scrub = Arc::new(Mutex::new(Scrub::default()));
        loop {
            let shared = Arc::clone(&scrub);
            let step = self.job(Lane::Disk, move |meta, packs, _| {
                Ok(lock(&shared).step(meta, packs, &limits, SCRUB_STEP_BYTES)?)
            });
            if !step.await? {
                return Ok(lock(&scrub).scrubbed);
            }
            parts.clock.sleep_until(parts.clock.monotonic_ms() + SCRUB_PAUSE_MS).await;
        }
    }

    async fn job<R: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&M, &B, &Pins) -> Result<R, CollectError> + Send + 'static,
    ) -> Result<R, ServiceError> {
        let (meta, blobs) = (Arc::clone(&self.inner.parts.meta), Arc::clone(&self.inner.parts.blobs));
        let pins = Arc::clone(&self.inner.pins);
        let done = offload(&self.inner.parts.tasks, lane, move || work(&meta, &blobs, &pins)).await?;
        done.map_err(|error| match error {
            CollectError::Store(error) => ServiceError::Store(error),
            CollectError::Blobs(error) => ServiceError::Blobs(error),
        })
    }
}

fn time_of(read: &dyn Read, key: &str) -> Result<Option<Timestamp>, StoreError> {
    let Some(bytes) = read.setting(key)? else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged(format!("the setting `{key}`")))?;
    Ok(Some(Timestamp::from_nanoseconds(i128::from_be_bytes(bytes))))
}

fn put_time(tx: &mut dyn Write, key: &str, time: Timestamp) -> Result<(), StoreError> {
    tx.put_setting(key, &time.as_nanoseconds().to_be_bytes())
}
