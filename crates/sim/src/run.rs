//! From a seed to a verdict.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use skep_client::WaitOutcome;
use skep_types::Seq;

use crate::RunError;
use crate::known::unless_known;
use crate::oracle::{Tree, difference};
use crate::world::{End, Listener, Options, Swarm, World};

/// More steps than any seed needs by far.
const STEPS_MAX: u64 = 400_000;
/// How long, in virtual time, all clients may take until they are equal once nothing goes wrong any more.
const SETTLE_MS_MAX: u64 = 900_000;
/// Pause before all are asked again.
const SETTLE_PAUSE_MS: u64 = 2_000;
/// How long a client is asked to wait for equality at a time.
const WAIT_MS: u64 = 60_000;

/// Of so many seeds, one is run twice: both must tell the same story.
const TWICE_ONE_IN: u64 = 50;

/// What a seed came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// A hash over everything that happened.
    pub trace: [u8; 32],
    /// Polls and jobs that ran.
    pub steps: u64,
    /// Virtual time that passed.
    pub virtual_ms: u64,
    /// Entries in the journal at the end.
    pub entries: u64,
    /// Contents that people saved and that had to be kept.
    pub contents: u64,
}

/// A seed in which something happened that must never happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    /// Which seed.
    pub seed: u64,
    /// What happened.
    pub what: String,
    /// Of which worlds.
    pub swarm: Swarm,
    /// The last events before it.
    pub history: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.history.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        let flag = if self.swarm == Swarm::Meetings { " --meetings" } else { "" };
        write!(f, "replay: cargo xtask sim {}{flag}", self.seed)
    }
}

/// Runs the world of a seed to its end.
pub fn run_seed(seed: u64, swarm: Swarm) -> Result<Outcome, Violation> {
    let run = || run_world(seed, Options::drawn(seed, swarm), Listener::Report);
    let outcome = run()?;
    if seed.is_multiple_of(TWICE_ONE_IN) && run()? != outcome {
        let what = "the same seed told another story the second time".to_owned();
        return Err(Violation { seed, what, swarm, history: Vec::new() });
    }
    Ok(outcome)
}

/// Sums over many seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Seeds that ran.
    pub seeds: u64,
    /// Of these, such in which just the fault showed that is known of them.
    pub known: u64,
    /// Polls and jobs.
    pub steps: u64,
    /// Virtual time.
    pub virtual_ms: u64,
    /// Journal entries.
    pub entries: u64,
    /// Contents that had to be kept.
    pub contents: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.virtual_ms / 3_600_000, self.virtual_ms / 60_000 % 60);
        write!(
            f,
            "{} steps, {} journal entries, {} contents kept, {hours} h {minutes} min of virtual time",
            self.steps, self.entries, self.contents
        )
    }
}

/// Runs so many seeds from `start` on, up to the first violation.
pub fn run_many(start: u64, seeds: u64, swarm: Swarm) -> Result<Figures, Violation> {
    let mut figures = Figures::default();
    for seed in start..start.saturating_add(seeds) {
        figures.seeds += 1;
        let Some(told) = unless_known(seed, swarm, run_seed(seed, swarm)) else {
            figures.known += 1;
            continue;
        };
        let outcome = told?;
        figures.steps += outcome.steps;
        figures.virtual_ms += outcome.virtual_ms;
        figures.entries += outcome.entries;
        figures.contents += outcome.contents;
    }
    Ok(figures)
}

/// Runs so many seeds from `start` on, all of them, and gives those in which something was violated.
pub fn run_all(start: u64, seeds: u64, swarm: Swarm) -> impl Iterator<Item = Violation> {
    (start..start.saturating_add(seeds)).filter_map(move |seed| run_seed(seed, swarm).err())
}

