//! What this disk will look like once the operations that are planned so far have been carried out.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Name, NodeId};

use crate::Location;
use crate::trees::{CHAIN_MAX, LIMBO, Trees};

/// Planned changes of places, over Local.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// Nodes that were put somewhere; `None`: removed.
    places: BTreeMap<NodeId, Option<(NodeId, Name)>>,
    /// Who stands at a place that a plan touched.
    taken: BTreeMap<(NodeId, Name), Option<NodeId>>,
    /// Every place that a planned operation reads or writes.
    used: BTreeSet<(NodeId, Name)>,
}

impl Shape {
    /// Where the node will stand, if it will be on this disk.
    pub(crate) fn place(&self, trees: &dyn Trees, node: NodeId) -> Option<(NodeId, Name)> {
        match self.places.get(&node) {
            Some(place) => place.clone(),
            None => trees.local(node).map(|local| (local.parent, local.name)),
        }
    }

    /// Whether a directory is or will be on this disk, the root included.
    pub(crate) fn has(&self, trees: &dyn Trees, node: NodeId) -> bool {
        node == NodeId::ROOT || self.place(trees, node).is_some()
    }

    /// Who will stand there.
    pub(crate) fn child(&self, trees: &dyn Trees, parent: NodeId, name: &Name) -> Option<NodeId> {
        match self.taken.get(&(parent, name.clone())) {
            Some(planned) => *planned,
            None => trees.local_child(parent, name),
        }
    }

    /// The names from the root down to a directory; `None` if it hangs in the air.
    pub(crate) fn path(&self, trees: &dyn Trees, dir: NodeId) -> Option<Vec<Name>> {
        let mut names = Vec::new();
        let mut at = dir;
        while at != NodeId::ROOT {
            let (parent, name) = self.place(trees, at)?;
            if parent == LIMBO || names.len() == CHAIN_MAX {
                return None;
            }
            names.push(name);
            at = parent;
        }
        names.reverse();
        Some(names)
    }

    /// An entry as a location.
    pub(crate) fn location(&self, trees: &dyn Trees, parent: NodeId, name: &Name) -> Option<Location> {
        self.path(trees, parent).map(|dir| Location { dir, name: name.clone() })
    }

    /// Whether `node` is `above` or lies beneath it.
    pub(crate) fn is_beneath(&self, trees: &dyn Trees, node: NodeId, above: NodeId) -> bool {
        let mut at = node;
        for _ in 0..CHAIN_MAX {
            if at == above {
                return true;
            }
            match self.place(trees, at) {
                Some((parent, _)) => at = parent,
                None => return false,
            }
        }
        true
    }

    /// Plans that the node will stand there, or nowhere.
    pub(crate) fn put(&mut self, trees: &dyn Trees, node: NodeId, place: Option<(NodeId, Name)>) {
        if let Some(old) = self.place(trees, node) {
            self.used.insert(old.clone());
            self.taken.insert(old, None);
        }
        if let Some(new) = &place {
            self.used.insert(new.clone());
            self.taken.insert(new.clone(), Some(node));
        }
        self.places.insert(node, place);
    }

    /// Marks the place of a node as used, without a change.
    pub(crate) fn touch(&mut self, trees: &dyn Trees, node: NodeId) {
        if let Some(place) = self.place(trees, node) {
            self.used.insert(place);
        }
    }

    /// Every place that a planned operation reads or writes.
    pub(crate) fn into_used(self) -> BTreeSet<(NodeId, Name)> {
        self.used
    }
}
