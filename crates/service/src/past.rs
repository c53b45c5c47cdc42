//! What was: nodes at a path, versions, the trash, how a directory was at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skep_blobstore::BlobStore;
use skep_metastore::{MetaStore, Read, StoreError};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{
    Author, Code, ErrorReply, FoundNode, FrameStream, History, Past, Pasts, Reply, Trash, TrashItem, TrashPlace,
};
use skep_types::{Content, DeviceId, DriveId, Name, NodeId, NodeState, Seq, Timestamp};

use crate::Service;
use crate::answer::{Frames, no_more, reply};
use crate::hub::Hub;
use crate::journal::drive_row;

/// Nodes that are looked at for each name of a path: one that stands there, and those that were deleted there last.
const CANDIDATES_MAX: usize = 64;
/// After every entry.
const END: Seq = Seq(u64::MAX);

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Find`].
    pub(crate) async fn find(
        &self,
        hub: Arc<Hub>,
        path: Vec<Name>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        if path.len() > self.inner.parts.limits.depth_max + 1 {
            return Err(ErrorReply::new(Code::BadRequest, "no path is that deep"));
        }
        let drive = hub.drive;
        Ok(reply(&Reply::Found(self.read(move |read| found(read, drive, &path)).await?)))
    }

    /// [`skep_protocol::Request::History`].
    pub(crate) async fn history(
        &self,
        hub: Arc<Hub>,
        node: NodeId,
        before: Option<Seq>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (drive, rows_max) = (hub.drive, self.inner.parts.limits.snapshot_rows_max);
        let history = self.read(move |read| {
            let mut entries = read.versions(drive, node, before.unwrap_or(END), rows_max + 1)?;
            let more = entries.len() > rows_max;
            entries.truncate(rows_max);
            let authors = authors(read, entries.iter().map(|entry| entry.commit.device()))?;
            Ok(History { entries, authors, more })
        });
        Ok(reply(&Reply::History(history.await?)))
    }

    /// [`skep_protocol::Request::Trash`].
    pub(crate) async fn trash(
        &self,
        hub: Arc<Hub>,
        search: Option<String>,
        from: Option<TrashPlace>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (drive, rows_max) = (hub.drive, self.inner.parts.limits.snapshot_rows_max);
        let page = self.read(move |read| match search {
            Some(text) => searched(read, drive, &text, from, rows_max),
            None => last_deleted(read, drive, from, rows_max),
        });
        Ok(reply(&Reply::Trash(page.await?)))
    }

    /// [`skep_protocol::Request::Pasts`].
    pub(crate) async fn pasts(
        &self,
        hub: Arc<Hub>,
        directory: NodeId,
        at: Timestamp,
        (then, after): (Option<Seq>, Option<NodeId>),
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (drive, rows_max) = (hub.drive, self.inner.parts.limits.snapshot_rows_max);
        let time = self.inner.parts.clock.now();
        let page = self.read(move |read| {
            let head = drive_row(read, drive)?.head;
            let then = match then {
                Some(then) => then.min(head),
                None => end_at(read, drive, at, head)?,
            };
            if then < read.thinned(drive)?.done {
                return Ok(None);
            }
            let mut past = PastTree { read, drive, then, states: BTreeMap::new() };
            let changed = read.changed_since(drive, then, after, rows_max)?;
            let next = changed.last().copied().filter(|_| changed.len() == rows_max);
            let nodes = changed.into_iter().filter_map(|node| past.compared(directory, node).transpose());
            Ok(Some(Pasts { nodes: nodes.collect::<Result<_, _>>()?, then, head, time, next }))
        });
        let too_old = || ErrorReply::new(Code::NotFound, "what was at that time is no longer kept whole");
        Ok(reply(&Reply::Pasts(page.await?.ok_or_else(too_old)?)))
    }
}

/// What stands at a path, then what stood there when it was deleted, the last first.
fn found(read: &dyn Read, drive: DriveId, path: &[Name]) -> Result<Vec<FoundNode>, StoreError> {
    // With the position of the deletion; `END` for what is live, which comes first.
    let mut candidates = vec![(END, skep_drive::root())];
    for name in path {
        let mut next = Vec::new();
        for (deleted, directory) in candidates.iter().filter(|(_, state)| state.content == Content::Directory) {
            let live = child(read, drive, directory.node, name)?.map(|state| (*deleted, state));
            let trashed = read.trashed_children(drive, directory.node, name, CANDIDATES_MAX)?;
            next.extend(live);
            next.extend(trashed.into_iter().map(|state| (state.place_version.seq.min(*deleted), state)));
        }
        next.sort_by(|(one, _), (other, _)| other.cmp(one));
        next.truncate(CANDIDATES_MAX);
        candidates = next;
    }
    Ok(candidates.into_iter().map(|(deleted, state)| FoundNode { state, in_trash: deleted != END }).collect())
}

fn child(read: &dyn Read, drive: DriveId, parent: NodeId, name: &Name) -> Result<Option<NodeState>, StoreError> {
    // The view's own failure is reported by the session, whatever is made of this one.
    read.view(drive)?.child(parent, name).map_err(|failed| StoreError::Failed(failed.to_string()))
}

fn node_of(read: &dyn Read, drive: DriveId, node: NodeId) -> Result<Option<NodeState>, StoreError> {
    read.view(drive)?.node(node).map_err(|failed| StoreError::Failed(failed.to_string()))
}

/// What was deleted by itself, the last first.
fn last_deleted(
    read: &dyn Read,
    drive: DriveId,
    from: Option<TrashPlace>,
    rows_max: usize,
) -> Result<Trash, StoreError> {
    let before = match from {
        Some(TrashPlace::Before(seq)) => seq,
        _ => END,
    };
    let rows = read.trashed_before(drive, before, rows_max)?;
    let next = rows.last().filter(|_| rows.len() == rows_max).map(|row| TrashPlace::Before(row.place_version.seq));
    trash_page(read, drive, rows, next)
}

/// Whatever lies in the trash and has `text` in its name, beneath deleted directories too.
fn searched(
    read: &dyn Read,
    drive: DriveId,
    text: &str,
    from: Option<TrashPlace>,
    rows_max: usize,
) -> Result<Trash, StoreError> {
    let after = match from {
        Some(TrashPlace::After(node)) => Some(node),
        _ => None,
    };
    let text = text.to_lowercase();
    let mut rows = read.nodes(drive, after, rows_max)?;
    let next = rows.last().filter(|_| rows.len() == rows_max).map(|row| TrashPlace::After(row.node));
    rows.retain(|row| row.place.name.display().to_lowercase().contains(&text));
    trash_page(read, drive, rows, next)
}

/// Those of `rows` that are in the trash.
fn trash_page(
    read: &dyn Read,
    drive: DriveId,
    rows: Vec<NodeState>,
    next: Option<TrashPlace>,
) -> Result<Trash, StoreError> {
    let mut items = Vec::new();
    for state in rows {
        let way = way_up(state.node, |node| node_of(read, drive, node))?;
        let Some(by) = &way.trashed else { continue };
        let entry = read.entry(drive, by.seq)?;
        items.push(TrashItem {
            by_itself: state.place.trashed,
            path: way.path,
            deleted: entry.map(|entry| entry.time).unwrap_or_default(),
            by: by.commit.device(),
            state,
        });
    }
    let authors = authors(read, items.iter().map(|item| item.by))?;
    Ok(Trash { items, authors, next })
}

/// Who these devices are; what a person did at one by hand is that device's.
fn authors(read: &dyn Read, devices: impl Iterator<Item = DeviceId>) -> Result<Vec<Author>, StoreError> {
    let mut authors = Vec::new();
    for id in devices.collect::<BTreeSet<DeviceId>>() {
        let (device, by_hand) = match read.device(id)? {
            Some(device) => (Some(device), false),
            None => (read.device(id.by_hand())?, true),
        };
        let Some(device) = device else { continue };
        let account_name = read.account(device.account)?.map(|account| account.name).unwrap_or_default();
        authors.push(Author { device: id, device_name: device.name, account_name, by_hand });
    }
    Ok(authors)
}

/// The way from a node up to the root.
struct Way {
    /// From the root down.
    path: Vec<Name>,
    /// The directories on it, the root included.
    above: Vec<NodeId>,
    /// The place of the nearest on it, the node included, that is trashed itself.
    trashed: Option<skep_types::Version>,
}

fn way_up(
    node: NodeId,
    mut state_of: impl FnMut(NodeId) -> Result<Option<NodeState>, StoreError>,
) -> Result<Way, StoreError> {
    let mut way = Way { path: Vec::new(), above: Vec::new(), trashed: None };
    let mut at = node;
    while at != NodeId::ROOT {
        let state = state_of(at)?.ok_or_else(|| StoreError::Damaged(format!("node {at} is gone")))?;
        if state.place.trashed && way.trashed.is_none() {
            way.trashed = Some(state.place_version);
        }
        at = state.place.parent;
        way.path.push(state.place.name);
        way.above.push(at);
    }
    way.path.reverse();
    Ok(way)
}

/// The end of a drive's journal at a time: found by halving, as the clock goes on with the journal. Where it went back, one of the
/// positions that had that time.
fn end_at(read: &dyn Read, drive: DriveId, at: Timestamp, head: Seq) -> Result<Seq, StoreError> {
    let (mut low, mut high) = (Seq::START, head);
    while low < high {
        let middle = Seq(low.0 + (high.0 - low.0).div_ceil(2));
        match read.entries_before(drive, middle.next(), 1)?.first() {
            Some(entry) if entry.time > at => high = Seq(entry.seq.0 - 1),
            _ => low = middle,
        }
        // Where the journal is thinned, an entry may be far below the middle.
        high = high.max(low);
    }
    Ok(low)
}

/// A drive as it was when its journal ended at `then`.
struct PastTree<'a> {
    read: &'a dyn Read,
    drive: DriveId,
    then: Seq,
    states: BTreeMap<NodeId, Option<NodeState>>,
}

impl PastTree<'_> {
    fn state(&mut self, node: NodeId) -> Result<Option<NodeState>, StoreError> {
        if let Some(known) = self.states.get(&node) {
            return Ok(known.clone());
        }
        let last = self.read.versions(self.drive, node, self.then.next(), 1)?;
        let state = last.into_iter().next().map(|entry| entry.state);
        self.states.insert(node, state.clone());
        Ok(state)
    }

    /// A node as it is and as it was, if it is or was beneath a directory and was not purged.
    fn compared(&mut self, directory: NodeId, node: NodeId) -> Result<Option<Past>, StoreError> {
        let (read, drive) = (self.read, self.drive);
        let Some(now) = node_of(read, drive, node)? else { return Ok(None) };
        let then = self.state(node)?;
        let way_now = way_up(node, |node| node_of(read, drive, node))?;
        let way_then = match &then {
            Some(_) => Some(way_up(node, |node| self.state(node))?),
            None => None,
        };
        let is_within = |way: &Way| way.above.contains(&directory);
        if !is_within(&way_now) && !way_then.as_ref().is_some_and(is_within) {
            return Ok(None);
        }
        let (path_then, trashed_then) = way_then.map_or((Vec::new(), false), |way| (way.path, way.trashed.is_some()));
        let trashed_now = way_now.trashed.is_some();
        Ok(Some(Past { now, then, path_now: way_now.path, path_then, trashed_now, trashed_then }))
    }
}
