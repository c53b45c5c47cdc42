//! Calls to the server: one request, one reply, bodies of frames in both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use skep_content::{Block, Manifest};
use skep_protocol::{
    BodyError, ByteStream, DriveSummary, DriveSums, Entries, ErrorReply, FeedRequest, Frame, FrameKind, FrameStream,
    IdRange, Joined, Lineage, ManifestFrame, Needs, Reply, Request, SUMS_FEATURE, SnapshotRows,
};
use skep_types::{ChunkId, Cursor, DriveId, Entry, Limits, ListId, NodeId, Version};

use crate::throttle::{Throttle, Way};
use crate::{Link, LinkError};

/// What the client can do beyond the first version; nothing yet.
const FEATURES: [&str; 0] = [];
/// Manifests that one call asks for, at most.
const MANIFESTS_MAX: usize = 256;

/// A call came to no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection, or it broke. The call may have been carried out.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server's key is not the one that this device knows.
    #[error("the server's key is not the one that this device knows: {0}")]
    WrongKey(String),
    /// The server's history ends in the past of the one that this device has followed.
    #[error("the server is older than the one that this device has followed")]
    Older,
    /// The server refused.
    #[error(transparent)]
    Refused(#[from] ErrorReply),
    /// The server answered what makes no sense.
    #[error("the server answered what this program does not understand: {0}")]
    Malformed(String),
}

impl From<LinkError> for CallError {
    fn from(error: LinkError) -> CallError {
        match error {
            LinkError::Unreachable(reason) => CallError::Unreachable(reason),
            LinkError::WrongKey(reason) => CallError::WrongKey(reason),
            LinkError::Refused(reply) => CallError::Refused(reply),
        }
    }
}

impl From<BodyError> for CallError {
    fn from(error: BodyError) -> CallError {
        match error {
            BodyError::Cut(reason) => CallError::Unreachable(reason),
            BodyError::Frame(error) => CallError::Malformed(error.to_string()),
            BodyError::Refused(reply) => CallError::Refused(reply),
        }
    }
}

/// Signs a new device in. What it returns is stored by the caller; the token is shown only here.
pub async fn join(
    link: &impl Link,
    user: &str,
    password: &str,
    device_name: &str,
    platform: &str,
    client_version: &str,
) -> Result<Joined, CallError> {
    let request = Request::Join {
        user: user.into(),
        password: password.into(),
        device_name: device_name.into(),
        platform: platform.into(),
        client_version: client_version.into(),
    };
    let (reply, _) = call(link, None, &request, skep_protocol::empty_body(), Limits::SHIPPED.frame_bytes_max).await?;
    match reply {
        Reply::Joined(joined) => Ok(joined),
        other => Err(unexpected(&other)),
    }
}

/// One drive of a server, as one device.
#[derive(Debug, Clone)]
pub(crate) struct Server<L> {
    link: L,
    token: String,
    drive: DriveId,
    client_version: String,
    limits: Limits,
    /// At which rates; `None`: as fast as it goes.
    throttle: Option<Throttle>,
    /// The server said that it answers questions about sums.
    knows_sums: Arc<AtomicBool>,
}

impl<L: Link> Server<L> {
    pub(crate) fn new(link: L, token: String, drive: DriveId, client_version: String, limits: Limits) -> Server<L> {
        Server { link, token, drive, client_version, limits, throttle: None, knows_sums: Arc::default() }
    }

    /// The same, with bodies at the throttle's rates.
    pub(crate) fn slowed_by(self, throttle: Throttle) -> Server<L> {
        Server { throttle: Some(throttle), ..self }
    }

