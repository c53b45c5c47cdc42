//! Taking in the blocks and manifests of a body, with bounded memory: verify, append, remember where.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use skep_blobstore::{BlobStore, RecordPlace};
use skep_content::{Block, BlockError, Manifest};
use skep_metastore::{ChunkPlace, MetaStore, StoreError, Write};
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_protocol::{BodyError, Code, ErrorReply, Frame, FrameKind, FrameStream, ManifestFrame};
use skep_types::{ChunkId, Commit, DriveId, Limits, ListId, Timestamp};

use crate::Service;
use crate::error::{blob_refusal, body_refusal, gone_refusal, signed_out};
use crate::hub::Hub;
use crate::pins::Pin;
use crate::room;
use crate::session::{Session, may_call};

/// Blocks of one body that are verified or written at the same time.
const BLOCKS_IN_FLIGHT_MAX: usize = 4;
/// Encoded bytes of a body that may wait for their rows: what a cut connection costs at most.
const UNENTERED_BYTES_MAX: usize = 64 << 20;
/// Bytes of small contents that are kept of a commit's body for the feeds.
const SMALL_BYTES_MAX: usize = 2 << 20;
/// Chunks that are asked for in one statement.
const CHUNKS_ASKED_MAX: usize = 4096;

/// What a body is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Content ahead of a commit; its rows are entered as it comes.
    Upload,
    /// A commit; its rows are entered with it, unless they are too many.
    Commit,
}

impl Purpose {
    /// Chunks that may wait for their rows.
    fn rows_max(self) -> usize {
        match self {
            Purpose::Upload => 1024,
            Purpose::Commit => 8192,
        }
    }
}

/// A block that feeds may want, as it came.
#[derive(Debug)]
pub(crate) struct SmallBlock {
    /// The payload of its frame.
    pub(crate) payload: Bytes,
    /// What it holds.
    pub(crate) chunks: Vec<ChunkId>,
}

/// Chunks and where they lie.
pub(crate) type Rows = [(ChunkId, ChunkPlace)];

