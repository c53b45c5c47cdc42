//! What came of commits and batches.

use skep_types::{Change, CommitId, CommitReply, Content, GroupResult, Kind, Name, NodeId, NodeState, Place, Stat};

use super::Engine;
use super::hold::Trouble;
use crate::ignore::is_ignore_file;
use crate::observe::{Displaced, Findings};
use crate::plan::Purpose;
use crate::trees::{LIMBO, Local, LocalContent, Synced, Trees};
use crate::{ApplyError, ApplyKind, ApplyResult, BatchId, CommitFailure, Effect};

impl Engine {
    /// The drive's answer to a commit, or why there is none.
    pub(super) fn committed(
        &mut self,
        trees: &mut dyn Trees,
        commit: CommitId,
        result: Result<CommitReply, CommitFailure>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(under_way) = self.commits.remove(&commit) else { return };
        let nodes: Vec<NodeId> = under_way.groups.iter().flatten().copied().collect();
        match result {
            Ok(CommitReply::Decided { head, results }) => {
                for (group, result) in under_way.groups.iter().zip(results) {
                    self.group_decided(trees, group.iter().copied(), &result);
                }
                // The reasons, good or bad, are in the journal up to there: until it was taken, nothing is planned anew.
                self.releases.entry(head).or_default().extend(nodes);
                self.head = self.head.max(head);
                let taken = trees.cursor().map(|cursor| cursor.seq).unwrap_or_default();
                self.release(taken);
                if !self.connected {
                    self.pull_if_behind(trees, effects);
                }
            }
            // The client sends what is missing by itself; if it could not, it is planned anew.
            Ok(CommitReply::Missing { .. }) | Err(CommitFailure::Unreachable) => {
                self.send_after_ms = self.at_ms + self.limits.retry_first_ms;
                self.free(nodes);
            }
            Err(CommitFailure::SourcesChanged(changed)) => {
                for node in changed {
                    if let Some(local) = trees.local(node) {
                        self.observer.hint(local.parent, local.name.clone(), Change::Entry);
                        trees.set_local(node, Some(Local { content: LocalContent::Unread, ..local }));
                    }
                    self.holds.surprised(node, self.now, self.at_ms);
                }
                self.free(nodes);
            }
            Err(CommitFailure::Refused { code, message, temporary }) => {
                // Where there is no room for content, what brings none goes on: deletions above all.
                let is_full = matches!(code, "E-NO-SPACE" | "E-QUOTA") && !under_way.bringing.is_empty();
                let blamed = if is_full { under_way.bringing.into_iter().collect() } else { nodes.clone() };
                self.refused(&blamed, code, message, temporary);
                self.free(nodes);
            }
        }
    }

    fn group_decided(&mut self, trees: &mut dyn Trees, nodes: impl Iterator<Item = NodeId>, result: &GroupResult) {
        for node in nodes {
            match result {
                GroupResult::Accepted | GroupResult::AcceptedAs(_) => self.holds.forget(node),
                GroupResult::Rejected(_) => {
                    if trees.remote(node).is_none() {
                        trees.set_offered(node, false);
                    }
                    self.holds.surprised(node, self.now, self.at_ms);
                }
            }
        }
    }

    fn refused(&mut self, nodes: &[NodeId], code: &'static str, message: String, temporary: bool) {
        if temporary {
            self.send_after_ms = self.at_ms + self.limits.retry_max_ms / 10;
        }
        let trouble = Trouble {
            code,
            message: "was refused by the server",
            hint: "See what the server says; it is tried again by itself",
            needs_person: !temporary,
        };
        for node in nodes {
            self.holds.problem(*node, trouble, message.clone(), self.now, self.at_ms);
        }
    }

    /// What came of a batch, operation by operation.
    pub(super) fn applied(
        &mut self,
        trees: &mut dyn Trees,
        batch: BatchId,
        results: Vec<ApplyResult>,
        findings: &mut Findings,
        effects: &mut Vec<Effect>,
    ) {
        let Some(under_way) = self.batches.remove(&batch) else { return };
        self.observer.thaw(&under_way.places);
        for (dir, name) in under_way.places.iter().filter(|(_, name)| is_ignore_file(name)) {
            self.observer.hint(*dir, name.clone(), Change::Entry);
        }
        self.count_traffic(trees);
        let mut look_again = false;
        for ((operation, purpose), result) in under_way.operations.into_iter().zip(results) {
            let node = operation.node;
            if let Purpose::Copy { copy, .. } = &purpose {
                self.free([*copy]);
            }
            self.free([node]);
            match result {
                Ok(stat) => {
                    self.holds.forget(node);
                    effects.extend(self.displaced(trees, node, &operation.kind));
                    self.done(trees, node, operation.kind, purpose, stat, findings);
                }
                Err(error) => {
                    // Whatever failed after the bytes were there may have failed after the rename, too.
                    look_again |= !matches!(error, ApplyError::Unreachable | ApplyError::MissingContent);
                    if error == ApplyError::NotEmpty {
                        self.observer.look_anew(node);
                    }
                    let filters = &self.observer.filters;
                    let is_meant = |name: &Name| operation.places().any(|at| at.name == *name);
                    let is_in_the_way =
                        |(dir, name): &(NodeId, Name)| is_meant(name) && filters.is_ignored_entry(*dir, name);
                    if error == ApplyError::Changed && under_way.places.iter().any(is_in_the_way) {
                        self.holds.in_the_way(node, self.now, self.at_ms);
                    } else {
                        self.holds.not_applied(node, error, self.now, self.at_ms);
                    }
                }
            }
        }
        if look_again {
            for (dir, name) in under_way.places {
                self.observer.hint(dir, name, Change::Entry);
            }
        }
    }

