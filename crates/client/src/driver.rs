//! The loop: inputs go into the engine one after the other, what it writes is stored, what it wants is carried out.
//!
//! One task owns the engine and the trees. Everything else tells it something through one bounded queue: the watcher, the connection,
//! timers, and the tasks that carry out effects. So the order of inputs is the order in which the queue took them, and a state is
//! stored before anything that rests on it is done.

mod activity;
mod agreed;
mod audit;
mod bookkeeping;
mod connection;
mod control;
mod equality;
mod folder;
mod held;
mod history;
mod pause;
mod questions;
mod report;
mod wait;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use skep_planner::{Engine, Event, Identity, Progress};
use skep_platform::{Clock, Entropy, Files, Gone, Hint, Lane, Tasks, WatchError, Watcher, offload};
use skep_protocol::Lineage;
use skep_types::{Change, DeviceId, DriveId, Limits, Name, NodeId, Version};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::call::Server;
use crate::conflicts::{Keep, ResolveError};
use crate::executor::Executor;
use crate::root::{RootError, RootId, open_root, own_dir};
use crate::safe;
use crate::state::AuditState;
use crate::status::{Pause, Problem, Selection, Status, WaitOutcome, Wishes};
use crate::throttle::{Rates, Throttle, WorldClock};
use crate::world::World;
use crate::{SqliteTrees, StateError};
use history::Renewal;

pub use activity::{Activity, ActivityKind};
pub use audit::Verified;

/// Inputs that wait for the engine.
const SIGNALS_MAX: usize = 1024;
/// The directory `.skep`, to the watcher: no node has this id.
const OWN_DIR: NodeId = NodeId::from_bytes([0xff; 16]);
/// A clean stop waits so long for what is being carried out.
const STOP_WAIT_MS: u64 = 5_000;

/// How the client hears of changes on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Feed {
    /// The server tells at once.
    #[default]
    Push,
    /// The server is asked every [`Limits::poll_ms`].
    Poll,
}

/// What a client works for; kept in its configuration since it joined.
#[derive(Debug, Clone)]
pub struct Account {
    /// The drive that the folder shows.
    pub drive: DriveId,
    /// This device.
    pub device: DeviceId,
    /// What its owner calls it.
    pub device_name: String,
    /// The secret that proves to be this device.
    pub token: String,
    /// The folder's marker.
    pub root: RootId,
    /// Program and version.
    pub client_version: String,
}

/// What [`Client::start`] takes.
pub struct Start<M> {
    /// What it runs on.
    pub world: Arc<M>,
    /// The state, open.
    pub trees: SqliteTrees,
    /// What it works for.
    pub account: Account,
    /// The bounds that it keeps.
    pub limits: Limits,
    /// How it hears of changes.
    pub feed: Feed,
}

/// The client did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The folder cannot be synced.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The program is ending.
    #[error(transparent)]
    Ending(#[from] Gone),
}

/// The client has ended and answers no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client has ended")]
pub struct Ended;

/// A running client.
#[derive(Debug, Clone)]
pub struct Client {
    signals: mpsc::Sender<Signal>,
    status: watch::Receiver<Status>,
    activities: Arc<activity::Activities>,
    throttle: Throttle,
    verifier: audit::Verifier,
    comparer: equality::Comparer,
}

impl Client {
    /// Opens the root and starts to sync it. What runs is spawned on the world's tasks, until [`Client::stop`].
    pub async fn start<M: World>(start: Start<M>) -> Result<Client, StartError> {
        Client::start_with(start, Wishes::default()).await
    }

