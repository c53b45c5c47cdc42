//! Deletions that nobody saw: taken from what was observed, judged together, told of, decided by a person.

use skep_types::NodeId;

use super::report::EngineProblem;
use super::{Absence, Engine, Found};
use crate::absence::{DeletionHold, Stage};
use crate::observe::Findings;
use crate::trees::{CHAIN_MAX, Trees};

impl Engine {
    /// The deletions that wait for a person, if there are any.
    pub fn hold(&self) -> Option<&DeletionHold> {
        self.absences.hold()
    }

    pub(super) fn take_absences(&mut self, trees: &mut dyn Trees, findings: &mut Findings) {
        let found = if self.is_starting { Found::AtStart } else { Found::InScan };
        let nodes = std::mem::take(&mut findings.absent);
        if !nodes.is_empty() {
            self.absences.found(trees, nodes, Absence { since: self.now, found, stage: Stage::Open }, self.at_ms);
        }
        self.is_starting &= self.observer.is_scanning();
    }

    /// Judges what was found gone once nothing else is going on: what stands in its place may turn out to be the same thing. Gives back
    /// when to come back.
    pub(super) fn judge_absences(&mut self, trees: &mut dyn Trees) -> Option<u64> {
        // What the server has by now may explain why something is gone.
        let is_behind = trees.cursor().is_none_or(|cursor| cursor.seq < self.head);
        if !self.absences.has_open() || !self.connected || is_behind || self.observer.is_scanning() {
            return None;
        }
        let due_ms = self.absences.verdict_due_ms();
        let is_quiet = self.is_idle()
            && self.observer.is_settled(trees)
            && self.touched.is_empty()
            && [&self.to_read, &self.to_send, &self.to_send_big].iter().all(|queue| queue.is_empty());
        if !is_quiet && self.at_ms < due_ms {
            return Some(due_ms);
        }
        self.touched.extend(self.absences.judge(trees, &self.limits));
        Some(self.at_ms)
    }

    /// Whether the node stands where a held one was, or where one was that stands there now, and so on: names that were passed on are not
    /// free before the last of them is.
    pub(super) fn waits_for_held(&self, trees: &dyn Trees, node: NodeId) -> bool {
        if self.absences.hold().is_none() {
            return false;
        }
        let holder = |node: &NodeId| {
            let local = trees.local(*node)?;
            trees.remote_child(local.parent, &local.name).filter(|holder| holder != node)
        };
        std::iter::successors(holder(&node), holder).take(CHAIN_MAX).any(|holder| self.absences.is_held(holder))
    }

    pub(super) fn hold_problem(&self, trees: &dyn Trees) -> Option<EngineProblem> {
        let hold = self.absences.hold()?;
        let how = match hold.found {
            Found::AtStart => "went while Skep was off",
            Found::InScan => "went without a trace",
        };
        let (files, percent) = (hold.files, hold.percent());
        let is_all = files == hold.folder_files && trees.local_children(NodeId::ROOT).is_empty();
        let (whole, place) = match hold.places.as_slice() {
            _ if is_all => (", all that the folder held", String::new()),
            [(path, _)] => ("", path.clone()),
            _ => ("", String::new()),
        };
        let wherein = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
        let message = format!("{files} files{wherein} {how}{whole} ({percent} % of it): their deletion is held");
        Some(EngineProblem {
            node: NodeId::ROOT,
            path: place,
            code: "E-HELD",
            message,
            hint: "They are safe on the server.   Bring them back: skep holds bring-back   They are meant: skep holds approve"
                .into(),
            since: hold.since,
            needs_person: true,
        })
    }
}
