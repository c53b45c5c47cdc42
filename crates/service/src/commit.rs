//! Commits: one writer decides all that wait in one transaction, then tells the feeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_blobstore::BlobStore;
use skep_drive::decide;
use skep_metastore::{MetaStore, StoreError, Write};
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_protocol::{Code, ErrorReply, Frame, FrameKind, FrameStream};
use skep_types::{ChunkId, Commit, CommitReply, ContentId, Entry, Limits, ListId, Seq, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::Service;
use crate::answer::{Frames, done_with};
use crate::counters::Counters;
use crate::error::{gone_refusal, signed_out, store_refusal};
use crate::hub::{Hub, Published};
use crate::intake::{Complete, Purpose, Received, SmallBlock, put_manifest, put_rows};
use crate::room;
use crate::session::{Session, may_call};

/// Commits that wait for the writer; more wait at their connections.
pub(crate) const COMMITS_WAITING_MAX: usize = 256;
/// Commits that are decided in one transaction.
const COMMITS_TOGETHER_MAX: usize = 64;

/// A commit on its way to the writer. Its blocks are durable.
#[derive(Debug)]
pub(crate) struct Queued {
    commit: Commit,
    session: Arc<Session>,
    hub: Arc<Hub>,
    received: Received,
    answer: oneshot::Sender<Result<CommitReply, ErrorReply>>,
}

/// What a commit has come to.
#[derive(Debug)]
enum Outcome {
    /// Nothing was written for it.
    Refused(ErrorReply),
    /// Answered; these entries were appended.
    Answered(CommitReply, Vec<Entry>),
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Commit`].
    pub(crate) async fn commit(
        &self,
        session: &Arc<Session>,
        hub: Arc<Hub>,
        body: &mut FrameStream,
    ) -> Result<Frames, ErrorReply> {
        let mut received = self.receive(session, &hub, body, Purpose::Commit).await?;
        let bad_request = |reason: &str| ErrorReply::new(Code::BadRequest, reason);
        let commit = received.commit.take().ok_or_else(|| bad_request("a commit ends with its operations"))?;
        if commit.drive != hub.drive {
            return Err(bad_request("the operations are for another drive than the request"));
        }
        if ![session.device, session.device.by_hand()].contains(&commit.id.device()) {
            return Err(bad_request("the id of the commit belongs to another device"));
        }
        self.make_durable(&mut received).await?;
        let (answer, answered) = oneshot::channel();
        let queued = Queued { commit, session: Arc::clone(session), hub, received, answer };
        let stopping = || ErrorReply::new(Code::Busy, "the server is stopping");
        self.inner.commits.send(queued).await.map_err(|_| stopping())?;
        let reply = answered.await.map_err(|_| stopping())??;
        Ok(done_with(Frame::cbor(FrameKind::Result, &reply)))
    }
}

/// The one writer: takes all commits that wait whenever it falls free. Ends with the service.
pub(crate) async fn write_commits<M: MetaStore>(
    mut queue: mpsc::Receiver<Queued>,
    meta: Arc<M>,
    clock: Arc<impl Clock>,
    tasks: impl Tasks,
    limits: Limits,
    counters: Arc<Counters>,
) {
    let mut batch = Vec::with_capacity(COMMITS_TOGETHER_MAX);
    while queue.recv_many(&mut batch, COMMITS_TOGETHER_MAX).await > 0 {
        let queued = std::mem::take(&mut batch);
        let (meta, now) = (Arc::clone(&meta), clock.now());
        let decided = offload(&tasks, Lane::Database, move || {
            let outcomes = decide_batch(&*meta, &queued, now, &limits);
            queued.into_iter().zip(outcomes).collect::<Vec<_>>()
        });
        match decided.await {
            Ok(decided) => decided.into_iter().for_each(|(queued, outcome)| queued.settle(outcome, &limits, &counters)),
            // The answers went with the job: each caller is told by that.
            Err(gone) => drop(gone_refusal(gone)),
        }
    }
}

/// Decides commits in one transaction. If the store fails, each is tried alone, so that none suffers from another.
fn decide_batch(meta: &impl MetaStore, queued: &[Queued], now: Timestamp, limits: &Limits) -> Vec<Outcome> {
    let together = meta
        .write(|tx| queued.iter().map(|one| apply(tx, one, now, limits)).collect::<Result<Vec<Outcome>, StoreError>>());
    match together {
        Ok(outcomes) => outcomes,
        Err(error) if queued.len() == 1 => vec![Outcome::Refused(store_refusal(&error))],
        Err(error) => {
            tracing::warn!(%error, commits = queued.len(), "commits failed together, each is tried alone");
            queued.iter().flat_map(|one| decide_batch(meta, std::slice::from_ref(one), now, limits)).collect()
        }
    }
}

/// One commit within the transaction: its chunks, its manifests, its entries. What a refusal leaves behind is at most leased chunks.
fn apply(tx: &mut dyn Write, queued: &Queued, now: Timestamp, limits: &Limits) -> Result<Outcome, StoreError> {
    let (drive, device) = (queued.hub.drive, queued.session.device);
    // The device itself, or a person at it: for the rules they are two.
    let author = queued.commit.id.device();
    // Decided anew here: a revocation that another process made must not be overtaken.
    if !may_call(tx, device)? {
        return Ok(Outcome::Refused(signed_out()));
    }
    if let Err(refusal) = check_sizes(&queued.commit, &queued.received) {
        return Ok(Outcome::Refused(refusal));
    }
    if let Some(refusal) = room::rows_in_quota(tx, (queued.hub.owner, drive), &queued.received.rows)? {
        return Ok(Outcome::Refused(refusal));
    }
    let lease = now.plus_milliseconds(limits.lease_ms);
    put_rows(tx, drive, &queued.received.rows, lease)?;
    let mut lacks: BTreeSet<ChunkId> = BTreeSet::new();
    for (list, manifest) in &queued.received.manifests {
        match put_manifest(tx, drive, *list, manifest, lease)? {
            Complete::Yes => {}
            Complete::Lacks(chunks) => lacks.extend(chunks),
            Complete::WrongLength(chunk) => {
                let message = format!("manifest {list} gives chunk {chunk} a wrong length");
                return Ok(Outcome::Refused(ErrorReply::new(Code::WrongHash, message)));
            }
        }
    }
    let decision = decide(&queued.commit, author, now, &*tx.view(drive)?, limits);
    let Ok(decision) = decision else {
        // The view's failure is reported by the call that follows it.
        tx.drive(drive)?;
        return Err(StoreError::Failed(format!("drive {drive} could not be read")));
    };
    for entry in &decision.entries {
        tx.append(drive, entry)?;
    }
    Ok(Outcome::Answered(with_chunks(decision.reply, &lacks), decision.entries))
}

/// Adds the chunks of incomplete manifests to an answer that something is missing.
fn with_chunks(mut reply: CommitReply, lacks: &BTreeSet<ChunkId>) -> CommitReply {
    if let CommitReply::Missing { chunks, .. } = &mut reply {
        let named: BTreeSet<ChunkId> = chunks.iter().copied().collect();
        chunks.extend(lacks.difference(&named));
    }
    reply
}

/// Refuses a commit whose files have another size than the content that came with them.
fn check_sizes(commit: &Commit, received: &Received) -> Result<(), ErrorReply> {
    let chunks: BTreeMap<ChunkId, u64> =
        received.rows.iter().map(|(chunk, place)| (*chunk, u64::from(place.length))).collect();
    let lists: BTreeMap<ListId, u64> =
        received.manifests.iter().map(|(list, manifest)| (*list, manifest.length())).collect();
    let operations = commit.groups.iter().flat_map(|group| &group.0);
    for operation in operations {
        let Some(file) = operation.content().and_then(|content| content.file()) else { continue };
        let known = match &file.id {
            ContentId::Empty => Some(&0),
            ContentId::Chunk(chunk) => chunks.get(chunk),
            ContentId::List(list) => lists.get(list),
        };
        if known.is_some_and(|size| *size != file.size) {
            let message = format!("node {} is not of the size that its content has", operation.node());
            return Err(ErrorReply::new(Code::BadRequest, message));
        }
    }
    Ok(())
}

impl Queued {
    /// Tells the feeds, then the caller, who may have gone away.
    fn settle(self, outcome: Outcome, limits: &Limits, counters: &Counters) {
        let answer = match outcome {
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Answered(reply, entries) => {
                counters.received(&self.received.rows);
                if let Some(first) = entries.first() {
                    counters.committed(entries.len());
                    let after = Seq(first.seq.0 - 1);
                    let blocks = wanted_blocks(self.received.small, &entries, limits);
                    self.hub.publish(Published { after, commit: self.commit.id, entries, blocks });
                }
                Ok(reply)
            }
        };
        let _ = self.answer.send(answer);
    }
}

/// The blocks that hold nothing but contents of small files of these entries.
fn wanted_blocks(small: Vec<SmallBlock>, entries: &[Entry], limits: &Limits) -> Vec<bytes::Bytes> {
    let wanted: BTreeSet<ChunkId> = entries
        .iter()
        .filter_map(|entry| entry.state.content.file())
        .filter(|file| file.size <= limits.inline_bytes_max as u64)
        .filter_map(|file| if let ContentId::Chunk(chunk) = file.id { Some(chunk) } else { None })
        .collect();
    let blocks = small.into_iter().filter(|block| block.chunks.iter().all(|chunk| wanted.contains(chunk)));
    blocks.map(|block| block.payload).collect()
}
