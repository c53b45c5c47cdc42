//! Reading files again, slowly, to find damage.

use skep_planner::{Location, ReadError, ReadResult};
use skep_platform::{Clock, Files, Lane, offload};

use super::read::{FileReading, read_error};
use crate::Executor;
use crate::world::World;

/// Bytes that one job reads.
const SLICE_BYTES: u64 = 4 << 20;

impl<M: World> Executor<M> {
    /// Reads and hashes a file, at most so many bytes a second.
    pub(crate) async fn audit(&self, at: Location, bytes_per_s: u64) -> Result<ReadResult, ReadError> {
        let shared = self.shared.clone();
        let clock = self.shared.world.clock();
        let began = offload(self.shared.world.tasks(), Lane::Hash, move || {
            let dir = shared.root.files.open_dir(&shared.root.dir, &at.dir)?;
            FileReading::begin(&shared.root.files, &dir, &at.name, 0)
        });
        let mut reading = began.await.map_err(|_| ReadError::Failed)?.map_err(read_error)?;
        loop {
            let (shared, began_ms) = (self.shared.clone(), clock.monotonic_ms());
            let read = offload(self.shared.world.tasks(), Lane::Hash, move || {
                let before = reading.bytes_read();
                while reading.bytes_read() - before < SLICE_BYTES && reading.step(&shared.chunker, &shared.limits)? {}
                let slice = reading.bytes_read() - before;
                Ok((reading, slice))
            });
            let slice;
            (reading, slice) = read.await.map_err(|_| ReadError::Failed)?.map_err(read_error)?;
            if reading.is_done() {
                break;
            }
            clock.sleep_until(began_ms.saturating_add(slice.saturating_mul(1_000) / bytes_per_s.max(1))).await;
        }
        let shared = self.shared.clone();
        let ended = offload(self.shared.world.tasks(), Lane::Hash, move || {
            reading.finish(&shared.root.files, shared.world.clock().now()).map(|read| read.result)
        });
        ended.await.map_err(|_| ReadError::Failed)?.map_err(read_error)
    }
}
