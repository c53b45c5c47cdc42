//! One operation on the draft: whether it still fits the node, and what it makes of it.
//!
//! The end state of the whole group is not looked at here; see [`crate::group`].

use std::collections::{BTreeMap, BTreeSet};

use skep_types::{
    Content, DeviceId, Entry, FieldGroups, Group, Mode, Name, NodeId, NodeState, Operation, Place, Reject, Seq, Version,
};

use crate::ViewFailed;
use crate::decide::Progress;
use crate::draft::Ancestry;
use crate::valid;

/// Why a group ends early.
pub(crate) enum Stop {
    /// The group is refused.
    Refused(Reject),
    /// The store failed, and the whole commit with it.
    Failed(ViewFailed),
}

impl From<Reject> for Stop {
    fn from(reject: Reject) -> Stop {
        Stop::Refused(reject)
    }
}

impl From<ViewFailed> for Stop {
    fn from(failed: ViewFailed) -> Stop {
        Stop::Failed(failed)
    }
}

/// What a group has come to so far.
#[derive(Default)]
pub(crate) struct Work {
    /// One for each operation that changed something.
    pub(crate) entries: Vec<Entry>,
    /// A directory that it creates, and the one that stood there already.
    pub(crate) alias: Option<(NodeId, NodeId)>,
    /// Nodes whose place it set, in order.
    pub(crate) placed: Vec<NodeId>,
    /// Nodes whose content or mode it set, in order.
    pub(crate) edited: Vec<NodeId>,
    /// Nodes that leave their place, by an operation of this group that may be still to come.
    leaving: BTreeSet<NodeId>,
    /// Nodes that it creates.
    pub(crate) created: BTreeSet<NodeId>,
}

impl Work {
    /// Nothing done of `group` yet.
    pub(crate) fn new(group: &Group, aliases: &BTreeMap<NodeId, NodeId>) -> Work {
        let leaves = |operation: &&Operation| matches!(operation, Operation::Move { .. } | Operation::Trash { .. });
        let real = |operation: &Operation| aliases.get(&operation.node()).copied().unwrap_or(operation.node());
        let leaving = group.0.iter().filter(leaves).map(real).collect();
        Work { leaving, ..Work::default() }
    }
}

/// One group at work.
pub(crate) struct Apply<'p, 'a> {
    /// The commit.
    pub(crate) progress: &'p mut Progress<'a>,
    /// The group.
    pub(crate) work: Work,
}

impl Apply<'_, '_> {
    /// Applies one operation to the draft.
    pub(crate) fn apply(&mut self, operation: &Operation) -> Result<(), Stop> {
        let node = self.real(operation.node());
        if node == NodeId::ROOT {
            return Err(Reject::Invalid(node).into());
        }
        match operation {
            Operation::Create { parent, name, content, mode, .. } => {
                let place = Place { parent: self.real(*parent), name: name.clone(), trashed: false };
                self.create(node, place, content, *mode)
            }
            Operation::Move { base, parent, name, .. } => {
                let place = Place { parent: self.real(*parent), name: name.clone(), trashed: false };
                self.place(node, *base, place)
            }
            Operation::Edit { base, content, .. } => self.edit(node, *base, content),
            Operation::SetMode { base, mode, .. } => self.set_mode(node, *base, *mode),
            Operation::Trash { base, seen, .. } => self.trash(node, *base, *seen),
        }
    }

    fn create(&mut self, node: NodeId, place: Place, content: &Content, mode: Mode) -> Result<(), Stop> {
        if let Some(state) = self.progress.draft.node(node)?.cloned() {
            let already_so = state.place == place && state.content == *content && state.mode == mode;
            if already_so || self.was_made(&state, |changed| changed.place)? {
                return Ok(());
            }
            // Two devices may make one recovered directory: the later one goes on from what became of it.
            let same_kind = state.kind() == content.kind();
            return Err(if same_kind { self.changed(node)? } else { Reject::Invalid(node).into() });
        }
        let fits = valid::content_fits(content, self.progress.limits)
            && valid::mode_fits(mode, content)
            && valid::place_fits(place.parent, &place.name);
        if !fits {
            return Err(Reject::Invalid(node).into());
        }
        if *content == Content::Directory
            && let Some(standing) = self.standing_directory(place.parent, &place.name)?
        {
            return self.stand_for(node, standing);
        }
        self.work.created.insert(node);
        let version = self.next_version();
        self.put(
            NodeState {
                node,
                place,
                content: content.clone(),
                mode,
                place_version: version,
                content_version: version,
                mode_version: version,
            },
            FieldGroups::ALL,
        );
        Ok(())
    }

