//! Content outside of commits: uploads, questions, downloads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use skep_blobstore::{BlobError, BlobStore, RecordPlace};
use skep_content::Block;
use skep_metastore::{ChunkRow, MetaStore};
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_protocol::{Code, ErrorReply, Frame, FrameKind, FrameStream, ManifestFrame, Needs, Reply};
use skep_types::{ChunkId, ListId};

use crate::Service;
use crate::answer::{Frames, no_more, reply};
use crate::error::{blob_refusal, gone_refusal, signed_out};
use crate::hub::Hub;
use crate::intake::Purpose;
use crate::room;
use crate::service::lock;
use crate::session::{Session, may_call};

/// Records that a download reads ahead.
const RECORDS_AHEAD: usize = 4;
/// Manifests in one request.
const MANIFESTS_MAX: usize = 256;

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Upload`].
    pub(crate) async fn upload(
        &self,
        session: &Arc<Session>,
        hub: Arc<Hub>,
        body: &mut FrameStream,
    ) -> Result<Frames, ErrorReply> {
        let mut received = self.receive(session, &hub, body, Purpose::Upload).await?;
        self.enter(session, &hub, &mut received).await?;
        match received.manifests.first() {
            None => Ok(reply(&Reply::Done)),
            Some((list, _)) => {
                let message = format!("manifest {list} lists chunks that were not sent");
                Err(ErrorReply::new(Code::NotFound, message))
            }
        }
    }

    /// [`skep_protocol::Request::Lacks`]: what is there is leased far enough for the commit to come, in the transaction that answers
    /// if it is not yet. A chunk that is known as damaged counts as lacking, so that it is sent again.
    pub(crate) async fn lacks(
        &self,
        session: &Arc<Session>,
        hub: Arc<Hub>,
        (chunks, needs): (Vec<ChunkId>, Option<Needs>),
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        self.check_count(chunks.len(), self.inner.parts.limits.chunk_query_max)?;
        let (drive, device, owner) = (hub.drive, session.device, hub.owner);
        let (now, lease_ms) = (self.inner.parts.clock.now(), self.inner.parts.limits.lease_ms);
        let (enough, lease) = (now.plus_milliseconds(lease_ms / 4 * 3), now.plus_milliseconds(lease_ms));
        let chunks = Arc::new(chunks);
        let asked = Arc::clone(&chunks);
        let answer = self.read(move |read| {
            if !may_call(read, device)? {
                return Ok(None);
            }
            let rows = read.chunk_rows(drive, &asked)?;
            let ends = rows.iter().flatten().any(|row| !row.damaged && row.lease < enough);
            let lacks: Vec<bool> = rows.iter().map(|row| row.is_none_or(|row| row.damaged)).collect();
            let bytes = needs.map_or(0, |needs| needed(&needs, &lacks));
            let refusal = room::in_quota(read, owner, bytes)?;
            let lacks = asked.iter().zip(lacks).filter(|(_, lacks)| *lacks);
            Ok(Some((ends, bytes, refusal, lacks.map(|(chunk, _)| *chunk).collect())))
        });
        let (ends, bytes, refusal, lacks): (bool, u64, Option<ErrorReply>, Vec<ChunkId>) =
            answer.await?.ok_or_else(signed_out)?;
        // Said before anything is sent, rather than after most of it.
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        if bytes > 0 {
            let (blobs, reserve_bytes) = (Arc::clone(&self.inner.parts.blobs), self.inner.parts.limits.reserve_bytes);
            let room =
                offload(&self.inner.parts.tasks, Lane::Disk, move || room::on_disk(&*blobs, reserve_bytes, bytes));
            room.await.map_err(gone_refusal)??;
        }
        if !ends {
            return Ok(reply(&Reply::Lacks { chunks: lacks }));
        }
        let lacks = self.write(move |tx| {
            if !may_call(tx, device)? {
                return Ok(None);
            }
            let mut lacks = Vec::new();
            for (chunk, place) in chunks.iter().zip(tx.chunks(drive, &chunks)?) {
                match place {
                    Some(_) => tx.renew_chunk(drive, *chunk, lease)?,
                    None => lacks.push(*chunk),
                }
            }
            Ok(Some(lacks))
        });
        Ok(reply(&Reply::Lacks { chunks: lacks.await?.ok_or_else(signed_out)? }))
    }

    /// [`skep_protocol::Request::Fetch`]: each record once, in the order in which they lie, a few read ahead. What cannot be read is
    /// left out, so that the rest does not suffer, and told by an error at the end.
    pub(crate) async fn fetch(
        &self,
        hub: Arc<Hub>,
        chunks: Vec<ChunkId>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        self.check_count(chunks.len(), self.inner.parts.limits.chunk_query_max)?;
        let drive = hub.drive;
        let asked = self.read(move |read| Ok(chunks.iter().copied().zip(read.chunk_rows(drive, &chunks)?).collect()));
        let asked: Vec<(ChunkId, Option<ChunkRow>)> = asked.await?;
        let failed = Arc::new(Failed::default());
        let mut records: BTreeMap<RecordPlace, Vec<(u16, ChunkId)>> = BTreeMap::new();
        for (chunk, row) in asked {
            match row {
                Some(row) if row.damaged => failed.note(Code::Damaged),
                Some(row) => records.entry(row.place.record).or_default().push((row.place.index, chunk)),
                None => {}
            }
        }
        let (service, noted) = (self.clone(), Arc::clone(&failed));
        let blocks = stream::iter(records).map(move |(record, members)| {
            let (service, noted) = (service.clone(), Arc::clone(&noted));
            async move { service.read_block(record, members, &noted).await.transpose() }
        });
        let first = stream::iter([Ok(Frame::cbor(FrameKind::Reply, &Reply::Done))]);
        let last = stream::once(async move { failed.refusal().map(Err) });
        let blocks = blocks.buffered(RECORDS_AHEAD).chain(last).filter_map(std::future::ready);
        Ok(Box::pin(first.chain(blocks)))
    }

    /// The frame of a record; `None`, noted and remembered in the store, if it cannot be read or is not what it should be.
    async fn read_block(
        &self,
        record: RecordPlace,
        members: Vec<(u16, ChunkId)>,
        failed: &Failed,
    ) -> Result<Option<Frame>, ErrorReply> {
        let blobs = Arc::clone(&self.inner.parts.blobs);
        let read = offload(&self.inner.parts.tasks, Lane::Disk, move || {
            blobs.read(record).and_then(|block| holds_members(record, &block, &members).map(|()| block))
        });
        match read.await.map_err(gone_refusal)? {
            Ok(block) => Ok(Some(Frame::new(FrameKind::Block, block.to_bytes()))),
            Err(error @ BlobError::Damaged { .. }) => {
                tracing::error!(%error, "a record is left out of a download and counts as damaged from now on");
                failed.note(Code::Damaged);
                if let Err(error) = self.write(move |tx| tx.mark_damaged(record)).await {
                    tracing::error!(%error, "the damage could not be noted");
                }
                Ok(None)
            }
            Err(error) => {
                failed.note(blob_refusal(&error).code);
                Ok(None)
            }
        }
    }

    /// [`skep_protocol::Request::Manifests`]: one by one, because each may be tens of megabytes.
    pub(crate) async fn manifests(
        &self,
        hub: Arc<Hub>,
        lists: Vec<ListId>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        self.check_count(lists.len(), MANIFESTS_MAX)?;
        let (service, drive) = (self.clone(), hub.drive);
        let frames = stream::iter(lists).then(move |list| {
            let service = service.clone();
            async move {
                let found = service.read(move |read| read.manifest(drive, list)).await?;
                let manifest =
                    found.ok_or_else(|| ErrorReply::new(Code::NotFound, format!("there is no manifest {list}")))?;
                let frame = ManifestFrame { list, bytes: manifest.to_bytes() };
                Ok(Frame::cbor(FrameKind::Manifest, &frame))
            }
        });
        let first = stream::iter([Ok(Frame::cbor(FrameKind::Reply, &Reply::Done))]);
        Ok(Box::pin(first.chain(frames)))
    }

    fn check_count(&self, count: usize, count_max: usize) -> Result<(), ErrorReply> {
        if count <= count_max {
            return Ok(());
        }
        Err(ErrorReply::new(Code::TooLarge, format!("{count} ids in one request, at most {count_max} are taken")))
    }
}

/// Plain bytes that will be sent, if these chunks are lacking; 0 if nothing is.
fn needed(needs: &Needs, lacks: &[bool]) -> u64 {
    let lengths = needs.lengths.iter().zip(lacks).filter(|(_, lacks)| **lacks);
    let lacking: u64 = lengths.map(|(length, _)| u64::from(*length)).sum();
    if lacking == 0 { 0 } else { lacking.saturating_add(needs.besides) }
}

/// What a download could not read.
#[derive(Debug, Default)]
struct Failed(Mutex<Option<Code>>);

impl Failed {
    /// Damage is told rather than what may pass by itself.
    fn note(&self, code: Code) {
        let mut noted = lock(&self.0);
        if *noted != Some(Code::Damaged) {
            *noted = Some(code);
        }
    }

    fn refusal(&self) -> Option<ErrorReply> {
        let code = (*lock(&self.0))?;
        let message = match code {
            Code::Damaged => "some of this content is damaged on the server; a device that has it whole sends it again",
            _ => "some of this content could not be read on the server",
        };
        Some(ErrorReply::new(code, message))
    }
}

/// Requires that a record holds the chunks that the metadata says: a pack that took the place of another one has sound records, too.
pub(crate) fn holds_members(record: RecordPlace, block: &Block, members: &[(u16, ChunkId)]) -> Result<(), BlobError> {
    let is_there = |(index, chunk): &(u16, ChunkId)| {
        block.chunks.get(usize::from(*index)).is_some_and(|member| member.id == *chunk)
    };
    match members.iter().all(is_there) {
        true => Ok(()),
        false => Err(BlobError::Damaged { place: record, reason: "it holds other chunks than it should".to_owned() }),
    }
}