    /// The same, with what a person has wished for before.
    pub async fn start_with<M: World>(start: Start<M>, wishes: Wishes) -> Result<Client, StartError> {
        let Start { world, trees, account, limits, feed } = start;
        let opening = world.clone();
        let expected = account.root;
        let root = offload(world.tasks(), Lane::Disk, move || {
            let root = open_root(opening.files(), expected)?;
            let now = opening.clock().now();
            if let Err(error) = safe::look_through(&root, now, limits.safe_keep_ms) {
                tracing::warn!(%error, "the safe could not be looked through");
            }
            Ok::<_, RootError>(root)
        });
        let root = root.await??;
        let lineage = trees.lineage()?;
        let is_watching_own = watch_own_dir(&*world, &root.own);
        let server = Server::new(world.link().clone(), account.token, account.drive, account.client_version, limits);
        let throttle = Throttle::new(WorldClock(world.clone()), wishes.rates);
        let server = server.slowed_by(throttle.clone());
        let identity = Identity { device: account.device, device_name: account.device_name, drive: account.drive };
        let executor = Executor::new(world.clone(), root, server.clone(), limits);
        let (signals, inbox) = mpsc::channel(SIGNALS_MAX);
        let (progress, progress_seen) = watch::channel(None);
        let (status, status_seen) = watch::channel(report::at_start(&trees));
        let activities = Arc::new(activity::Activities::new());
        let shared = Arc::new(Driver {
            world: world.clone(),
            server,
            executor: RwLock::new(executor),
            limits,
            identity,
            root: expected,
            signals: signals.clone(),
            progress: progress_seen,
            is_watching_own: AtomicBool::new(is_watching_own),
            check_root: Notify::new(),
            root_turn: tokio::sync::Mutex::new(()),
            root_failures: AtomicU32::new(0),
            mounts: AtomicU64::new(0),
            reconnect: Notify::new(),
            connect_again: Notify::new(),
            stopping: watch::channel(false).0,
            wake_at: watch::channel(None).0,
            pause: watch::channel(wishes.pause).0,
            selection: watch::channel(wishes.selection).0,
            activities: activities.clone(),
            lineage: Mutex::new(lineage),
            agreed: watch::channel(None).0,
            written: watch::channel(None).0,
            auditing: tokio::sync::Mutex::new(()),
            comparing: tokio::sync::Mutex::new(()),
        });
        let engine = shared.new_engine();
        let control = control::Control::new(shared.clone(), engine, trees, progress, status);
        let tasks = world.tasks();
        tasks.spawn("control", control.run(inbox));
        tasks.spawn("watch", shared.clone().watch());
        tasks.spawn("wake", shared.clone().wake());
        tasks.spawn("scan", shared.clone().scan());
        tasks.spawn("folder", shared.clone().guard_root());
        tasks.spawn("remember", shared.clone().remember());
        tasks.spawn("audit", shared.clone().audit());
        tasks.spawn("connection", connection::run(shared.clone(), feed));
        tasks.spawn("equality", shared.clone().keep_comparing());
        let (verifier, comparer) = (audit::Verifier::new(shared.clone()), equality::Comparer::new(shared));
        Ok(Client { signals, status: status_seen, activities, throttle, verifier, comparer })
    }

