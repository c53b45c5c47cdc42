//! Clock, entropy and tasks.

use std::future::Future;
use std::pin::Pin;

use skep_types::Timestamp;

/// What tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time; may jump. For display, for mtimes, for conflict names.
    fn now(&self) -> Timestamp;
    /// Milliseconds that never go back; their zero is arbitrary. For time-outs and retries.
    fn monotonic_ms(&self) -> u64;
    /// Completes when [`Clock::monotonic_ms`] is at least `at_ms`.
    fn sleep_until(&self, at_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Where unpredictable bytes come from.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);

    /// That many unpredictable bytes.
    fn bytes<const N: usize>(&self) -> [u8; N]
    where
        Self: Sized,
    {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// Pools for work that blocks; each has its own bound on parallel jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Reading and hashing.
    Hash,
    /// Writing files, renames and syncs.
    Disk,
    /// Compression and decompression.
    Zstd,
    /// Statements on a database; one job at a time.
    Database,
}

/// Runs tasks. Everything that runs is spawned here, so that the simulator decides what runs next.
pub trait Tasks: Clone + Send + Sync + 'static {
    /// Runs `task` until it completes or the process ends. `name` is for logs and traces.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static);

    /// Runs a blocking `job` on `lane`; jobs of one lane start in the order in which they were given.
    fn run_job(&self, lane: Lane, job: Box<dyn FnOnce() + Send>);
}

/// The task that should have answered is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task that should have answered has ended")]
pub struct Gone;

/// Runs a blocking `job` on `lane` and gives back what it returned; [`Gone`] if it panicked.
pub async fn offload<T: Send + 'static>(
    tasks: &impl Tasks,
    lane: Lane,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Gone> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    tasks.run_job(
        lane,
        Box::new(move || {
            // The caller may have gone away meanwhile; then nobody wants the answer.
            let _ = answer.send(job());
        }),
    );
    answered.await.map_err(|_| Gone)
}
