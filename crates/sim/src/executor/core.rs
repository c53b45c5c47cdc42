//! What the executor knows: tasks, lanes, timers, time, trace. Runs nothing itself and drops nothing of others under its lock.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::task::Waker;

use skep_platform::Lane;

use super::{Job, Task};
use crate::Random;

/// A poll or a job takes up to so long.
const STEP_US_MAX: u64 = 20;

/// So many task names are told when a run goes round in circles.
const BUSIEST_MAX: usize = 6;

thread_local! {
    /// What runs on this thread, for whoever reads its log: the number of its process, and the time.
    static RUNNING: Cell<(u32, u64)> = const { Cell::new((0, 0)) };
}

/// The number of the process that runs on this thread, and the virtual time in microseconds at which it began to.
pub fn running_here() -> (u32, u64) {
    RUNNING.get()
}

/// A process in one of its lives: after a restart it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(u32);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.0)
    }
}

/// A task, or a lane of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

/// When it rings, and a number of its own.
pub(super) type TimerId = (u64, u64);

struct Slot {
    process: ProcessId,
    name: &'static str,
    body: Body,
    is_ready: bool,
}

enum Body {
    /// `None` while it is being polled.
    Task(Option<Task>),
    Lane(VecDeque<Job>),
}

impl Body {
    fn into_box(self) -> Box<dyn Send> {
        match self {
            Body::Task(task) => Box::new(task),
            Body::Lane(jobs) => Box::new(jobs),
        }
    }
}

/// What to run in a step.
pub(super) enum Work {
    Task(Task),
    Job(Job),
}

#[derive(Default)]
struct Process {
    is_dead: bool,
    lanes: BTreeMap<Lane, TaskId>,
}

pub(super) struct Core {
    pub(super) now_us: u64,
    pub(super) steps: u64,
    random: Random,
    tasks: BTreeMap<TaskId, Slot>,
    ready: Vec<TaskId>,
    timers: BTreeMap<TimerId, Waker>,
    processes: Vec<Process>,
    running: Option<(TaskId, ProcessId)>,
    numbers: u64,
    trace: blake3::Hasher,
    steps_by_name: BTreeMap<&'static str, u64>,
}