    /// From now on, bytes go at these rates.
    pub fn limit(&self, rates: Rates) {
        self.throttle.set(rates);
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Completes when the status may have changed since the last call, with the new one.
    pub async fn status_changed(&mut self) -> Result<Status, Ended> {
        self.status.changed().await.map_err(|_| Ended)?;
        Ok(self.status.borrow_and_update().clone())
    }

    /// Completes when the folder, as it was at the time of the call, and the server, as it was then, are equal; or when `timeout_ms`
    /// are over.
    pub async fn wait_equal(&self, timeout_ms: u64) -> Result<WaitOutcome, Ended> {
        self.ask(|answer| Signal::Wait(timeout_ms, answer)).await
    }

    /// Ends the client: what is being carried out is finished, within bounds, and the state closed.
    pub async fn stop(&self) {
        // If it has ended already, that is what was asked for.
        let _ = self.ask(Signal::Stop).await;
    }

    async fn ask<T>(&self, signal: impl FnOnce(oneshot::Sender<T>) -> Signal) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        self.signals.send(signal(answer)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }
}

/// What the control task is told.
#[derive(Debug)]
enum Signal {
    /// For the engine, from outside.
    Event(Event),
    /// For the engine, in answer to an effect of this incarnation of it.
    Answer(u64, Event),
    /// A task that carried out an effect of this incarnation has ended.
    Finished(u64),
    /// The server is there and has nothing new.
    Heartbeat,
    /// Nothing can be synced until a person does something.
    Halt(Problem),
    /// The folder is not in its place: nothing is done until it is.
    RootLost(Problem),
    /// It is in its place again, opened anew.
    RootBack,
    /// The server cannot be used as it is, or can be again: it is asked from time to time.
    Standstill(Option<Problem>),
    /// Make a new engine: what the old one knew of the server is not so any more.
    Renew(Renewal),
    /// The server's history, to be remembered.
    Lineage(Lineage),
    /// Make a new engine after the state failed.
    Restart,
    /// Answer when all earlier signals were taken.
    Flush(oneshot::Sender<Progress>),
    /// Answer when the watcher tells of this entry of `.skep`.
    ExpectCookie(Name, oneshot::Sender<()>),
    /// The watcher tells of an entry of `.skep`.
    Cookie(Name),
    Question(questions::Question),
    Work(bookkeeping::Work),
    Resolve(Vec<Name>, Keep, oneshot::Sender<Result<(), ResolveError>>),
    /// How far an audit has come.
    Audit(AuditState),
    DecideHold(held::Decided, oneshot::Sender<bool>),
    Pause(Option<Pause>, oneshot::Sender<()>),
    Select(Selection, oneshot::Sender<()>),
    Wait(u64, oneshot::Sender<WaitOutcome>),
    Stop(oneshot::Sender<()>),
    /// A stop has waited long enough.
    StopNow,
}

/// Where the answers to effects go.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    signals: mpsc::Sender<Signal>,
    incarnation: u64,
}

impl Answers {
    /// Sends an answer. When nobody takes answers any more, the client has ended.
    pub(crate) async fn send(&self, event: Event) {
        let _ = self.signals.send(Signal::Answer(self.incarnation, event)).await;
    }
}

/// What the tasks of a client share.
struct Driver<M: World> {
    world: Arc<M>,
    server: Server<M::Link>,
    /// A new one when the folder was opened anew.
    executor: RwLock<Executor<M>>,
    limits: Limits,
    identity: Identity,
    /// Which root it is.
    root: RootId,
    signals: mpsc::Sender<Signal>,
    progress: watch::Receiver<Option<Progress>>,
    is_watching_own: AtomicBool,
    /// Something hints at the folder's having gone or come back: do not wait for the next look.
    check_root: Notify,
    /// Whoever looks after the folder does so alone.
    root_turn: tokio::sync::Mutex<()>,
    /// How often in a row the folder could not be looked at.
    root_failures: AtomicU32,
    /// What was mounted in the folder when it was looked at last ([`Files::mounts`]).
    mounts: AtomicU64,
    /// Something waits to be sent: do not wait for the next try to connect.
    reconnect: Notify,
    /// The engine is a new one: it has to be told anew what the connection told the old one.
    connect_again: Notify,
    stopping: watch::Sender<bool>,
    wake_at: watch::Sender<Option<u64>>,
    pause: watch::Sender<Option<Pause>>,
    selection: watch::Sender<Selection>,
    activities: Arc<activity::Activities>,
    /// The history that the server was last seen to have.
    lineage: Mutex<Option<Lineage>>,
    /// The last entry that was taken when folder and server were equal; and what of that the folder remembers.
    agreed: watch::Sender<Option<Version>>,
    written: watch::Sender<Option<Version>>,
    /// One audit at a time.
    auditing: tokio::sync::Mutex<()>,
    /// One comparison at a time.
    comparing: tokio::sync::Mutex<()>,
}

impl<M: World> Driver<M> {
    fn new_engine(&self) -> Engine {
        Engine::new(self.identity.clone(), self.world.entropy().bytes(), self.limits)
    }