    /// The live directory of that name, unless this group moves it away.
    fn standing_directory(&mut self, parent: NodeId, name: &Name) -> Result<Option<NodeId>, Stop> {
        let Some(standing) = self.progress.draft.settled_child(parent, name)? else { return Ok(None) };
        if self.work.leaving.contains(&standing) {
            return Ok(None);
        }
        let is_directory = self.progress.draft.node(standing)?.is_some_and(|state| state.content == Content::Directory);
        let is_live = matches!(self.progress.draft.ancestry(standing)?, Ancestry::Whole { trashed: None, .. });
        Ok((is_directory && is_live).then_some(standing))
    }

    /// Reads `node` as `standing` from here on. An answer has room for one such directory a group.
    fn stand_for(&mut self, node: NodeId, standing: NodeId) -> Result<(), Stop> {
        if self.work.alias.is_some() {
            return Err(self.name_taken(node, standing)?);
        }
        self.work.alias = Some((node, standing));
        Ok(())
    }

    fn place(&mut self, node: NodeId, base: Version, place: Place) -> Result<(), Stop> {
        let state = self.existing(node)?;
        if state.place == place {
            return Ok(());
        }
        if !self.may_replace(&state, state.place_version, base, |changed| changed.place)? {
            return Ok(());
        }
        if !valid::place_fits(place.parent, &place.name) {
            return Err(Reject::Invalid(node).into());
        }
        let place_version = self.next_version();
        let changed = FieldGroups { place: true, ..FieldGroups::default() };
        self.put(NodeState { place, place_version, ..state }, changed);
        Ok(())
    }

    fn edit(&mut self, node: NodeId, base: Version, content: &Content) -> Result<(), Stop> {
        let state = self.existing(node)?;
        if state.content == *content {
            return Ok(());
        }
        if state.kind() != content.kind() || !valid::content_fits(content, self.progress.limits) {
            return Err(Reject::Invalid(node).into());
        }
        if !self.may_replace(&state, state.content_version, base, |changed| changed.content)? {
            return Ok(());
        }
        let content_version = self.next_version();
        let changed = FieldGroups { content: true, ..FieldGroups::default() };
        self.put(NodeState { content: content.clone(), content_version, ..state }, changed);
        Ok(())
    }

    fn set_mode(&mut self, node: NodeId, base: Version, mode: Mode) -> Result<(), Stop> {
        let state = self.existing(node)?;
        if state.mode == mode {
            return Ok(());
        }
        if !valid::mode_fits(mode, &state.content) {
            return Err(Reject::Invalid(node).into());
        }
        if !self.may_replace(&state, state.mode_version, base, |changed| changed.mode)? {
            return Ok(());
        }
        let mode_version = self.next_version();
        let changed = FieldGroups { mode: true, ..FieldGroups::default() };
        self.put(NodeState { mode, mode_version, ..state }, changed);
        Ok(())
    }

    fn trash(&mut self, node: NodeId, base: Version, seen: Seq) -> Result<(), Stop> {
        let state = self.existing(node)?;
        if state.place.trashed
            || matches!(self.progress.draft.ancestry(node)?, Ancestry::Whole { trashed: Some(_), .. })
        {
            return Ok(());
        }
        if !self.may_replace(&state, state.place_version, base, |changed| changed.place)? {
            return Ok(());
        }
        // Whoever deletes must have seen what is deleted: an edit that this device has not seen outlives the deletion.
        if is_news(state.content_version, seen, self.progress.device)
            || is_news(state.mode_version, seen, self.progress.device)
        {
            return Err(self.changed(node)?);
        }
        if state.content == Content::Directory && self.changed_below(node, seen)? {
            return Err(Reject::ChangedBelow(node).into());
        }
        let place = Place { trashed: true, ..state.place.clone() };
        let place_version = self.next_version();
        let changed = FieldGroups { place: true, ..FieldGroups::default() };
        self.put(NodeState { place, place_version, ..state }, changed);
        Ok(())
    }