impl Core {
    pub(super) fn new(random: Random) -> Core {
        Core {
            now_us: 0,
            steps: 0,
            random,
            tasks: BTreeMap::new(),
            ready: Vec::new(),
            timers: BTreeMap::new(),
            processes: Vec::new(),
            running: None,
            numbers: 0,
            trace: blake3::Hasher::new(),
            steps_by_name: BTreeMap::new(),
        }
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn add_process(&mut self) -> ProcessId {
        self.processes.push(Process::default());
        ProcessId(self.processes.len() as u32 - 1)
    }

    fn process(&mut self, process: ProcessId) -> &mut Process {
        &mut self.processes[process.0 as usize]
    }

    /// What was dropped, for the caller to drop without the lock, and whether the process is the one that runs.
    pub(super) fn kill(&mut self, process: ProcessId) -> (Vec<Box<dyn Send>>, bool) {
        self.process(process).is_dead = true;
        let running = self.running.map(|(task, _)| task);
        let gone = self.tasks.extract_if(.., |task, slot| slot.process == process && Some(*task) != running);
        let dropped = gone.map(|(_, slot)| slot.body.into_box()).collect();
        self.note(b"kill");
        (dropped, self.running.is_some_and(|(_, running)| running == process))
    }

    /// Kills every process; what was dropped is for the caller to drop without the lock.
    pub(super) fn clear(&mut self) -> (Vec<Box<dyn Send>>, BTreeMap<TimerId, Waker>) {
        let processes = 0..self.processes.len() as u32;
        let dropped = processes.flat_map(|process| self.kill(ProcessId(process)).0).collect();
        (dropped, std::mem::take(&mut self.timers))
    }

    pub(super) fn running_process(&self) -> Option<ProcessId> {
        self.running.map(|(_, process)| process)
    }

    /// Gives the task back if its process is dead.
    pub(super) fn spawn(&mut self, process: ProcessId, name: &'static str, task: Task) -> Option<Task> {
        if self.process(process).is_dead {
            return Some(task);
        }
        let id = TaskId(self.next_number());
        self.tasks.insert(id, Slot { process, name, body: Body::Task(Some(task)), is_ready: false });
        self.wake(id);
        None
    }

    /// Gives the job back if its process is dead.
    pub(super) fn add_job(&mut self, process: ProcessId, lane: Lane, job: Job) -> Option<Job> {
        if self.process(process).is_dead {
            return Some(job);
        }
        let id = match self.process(process).lanes.get(&lane) {
            Some(id) => *id,
            None => {
                let id = TaskId(self.next_number());
                let body = Body::Lane(VecDeque::new());
                self.tasks.insert(id, Slot { process, name: lane_name(lane), body, is_ready: false });
                self.process(process).lanes.insert(lane, id);
                id
            }
        };
        match self.tasks.get_mut(&id) {
            Some(Slot { body: Body::Lane(jobs), .. }) => jobs.push_back(job),
            _ => unreachable!("a lane stays as long as its process"),
        }
        self.wake(id);
        None
    }

    pub(super) fn wake(&mut self, task: TaskId) {
        if let Some(slot) = self.tasks.get_mut(&task)
            && !slot.is_ready
        {
            slot.is_ready = true;
            // Sorted, so that what runs next does not depend on the order in which a primitive wakes those that wait for it: some
            // of them draw it from a generator of their own.
            let at = self.ready.partition_point(|other| *other < task);
            self.ready.insert(at, task);
        }
    }

    /// Takes the next piece of work, chosen from all that could run.
    pub(super) fn pick(&mut self) -> Option<(TaskId, &'static str, Work)> {
        while !self.ready.is_empty() {
            let at = self.random.index(self.ready.len());
            let id = self.ready.remove(at);
            let Some(slot) = self.tasks.get_mut(&id) else { continue };
            slot.is_ready = false;
            let work = match &mut slot.body {
                Body::Task(task) => Work::Task(task.take().expect("a task is polled once at a time")),
                Body::Lane(jobs) => Work::Job(jobs.pop_front().expect("a lane is ready only with a job")),
            };
            let (name, process) = (slot.name, slot.process);
            self.running = Some((id, process));
            RUNNING.set((process.0, self.now_us));
            self.steps += 1;
            *self.steps_by_name.entry(name).or_default() += 1;
            self.now_us += self.random.range(1..=STEP_US_MAX);
            self.note(name.as_bytes());
            self.note(&id.0.to_le_bytes());
            self.note(&self.now_us.to_le_bytes());
            return Some((id, name, work));
        }
        None
    }

    /// Keeps a task that was polled, unless it is done or its process died; then gives it back to be dropped.
    pub(super) fn put_back(&mut self, id: TaskId, task: Task, is_done: bool) -> Option<Task> {
        let process = self.end_step();
        if is_done || self.process(process).is_dead {
            self.tasks.remove(&id);
            return Some(task);
        }
        if let Some(Slot { body: Body::Task(kept), .. }) = self.tasks.get_mut(&id) {
            *kept = Some(task);
            return None;
        }
        Some(task)
    }

    /// Gives back the jobs that wait if their process died, to be dropped without the lock.
    pub(super) fn finish_job(&mut self, id: TaskId) -> Option<Box<dyn Send>> {
        let process = self.end_step();
        if self.process(process).is_dead {
            let slot = self.tasks.remove(&id);
            return slot.map(|slot| slot.body.into_box());
        }
        if let Some(Slot { body: Body::Lane(jobs), .. }) = self.tasks.get(&id)
            && !jobs.is_empty()
        {
            self.wake(id);
        }
        None
    }

    fn end_step(&mut self) -> ProcessId {
        let (_, process) = self.running.take().expect("a step runs one task");
        process
    }

    /// Sets a timer, or renews the one that was set before.
    pub(super) fn set_timer(&mut self, earlier: Option<TimerId>, at_us: u64, waker: &Waker) -> TimerId {
        let timer = earlier.unwrap_or_else(|| (at_us, self.next_number()));
        self.timers.insert(timer, waker.clone());
        timer
    }

    pub(super) fn cancel_timer(&mut self, timer: TimerId) {
        self.timers.remove(&timer);
    }

    pub(super) fn take_due_timers(&mut self) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.timers.first_entry()
            && first.key().0 <= self.now_us
        {
            due.push(first.remove());
        }
        due
    }

    /// Nothing is runnable: it is the time of the next timer. `false` if there is none.
    pub(super) fn jump_to_next_timer(&mut self) -> bool {
        let Some(((at_us, _), _)) = self.timers.first_key_value() else { return false };
        self.now_us = self.now_us.max(*at_us);
        true
    }

    pub(super) fn note(&mut self, what: &[u8]) {
        self.trace.update(&(what.len() as u32).to_le_bytes());
        self.trace.update(what);
    }

    /// The task names that ran most often, and how often.
    pub(super) fn busiest(&self) -> Vec<(&'static str, u64)> {
        let mut names: Vec<_> = self.steps_by_name.iter().map(|(name, steps)| (*name, *steps)).collect();
        names.sort_by_key(|(_, steps)| std::cmp::Reverse(*steps));
        names.truncate(BUSIEST_MAX);
        names
    }

    pub(super) fn trace(&self) -> [u8; 32] {
        *self.trace.finalize().as_bytes()
    }
}

fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Hash => "lane hash",
        Lane::Disk => "lane disk",
        Lane::Zstd => "lane zstd",
        Lane::Database => "lane database",
    }
}
