//! What this disk shows, told to the server.

use std::collections::BTreeSet;

use skep_types::{Content, Kind, Name, NodeId, NodeState, Operation};

use super::meet::Meeting;
use super::{Gate, Outcome, Plan, Standing};
use crate::reconcile::{Merge, Verdict};
use crate::shadow::{forget_purged, is_purged};
use crate::trees::{CHAIN_MAX, Local, LocalContent, Trees};
use crate::{Source, ids};

/// A group in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) operations: Vec<Operation>,
    pub(super) sources: Vec<(NodeId, Source)>,
    /// The node that this group will create: others may move into it in the same step.
    making: Option<NodeId>,
}

/// Where a node is to stand in the server's tree.
pub(super) enum Target {
    /// In this directory, which is there or which an earlier operation makes.
    Directory(NodeId),
    /// Not yet.
    Waits,
}

impl Plan<'_> {
    /// A node that the server does not know.
    pub(super) fn send_new(&mut self, node: NodeId, local: Local) -> Outcome {
        if let Some(no) = self.lacks_room_to_send(&local) {
            return no;
        }
        if self.is_deselected(local.parent) {
            return self.meet_outside(node, &local);
        }
        if self.is_ignored_here(node) || self.lacks_rules(local.parent, &local.name) {
            return Outcome::Waits;
        }
        if let Some(trashed) = self.trashed_version(node, &local) {
            return self.become_one(node, trashed);
        }
        let mut draft = Draft { making: Some(node), ..Draft::default() };
        let Target::Directory(parent) = self.target_directory(local.parent, &mut draft) else { return Outcome::Waits };
        match self.meet(node, &local, parent, &mut draft) {
            Meeting::Free => {}
            Meeting::Decided(outcome) => return outcome,
        }
        if self.is_sent(node) {
            return Outcome::Done;
        }
        let Some(content) = self.content_to_send(node, &local, &mut draft) else { return Outcome::Waits };
        draft.operations.push(Operation::Create { node, parent, name: local.name.clone(), content, mode: local.mode });
        self.push_group(draft.operations, draft.sources);
        Outcome::Done
    }

    /// A node that the server knows and that changed here.
    pub(super) fn send_changes(&mut self, node: NodeId, local: &Local, remote: &NodeState, merged: &Merge) -> Outcome {
        if let Some(no) = self.lacks_room_to_send(local) {
            return no;
        }
        let mut draft = Draft::default();
        if merged.place == Verdict::Send {
            let Target::Directory(parent) = self.target_directory(local.parent, &mut draft) else {
                return Outcome::Waits;
            };
            draft.operations.push(Operation::Move {
                node,
                base: remote.place_version,
                parent,
                name: local.name.clone(),
            });
            if self.closes_cycle(node, &draft) {
                // On the server, its new directory lies beneath it. What moved away here between the two goes first.
                self.consider_above(local.parent);
                if self.is_sent(node) {
                    return Outcome::Done;
                }
                if self.wants_cycle(node) {
                    // Another device moved the one, this one the other: whoever moved first has won.
                    return self.move_here(node, local, remote);
                }
                if self.closes_cycle(node, &draft) {
                    return Outcome::Waits;
                }
            }
            match self.meet(node, local, parent, &mut draft) {
                Meeting::Free => {}
                Meeting::Decided(outcome) => return outcome,
            }
            if self.is_sent(node) {
                return Outcome::Done;
            }
        }
        if !self.draft_fields(node, local, remote, merged, &mut draft) {
            return Outcome::Waits;
        }
        self.push_group(draft.operations, draft.sources);
        Outcome::Done
    }

    /// Changes of content and mode, in one step with other operations.
    pub(super) fn send_with(
        &mut self,
        operations: Vec<Operation>,
        node: NodeId,
        local: &Local,
        remote: &NodeState,
        merged: &Merge,
    ) -> Outcome {
        if let Some(no) = self.lacks_room_to_send(local) {
            return no;
        }
        let mut draft = Draft { operations, ..Draft::default() };
        if !self.draft_fields(node, local, remote, merged, &mut draft) {
            return Outcome::Waits;
        }
        self.push_group(draft.operations, draft.sources);
        Outcome::Done
    }

    /// A node that is in the trash there and lives on here: it comes out, where it stands here.
    pub(super) fn send_restored(&mut self, node: NodeId, local: &Local, remote: &NodeState) -> Outcome {
        if is_purged(remote) {
            for forgotten in forget_purged(self.trees, node) {
                self.standings.remove(&forgotten);
                self.touched.insert(forgotten);
            }
            return self.send_new(node, local.clone());
        }
        if let Some(no) = self.lacks_room_to_send(local) {
            return no;
        }
        let mut draft = Draft::default();
        let Target::Directory(parent) = self.target_directory(local.parent, &mut draft) else { return Outcome::Waits };
        match self.meet(node, local, parent, &mut draft) {
            Meeting::Free => {}
            Meeting::Decided(outcome) => return outcome,
        }
        if self.is_sent(node) {
            return Outcome::Done;
        }
        draft.operations.push(Operation::Move { node, base: remote.place_version, parent, name: local.name.clone() });
        let differs = |same: bool| if same { Verdict::Same } else { Verdict::Send };
        let merged = Merge {
            place: Verdict::Send,
            content: differs(local.content.known() == Some(&remote.content)),
            mode: differs(local.mode == remote.mode),
        };
        if !self.draft_fields(node, local, remote, &merged, &mut draft) {
            return Outcome::Waits;
        }
        self.push_group(draft.operations, draft.sources);
        Outcome::Done
    }

    /// A node that was deleted here. Only the topmost one of a deleted tree is sent.
    pub(super) fn send_trash(&mut self, node: NodeId, remote: &NodeState) -> Outcome {
        let parent = remote.place.parent;
        match self.scene.absences.gate(node) {
            Gate::Open => {}
            Gate::Waits => return Outcome::Waits,
            // Nothing is to be done until somebody decides.
            Gate::Held => return Outcome::Done,
        }
        let is_topmost = parent == NodeId::ROOT || self.trees.local(parent).is_some() || !self.will_be_trashed(parent);
        if !is_topmost && self.scene.absences.gate(parent) == Gate::Open {
            self.consider(parent);
            return Outcome::Waits;
        }
        if remote.kind() == Kind::Directory && self.is_filling(node) {
            return Outcome::Waits;
        }
        if !self.room.send {
            return Outcome::NoRoomToSend;
        }
        let operation = self.trash(node, remote);
        self.push_group(vec![operation], Vec::new());
        Outcome::Done
    }

    /// Whether a commit that is under way puts something into the directory or beneath it. What was moved there may have been changed by
    /// somebody else, and it is not in there as far as Remote knows: it would go along unseen.
    fn is_filling(&mut self, node: NodeId) -> bool {
        if self.scene.put.is_empty() {
            return false;
        }
        if self.filling.is_none() {
            let mut filling = BTreeSet::new();
            for put in self.scene.put.values() {
                let mut at = *put;
                while at != NodeId::ROOT && filling.insert(at) {
                    let remote = || self.trees.remote(at).map(|state| state.place.parent);
                    let Some(above) = self.scene.put.get(&at).copied().or_else(remote) else { break };
                    at = above;
                }
            }
            self.filling = Some(filling);
        }
        self.filling.as_ref().is_some_and(|filling| filling.contains(&node))
    }

    pub(super) fn trash(&self, node: NodeId, remote: &NodeState) -> Operation {
        Operation::Trash { node, base: remote.place_version, seen: self.scene.seen }
    }

    /// Whether the node was deleted here and the server is to follow.
    pub(super) fn will_be_trashed(&mut self, node: NodeId) -> bool {
        if self.trees.local(node).is_some() || self.standing(node) != Standing::Live {
            return false;
        }
        let Some(remote) = self.trees.remote(node) else { return false };
        let synced = self.trees.synced(node);
        self.was_deleted_here(node, synced.as_ref(), &remote)
    }

    /// Whether the node is in a group already: one that needed its name or its directory took it along.
    pub(super) fn is_sent(&self, node: NodeId) -> bool {
        self.sending.nodes.contains(&node) || self.sending_big.nodes.contains(&node)
    }

    fn lacks_room_to_send(&self, local: &Local) -> Option<Outcome> {
        let big = self.is_big(local.file().map_or(0, |file| file.size));
        match if big { self.room.send_big } else { self.room.send } {
            true => None,
            false if big => Some(Outcome::NoRoomToSendBig),
            false => Some(Outcome::NoRoomToSend),
        }
    }

    /// The directory of the server's tree that stands for the directory `dir` of this disk, made if need be.
    pub(super) fn target_directory(&mut self, dir: NodeId, draft: &mut Draft) -> Target {
        if dir == NodeId::ROOT || self.created.contains(&dir) || draft.making == Some(dir) {
            return Target::Directory(dir);
        }
        match self.standing(dir) {
            Standing::Live => Target::Directory(dir),
            Standing::Trashed { by, .. } => match self.comes_out(dir) {
                Some(target) => target,
                None => self.recovered_target(dir, by, draft),
            },
            Standing::Unknown if self.makes_down_to(dir, draft) => Target::Directory(dir),
            Standing::Unknown => {
                self.consider(dir);
                if self.created.contains(&dir) { Target::Directory(dir) } else { Target::Waits }
            }
        }
    }

    /// A directory that is in the trash there and lives on here comes out by itself: before what is new in it, which so needs no other one.
    fn comes_out(&mut self, dir: NodeId) -> Option<Target> {
        self.trees.local(dir)?;
        self.consider(dir);
        if self.is_sent(dir) {
            return Some(Target::Directory(dir));
        }
        (self.scene.busy.contains(&dir) || self.is_uncertain(dir)).then_some(Target::Waits)
    }

    /// If the new directory `dir` lies beneath the one that this group makes, all between are made as well.
    fn makes_down_to(&mut self, dir: NodeId, draft: &mut Draft) -> bool {
        let Some(making) = draft.making else { return false };
        let mut creates = Vec::new();
        let mut at = dir;
        while at != making {
            let Some(local) = self.trees.local(at) else { return false };
            let is_new = self.trees.remote(at).is_none() && local.kind() == Kind::Directory;
            if !is_new || self.scene.busy.contains(&at) || self.is_uncertain(at) || creates.len() == CHAIN_MAX {
                return false;
            }
            let (parent, name) = (local.parent, local.name);
            let is_drafted = draft.operations.iter().any(|operation| operation.node() == at);
            if !is_drafted {
                creates.push(Operation::Create {
                    node: at,
                    parent,
                    name,
                    content: Content::Directory,
                    mode: local.mode,
                });
            }
            at = parent;
        }
        draft.operations.extend(creates.into_iter().rev());
        true
    }

    /// The directory that recovers what lives on under a trashed one: same name, same place, made by whoever needs it first.
    fn recovered_target(&mut self, dir: NodeId, by: skep_types::Version, draft: &mut Draft) -> Target {
        if let Some(recovered) = self.recovered(dir) {
            return Target::Directory(recovered);
        }
        let recovered = ids::recovered_directory(dir, by);
        // It may have gone to the trash as well: what recovers it takes over.
        if let Standing::Trashed { by, .. } = self.standing(recovered) {
            return self.recovered_target(recovered, by, draft);
        }
        let Some(state) = self.trees.remote(dir) else { return Target::Waits };
        let parent = match self.target_directory(state.place.parent, draft) {
            Target::Directory(parent) => parent,
            Target::Waits => return Target::Waits,
        };
        let drafted = draft.operations.iter().any(|operation| operation.node() == recovered);
        if !drafted {
            let name = self.free_remote_name(parent, &state.place.name);
            draft.operations.push(Operation::Create {
                node: recovered,
                parent,
                name,
                content: Content::Directory,
                mode: Default::default(),
            });
        }
        Target::Directory(recovered)
    }

    /// The name, or one beside it if something else than a directory has it on the server.
    fn free_remote_name(&mut self, parent: NodeId, name: &Name) -> Name {
        let is_taken = |trees: &dyn Trees, name: &Name| {
            let other = trees.remote_child(parent, name).and_then(|other| trees.remote(other));
            other.is_some_and(|other| other.content != Content::Directory)
        };
        if !is_taken(self.trees, name) {
            return name.clone();
        }
        let device = &self.scene.who.device_name;
        crate::names::conflict_name(name, device, Default::default(), |name| is_taken(self.trees, name))
    }

    /// Whether the node would lie beneath itself on the server, once the groups so far and this one are done.
    pub(super) fn closes_cycle(&self, node: NodeId, draft: &Draft) -> bool {
        let mut at = node;
        for _ in 0..CHAIN_MAX {
            match self.parent_when_sent(at, draft) {
                None | Some(NodeId::ROOT) => return false,
                Some(parent) if parent == node => return true,
                Some(parent) => at = parent,
            }
        }
        true
    }

    /// Whether the node would lie beneath itself even when all that moved here was sent.
    pub(super) fn wants_cycle(&mut self, node: NodeId) -> bool {
        let mut at = node;
        for _ in 0..CHAIN_MAX {
            let (synced, local, remote) = (self.trees.synced(at), self.trees.local(at), self.trees.remote(at));
            let parent = match (local, remote) {
                (Some(local), Some(remote)) => match self.merge(at, synced.as_ref(), &local, &remote).place {
                    Verdict::Send => local.parent,
                    _ => remote.place.parent,
                },
                (Some(local), None) => local.parent,
                (None, Some(remote)) => remote.place.parent,
                (None, None) => return false,
            };
            if parent == NodeId::ROOT {
                return false;
            }
            if parent == node {
                return true;
            }
            at = parent;
        }
        true
    }

    /// The directory that holds the node on the server, once the groups so far and this one are done.
    fn parent_when_sent(&self, node: NodeId, draft: &Draft) -> Option<NodeId> {
        let drafted = draft.operations.iter().filter(|operation| operation.node() == node).find_map(new_parent);
        drafted
            .or_else(|| self.sent_parents.get(&node).copied())
            .or_else(|| self.trees.remote(node).map(|state| state.place.parent))
            // Not known there: it will stand where this disk has it.
            .or_else(|| self.trees.local(node).map(|local| local.parent))
    }

    /// Considers the directories of this disk from `dir` up to the root.
    pub(super) fn consider_above(&mut self, dir: NodeId) {
        let mut at = dir;
        for _ in 0..CHAIN_MAX {
            let Some(local) = self.trees.local(at) else { return };
            self.consider(at);
            at = local.parent;
        }
    }

    /// Adds the changes of content and mode to a group. False if the content is not known.
    fn draft_fields(
        &mut self,
        node: NodeId,
        local: &Local,
        remote: &NodeState,
        merged: &Merge,
        draft: &mut Draft,
    ) -> bool {
        if merged.content == Verdict::Send {
            let same_bytes = local.content.known().is_some_and(|known| known.same_bytes(&remote.content));
            let content =
                if same_bytes { local.content.known().cloned() } else { self.content_to_send(node, local, draft) };
            let Some(content) = content else { return false };
            draft.operations.push(Operation::Edit { node, base: remote.content_version, content });
        }
        if merged.mode == Verdict::Send {
            draft.operations.push(Operation::SetMode { node, base: remote.mode_version, mode: local.mode });
        }
        true
    }

    /// The content of a node that is to be sent, and where its bytes are.
    fn content_to_send(&mut self, node: NodeId, local: &Local, draft: &mut Draft) -> Option<Content> {
        let LocalContent::Known(content) = &local.content else { return None };
        if let Content::File(file) = content
            && file.size > 0
        {
            let at = crate::shape::Shape::default().location(self.trees, local.parent, &local.name)?;
            draft.sources.push((node, Source { at, stat: local.stat, content: *file }));
        }
        Some(content.clone())
    }
}

/// Where an operation puts its node.
pub(crate) fn new_parent(operation: &Operation) -> Option<NodeId> {
    match operation {
        Operation::Create { parent, .. } | Operation::Move { parent, .. } => Some(*parent),
        _ => None,
    }
}
