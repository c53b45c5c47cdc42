//! Sending commits, with the contents that the drive lacks.
//!
//! Small files travel inside the commit, in blocks: one round trip. Of files with several chunks the drive is asked first which it
//! lacks, and only these are sent, ahead of the commit if they are many. Bodies are made while they are sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use skep_content::{Block, ChunkRef, Manifest, chunk_id};
use skep_planner::{CommitFailure, Location, Source};
use skep_platform::{Files, Lane, offload};
use skep_protocol::{BodyError, ByteStream, Code, Frame, FrameKind, ManifestFrame, Needs};
use skep_types::{ChunkId, Commit, CommitReply, ContentId, ListId, NodeId};
use tokio::sync::mpsc;

use super::Shared;
use crate::call::CallError;
use crate::world::World;

/// Plain bytes in one upload, about; several follow each other.
const UPLOAD_BYTES_MAX: u64 = 64 << 20;
/// Blocks that are read and compressed at the same time.
const BLOCKS_PARALLEL: usize = 3;
/// Frames that wait for the connection.
const FRAMES_WAITING: usize = 4;
/// How often a commit is sent again because the drive lost contents that it had promised to keep.
const MISSING_TRIES_MAX: usize = 3;

/// Where a chunk can be read.
#[derive(Clone)]
struct Piece {
    node: NodeId,
    at: Arc<Location>,
    offset: u64,
    chunk: ChunkRef,
}

/// Everything that a commit may bring.
struct Contents {
    pieces: BTreeMap<ChunkId, Piece>,
    lists: BTreeMap<ListId, Arc<Manifest>>,
    /// Chunks that go along without a question, in the order of the files.
    inline: Vec<ChunkId>,
    inline_bytes: u64,
    /// Chunks that the drive is asked about, in the order of the files.
    asked: Vec<ChunkId>,
}

/// Why nothing was sent, or not all.
enum Stop {
    Changed(Vec<NodeId>),
    Call(CallError),
    /// The program is ending.
    Ending,
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Stop {
        Stop::Call(error)
    }
}

impl From<Stop> for CommitFailure {
    fn from(stop: Stop) -> CommitFailure {
        match stop {
            Stop::Changed(nodes) => CommitFailure::SourcesChanged(nodes),
            Stop::Ending | Stop::Call(CallError::Unreachable(_) | CallError::WrongKey(_)) => CommitFailure::Unreachable,
            Stop::Call(CallError::Refused(reply)) => CommitFailure::Refused {
                code: reply.code.as_str(),
                temporary: reply.code.is_temporary(),
                message: reply.message,
            },
            Stop::Call(CallError::Malformed(message)) => {
                CommitFailure::Refused { code: Code::BadRequest.as_str(), message, temporary: true }
            }
        }
    }
}

impl<M: World> Shared<M> {
    pub(super) async fn commit(
        self: &Arc<Self>,
        commit: Commit,
        sources: BTreeMap<NodeId, Source>,
    ) -> Result<CommitReply, CommitFailure> {
        let sources = Arc::new(sources);
        let reply = self.send_commit(&commit, &sources).await?;
        let mut cache = self.cache();
        for source in sources.values() {
            if let Some(manifest) = cache.manifests.get(&source.content.id) {
                manifest.chunks.iter().for_each(|chunk| cache.chunks.remove(&chunk.id));
                cache.manifests.remove(&source.content.id);
            }
        }
        Ok(reply)
    }

