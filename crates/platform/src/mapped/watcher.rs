//! Hints by the names that entries stand for.

use std::future::Future;

use skep_types::{Name, NodeId};

use super::{Learned, MappedFiles};
use crate::{Files, Hint, WatchError, Watcher};

/// A [`Watcher`] of a disk behind [`MappedFiles`].
#[derive(Clone)]
pub struct MappedWatcher<W: Watcher> {
    raw: W,
    files: MappedFiles<W::Files>,
}

impl<W: Watcher> MappedWatcher<W> {
    /// What `raw` notices on the disk of `files`.
    pub fn new(raw: W, files: &MappedFiles<W::Files>) -> MappedWatcher<W> {
        MappedWatcher { raw, files: files.clone() }
    }
}

impl<W: Watcher> Watcher for MappedWatcher<W> {
    type Files = MappedFiles<W::Files>;

    fn watch(&self, dir: &<W::Files as Files>::Dir, node: NodeId) -> Result<(), WatchError> {
        self.raw.watch(dir, node)
    }

    fn unwatch(&self, node: NodeId) {
        self.raw.unwatch(node);
    }

    fn hints(&self) -> impl Future<Output = Vec<Hint>> + Send {
        let hints = self.raw.hints();
        let files = self.files.clone();
        async move {
            let hints = hints.await;
            match files.limits() {
                None => hints,
                Some(learned) => hints.into_iter().flat_map(|hint| mapped(&learned, hint)).collect(),
            }
        }
    }
}

/// The hint, for each name that the entry may stand for, and for one whose meaning may have changed with it.
fn mapped<F: Files>(learned: &Learned<F>, hint: Hint) -> Vec<Hint> {
    let Hint::Entry { dir, name: stored, change } = hint else { return vec![hint] };
    let meant = learned.meaning(&stored);
    let mut names: Vec<Name> = vec![meant.clone(), stored];
    if learned.rules.folds {
        names.push(learned.rules.marked(&meant).stored);
    }
    let mut seen: Vec<Name> = Vec::with_capacity(names.len());
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    names.into_iter().map(|name| Hint::Entry { dir, name, change }).collect()
}
