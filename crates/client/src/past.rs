//! The past of a drive, as commands ask for it: of the server alone, without engine and folder, whether the daemon runs or not.
//!
//! Invariant: what is changed here is changed by a commit of the device [by hand](DeviceId::by_hand), so that its engine takes it from
//! the feed as it takes another device's; a commit in the engine's own name would pass for something that its disk shows already.

mod bring_back;
mod rewind;
mod safe;

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use skep_content::{ChunkRef, Manifest};
use skep_protocol::{Author, FoundNode, Frame, FrameKind, Reply, Request, Trash, TrashPlace, body_of};
use skep_types::{
    ChunkId, Commit, CommitId, CommitReply, ContentId, DeviceId, DriveId, Entry, Evidence, FileContent, Group,
    GroupResult, Limits, Name, NodeId, Seq, Timestamp,
};

pub use bring_back::{BringBackError, restored_name};
pub use rewind::{RewindPlan, Rewound, rewind_groups};
pub use safe::{SafeEntry, SafeOfRoot};

use crate::Link;
use crate::call::{CallError, Server, next_block, unexpected};

/// Plain bytes that are fetched by one call and held until they are written.
const PAGE_BYTES_MAX: u64 = 8 << 20;
/// Entries of one node that are read at most.
const ENTRIES_MAX: usize = 100_000;

/// A content could not be got.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The call came to nothing.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The server does not have all of it.
    #[error("the server cannot read all of it")]
    Missing,
    /// It could not be written here.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// One drive of a server, as a person at one device sees it.
#[derive(Debug, Clone)]
pub struct Past<L> {
    server: Server<L>,
    drive: DriveId,
    device: DeviceId,
    limits: Limits,
}

impl<L: Link> Past<L> {
    /// Over a link, with the token of a device.
    pub fn new(link: L, token: String, (drive, device): (DriveId, DeviceId), program: String, limits: Limits) -> Self {
        Past { server: Server::new(link, token, drive, program, limits), drive, device, limits }
    }

