//! How folder and server come together again after the state was lost.
//!
//! The folder remembers where the journal ended when both were equal last, and the server how its nodes were then. So what stands here where
//! a node stood then *is* that node, as it was then or changed by somebody here: a Synced state again, from which everything follows by the
//! usual rules. What was deleted elsewhere since goes, what was moved moves, and what was edited in one place only is no second version.
//! What is not here now tells nothing: nobody saw it go, so it is made anew.

use std::collections::BTreeMap;

use skep_types::{Name, NodeId, NodeState, Place, Seq, Stat};

use super::identity::may_be_rounded;
use super::{Outcome, Plan};
use crate::trees::{Beginning, CHAIN_MAX, LIMBO, Local, LocalContent, Synced, Trees};

/// Nodes that are asked for at a time.
const PAGE_NODES: usize = 1_000;

/// How folder and server came together, and what that takes.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Nothing is known of the folder.
    Join,
    /// It was equal to the server.
    Relink(Relink),
}

/// What is known of the time when folder and server were equal.
#[derive(Debug)]
pub(crate) struct Relink {
    /// Where the journal ended then.
    since: Seq,
    /// Where nodes stood then that changed since.
    places: BTreeMap<(NodeId, Name), NodeId>,
}

impl Begun {
    /// What the trees say of it; `None`: folder and server have agreed since.
    pub(crate) fn load(trees: &dyn Trees) -> Option<Begun> {
        let since = match trees.beginning()? {
            Beginning::Join => return Some(Begun::Join),
            Beginning::Relink { since } => since,
        };
        let mut places = BTreeMap::new();
        let mut after = None;
        loop {
            let nodes = trees.past_nodes(after, PAGE_NODES);
            let Some(last) = nodes.last() else { return Some(Begun::Relink(Relink { since, places })) };
            after = Some(*last);
            let states = nodes.into_iter().filter_map(|node| trees.past(node));
            places.extend(states.map(|state| ((state.place.parent, state.place.name), state.node)));
        }
    }
}

impl Relink {
    /// The node as it was then; `None` if it was not, or was in the trash by itself.
    fn agreed(&self, trees: &dyn Trees, node: NodeId) -> Option<NodeState> {
        trees.past(node).or_else(|| trees.remote(node).filter(|state| self.is_unchanged(state)))
    }

    /// What stood at this place then.
    fn agreed_at(&self, trees: &dyn Trees, parent: NodeId, name: &Name) -> Option<NodeState> {
        let state = match self.places.get(&(parent, name.clone())) {
            Some(node) => trees.past(*node)?,
            None => {
                let node = trees.remote_child(parent, name).filter(|node| trees.past(*node).is_none())?;
                trees.remote(node).filter(|state| self.is_unchanged(state))?
            }
        };
        let mut above = parent;
        for _ in 0..CHAIN_MAX {
            if above == NodeId::ROOT {
                return Some(state);
            }
            above = self.agreed(trees, above)?.place.parent;
        }
        None
    }

    fn is_unchanged(&self, state: &NodeState) -> bool {
        state.newest().seq <= self.since && !state.place.trashed
    }
}

impl Plan<'_> {
    /// What stands here and is not known may be what stood here when folder and server were equal. `None`: it is not.
    pub(super) fn relink(&mut self, node: NodeId, here: &Local) -> Option<Outcome> {
        let Some(Begun::Relink(relink)) = self.scene.begun else { return None };
        if here.parent == LIMBO || self.trees.synced(node).is_some() || self.trees.offered(node) {
            return None;
        }
        if here.parent != NodeId::ROOT && self.trees.remote(here.parent).is_none() {
            // Its directory may be one that is known: that first.
            self.consider(here.parent);
            if self.trees.local(node).is_none_or(|local| local.parent != here.parent) {
                return Some(Outcome::Waits);
            }
        }
        let agreed = relink.agreed_at(self.trees, here.parent, &here.name)?;
        let known = agreed.node;
        let is_elsewhere = self.trees.local(known).is_some() || self.trees.synced(known).is_some();
        if agreed.kind() != here.kind() || is_elsewhere || self.trees.remote(known).is_none() || self.is_outside(known)
        {
            return None;
        }
        if self.scene.busy.contains(&known) || self.is_sent(known) || self.applied.contains(&known) {
            return Some(Outcome::Waits);
        }
        if self.become_one(node, known) == Outcome::Waits {
            return Some(Outcome::Waits);
        }
        self.agree_as_then(agreed, here);
        Some(Outcome::Done)
    }

    /// What the server had then is what both sides agreed on: only what differs from it was changed here since.
    fn agree_as_then(&mut self, agreed: NodeState, here: &Local) {
        let (node, executable) = (agreed.node, agreed.mode.executable);
        let mut shown = Stat { executable, ..here.stat };
        let mut stands = here.clone();
        if let Some(then) = agreed.content.file() {
            let is_rounded = may_be_rounded(here.stat.mtime, then.mtime);
            if !is_rounded {
                shown.mtime = then.mtime;
            }
            if let (LocalContent::Known(skep_types::Content::File(file)), true) = (&mut stands.content, is_rounded) {
                file.mtime = then.mtime;
            }
        }
        self.trees.set_synced(node, Some(Synced { state: agreed, shown }));
        let mode = self.scene.observer.mode_of(self.trees, node, &stands, &stands.stat);
        self.trees.set_local(node, Some(Local { mode, ..stands }));
        self.touched.insert(node);
    }

    /// Whether a node that is not known to be here may stand where it stood when folder and server were equal: nobody has looked there yet, or
    /// what stands there just turned out to be it, or a directory above it.
    pub(super) fn may_stand_as_agreed(&mut self, node: NodeId) -> bool {
        let Some(Begun::Relink(relink)) = self.scene.begun else { return false };
        let mut at = node;
        for _ in 0..CHAIN_MAX {
            let Some(Place { parent, name, .. }) = relink.agreed(self.trees, at).map(|state| state.place) else {
                return false;
            };
            if (self.scene.held)(parent) {
                // It cannot be looked at, and that is told.
                return false;
            }
            if parent == NodeId::ROOT || self.trees.local(parent).is_some() {
                let observer = &self.scene.observer;
                if observer.is_unseen(parent) || observer.is_pending(parent, &name) {
                    return true;
                }
                let there = self.trees.local_child(parent, &name).filter(|there| self.trees.remote(*there).is_none());
                let here = there.and_then(|there| self.trees.local(there).map(|here| (there, here)));
                return here.is_some_and(|(there, here)| self.relink(there, &here).is_some());
            }
            at = parent;
        }
        false
    }
}