    async fn send_commit(
        self: &Arc<Self>,
        commit: &Commit,
        sources: &Arc<BTreeMap<NodeId, Source>>,
    ) -> Result<CommitReply, Stop> {
        let mut contents = self.contents(sources).await?;
        let lacking = self.lacking(&contents).await?;
        let lacking_bytes: u64 = lacking.iter().map(|id| u64::from(contents.pieces[id].chunk.length)).sum();
        let mut chunks = std::mem::take(&mut contents.inline);
        let mut lists: Vec<ListId> = contents.lists.keys().copied().collect();
        if contents.inline_bytes + lacking_bytes <= self.limits.bundle_bytes_max as u64 {
            chunks.extend(lacking);
        } else {
            self.upload(&contents, &lacking).await?;
        }
        for _ in 0..MISSING_TRIES_MAX {
            let pieces = contents.pieces_of(&chunks);
            let manifests = contents.manifests_of(&lists);
            let last = Some((commit.clone(), sources.clone()));
            let reply = self.send_body(pieces, manifests, last, |body| self.server.commit(body)).await?;
            let CommitReply::Missing { chunks: missing, lists: missing_lists } = reply else { return Ok(reply) };
            if missing.iter().any(|id| !contents.pieces.contains_key(id))
                || missing_lists.iter().any(|list| !contents.lists.contains_key(list))
            {
                return Err(lost_contents());
            }
            self.upload(&contents, &missing).await?;
            (chunks, lists) = (Vec::new(), missing_lists);
        }
        Err(lost_contents())
    }

    /// Finds the chunks of all sources: as remembered from reading them, else by reading them again.
    async fn contents(self: &Arc<Self>, sources: &BTreeMap<NodeId, Source>) -> Result<Contents, Stop> {
        let mut contents = Contents {
            pieces: BTreeMap::new(),
            lists: BTreeMap::new(),
            inline: Vec::new(),
            inline_bytes: 0,
            asked: Vec::new(),
        };
        let mut changed = Vec::new();
        for (node, source) in sources {
            match self.manifest_of(source).await? {
                Some(manifest) => contents.add(*node, source, manifest, self.limits.bundle_bytes_max as u64),
                None => changed.push(*node),
            }
        }
        if changed.is_empty() { Ok(contents) } else { Err(Stop::Changed(changed)) }
    }

    /// The chunks of a source; `None` if it does not hold any more what it held.
    async fn manifest_of(self: &Arc<Self>, source: &Source) -> Result<Option<Arc<Manifest>>, Stop> {
        if let ContentId::Empty = source.content.id {
            return Ok(Some(Arc::default()));
        }
        if let Some(manifest) = self.cache().manifests.get(&source.content.id) {
            return Ok(Some(manifest));
        }
        let (shared, source) = (self.clone(), source.clone());
        let read = offload(self.world.tasks(), Lane::Hash, move || {
            let read = shared.read_file(&source.at).ok()?;
            let is_it = read.result.content == source.content.id && read.result.stat == source.stat;
            let result = shared.remember(read);
            if is_it { shared.cache().manifests.get(&result.content) } else { None }
        });
        read.await.map_err(|_| Stop::Ending)
    }

    /// Those of the chunks to ask about that the drive lacks. It refuses, before anything is sent, what it has no room for.
    async fn lacking(&self, contents: &Contents) -> Result<Vec<ChunkId>, Stop> {
        let (mut lacking, mut besides) = (Vec::new(), contents.inline_bytes);
        for page in contents.asked.chunks(self.limits.chunk_query_max.max(1)) {
            let known: BTreeMap<ChunkId, u32> = page.iter().map(|id| (*id, contents.pieces[id].chunk.length)).collect();
            let lengths = page.iter().map(|id| known[id]).collect();
            let answer = self.server.lacks(page.to_vec(), Needs { lengths, besides }).await?;
            // Only what was asked for counts, whatever the answer.
            for (id, length) in answer.into_iter().filter_map(|id| Some((id, *known.get(&id)?))) {
                besides += u64::from(length);
                lacking.push(id);
            }
        }
        Ok(lacking)
    }

