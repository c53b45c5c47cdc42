//! The service: what it is made of, and the way of a call through it.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_blobstore::BlobStore;
use skep_metastore::{MetaStore, Read, StoreError, Write};
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_protocol::{ByteStream, Code, ErrorReply, FrameKind, FrameStream, Request};
use skep_types::{DriveId, Generation, Limits};
use tokio::sync::{broadcast, mpsc};

use crate::ServiceError;
use crate::answer::{Frames, bytes_of, no_more};
use crate::codes::{CodeDesk, Finish};
use crate::commit::{COMMITS_WAITING_MAX, Queued, write_commits};
use crate::connections::{CallRecord, ConnectionLog, WorthALine};
use crate::counters::Figures;
use crate::error::{body_refusal, signed_out};
use crate::hub::{Hub, Hubs};
use crate::join::JoinGate;
use crate::knocks::{KnockDesk, Newcomer};
use crate::lineage::fork_if_copied;
use crate::pins::Pins;
use crate::session::{Lookup, Session, Sessions, may_call, token_hash};
use crate::stranger;

/// The setting that holds the generation of the server's history.
const GENERATION: &str = "generation";
/// How often a token is looked up again because a revocation came in between.
const LOOKUPS_MAX: usize = 8;

/// What a service is made of.
pub struct Parts<M, B, C, E, T> {
    /// Where metadata lies.
    pub meta: Arc<M>,
    /// Where content lies.
    pub blobs: Arc<B>,
    /// Tells the time.
    pub clock: Arc<C>,
    /// Makes ids, tokens and salts.
    pub entropy: Arc<E>,
    /// Runs tasks and blocking jobs.
    pub tasks: T,
    /// The bounds.
    pub limits: Limits,
    /// Program and version, for devices to see.
    pub server_version: String,
}

/// The server, without sockets. Clones are the same service.
pub struct Service<M, B, C, E, T> {
    pub(crate) inner: Arc<Inner<M, B, C, E, T>>,
}

pub(crate) struct Inner<M, B, C, E, T> {
    pub(crate) parts: Parts<M, B, C, E, T>,
    /// Of the histories of new drives.
    pub(crate) generation: Generation,
    pub(crate) sessions: Sessions,
    pub(crate) hubs: Hubs,
    pub(crate) log: Arc<ConnectionLog>,
    pub(crate) joins: JoinGate,
    pub(crate) codes: CodeDesk,
    pub(crate) knocks: KnockDesk,
    pub(crate) pins: Arc<Pins>,
    /// Until this monotonic millisecond a device may be taking a snapshot.
    pub(crate) paging_until_ms: Arc<AtomicU64>,
    pub(crate) commits: mpsc::Sender<Queued>,
}

impl<M, B, C, E, T> Clone for Service<M, B, C, E, T> {
    fn clone(&self) -> Self {
        Service { inner: Arc::clone(&self.inner) }
    }
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// Opens the service on its stores; the first time, gives the server's history its generation.
    pub async fn open(parts: Parts<M, B, C, E, T>) -> Result<Self, ServiceError> {
        let fresh = Generation::from_bytes(parts.entropy.bytes());
        let (meta, entropy) = (Arc::clone(&parts.meta), Arc::clone(&parts.entropy));
        let opening = move || {
            meta.write(|tx| {
                fork_if_copied(tx, || Generation::from_bytes(entropy.bytes()))?;
                generation_of(tx, fresh)
            })
        };
        let generation = offload(&parts.tasks, Lane::Database, opening).await??;
        let log = Arc::new(ConnectionLog::new());
        let (commits, queue) = mpsc::channel(COMMITS_WAITING_MAX);
        let writer =
            ConnectionLog::writer(&log, Arc::clone(&parts.meta), Arc::clone(&parts.clock), parts.tasks.clone());
        parts.tasks.spawn("connection log", writer);
        let (meta, clock, tasks) = (Arc::clone(&parts.meta), Arc::clone(&parts.clock), parts.tasks.clone());
        let writer = write_commits(queue, meta, clock, tasks, parts.limits, Arc::clone(&log.counters));
        parts.tasks.spawn("commit writer", writer);
        let (sessions, hubs) = (Sessions::default(), Hubs::default());
        let (joins, codes, knocks) = (JoinGate::default(), CodeDesk::default(), KnockDesk::default());
        let (pins, paging_until_ms) = (Arc::default(), Arc::default());
        let inner =
            Inner { parts, generation, sessions, hubs, log, joins, codes, knocks, pins, paging_until_ms, commits };
        Ok(Service { inner: Arc::new(inner) })
    }

