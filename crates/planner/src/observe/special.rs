//! What stands in the folder and is nothing that can be synced: pipes, sockets, devices, and what other file systems are mounted on.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Name, NodeId, Timestamp};

use crate::Sight;

/// Where such things were seen last, by directory, and since when.
#[derive(Debug, Default)]
pub(crate) struct Specials {
    seen: BTreeMap<NodeId, BTreeMap<Name, Timestamp>>,
}

impl Specials {
    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Name, Timestamp)> {
        self.seen.iter().flat_map(|(dir, names)| names.iter().map(|(name, since)| (*dir, name, *since)))
    }

    /// Those in one directory.
    pub(crate) fn in_dir(&self, dir: NodeId) -> impl Iterator<Item = &Name> {
        self.seen.get(&dir).into_iter().flat_map(BTreeMap::keys)
    }

    /// Whether one stands there.
    pub(crate) fn has(&self, dir: NodeId, name: &Name) -> bool {
        self.seen.get(&dir).is_some_and(|names| names.contains_key(name))
    }

    /// An entry was seen.
    pub(super) fn see(&mut self, dir: NodeId, name: &Name, is_special: bool, now: Timestamp) {
        if is_special {
            self.seen.entry(dir).or_default().entry(name.clone()).or_insert(now);
        } else if let Some(names) = self.seen.get_mut(&dir) {
            names.remove(name);
            if names.is_empty() {
                self.seen.remove(&dir);
            }
        }
    }

    /// The directory was looked at as a whole: what was not seen is there no more.
    pub(super) fn look_through(&mut self, dir: NodeId, sights: &[Sight]) {
        if let Some(names) = self.seen.get_mut(&dir) {
            let seen: BTreeSet<&Name> = sights.iter().map(|sight| &sight.name).collect();
            names.retain(|name, _| seen.contains(name));
            if names.is_empty() {
                self.seen.remove(&dir);
            }
        }
    }

    /// The directory is not on this disk any more, or is looked at anew as another node.
    pub(super) fn forget(&mut self, dir: NodeId) {
        self.seen.remove(&dir);
    }
}
