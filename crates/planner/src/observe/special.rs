//! What stands in the folder and is nothing that can be synced: pipes, sockets, devices, what other file systems are mounted on, and
//! directories of Skep's own: another folder's root, a server's data, a client's home. Nobody looks into them.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Name, NodeId, OwnDir, Timestamp};

use crate::Sight;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Special {
    /// What it is, if it is a directory of ours.
    pub(crate) own: Option<OwnDir>,
    /// Since when it is seen.
    pub(crate) since: Timestamp,
}

/// Where such things were seen last, by directory.
#[derive(Debug, Default)]
pub(crate) struct Specials {
    seen: BTreeMap<NodeId, BTreeMap<Name, Special>>,
}

impl Specials {
    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Name, Special)> {
        self.seen.iter().flat_map(|(dir, names)| names.iter().map(|(name, special)| (*dir, name, *special)))
    }

    /// Those in one directory that are none of ours.
    pub(crate) fn foreign_in(&self, dir: NodeId) -> impl Iterator<Item = &Name> {
        let names = self.seen.get(&dir).into_iter().flatten();
        names.filter(|(_, special)| special.own.is_none()).map(|(name, _)| name)
    }

    /// Whether one that is none of ours stands there.
    pub(crate) fn is_foreign(&self, dir: NodeId, name: &Name) -> bool {
        self.seen.get(&dir).and_then(|names| names.get(name)).is_some_and(|special| special.own.is_none())
    }

    /// An entry was seen; whether it counts, the rules say.
    pub(super) fn see(&mut self, dir: NodeId, sight: &Sight, counts: bool, now: Timestamp) {
        if counts && sight.stat.is_some_and(|stat| stat.kind.is_none()) {
            let new = Special { own: sight.own, since: now };
            self.seen.entry(dir).or_default().entry(sight.name.clone()).or_insert(new).own = sight.own;
        } else if let Some(names) = self.seen.get_mut(&dir) {
            names.remove(&sight.name);
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