/// Runs a world with these options; the rest follows from the seed.
pub fn run_world(seed: u64, options: Options, listener: Listener) -> Result<Outcome, Violation> {
    let swarm = if options.meetings.backup_every_ms > 0 { Swarm::Meetings } else { Swarm::Usual };
    let world = World::new(seed, options, listener);
    let verdict: Arc<Mutex<Option<Result<(), String>>>> = Arc::default();
    let (told, judged) = (Arc::clone(&verdict), Arc::clone(&world));
    world.executor.spawn(world.process, "world", async move {
        let result = play(&judged).await;
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    let is_over = || verdict.lock().unwrap_or_else(PoisonError::into_inner).is_some() || world.violation().is_some();
    let ran = world.executor.run(STEPS_MAX, is_over);
    let judged = verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
    let failure = match (ran, world.violation(), judged) {
        (_, Some(violation), _) => Some(violation),
        (Err(RunError::Panicked { task, message }), ..) => Some(format!("task `{task}` panicked: {message}")),
        (Err(error), ..) => Some(error.to_string()),
        (_, _, Some(Err(failure))) => Some(failure),
        _ => None,
    };
    let outcome = Outcome {
        trace: world.executor.trace(),
        steps: world.executor.steps(),
        virtual_ms: world.executor.now_us() / 1000,
        entries: world.head().0,
        contents: world.ledger().saved_count() as u64,
    };
    let history = world.history();
    world.shut_down();
    match failure {
        Some(what) => Err(Violation { seed, what, swarm, history }),
        None => Ok(outcome),
    }
}

/// The play in three acts: people and troubles; calm until all is equal; the same after a restart of everything.
async fn play(world: &Arc<World>) -> Result<(), String> {
    world.start_all();
    let executor = &world.executor;
    executor.spawn(world.process, "take care", Arc::clone(world).take_care());
    executor.spawn(world.process, "strike", Arc::clone(world).strike());
    if world.options.meetings.backup_every_ms > 0 {
        executor.spawn(world.process, "back up", Arc::clone(world).back_up());
        executor.spawn(world.process, "restore", Arc::clone(world).restore());
        executor.spawn(world.process, "lose states", Arc::clone(world).lose_states());
    }
    executor.spawn(world.process, "audit", Arc::clone(world).audit());
    executor.spawn(world.process, "decide", Arc::clone(world).decide_holds());
    let people = (0..world.options.machines).map(|machine| live(world, machine));
    futures_util::future::join_all(people).await;
    world.until_people_may_act().await;
    (0..world.options.machines).for_each(|machine| world.close_files(machine));
    world.select_everything();
    world.calm_down();
    settle(world).await?;
    check(world).await?;
    if world.options.is_emptied {
        world.empty_a_folder().await?;
        settle(world).await?;
        check(world).await?;
    }
    if world.options.rotten_files > 0 {
        let rotten = world.rot().await?;
        world.verify_all().await;
        settle(world).await?;
        check(world).await?;
        world.check_rot(&rotten)?;
    }
    if world.options.keeps_files_open() {
        // What was written to a displaced file comes back as a second version when a client starts.
        restart(world).await?;
    }
    let before = stand(world);
    restart(world).await?;
    let after = stand(world);
    // Earlier, a failing disk may have kept a client from tidying up.
    world.check_no_stray()?;
    // Earlier, what was written to a displaced file lies in a safe.
    world.check_nothing_lost()?;
    if before.head != after.head {
        let entries = world.entries_after(before.head)?;
        return Err(format!("a restart of everything wrote to the journal: {entries}"));
    }
    let mut disks = before.trees.iter().zip(&after.trees);
    let changed = disks.find_map(|(before, after)| difference(("before", before), ("after", after)));
    changed.map_or(Ok(()), |difference| Err(format!("a restart of everything changed a disk: {difference}")))
}

/// How everything stands.
struct Stand {
    head: Seq,
    trees: Vec<Tree>,
}

fn stand(world: &World) -> Stand {
    let trees = (0..world.options.machines).map(|machine| world.machine_tree(machine)).collect();
    Stand { head: world.head(), trees }
}

async fn restart(world: &Arc<World>) -> Result<(), String> {
    world.end_server(End::Kill);
    (0..world.options.machines).for_each(|machine| world.end_client(machine, End::Kill));
    world.start_all();
    settle(world).await?;
    check(world).await
}

/// A person does this and that, then stops.
async fn live(world: &Arc<World>, machine: usize) {
    for _ in 0..world.options.actions {
        let pause_us = world.draw_pause_us();
        world.executor.sleep_until_us(world.executor.now_us() + pause_us).await;
        world.until_people_may_act().await;
        world.act(machine);
        world.choose_now_and_then(machine);
    }
}

/// Waits until every client says that it is equal, one after the other, with nothing new in between.
async fn settle(world: &Arc<World>) -> Result<(), String> {
    let until_us = world.executor.now_us() + SETTLE_MS_MAX * 1000;
    let mut outcomes = Vec::new();
    while world.executor.now_us() < until_us {
        let head = world.head();
        outcomes.clear();
        for machine in 0..world.options.machines {
            let outcome = world.wait_equal(machine, WAIT_MS).await;
            if outcome == Some(WaitOutcome::NeedsPerson) {
                world.decide_hold(machine, world.draw_decision()).await;
            }
            outcomes.push(outcome);
        }
        if outcomes.iter().all(|outcome| *outcome == Some(WaitOutcome::Equal)) && head == world.head() {
            return Ok(());
        }
        world.executor.sleep_ms(SETTLE_PAUSE_MS).await;
    }
    let statuses = (0..world.options.machines).map(|machine| world.describe(machine));
    let statuses: Vec<String> = statuses.collect();
    Err(format!("the clients do not settle: {outcomes:?}; {}", statuses.join("; ")))
}

async fn check(world: &Arc<World>) -> Result<(), String> {
    world.check_server()?;
    world.check_equal()?;
    if world.options.has_rules || world.options.has_selection {
        world.check_trash()?;
    }
    world.check_no_needless_copy()?;
    world.check_sums().await
}
