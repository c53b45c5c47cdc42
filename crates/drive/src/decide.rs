//! From a commit and the drive's state to journal entries.

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{
    Commit, CommitId, CommitReply, ContentId, DeviceId, Entry, FieldGroups, Group, GroupResult, Limits, Name, NodeId,
    NodeState, Operation, Reject, Seq, Timestamp,
};

use crate::draft::Draft;
use crate::group;

/// The store could not be read; the store's own error says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the drive could not be read")]
pub struct ViewFailed;

/// One drive as it stands, within one transaction.
pub trait View {
    /// The end of the journal.
    fn head(&self) -> Result<Seq, ViewFailed>;
    /// A node, live or trashed. The root is there always: [`crate::root`].
    fn node(&self, node: NodeId) -> Result<Option<NodeState>, ViewFailed>;
    /// The node of that name in that directory that is not itself trashed.
    fn child(&self, parent: NodeId, name: &Name) -> Result<Option<NodeState>, ViewFailed>;
    /// Whether a node strictly beneath `node` (through nodes that are not themselves trashed) has an entry after `seen` by another
    /// device than `device`.
    fn changed_below(&self, node: NodeId, seen: Seq, device: DeviceId) -> Result<bool, ViewFailed>;
    /// Which field groups of `node` were ever set by `commit`, whatever came after it: how a commit that is sent again is known.
    fn made(&self, node: NodeId, commit: CommitId) -> Result<FieldGroups, ViewFailed>;
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
///
/// Either contents are missing and nothing happens, or each group is decided in order, on the drive as the accepted groups before
/// it have left it. The caller appends the entries in the transaction in which `view` reads, and has checked the commit's size.
pub fn decide(
    commit: &Commit,
    device: DeviceId,
    now: Timestamp,
    view: &dyn View,
    limits: &Limits,
) -> Result<Decision, ViewFailed> {
    let head = view.head()?;
    if commit.id.device() != device {
        // A version tells its device by the commit id: one made up would blame another.
        let refuse = |group: &Group| {
            let node = group.0.first().map_or(NodeId::ROOT, Operation::node);
            GroupResult::Rejected(Reject::Invalid(node))
        };
        let results = commit.groups.iter().map(refuse).collect();
        return Ok(Decision { reply: CommitReply::Decided { head, results }, entries: Vec::new() });
    }
    if let Some(reply) = missing(commit, view)? {
        return Ok(Decision { reply, entries: Vec::new() });
    }
    let mut progress = Progress {
        commit: commit.id,
        device,
        now,
        limits,
        head,
        draft: Draft::new(view),
        entries: Vec::new(),
        aliases: BTreeMap::new(),
        refused: BTreeSet::new(),
        moved: Vec::new(),
    };
    let mut results = Vec::with_capacity(commit.groups.len());
    for group in &commit.groups {
        results.push(group::decide(&mut progress, group)?);
    }
    let head = progress.last();
    Ok(Decision { reply: CommitReply::Decided { head, results }, entries: progress.entries })
}

/// What the groups of one commit have come to so far.
pub(crate) struct Progress<'a> {
    /// The commit that is decided.
    pub(crate) commit: CommitId,
    /// Whose it is.
    pub(crate) device: DeviceId,
    /// For the entries.
    pub(crate) now: Timestamp,
    /// The bounds.
    pub(crate) limits: &'a Limits,
    /// The journal's end before this commit.
    pub(crate) head: Seq,
    /// The drive with the accepted groups done.
    pub(crate) draft: Draft<'a>,
    /// Made by the accepted groups.
    pub(crate) entries: Vec<Entry>,
    /// Directories of the commit that stood there already, by the id that the commit gives them.
    pub(crate) aliases: BTreeMap<NodeId, NodeId>,
    /// Nodes whose creation was refused.
    pub(crate) refused: BTreeSet<NodeId>,
    /// Nodes that accepted groups have moved.
    pub(crate) moved: Vec<NodeId>,
}

impl Progress<'_> {
    /// The journal's end after the accepted groups.
    pub(crate) fn last(&self) -> Seq {
        Seq(self.head.0 + self.entries.len() as u64)
    }
}

/// The answer that lists what the drive lacks of the commit's content, in the order in which the commit names it.
fn missing(commit: &Commit, view: &dyn View) -> Result<Option<CommitReply>, ViewFailed> {
    let (mut chunks, mut lists) = (Vec::new(), Vec::new());
    let mut asked = BTreeSet::new();
    let operations = commit.groups.iter().flat_map(|group| &group.0);
    for (operation, file) in operations.filter_map(|operation| Some((operation, operation.content()?.file()?))) {
        if file.id == ContentId::Empty || asked.contains(&file.id) || view.holds(&file.id)? {
            continue;
        }
        // Whose bytes stay as they are is not asked for them: a touch must not hang on content that was damaged here.
        if view.node(operation.node())?.is_some_and(|node| node.content.file().is_some_and(|now| now.id == file.id)) {
            continue;
        }
        asked.insert(file.id);
        match file.id {
            ContentId::Empty => {}
            ContentId::Chunk(chunk) => chunks.push(chunk),
            ContentId::List(list) => lists.push(list),
        }
    }
    let lacks = !chunks.is_empty() || !lists.is_empty();
    Ok(lacks.then_some(CommitReply::Missing { chunks, lists }))
}