    /// If the operation displaced a file: what there may be to look after.
    fn displaced(&mut self, trees: &dyn Trees, node: NodeId, kind: &ApplyKind) -> Option<Effect> {
        let (ApplyKind::Replace { expected, .. } | ApplyKind::Remove { expected, .. }) = kind else { return None };
        let local = trees.local(node)?;
        let content = self.observer.damage(node).or_else(|| Some(local.file()?.id))?;
        let displaced = Displaced { expected: *expected, content, at_ms: self.at_ms };
        self.observer.displaced(local.parent, &local.name, displaced)
    }

    /// An operation was carried out: the trees say so.
    fn done(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        kind: ApplyKind,
        purpose: Purpose,
        stat: Option<Stat>,
        findings: &mut Findings,
    ) {
        match (purpose, stat) {
            (Purpose::Leave, _) => {
                // It was empty: what Local still has in it was taken out unseen.
                for (_, child) in trees.local_children(node) {
                    self.observer.displace(trees, child, findings);
                }
                // The directory may have stayed for that only.
                findings.touched.extend(trees.local(node).map(|local| local.parent));
                trees.set_local(node, None);
                self.observer.forget_damage(trees, node);
            }
            (Purpose::Become(state), Some(stat)) => self.became(trees, *state, &kind, stat, findings),
            (Purpose::Place { parent, agreed }, Some(stat)) => {
                let (ApplyKind::Rename { to, .. }, Some(local)) = (kind, trees.local(node)) else { return };
                self.make_way(trees, parent, &to.name, node, findings);
                if local.kind() == Kind::Directory && !self.observer.filters.rules_stay(trees, node, parent) {
                    self.observer.look_anew(node);
                }
                let (from_dir, from) = (local.parent, local.name.clone());
                let local = self.observer.renamed_here(trees, node, local, (parent, to.name), stat);
                // The server may have moved it on meanwhile: then this is the place from which it went.
                if let (Some(place_version), Some(mut synced)) = (agreed, trees.synced(node)) {
                    let name = local.name.clone();
                    synced.state.place = Place { parent, name, trashed: false };
                    synced.state.place_version = place_version;
                    trees.set_synced(node, Some(synced));
                }
                self.stands(trees, node, local, findings);
                self.observer.took(trees, node, from_dir, &from);
            }
            (Purpose::Copy { copy, parent }, Some(stat)) => {
                let (ApplyKind::Rename { to, .. }, Some(local)) = (kind, trees.local(node)) else { return };
                self.make_way(trees, parent, &to.name, copy, findings);
                let (from_dir, from) = (local.parent, local.name.clone());
                let local = self.observer.renamed_here(trees, node, local, (parent, to.name), stat);
                trees.set_local(node, None);
                self.stands(trees, copy, local, findings);
                self.observer.took(trees, copy, from_dir, &from);
            }
            // Done, but gone again before it could be examined: the watcher tells the rest.
            (_, None) => {}
        }
    }

    /// The node is here as the server has it.
    fn became(
        &mut self,
        trees: &mut dyn Trees,
        state: NodeState,
        kind: &ApplyKind,
        stat: Stat,
        findings: &mut Findings,
    ) {
        let node = state.node;
        let mode = match kind {
            ApplyKind::Create { mode, .. } | ApplyKind::Replace { mode, .. } | ApplyKind::Touch { mode, .. } => *mode,
            _ => state.mode,
        };
        let (parent, name) = match trees.local(node) {
            Some(local) => (local.parent, local.name),
            None => (state.place.parent, state.place.name.clone()),
        };
        self.make_way(trees, parent, &name, node, findings);
        self.observer.forget_versions(trees, node);
        if !matches!(kind, ApplyKind::Touch { .. }) {
            self.observer.forget_damage(trees, node);
        }
        let content = LocalContent::Known(state.content.clone());
        let in_place = (parent, &name) == (state.place.parent, &state.place.name);
        if state.content == Content::Directory {
            self.observer.look_anew(node);
        }
        if !self.stands(trees, node, Local { parent, name, content, mode, stat }, findings) {
            return;
        }
        let before = trees.synced(node).map(|synced| synced.state);
        let state = match before {
            // A place or mode that waits to be sent has the base that it had.
            Some(before) if !in_place || mode != state.mode => {
                let mut agreed = state;
                if !in_place {
                    (agreed.place, agreed.place_version) = (before.place, before.place_version);
                }
                if mode != agreed.mode {
                    (agreed.mode, agreed.mode_version) = (before.mode, before.mode_version);
                }
                agreed
            }
            None if !in_place || mode != state.mode => return,
            _ => state,
        };
        trees.set_synced(node, Some(Synced { state, shown: stat }));
        trees.set_offered(node, false);
    }

    /// The node stands there now. If its directory went missing for good meanwhile, it is where that is: it may be found there.
    fn stands(&mut self, trees: &mut dyn Trees, node: NodeId, local: Local, findings: &mut Findings) -> bool {
        let known = local.parent == NodeId::ROOT || trees.local(local.parent).is_some();
        let parent = if known { local.parent } else { LIMBO };
        let is_file = local.kind() == Kind::File;
        trees.set_local(node, Some(Local { parent, ..local }));
        if is_file {
            self.observer.put_there(trees, node);
        }
        if !known {
            self.observer.displace(trees, node, findings);
        }
        known
    }

    /// Local never shows two nodes at one place.
    fn make_way(
        &mut self,
        trees: &mut dyn Trees,
        parent: NodeId,
        name: &skep_types::Name,
        node: NodeId,
        findings: &mut Findings,
    ) {
        if let Some(other) = trees.local_child(parent, name)
            && other != node
        {
            self.observer.displace(trees, other, findings);
        }
    }
}
