//! A single-threaded executor whose every choice follows from a seed, with virtual time and processes that can be killed.
//!
//! A task belongs to a process. Killing a process drops all its tasks wherever they are, also the one that is running: that
//! one is unwound. A job of a lane is a task of its own that never waits; jobs of one lane of one process run in the order
//! in which they were given.

mod core;
mod seams;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use skep_platform::Lane;

use crate::Random;

use core::{Core, TimerId, Work};
pub use core::{ProcessId, TaskId, running_here};
pub use seams::{SimClock, SimEntropy, SimTasks};

/// A task as it is kept.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// A job of a lane.
type Job = Box<dyn FnOnce() + Send>;

/// Unwinds the task that was running when its process was killed.
struct Killed;

/// Why a run ended before its goal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Too many steps: something goes round in circles.
    #[error("more than {steps_max} steps: something goes round in circles; most often ran {busiest:?}")]
    Steps {
        /// So many were allowed.
        steps_max: u64,
        /// What ran most often, and how often.
        busiest: Vec<(&'static str, u64)>,
    },
    /// Nothing can run any more, and the goal is not reached.
    #[error("every task waits for ever")]
    Stuck,
    /// A task panicked.
    #[error("task `{task}` panicked: {message}")]
    Panicked {
        /// The name under which it was spawned.
        task: &'static str,
        /// What it said.
        message: String,
    },
}

/// The executor. Clones are one executor.
#[derive(Clone)]
pub struct Executor {
    core: Arc<Mutex<Core>>,
}

impl Executor {
    /// An executor at virtual time 0 whose choices follow from `random`.
    pub fn new(random: Random) -> Executor {
        Executor { core: Arc::new(Mutex::new(Core::new(random))) }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A kill may unwind while nothing of ours is half done.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process without tasks.
    pub fn add_process(&self) -> ProcessId {
        self.core().add_process()
    }

    /// Ends a process: its tasks are dropped, its jobs never run. If the caller runs in it, this does not return.
    pub fn kill(&self, process: ProcessId) {
        let (dropped, is_running) = self.core().kill(process);
        drop(dropped);
        if is_running && !std::thread::panicking() {
            resume_unwind(Box::new(Killed));
        }
    }

    /// Ends every process. Without this, tasks and timers keep the executor alive for ever.
    pub fn shut_down(&self) {
        let (tasks, timers) = self.core().clear();
        drop(tasks);
        drop(timers);
    }

    /// The process whose task is running now.
    pub fn running(&self) -> Option<ProcessId> {
        self.core().running_process()
    }

    /// Virtual time in microseconds.
    pub fn now_us(&self) -> u64 {
        self.core().now_us
    }

    /// Steps made so far.
    pub fn steps(&self) -> u64 {
        self.core().steps
    }

    /// What runs now takes so long.
    pub fn spend_us(&self, us: u64) {
        self.core().now_us += us;
    }

    /// Adds something that happened to the trace.
    pub fn note(&self, what: &[u8]) {
        self.core().note(what);
    }

    /// A hash over all that happened.
    pub fn trace(&self) -> [u8; 32] {
        self.core().trace()
    }

    /// Runs `task` in `process`.
    pub fn spawn(&self, process: ProcessId, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        // A refused task is dropped here, outside of the lock.
        let refused = self.core().spawn(process, name, Box::pin(task));
        drop(refused);
    }

    /// Completes so many virtual milliseconds later.
    pub fn sleep_ms(&self, ms: u64) -> impl Future<Output = ()> + Send + use<> {
        self.sleep_until_us(self.now_us() + ms * 1000)
    }

    /// Completes at this virtual time.
    pub fn sleep_until_us(&self, at_us: u64) -> impl Future<Output = ()> + Send + use<> {
        Sleep { executor: self.clone(), at_us, timer: None }
    }

    /// Runs until `is_done`, which is asked after every step.
    pub fn run(&self, steps_max: u64, is_done: impl Fn() -> bool) -> Result<(), RunError> {
        while !is_done() {
            if self.steps() >= steps_max {
                return Err(RunError::Steps { steps_max, busiest: self.core().busiest() });
            }
            self.step()?;
        }
        Ok(())
    }

    fn step(&self) -> Result<(), RunError> {
        let due = self.core().take_due_timers();
        due.into_iter().for_each(Waker::wake);
        let picked = self.core().pick();
        let Some((task, name, work)) = picked else {
            let due = self.core().jump_to_next_timer();
            return if due { Ok(()) } else { Err(RunError::Stuck) };
        };
        let outcome = match work {
            Work::Task(mut future) => {
                let waker = Waker::from(Arc::new(TaskWaker { executor: self.clone(), task }));
                let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
                let (done, failed) = split(polled.map(|poll| poll.is_ready()));
                let dropped = self.core().put_back(task, future, done);
                // Dropping a future runs its code, which may itself be stopped by a kill.
                let dropping = catch_unwind(AssertUnwindSafe(|| drop(dropped)));
                failed.or(split(dropping.map(|()| true)).1)
            }
            Work::Job(job) => {
                let ran = catch_unwind(AssertUnwindSafe(job));
                let dropped = self.core().finish_job(task);
                drop(dropped);
                split(ran.map(|()| true)).1
            }
        };
        match outcome {
            Some(message) => Err(RunError::Panicked { task: name, message }),
            None => Ok(()),
        }
    }

    fn run_job(&self, process: ProcessId, lane: Lane, job: Job) {
        let refused = self.core().add_job(process, lane, job);
        drop(refused);
    }
}

/// Whether it is done, and the words of a panic that was no kill.
fn split(result: Result<bool, Box<dyn Any + Send>>) -> (bool, Option<String>) {
    match result {
        Ok(done) => (done, None),
        Err(panic) if panic.is::<Killed>() => (true, None),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            (true, Some(words.unwrap_or_else(|| "without words".to_owned())))
        }
    }
}

struct TaskWaker {
    executor: Executor,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.executor.core().wake(self.task);
    }
}

struct Sleep {
    executor: Executor,
    at_us: u64,
    timer: Option<TimerId>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let at_us = self.at_us;
        let mut core = self.executor.core();
        if core.now_us >= at_us {
            return Poll::Ready(());
        }
        let timer = core.set_timer(self.timer, at_us, context.waker());
        drop(core);
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.executor.core().cancel_timer(timer);
        }
    }
}