    /// Answers one call. `body` starts with a request frame, the answer with a reply or an error frame. The answer may be
    /// dropped at any time; what was decided by then stays decided.
    pub async fn call(&self, token: Option<&str>, peer: &str, body: ByteStream) -> ByteStream {
        let mut record = CallRecord::start(&self.inner.log, &self.inner.parts.clock, peer);
        let body = record.counted(body);
        let (session, answer) = match self.session_of(token).await {
            Ok(session) => {
                let answer = self.answer(session.as_ref(), peer, body, &mut record).await;
                (session, answer)
            }
            Err(error) => (None, Err(error)),
        };
        let frames = answer.unwrap_or_else(|error| Box::pin(futures_util::stream::iter([Err(error)])));
        bytes_of(frames, session, record)
    }

    async fn answer(
        &self,
        session: Option<&Arc<Session>>,
        peer: &str,
        body: ByteStream,
        record: &mut CallRecord,
    ) -> Result<Frames, ErrorReply> {
        let limits = &self.inner.parts.limits;
        let (body, bytes_max) = match session {
            Some(_) => (body, limits.frame_bytes_max),
            None => {
                let clock = Arc::clone(&self.inner.parts.clock);
                (stranger::hurried(body, clock), limits.frame_bytes_max.min(stranger::FRAME_BYTES_MAX))
            }
        };
        let mut body = FrameStream::new(body, bytes_max);
        let request = read_request(&mut body).await?;
        let (name, worth_a_line) = name_of(&request);
        record.asked(name, worth_a_line);
        if needs_no_token(&request) {
            return self.let_in(request, peer, body, record).await;
        }
        let session = session.ok_or_else(signed_out)?;
        record.by(session)?;
        let clock = &*self.inner.parts.clock;
        if self.inner.log.saw(session, clock) {
            self.inner.joins.note_place(session.account, peer, clock.monotonic_ms());
        }
        session.unless_revoked(self.dispatch(session, request, body)).await
    }

    /// What a computer asks that is nobody's yet.
    async fn let_in(
        &self,
        request: Request,
        peer: &str,
        mut body: FrameStream,
        record: &mut CallRecord,
    ) -> Result<Frames, ErrorReply> {
        if matches!(request, Request::Join { .. }) {
            return self.join(request, peer, body, record).await;
        }
        no_more(&mut body).await?;
        match request {
            Request::NewAccount { id, device } => self.connect_new_account(&id, device, peer, record).await,
            Request::NewDevice { id, device, drive } => self.connect_new_device(&id, device, drive, peer, record).await,
            Request::StartCode { locator, message } => self.start_code(locator, &message, peer).await,
            Request::ProveCode { exchange, proof } => self.prove_code(exchange, &proof, peer).await,
            Request::FinishCode { exchange, device, user, password, drive } => {
                self.finish_code(Finish { exchange, device, user, password, drive }, peer, record).await
            }
            Request::Knock { device, message, user, drive } => {
                self.knock(Newcomer { device, message, user, drive }, peer).await
            }
            Request::KnockState { knock } => self.knock_state(knock, peer).await,
            Request::KnockAgain { knock, message } => self.knock_again(knock, message, peer).await,
            Request::Enter { knock, proof } => self.enter_by_knock(knock, &proof, peer, record).await,
            _ => Err(signed_out()),
        }
    }

