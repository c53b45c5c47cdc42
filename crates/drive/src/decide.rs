//! From a commit and the drive's state to journal entries.

use skep_types::{Commit, CommitReply, ContentId, DeviceId, Entry, Limits, Name, NodeId, NodeState, Seq, Timestamp};

/// The store could not be read; the store's own error says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the drive could not be read")]
pub struct ViewFailed;

/// One drive as it stands, within one transaction.
pub trait View {
    /// The end of the journal.
    fn head(&self) -> Result<Seq, ViewFailed>;
    /// A node, live or trashed. The root is there always.
    fn node(&self, node: NodeId) -> Result<Option<NodeState>, ViewFailed>;
    /// The node of that name in that directory that is not itself trashed.
    fn child(&self, parent: NodeId, name: &Name) -> Result<Option<NodeState>, ViewFailed>;
    /// Whether a node strictly beneath `node` (through nodes that are not themselves trashed) has an entry after `seen` by another
    /// device than `device`.
    fn changed_below(&self, node: NodeId, seen: Seq, device: DeviceId) -> Result<bool, ViewFailed>;
    /// Whether this drive holds all bytes of that content.
    fn holds(&self, content: &ContentId) -> Result<bool, ViewFailed>;
}

/// What a commit comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub reply: CommitReply,
    /// What to append to the journal, in order, from the position after the head.
    pub entries: Vec<Entry>,
}

/// Decides `commit` by `device` at `now`.
pub fn decide(
    commit: &Commit,
    device: DeviceId,
    now: Timestamp,
    view: &dyn View,
    limits: &Limits,
) -> Result<Decision, ViewFailed> {
    let _ = (commit, device, now, view, limits);
    Err(ViewFailed)
}
