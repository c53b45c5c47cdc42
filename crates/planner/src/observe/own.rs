//! Directories of Skep's own in the folder: another folder's root, a server's data, a client's home. Nobody looks into them.

use std::collections::BTreeMap;

use skep_types::{Name, NodeId, OwnDir, Timestamp};

use super::{Dirty, Observer};
use crate::Sight;
use crate::trees::{LIMBO, Trees};

impl Observer {
    /// Those in places where no node is, and since when. (Where one is, the node is held.)
    pub(crate) fn own_dirs(&self) -> impl Iterator<Item = (NodeId, &Name, OwnDir, Timestamp)> {
        self.own.iter().map(|((dir, name), (kind, since))| (*dir, name, *kind, *since))
    }

    /// What a look is about to see anew, and since when it was there.
    pub(super) fn take_own(&mut self, dir: NodeId, dirty: &Dirty) -> BTreeMap<Name, Timestamp> {
        let is_seen = |key: &(NodeId, Name)| key.0 == dir && dirty.covers(&key.1);
        let taken: Vec<(NodeId, Name)> = self.own.keys().filter(|key| is_seen(key)).cloned().collect();
        taken.into_iter().filter_map(|key| self.own.remove(&key).map(|(_, since)| (key.1, since))).collect()
    }

    /// An entry that counts, and perhaps is ours.
    pub(super) fn see_own(
        &mut self,
        trees: &dyn Trees,
        dir: NodeId,
        sight: &Sight,
        before: &BTreeMap<Name, Timestamp>,
    ) {
        if let Some(kind) = sight.own
            && trees.local_child(dir, &sight.name).is_none()
        {
            let since = before.get(&sight.name).copied().unwrap_or(self.now);
            self.own.insert((dir, sight.name.clone()), (kind, since));
        }
    }

    /// Whether something that is not synced stands in the place of the directory, or of one above it.
    pub(super) fn is_beneath_special(&self, trees: &dyn Trees, dir: NodeId) -> bool {
        let mut at = dir;
        while !self.special.is_empty() && at != NodeId::ROOT && at != LIMBO {
            if self.special.contains(&at) {
                return true;
            }
            match trees.local(at) {
                Some(local) => at = local.parent,
                None => return false,
            }
        }
        false
    }
}
