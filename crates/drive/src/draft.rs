//! The drive as a commit has changed it so far: three layers of node states, read from the top.
//!
//! The layers are the store, what the accepted groups made of it, and the group at hand, which is kept or dropped whole. *Settled*
//! is what will stand in the store whatever becomes of the group at hand; only settled states leave in an answer.

use std::collections::BTreeMap;

use skep_types::{CommitId, Content, Mode, Name, NodeId, NodeState, Place, Seq, Version};

use crate::{View, ViewFailed};

/// The root directory of every drive. No entry ever changes it, so that no store needs to keep it.
pub fn root() -> NodeState {
    let version = Version { seq: Seq::START, commit: CommitId::from_bytes([0; CommitId::LEN]) };
    let name = Name::new("root").expect("the literal is a name");
    NodeState {
        node: NodeId::ROOT,
        place: Place { parent: NodeId::ROOT, name, trashed: false },
        content: Content::Directory,
        mode: Mode::default(),
        place_version: version,
        content_version: version,
        mode_version: version,
    }
}

/// What the way from a node up to the root looks like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ancestry {
    /// It ends at the root.
    Whole {
        /// So many steps; 0 for the root itself.
        depth: usize,
        /// The nearest on it, the node included, that is trashed itself.
        trashed: Option<NodeId>,
    },
    /// It comes back to itself.
    Cycle,
    /// This node on it does not exist or is no directory.
    Broken(NodeId),
}

/// The layers.
pub(crate) struct Draft<'a> {
    view: &'a dyn View,
    stored: BTreeMap<NodeId, Option<NodeState>>,
    accepted: BTreeMap<NodeId, NodeState>,
    /// Names that accepted groups took (`Some`) or left (`None`), by directory.
    names: BTreeMap<NodeId, BTreeMap<Name, Option<NodeId>>>,
    group: BTreeMap<NodeId, NodeState>,
}

impl<'a> Draft<'a> {
    /// The drive as it is stored.
    pub(crate) fn new(view: &'a dyn View) -> Draft<'a> {
        Draft {
            view,
            stored: BTreeMap::new(),
            accepted: BTreeMap::new(),
            names: BTreeMap::new(),
            group: BTreeMap::new(),
        }
    }

    /// The drive as it is stored.
    pub(crate) fn view(&self) -> &'a dyn View {
        self.view
    }

    /// A node after the operations so far.
    pub(crate) fn node(&mut self, node: NodeId) -> Result<Option<&NodeState>, ViewFailed> {
        if self.group.contains_key(&node) {
            return Ok(self.group.get(&node));
        }
        self.settled(node)
    }

    /// A node after the accepted groups.
    pub(crate) fn settled(&mut self, node: NodeId) -> Result<Option<&NodeState>, ViewFailed> {
        if self.accepted.contains_key(&node) {
            return Ok(self.accepted.get(&node));
        }
        if !self.stored.contains_key(&node) {
            let state = self.view.node(node)?;
            self.stored.insert(node, state);
        }
        Ok(self.stored.get(&node).and_then(Option::as_ref))
    }

    /// The node of that name that is not itself trashed, after the accepted groups.
    pub(crate) fn settled_child(&mut self, parent: NodeId, name: &Name) -> Result<Option<NodeId>, ViewFailed> {
        if let Some(known) = self.names.get(&parent).and_then(|names| names.get(name)) {
            return Ok(*known);
        }
        let Some(state) = self.view.child(parent, name)? else { return Ok(None) };
        let node = state.node;
        self.stored.insert(node, Some(state));
        Ok(Some(node))
    }

    /// The way from a node up to the root, after the operations so far.
    ///
    /// The settled tree has no cycle, so that a cycle passes through a node of the group at hand: meeting more of those than there
    /// are is the end of the walk.
    pub(crate) fn ancestry(&mut self, node: NodeId) -> Result<Ancestry, ViewFailed> {
        let (mut at, mut depth, mut of_group, mut trashed) = (node, 0, 0, None);
        while at != NodeId::ROOT {
            if self.group.contains_key(&at) {
                of_group += 1;
                if of_group > self.group.len() {
                    return Ok(Ancestry::Cycle);
                }
            }
            let Some(state) = self.node(at)? else { return Ok(Ancestry::Broken(at)) };
            if at != node && state.content != Content::Directory {
                return Ok(Ancestry::Broken(at));
            }
            if state.place.trashed && trashed.is_none() {
                trashed = Some(at);
            }
            at = state.place.parent;
            depth += 1;
        }
        Ok(Ancestry::Whole { depth, trashed })
    }

    /// Whether `node` lies strictly beneath `above`, after the operations so far.
    pub(crate) fn is_below(&mut self, node: NodeId, above: NodeId) -> Result<bool, ViewFailed> {
        let (mut at, mut of_group) = (node, 0);
        while at != NodeId::ROOT && of_group <= self.group.len() {
            of_group += usize::from(self.group.contains_key(&at));
            let Some(state) = self.node(at)? else { return Ok(false) };
            at = state.place.parent;
            if at == above {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sets a node in the group at hand.
    pub(crate) fn put(&mut self, state: NodeState) {
        self.group.insert(state.node, state);
    }

    /// Forgets the group at hand.
    pub(crate) fn drop_group(&mut self) {
        self.group.clear();
    }

    /// Settles the group at hand. Names are left before they are taken, as one node may take what another leaves.
    pub(crate) fn keep_group(&mut self) -> Result<(), ViewFailed> {
        let group = std::mem::take(&mut self.group);
        for node in group.keys() {
            if let Some(Place { parent, name, trashed: false }) = self.settled(*node)?.map(|state| state.place.clone())
            {
                self.names.entry(parent).or_default().insert(name, None);
            }
        }
        for (node, state) in group {
            if !state.place.trashed {
                let names = self.names.entry(state.place.parent).or_default();
                names.insert(state.place.name.clone(), Some(node));
            }
            self.accepted.insert(node, state);
        }
        Ok(())
    }
}