    /// The drive as the server sees it.
    pub(crate) async fn hello(&self) -> Result<DriveSummary, CallError> {
        let features = FEATURES.iter().map(|feature| (*feature).to_owned()).collect();
        let request = Request::Hello { features, client_version: self.client_version.clone() };
        match self.ask(&request).await? {
            (Reply::Hello { drives, features, .. }, _) => {
                self.knows_sums.store(features.iter().any(|feature| feature == SUMS_FEATURE), Ordering::Relaxed);
                drives.into_iter().find(|summary| summary.drive == self.drive).ok_or_else(|| {
                    let message = "This account has no such drive any more";
                    CallError::Refused(ErrorReply::new(skep_protocol::Code::NotFound, message))
                })
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The sum of the drive, and of these parts of it; `None`: this server does not know of sums.
    pub(crate) async fn sums(&self, ranges: Vec<IdRange>) -> Result<Option<DriveSums>, CallError> {
        if !self.knows_sums.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let count = ranges.len();
        match self.ask(&Request::Sums { drive: self.drive, ranges }).await? {
            (Reply::Sums(sums), _) if sums.ranges.len() == count => Ok(Some(sums)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The last that the journal says of a node; `None`: it says nothing of it.
    pub(crate) async fn newest_entry(&self, node: NodeId) -> Result<Option<Entry>, CallError> {
        match self.ask(&Request::History { drive: self.drive, node, before: None }).await? {
            (Reply::History(history), _) => Ok(history.entries.into_iter().next()),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The next page of the journal.
    pub(crate) async fn entries(&self, after: Cursor) -> Result<Entries, CallError> {
        let (_, mut frames) = self.ask(&Request::Entries { drive: self.drive, after }).await?;
        Ok(expect_frame(&mut frames, FrameKind::Entries).await?.read().map_err(BodyError::from)?)
    }

    /// The next page of a snapshot.
    pub(crate) async fn snapshot(&self, after: Option<NodeId>) -> Result<SnapshotRows, CallError> {
        let (_, mut frames) = self.ask(&Request::Snapshot { drive: self.drive, after }).await?;
        Ok(expect_frame(&mut frames, FrameKind::SnapshotRows).await?.read().map_err(BodyError::from)?)
    }

    /// Those of at most `chunk_query_max` chunks that the drive lacks; a refusal if it has no room for them.
    pub(crate) async fn lacks(&self, chunks: Vec<ChunkId>, needs: Needs) -> Result<Vec<ChunkId>, CallError> {
        match self.ask(&Request::Lacks { drive: self.drive, chunks, needs: Some(needs) }).await? {
            (Reply::Lacks { chunks }, _) => Ok(chunks),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Manifests, as many as asked for and known, each checked against its id.
    pub(crate) async fn manifests(&self, lists: &[ListId]) -> Result<Vec<(ListId, Manifest)>, CallError> {
        let mut found = Vec::with_capacity(lists.len());
        for page in lists.chunks(MANIFESTS_MAX) {
            let request = Request::Manifests { drive: self.drive, lists: page.to_vec() };
            let (_, mut frames) = self.ask(&request).await?;
            while let Some(frame) = frames.next_frame().await? {
                if frame.kind != FrameKind::Manifest {
                    continue;
                }
                let ManifestFrame { list, bytes } = frame.read().map_err(BodyError::from)?;
                let manifest = Manifest::from_bytes(&bytes, &self.limits)
                    .map_err(|error| CallError::Malformed(error.to_string()))?;
                if manifest.list_id() != list {
                    return Err(CallError::Malformed("a manifest is not what its id says".into()));
                }
                found.push((list, manifest));
            }
        }
        Ok(found)
    }

    /// Begins to fetch at most `chunk_query_max` chunks; see [`next_block`].
    pub(crate) async fn fetch(&self, chunks: Vec<ChunkId>) -> Result<FrameStream, CallError> {
        Ok(self.ask(&Request::Fetch { drive: self.drive, chunks }).await?.1)
    }

    /// Sends content ahead of a commit.
    pub(crate) async fn upload(&self, body: ByteStream) -> Result<(), CallError> {
        let request = Request::Upload { drive: self.drive };
        let (_, mut frames) = self.call(&request, body).await?;
        while frames.next_frame().await?.is_some() {}
        Ok(())
    }

    /// Which history the drive has, and whether these versions are in it.
    pub(crate) async fn compare(&self, versions: Vec<Version>) -> Result<Lineage, CallError> {
        let count = versions.len();
        match self.ask(&Request::Compare { drive: self.drive, versions }).await? {
            (Reply::Lineage(lineage), _) if lineage.standings.len() == count => Ok(lineage),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Tells that the drive had another history, of which `held` is the last that it still has.
    pub(crate) async fn departed(&self, seen: Cursor, held: Option<Version>) -> Result<Lineage, CallError> {
        match self.ask(&Request::Departed { drive: self.drive, seen, held }).await? {
            (Reply::Lineage(lineage), _) => Ok(lineage),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Sends a commit that rests on the history up to `seen`.
    pub(crate) async fn commit(
        &self,
        seen: Option<Cursor>,
        body: ByteStream,
    ) -> Result<skep_types::CommitReply, CallError> {
        let request = Request::Commit { drive: self.drive, seen };
        let (_, mut frames) = self.call(&request, body).await?;
        Ok(expect_frame(&mut frames, FrameKind::Result).await?.read().map_err(BodyError::from)?)
    }

    /// Opens the feed after `after`.
    pub(crate) async fn feed(&self, after: Cursor) -> Result<FrameStream, CallError> {
        let request = FeedRequest { drive: self.drive, after, wants_content: true };
        let bytes = self.slowed(self.link.feed(&self.token, request).await?, Way::Down);
        Ok(FrameStream::new(bytes, self.limits.frame_bytes_max))
    }

    /// A request without a body.
    pub(crate) async fn ask(&self, request: &Request) -> Result<(Reply, FrameStream), CallError> {
        self.call(request, skep_protocol::empty_body()).await
    }

    async fn call(&self, request: &Request, body: ByteStream) -> Result<(Reply, FrameStream), CallError> {
        let head: Bytes = Frame::cbor(FrameKind::Request, request).to_bytes();
        let with_head = self.slowed(Box::pin(stream::iter([Ok(head)]).chain(body)), Way::Up);
        let answer = self.slowed(self.link.call(Some(&self.token), with_head).await?, Way::Down);
        read_reply(answer, self.limits.frame_bytes_max).await
    }

    fn slowed(&self, body: ByteStream, way: Way) -> ByteStream {
        match &self.throttle {
            Some(throttle) => throttle.slowed(body, way),
            None => body,
        }
    }
}

/// The next block of a body; `None` at its end.
pub(crate) async fn next_block(frames: &mut FrameStream, limits: &Limits) -> Result<Option<Block>, CallError> {
    while let Some(frame) = frames.next_frame().await? {
        if frame.kind == FrameKind::Block {
            let block = Block::from_bytes(frame.payload, limits);
            return block.map(Some).map_err(|error| CallError::Malformed(error.to_string()));
        }
    }
    Ok(None)
}

async fn call(
    link: &impl Link,
    token: Option<&str>,
    request: &Request,
    body: ByteStream,
    frame_bytes_max: usize,
) -> Result<(Reply, FrameStream), CallError> {
    let head: Bytes = Frame::cbor(FrameKind::Request, request).to_bytes();
    let with_head = stream::iter([Ok(head)]).chain(body);
    let answer = link.call(token, Box::pin(with_head)).await?;
    read_reply(answer, frame_bytes_max).await
}

async fn read_reply(answer: ByteStream, frame_bytes_max: usize) -> Result<(Reply, FrameStream), CallError> {
    let mut frames = FrameStream::new(answer, frame_bytes_max);
    let reply = expect_frame(&mut frames, FrameKind::Reply).await?.read().map_err(BodyError::from)?;
    Ok((reply, frames))
}

async fn expect_frame(frames: &mut FrameStream, kind: FrameKind) -> Result<Frame, CallError> {
    match frames.next_frame().await? {
        Some(frame) if frame.kind == kind => Ok(frame),
        Some(frame) => Err(CallError::Malformed(format!("a {:?} frame in place of {kind:?}", frame.kind))),
        None => Err(CallError::Malformed(format!("no {kind:?} frame"))),
    }
}

/// The error of a reply to another question.
pub(crate) fn unexpected(reply: &Reply) -> CallError {
    let said = format!("{reply:?}");
    CallError::Malformed(said.chars().take(80).collect())
}