    fn executor(&self) -> Executor<M> {
        self.executor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the connection, if there is one, and makes one now: what was told of the server is not so any more.
    fn connect_anew(&self) {
        self.connect_again.notify_one();
        self.reconnect.notify_one();
    }

    /// Which directories are here, for a new engine or one that is told anew.
    fn selected(&self) -> Event {
        let Selection { outside, changes } = self.selection.borrow().clone();
        Event::Selected { outside, changes }
    }

    /// Tells the control task. When it has ended, so will the caller.
    async fn tell(&self, signal: Signal) {
        let _ = self.signals.send(signal).await;
    }

    /// `future`'s output, or `None` if the client stops first.
    async fn unless_stopping<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut stopping = self.stopping.subscribe();
        let stopped = Box::pin(async move {
            // An error says that there is nobody any more who could stop: the same.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        match futures_util::future::select(stopped, Box::pin(future)).await {
            futures_util::future::Either::Left(_) => None,
            futures_util::future::Either::Right((output, _)) => Some(output),
        }
    }

    async fn sleep(&self, milliseconds: u64) {
        let clock = self.world.clock();
        clock.sleep_until(clock.monotonic_ms().saturating_add(milliseconds)).await;
    }

    /// Passes on what the watcher notices.
    async fn watch(self: Arc<Self>) {
        while let Some(hints) = self.unless_stopping(self.world.watcher().hints()).await {
            for hint in hints {
                let signal = match hint {
                    Hint::Lost => Signal::Event(Event::ScanDue),
                    Hint::Entry { dir: OWN_DIR, name, .. } => Signal::Cookie(name),
                    Hint::Unwatched { dir: OWN_DIR } => {
                        self.check_root.notify_one();
                        continue;
                    }
                    Hint::Entry { dir: NodeId::ROOT, name, .. } if name == own_dir() => continue,
                    Hint::Entry { dir, name, change } => Signal::Event(Event::Changed { dir, name, change }),
                    Hint::Unwatched { dir } => Signal::Event(Event::Unwatched { dir }),
                };
                self.tell(signal).await;
            }
        }
    }

    /// Wakes the engine when it wants to be woken.
    async fn wake(self: Arc<Self>) {
        let mut wake_at = self.wake_at.subscribe();
        loop {
            let next = *wake_at.borrow_and_update();
            let changed = Box::pin(wake_at.changed());
            let Some(at_ms) = next else {
                match self.unless_stopping(changed).await {
                    Some(Ok(())) => continue,
                    _ => return,
                }
            };
            let due = self.world.clock().sleep_until(at_ms);
            match self.unless_stopping(futures_util::future::select(changed, due)).await {
                None | Some(futures_util::future::Either::Left((Err(_), _))) => return,
                Some(futures_util::future::Either::Left((Ok(()), _))) => {}
                Some(futures_util::future::Either::Right(_)) => {
                    self.wake_at.send_if_modified(|wanted| {
                        let is_this = *wanted == Some(at_ms);
                        if is_this {
                            *wanted = None;
                        }
                        is_this
                    });
                    self.tell(Signal::Event(Event::Tick)).await;
                }
            }
        }
    }

    /// Looks at everything now and then, as a safety net under the watcher, and through the safe.
    async fn scan(self: Arc<Self>) {
        while self.unless_stopping(self.sleep(self.limits.scan_every_ms)).await.is_some() {
            self.tell(Signal::Event(Event::ScanDue)).await;
            for name in self.executor().look_through_safe().await {
                let back = Event::Changed { dir: NodeId::ROOT, name, change: Change::Bytes };
                self.tell(Signal::Event(back)).await;
            }
        }
    }
}

/// Watches `.skep`, for cookies and for its end. Without it, waiting for equality scans.
fn watch_own_dir<M: World>(world: &M, own: &<M::Files as Files>::Dir) -> bool {
    match world.watcher().watch(own, OWN_DIR) {
        Ok(()) => true,
        Err(WatchError::Limit | WatchError::Failed(_)) => false,
    }
}