    async fn dispatch(
        &self,
        session: &Arc<Session>,
        request: Request,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        match request {
            Request::MakeCode => self.make_code(session, body).await,
            Request::Knocks => self.own_knocks(session, body).await,
            Request::LookAtKnock { locator } => self.look_at_knock(session, locator, body).await,
            Request::AnswerKnock { locator, answer } => self.answer_knock(session, locator, answer, body).await,
            Request::AnswerState { answer } => self.own_answer_state(answer, body).await,
            Request::Profile => self.profile(session, body).await,
            Request::Rename { user } => self.rename(session, user, body).await,
            Request::ChangePassword { old, new } => self.change_password(session, old, new, body).await,
            Request::Devices => self.own_devices(session, body).await,
            Request::SignOut { device } => self.sign_out(session, device, body).await,
            Request::CheckId { id } => self.check_id(session, &id, body).await,
            Request::ReplaceId { id } => self.replace_id(session, &id, body).await,
            Request::Hello { client_version, .. } => self.hello(session, client_version, body).await,
            Request::Commit { drive, seen } => {
                self.commit(session, self.drive_of(session, drive).await?, seen, &mut body).await
            }
            Request::Upload { drive } => self.upload(session, self.drive_of(session, drive).await?, &mut body).await,
            Request::Lacks { drive, chunks, needs } => {
                self.lacks(session, self.drive_of(session, drive).await?, (chunks, needs), body).await
            }
            Request::Fetch { drive, chunks } => self.fetch(self.drive_of(session, drive).await?, chunks, body).await,
            Request::Manifests { drive, lists } => {
                self.manifests(self.drive_of(session, drive).await?, lists, body).await
            }
            Request::Entries { drive, after } => self.entries(self.drive_of(session, drive).await?, after, body).await,
            Request::Snapshot { drive, after } => {
                self.snapshot(self.drive_of(session, drive).await?, after, body).await
            }
            Request::Head { drive } => self.head(self.drive_of(session, drive).await?, body).await,
            Request::Find { drive, path } => self.find(self.drive_of(session, drive).await?, path, body).await,
            Request::History { drive, node, before } => {
                self.history(self.drive_of(session, drive).await?, node, before, body).await
            }
            Request::Trash { drive, search, from } => {
                self.trash(self.drive_of(session, drive).await?, search, from, body).await
            }
            Request::Pasts { drive, directory, at, then, after } => {
                self.pasts(self.drive_of(session, drive).await?, directory, at, (then, after), body).await
            }
            Request::Compare { drive, versions } => {
                self.compare(self.drive_of(session, drive).await?, versions, body).await
            }
            Request::Sums { drive, ranges } => self.sums(self.drive_of(session, drive).await?, ranges, body).await,
            Request::Departed { drive, seen, held } => {
                self.departed(self.drive_of(session, drive).await?, seen, held, body).await
            }
            Request::Join { .. }
            | Request::NewAccount { .. }
            | Request::NewDevice { .. }
            | Request::StartCode { .. }
            | Request::ProveCode { .. }
            | Request::FinishCode { .. }
            | Request::Knock { .. }
            | Request::KnockState { .. }
            | Request::KnockAgain { .. }
            | Request::Enter { .. } => Err(ErrorReply::new(Code::BadRequest, "joining needs no token")),
        }
    }

    /// The session of a token, or `None` if there is no token or it does not count.
    pub(crate) async fn session_of(&self, token: Option<&str>) -> Result<Option<Arc<Session>>, ErrorReply> {
        let Some(hash) = token.and_then(token_hash) else { return Ok(None) };
        for _ in 0..LOOKUPS_MAX {
            let revocations = match self.inner.sessions.look_up(&hash) {
                Lookup::Known(session) => return Ok(Some(session)),
                Lookup::Unknown { revocations } => revocations,
            };
            let known = self
                .read(move |read| {
                    let Some(device) = read.device_by_token(&hash)? else { return Ok(None) };
                    Ok(may_call(read, device.id)?.then_some(device))
                })
                .await?;
            let Some(device) = known else { return Ok(None) };
            let session = self.inner.sessions.remember(hash, device.id, device.account, revocations);
            if session.is_some() {
                return Ok(session);
            }
        }
        Err(ErrorReply::new(Code::Busy, "devices are being signed out, try again"))
    }

    /// A drive of the caller's account. Anything else is not found, whether it exists or not.
    pub(crate) async fn drive_of(&self, session: &Session, drive: DriveId) -> Result<Arc<Hub>, ErrorReply> {
        let hub = match self.inner.hubs.get(drive) {
            Some(hub) => Some(hub),
            None => self.load_drive(drive).await?,
        };
        let own = hub.filter(|hub| hub.owner == session.account);
        own.ok_or_else(|| ErrorReply::new(Code::NotFound, format!("there is no drive {drive}")))
    }

    async fn load_drive(&self, drive: DriveId) -> Result<Option<Arc<Hub>>, ServiceError> {
        let _loading = self.inner.hubs.loading.lock().await;
        if let Some(hub) = self.inner.hubs.get(drive) {
            return Ok(Some(hub));
        }
        let found = self.read(move |read| read.drive(drive)).await?;
        Ok(found.map(|found| self.inner.hubs.enter(&found)))
    }

    /// Reads the metadata store.
    pub(crate) async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Read) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, ServiceError> {
        let meta = Arc::clone(&self.inner.parts.meta);
        Ok(offload(&self.inner.parts.tasks, Lane::Database, move || meta.read(work)).await??)
    }

    /// Runs a transaction of the metadata store. It runs to its end even if the caller goes away.
    pub(crate) async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Write) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, ServiceError> {
        let meta = Arc::clone(&self.inner.parts.meta);
        Ok(offload(&self.inner.parts.tasks, Lane::Database, move || meta.write(work)).await??)
    }

    /// What was done since the service began.
    pub fn figures(&self) -> Figures {
        self.inner.log.counters.figures()
    }

    /// Asks the metadata store for something small, to learn whether it answers.
    pub async fn ask_database(&self) -> Result<(), ServiceError> {
        self.read(|read| read.setting(GENERATION)).await.map(drop)
    }

    /// Every line of the connection log from now on, as it comes; [`crate::connection_line`] makes it text.
    pub fn subscribe_connections(&self) -> broadcast::Receiver<skep_metastore::Connection> {
        self.inner.log.subscribe()
    }

    /// Writes the lines of the connection log that still wait; for a clean stop.
    pub async fn flush_connections(&self) -> Result<(), ServiceError> {
        self.inner.log.flush(&self.inner.parts.meta, &self.inner.parts.tasks).await
    }
}

