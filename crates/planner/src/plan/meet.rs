//! Two nodes that want one name on the server.

use skep_types::{Content, Kind, NodeId, NodeState, Version};

use super::send::Draft;
use super::{Outcome, Plan, Purpose};
use crate::reconcile::{Verdict, is_empty};
use crate::trees::{Local, LocalContent};

/// Whether a node can have its name on the server.
pub(super) enum Meeting {
    /// It can; operations that make it so may have been added to the group.
    Free,
    /// Not now, or not so: this is what became of it.
    Decided(Outcome),
}

impl Plan<'_> {
    /// `node` is to be sent to `parent` under the name that it has here. Who has that name on the server?
    pub(super) fn meet(&mut self, node: NodeId, local: &Local, parent: NodeId, draft: &mut Draft) -> Meeting {
        let holder = self.trees.remote_child(parent, &local.name).filter(|holder| *holder != node);
        let Some(holder) = holder else { return Meeting::Free };
        if local.content == LocalContent::Unread {
            // What it is, the bytes may tell.
            return Meeting::Decided(Outcome::Waits);
        }
        if self.scene.busy.contains(&holder) || self.is_uncertain(holder) {
            return Meeting::Decided(Outcome::Waits);
        }
        let Some(state) = self.trees.remote(holder) else { return Meeting::Free };
        match self.trees.local(holder) {
            // It leaves in this very commit.
            None if self.is_sent(holder) => Meeting::Free,
            None if self.may_be_one(node, local, holder, &state) => Meeting::Decided(self.become_one(node, holder)),
            None if self.will_be_trashed(holder) => {
                // What had the name was deleted here, and this took its place: one step for everybody else.
                if !self.sending.nodes.contains(&holder) {
                    draft.operations.push(self.trash(holder, &state));
                }
                Meeting::Free
            }
            None => Meeting::Decided(self.step_aside(node, local)),
            Some(there) => self.meet_moved(node, local, holder, &there, &state, draft),
        }
    }

    /// The node that has the name on the server stands elsewhere here.
    fn meet_moved(
        &mut self,
        node: NodeId,
        local: &Local,
        holder: NodeId,
        there: &Local,
        state: &NodeState,
        draft: &mut Draft,
    ) -> Meeting {
        let synced = self.trees.synced(holder);
        if let Some(outcome) = self.trade_places(holder, there, synced.as_ref(), Some(state)) {
            if outcome == Outcome::Done {
                self.touched.insert(node);
            }
            return Meeting::Decided(Outcome::Waits);
        }
        let merged = self.merge(holder, synced.as_ref(), there, state);
        if merged.place != Verdict::Send {
            // The server gave the name to a node that is on its way to it here.
            return Meeting::Decided(self.step_aside(node, local));
        }
        if self.sending.nodes.contains(&holder) {
            return Meeting::Free;
        }
        // It was moved away here: both go in one group, for only the end of a group must hold.
        if draft.operations.iter().any(|operation| operation.node() == holder) {
            return Meeting::Free;
        }
        let super::send::Target::Directory(parent) = self.target_directory(there.parent, draft) else {
            return Meeting::Decided(Outcome::Waits);
        };
        draft.operations.push(skep_types::Operation::Move {
            node: holder,
            base: state.place_version,
            parent,
            name: there.name.clone(),
        });
        if self.closes_cycle(holder, draft) {
            self.consider_above(there.parent);
            if self.is_sent(node) || self.is_sent(holder) {
                return Meeting::Decided(if self.is_sent(node) { Outcome::Done } else { Outcome::Waits });
            }
            if self.wants_cycle(holder) {
                // It will have to come back, to its name.
                return Meeting::Decided(self.step_aside(node, local));
            }
            if self.closes_cycle(holder, draft) {
                return Meeting::Decided(Outcome::Waits);
            }
        }
        match self.meet_chain(holder, there, parent, draft) {
            true => Meeting::Free,
            false => Meeting::Decided(Outcome::Waits),
        }
    }

    /// Follows a chain of names that are passed on, until one is free or the chain closes.
    fn meet_chain(&mut self, node: NodeId, local: &Local, parent: NodeId, draft: &mut Draft) -> bool {
        let next = self.trees.remote_child(parent, &local.name).filter(|holder| *holder != node);
        match next {
            None => true,
            Some(holder) if draft.operations.iter().any(|operation| operation.node() == holder) => true,
            // The one that asked first takes this place; its own move is added by the caller.
            Some(holder) if self.visiting.contains(&holder) => true,
            Some(_) => matches!(self.meet(node, local, parent, draft), Meeting::Free),
        }
    }

    /// Whether what stands here as the new `node` and what the server has as `holder` are one thing: directories of one name,
    /// equal bytes, a file that was replaced, or files of which one is empty.
    pub(super) fn may_be_one(&mut self, node: NodeId, local: &Local, holder: NodeId, state: &NodeState) -> bool {
        let is_new = self.trees.synced(node).is_none() && self.trees.remote(node).is_none();
        if !is_new || local.kind() != state.kind() {
            return false;
        }
        let known = local.content.known();
        // Here it stood as this device left it there: then this is what became of it, though the state does not know it any more.
        let synced = self.trees.synced(holder);
        let mine = |version: Version| self.is_shown(holder, synced.as_ref(), version);
        let is_left_by_me = mine(state.content_version) && mine(state.place_version);
        match local.kind() {
            Kind::Directory => true,
            Kind::File | Kind::Symlink => {
                let holds = |content: &Content| known.is_some_and(|known| known.same_bytes(content));
                let was_applied = || self.trees.applying(holder).is_some_and(|applied| holds(&applied.content));
                let one_is_empty = || is_empty(&state.content) || known.is_some_and(is_empty);
                synced.is_some() || is_left_by_me || holds(&state.content) || was_applied() || one_is_empty()
            }
            Kind::Mount => false,
        }
    }

    /// What stands here as `node` is `holder` from now on.
    pub(super) fn become_one(&mut self, node: NodeId, holder: NodeId) -> Outcome {
        if self.scene.observer.has_frozen(node) {
            return Outcome::Waits;
        }
        self.become_other(node, holder);
        self.trees.rest(holder, false);
        self.trees.set_offered(node, false);
        self.touched.insert(holder);
        Outcome::Done
    }

    /// The name belongs to another node: this one takes another name here, and is sent with it.
    fn step_aside(&mut self, node: NodeId, local: &Local) -> Outcome {
        if !self.room.judge {
            return Outcome::Waits;
        }
        if !self.room.apply {
            return Outcome::NoRoomToApply;
        }
        let name = self.free_conflict_name(node, local);
        self.touched.insert(node);
        self.rename_here(node, local, local.parent, name, Purpose::Place { parent: local.parent, agreed: None })
    }
}