    /// What stands at a path, then what stood there when it was deleted, the last first.
    pub async fn find(&self, path: &[Name]) -> Result<Vec<FoundNode>, CallError> {
        match self.server.ask(&Request::Find { drive: self.drive, path: path.to_vec() }).await? {
            (Reply::Found(found), _) => Ok(found),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// The entries of a node before a position, newest first: one page, and who made them.
    pub async fn versions(&self, node: NodeId, before: Option<Seq>) -> Result<skep_protocol::History, CallError> {
        match self.server.ask(&Request::History { drive: self.drive, node, before }).await? {
            (Reply::History(history), _) => Ok(history),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// All entries of a node that are kept, newest first.
    pub async fn history(&self, node: NodeId) -> Result<(Vec<Entry>, Vec<Author>), CallError> {
        let (mut entries, mut authors) = (Vec::<Entry>::new(), Vec::new());
        loop {
            let page = self.versions(node, entries.last().map(|entry| entry.seq)).await?;
            let is_last = !page.more || page.entries.is_empty();
            entries.extend(page.entries);
            authors.extend(page.authors);
            if is_last || entries.len() >= ENTRIES_MAX {
                return Ok((entries, authors));
            }
        }
    }

    /// A page of the trash.
    pub async fn trash(&self, search: Option<&str>, from: Option<TrashPlace>) -> Result<Trash, CallError> {
        let request = Request::Trash { drive: self.drive, search: search.map(str::to_owned), from };
        match self.server.ask(&request).await? {
            (Reply::Trash(trash), _) => Ok(trash),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// All that is not as it was beneath a directory.
    pub async fn rewind_plan(&self, directory: NodeId, at: Timestamp) -> Result<RewindPlan, CallError> {
        let (mut then, mut after, mut plan) = (None, None, RewindPlan::default());
        loop {
            let request = Request::Pasts { drive: self.drive, directory, at, then, after };
            match self.server.ask(&request).await? {
                (Reply::Pasts(page), _) => {
                    if then.is_none() {
                        (plan.head, plan.time) = (page.head, page.time);
                    }
                    (then, after) = (Some(page.then), page.next);
                    plan.nodes.extend(page.nodes);
                    if after.is_none() {
                        return Ok(plan);
                    }
                }
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }

    /// Gives the bytes of a file, of any version, to `write`, in order.
    pub async fn content(
        &self,
        content: &FileContent,
        mut write: impl FnMut(&Bytes) -> io::Result<()>,
    ) -> Result<(), ContentError> {
        for page in pages(&self.chunks_of(content).await?, self.limits.chunk_query_max) {
            let mut wanted: BTreeMap<ChunkId, Option<Bytes>> = page.iter().map(|chunk| (chunk.id, None)).collect();
            let mut frames = self.server.fetch(wanted.keys().copied().collect()).await?;
            while let Some(block) = next_block(&mut frames, &self.limits).await? {
                let opened = block.open(&self.limits).map_err(|error| CallError::Malformed(error.to_string()))?;
                for (id, bytes) in opened {
                    if let Some(place) = wanted.get_mut(&id) {
                        *place = Some(bytes);
                    }
                }
            }
            for chunk in page {
                write(wanted.get(&chunk.id).and_then(Option::as_ref).ok_or(ContentError::Missing)?)?;
            }
        }
        Ok(())
    }

    async fn chunks_of(&self, content: &FileContent) -> Result<Vec<ChunkRef>, ContentError> {
        match content.id {
            ContentId::Empty => Ok(Vec::new()),
            ContentId::Chunk(id) => {
                let length = u32::try_from(content.size).map_err(|_| ContentError::Missing)?;
                Ok(vec![ChunkRef { id, length }])
            }
            ContentId::List(list) => {
                let found: Vec<(_, Manifest)> = self.server.manifests(&[list]).await?;
                found.into_iter().next().map(|(_, manifest)| manifest.chunks).ok_or(ContentError::Missing)
            }
        }
    }

    /// Commits by hand. `random` makes the commit's id; with the same one the same commit may be sent again.
    pub async fn commit(&self, random: [u8; 8], groups: Vec<Group>) -> Result<Vec<GroupResult>, ContentError> {
        let id = CommitId::new(self.device.by_hand(), random);
        let commit = Commit { id, drive: self.drive, groups, evidence: Evidence::Approved };
        let body = body_of(vec![Frame::cbor(FrameKind::Operations, &commit)]);
        match self.server.commit(body).await? {
            CommitReply::Decided { results, .. } => Ok(results),
            CommitReply::Missing { .. } => Err(ContentError::Missing),
        }
    }
}

/// Chunks in their order, so many at a time as one call asks for and as memory holds.
fn pages(chunks: &[ChunkRef], chunks_max: usize) -> Vec<&[ChunkRef]> {
    let (mut pages, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, chunk) in chunks.iter().enumerate() {
        if at > start && (at - start >= chunks_max || bytes + u64::from(chunk.length) > PAGE_BYTES_MAX) {
            pages.push(&chunks[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += u64::from(chunk.length);
    }
    if start < chunks.len() {
        pages.push(&chunks[start..]);
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_in_count_and_bytes_and_leave_nothing_out() {
        let chunk = |number: u8, length| ChunkRef { id: ChunkId::from_bytes([number; 32]), length };
        let chunks: Vec<ChunkRef> = (0..10).map(|number| chunk(number, 3 << 20)).collect();
        let found = pages(&chunks, 4096);
        assert!(found.iter().all(|page| page.len() == 2), "{found:?}");
        assert_eq!(found.concat(), chunks);
        assert_eq!(pages(&chunks, 1).len(), 10);
        assert_eq!(pages(&[chunk(1, 16 << 20)], 9).len(), 1, "one that is longer than a page goes alone");
        assert!(pages(&[], 9).is_empty());
    }
}
