//! What is not to be on this disk, or stays on it though it is in the trash.

use skep_types::{Kind, Name, NodeId, NodeState};

use super::{Outcome, Plan, Purpose};
use crate::ids;
use crate::ignore::is_ignore_file;
use crate::observe::Filters;
use crate::reconcile::{Merge, Verdict};
use crate::trees::{CHAIN_MAX, LIMBO, Local, Synced};

/// Where a node will stand.
struct Stand {
    node: NodeId,
    parent: NodeId,
    name: Name,
    kind: Kind,
    /// It is on this disk, wherever.
    is_here: bool,
    /// If it is, it stands there already.
    is_in_place: bool,
}

/// What is known of a directory, for what lies in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Above {
    /// It is not to be on this disk.
    is_outside: bool,
    /// It and all above it stand where they will stand.
    is_in_place: bool,
}

impl Plan<'_> {
    /// Whether the node, where it will stand once both sides agree on places, is not to be on this disk: the rules ignore it, or a person
    /// does not want it, or a directory above it. Rules for the entries of a directory that is still on its way to another place say
    /// nothing of what is here: there they may not count.
    pub(super) fn is_outside(&mut self, node: NodeId) -> bool {
        let mut chain = Vec::new();
        let mut at = node;
        let mut above = Above { is_outside: false, is_in_place: true };
        while at != NodeId::ROOT && chain.len() < CHAIN_MAX {
            if let Some(known) = self.outside.get(&at) {
                above = *known;
                break;
            }
            let Some(stand) = self.final_stand(at) else { break };
            at = stand.parent;
            chain.push(stand);
        }
        for stand in chain.into_iter().rev() {
            let counts = above.is_in_place || !stand.is_here;
            above.is_outside = above.is_outside
                || self.scene.observer.filters.deselected().contains(&stand.node)
                || (counts && self.is_ignored_there(&stand));
            above.is_in_place &= stand.is_in_place;
            if stand.kind == Kind::Directory {
                self.outside.insert(stand.node, above);
            }
        }
        above.is_outside
    }

    /// Where a node will stand once both sides agree on its place.
    fn final_stand(&mut self, node: NodeId) -> Option<Stand> {
        let (local, remote) = (self.trees.local(node), self.trees.remote(node));
        let is_here = local.is_some();
        let (parent, name, kind, is_in_place) = match (local, remote) {
            (None, None) => return None,
            (Some(local), None) => (local.parent, local.name.clone(), local.kind(), true),
            (None, Some(remote)) => (remote.place.parent, remote.place.name.clone(), remote.kind(), true),
            (Some(local), Some(remote)) => {
                let synced = self.trees.synced(node);
                match self.merge(node, synced.as_ref(), &local, &remote).place {
                    Verdict::Send if local.parent != LIMBO => (local.parent, local.name.clone(), local.kind(), true),
                    verdict => {
                        let is_in_place = verdict == Verdict::Same;
                        (remote.place.parent, remote.place.name.clone(), remote.kind(), is_in_place)
                    }
                }
            }
        };
        Some(Stand { node, parent, name, kind, is_here, is_in_place })
    }

    /// Whether a person wants the node, or a directory above it on the server, not to be on this disk.
    pub(super) fn is_deselected(&self, node: NodeId) -> bool {
        let deselected = self.scene.observer.filters.deselected();
        let mut at = node;
        for _ in 0..CHAIN_MAX {
            if deselected.is_empty() || at == NodeId::ROOT {
                return false;
            }
            if deselected.contains(&at) {
                return true;
            }
            match self.trees.remote(at) {
                Some(state) => at = state.place.parent,
                None => return false,
            }
        }
        false
    }

    fn is_ignored_there(&mut self, stand: &Stand) -> bool {
        let (trees, observer) = (&*self.trees, &self.scene.observer);
        let filter = self.filters.entry(stand.parent).or_insert_with_key(|dir| observer.filters.filter(trees, *dir));
        filter.ignores(&stand.name, Some(stand.kind))
    }

    /// Whether the rules ignore the node where it stands here: it will be let go as soon as it is looked at.
    pub(super) fn is_ignored_here(&self, node: NodeId) -> bool {
        let filters = &self.scene.observer.filters;
        if !filters.are_any() {
            return false;
        }
        let mut at = node;
        for _ in 0..CHAIN_MAX {
            let Some(local) = self.trees.local(at).filter(|local| local.parent != LIMBO) else { return false };
            if filters.filter(self.trees, local.parent).ignores(&local.name, Some(local.kind())) {
                return true;
            }
            at = local.parent;
        }
        false
    }

    /// Whether rules for the entries of a directory are on their way: nothing new is sent from there or made there before they are known.
    pub(super) fn lacks_rules(&mut self, dir: NodeId, name: &Name) -> bool {
        if is_ignore_file(name) {
            return false;
        }
        let mut at = dir;
        for _ in 0..CHAIN_MAX {
            if self.lacks_file(at) {
                return true;
            }
            let local = self.trees.local(at).map(|local| local.parent);
            match local.or_else(|| self.trees.remote(at).map(|state| state.place.parent)) {
                Some(parent) if at != NodeId::ROOT => at = parent,
                _ => return false,
            }
        }
        false
    }

    /// Whether the ignore file of the directory itself is on its way.
    fn lacks_file(&mut self, dir: NodeId) -> bool {
        if let Some(known) = self.lacking.get(&dir) {
            return *known;
        }
        let observer = &self.scene.observer;
        let name = Filters::file_name();
        let is_coming = |node: NodeId| {
            let is_file = self.trees.remote(node).is_some_and(|state| state.kind() == Kind::File);
            // What was here and is gone may wait for a person who decides on that: nothing else waits with it.
            let was_here = self.trees.synced(node).is_some() || self.trees.offered(node);
            let is_here = self.trees.local(node).is_some() || was_here;
            is_file && !is_here && !self.trees.rests(node) && !(self.scene.held)(node)
        };
        let lacking = observer.filters.is_changing(dir)
            || observer.is_pending_name(dir, &name)
            || self.trees.remote_child(dir, &name).is_some_and(is_coming);
        self.lacking.insert(dir, lacking);
        lacking
    }

    /// The node is not on this disk, nor shall it be: nothing is to be done for it. Whether it was here once says nothing: that it is left
    /// out is no deletion.
    pub(super) fn leave_out(&mut self, node: NodeId, remote: &NodeState) -> Outcome {
        self.agreed.push(node);
        self.trees.set_synced(node, None);
        self.trees.set_offered(node, false);
        self.scene.observer.forget_versions(self.trees, node);
        let above = remote.place.parent;
        if self.is_outside(above) && self.trees.local(above).is_none() && !self.trees.rests(above) {
            self.consider(above);
        }
        // What is beneath something that rests rests and wakes with it. The directory may still be here, though, or stay.
        if self.trees.rests(above) {
            self.trees.rest(node, true);
        } else {
            self.trees.leave_out(node);
            self.scene.observer.filters.leave_out(remote);
        }
        if remote.kind() == Kind::Directory {
            let awake = self.trees.remote_children(node).into_iter().filter(|child| !self.trees.rests(*child));
            self.touched.extend(awake.collect::<Vec<_>>());
        }
        Outcome::Done
    }

    /// The directory went to the trash, and nothing is left in it but what is ignored here: it stays, and both sides agree on that.
    pub(super) fn leave_residue(&mut self, node: NodeId, local: &Local, remote: NodeState) -> Outcome {
        if (local.parent, &local.name) != (remote.place.parent, &remote.place.name) {
            return self.become_new(node, local, &remote);
        }
        self.agreed.push(node);
        self.residues.insert(node);
        self.trees.set_synced(node, Some(Synced { state: remote, shown: local.stat }));
        self.trees.set_offered(node, false);
        Outcome::Done
    }

    /// Whether the directory, which is in the trash, stayed here as [`Plan::leave_residue`] says.
    pub(super) fn is_residue(&self, node: NodeId, synced: Option<&Synced>, remote: &NodeState) -> bool {
        remote.kind() == Kind::Directory
            && synced.is_some_and(|synced| synced.state.place_version == remote.place_version)
            && self.trees.local(node).is_some_and(|local| local.kind() == Kind::Directory)
            && remote.place.trashed
    }

    /// A directory that only stays for what is ignored in it has the name of something that the server has: it takes another name.
    pub(super) fn residue_gives_way(&mut self, node: NodeId) -> bool {
        let Some(local) = self.trees.local(node).filter(|_| self.residues.contains(&node)) else { return false };
        let name = self.free_conflict_name(node, &local);
        let purpose = Purpose::Place { parent: local.parent, agreed: None };
        self.touched.insert(node);
        self.rename_here(node, &local, local.parent, name, purpose) == Outcome::Done
    }

    /// Somebody moved a directory that had stayed for what is ignored in it: by that it is a new one. What was synced in it stays where the
    /// server has it.
    pub(super) fn become_new(&mut self, node: NodeId, local: &Local, remote: &NodeState) -> Outcome {
        let new = ids::moved_residue(node, remote.place_version, self.scene.who.device);
        if self.trees.local(new).is_some() || self.trees.remote(new).is_some() {
            return self.send_restored(node, local, remote);
        }
        if self.scene.observer.has_frozen(node) {
            return Outcome::Waits;
        }
        self.become_other(node, new);
        Outcome::Done
    }

    /// The server has the node where it is left out here: what this disk changed is sent, then it goes from here. What stands here at a
    /// place that is ignored is let go instead, as soon as it is looked at.
    pub(super) fn take_out(
        &mut self,
        node: NodeId,
        synced: Option<Synced>,
        local: &Local,
        remote: NodeState,
        merged: &Merge,
    ) -> Outcome {
        if self.is_ignored_here(node) || self.lacks_rules(remote.place.parent, &remote.place.name) {
            return Outcome::Waits;
        }
        if [merged.place, merged.content, merged.mode] == [Verdict::Same; 3] {
            // It may have to stay for what lies in it, and is no difference then.
            self.trees.set_synced(node, Some(Synced { state: remote.clone(), shown: local.stat }));
            self.trees.set_offered(node, false);
        } else if let Some(synced) = synced {
            self.settle_partly(node, synced, merged, local, &remote);
        }
        if merged.content == Verdict::KeepBoth {
            return self.keep_both(node, local, &remote);
        }
        if [merged.content, merged.mode].contains(&Verdict::Send) {
            return self.send_changes(node, local, &remote, &Merge { place: Verdict::Same, ..*merged });
        }
        let newest = remote.newest().seq;
        let outcome = self.remove_here(node, local, remote);
        if self.applied.contains(&node) {
            // That we take it from here is no deletion, whatever becomes of the rules or the choice meanwhile.
            self.trees.set_synced(node, None);
            self.trees.set_offered(node, false);
            // Nor is what comes to its place an edit of it.
            if newest > self.trees.taken_out_to() {
                self.trees.set_taken_out_to(newest);
            }
        }
        outcome
    }

    /// A node that the server does not know, in a directory that is not to be here: if it is what the server has there, it goes as that;
    /// else it stays, and is told.
    pub(super) fn meet_outside(&mut self, node: NodeId, local: &Local) -> Outcome {
        let holder = self.trees.remote_child(local.parent, &local.name).filter(|holder| *holder != node);
        if let Some(holder) = holder.filter(|holder| self.trees.local(*holder).is_none())
            && let Some(state) = self.trees.remote(holder)
            && !self.scene.busy.contains(&holder)
            && self.may_be_one(node, local, holder, &state)
        {
            return self.become_one(node, holder);
        }
        self.unselected.push(node);
        Outcome::Waits
    }
}
