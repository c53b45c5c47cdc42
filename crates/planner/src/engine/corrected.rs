//! What a comparison with the server has found to be wrong in Remote is put right, and looked at here.

use skep_types::{Change, Cursor, Kind, NodeId, NodeState};

use super::Engine;
use crate::trees::{Local, LocalContent, Trees};

/// What the server says of a node, asked for because its sum and ours differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Which node.
    pub node: NodeId,
    /// Its state; `None`: the server has never heard of it, or forgot it for good.
    pub state: Option<NodeState>,
}

impl Engine {
    /// Takes corrections that the server gave at this position; later ones count no more. Nothing is believed of what this disk shows of
    /// these nodes: it is looked at and read again, so that what is equal costs nothing and what is not is merged as ever.
    pub(super) fn corrected(&mut self, trees: &mut dyn Trees, at: Cursor, corrections: Vec<Correction>) {
        if trees.cursor() != Some(at) {
            return;
        }
        for Correction { node, state } in corrections {
            self.doubt_local(trees, node, state.as_ref());
            match state {
                Some(state) => {
                    self.observer.hint(state.place.parent, state.place.name.clone(), Change::Entry);
                    self.take_state(trees, state);
                }
                None => {
                    // What is here of it lives, and is sent as new.
                    trees.set_offered(node, false);
                    trees.set_synced(node, None);
                    trees.set_remote(node, None);
                    self.touched.insert(node);
                }
            }
        }
    }

    /// What is known of the node's bytes is not sure; nor is where it stands, nor its mode, but for what the disk has shown.
    fn doubt_local(&mut self, trees: &mut dyn Trees, node: NodeId, theirs: Option<&NodeState>) {
        self.observer.look_at(trees, node);
        let Some(local) = trees.local(node) else { return };
        if local.kind() != Kind::File || self.busy.contains(&node) {
            return;
        }
        trees.set_local(node, Some(Local { content: LocalContent::Unread, ..local }));
        if let (Some(theirs), Some(mut synced)) = (theirs, trees.synced(node))
            && synced.shown.executable == theirs.mode.executable
        {
            // What the disk showed is what the server says: nobody has changed it.
            (synced.state.mode, synced.state.mode_version) = (theirs.mode, theirs.mode_version);
            trees.set_synced(node, Some(synced));
            if let Some(local) = trees.local(node).filter(|local| local.stat.executable == theirs.mode.executable) {
                trees.set_local(node, Some(Local { mode: theirs.mode, ..local }));
            }
        }
    }
}
