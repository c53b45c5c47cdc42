//! The three trees in memory: the model of what [`Trees`] means, for tests and for small tools.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{ContentId, Cursor, Name, NodeId, NodeState, Seq, Timestamp};

use crate::absence::Absence;
use crate::trees::{Beginning, Local, Synced, Trees};

/// [`Trees`] without a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTrees {
    synced: BTreeMap<NodeId, Synced>,
    local: BTreeMap<NodeId, Local>,
    remote: BTreeMap<NodeId, NodeState>,
    local_places: BTreeMap<(NodeId, Name), NodeId>,
    local_inodes: BTreeSet<(u64, NodeId)>,
    remote_places: BTreeMap<(NodeId, Name), NodeId>,
    remote_parents: BTreeSet<(NodeId, NodeId)>,
    resting: BTreeSet<NodeId>,
    left_out: BTreeSet<NodeId>,
    offered: BTreeSet<NodeId>,
    applying: BTreeMap<NodeId, NodeState>,
    selection_changes: u64,
    taken_out_to: Seq,
    shadow: BTreeMap<NodeId, NodeState>,
    beginning: Option<Beginning>,
    past: BTreeMap<NodeId, NodeState>,
    absences: BTreeMap<NodeId, Absence>,
    damages: BTreeMap<NodeId, ContentId>,
    last_step: Option<Timestamp>,
    cursor: Option<Cursor>,
}

impl MemoryTrees {
    /// Three empty trees.
    pub fn new() -> MemoryTrees {
        MemoryTrees::default()
    }

    fn differs_remotely(&self, node: NodeId) -> bool {
        self.remote.get(&node) != self.synced.get(&node).map(|synced| &synced.state)
    }

    fn differs_locally(&self, node: NodeId) -> bool {
        self.local.get(&node) != self.synced.get(&node).map(Synced::as_local).as_ref()
    }

    fn select(&self, after: Option<NodeId>, limit: usize, wanted: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let nodes: BTreeSet<NodeId> =
            self.synced.keys().chain(self.local.keys()).chain(self.remote.keys()).copied().collect();
        let fresh = |node: &NodeId| after.is_none_or(|after| *node > after) && !self.resting.contains(node);
        nodes.into_iter().filter(fresh).filter(|node| wanted(*node)).take(limit).collect()
    }
}

impl Trees for MemoryTrees {
    fn synced(&self, node: NodeId) -> Option<Synced> {
        self.synced.get(&node).cloned()
    }

    fn local(&self, node: NodeId) -> Option<Local> {
        self.local.get(&node).cloned()
    }

    fn remote(&self, node: NodeId) -> Option<NodeState> {
        self.remote.get(&node).cloned()
    }

    fn local_child(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        self.local_places.get(&(parent, name.clone())).copied()
    }

    fn remote_child(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        self.remote_places.get(&(parent, name.clone())).copied()
    }

    fn local_children(&self, parent: NodeId) -> Vec<(Name, NodeId)> {
        let first = (parent, Name::new([1u8]).expect("one byte is a name"));
        let places = self.local_places.range(first..).take_while(|((dir, _), _)| *dir == parent);
        places.map(|((_, name), node)| (name.clone(), *node)).collect()
    }

    fn remote_children(&self, parent: NodeId) -> Vec<NodeId> {
        let first = (parent, NodeId::from_bytes([0; NodeId::LEN]));
        self.remote_parents.range(first..).take_while(|(dir, _)| *dir == parent).map(|(_, node)| *node).collect()
    }

    fn synced_with(&self, content: ContentId) -> Option<NodeId> {
        let is_list = matches!(content, ContentId::List(_));
        let holds = |synced: &Synced| synced.state.content.file().is_some_and(|file| is_list && file.id == content);
        self.synced.iter().find(|(_, synced)| holds(synced)).map(|(node, _)| *node)
    }

    fn local_by_inode(&self, inode: u64) -> Vec<NodeId> {
        let first = (inode, NodeId::from_bytes([0; NodeId::LEN]));
        self.local_inodes.range(first..).take_while(|(other, _)| *other == inode).map(|(_, node)| *node).collect()
    }

    fn differing(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        self.select(after, limit, |node| self.differs_locally(node) || self.differs_remotely(node))
    }

    fn differing_remotely(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        self.select(after, limit, |node| self.differs_remotely(node))
    }

    fn set_local(&mut self, node: NodeId, local: Option<Local>) {
        if let Some(old) = self.local.remove(&node) {
            self.local_inodes.remove(&(old.stat.inode, node));
            let place = (old.parent, old.name);
            if self.local_places.get(&place) == Some(&node) {
                self.local_places.remove(&place);
            }
        }
        if let Some(local) = local {
            self.local_inodes.insert((local.stat.inode, node));
            let displaced = self.local_places.insert((local.parent, local.name.clone()), node);
            debug_assert_eq!(displaced, None, "two nodes of Local at one place");
            self.local.insert(node, local);
        }
    }

