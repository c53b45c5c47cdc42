//! Two nodes that want one name on the server.

use skep_types::{Content, Kind, NodeId, NodeState, Operation, Version};

use super::send::Draft;
use super::{Begun, Gate, Outcome, Plan, Purpose};
use crate::ids;
use crate::names::conflict_name;
use crate::reconcile::{Merge, Verdict, is_empty};
use crate::trees::{Local, LocalContent};

/// What stands in the name of a conflict copy where a device would: which one made the server's version, nobody here knows.
const SERVER_NAME: &str = "server";

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
            // Whether its name is free, a person has to say first, or the look that is under way.
            None if self.will_be_trashed(holder) && self.scene.absences.gate(holder) != Gate::Open => {
                Meeting::Decided(Outcome::Waits)
            }
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
        draft.operations.push(Operation::Move {
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
                synced.is_some()
                    || is_left_by_me
                    || holds(&state.content)
                    || was_applied()
                    || one_is_empty()
                    || self.is_newer_at_join(local, state)
            }
            Kind::Mount => false,
        }
    }

    /// Whether a file that was here when folder and server met was changed later than the one of the same name there.
    pub(super) fn is_newer_at_join(&self, local: &Local, state: &NodeState) -> bool {
        let (Some(here), Some(there)) = (local.file(), state.content.file()) else { return false };
        matches!(self.scene.begun, Some(Begun::Join)) && here.mtime > there.mtime
    }

    /// Of two contents that meet in a join, the newer one, which stands here, keeps the name; the server's becomes another node beside it.
    pub(super) fn send_newer(&mut self, node: NodeId, local: &Local, remote: &NodeState, merged: &Merge) -> Outcome {
        let older = remote.content_version;
        let copies = (0u64..).map(|number| ids::conflict_copy(node, older, older.commit.device(), number));
        let is_new = |copy: &NodeId| self.trees.local(*copy).is_none() && self.trees.remote(*copy).is_none();
        let copy = copies.into_iter().find(is_new).expect("not every number is taken");
        let parent = remote.place.parent;
        let time = remote.content.file().map_or(local.stat.mtime, |file| file.mtime);
        let name = conflict_name(&remote.place.name, SERVER_NAME, time, |name| {
            self.shape.child(self.trees, parent, name).is_some() || self.trees.remote_child(parent, name).is_some()
        });
        let (content, mode) = (remote.content.clone(), remote.mode);
        let create = Operation::Create { node: copy, parent, name, content, mode };
        let sent = Merge { place: Verdict::Same, content: Verdict::Send, ..*merged };
        self.send_with(vec![create], node, local, remote, &sent)
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
