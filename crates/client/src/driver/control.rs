//! The control task: the one that owns the engine and the trees.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_planner::{CommitFailure, Effect, Engine, EngineProblem, Event, Input, Progress, take_shadow};
use skep_platform::{Clock, Lane, Tasks, offload};
use skep_protocol::{Code, Lineage};
use skep_types::{Cursor, Name, Timestamp};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::activity::Ledger;
use super::bookkeeping::Work;
use super::held::Decided;
use super::history::Renewal;
use super::questions::Question;
use super::{Answers, Driver, STOP_WAIT_MS, Signal, report, wait};
use crate::call::CallError;
use crate::equality::Checked;
use crate::state::{AuditState, Totals};
use crate::status::{Problem, Status};
use crate::world::World;
use crate::{SqliteTrees, StateError};

/// Inputs that one transaction takes.
const TURN_SIGNALS_MAX: usize = 256;
/// Looks at the same time.
const LOOKS_PARALLEL: usize = 16;
/// Read effects at the same time; each reads several files.
const READS_PARALLEL: usize = 2;
/// Commits on their way at the same time.
const COMMITS_PARALLEL: usize = 2;
/// Applies at the same time: a small one need not wait for the bytes of a big one.
const APPLIES_PARALLEL: usize = 2;
/// Waiting cookies that are remembered.
const COOKIES_MAX: usize = 256;

/// What is moved to the database lane for a turn, and back.
struct Mind {
    engine: Engine,
    trees: SqliteTrees,
    ledger: Ledger,
}

/// How many effects of each kind are carried out at the same time. Fair: who came first goes first.
struct Permits {
    looks: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    commits: Arc<Semaphore>,
    applies: Arc<Semaphore>,
}

/// The control task.
pub(super) struct Control<M: World> {
    driver: Arc<Driver<M>>,
    mind: Option<Mind>,
    incarnation: u64,
    permits: Permits,
    /// Effects of this incarnation that are being carried out.
    active: usize,
    progress_of: watch::Sender<Option<Progress>>,
    status: watch::Sender<Status>,
    confirmed: Option<Timestamp>,
    halted: Option<Problem>,
    state_failed: Option<Problem>,
    /// Why nothing can be done on this disk.
    rootless: Option<Problem>,
    /// Why the server cannot be used as it is.
    standstill: Option<Problem>,
    /// The engine begins anew as soon as nothing is being carried out.
    renewal: Option<Renewal>,
    /// Every page of the snapshot that was begun last has been stored so far.
    is_shadow_whole: bool,
    cookies: BTreeMap<Name, oneshot::Sender<()>>,
    stopping: Vec<oneshot::Sender<()>>,
    stop_is_due: bool,
}

/// What came of a turn in the trees.
struct Turn {
    effects: Vec<Effect>,
    progress: Progress,
    totals: Totals,
    two_versions: usize,
    checked: Checked,
}

impl<M: World> Control<M> {
    pub(super) fn new(
        driver: Arc<Driver<M>>,
        engine: Engine,
        trees: SqliteTrees,
        progress_of: watch::Sender<Option<Progress>>,
        status: watch::Sender<Status>,
    ) -> Control<M> {
        let permits = |count| Arc::new(Semaphore::new(count));
        Control {
            driver,
            mind: Some(Mind { engine, trees, ledger: Ledger::default() }),
            incarnation: 0,
            permits: Permits {
                looks: permits(LOOKS_PARALLEL),
                reads: permits(READS_PARALLEL),
                commits: permits(COMMITS_PARALLEL),
                applies: permits(APPLIES_PARALLEL),
            },
            active: 0,
            progress_of,
            status,
            confirmed: None,
            halted: None,
            state_failed: None,
            rootless: None,
            standstill: None,
            renewal: None,
            is_shadow_whole: false,
            cookies: BTreeMap::new(),
            stopping: Vec::new(),
            stop_is_due: false,
        }
    }

