//! The executor as the shipped code sees it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use skep_platform::{Clock, Entropy, Lane, Tasks};
use skep_types::Timestamp;

use super::{Executor, ProcessId};
use crate::Random;

/// When every simulated world begins, in milliseconds: 2026-11-20 14:03:07.
const WORLD_BEGIN_MS: i64 = 1_795_183_387_000;

/// The clock of one machine: its wall clock may be wrong, and may jump.
#[derive(Clone)]
pub struct SimClock {
    executor: Executor,
    offset_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock that is `offset_ms` off.
    pub fn new(executor: &Executor, offset_ms: i64) -> SimClock {
        SimClock { executor: executor.clone(), offset_ms: Arc::new(AtomicI64::new(offset_ms)) }
    }

    /// Somebody sets the clock.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let offset_us = i128::from(WORLD_BEGIN_MS + self.offset_ms.load(Ordering::Relaxed)) * 1000;
        Timestamp::from_nanoseconds((offset_us + i128::from(self.executor.now_us())) * 1000)
    }

    fn monotonic_ms(&self) -> u64 {
        self.executor.now_us() / 1000
    }

    fn sleep_until(&self, at_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.executor.sleep_until_us(at_ms.saturating_mul(1000)))
    }
}

/// The entropy of one process.
pub struct SimEntropy(Mutex<Random>);

impl SimEntropy {
    /// Bytes that follow from `random`.
    pub fn new(random: Random) -> SimEntropy {
        SimEntropy(Mutex::new(random))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

/// The tasks of one process.
#[derive(Clone)]
pub struct SimTasks {
    executor: Executor,
    process: ProcessId,
}

impl SimTasks {
    /// Tasks that belong to `process`.
    pub fn new(executor: &Executor, process: ProcessId) -> SimTasks {
        SimTasks { executor: executor.clone(), process }
    }
}

impl Tasks for SimTasks {
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.executor.spawn(self.process, name, task);
    }

    fn run_job(&self, lane: Lane, job: Box<dyn FnOnce() + Send>) {
        self.executor.run_job(self.process, lane, job);
    }
}
