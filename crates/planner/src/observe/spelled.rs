//! Entries that this disk shows by another name than theirs, because it cannot hold that one, or not beside another one.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{Name, NodeId};

use crate::Sight;

/// How they were spelled when they were seen last, by directory and name.
#[derive(Debug, Default)]
pub(crate) struct Spellings {
    seen: BTreeMap<NodeId, BTreeMap<Name, Name>>,
}

impl Spellings {
    /// All of them: directory, name, and how the disk spells it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Name, &Name)> {
        self.seen.iter().flat_map(|(dir, names)| names.iter().map(|(name, spelled)| (*dir, name, spelled)))
    }

    /// How the entry is spelled, if not by its name.
    pub(crate) fn of(&self, dir: NodeId, name: &Name) -> Option<&Name> {
        self.seen.get(&dir)?.get(name)
    }

    /// The name of the entry that is spelled like this.
    pub(crate) fn meant(&self, dir: NodeId, spelled: &Name) -> Option<&Name> {
        self.seen.get(&dir)?.iter().find(|(_, other)| *other == spelled).map(|(name, _)| name)
    }

    /// An entry was seen.
    pub(super) fn see(&mut self, dir: NodeId, sight: &Sight) {
        match &sight.spelled {
            Some(spelled) => _ = self.seen.entry(dir).or_default().insert(sight.name.clone(), spelled.clone()),
            None => self.retain(dir, |name| *name != sight.name),
        }
    }

    /// The directory was looked at as a whole: what was not seen is there no more.
    pub(super) fn look_through(&mut self, dir: NodeId, sights: &[Sight]) {
        if self.seen.contains_key(&dir) {
            let seen: BTreeSet<&Name> = sights.iter().map(|sight| &sight.name).collect();
            self.retain(dir, |name| seen.contains(name));
        }
    }

    fn retain(&mut self, dir: NodeId, keep: impl Fn(&Name) -> bool) {
        if let Some(names) = self.seen.get_mut(&dir) {
            names.retain(|name, _| keep(name));
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