/// What came in a body and is not in the metadata store yet.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Where its chunks lie.
    pub(crate) rows: Vec<(ChunkId, ChunkPlace)>,
    /// Its manifests; each hashes to its id.
    pub(crate) manifests: Vec<(ListId, Manifest)>,
    /// For the feeds.
    pub(crate) small: Vec<SmallBlock>,
    /// The commit, if there is one.
    pub(crate) commit: Option<Commit>,
    small_bytes: usize,
    manifest_bytes: usize,
    unentered_bytes: usize,
    undurable: Vec<RecordPlace>,
    /// Of the packs in which `rows` lie.
    pins: Vec<Pin>,
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// Reads a body to its end. When it is cut, the whole blocks that came are kept all the same (they are leased), so that the next
    /// attempt has less to send.
    pub(crate) async fn receive(
        &self,
        session: &Arc<Session>,
        hub: &Arc<Hub>,
        body: &mut FrameStream,
        purpose: Purpose,
    ) -> Result<Received, ErrorReply> {
        let mut received = Received::default();
        let mut in_flight = FuturesUnordered::new();
        loop {
            let full = in_flight.len() >= BLOCKS_IN_FLIGHT_MAX;
            let frame = if full || in_flight.is_empty() {
                if full {
                    received.stored(in_flight.next().await.expect("it is full")?);
                    continue;
                }
                body.next_frame().await
            } else {
                match select(in_flight.next(), pin!(body.next_frame())).await {
                    Either::Left((stored, _)) => {
                        received.stored(stored.expect("it is not empty")?);
                        continue;
                    }
                    Either::Right((frame, _)) => frame,
                }
            };
            match frame {
                Ok(Some(frame)) if frame.kind == FrameKind::Block && received.commit.is_none() => {
                    let block = self.parse_block(&frame.payload)?;
                    received.keep_small(&block, frame.payload, purpose, &self.inner.parts.limits);
                    in_flight.push(self.store_block(block));
                }
                Ok(Some(frame)) => self.take_frame(frame, purpose, &mut received).await?,
                Ok(None) => break,
                Err(error) => {
                    while let Some(stored) = in_flight.next().await {
                        received.stored(stored?);
                    }
                    if let BodyError::Cut(_) = error {
                        self.enter(session, hub, &mut received).await?;
                    }
                    return Err(body_refusal(&error));
                }
            }
            if received.rows.len() >= purpose.rows_max() || received.unentered_bytes >= UNENTERED_BYTES_MAX {
                self.enter(session, hub, &mut received).await?;
            }
        }
        while let Some(stored) = in_flight.next().await {
            received.stored(stored?);
        }
        Ok(received)
    }

    /// Makes the blocks durable that came since the last time.
    pub(crate) async fn make_durable(&self, received: &mut Received) -> Result<(), ErrorReply> {
        let places = std::mem::take(&mut received.undurable);
        if places.is_empty() {
            return Ok(());
        }
        let blobs = Arc::clone(&self.inner.parts.blobs);
        let durable = offload(&self.inner.parts.tasks, Lane::Disk, move || blobs.make_durable(&places)).await;
        durable.map_err(gone_refusal)?.map_err(|error| blob_refusal(&error))
    }

    /// Enters what came, in one transaction, after making it durable. Manifests whose chunks are not all there stay.
    pub(crate) async fn enter(&self, session: &Session, hub: &Hub, received: &mut Received) -> Result<(), ErrorReply> {
        self.make_durable(received).await?;
        received.unentered_bytes = 0;
        let rows = std::mem::take(&mut received.rows);
        let manifests = std::mem::take(&mut received.manifests);
        let pins = std::mem::take(&mut received.pins);
        if rows.is_empty() && manifests.is_empty() {
            return Ok(());
        }
        let (device, drive, owner) = (session.device, hub.drive, hub.owner);
        self.inner.log.counters.received(&rows);
        let lease = self.inner.parts.clock.now().plus_milliseconds(self.inner.parts.limits.lease_ms);
        let entered = self.write(move |tx| {
            // Held until the rows are written, also if the caller goes away meanwhile.
            let _pins = pins;
            if !may_call(tx, device)? {
                return Ok(Err(signed_out()));
            }
            if let Some(refusal) = room::rows_in_quota(tx, (owner, drive), &rows)? {
                return Ok(Err(refusal));
            }
            put_rows(tx, drive, &rows, lease)?;
            let mut incomplete = Vec::new();
            for (list, manifest) in manifests {
                if put_manifest(tx, drive, list, &manifest, lease)? != Complete::Yes {
                    incomplete.push((list, manifest));
                }
            }
            Ok(Ok(incomplete))
        });
        received.manifests = entered.await??;
        Ok(())
    }

    fn parse_block(&self, payload: &Bytes) -> Result<Block, ErrorReply> {
        Block::from_bytes(payload.clone(), &self.inner.parts.limits).map_err(|error| block_refusal(&error))
    }

    /// Verifies a block and appends it. The block is opened here once; what was verified is what is stored.
    async fn store_block(&self, block: Block) -> Result<Stored, ErrorReply> {
        let limits = self.inner.parts.limits;
        let verified = offload(&self.inner.parts.tasks, Lane::Zstd, move || match block.open(&limits) {
            Ok(_) => Ok(block),
            Err(error) => Err(block_refusal(&error)),
        });
        let block = verified.await.map_err(gone_refusal)??;
        let (blobs, pins) = (Arc::clone(&self.inner.parts.blobs), Arc::clone(&self.inner.pins));
        let appended = offload(&self.inner.parts.tasks, Lane::Disk, move || {
            room::on_disk(&*blobs, limits.reserve_bytes, block.bytes.len() as u64)?;
            match blobs.append(&block) {
                Ok(record) => Ok(Stored::new(&block, record, pins.pin(record.pack))),
                Err(error) => Err(blob_refusal(&error)),
            }
        });
        appended.await.map_err(gone_refusal)?
    }

    async fn take_frame(&self, frame: Frame, purpose: Purpose, received: &mut Received) -> Result<(), ErrorReply> {
        let limits = self.inner.parts.limits;
        match (frame.kind, purpose) {
            // The commit closes the body: what follows it would be decided without.
            _ if received.commit.is_some() => Err(unexpected(frame.kind)),
            (FrameKind::Manifest, _) => {
                received.manifest_bytes += frame.payload.len();
                if received.manifest_bytes > limits.frame_bytes_max && purpose == Purpose::Commit {
                    return Err(ErrorReply::new(Code::TooLarge, "the manifests of this commit are too long together"));
                }
                let parsed = offload(&self.inner.parts.tasks, Lane::Hash, move || parse_manifest(&frame, &limits));
                received.manifests.push(parsed.await.map_err(gone_refusal)??);
                Ok(())
            }
            (FrameKind::Operations, Purpose::Commit) => {
                received.commit = Some(parse_commit(&frame, &limits)?);
                Ok(())
            }
            // A heartbeat only shows that the sender is alive.
            (FrameKind::Heartbeat, _) => Ok(()),
            (kind, _) => Err(unexpected(kind)),
        }
    }
}

/// Where a block went.
struct Stored {
    record: RecordPlace,
    rows: Vec<(ChunkId, ChunkPlace)>,
    bytes: usize,
    pin: Pin,
}