    /// Sends chunks ahead of the commit, in bodies of bounded size.
    async fn upload(self: &Arc<Self>, contents: &Contents, chunks: &[ChunkId]) -> Result<(), Stop> {
        let mut body = Vec::new();
        let mut bytes = 0;
        let mut bodies = Vec::new();
        for piece in contents.pieces_of(chunks) {
            if bytes + u64::from(piece.chunk.length) > UPLOAD_BYTES_MAX && !body.is_empty() {
                bodies.push(std::mem::take(&mut body));
                bytes = 0;
            }
            bytes += u64::from(piece.chunk.length);
            body.push(piece);
        }
        if !body.is_empty() {
            bodies.push(body);
        }
        for body in bodies {
            self.send_body(body, Vec::new(), None, |body| self.server.upload(body)).await?;
        }
        Ok(())
    }

    /// Makes a body while `call` sends it.
    async fn send_body<T, Call>(
        self: &Arc<Self>,
        pieces: Vec<Piece>,
        manifests: Vec<Frame>,
        last: Option<(Commit, Arc<BTreeMap<NodeId, Source>>)>,
        call: impl FnOnce(ByteStream) -> Call,
    ) -> Result<T, Stop>
    where
        Call: Future<Output = Result<T, CallError>>,
    {
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
        let call = Box::pin(call(body_from(waiting)));
        let making = Box::pin(self.make_body(pieces, manifests, last, frames));
        match select(call, making).await {
            Either::Left((answer, _)) => Ok(answer?),
            Either::Right((Ok(()), call)) => Ok(call.await?),
            // The call is dropped: the server has not seen the end frame and forgets the body.
            Either::Right((Err(stop), _)) => Err(stop),
        }
    }

