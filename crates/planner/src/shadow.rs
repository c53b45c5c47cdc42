//! Meeting a server anew: a whole snapshot takes the place of Remote.
//!
//! The pages of the snapshot are gathered in a *shadow*, beside Remote. When it is complete, and it is known how much of what was agreed
//! on is in the history of the server (up to `common`), one step puts it in Remote's place:
//!
//! - What both sides agreed on up to there stays agreed on. What is not in the snapshot was deleted for good: it counts as trashed, so that
//!   what changed here since lives.
//! - What they agreed on later is a *lost acknowledgement*: the server told that it has it, and has it no more. What stands here is an
//!   edit on top of what the server has, if that is from before; else both are kept. Nothing is deleted for it.

use skep_types::{CommitId, Cursor, NodeId, NodeState, Seq, Stat, Version};

use crate::trees::{Beginning, Local, Synced, Trees};

/// The place version of a node that the server knows no more. It comes before every other one, and is nobody's.
const PURGED: Version = Version { seq: Seq::START, commit: CommitId::from_bytes([0; CommitId::LEN]) };
/// Nodes that are asked for at a time.
const PAGE_NODES: usize = 1_000;

/// What is known of the server's history when it is met anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meeting {
    /// Up to here it is the history that this device has followed.
    pub common: Seq,
    /// Where the journal follows the snapshot.
    pub cursor: Cursor,
    /// Where the journal ended when folder and server were equal last, if the folder remembers, and the state does not.
    pub since: Option<Seq>,
}

/// Folder and server come together; without `since`, as if for the first time.
pub(crate) fn begin(trees: &mut dyn Trees, since: Option<Seq>) {
    if since.is_none() {
        trees.clear_past();
    }
    trees.set_beginning(Some(since.map_or(Beginning::Join, |since| Beginning::Relink { since })));
}

/// Whether this is the state of a node that the server does not know any more.
pub(crate) fn is_purged(remote: &NodeState) -> bool {
    remote.place_version == PURGED
}

/// Puts the shadow in the place of Remote, and takes back what was agreed on since `common`.
pub fn take_shadow(trees: &mut dyn Trees, meeting: &Meeting) {
    each(
        trees,
        |trees, after| trees.known(after, PAGE_NODES),
        |trees, node| {
            if trees.shadow(node).is_none() {
                take_absence(trees, node, meeting.common);
            }
        },
    );
    each(
        trees,
        |trees, after| trees.shadow_nodes(after, PAGE_NODES),
        |trees, node| {
            if let Some(remote) = trees.shadow(node) {
                take_back(trees, &remote, meeting.common);
                trees.set_remote(node, Some(remote));
            }
        },
    );
    for node in trees.applying_nodes() {
        if trees.applying(node).is_some_and(|state| state.newest().seq > meeting.common) {
            trees.set_applying(node, None);
        }
    }
    trees.clear_shadow();
    if trees.beginning().is_some() || trees.cursor().is_none() {
        begin(trees, meeting.since);
    }
    trees.set_cursor(Some(meeting.cursor));
}

/// The node lives on here, though the server does not know it any more: it is forgotten with all beneath it, to be sent as new.
pub(crate) fn forget_purged(trees: &mut dyn Trees, node: NodeId) -> Vec<NodeId> {
    let mut forgotten = Vec::new();
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        if trees.remote(node).is_none_or(|remote| !is_purged(&remote)) {
            continue;
        }
        left.extend(trees.remote_children(node));
        trees.set_remote(node, None);
        trees.set_synced(node, None);
        forgotten.push(node);
    }
    forgotten
}

/// The server does not have the node.
fn take_absence(trees: &mut dyn Trees, node: NodeId, common: Seq) {
    let Some(state) = trees.synced(node).map(|synced| synced.state).or_else(|| trees.remote(node)) else { return };
    trees.set_offered(node, false);
    if is_lost_life(trees, node, &state, common) {
        trees.set_synced(node, None);
        return trees.set_remote(node, None);
    }
    let above = state.place.parent;
    let is_topmost = above == NodeId::ROOT || trees.shadow(above).is_some() || {
        let state = trees.synced(above).map(|synced| synced.state).or_else(|| trees.remote(above));
        state.is_none_or(|state| is_lost_life(trees, above, &state, common))
    };
    let place = skep_types::Place { trashed: is_topmost, ..state.place };
    trees.set_remote(node, Some(NodeState { place, place_version: PURGED, ..state }));
}

/// Whether a node that the server does not have lives here, and was agreed on after `common`.
fn is_lost_life(trees: &dyn Trees, node: NodeId, state: &NodeState, common: Seq) -> bool {
    !is_purged(state) && state.newest().seq > common && trees.local(node).is_some()
}

/// What was agreed on of a node after `common` has lost its ground.
fn take_back(trees: &mut dyn Trees, remote: &NodeState, common: Seq) {
    let node = remote.node;
    let Some(synced) = trees.synced(node) else { return };
    if synced.state.newest().seq <= common {
        return;
    }
    trees.set_offered(node, false);
    let base = trees.local(node).and_then(|local| base_for(synced, &local, remote, common));
    trees.set_synced(node, base);
}

/// What the merge of a node starts from after it was agreed on too late; `None`: nothing, so that both contents are kept.
fn base_for(synced: Synced, local: &Local, remote: &NodeState, common: Seq) -> Option<Synced> {
    let is_common = |version: Version| version.seq <= common;
    let mut base = synced;
    if !is_common(base.state.content_version) {
        let known = local.content.known();
        if !is_common(remote.content_version) && !known.is_some_and(|known| known.same_bytes(&remote.content)) {
            return None;
        }
        // Only a change against what was shown is an edit: this disk never showed what the server has, unless it shows it now.
        let is_shown = known == Some(&remote.content);
        let their_mtime = remote.content.file().map_or(local.stat.mtime, |file| file.mtime);
        let mtime = if is_shown { local.stat.mtime } else { their_mtime };
        base.shown = Stat { mtime, executable: base.shown.executable, ..local.stat };
        (base.state.content, base.state.content_version) = (remote.content.clone(), remote.content_version);
    }
    if !is_common(base.state.place_version) {
        if remote.place.trashed {
            // It came out of the trash, or never was in it. A base that is newer than Remote says that it lives.
            base.state.place_version.seq = remote.place_version.seq.next();
        } else if is_common(remote.place_version) {
            (base.state.place, base.state.place_version) = (remote.place.clone(), remote.place_version);
        }
    }
    if !is_common(base.state.mode_version) && is_common(remote.mode_version) {
        base.shown.executable = (local.mode == remote.mode) == local.stat.executable;
        (base.state.mode, base.state.mode_version) = (remote.mode, remote.mode_version);
    }
    Some(base)
}

fn each(
    trees: &mut dyn Trees,
    page: impl Fn(&dyn Trees, Option<NodeId>) -> Vec<NodeId>,
    mut take: impl FnMut(&mut dyn Trees, NodeId),
) {
    let mut after = None;
    loop {
        let nodes = page(&*trees, after);
        let Some(last) = nodes.last() else { return };
        after = Some(*last);
        for node in nodes {
            take(trees, node);
        }
    }
}