    /// Takes inputs until the client stops.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Signal>) {
        let mut signals = vec![Signal::Event(self.driver.selected()), Signal::Event(Event::Started)];
        loop {
            if self.turn(std::mem::take(&mut signals)).await.is_err() {
                // The process is ending in the middle of something; the state is as after the turn before.
                return;
            }
            if !self.stopping.is_empty() && (self.active == 0 || self.stop_is_due) {
                return self.close().await;
            }
            if inbox.recv_many(&mut signals, TURN_SIGNALS_MAX).await == 0 {
                return;
            }
        }
    }

    /// Gives the inputs to the engine, stores what it wrote, then does the rest of what the signals ask.
    async fn turn(&mut self, signals: Vec<Signal>) -> Result<(), skep_platform::Gone> {
        let mut events = Vec::new();
        let mut after = Vec::new();
        let mut heartbeat = false;
        for signal in signals {
            match signal {
                Signal::Event(event) => events.push(event),
                Signal::Answer(incarnation, event) if incarnation == self.incarnation => events.push(event),
                // The engine that asked is no more.
                Signal::Answer(..) => {}
                Signal::Finished(incarnation) => {
                    self.active -= usize::from(incarnation == self.incarnation && self.active > 0);
                }
                Signal::Heartbeat => heartbeat = true,
                other => after.push(other),
            }
        }
        if self.state_failed.is_none() {
            let begins_shadow = events.iter().any(|event| matches!(event, Event::ShadowBegun));
            self.is_shadow_whole |= begins_shadow;
            self.step(events, heartbeat).await?;
        }
        for signal in after {
            self.answer(signal).await?;
        }
        if self.active == 0
            && self.state_failed.is_none()
            && let Some(renewal) = self.renewal.take()
        {
            self.renew(renewal).await?;
        }
        Ok(())
    }

    /// Makes a new engine, of which everything is as it was stored.
    async fn renew(&mut self, renewal: Renewal) -> Result<(), skep_platform::Gone> {
        let mut mind = self.mind.take().ok_or(skep_platform::Gone)?;
        self.new_incarnation(&mut mind);
        // Whoever asked may have been interrupted: then what was taken is not complete, or not of now.
        let met = renewal.met.filter(|_| self.is_shadow_whole && !renewal.done.is_closed());
        let (mind, taken) = offload(self.driver.world.tasks(), Lane::Database, move || {
            let taken = met.map_or(Ok(()), |met| mind.trees.with_step(|trees| take_shadow(trees, &met)));
            (mind, taken)
        })
        .await?;
        self.mind = Some(mind);
        match taken {
            Ok(()) => {
                self.start_engine().await?;
                if renewal.done.send(()).is_err() {
                    // It was not the connection that asked for it, or not this one.
                    self.driver.connect_anew();
                }
            }
            Err(error) => self.state_failed(&error, self.driver.world.clock().now()),
        }
        Ok(())
    }

    /// The first that a new engine hears.
    async fn start_engine(&mut self) -> Result<(), skep_platform::Gone> {
        self.step(vec![self.driver.selected(), Event::Started], false).await
    }

    /// Answers to what the engine asked for so far are not for the next one.
    fn new_incarnation(&mut self, mind: &mut Mind) {
        self.incarnation += 1;
        self.active = 0;
        mind.engine = self.driver.new_engine();
        mind.ledger = Ledger::default();
    }

    async fn step(&mut self, events: Vec<Event>, heartbeat: bool) -> Result<(), skep_platform::Gone> {
        let clock = self.driver.world.clock();
        let (now, at_ms) = (clock.now(), clock.monotonic_ms());
        let saw_change = events.iter().any(|event| matches!(event, Event::Changed { .. }));
        let mut mind = self.mind.take().ok_or(skep_platform::Gone)?;
        let (mind, turn) = offload(self.driver.world.tasks(), Lane::Database, move || {
            let turn = mind.take(events, now, at_ms);
            (mind, turn)
        })
        .await?;
        self.mind = Some(mind);
        match turn {
            Ok(turn) => {
                self.state_failed = None;
                if let Some(mind) = &mut self.mind {
                    mind.ledger.publish(&self.driver.activities);
                }
                let Turn { effects, progress, totals, two_versions, checked } = turn;
                let is_fresh = report::is_equal(&progress) && progress.connected;
                if is_fresh && (heartbeat || self.confirmed.is_none() || !effects.is_empty() || self.was_behind()) {
                    self.confirmed = Some(now);
                }
                if saw_change && !progress.connected {
                    self.driver.reconnect.notify_one();
                }
                let cursor = progress.cursor;
                self.publish(progress, totals, two_versions, checked);
                for effect in effects {
                    self.dispatch(effect, cursor);
                }
            }
            Err(error) => self.state_failed(&error, now),
        }
        Ok(())
    }

    /// Whether the progress that was last published was not equal.
    fn was_behind(&self) -> bool {
        !self.progress_of.borrow().as_ref().is_some_and(report::is_equal)
    }

    /// The step was undone, but the engine has seen it: it goes, and a new one starts from what is stored, later.
    fn state_failed(&mut self, error: &StateError, now: Timestamp) {
        tracing::warn!(%error, "the state cannot be written: trying again later");
        self.state_failed = Some(report::state_failed(error, now));
        self.is_shadow_whole = false;
        self.status.send_modify(|status| status.problems.extend(self.state_failed.clone()));
        if let Some(mut mind) = self.mind.take() {
            self.new_incarnation(&mut mind);
            self.mind = Some(mind);
        }
        let driver = self.driver.clone();
        self.driver.world.tasks().spawn("restart", async move {
            let wait = driver.sleep(driver.limits.retry_max_ms);
            if driver.unless_stopping(wait).await.is_some() {
                driver.tell(Signal::Restart).await;
            }
        });
    }

    fn publish(&mut self, progress: Progress, totals: Totals, two_versions: usize, checked: Checked) {
        let stopped_by = self.halted.iter().chain(&self.rootless).chain(&self.standstill);
        let is_stopped = stopped_by.clone().next().is_some();
        let problems = stopped_by.chain(&self.state_failed).cloned().chain(report::unequal(&checked));
        // That a folder which is not in its place cannot be listed is no second problem.
        let is_told = |problem: &&EngineProblem| self.rootless.is_none() || !problem.path.is_empty();
        let of_nodes = progress.problems.iter().filter(is_told).cloned().map(report::problem_of);
        let status = Status {
            state: report::state_of(&progress, is_stopped, self.driver.pause_now()),
            confirmed: self.confirmed,
            files: totals.files,
            bytes: totals.bytes,
            queue_files: progress.queue_files,
            queue_bytes: totals.waiting,
            ignored: progress.ignored,
            problems: problems.chain(of_nodes).collect(),
            not_synced: progress.not_synced,
            not_synced_told: progress.not_synced_told.iter().cloned().map(report::problem_of).collect(),
            watch_degraded: self.driver.executor().watch_degraded(),
            two_versions,
            pause: self.driver.pause_now(),
            audit: self.status.borrow().audit.clone(),
            changes_since: report::changes_since(&checked, &progress),
            checked,
        };
        if progress.is_whole {
            let at = progress.cursor.and_then(|cursor| cursor.stands_at());
            self.driver.agreed.send_if_modified(|agreed| std::mem::replace(agreed, at) != at);
        }
        self.status.send_if_modified(|old| {
            let differs = *old != status;
            *old = status;
            differs
        });
        self.progress_of.send_if_modified(|old| {
            let differs = old.as_ref() != Some(&progress);
            *old = Some(progress);
            differs
        });
    }

    /// Carries out an effect in a task of its own.
    fn dispatch(&mut self, effect: Effect, cursor: Option<Cursor>) {
        if let Effect::WakeAt { at_ms } = effect {
            self.driver.wake_at.send_replace(Some(at_ms));
            return;
        }
        let is_stopped = self.halted.is_some() || self.rootless.is_some() || !self.stopping.is_empty();
        if is_stopped || self.renewal.is_some() {
            return;
        }
        let permits = match &effect {
            Effect::Look { .. } => &self.permits.looks,
            Effect::Read(_) | Effect::CheckDisplaced { .. } => &self.permits.reads,
            Effect::Apply { .. } => &self.permits.applies,
            Effect::Commit { .. } | Effect::Pull | Effect::WakeAt { .. } => &self.permits.commits,
        };
        let permits = permits.clone();
        let is_paused_with_the_rest = matches!(&effect, Effect::Apply { .. } | Effect::Commit { .. } | Effect::Pull);
        let answers = Answers { signals: self.driver.signals.clone(), incarnation: self.incarnation };
        let driver = self.driver.clone();
        let executor = driver.executor();
        self.active += 1;
        self.driver.world.tasks().spawn("effect", async move {
            // Nobody closes the semaphores.
            let permit = permits.acquire().await;
            // If the client stops meanwhile, nobody waits for the answer.
            let may_begin = !is_paused_with_the_rest || driver.unless_stopping(driver.not_paused()).await.is_some();
            let commit = if let Effect::Commit { commit, .. } = &effect { Some(commit.id) } else { None };
            let done = match (may_begin, commit) {
                (false, _) => Ok(()),
                (true, None) => executor.carry_out(effect, cursor, &answers).await,
                (true, Some(commit)) => {
                    let carried_out = driver.unless_paused(executor.carry_out(effect, cursor, &answers)).await;
                    if carried_out.is_none() {
                        answers.send(Event::Committed { commit, result: Err(CommitFailure::Unreachable) }).await;
                    }
                    carried_out.unwrap_or(Ok(()))
                }
            };
            if let Err(error) = done {
                driver.halt_if_final(&error).await;
            }
            if let Some(error) = executor.root_lost().filter(|_| driver.executor().is(&executor)) {
                let problem = report::root_lost(&error, driver.world.clock().now());
                driver.tell(Signal::RootLost(problem)).await;
            }
            drop(permit);
            driver.tell(Signal::Finished(answers.incarnation)).await;
        });
    }

    async fn answer(&mut self, signal: Signal) -> Result<(), skep_platform::Gone> {
        match signal {
            Signal::Halt(problem) => {
                if self.halted.is_none() {
                    tracing::warn!(code = problem.code, "{}", problem.message);
                    self.status.send_modify(|status| {
                        status.state = crate::status::State::Stopped;
                        status.problems.insert(0, problem.clone());
                    });
                    self.halted = Some(problem);
                }
            }
            Signal::RootLost(problem) => self.root_lost(problem).await?,
            Signal::RootBack => {
                tracing::info!("the folder is in its place again");
                self.rootless = None;
                self.renewal.get_or_insert_with(|| Renewal { met: None, done: oneshot::channel().0 });
            }
            Signal::Standstill(problem) => self.stand_still(problem).await?,
            Signal::Renew(renewal) => self.renewal = Some(renewal),
            Signal::Lineage(lineage) => self.keep_lineage(lineage).await?,
            Signal::Restart => {
                self.start_engine().await?;
                self.driver.connect_anew();
            }
            Signal::Flush(answer) => {
                if let Some(progress) = self.progress_of.borrow().clone() {
                    let _ = answer.send(progress);
                }
            }
            Signal::ExpectCookie(name, seen) => {
                while self.cookies.len() >= COOKIES_MAX {
                    self.cookies.pop_first();
                }
                self.cookies.insert(name, seen);
            }
            Signal::Cookie(name) => {
                if let Some(seen) = self.cookies.remove(&name) {
                    let _ = seen.send(());
                }
            }
            Signal::Question(question) => self.question(question).await?,
            Signal::Work(work) => self.work(work).await?,
            Signal::Resolve(path, keep, answer) => {
                let driver = self.driver.clone();
                let resolving = async move { driver.resolve(path, keep, answer).await };
                self.driver.world.tasks().spawn("resolve", resolving);
            }
            Signal::Audit(audit) => self.keep_audit(audit).await?,
            Signal::DecideHold(decided, answer) => {
                let done = self.decide_hold(decided).await?;
                let _ = answer.send(done);
            }
            Signal::Pause(pause, answer) => {
                self.driver.pause.send_replace(pause);
                // What the engine knows did not change; what is said of it does.
                self.step(Vec::new(), false).await?;
                let _ = answer.send(());
            }
            Signal::Select(selection, answer) => {
                self.driver.selection.send_replace(selection);
                if self.state_failed.is_none() {
                    self.step(vec![self.driver.selected()], false).await?;
                }
                let _ = answer.send(());
            }
            Signal::Wait(timeout_ms, answer) => self.wait(timeout_ms, answer),
            Signal::Stop(stopped) => self.stop(stopped),
            Signal::StopNow => self.stop_is_due = true,
            Signal::Event(_) | Signal::Answer(..) | Signal::Finished(_) | Signal::Heartbeat => {}
        }
        Ok(())
    }

    /// The folder is not in its place. What the engine asks for is not carried out; when the folder is back, a new one begins.
    async fn root_lost(&mut self, problem: Problem) -> Result<(), skep_platform::Gone> {
        if self.rootless.as_ref().is_some_and(|known| known.code == problem.code) {
            return Ok(());
        }
        tracing::warn!(code = problem.code, "{}", problem.message);
        self.rootless = Some(problem);
        self.tell_anew().await
    }

    /// The server cannot be used as it is, or can be again.
    async fn stand_still(&mut self, problem: Option<Problem>) -> Result<(), skep_platform::Gone> {
        if self.standstill.as_ref().map(|problem| problem.code) == problem.as_ref().map(|problem| problem.code) {
            return Ok(());
        }
        if let Some(problem) = &problem {
            tracing::warn!(code = problem.code, "{}", problem.message);
        }
        self.standstill = problem;
        self.tell_anew().await
    }

    /// What the engine knows did not change; what is said of it does.
    async fn tell_anew(&mut self) -> Result<(), skep_platform::Gone> {
        if self.state_failed.is_none() { self.step(Vec::new(), false).await } else { Ok(()) }
    }

    /// Remembers the server's history. If that fails, it is asked for again after the next start.
    async fn keep_lineage(&mut self, lineage: Lineage) -> Result<(), skep_platform::Gone> {
        let mut mind = self.mind.take().ok_or(skep_platform::Gone)?;
        let kept = offload(self.driver.world.tasks(), Lane::Database, move || {
            let kept = mind.trees.with_step(|trees| trees.set_lineage(&lineage)).and_then(|kept| kept);
            (mind, kept)
        });
        let (mind, kept) = kept.await?;
        self.mind = Some(mind);
        if let Err(error) = kept {
            tracing::warn!(%error, "the server's history is not remembered");
        }
        Ok(())
    }

    /// Carries out what a person decided of a hold; false if it is another one by now, or the state could not be written.
    async fn decide_hold(&mut self, decided: Decided) -> Result<bool, skep_platform::Gone> {
        let is_there = |mind: &Mind| mind.engine.hold().is_some_and(|hold| hold.id == decided.hold);
        if !self.mind.as_ref().is_some_and(is_there) || self.state_failed.is_some() {
            return Ok(false);
        }
        self.step(vec![decided.into_event()], false).await?;
        let mut mind = self.mind.take().ok_or(skep_platform::Gone)?;
        // Nobody should have to decide twice because of a power cut.
        let durable = offload(self.driver.world.tasks(), Lane::Database, move || (mind.trees.make_durable(), mind));
        let (durable, mind) = durable.await?;
        self.mind = Some(mind);
        Ok(durable.is_ok() && self.state_failed.is_none())
    }

    /// Keeps how far an audit has come. If that fails, it begins a little earlier after the next start.
    async fn keep_audit(&mut self, audit: AuditState) -> Result<(), skep_platform::Gone> {
        let mut mind = self.mind.take().ok_or(skep_platform::Gone)?;
        let kept = audit.clone();
        let keeping = offload(self.driver.world.tasks(), Lane::Database, move || {
            let done = mind.trees.with_step(|trees| trees.set_audit_state(&kept));
            (mind, done.and_then(|done| done))
        });
        let (mind, done) = keeping.await?;
        self.mind = Some(mind);
        if let Err(error) = done {
            tracing::debug!(%error, "how far the audit is was not kept");
        }
        self.status.send_modify(|status| status.audit = audit);
        Ok(())
    }

    /// Does what is no event for the engine, in a step of its own; then tells how things stand.
    async fn work(&mut self, work: Work) -> Result<(), skep_platform::Gone> {
        if self.state_failed.is_some() {
            // Whoever asked hears that nothing was done.
            return Ok(());
        }
        let mut mind = self.mind.take().ok_or(skep_platform::Gone)?;
        let working = offload(self.driver.world.tasks(), Lane::Database, move || {
            let Mind { engine, trees, .. } = &mut mind;
            let done = trees.with_step(|trees| work.carry_out(engine, trees));
            (mind, done)
        });
        let (mind, done) = working.await?;
        self.mind = Some(mind);
        match done {
            Ok(done) => {
                self.tell_anew().await?;
                done.tell();
            }
            Err(error) => tracing::warn!(%error, "what was found of the state was not kept"),
        }
        Ok(())
    }

    async fn question(&mut self, question: Question) -> Result<(), skep_platform::Gone> {
        let mind = self.mind.take().ok_or(skep_platform::Gone)?;
        let answered = offload(self.driver.world.tasks(), Lane::Database, move || {
            question.answer(&mind.engine, &mind.trees);
            mind
        });
        self.mind = Some(answered.await?);
        Ok(())
    }

    fn wait(&mut self, timeout_ms: u64, answer: oneshot::Sender<crate::status::WaitOutcome>) {
        if self.standstill.is_some() {
            // Whoever asks may have mended it.
            self.driver.reconnect.notify_one();
        }
        if self.halted.is_some() || self.standstill.is_some() {
            let _ = answer.send(crate::status::WaitOutcome::NeedsPerson);
            return;
        }
        if self.driver.pause_now().is_some() {
            let _ = answer.send(crate::status::WaitOutcome::Paused);
            return;
        }
        let deadline_ms = self.driver.world.clock().monotonic_ms().saturating_add(timeout_ms);
        self.driver.world.tasks().spawn("wait", wait::wait_equal(self.driver.clone(), deadline_ms, answer));
    }

    fn stop(&mut self, stopped: oneshot::Sender<()>) {
        if self.stopping.is_empty() {
            self.driver.stopping.send_replace(true);
            let driver = self.driver.clone();
            self.driver.world.tasks().spawn("stop", async move {
                driver.sleep(STOP_WAIT_MS).await;
                driver.tell(Signal::StopNow).await;
            });
        }
        self.stopping.push(stopped);
    }

    /// The last thing of all.
    async fn close(mut self) {
        self.driver.write_agreed().await;
        if let Some(mind) = self.mind.take() {
            let closed = offload(self.driver.world.tasks(), Lane::Database, move || mind.trees.close()).await;
            if let Ok(Err(error)) = closed {
                tracing::warn!(%error, "the state is checked at the next start");
            }
        }
        for stopped in self.stopping {
            let _ = stopped.send(());
        }
    }
}

