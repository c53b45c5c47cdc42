//! Carries out what the engine wants: looks, reads, sends, fetches and applies.
//!
//! Nothing is decided here. Every effect is answered by the events that it promises, whatever fails.

mod apply;
mod audit;
mod commit;
mod look;
mod nearby;
mod read;
mod stage;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use skep_content::{Block, ChunkRef, Chunker, Manifest};
use skep_planner::{ApplyError, ApplyOperation, ApplyResult, CommitFailure, Effect, Event};
use skep_platform::{Clock, Entropy, FileError, Files, Lane, offload};
use skep_protocol::{Code, ErrorReply};
use skep_types::{ChunkId, CommitId, CommitReply, ContentId, Cursor, Limits, Name, Stat};

use crate::bounded::Bounded;
use crate::call::{CallError, Server};
use crate::driver::Answers;
use crate::root::{Root, RootError};
use crate::safe;
use crate::world::World;

/// Chunk bytes that are kept between reading and sending, and between push and apply.
const CHUNK_CACHE_BYTES: usize = 32 << 20;
/// Manifest bytes that are kept between reading and sending.
const MANIFEST_CACHE_BYTES: usize = 8 << 20;
/// Groups of files that are read at the same time.
const READS_PARALLEL: usize = 4;

/// Carries out effects on one root and one drive.
pub struct Executor<M: World> {
    shared: Arc<Shared<M>>,
}

impl<M: World> Clone for Executor<M> {
    fn clone(&self) -> Self {
        Executor { shared: self.shared.clone() }
    }
}

struct Shared<M: World> {
    world: Arc<M>,
    root: Root<M::Files>,
    server: Server<M::Link>,
    limits: Limits,
    chunker: Chunker,
    cache: Mutex<Cache>,
    watch_degraded: AtomicBool,
    /// Bytes for which there is room on the disk, but which are not written yet.
    promised: Arc<AtomicU64>,
    /// A look found that the folder is no longer in its place.
    root_lost: Mutex<Option<RootError>>,
}

/// What was learned and may be needed again soon. Everything in it can be read or fetched again.
struct Cache {
    manifests: Bounded<ContentId, Arc<Manifest>>,
    chunks: Bounded<ChunkId, Bytes>,
}

impl<M: World> Executor<M> {
    pub(crate) fn new(world: Arc<M>, root: Root<M::Files>, server: Server<M::Link>, limits: Limits) -> Executor<M> {
        let cache = Cache { manifests: Bounded::new(MANIFEST_CACHE_BYTES), chunks: Bounded::new(CHUNK_CACHE_BYTES) };
        let shared = Shared {
            world,
            root,
            server,
            limits,
            chunker: Chunker::new(&limits),
            cache: Mutex::new(cache),
            watch_degraded: AtomicBool::new(false),
            promised: Arc::default(),
            root_lost: Mutex::new(None),
        };
        Executor { shared: Arc::new(shared) }
    }

    /// Carries out `effect` and sends the events that answer it. `cursor` is where a pull goes on. A wake-up is the driver's.
    pub(crate) async fn carry_out(
        &self,
        effect: Effect,
        cursor: Option<Cursor>,
        answers: &Answers,
    ) -> Result<(), CallError> {
        let event = match effect {
            Effect::Look { look, dir, path, names, watch } => {
                let (watching, result) = self.shared.look(dir, path, names, watch).await;
                Event::Looked { look, watching, result }
            }
            Effect::Read(requests) => {
                self.read(requests, answers).await;
                return Ok(());
            }
            Effect::Commit { commit, sources } => {
                let id = commit.id;
                let result = self.shared.commit(commit, sources, cursor).await;
                return committed(id, result, answers).await;
            }
            Effect::Apply { batch, operations } => Event::Applied { batch, results: self.apply(operations).await },
            Effect::CheckDisplaced { expected, content } => {
                Event::CameBack { names: self.check_displaced(expected, content).await }
            }
            Effect::Pull => return self.pull(cursor, answers).await,
            Effect::WakeAt { .. } => return Ok(()),
        };
        answers.send(event).await;
        Ok(())
    }

    /// Keeps the chunks of a block that came with the feed, for the apply that will want them.
    pub(crate) async fn keep_block(&self, block: Block) {
        let limits = self.shared.limits;
        let opened = offload(self.shared.world.tasks(), Lane::Zstd, move || block.open(&limits)).await;
        match opened {
            Ok(Ok(chunks)) => self.shared.keep_chunks(chunks),
            Ok(Err(error)) => tracing::warn!(%error, "a pushed block is damaged: its content will be fetched"),
            Err(_) => {}
        }
    }

    /// Not all directories are watched.
    pub(crate) fn watch_degraded(&self) -> bool {
        self.shared.watch_degraded.load(Ordering::Relaxed)
    }

