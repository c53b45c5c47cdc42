//! What people are told of directories of Skep's own that lie in the folder.

use skep_types::{Name, OwnDir};

use super::hold::Trouble;
use super::report::EngineProblem;
use super::{Engine, ignored::display};
use crate::observe::Special;
use crate::shape::Shape;
use crate::trees::Trees;

/// Why such a directory is passed over.
pub(super) fn own_trouble(kind: OwnDir) -> Trouble {
    let message = match kind {
        OwnDir::Folder => "is another synced folder: what is in it is not synced with this one",
        OwnDir::ServerData => "is the data of a Skep server: what is in it is not synced",
        OwnDir::ClientHome => "holds the settings and state of a Skep client: what is in it is not synced",
    };
    let hint = "Move it out of this folder. To leave it here without this notice, name it in a .skepignore";
    Trouble { code: kind.code(), message, hint, needs_person: true }
}

impl Engine {
    /// The problems of those that are no nodes.
    pub(super) fn own_problems(&self, trees: &dyn Trees) -> Vec<EngineProblem> {
        let shape = Shape::default();
        let problem = |(dir, name, special): (_, &Name, Special)| {
            let kind = special.own.filter(|_| trees.local_child(dir, name).is_none())?;
            let mut path = shape.path(trees, dir)?;
            path.push(name.clone());
            let path = display(&path);
            let Trouble { code, message, hint, needs_person } = own_trouble(kind);
            let message = format!("`{path}` {message}");
            let since = special.since;
            Some(EngineProblem { node: dir, path, code, message, hint: hint.into(), since, needs_person })
        };
        self.observer.specials.iter().filter_map(problem).collect()
    }
}