    async fn make_body(
        self: &Arc<Self>,
        pieces: Vec<Piece>,
        manifests: Vec<Frame>,
        last: Option<(Commit, Arc<BTreeMap<NodeId, Source>>)>,
        frames: mpsc::Sender<Frame>,
    ) -> Result<(), Stop> {
        let blocks = stream::iter(self.blocks(pieces));
        let mut blocks = blocks.map(|pieces| self.block(pieces)).buffered(BLOCKS_PARALLEL);
        while let Some(block) = blocks.next().await {
            if frames.send(block?).await.is_err() {
                // The call has ended, and tells why.
                return Ok(());
            }
        }
        let mut rest = manifests;
        if let Some((commit, sources)) = last {
            self.check_unchanged(&sources).await?;
            rest.push(Frame::cbor(FrameKind::Operations, &commit));
        }
        for frame in rest.into_iter().chain([Frame::end()]) {
            if frames.send(frame).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Groups pieces that follow each other into blocks.
    fn blocks(&self, pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
        let mut blocks: Vec<Vec<Piece>> = Vec::new();
        let mut bytes = 0;
        for piece in pieces {
            let length = piece.chunk.length as usize;
            bytes += length;
            match blocks.last_mut() {
                Some(block) if block.len() < self.limits.block_chunks_max && bytes <= self.limits.block_bytes_max => {
                    block.push(piece);
                }
                _ => {
                    bytes = length;
                    blocks.push(vec![piece]);
                }
            }
        }
        blocks
    }

    /// Reads, checks and compresses the pieces of one block.
    async fn block(self: &Arc<Self>, pieces: Vec<Piece>) -> Result<Frame, Stop> {
        let shared = self.clone();
        let read = offload(self.world.tasks(), Lane::Hash, move || {
            pieces.into_iter().map(|piece| shared.read_piece(&piece)).collect::<Result<Vec<_>, NodeId>>()
        });
        let chunks = read.await.map_err(|_| Stop::Ending)?.map_err(|node| Stop::Changed(vec![node]))?;
        let limits = self.limits;
        let encoded = offload(self.world.tasks(), Lane::Zstd, move || Block::encode(&chunks, &limits).to_bytes());
        Ok(Frame::new(FrameKind::Block, encoded.await.map_err(|_| Stop::Ending)?))
    }

    /// The bytes of a piece, which are what its id says; else the node whose file has changed.
    fn read_piece(&self, piece: &Piece) -> Result<(ChunkId, Bytes), NodeId> {
        let id = piece.chunk.id;
        if let Some(bytes) = self.cache().chunks.get(&id) {
            return Ok((id, bytes));
        }
        let (files, length) = (&self.root.files, piece.chunk.length as usize);
        let dir = files.open_dir(&self.root.dir, &piece.at.dir).map_err(|_| piece.node)?;
        let bytes = files.read_range(&dir, &piece.at.name, piece.offset, length).map_err(|_| piece.node)?;
        if bytes.len() == length && chunk_id(&bytes) == id { Ok((id, bytes.into())) } else { Err(piece.node) }
    }

    /// Fails if a source is no longer the file that was hashed: then the commit would say what no longer is.
    async fn check_unchanged(self: &Arc<Self>, sources: &Arc<BTreeMap<NodeId, Source>>) -> Result<(), Stop> {
        let (shared, sources) = (self.clone(), sources.clone());
        let checked = offload(self.world.tasks(), Lane::Disk, move || {
            let files = &shared.root.files;
            let is_unchanged = |source: &Source| {
                let dir = files.open_dir(&shared.root.dir, &source.at.dir).ok()?;
                Some(files.stat(&dir, &source.at.name).ok()?? == source.stat)
            };
            let changed = sources.iter().filter(|(_, source)| is_unchanged(source) != Some(true));
            changed.map(|(node, _)| *node).collect::<Vec<_>>()
        });
        let changed = checked.await.map_err(|_| Stop::Ending)?;
        if changed.is_empty() { Ok(()) } else { Err(Stop::Changed(changed)) }
    }
}

impl Contents {
    fn add(&mut self, node: NodeId, source: &Source, manifest: Arc<Manifest>, inline_bytes_max: u64) {
        let at = Arc::new(source.at.clone());
        let is_small = manifest.chunks.len() == 1 && self.inline_bytes + manifest.length() <= inline_bytes_max;
        let mut offset = 0;
        for chunk in &manifest.chunks {
            let piece = Piece { node, at: at.clone(), offset, chunk: *chunk };
            offset += u64::from(chunk.length);
            if self.pieces.insert(chunk.id, piece).is_some() {
                continue;
            }
            if is_small {
                self.inline_bytes += u64::from(chunk.length);
                self.inline.push(chunk.id);
            } else {
                self.asked.push(chunk.id);
            }
        }
        if let ContentId::List(list) = source.content.id {
            self.lists.insert(list, manifest);
        }
    }

    fn pieces_of(&self, chunks: &[ChunkId]) -> Vec<Piece> {
        chunks.iter().filter_map(|id| self.pieces.get(id).cloned()).collect()
    }

    fn manifests_of(&self, lists: &[ListId]) -> Vec<Frame> {
        let known = lists.iter().filter_map(|list| Some((list, self.lists.get(list)?)));
        known
            .map(|(list, manifest)| {
                Frame::cbor(FrameKind::Manifest, &ManifestFrame { list: *list, bytes: manifest.to_bytes() })
            })
            .collect()
    }
}

/// A body of frames as they are made. Without an end frame the body was cut.
fn body_from(frames: mpsc::Receiver<Frame>) -> ByteStream {
    let cut = || BodyError::Cut("a file changed while it was sent".into());
    let frames = stream::unfold((frames, false), move |(mut frames, ended)| async move {
        if ended {
            return None;
        }
        match frames.recv().await {
            Some(frame) => {
                let ended = frame.kind == FrameKind::End;
                Some((stream::iter([Ok(frame.header()), Ok(frame.payload)]), (frames, ended)))
            }
            None => Some((stream::iter([Err(cut()), Ok(Bytes::new())]), (frames, true))),
        }
    });
    Box::pin(frames.flatten())
}

/// The drive lacks what this device believed it to have. The next try plans anew.
fn lost_contents() -> Stop {
    let message = "The server asks for contents that it should hold";
    let reply = skep_protocol::ErrorReply::new(Code::Busy, message);
    Stop::Call(CallError::Refused(reply))
}
