//! Content outside of commits: uploads, questions, downloads.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use skep_blobstore::{BlobStore, RecordPlace};
use skep_metastore::MetaStore;
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_protocol::{Code, ErrorReply, Frame, FrameKind, FrameStream, ManifestFrame, Reply};
use skep_types::{ChunkId, ListId};

use crate::Service;
use crate::answer::{Frames, no_more, reply};
use crate::error::{gone_refusal, signed_out};
use crate::hub::Hub;
use crate::intake::Purpose;
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

    /// [`skep_protocol::Request::Lacks`]: what is there is leased anew in the transaction that answers, so that it is still there when the
    /// commit comes.
    pub(crate) async fn lacks(
        &self,
        session: &Arc<Session>,
        hub: Arc<Hub>,
        chunks: Vec<ChunkId>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        self.check_count(chunks.len(), self.inner.parts.limits.chunk_query_max)?;
        let (drive, device) = (hub.drive, session.device);
        let chunks = Arc::new(chunks);
        let asked = Arc::clone(&chunks);
        let held_none = self.read(move |read| Ok(read.chunks(drive, &asked)?.iter().all(Option::is_none))).await?;
        if held_none {
            return Ok(reply(&Reply::Lacks { chunks: chunks.to_vec() }));
        }
        let lease = self.inner.parts.clock.now().plus_milliseconds(self.inner.parts.limits.lease_ms);
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

    /// [`skep_protocol::Request::Fetch`]: each record once, in the order in which they lie, a few read ahead.
    pub(crate) async fn fetch(
        &self,
        hub: Arc<Hub>,
        chunks: Vec<ChunkId>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        self.check_count(chunks.len(), self.inner.parts.limits.chunk_query_max)?;
        let drive = hub.drive;
        let places = self.read(move |read| read.chunks(drive, &chunks)).await?;
        let records: BTreeSet<RecordPlace> = places.into_iter().flatten().map(|place| place.record).collect();
        let (blobs, tasks) = (Arc::clone(&self.inner.parts.blobs), self.inner.parts.tasks.clone());
        let blocks = stream::iter(records).map(move |record| {
            let (blobs, tasks) = (Arc::clone(&blobs), tasks.clone());
            async move { offload(&tasks, Lane::Disk, move || blobs.read(record)).await }
        });
        let frames = blocks.buffered(RECORDS_AHEAD).filter_map(|block| async move {
            match block {
                Ok(Ok(block)) => Some(Ok(Frame::new(FrameKind::Block, block.to_bytes()))),
                // The device sees that chunks are missing; the others must not suffer.
                Ok(Err(error)) => {
                    tracing::error!(%error, "a record is left out of a download");
                    None
                }
                Err(gone) => Some(Err(gone_refusal(gone))),
            }
        });
        let first = stream::iter([Ok(Frame::cbor(FrameKind::Reply, &Reply::Done))]);
        Ok(Box::pin(first.chain(frames)))
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
