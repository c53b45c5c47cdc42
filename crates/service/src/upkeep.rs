//! Upkeep: retention, garbage collection and scrub, in the background or at once.
//!
//! All of it goes in small steps with pauses between, so that devices do not notice it.

mod collector;
mod marks;
mod packs;
mod scrub;

use std::sync::{Arc, Mutex};

use skep_blobstore::PackStore;
use skep_drive::Retention;
use skep_metastore::MetaStore;
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
/// Everything is scrubbed this often; in rounds of a terabyte that is less than a megabyte a second.
const SCRUB_ROUNDS: u64 = 30;
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
pub fn scrub(
    meta: &impl MetaStore,
    packs: &impl PackStore,
    limits: &Limits,
) -> Result<Scrubbed, skep_metastore::StoreError> {
    let mut scrub = Scrub::default();
    while scrub.step(meta, packs, limits, SCRUB_STEP_BYTES)? {}
    Ok(scrub.scrubbed)
}

impl<M: MetaStore, B: PackStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// Upkeep for as long as the service runs: a round soon after the start, then one a day; every thirtieth is a scrub, too.
    pub async fn keep_up(&self, retention: Retention) {
        let clock = &self.inner.parts.clock;
        let mut next_ms = clock.monotonic_ms().saturating_add(FIRST_ROUND_AFTER_MS);
        let mut round: u64 = 0;
        loop {
            clock.sleep_until(next_ms).await;
            match self.collect_garbage(retention).await {
                Ok(collected) => tracing::info!(?collected, "garbage was collected"),
                Err(error) => tracing::error!(%error, "garbage could not be collected; tried again tomorrow"),
            }
            if round.is_multiple_of(SCRUB_ROUNDS) {
                match self.scrub_in_background().await {
                    Ok(Scrubbed { records, bytes, damaged: 0, unread: 0, .. }) => {
                        tracing::info!(records, bytes, "all content was read and is whole");
                    }
                    Ok(scrubbed) => {
                        tracing::error!(?scrubbed, "content is damaged; `skep-server fsck` tells which files")
                    }
                    Err(error) => tracing::error!(%error, "content could not be scrubbed; tried again later"),
                }
            }
            round += 1;
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
            let (shared, clock) = (Arc::clone(&collector), parts.clock.now());
            let step = self.job(lane, move |meta, packs, pins| lock(&shared).step(clock, meta, packs, pins));
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