impl Mind {
    /// One step: all inputs in one transaction.
    fn take(&mut self, events: Vec<Event>, now: Timestamp, at_ms: u64) -> Result<Turn, StateError> {
        let Mind { engine, trees, ledger } = self;
        ledger.take(&events, now);
        let effects = match events.is_empty() {
            true => Vec::new(),
            false => trees.with_step(|trees| {
                let inputs = events.into_iter().map(|event| {
                    tracing::trace!(?event, "the engine takes");
                    Input { now, at_ms, event }
                });
                engine.step(trees, inputs)
            })?,
        };
        for effect in &effects {
            tracing::trace!(?effect, "the engine wants");
        }
        let progress = engine.progress(trees);
        ledger.follow(&effects, &progress, trees, now);
        let (totals, two_versions, checked) = (trees.counted(), trees.count_copies(), trees.checked().clone());
        match trees.take_failure() {
            Some(error) => Err(error),
            None => Ok(Turn { effects, progress, totals, two_versions, checked }),
        }
    }
}

impl<M: World> Driver<M> {
    /// Stops syncing if a call was refused for good.
    async fn halt_if_final(&self, error: &CallError) {
        if matches!(error, CallError::Refused(reply) if reply.code == Code::History) {
            // Connecting finds out what the server's history is.
            self.connect_anew();
        }
        if let Some(problem) = report::halt_by_call(error, self.world.clock().now()) {
            self.tell(Signal::Halt(problem)).await;
        }
    }
}
