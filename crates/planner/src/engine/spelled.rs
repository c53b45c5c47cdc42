//! What this disk shows by another name than its own: for people.

use skep_types::{Name, NodeId};

use super::Engine;
use super::report::EngineProblem;
use crate::shape::Shape;
use crate::trees::Trees;

/// In a report, at most so many are told by name.
const TOLD_MAX: usize = 100;

/// The code: no problem, but good to know.
const CODE: &str = "W-NAME-MAPPED";

impl Engine {
    /// How many there are, and the first of them.
    pub(super) fn shown_otherwise(&self, trees: &dyn Trees) -> (u64, Vec<EngineProblem>) {
        let shape = Shape::default();
        let mut spelled = self.observer.spellings.iter();
        let told = spelled.by_ref().take(TOLD_MAX).filter_map(|(dir, name, spelled)| {
            let path = shape.location(trees, dir, name)?.display();
            let message =
                format!("`{path}` is called `{}` on this disk, which cannot hold its name here", spelled.display());
            let hint = "Nothing needs to be done: everywhere else it has its own name".into();
            let since = trees.last_step().unwrap_or_default();
            Some(EngineProblem { node: dir, path, code: CODE, message, hint, since, needs_person: false })
        });
        let mut told: Vec<EngineProblem> = told.collect();
        told.sort_by(|a, b| a.path.cmp(&b.path));
        (told.len() as u64 + spelled.count() as u64, told)
    }

    /// The path that a person means who may have read its names off this disk.
    pub fn meant(&self, trees: &dyn Trees, path: &[Name]) -> Vec<Name> {
        let mut at = Some(NodeId::ROOT);
        let mut meant = Vec::with_capacity(path.len());
        for name in path {
            let child =
                |name: &Name| at.and_then(|dir| trees.local_child(dir, name).or_else(|| trees.remote_child(dir, name)));
            let other = at.filter(|_| child(name).is_none()).and_then(|dir| self.observer.spellings.meant(dir, name));
            let name = other.unwrap_or(name).clone();
            at = child(&name);
            meant.push(name);
        }
        meant
    }
}
