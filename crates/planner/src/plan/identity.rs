//! Which node it is that stands at a place, when what was done here was done without the state's knowing: the program ended before it stored
//! what came of an apply operation, or a power cut took the state back.

use skep_types::{COARSEST_CLOCK_NS, Kind, Mode, NodeId, NodeState, Stat, Timestamp};

use super::{Outcome, Plan, Standing};
use crate::observe::is_same_file;
use crate::trees::{LIMBO, Local, Synced};

impl Plan<'_> {
    /// Whether an apply operation whose result was never stored was done, the disk tells: then what it brought is what both sides agreed on,
    /// and given back.
    pub(super) fn adopt_applied(&mut self, node: NodeId, local: &Local, synced: Option<&Synced>) -> Option<Synced> {
        self.trees.applying(node)?;
        let observer = &mut self.scene.observer;
        let known = local.content.known();
        let applied = known.and_then(|known| observer.applied_version(self.trees, node, known));
        observer.forget_versions(self.trees, node);
        let (known, applied) = (known?, applied?);
        let mut shown = local.stat;
        if let (Some(here), Some(brought)) = (known.file(), applied.content.file())
            && !may_be_rounded(here.mtime, brought.mtime)
        {
            // It was touched since.
            shown.mtime = brought.mtime;
        }
        let adopted = match synced {
            None => {
                // Set after the apply, or never taken by a disk that has no such bit: then it is applied once more.
                let executable = applied.mode.executable && local.stat.executable;
                let shown = Stat { executable, ..shown };
                Synced { state: NodeState { mode: Mode { executable }, ..applied }, shown }
            }
            Some(before) => {
                let shown = Stat { executable: before.shown.executable, ..shown };
                let (content, content_version) = (applied.content, applied.content_version);
                Synced { state: NodeState { content, content_version, ..before.state.clone() }, shown }
            }
        };
        self.trees.set_synced(node, Some(adopted.clone()));
        Some(adopted)
    }

    /// A file is what stands at its node's path. But if the server has the node elsewhere, or not at all, and another one in this very place,
    /// and that other one is what the disk shows here, then both were put where they are by an apply operation: each is where it stands, and nothing was
    /// edited. `None`: so it is not.
    pub(super) fn trade_places(
        &mut self,
        node: NodeId,
        local: &Local,
        synced: Option<&Synced>,
        remote: Option<&NodeState>,
    ) -> Option<Outcome> {
        let is_in_place = remote.is_some_and(|remote| {
            !remote.place.trashed && (local.parent, &local.name) == (remote.place.parent, &remote.place.name)
        });
        if local.kind() == Kind::Directory || local.parent == LIMBO || is_in_place {
            return None;
        }
        let other = self.trees.remote_child(local.parent, &local.name).filter(|other| *other != node)?;
        let state = self.trees.remote(other).filter(|state| state.kind() == local.kind())?;
        if self.standing(other) != Standing::Live || !self.shows(other, &state, local, synced, remote) {
            return None;
        }
        let is_at_work = self.scene.busy.contains(&other) || self.is_sent(other) || self.applied.contains(&other);
        if is_at_work || self.is_uncertain(other) {
            return Some(Outcome::Waits);
        }
        let there = self.trees.local(other);
        self.trees.set_local(node, None);
        self.trees.set_local(other, None);
        self.stand(other, local.clone());
        match there {
            Some(there) => self.stand(node, there),
            None if self.will_be_trashed(node) => {
                // It was not deleted here: it is only not known where it is.
                self.trees.set_synced(node, None);
                self.trees.set_offered(node, false);
            }
            None => {}
        }
        self.touched.extend([node, other]);
        Some(Outcome::Done)
    }

    /// The node in the trash that stands here without the state's knowing: made here by an apply operation, and deleted elsewhere meanwhile.
    /// Equal bytes alone do not tell, for a person may have made them anew; an apply sets the mtime as well.
    pub(super) fn trashed_version(&mut self, node: NodeId, local: &Local) -> Option<NodeId> {
        let known = local.content.known()?;
        let other = self.trees.applying_at(local.parent, &local.name).filter(|other| *other != node)?;
        let version = self.scene.observer.applied_version(self.trees, other, known)?;
        let is_as_applied = match (known.file(), version.content.file()) {
            (Some(here), Some(brought)) => may_be_rounded(here.mtime, brought.mtime),
            _ => local.kind() == Kind::Symlink,
        };
        let is_free = self.trees.local(other).is_none() && !self.scene.busy.contains(&other);
        let is_it = is_as_applied && is_free && !self.trees.offered(node);
        (is_it && matches!(self.standing(other), Standing::Trashed { .. })).then_some(other)
    }

    fn stand(&mut self, node: NodeId, local: Local) {
        let mode = self.scene.observer.mode_of(self.trees, node, &local, &local.stat);
        self.trees.set_local(node, Some(Local { mode, ..local }));
    }

    /// Whether what stands here as another node is `other`, by its inode or by its bytes.
    fn shows(
        &self,
        other: NodeId,
        state: &NodeState,
        local: &Local,
        synced: Option<&Synced>,
        remote: Option<&NodeState>,
    ) -> bool {
        let is_own_inode = synced.is_some_and(|synced| synced.shown.inode == local.stat.inode);
        if let Some(synced) = self.trees.synced(other) {
            return !is_own_inode && is_same_file(&synced.shown, &local.stat);
        }
        // What is new is one with what the server has by another rule.
        let (Some(known), Some(remote)) = (local.content.known(), remote) else { return false };
        let is_own =
            known.same_bytes(&remote.content) || synced.is_some_and(|synced| known.same_bytes(&synced.state.content));
        let was_brought = || self.scene.observer.applied_version(self.trees, other, known).is_some();
        self.trees.local(other).is_none() && !is_own && (known.same_bytes(&state.content) || was_brought())
    }
}

/// Whether a disk may show `mtime` as `shown`: its clock may count whole seconds, or pairs of them.
pub(super) fn may_be_rounded(shown: Timestamp, mtime: Timestamp) -> bool {
    let difference = shown.as_nanoseconds().abs_diff(mtime.as_nanoseconds());
    difference == 0 || (shown.nanoseconds == 0 && difference < COARSEST_CLOCK_NS)
}
