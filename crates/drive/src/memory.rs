//! A drive in memory: the plain meaning of [`View`], for tests and models.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{
    Commit, CommitId, ContentId, DeviceId, Entry, FieldGroups, Limits, Name, NodeId, NodeState, Seq, Timestamp,
};

use crate::{Decision, View, ViewFailed, decide, root};

/// A drive that starts empty. It holds every content but those that it is told to lack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryDrive {
    nodes: BTreeMap<NodeId, NodeState>,
    /// Between the entries of one commit two nodes may have one name.
    names: BTreeMap<NodeId, BTreeMap<Name, BTreeSet<NodeId>>>,
    journal: Vec<Entry>,
    lacking: BTreeSet<ContentId>,
}

impl MemoryDrive {
    /// An empty drive.
    pub fn new() -> MemoryDrive {
        MemoryDrive::default()
    }

    /// Decides a commit of the device that its id names, and appends what it comes to.
    pub fn commit(&mut self, commit: &Commit, now: Timestamp, limits: &Limits) -> Decision {
        let decision = decide(commit, commit.id.device(), now, self, limits).expect("memory can be read");
        self.append(&decision.entries);
        decision
    }

    /// Appends the entries of whole commits.
    ///
    /// # Panics
    /// If they do not start at the position after the head.
    pub fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            assert_eq!(entry.seq.0, self.journal.len() as u64 + 1, "the journal has a gap");
            let (node, new) = (entry.state.node, &entry.state.place);
            if let Some(old) = self.nodes.insert(node, entry.state.clone()).map(|state| state.place)
                && let Some(nodes) = self.names.get_mut(&old.parent).and_then(|names| names.get_mut(&old.name))
            {
                nodes.remove(&node);
            }
            if !new.trashed {
                self.names.entry(new.parent).or_default().entry(new.name.clone()).or_default().insert(node);
            }
            self.journal.push(entry.clone());
        }
    }

    /// Forgets nodes for good, with nothing left that tells of them but the journal.
    pub fn forget(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            if let Some(state) = self.nodes.remove(node)
                && let Some(named) =
                    self.names.get_mut(&state.place.parent).and_then(|names| names.get_mut(&state.place.name))
            {
                named.remove(node);
            }
        }
    }

    /// From now on the drive does not hold this content.
    pub fn lack(&mut self, content: ContentId) {
        self.lacking.insert(content);
    }

    /// From now on the drive holds this content.
    pub fn hold(&mut self, content: ContentId) {
        self.lacking.remove(&content);
    }

    /// All nodes but the root, by id, trashed ones too.
    pub fn nodes(&self) -> &BTreeMap<NodeId, NodeState> {
        &self.nodes
    }

    /// The whole journal, in order.
    pub fn journal(&self) -> &[Entry] {
        &self.journal
    }

    /// The children of a directory that are not themselves trashed, by name.
    pub fn children(&self, parent: NodeId) -> Vec<&NodeState> {
        let names = self.names.get(&parent).into_iter().flatten();
        names.flat_map(|(_, nodes)| nodes).filter_map(|node| self.nodes.get(node)).collect()
    }
}

impl View for MemoryDrive {
    fn head(&self) -> Result<Seq, ViewFailed> {
        Ok(Seq(self.journal.len() as u64))
    }

    fn node(&self, node: NodeId) -> Result<Option<NodeState>, ViewFailed> {
        Ok(if node == NodeId::ROOT { Some(root()) } else { self.nodes.get(&node).cloned() })
    }

    fn child(&self, parent: NodeId, name: &Name) -> Result<Option<NodeState>, ViewFailed> {
        let child = self.names.get(&parent).and_then(|names| names.get(name)?.first());
        Ok(child.and_then(|node| self.nodes.get(node)).cloned())
    }

    fn changed_below(&self, node: NodeId, seen: Seq, device: DeviceId) -> Result<bool, ViewFailed> {
        let later = self.journal.iter().rev().take_while(|entry| entry.seq > seen);
        let foreign = later.filter(|entry| entry.commit.device() != device);
        Ok(foreign.map(|entry| entry.state.node).any(|changed| self.is_live_below(changed, node)))
    }

    fn made(&self, node: NodeId, commit: CommitId) -> Result<FieldGroups, ViewFailed> {
        let entries = self.journal.iter().filter(|entry| entry.commit == commit && entry.state.node == node);
        Ok(entries.fold(FieldGroups::default(), |made, entry| FieldGroups {
            place: made.place || entry.changed.place,
            content: made.content || entry.changed.content,
            mode: made.mode || entry.changed.mode,
        }))
    }

    fn holds(&self, content: &ContentId) -> Result<bool, ViewFailed> {
        Ok(!self.lacking.contains(content))
    }
}

impl MemoryDrive {
    /// Whether `node` lies strictly beneath `above` and nothing on the way, `above` excluded, is trashed itself.
    fn is_live_below(&self, node: NodeId, above: NodeId) -> bool {
        let mut at = node;
        while let Some(state) = self.nodes.get(&at).filter(|state| !state.place.trashed) {
            at = state.place.parent;
            if at == above {
                return true;
            }
        }
        false
    }
}