    fn set_remote(&mut self, node: NodeId, state: Option<NodeState>) {
        self.rest(node, false);
        if let Some(old) = self.remote.remove(&node) {
            self.remote_parents.remove(&(old.place.parent, node));
            let place = (old.place.parent, old.place.name);
            if self.remote_places.get(&place) == Some(&node) {
                self.remote_places.remove(&place);
            }
        }
        if let Some(state) = state {
            self.remote_parents.insert((state.place.parent, node));
            if !state.place.trashed {
                self.remote_places.insert((state.place.parent, state.place.name.clone()), node);
            }
            self.remote.insert(node, state);
        }
    }

    fn set_synced(&mut self, node: NodeId, synced: Option<Synced>) {
        match synced {
            Some(synced) => self.synced.insert(node, synced),
            None => self.synced.remove(&node),
        };
    }

    fn rest(&mut self, node: NodeId, resting: bool) {
        self.left_out.remove(&node);
        if resting {
            self.resting.insert(node);
        } else {
            self.resting.remove(&node);
        }
    }

    fn leave_out(&mut self, node: NodeId) {
        self.resting.insert(node);
        self.left_out.insert(node);
    }

    fn rests(&self, node: NodeId) -> bool {
        self.resting.contains(&node)
    }

    fn left_out(&self) -> Vec<NodeId> {
        self.left_out.iter().copied().collect()
    }

    fn offered(&self, node: NodeId) -> bool {
        self.offered.contains(&node)
    }

    fn set_offered(&mut self, node: NodeId, offered: bool) {
        if offered {
            self.offered.insert(node);
        } else {
            self.offered.remove(&node);
        }
    }

    fn applying(&self, node: NodeId) -> Option<NodeState> {
        self.applying.get(&node).cloned()
    }

    fn applying_at(&self, parent: NodeId, name: &Name) -> Option<NodeId> {
        let stands_there = |state: &NodeState| state.place.parent == parent && state.place.name == *name;
        self.applying.iter().find(|(_, state)| stands_there(state)).map(|(node, _)| *node)
    }

    fn set_applying(&mut self, node: NodeId, state: Option<NodeState>) {
        match state {
            Some(state) => self.applying.insert(node, state),
            None => self.applying.remove(&node),
        };
    }

    fn selection_changes(&self) -> u64 {
        self.selection_changes
    }

    fn set_selection_changes(&mut self, changes: u64) {
        self.selection_changes = changes;
    }

    fn taken_out_to(&self) -> Seq {
        self.taken_out_to
    }

    fn set_taken_out_to(&mut self, seq: Seq) {
        self.taken_out_to = seq;
    }

    fn applying_nodes(&self) -> Vec<NodeId> {
        self.applying.keys().copied().collect()
    }

    fn known(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let nodes: BTreeSet<NodeId> = self.synced.keys().chain(self.remote.keys()).copied().collect();
        nodes.into_iter().filter(|node| after.is_none_or(|after| *node > after)).take(limit).collect()
    }

    fn shadow(&self, node: NodeId) -> Option<NodeState> {
        self.shadow.get(&node).cloned()
    }

    fn shadow_nodes(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let nodes = self.shadow.keys().filter(|node| after.is_none_or(|after| **node > after));
        nodes.take(limit).copied().collect()
    }

    fn set_shadow(&mut self, state: NodeState) {
        self.shadow.insert(state.node, state);
    }

    fn clear_shadow(&mut self) {
        self.shadow.clear();
    }

    fn beginning(&self) -> Option<Beginning> {
        self.beginning
    }

    fn set_beginning(&mut self, beginning: Option<Beginning>) {
        self.beginning = beginning;
    }

    fn past(&self, node: NodeId) -> Option<NodeState> {
        self.past.get(&node).cloned()
    }

    fn past_nodes(&self, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let nodes = self.past.keys().filter(|node| after.is_none_or(|after| **node > after));
        nodes.take(limit).copied().collect()
    }

    fn set_past(&mut self, state: NodeState) {
        self.past.insert(state.node, state);
    }

    fn clear_past(&mut self) {
        self.past.clear();
    }

    fn absences(&self) -> Vec<(NodeId, Absence)> {
        self.absences.iter().map(|(node, absence)| (*node, *absence)).collect()
    }

    fn set_absence(&mut self, node: NodeId, absence: Option<Absence>) {
        match absence {
            Some(absence) => self.absences.insert(node, absence),
            None => self.absences.remove(&node),
        };
    }

    fn damages(&self) -> Vec<(NodeId, ContentId)> {
        self.damages.iter().map(|(node, damage)| (*node, *damage)).collect()
    }

    fn set_damage(&mut self, node: NodeId, damage: Option<ContentId>) {
        match damage {
            Some(damage) => self.damages.insert(node, damage),
            None => self.damages.remove(&node),
        };
    }

    fn last_step(&self) -> Option<Timestamp> {
        self.last_step
    }

    fn set_last_step(&mut self, now: Timestamp) {
        self.last_step = Some(now);
    }

    fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    fn set_cursor(&mut self, cursor: Option<Cursor>) {
        self.cursor = cursor;
    }

    fn totals(&self) -> (u64, u64) {
        let files = self.synced.values().filter_map(|synced| synced.state.content.file());
        files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.size))
    }
}