    /// Why the folder counts as lost, if a look found so.
    pub(crate) fn root_lost(&self) -> Option<RootError> {
        self.shared.root_lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder counts as lost from now on.
    pub(crate) fn lose_root(&self, error: RootError) {
        *self.shared.root_lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Looks whether the folder is in its place now; gives a number for what is mounted in it ([`Files::mounts`]).
    pub(crate) async fn look_for_root(&self) -> Result<u64, RootError> {
        let shared = self.shared.clone();
        let looked = offload(self.shared.world.tasks(), Lane::Disk, move || {
            shared.root.check_in_place().map(|()| shared.root.files.mounts())
        });
        // If the program is ending, nobody acts on it.
        looked.await.unwrap_or(Ok(0))
    }

    /// Whether both work on the same open root.
    pub(crate) fn is(&self, other: &Executor<M>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Looks through the safe; gives back the names in the root under which displaced files came back.
    pub(crate) async fn look_through_safe(&self) -> Vec<Name> {
        let shared = self.shared.clone();
        let looked = offload(self.shared.world.tasks(), Lane::Disk, move || {
            safe::look_through(&shared.root, shared.world.clock().now(), shared.limits.safe_keep_ms)
        });
        match looked.await {
            Ok(Ok(names)) => names,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the safe could not be looked through");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Reads what was displaced in the place of a file with that stat and content. What holds something else was written in the
    /// moment in which it was displaced: it comes back. Gives the names under which it did.
    async fn check_displaced(&self, expected: Stat, content: ContentId) -> Vec<Name> {
        let shared = self.shared.clone();
        let checked =
            offload(self.shared.world.tasks(), Lane::Hash, move || shared.check_displaced(&expected, content));
        match checked.await {
            Ok(Ok(names)) => names,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a displaced file could not be examined: it stays in the safe");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn root(&self) -> &Root<M::Files> {
        &self.shared.root
    }

    pub(crate) fn world(&self) -> &M {
        &self.shared.world
    }

    async fn read(&self, requests: Vec<skep_planner::ReadRequest>, answers: &Answers) {
        let groups = stream::iter(read::groups(requests));
        let mut read = groups.map(|group| self.shared.read_group(group)).buffer_unordered(READS_PARALLEL);
        while let Some(events) = read.next().await {
            for event in events {
                answers.send(event).await;
            }
        }
    }

    async fn apply(&self, operations: Vec<ApplyOperation>) -> Vec<ApplyResult> {
        let staged = self.shared.stage(&operations).await;
        let random = self.shared.world.entropy().bytes();
        let count = operations.len();
        let shared = self.shared.clone();
        let applied = offload(self.shared.world.tasks(), Lane::Disk, move || {
            let read = |dir: &<M::Files as Files>::Dir, name: &Name| Ok(shared.read_entry(dir, name)?.result.content);
            apply::apply_batch(&shared.root, &operations, &staged, random, &read)
        });
        let ended = |_| vec![Err(ApplyError::Failed("the program is ending".into())); count];
        applied.await.unwrap_or_else(ended)
    }

    /// Takes journal pages until its end, as far as it was when asked.
    async fn pull(&self, cursor: Option<Cursor>, answers: &Answers) -> Result<(), CallError> {
        let Some(after) = cursor else {
            answers.send(Event::PullFailed).await;
            return Ok(());
        };
        match self.shared.server.entries(after).await {
            Ok(page) => {
                let event = Event::Entries { after: page.after, entries: page.entries, to: page.to, head: page.head };
                answers.send(event).await;
                Ok(())
            }
            Err(error) => {
                answers.send(Event::PullFailed).await;
                Err(error)
            }
        }
    }
}

/// Answers with what came of a commit. One that rests on a history which the server does not have was not done: the connection must
/// find out about that.
async fn committed(
    commit: CommitId,
    result: Result<CommitReply, CommitFailure>,
    answers: &Answers,
) -> Result<(), CallError> {
    let other_history = match &result {
        Err(CommitFailure::Refused { code, message, .. }) if *code == Code::History.as_str() => {
            Some(CallError::Refused(ErrorReply::new(Code::History, message.clone())))
        }
        _ => None,
    };
    let result = if other_history.is_some() { Err(CommitFailure::Unreachable) } else { result };
    answers.send(Event::Committed { commit, result }).await;
    other_history.map_or(Ok(()), Err)
}

impl<M: World> Shared<M> {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        // A cache has no invariant that a panic could have broken.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_displaced(&self, expected: &Stat, content: ContentId) -> Result<Vec<Name>, FileError> {
        let root = &self.root;
        let mut back = Vec::new();
        for (entry, name) in safe::displaced_as(root, expected)? {
            // What cannot be read now is still being written: looking through the safe finds it by its stat.
            let Ok(read) = self.read_entry(&root.safe, &entry) else { continue };
            if read.result.content != content {
                back.push(safe::put_beside(root, &root.safe, &entry, &root.dir, &name)?);
            }
        }
        if !back.is_empty() {
            root.files.make_durable(&[], &[root.dir.clone(), root.safe.clone()])?;
        }
        Ok(back)
    }

    fn keep_chunks(&self, chunks: Vec<(ChunkId, Bytes)>) {
        let mut cache = self.cache();
        for (id, bytes) in chunks {
            let weight = bytes.len();
            cache.chunks.put(id, bytes, weight);
        }
    }

    fn keep_manifest(&self, content: ContentId, manifest: Arc<Manifest>) {
        let weight = manifest.chunks.len() * size_of::<ChunkRef>();
        self.cache().manifests.put(content, manifest, weight);
    }
}

#[cfg(test)]
mod tests;
