//! Files whose bytes changed though nobody changed them.
//!
//! An audit reads files again whose stat is as it was. Whoever writes to a file gives it another ctime, and nobody can set that: so
//! other bytes under an unchanged stat are damage of the disk. Damaged bytes are never taken for an edit, whatever reads them.

use std::collections::BTreeMap;

use skep_types::{ContentId, NodeId, Stat};

use super::see::content_may_differ;
use super::{Findings, Observer, age_ms};
use crate::trees::{LocalContent, Trees};
use crate::{ReadError, ReadResult};

impl Observer {
    /// Takes what the trees keep of damage: after a start.
    pub(crate) fn load_damages(&mut self, trees: &dyn Trees) {
        self.damages = trees.damages().into_iter().collect();
    }

    /// What the node's file holds instead of what it should.
    pub(crate) fn damage(&self, node: NodeId) -> Option<ContentId> {
        self.damages.get(&node).copied()
    }

    /// All damaged files.
    pub(crate) fn damages(&self) -> &BTreeMap<NodeId, ContentId> {
        &self.damages
    }

    /// The file holds something else by now, or is not here any more.
    pub(crate) fn forget_damage(&mut self, trees: &mut dyn Trees, node: NodeId) {
        if self.damages.remove(&node).is_some() {
            trees.set_damage(node, None);
        }
    }

    /// Takes what an audit read.
    pub(crate) fn audited(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        result: Result<ReadResult, ReadError>,
        findings: &mut Findings,
    ) {
        let (Some(local), Some(synced)) = (trees.local(node), trees.synced(node)) else { return };
        let place = (local.parent, local.name.clone());
        let is_certain = local == synced.as_local()
            && local.content != LocalContent::Unread
            && !self.is_pending(place.0, &place.1)
            && !self.frozen.contains(&place)
            && !self.is_missing(node)
            && !self.is_reading(node)
            && !self.is_racy(node);
        match result {
            // The usual way of edits tells more.
            _ if !is_certain => {}
            Err(ReadError::Denied | ReadError::Failed) => {}
            Err(ReadError::Gone | ReadError::Busy) => self.look_at(trees, node),
            Ok(read) if content_may_differ(&local.stat, &read.stat) => self.look_at(trees, node),
            Ok(read) if Some(read.content) == local.file().map(|file| file.id) => self.forget_damage(trees, node),
            Ok(read) if self.is_settled_stat(&read.stat) => {
                trees.set_damage(node, Some(read.content));
                self.damages.insert(node, read.content);
                findings.touched.insert(node);
            }
            Ok(_) => {}
        }
    }

    /// Whether a change after the last one would show in the stat: the tick of the clock in which it was made is over.
    fn is_settled_stat(&self, stat: &Stat) -> bool {
        age_ms(self.now, stat).is_none_or(|age| age >= self.limits.hint_late_ms)
    }
}
