//! Feeds: the endless answer that carries a drive's journal to a device as it grows.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use skep_blobstore::BlobStore;
use skep_metastore::MetaStore;
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{ByteStream, Code, Entries, ErrorReply, FeedRequest, Frame, FrameKind};
use skep_types::{Cursor, Seq};
use tokio::sync::watch;

use crate::Service;
use crate::answer::{Frames, bytes_of};
use crate::connections::{CallRecord, WorthALine};
use crate::error::signed_out;
use crate::hub::{Hub, Published, Taken};
use crate::journal::{drive_row, holds_cursor, other_history, page};
use crate::session::Session;

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// Opens a feed: frames without end, beginning with a heartbeat once the cursor is accepted, until the answer is dropped or the
    /// device is signed out, which an error frame tells.
    pub async fn feed(&self, token: &str, peer: &str, request: FeedRequest) -> Result<ByteStream, ErrorReply> {
        let mut record = CallRecord::start(&self.inner.log, &self.inner.parts.clock, peer);
        record.asked("feed", WorthALine::Always);
        match self.open_feed(token, request, &mut record).await {
            Ok((session, frames)) => {
                record.began_feed("feed_open");
                Ok(bytes_of(frames, Some(session), record))
            }
            Err(error) => {
                record.failed(error.code);
                Err(error)
            }
        }
    }

    async fn open_feed(
        &self,
        token: &str,
        request: FeedRequest,
        record: &mut CallRecord,
    ) -> Result<(Arc<Session>, Frames), ErrorReply> {
        let session = self.session_of(Some(token)).await?.ok_or_else(signed_out)?;
        record.by(&session)?;
        self.inner.log.saw(&session, &*self.inner.parts.clock);
        let hub = self.drive_of(&session, request.drive).await?;
        // Listens before the store is asked: what is published from now on is in the ring, what came before is in the store.
        let head = hub.subscribe();
        let (drive, after) = (request.drive, request.after);
        let held = self.read(move |read| holds_cursor(read, &drive_row(read, drive)?, &after)).await?;
        if !held {
            return Err(other_history());
        }
        let feed = Feed {
            service: self.clone(),
            session: Arc::clone(&session),
            hub,
            head,
            cursor: after,
            wants_content: request.wants_content,
            greeted: false,
        };
        let frames = stream::unfold(Some(feed), |feed| async {
            let mut feed = feed?;
            match feed.next_frames().await {
                Ok(frames) => Some((frames.into_iter().map(Ok).collect(), Some(feed))),
                Err(error) => Some((vec![Err(error)], None)),
            }
        });
        Ok((session, Box::pin(frames.flat_map(stream::iter))))
    }
}

/// One open feed.
struct Feed<M, B, C, E, T> {
    service: Service<M, B, C, E, T>,
    session: Arc<Session>,
    hub: Arc<Hub>,
    head: watch::Receiver<Seq>,
    /// What the device has, or will have when it has taken what was sent.
    cursor: Cursor,
    wants_content: bool,
    /// The first heartbeat was sent.
    greeted: bool,
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Feed<M, B, C, E, T> {
    /// What to send next; waits until there is something.
    async fn next_frames(&mut self) -> Result<Vec<Frame>, ErrorReply> {
        if !self.greeted {
            self.greeted = true;
            return Ok(vec![heartbeat()]);
        }
        let limits = &self.service.inner.parts.limits;
        let clock = Arc::clone(&self.service.inner.parts.clock);
        let quiet_until_ms = clock.monotonic_ms().saturating_add(limits.heartbeat_ms);
        loop {
            // Marked as seen before the ring is asked: a commit after that wakes this up again.
            self.head.borrow_and_update();
            match self.hub.take(self.cursor.seq, limits.feed_entries_max) {
                Taken::Commits(commits, head) => return Ok(self.ring_frames(&commits, head)),
                Taken::Behind => return self.store_frames().await,
                Taken::Current => {}
            }
            let quiet = clock.sleep_until(quiet_until_ms);
            if let Either::Right(_) = select(pin!(self.head.changed()), quiet).await {
                self.service.inner.log.saw(&self.session, &*clock);
                return Ok(vec![heartbeat()]);
            }
        }
    }

    fn ring_frames(&mut self, commits: &[Arc<Published>], head: Seq) -> Vec<Frame> {
        let foreign = |commit: &&Arc<Published>| commit.commit.device() != self.session.device;
        let wanted = commits.iter().filter(|_| self.wants_content).filter(foreign);
        let mut frames: Vec<Frame> = wanted
            .flat_map(|commit| commit.blocks.iter().map(|block| Frame::new(FrameKind::Block, block.clone())))
            .collect();
        let entries: Vec<_> = commits.iter().flat_map(|commit| commit.entries.iter().cloned()).collect();
        let after = self.cursor.seq;
        if let Some(last) = entries.last() {
            self.cursor = self.hub.cursor(last);
        }
        let entries = Entries { drive: self.hub.drive, after, entries, to: self.cursor, head };
        frames.push(Frame::cbor(FrameKind::Entries, &entries));
        frames
    }

    /// A page of the store, for a feed that starts far back or was too slow for the ring.
    async fn store_frames(&mut self) -> Result<Vec<Frame>, ErrorReply> {
        let (drive, cursor) = (self.hub.drive, self.cursor);
        let entries_max = self.service.inner.parts.limits.feed_entries_max;
        let page = self.service.read(move |read| {
            // The journal may have been thinned beneath a feed that is far behind.
            let is_known = cursor.seq >= read.thinned(drive)?.floor;
            is_known.then(|| page(read, &drive_row(read, drive)?, cursor, entries_max)).transpose()
        });
        let page = page.await?.ok_or_else(other_history)?;
        if page.entries.is_empty() {
            let message = format!("the journal of drive {drive} has nothing after {}", cursor.seq);
            return Err(ErrorReply::new(Code::Damaged, message));
        }
        self.cursor = page.to;
        Ok(vec![Frame::cbor(FrameKind::Entries, &page)])
    }
}

fn heartbeat() -> Frame {
    Frame::new(FrameKind::Heartbeat, bytes::Bytes::new())
}
