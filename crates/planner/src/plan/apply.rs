//! What the server has, carried out here.

use skep_types::{Content, ContentId, FileContent, Kind, Name, NodeId, NodeState};

use super::{Outcome, Plan, Purpose, Standing};
use crate::ids;
use crate::names::{conflict_name, swap_name};
use crate::reconcile::{Merge, Verdict};
use crate::trees::{CHAIN_MAX, Local};
use crate::{ApplyKind, Source};

impl Plan<'_> {
    /// Makes the node here, where nothing of it is.
    pub(super) fn create_here(&mut self, node: NodeId, remote: NodeState) -> Outcome {
        let bytes = remote.content.file().map_or(0, |file| file.size);
        if let Some(no) = self.lacks_room(bytes) {
            return no;
        }
        let (parent, name) = (remote.place.parent, remote.place.name.clone());
        if !self.directory_here(parent) || !self.is_steady(parent, bytes) || self.lacks_rules(parent, &name) {
            return Outcome::Waits;
        }
        match self.clear(node, parent, &name) {
            Cleared::Free => {}
            Cleared::Taken => return Outcome::Waits,
            // Something that stood there turned out to be this node.
            Cleared::Changed => return self.decide(node),
        }
        let Some(at) = self.shape.location(self.trees, parent, &name) else { return Outcome::Waits };
        let kind = ApplyKind::Create { at, content: remote.content.clone(), mode: remote.mode };
        self.push_apply(node, kind, Purpose::Become(Box::new(remote)));
        self.shape.put(self.trees, node, Some((parent, name)));
        Outcome::Done
    }

    /// Moves the node to where the server has it.
    pub(super) fn move_here(&mut self, node: NodeId, local: &Local, remote: &NodeState) -> Outcome {
        if !self.room.apply {
            return Outcome::NoRoomToApply;
        }
        let (parent, name) = (remote.place.parent, remote.place.name.clone());
        if !self.directory_here(parent) {
            return Outcome::Waits;
        }
        if self.shape.is_beneath(self.trees, parent, node) {
            self.lead_out(parent, node);
            if self.shape.is_beneath(self.trees, parent, node) {
                return Outcome::Waits;
            }
        }
        match self.clear(node, parent, &name) {
            Cleared::Free => {}
            Cleared::Taken if self.stands_in_its_own_way(node, parent, &name) => {
                return self.rename_here(node, local, parent, swap_name(node), Purpose::Place { parent, agreed: None });
            }
            Cleared::Taken => return Outcome::Waits,
            Cleared::Changed => return self.decide(node),
        }
        let agreed = Some(remote.place_version);
        self.rename_here(node, local, parent, name, Purpose::Place { parent, agreed })
    }

    /// Whether the node lies in a directory that will leave, and takes that directory's place: it must get out first.
    fn stands_in_its_own_way(&mut self, node: NodeId, parent: NodeId, name: &Name) -> bool {
        self.shape.child(self.trees, parent, name).is_some_and(|other| {
            self.shape.is_beneath(self.trees, node, other)
                && (matches!(self.standing(other), Standing::Trashed { .. }) || self.is_outside(other))
        }) && self.trees.local(node).is_some_and(|local| local.name != swap_name(node))
    }

    /// The directory `dir` lies beneath `node`, which is to move into it: something between the two must get out first.
    fn lead_out(&mut self, dir: NodeId, node: NodeId) {
        let mut at = dir;
        for _ in 0..CHAIN_MAX {
            self.consider(at);
            match self.shape.place(self.trees, at) {
                Some((parent, _)) if parent != node && parent != NodeId::ROOT => at = parent,
                _ => return,
            }
        }
    }

    /// Plans a rename of what stands here as `node`.
    pub(super) fn rename_here(
        &mut self,
        node: NodeId,
        local: &Local,
        parent: NodeId,
        name: Name,
        purpose: Purpose,
    ) -> Outcome {
        if !self.may_leave(node) || !self.is_steady(local.parent, 0) || !self.is_steady(parent, 0) {
            return Outcome::Waits;
        }
        let (Some(from), Some(to)) = (self.location(node), self.shape.location(self.trees, parent, &name)) else {
            return Outcome::Waits;
        };
        self.push_apply(node, ApplyKind::Rename { from, to, expected: local.stat }, purpose.clone());
        let stays = matches!(purpose, Purpose::Place { .. });
        self.shape.put(self.trees, node, stays.then(|| (parent, name.clone())));
        if let Purpose::Copy { copy, .. } = purpose {
            self.shape.put(self.trees, copy, Some((parent, name)));
        }
        Outcome::Done
    }

    /// Brings bytes, mtime and mode of a node here.
    pub(super) fn change_here(&mut self, node: NodeId, local: &Local, remote: &NodeState, merged: &Merge) -> Outcome {
        let is_damaged = self.scene.observer.damage(node).is_some();
        let same_bytes = !is_damaged && local.content.known().is_some_and(|known| known.same_bytes(&remote.content));
        // Nothing is displaced of which it is not certain what it holds.
        if self.is_unsure(node, local) {
            return Outcome::Waits;
        }
        let bytes = remote.content.file().filter(|_| !same_bytes).map_or(0, |file| file.size);
        if let Some(no) = self.lacks_room(bytes) {
            return no;
        }
        if !self.is_steady(local.parent, bytes) {
            return Outcome::Waits;
        }
        let Some(at) = self.location(node) else { return Outcome::Waits };
        // A mode that waits to be sent stays.
        let mode = if merged.mode == Verdict::Send { local.mode } else { remote.mode };
        let expected = local.stat;
        let kind = match &remote.content {
            Content::File(content) if same_bytes => ApplyKind::Touch { at, content: *content, mode, expected },
            content => ApplyKind::Replace { at, content: content.clone(), mode, expected },
        };
        self.shape.touch(self.trees, node);
        self.push_apply(node, kind, Purpose::Become(Box::new(remote.clone())));
        Outcome::Done
    }

    /// Where the content that an operation brings may be had on this disk: in another file that holds the same, else, in parts, in the
    /// file that it replaces. A file of one chunk is not worth the search.
    pub(super) fn nearby(&self, node: NodeId, kind: &ApplyKind) -> Option<Source> {
        let (ApplyKind::Create { content, .. } | ApplyKind::Replace { content, .. }) = kind else { return None };
        let wanted = content.file().filter(|file| is_list(file))?;
        let same = self
            .trees
            .synced_with(wanted.id)
            .and_then(|other| self.source(other))
            .filter(|same| same.content.id == wanted.id);
        same.or_else(|| self.source(node))
    }

    /// A file of several chunks on this disk whose content is known.
    fn source(&self, node: NodeId) -> Option<Source> {
        let local = self.trees.local(node)?;
        let content = *local.file().filter(|file| is_list(file))?;
        Some(Source { at: self.location_now(&local)?, stat: local.stat, content })
    }

    /// Takes the node off this disk: unchanged here, in the trash there.
    pub(super) fn remove_here(&mut self, node: NodeId, local: &Local, remote: NodeState) -> Outcome {
        if !self.room.apply {
            return Outcome::NoRoomToApply;
        }
        if self.is_unsure(node, local) {
            return Outcome::Waits;
        }
        if local.kind() == Kind::Directory {
            if self.scene.observer.is_unseen(node) {
                // What is in it is not known yet.
                return Outcome::Waits;
            }
            let mut outcome = Outcome::Done;
            let mut holds_residue = self.scene.observer.filters.has_ignored(node);
            for (_, child) in self.trees.local_children(node) {
                match self.consider(child) {
                    Outcome::NoRoomToApply => return Outcome::NoRoomToApply,
                    _ if self.residues.contains(&child) => holds_residue = true,
                    _ if self.shape.place(self.trees, child).is_some_and(|(parent, _)| parent == node) => {
                        outcome = Outcome::Waits;
                    }
                    _ => {}
                }
            }
            if outcome != Outcome::Done || self.trees.local(node).is_none() {
                return outcome;
            }
            if holds_residue {
                return self.leave_residue(node, local, remote);
            }
            if !self.room.apply {
                return Outcome::NoRoomToApply;
            }
        }
        if !self.may_leave(node) || !self.is_steady(local.parent, 0) {
            return Outcome::Waits;
        }
        let Some(at) = self.location(node) else { return Outcome::Waits };
        self.push_apply(node, ApplyKind::Remove { at, expected: local.stat }, Purpose::Leave);
        self.shape.put(self.trees, node, None);
        Outcome::Done
    }

    /// Whether the file changed so lately that its bytes may be other ones than those that were read under the same stat.
    fn is_unsure(&mut self, node: NodeId, local: &Local) -> bool {
        let observer = &mut self.scene.observer;
        local.kind() == Kind::File && (observer.is_racy(node) || observer.is_young(node, &local.stat))
    }

    /// Both have new bytes: what stands here gets another name and becomes another node; the server's version comes to this name.
    pub(super) fn keep_both(&mut self, node: NodeId, local: &Local, remote: &NodeState) -> Outcome {
        if !self.room.judge {
            return Outcome::Waits;
        }
        if !self.room.apply {
            return Outcome::NoRoomToApply;
        }
        let copies =
            (0u64..).map(|number| ids::conflict_copy(node, remote.content_version, self.scene.who.device, number));
        let is_new = |copy: &NodeId| {
            self.trees.local(*copy).is_none() && self.trees.remote(*copy).is_none() && !self.trees.offered(*copy)
        };
        let copy = copies.into_iter().find(is_new).expect("not every number is taken");
        let name = self.free_conflict_name(node, local);
        let purpose = Purpose::Copy { copy, parent: local.parent };
        self.touched.extend([node, copy]);
        self.rename_here(node, local, local.parent, name, purpose)
    }

    /// A name for what stands here as `node` that is free on both sides.
    pub(super) fn free_conflict_name(&self, node: NodeId, local: &Local) -> Name {
        let time = local.file().map_or(local.stat.mtime, |file| file.mtime);
        // A name that it only has for a moment tells nobody anything.
        let real = self.trees.remote(node).filter(|_| local.name == swap_name(node)).map(|state| state.place.name);
        let name = real.as_ref().unwrap_or(&local.name);
        conflict_name(name, &self.scene.who.device_name, time, |name| {
            self.shape.child(self.trees, local.parent, name).is_some()
                || self.trees.remote_child(local.parent, name).is_some()
        })
    }

    /// Why no operation with so many bytes can be added now, if none can.
    fn lacks_room(&self, bytes: u64) -> Option<Outcome> {
        let room = if self.is_big(bytes) { self.room.apply_big } else { self.room.apply };
        match room {
            false if self.is_big(bytes) => Some(Outcome::NoRoomToApplyBig),
            false => Some(Outcome::NoRoomToApply),
            true => (bytes > 0 && !self.room.fetch).then_some(Outcome::Waits),
        }
    }

    /// Whether the directory is here, or will be when the operations planned so far are carried out.
    fn directory_here(&mut self, dir: NodeId) -> bool {
        if dir == NodeId::ROOT {
            return true;
        }
        if !self.shape.has(self.trees, dir) {
            self.consider(dir);
        }
        let is_directory = self.trees.local(dir).is_none_or(|local| local.kind() == Kind::Directory);
        self.shape.path(self.trees, dir).is_some() && is_directory && !self.is_uncertain(dir)
    }

    /// Sees to it that nothing stands in the way of `node` at a place.
    fn clear(&mut self, node: NodeId, parent: NodeId, name: &Name) -> Cleared {
        let is_here = parent == NodeId::ROOT || self.trees.local(parent).is_some();
        if (is_here && self.scene.observer.is_unseen(parent)) || self.scene.observer.is_pending(parent, name) {
            return Cleared::Taken;
        }
        let Some(other) = self.shape.child(self.trees, parent, name).filter(|other| *other != node) else {
            return Cleared::Free;
        };
        let was_here = self.trees.local(node).is_some();
        if !was_here && self.recover_directory(other, node) {
            return Cleared::Changed;
        }
        if self.visiting.contains(&other) && self.step_off(other) {
            return Cleared::Free;
        }
        self.consider(other);
        if self.trees.local(node).is_some() != was_here {
            return Cleared::Changed;
        }
        match self.shape.child(self.trees, parent, name) {
            None => Cleared::Free,
            Some(other) if self.residue_gives_way(other) => Cleared::Free,
            Some(_) => Cleared::Taken,
        }
    }

    /// Names are passed on in a circle, and `node` is in it: it takes a name of its own for a moment. Should the program end before
    /// the next step, the node is found there by its inode and led on.
    fn step_off(&mut self, node: NodeId) -> bool {
        let (Some(local), Some(remote)) = (self.trees.local(node), self.trees.remote(node)) else { return false };
        let synced = self.trees.synced(node);
        let merged = self.merge(node, synced.as_ref(), &local, &remote);
        if self.scene.busy.contains(&node) || merged.place != Verdict::Apply {
            return false;
        }
        self.rename_here(
            node,
            &local,
            local.parent,
            swap_name(node),
            Purpose::Place { parent: local.parent, agreed: None },
        ) == Outcome::Done
    }

    /// If `new` is the directory that takes what lived on under `old`, which went to the trash, then what stands here as `old`
    /// is `new` from now on. What did not live on leaves it as a child of `new`.
    fn recover_directory(&mut self, old: NodeId, new: NodeId) -> bool {
        if !matches!(self.standing(old), Standing::Trashed { .. }) {
            return false;
        }
        let is_directory = |local: Local| local.kind() == Kind::Directory;
        if self.recovered(old) != Some(new)
            || self.scene.busy.contains(&old)
            || self.is_uncertain(old)
            || self.scene.observer.has_frozen(old)
            || !self.trees.local(old).is_some_and(is_directory)
        {
            return false;
        }
        self.become_other(old, new);
        for (_, child) in self.trees.local_children(new) {
            if let Some(mut synced) = self.trees.synced(child)
                && synced.state.place.parent == old
            {
                synced.state.place.parent = new;
                self.trees.set_synced(child, Some(synced));
            }
        }
        true
    }

    /// What stands here as the directory `old` is the node `new` from now on.
    pub(super) fn become_other(&mut self, old: NodeId, new: NodeId) {
        let Some(local) = self.trees.local(old) else { return };
        let is_directory = local.kind() == Kind::Directory;
        self.trees.set_local(old, None);
        self.trees.set_local(new, Some(local));
        self.touched.extend([old, new]);
        if !is_directory {
            return;
        }
        for (_, child) in self.trees.local_children(old) {
            if let Some(local) = self.trees.local(child) {
                self.trees.set_local(child, Some(Local { parent: new, ..local }));
                self.touched.insert(child);
            }
        }
        self.scene.observer.renamed(old, new);
    }
}

fn is_list(file: &FileContent) -> bool {
    matches!(file.id, ContentId::List(_))
}

/// Whether a place is free for a node.
enum Cleared {
    /// It is, or will be.
    Free,
    /// Not yet.
    Taken,
    /// The node itself is on this disk now: decide again.
    Changed,
}
