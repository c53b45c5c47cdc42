//! What stands in the folder and cannot be synced: for people.

use skep_types::{Name, NodeId};

use super::Engine;
use super::report::{EngineProblem, follow};
use crate::Listed;
use crate::observe::Special;
use crate::shape::Shape;
use crate::trees::Trees;

/// In a report, at most so many are told by name.
const TOLD_MAX: usize = 100;

/// The code, whether or not something that is synced should stand there.
pub(super) const CODE: &str = "E-SPECIAL-FILE";
/// What it is, after its name.
pub(super) const WHAT: &str = "is a pipe, a socket, a device or another file system here, which cannot be synced";

impl Engine {
    /// How many there are, and the first of them. Where a node should stand instead is a problem of that node, and told there.
    pub(super) fn not_synced(&self, trees: &dyn Trees) -> (u64, Vec<EngineProblem>) {
        let shape = Shape::default();
        let specials = self.observer.specials.iter();
        let is_foreign = |special: Special| special.own.is_none();
        let mut specials =
            specials.filter(|(dir, name, special)| is_foreign(*special) && trees.local_child(*dir, name).is_none());
        let told = specials.by_ref().take(TOLD_MAX).filter_map(|(dir, name, Special { since, .. })| {
            let path = shape.location(trees, dir, name)?.display();
            let message = format!("`{path}` {WHAT}");
            let hint = "Nothing needs to be done: everything else is synced".into();
            Some(EngineProblem { node: dir, path, code: CODE, message, hint, since, needs_person: false })
        });
        let mut told: Vec<EngineProblem> = told.collect();
        told.sort_by(|a, b| a.path.cmp(&b.path));
        (told.len() as u64 + specials.count() as u64, told)
    }

    /// The sentence of a path at which something like that stands, or beneath it.
    pub(super) fn explain_special(&self, trees: &dyn Trees, path: &[Name]) -> Option<String> {
        (1..=path.len()).find_map(|len| {
            let (name, above) = path[..len].split_last()?;
            let dir = follow(above, |parent, name| trees.local_child(parent, name))?;
            let is_it = self.observer.specials.is_foreign(dir, name) && trees.local_child(dir, name).is_none();
            let what =
                if len == path.len() { "It".to_owned() } else { format!("`{}`, which holds it,", name.display()) };
            is_it.then(|| format!("{what} {WHAT} ({CODE})."))
        })
    }

    /// Such an entry of a directory.
    pub(super) fn listed_special(&self, name: &Name) -> Listed {
        let reason = format!("It {WHAT} ({CODE}).");
        Listed { name: name.clone(), shown: None, kind: None, size: 0, mtime: None, state: "not synced", reason }
    }

    /// Names of such entries in the directory that no node has.
    pub(super) fn specials_in(&self, trees: &dyn Trees, dir: NodeId) -> Vec<Name> {
        let names = self.observer.specials.foreign_in(dir);
        names.filter(|name| trees.local_child(dir, name).is_none()).cloned().collect()
    }
}