/// The guarded value; a panic elsewhere has left it whole, because nothing panics between two related writes.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn generation_of(tx: &mut dyn Write, fresh: Generation) -> Result<Generation, StoreError> {
    match tx.setting(GENERATION)? {
        Some(bytes) => Generation::from_slice(&bytes)
            .ok_or_else(|| StoreError::Damaged("the server's generation has the wrong length".to_owned())),
        None => {
            tx.put_setting(GENERATION, fresh.as_bytes())?;
            Ok(fresh)
        }
    }
}

async fn read_request(body: &mut FrameStream) -> Result<Request, ErrorReply> {
    match body.next_frame().await.map_err(|error| body_refusal(&error))? {
        Some(frame) if frame.kind == FrameKind::Request => {
            frame.read().map_err(|error| ErrorReply::new(Code::BadRequest, error.to_string()))
        }
        _ => Err(ErrorReply::new(Code::BadRequest, "a call starts with a request frame")),
    }
}

/// Whether it is asked by a computer on its way in.
fn needs_no_token(request: &Request) -> bool {
    matches!(
        request,
        Request::Join { .. }
            | Request::NewAccount { .. }
            | Request::NewDevice { .. }
            | Request::StartCode { .. }
            | Request::ProveCode { .. }
            | Request::FinishCode { .. }
            | Request::Knock { .. }
            | Request::KnockState { .. }
            | Request::KnockAgain { .. }
            | Request::Enter { .. }
    )
}

/// What the connection log calls a request, and whether a success of it is worth a line.
fn name_of(request: &Request) -> (&'static str, WorthALine) {
    match request {
        Request::Join { .. } => ("join", WorthALine::Always),
        Request::NewAccount { .. } => ("new_user", WorthALine::Always),
        Request::NewDevice { .. } => ("new_client", WorthALine::Always),
        Request::StartCode { .. } => ("start_code", WorthALine::Always),
        Request::ProveCode { .. } => ("prove_code", WorthALine::WhenItFails),
        Request::FinishCode { .. } => ("finish_code", WorthALine::Always),
        Request::MakeCode => ("make_code", WorthALine::Always),
        Request::Knock { .. } => ("knock", WorthALine::Always),
        Request::KnockState { .. } => ("knock_state", WorthALine::WhenItFails),
        Request::KnockAgain { .. } => ("knock_again", WorthALine::Always),
        Request::Enter { .. } => ("enter", WorthALine::Always),
        Request::Knocks => ("knocks", WorthALine::WhenItFails),
        Request::LookAtKnock { .. } => ("look_at_knock", WorthALine::Always),
        Request::AnswerKnock { .. } => ("answer_knock", WorthALine::Always),
        Request::AnswerState { .. } => ("answer_state", WorthALine::WhenItFails),
        Request::Profile => ("profile", WorthALine::WhenItFails),
        Request::Rename { .. } => ("rename", WorthALine::Always),
        Request::ChangePassword { .. } => ("change_password", WorthALine::Always),
        Request::Devices => ("devices", WorthALine::WhenItFails),
        Request::SignOut { .. } => ("sign_out", WorthALine::Always),
        Request::CheckId { .. } => ("check_id", WorthALine::WhenItFails),
        Request::ReplaceId { .. } => ("replace_id", WorthALine::Always),
        Request::Hello { .. } => ("hello", WorthALine::Always),
        Request::Commit { .. } => ("commit", WorthALine::Always),
        Request::Upload { .. } => ("upload", WorthALine::Always),
        Request::Lacks { .. } => ("lacks", WorthALine::WhenItFails),
        Request::Fetch { .. } => ("fetch", WorthALine::WhenItFails),
        Request::Manifests { .. } => ("manifests", WorthALine::WhenItFails),
        Request::Entries { .. } => ("entries", WorthALine::WhenItFails),
        Request::Snapshot { .. } => ("snapshot", WorthALine::WhenItFails),
        Request::Head { .. } => ("head", WorthALine::WhenItFails),
        Request::Find { .. } => ("find", WorthALine::WhenItFails),
        Request::History { .. } => ("history", WorthALine::WhenItFails),
        Request::Trash { .. } => ("trash", WorthALine::WhenItFails),
        Request::Pasts { .. } => ("pasts", WorthALine::WhenItFails),
        Request::Compare { .. } => ("compare", WorthALine::WhenItFails),
        Request::Departed { .. } => ("departed", WorthALine::Always),
        Request::Sums { .. } => ("sums", WorthALine::WhenItFails),
    }
}