    /// Whether another device's entry after `seen` lies beneath a directory, in the store or beneath it by a move of this commit.
    fn changed_below(&mut self, directory: NodeId, seen: Seq) -> Result<bool, Stop> {
        let (view, device) = (self.progress.draft.view(), self.progress.device);
        if view.changed_below(directory, seen, device)? {
            return Ok(true);
        }
        let moved: Vec<NodeId> = self.progress.moved.iter().chain(&self.work.placed).copied().collect();
        for node in moved {
            let Some(state) = self.progress.draft.node(node)? else { continue };
            let changed = [state.place_version, state.content_version, state.mode_version]
                .iter()
                .any(|version| is_news(*version, seen, device));
            let may_hide = state.content == Content::Directory;
            if (changed || may_hide)
                && self.progress.draft.is_below(node, directory)?
                && (changed || view.changed_below(node, seen, device)?)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a field group at `current` may be replaced by an operation based on `base`; `false` if this very operation was done
    /// before, when the commit was sent the first time.
    fn may_replace(
        &mut self,
        state: &NodeState,
        current: Version,
        base: Version,
        group: impl Fn(FieldGroups) -> bool,
    ) -> Result<bool, Stop> {
        let of_this_decision = current.commit == self.progress.commit && current.seq > self.progress.head;
        if current == base || of_this_decision {
            return Ok(true);
        }
        if self.was_made(state, group)? {
            return Ok(false);
        }
        Err(self.changed(state.node)?)
    }

    /// Whether the journal holds that field group of the node by this commit, sent before.
    fn was_made(&mut self, state: &NodeState, group: impl Fn(FieldGroups) -> bool) -> Result<bool, Stop> {
        Ok(group(self.progress.draft.view().made(state.node, self.progress.commit)?))
    }

    /// The node that an operation changes.
    fn existing(&mut self, node: NodeId) -> Result<NodeState, Stop> {
        match self.progress.draft.node(node)? {
            Some(state) => Ok(state.clone()),
            None if self.progress.refused.contains(&node) => Err(Reject::Depends(node).into()),
            None => Err(Reject::UnknownNode(node).into()),
        }
    }

    /// The refusal that shows the node as it stands.
    fn changed(&mut self, node: NodeId) -> Result<Stop, Stop> {
        match self.progress.draft.settled(node)? {
            Some(state) => Ok(Reject::Changed(Box::new(state.clone())).into()),
            // It was created by this same group, which is at odds with itself.
            None => Ok(Reject::Invalid(node).into()),
        }
    }

    /// The refusal that shows who has the name.
    pub(crate) fn name_taken(&mut self, node: NodeId, by: NodeId) -> Result<Stop, Stop> {
        match self.progress.draft.settled(by)? {
            Some(state) => Ok(Reject::NameTaken(Box::new(state.clone())).into()),
            None => Ok(Reject::Invalid(node).into()),
        }
    }

    /// The id that an id of the commit stands for.
    fn real(&self, node: NodeId) -> NodeId {
        match self.work.alias {
            Some((alias, standing)) if alias == node => standing,
            _ => self.progress.aliases.get(&node).copied().unwrap_or(node),
        }
    }

    fn next_version(&self) -> Version {
        let seq = Seq(self.progress.last().0 + self.work.entries.len() as u64).next();
        Version { seq, commit: self.progress.commit }
    }

    /// Sets the node in the draft and writes the entry.
    fn put(&mut self, state: NodeState, changed: FieldGroups) {
        let touched = if changed.place { &mut self.work.placed } else { &mut self.work.edited };
        touched.push(state.node);
        let version = self.next_version();
        let time = self.progress.now;
        self.work.entries.push(Entry { seq: version.seq, commit: version.commit, time, changed, state: state.clone() });
        self.progress.draft.put(state);
    }
}

/// Whether a version is another device's and later than `seen`.
fn is_news(version: Version, seen: Seq, device: DeviceId) -> bool {
    version.seq > seen && version.commit.device() != device
}