impl Stored {
    fn new(block: &Block, record: RecordPlace, pin: Pin) -> Stored {
        let place = |index: usize, length| ChunkPlace {
            record,
            index: u16::try_from(index).expect("a block has at most block_chunks_max chunks"),
            length,
        };
        let rows = block.chunks.iter().enumerate();
        Stored {
            record,
            rows: rows.map(|(index, chunk)| (chunk.id, place(index, chunk.length))).collect(),
            bytes: block.bytes.len(),
            pin,
        }
    }
}

impl Received {
    fn stored(&mut self, stored: Stored) {
        self.rows.extend(stored.rows);
        self.unentered_bytes += stored.bytes;
        self.undurable.push(stored.record);
        self.pins.push(stored.pin);
    }

    /// Keeps a block for the feeds if nothing in it is larger than what a push carries.
    fn keep_small(&mut self, block: &Block, payload: Bytes, purpose: Purpose, limits: &Limits) {
        let small = block.chunks.iter().all(|chunk| chunk.length as usize <= limits.inline_bytes_max);
        let bytes = self.small_bytes + payload.len();
        if purpose == Purpose::Commit && small && bytes <= SMALL_BYTES_MAX {
            self.small_bytes = bytes;
            self.small.push(SmallBlock { payload, chunks: block.chunks.iter().map(|chunk| chunk.id).collect() });
        }
    }
}

fn unexpected(kind: FrameKind) -> ErrorReply {
    ErrorReply::new(Code::BadRequest, format!("unexpected {kind:?} frame"))
}

fn block_refusal(error: &BlockError) -> ErrorReply {
    let code = match error {
        BlockError::WrongHash(_) => Code::WrongHash,
        _ => Code::BadRequest,
    };
    ErrorReply::new(code, error.to_string())
}

fn parse_manifest(frame: &Frame, limits: &Limits) -> Result<(ListId, Manifest), ErrorReply> {
    let malformed = |reason: String| ErrorReply::new(Code::BadRequest, reason);
    let sent: ManifestFrame = frame.read().map_err(|error| malformed(error.to_string()))?;
    let manifest = Manifest::from_bytes(&sent.bytes, limits).map_err(|error| malformed(error.to_string()))?;
    if manifest.chunks.len() < 2 {
        return Err(malformed("a manifest lists two chunks or more".to_owned()));
    }
    if manifest.list_id() != sent.list {
        return Err(ErrorReply::new(Code::WrongHash, format!("the manifest is not {}", sent.list)));
    }
    Ok((sent.list, manifest))
}

fn parse_commit(frame: &Frame, limits: &Limits) -> Result<Commit, ErrorReply> {
    if frame.payload.len() > limits.commit_bytes_max {
        return Err(ErrorReply::new(Code::TooLarge, format!("a commit of {} bytes", frame.payload.len())));
    }
    let commit: Commit = frame.read().map_err(|error| ErrorReply::new(Code::BadRequest, error.to_string()))?;
    let operations: usize = commit.groups.iter().map(|group| group.0.len()).sum();
    // An empty group is no operation, but its result takes room too.
    if operations.max(commit.groups.len()) > limits.commit_operations_max {
        return Err(ErrorReply::new(Code::TooLarge, format!("a commit of {operations} operations")));
    }
    Ok(commit)
}

/// Lets a drive hold chunks that are durable.
pub(crate) fn put_rows(tx: &mut dyn Write, drive: DriveId, rows: &Rows, lease: Timestamp) -> Result<(), StoreError> {
    rows.iter().try_for_each(|(chunk, place)| tx.put_chunk(drive, *chunk, place, lease))
}

/// Whether a drive can hold a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Complete {
    /// It holds every chunk.
    Yes,
    /// It lacks these.
    Lacks(Vec<ChunkId>),
    /// A chunk has another length than the manifest says.
    WrongLength(ChunkId),
}

/// Lets a drive hold a manifest, if it holds every chunk of it.
pub(crate) fn put_manifest(
    tx: &mut dyn Write,
    drive: DriveId,
    list: ListId,
    manifest: &Manifest,
    lease: Timestamp,
) -> Result<Complete, StoreError> {
    let mut lacks = Vec::new();
    for some in manifest.chunks.chunks(CHUNKS_ASKED_MAX) {
        let ids: Vec<ChunkId> = some.iter().map(|chunk| chunk.id).collect();
        for (chunk, place) in some.iter().zip(tx.chunks(drive, &ids)?) {
            match place {
                None => lacks.push(chunk.id),
                Some(place) if place.length != chunk.length => return Ok(Complete::WrongLength(chunk.id)),
                Some(_) => {}
            }
        }
    }
    if lacks.is_empty() {
        tx.put_manifest(drive, list, manifest, lease)?;
        return Ok(Complete::Yes);
    }
    lacks.sort_unstable();
    lacks.dedup();
    Ok(Complete::Lacks(lacks))
}
