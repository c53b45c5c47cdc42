//! One group: all operations on the draft, then the end state is judged as a whole, so that swaps and cycles of names pass.

use std::collections::BTreeMap;

use skep_types::{Content, Group, GroupResult, Name, NodeId, NodeState, Operation, Reject};

use crate::ViewFailed;
use crate::decide::Progress;
use crate::draft::Ancestry;
use crate::operation::{Apply, Stop, Work};

/// Decides one group, and settles it if it is accepted.
pub(crate) fn decide(progress: &mut Progress<'_>, group: &Group) -> Result<GroupResult, ViewFailed> {
    let work = Work::new(group, &progress.aliases);
    let mut apply = Apply { progress, work };
    let judged = group.0.iter().try_for_each(|operation| apply.apply(operation)).and_then(|()| apply.check_end_state());
    let Apply { progress, work } = apply;
    match judged {
        Ok(()) => {
            progress.draft.keep_group()?;
            progress.entries.extend(work.entries);
            progress.moved.extend(work.placed.iter().filter(|node| !work.created.contains(node)));
            let Some((alias, standing)) = work.alias else { return Ok(GroupResult::Accepted) };
            progress.aliases.insert(alias, standing);
            Ok(GroupResult::AcceptedAs(standing))
        }
        Err(Stop::Refused(reject)) => {
            progress.draft.drop_group();
            let creates = |operation: &&Operation| matches!(operation, Operation::Create { .. });
            progress.refused.extend(group.0.iter().filter(creates).map(Operation::node));
            Ok(GroupResult::Rejected(reject))
        }
        Err(Stop::Failed(failed)) => Err(failed),
    }
}

impl Apply<'_, '_> {
    /// Judges what the group has made of the nodes that it touched.
    fn check_end_state(&mut self) -> Result<(), Stop> {
        let placed = std::mem::take(&mut self.work.placed);
        for node in &placed {
            self.check_parent(*node)?;
        }
        self.check_names(&placed)?;
        self.work.placed = placed;
        let edited = std::mem::take(&mut self.work.edited);
        for node in &edited {
            if let Ancestry::Whole { trashed: Some(by), .. } = self.progress.draft.ancestry(*node)? {
                return Err(Reject::InTrash(by).into());
            }
        }
        self.work.edited = edited;
        Ok(())
    }

    /// The node stands in a directory that leads up to the root; in a live one, unless it is trashed itself.
    ///
    /// What stands beneath a moved directory is not counted for the depth: that would make a move cost as much as what it moves.
    fn check_parent(&mut self, node: NodeId) -> Result<(), Stop> {
        let end = self.end(node)?;
        let (parent, is_directory) = (end.place.parent, end.content == Content::Directory);
        match self.progress.draft.node(parent)? {
            Some(state) if state.content == Content::Directory => {}
            None if self.progress.refused.contains(&parent) => return Err(Reject::Depends(parent).into()),
            _ => return Err(Reject::BadParent(parent).into()),
        }
        let depth = match self.progress.draft.ancestry(parent)? {
            Ancestry::Cycle => return Err(Reject::Cycle(node).into()),
            Ancestry::Broken(at) => return Err(Reject::BadParent(at).into()),
            Ancestry::Whole { .. } if end.place.trashed => return Ok(()),
            Ancestry::Whole { trashed: Some(by), .. } => return Err(Reject::InTrash(by).into()),
            Ancestry::Whole { depth, .. } => depth + usize::from(is_directory),
        };
        let stays = self.progress.draft.settled(node)?.is_some_and(|state| state.place.parent == parent);
        if depth > self.progress.limits.depth_max && !stays {
            return Err(Reject::Invalid(node).into());
        }
        Ok(())
    }

    /// No live node that was placed has the name of another one.
    fn check_names(&mut self, placed: &[NodeId]) -> Result<(), Stop> {
        let mut taken: BTreeMap<(NodeId, Name), NodeId> = BTreeMap::new();
        for node in placed {
            let place = self.end(*node)?.place;
            if place.trashed {
                continue;
            }
            if let Some(occupant) = self.progress.draft.settled_child(place.parent, &place.name)?
                && occupant != *node
                && self.end(occupant)?.place == place
            {
                return Err(self.name_taken(*node, occupant)?);
            }
            if taken.insert((place.parent, place.name), *node).is_some_and(|other| other != *node) {
                return Err(Reject::Invalid(*node).into());
            }
        }
        Ok(())
    }

    /// A node after the group.
    fn end(&mut self, node: NodeId) -> Result<NodeState, Stop> {
        Ok(self.progress.draft.node(node)?.cloned().ok_or(Reject::UnknownNode(node))?)
    }
}
