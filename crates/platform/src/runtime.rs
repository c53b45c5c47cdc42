//! Clock, entropy and tasks over tokio and the system: what both programs run on.

use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use skep_types::Timestamp;
use tokio::runtime::Handle;

use crate::{Clock, Entropy, Lane, Tasks};

/// Threads of the lane [`Lane::Disk`]: enough to keep a disk busy, few enough not to thrash one that seeks.
const DISK_THREADS: usize = 4;

/// Waits until this program is told to stop, and says by what.
#[cfg(unix)]
pub async fn stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let heard = "a program can listen for signals";
    let mut terminate = signal(SignalKind::terminate()).expect(heard);
    let mut interrupt = signal(SignalKind::interrupt()).expect(heard);
    tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Waits until this program is told to stop, and says by what.
#[cfg(not(unix))]
pub async fn stop_signal() -> &'static str {
    tokio::signal::ctrl_c().await.expect("a program can listen for Ctrl-C");
    "Ctrl-C"
}

/// The system's clocks; sleeps by tokio's timer.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeClock {
    zero: Instant,
}

impl RuntimeClock {
    /// A clock whose monotonic zero is now.
    #[expect(clippy::disallowed_methods, reason = "this is the adapter by which everything else gets the time")]
    pub fn start() -> RuntimeClock {
        RuntimeClock { zero: Instant::now() }
    }
}

impl Clock for RuntimeClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter by which everything else gets the time")]
    fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        let nanoseconds = match now.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        Timestamp::from_nanoseconds(nanoseconds)
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, at_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let deadline = self.zero.checked_add(Duration::from_millis(at_ms));
        Box::pin(async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                // Further away than the clock can count.
                None => std::future::pending().await,
            }
        })
    }
}

/// The system's random bytes.
#[derive(Debug, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes)
            .expect("a system that runs programs gives random bytes; going on without would be worse");
    }
}

/// Tasks on a tokio runtime, blocking jobs on threads of our own, so that a lane's bound is a number of threads.
#[derive(Debug, Clone)]
pub struct RuntimeTasks {
    runtime: Handle,
    lanes: Arc<Lanes>,
}

impl RuntimeTasks {
    /// Spawns on `runtime`. Threads start when they are first needed and end with the last clone of this.
    pub fn new(runtime: Handle) -> RuntimeTasks {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let lanes = Lanes {
            hash: LaneThreads::new("hash", cores),
            disk: LaneThreads::new("disk", DISK_THREADS),
            zstd: LaneThreads::new("zstd", cores),
            database: LaneThreads::new("database", 1),
        };
        RuntimeTasks { runtime, lanes: Arc::new(lanes) }
    }
}

impl Tasks for RuntimeTasks {
    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    fn run_job(&self, lane: Lane, job: Box<dyn FnOnce() + Send>) {
        match lane {
            Lane::Hash => self.lanes.hash.run(job),
            Lane::Disk => self.lanes.disk.run(job),
            Lane::Zstd => self.lanes.zstd.run(job),
            Lane::Database => self.lanes.database.run(job),
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Lanes {
    hash: LaneThreads,
    disk: LaneThreads,
    zstd: LaneThreads,
    database: LaneThreads,
}

/// The threads of one lane. Their queue has no bound of its own: who waits in it was bounded where it came from, and a
/// caller cannot be made to wait here without blocking the runtime.
#[derive(Debug)]
struct LaneThreads {
    name: &'static str,
    threads_max: usize,
    shared: Arc<LaneShared>,
}

struct LaneShared {
    state: Mutex<LaneState>,
    changed: Condvar,
}

#[derive(Default)]
struct LaneState {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for LaneShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        write!(f, "{} jobs, {} threads, {} idle", state.jobs.len(), state.threads, state.idle)
    }
}

impl LaneShared {
    /// Jobs run outside the lock, so a poisoned one still guards a whole state.
    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Whoever waits for the job's answer learns of its panic by the answer's absence.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

impl LaneThreads {
    fn new(name: &'static str, threads_max: usize) -> LaneThreads {
        let shared = LaneShared { state: Mutex::default(), changed: Condvar::new() };
        LaneThreads { name, threads_max, shared: Arc::new(shared) }
    }

    fn run(&self, job: Job) {
        let mut state = self.shared.lock();
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle && state.threads < self.threads_max {
            let shared = self.shared.clone();
            let started = thread::Builder::new().name(self.name.into()).spawn(move || shared.work());
            match started {
                Ok(_) => state.threads += 1,
                // The threads that are there will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => panic!("cannot start the first thread of the lane {}: {error}", self.name),
            }
        }
        self.shared.changed.notify_one();
    }
}

impl Drop for LaneThreads {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{Gone, offload};

    #[tokio::test]
    async fn jobs_of_one_lane_start_in_order_and_one_that_panics_harms_no_other() {
        let tasks = RuntimeTasks::new(Handle::current());
        let (order, ordered) = mpsc::channel();
        for number in 0..100 {
            let order = order.clone();
            tasks.run_job(Lane::Database, Box::new(move || order.send(number).unwrap()));
        }
        let panicked: Result<(), Gone> = offload(&tasks, Lane::Database, || panic!("on purpose")).await;
        assert_eq!(panicked, Err(Gone));
        assert_eq!(offload(&tasks, Lane::Database, || 7).await, Ok(7));
        assert_eq!(ordered.try_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_lane_runs_as_many_jobs_at_once_as_it_has_threads() {
        let tasks = RuntimeTasks::new(Handle::current());
        let all_here = Arc::new(std::sync::Barrier::new(DISK_THREADS));
        let jobs: Vec<_> = (0..DISK_THREADS)
            .map(|_| {
                let all_here = all_here.clone();
                // Each waits for all the others: with fewer threads this would never end.
                offload(&tasks, Lane::Disk, move || all_here.wait().is_leader())
            })
            .collect();
        let leaders = futures_util::future::join_all(jobs).await;
        assert_eq!(leaders.iter().filter(|leader| **leader == Ok(true)).count(), 1);
    }

    #[tokio::test]
    async fn the_clock_sleeps_until_its_own_time() {
        let clock = RuntimeClock::start();
        let at_ms = clock.monotonic_ms() + 5;
        clock.sleep_until(at_ms).await;
        assert!(clock.monotonic_ms() >= at_ms);
        assert_ne!(SystemEntropy.bytes::<32>(), SystemEntropy.bytes::<32>());
    }
}
