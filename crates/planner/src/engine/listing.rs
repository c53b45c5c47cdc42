//! What stands in a directory, and how far each entry is.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Kind, Name, NodeId, Timestamp};

use super::Engine;
use super::report::follow;
use crate::Location;
use crate::names::TwoVersions;
use crate::shape::Shape;
use crate::trees::Trees;

/// An entry of a directory, as it is here or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// How this disk shows it, if not by its name.
    pub shown: Option<Name>,
    /// What it is; `None`: nothing that can be synced.
    pub kind: Option<Kind>,
    /// Bytes of a file; 0 of anything else.
    pub size: u64,
    /// When a file was last changed.
    pub mtime: Option<Timestamp>,
    /// `synced`, `sending`, `receiving`, `waiting`, `problem`, `not synced` or `two versions`.
    pub state: &'static str,
    /// A sentence: why.
    pub reason: String,
}

/// A page of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Entries, by name. Of anything but a directory: itself.
    pub entries: Vec<Listed>,
    /// There are more after the last one.
    pub more: bool,
}

impl Engine {
    /// At most `limit` entries of the directory at `path`, after a name; `None` if there is nothing at `path`. What was deleted
    /// here is not listed; what is still on its way here is.
    pub fn list(&self, trees: &dyn Trees, path: &[Name], after: Option<&Name>, limit: usize) -> Option<Listing> {
        if let Some((name, above)) = path.split_last()
            && let Some(dir) = follow(above, |parent, name| trees.local_child(parent, name))
            && self.specials_in(trees, dir).contains(name)
        {
            return Some(Listing { entries: vec![self.listed_special(name)], more: false });
        }
        let here = follow(path, |parent, name| trees.local_child(parent, name));
        let there = follow(path, |parent, name| trees.remote_child(parent, name));
        let dir = here.or(there.filter(|node| !is_deleted_here(trees, *node)))?;
        if dir != NodeId::ROOT && kind_of(trees, dir) != Some(Kind::Directory) {
            let siblings = self.children(trees, self.parent_of(trees, dir));
            let listed = self.listed(trees, &siblings, path.last()?, dir);
            return Some(Listing { entries: listed.into_iter().collect(), more: false });
        }
        let children = self.children(trees, dir);
        let specials = self.specials_in(trees, dir);
        let mut all: BTreeMap<&Name, Option<NodeId>> =
            children.iter().map(|(name, node)| (name, Some(*node))).collect();
        all.extend(specials.iter().map(|name| (name, None)));
        let mut rest = all.into_iter().filter(|(name, _)| after.is_none_or(|after| *name > after));
        let page = rest.by_ref().take(limit);
        let listed = |(name, node): (&Name, Option<NodeId>)| match node {
            Some(node) => self.listed(trees, &children, name, node),
            None => Some(self.listed_special(name)),
        };
        let entries = page.filter_map(listed).collect();
        Some(Listing { entries, more: rest.next().is_some() })
    }

    fn parent_of(&self, trees: &dyn Trees, node: NodeId) -> NodeId {
        let here = trees.local(node).map(|local| local.parent);
        here.or_else(|| trees.remote(node).map(|state| state.place.parent)).unwrap_or(NodeId::ROOT)
    }

    /// What stands in a directory, and what comes to stand there.
    fn children(&self, trees: &dyn Trees, dir: NodeId) -> BTreeMap<Name, NodeId> {
        let mut children: BTreeMap<Name, NodeId> = trees.local_children(dir).into_iter().collect();
        let here: BTreeSet<NodeId> = children.values().copied().collect();
        for node in trees.remote_children(dir).into_iter().filter(|node| !here.contains(node)) {
            let Some(state) = trees.remote(node).filter(|state| !state.place.trashed) else { continue };
            if trees.local(node).is_none() && trees.synced(node).is_none() {
                children.entry(state.place.name).or_insert(node);
            }
        }
        children
    }

    fn listed(
        &self,
        trees: &dyn Trees,
        siblings: &BTreeMap<Name, NodeId>,
        name: &Name,
        node: NodeId,
    ) -> Option<Listed> {
        let kind = kind_of(trees, node)?;
        let here = trees.local(node);
        let (size, mtime) = match (&here, trees.remote(node)) {
            (Some(local), _) if kind == Kind::File => (local.stat.size, Some(local.stat.mtime)),
            (None, Some(state)) => state.content.file().map_or((0, None), |file| (file.size, Some(file.mtime))),
            _ => (0, None),
        };
        let (mut state, mut reason) = self.explain_node(trees, node);
        if state == "synced" && is_one_of_two(siblings, name) {
            (state, reason) =
                ("two versions", "It was changed here and elsewhere at the same time; both are kept.".into());
        }
        let shown = here.and_then(|local| self.observer.spellings.of(local.parent, name).cloned());
        Some(Listed { name: name.clone(), shown, kind: Some(kind), size, mtime, state, reason })
    }
}

/// Where the node stands on this disk; `None` if it does not.
pub fn path_here(trees: &dyn Trees, node: NodeId) -> Option<Location> {
    let local = trees.local(node)?;
    Shape::default().location(trees, local.parent, &local.name)
}

/// Whether `name` is a conflict copy whose original stands beside it, or such an original.
fn is_one_of_two(siblings: &BTreeMap<Name, NodeId>, name: &Name) -> bool {
    if let Some(copy) = TwoVersions::of(name) {
        return siblings.contains_key(&copy.original);
    }
    let (stem, _) = name.split_extension();
    // Only names that begin with the notice behind this stem can be copies: no other sibling is looked at.
    let notice = [stem, skep_types::product::TWO_VERSIONS.as_bytes()].concat();
    let Ok(first) = Name::new(notice.clone()) else { return false };
    let copies = siblings.range(first..).take_while(|(sibling, _)| sibling.as_bytes().starts_with(&notice));
    let mut originals = copies.filter_map(|(sibling, _)| TwoVersions::of(sibling));
    originals.any(|copy| copy.original == *name)
}

fn kind_of(trees: &dyn Trees, node: NodeId) -> Option<Kind> {
    let here = trees.local(node).map(|local| local.kind());
    here.or_else(|| trees.remote(node).map(|state| state.kind()))
}

fn is_deleted_here(trees: &dyn Trees, node: NodeId) -> bool {
    trees.local(node).is_none() && trees.synced(node).is_some()
}
