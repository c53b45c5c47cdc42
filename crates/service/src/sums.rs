//! Checked equality, the server's side: the sum of a drive, and of parts of it.

use std::sync::Arc;

use skep_blobstore::BlobStore;
use skep_metastore::{MetaStore, Read, StoreError};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{
    Code, DriveSums, ErrorReply, FrameStream, IdRange, InRange, PartSum, Reply, SUM_NODES_MAX, SUM_RANGES_MAX,
};
use skep_types::{DriveId, NodeId, NodeState, Sum};

use crate::Service;
use crate::answer::{Frames, no_more, reply};
use crate::hub::Hub;
use crate::journal::{drive_row, head_of};

/// Nodes that are read at a time.
const PAGE_NODES: usize = 4096;

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Sums`].
    pub(crate) async fn sums(
        &self,
        hub: Arc<Hub>,
        ranges: Vec<IdRange>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        if ranges.len() > SUM_RANGES_MAX {
            return Err(ErrorReply::new(Code::BadRequest, format!("at most {SUM_RANGES_MAX} ranges at a time")));
        }
        let drive = hub.drive;
        let sums = self.read(move |read| {
            let row = drive_row(read, drive)?;
            let Some(kept) = read.sum(drive)? else { return Ok(None) };
            let ranges = ranges.iter().map(|range| in_range(read, drive, range)).collect::<Result<_, _>>()?;
            Ok(Some(DriveSums { at: head_of(read, &row)?, kept, ranges }))
        });
        let sums =
            sums.await?.ok_or_else(|| ErrorReply::new(Code::NotFound, format!("drive {drive} is being removed")))?;
        Ok(reply(&Reply::Sums(sums)))
    }
}

/// What lives in a range: the nodes if they are few, else sums, counted from the nodes themselves.
fn in_range(read: &dyn Read, drive: DriveId, range: &IdRange) -> Result<InRange, StoreError> {
    let few = read.live_nodes(drive, range.first(), range.last(), SUM_NODES_MAX + 1)?;
    if few.len() <= SUM_NODES_MAX || !range.is_divisible() {
        return Ok(InRange::Nodes(few));
    }
    let mut parts: Vec<PartSum> = Vec::new();
    each_live_node(read, drive, range, |state| {
        let (byte, one) = (range.part_of(state.node), Sum::of(state));
        match parts.last_mut() {
            Some(part) if part.byte == byte => part.sum.add(&one),
            _ => parts.push(PartSum { byte, sum: one }),
        }
    })?;
    Ok(InRange::Parts(parts))
}

/// Goes over the live nodes of a range by id, page by page.
pub(crate) fn each_live_node(
    read: &dyn Read,
    drive: DriveId,
    range: &IdRange,
    mut take: impl FnMut(&NodeState),
) -> Result<(), StoreError> {
    let mut from = Some(range.first());
    while let Some(first) = from {
        let page = read.live_nodes(drive, first, range.last(), PAGE_NODES)?;
        page.iter().for_each(&mut take);
        from = page.last().filter(|_| page.len() == PAGE_NODES).and_then(|last| after(last.node));
    }
    Ok(())
}

/// The id after this one.
fn after(node: NodeId) -> Option<NodeId> {
    u128::from_be_bytes(*node.as_bytes()).checked_add(1).map(|next| NodeId::from_bytes(next.to_be_bytes()))
}
