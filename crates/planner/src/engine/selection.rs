//! Which directories are on this computer: what a choice would change, for people.

use skep_types::{Kind, Name, NodeId};

use super::Engine;
use super::report::follow;
use crate::Location;
use crate::shape::Shape;
use crate::trees::Trees;

/// Changes that are not on the server yet and are told one by one.
const UNSENT_MAX: usize = 100;

/// A directory of the server, and what of it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selectable {
    /// Which.
    pub node: NodeId,
    /// Its path on the server.
    pub path: Vec<Name>,
    /// Files in it on the server, and their bytes.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are here as the server has them.
    pub files_here: u64,
    /// Their bytes.
    pub bytes_here: u64,
    /// What is here and is not on the server so: the first ones.
    pub unsent: Vec<Location>,
    /// How many these are.
    pub unsent_count: u64,
}

impl Engine {
    /// The directories that a person wants not to be on this computer, by path. Those that the server does not know any more are left out.
    pub fn deselected(&self, trees: &dyn Trees) -> Vec<Selectable> {
        let nodes = self.observer.filters.deselected().iter();
        let mut found: Vec<Selectable> = nodes.filter_map(|node| selectable(trees, *node)).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// The directory at `path`, on the server or here; `None` if the server has none there.
    pub fn selectable(&self, trees: &dyn Trees, path: &[Name]) -> Option<Selectable> {
        let there = follow(path, |parent, name| trees.remote_child(parent, name));
        let here = || follow(path, |parent, name| trees.local_child(parent, name));
        let node = there.or_else(here).filter(|node| *node != NodeId::ROOT)?;
        selectable(trees, node)
    }
}

fn selectable(trees: &dyn Trees, top: NodeId) -> Option<Selectable> {
    let state = trees.remote(top).filter(|state| state.kind() == Kind::Directory && !state.place.trashed)?;
    let mut path = vec![state.place.name];
    let mut at = state.place.parent;
    while at != NodeId::ROOT && path.len() < crate::trees::CHAIN_MAX {
        let above = trees.remote(at).filter(|state| !state.place.trashed)?;
        path.push(above.place.name);
        at = above.place.parent;
    }
    path.reverse();
    let mut found = Selectable {
        node: top,
        path,
        files: 0,
        bytes: 0,
        files_here: 0,
        bytes_here: 0,
        unsent: Vec::new(),
        unsent_count: 0,
    };
    count_there(trees, &mut found);
    count_unsent(trees, &mut found);
    Some(found)
}

fn count_there(trees: &dyn Trees, found: &mut Selectable) {
    let mut left = vec![found.node];
    while let Some(dir) = left.pop() {
        for node in trees.remote_children(dir) {
            let Some(state) = trees.remote(node).filter(|state| !state.place.trashed) else { continue };
            if state.kind() == Kind::Directory {
                left.push(node);
            }
            let Some(file) = state.content.file() else { continue };
            found.files += 1;
            found.bytes += file.size;
            if trees.synced(node).is_some_and(|synced| synced.state == state && is_here(trees, node)) {
                found.files_here += 1;
                found.bytes_here += file.size;
            }
        }
    }
}

fn is_here(trees: &dyn Trees, node: NodeId) -> bool {
    trees.local(node).is_some()
}

fn count_unsent(trees: &dyn Trees, found: &mut Selectable) {
    let shape = Shape::default();
    let mut left = vec![found.node];
    while let Some(dir) = left.pop() {
        for (name, node) in trees.local_children(dir) {
            let Some(local) = trees.local(node) else { continue };
            if local.kind() == Kind::Directory {
                left.push(node);
            } else if trees.synced(node).map(|synced| synced.as_local()) != Some(local) {
                found.unsent_count += 1;
                if found.unsent.len() < UNSENT_MAX {
                    found.unsent.extend(shape.location(trees, dir, &name));
                }
            }
        }
    }
}
