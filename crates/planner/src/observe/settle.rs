//! What was uncertain, decided when enough is known or enough time has passed; and what reading a file found.

use std::collections::BTreeMap;

use skep_types::{Change, Content, FileContent, Kind, Limits, Name, NodeId};

use super::moment::racy_ms;
use super::see::new_node;
use super::{Busy, Dirty, Findings, Missing, NOT_WAITING, Observer};
use crate::ids::IdSource;
use crate::trees::{CHAIN_MAX, LIMBO, Local, LocalContent, Trees};
use crate::{ReadError, ReadResult};

impl Observer {
    /// Decides what can be decided by now: moved, new, deleted. Returns when to come back.
    pub(crate) fn settle(&mut self, trees: &mut dyn Trees, ids: &mut IdSource, findings: &mut Findings) -> Option<u64> {
        let arrivals = self.settle_arrivals(trees, ids, findings);
        let missing = self.settle_missing(trees, findings);
        let rereads = self.settle_rereads(trees, findings);
        let writing = self.settle_writing(trees, findings);
        let rules = self.settle_rules();
        self.trust_absence(trees);
        [arrivals, missing, rereads, writing, rules].into_iter().flatten().min()
    }

    fn settle_arrivals(&mut self, trees: &mut dyn Trees, ids: &mut IdSource, findings: &mut Findings) -> Option<u64> {
        let mut next = None;
        for (place, arrival) in self.arrivals.clone() {
            let (dir, name) = place.clone();
            if dir != NodeId::ROOT && trees.local(dir).is_none() {
                // The directory became another node, which is looked at anew.
                self.arrivals.remove(&place);
                continue;
            }
            let candidate = trees.local(arrival.candidate);
            let free_since = candidate.as_ref().and_then(|_| self.missing_since(trees, arrival.candidate));
            if let (Some(local), None) = (candidate, free_since)
                && local.parent != LIMBO
                && self.is_unsure(trees, local.parent, &local.name)
            {
                continue;
            }
            match free_since {
                // Its path is free, and was for long enough: it moved here. (In limbo its path is taken by another kind of thing.)
                Some(since_ms) if self.at_ms >= since_ms + self.limits.move_quiet_ms => {
                    self.arrivals.remove(&place);
                    self.moved(trees, arrival.candidate, dir, name, arrival.stat, findings);
                }
                Some(since_ms) => {
                    let due = since_ms + self.limits.move_quiet_ms;
                    next = Some(next.map_or(due, |next: u64| next.min(due)));
                }
                // Something stands at its path, so that is the node, and this is a new one.
                None => {
                    self.arrivals.remove(&place);
                    let node = new_node(trees, ids, dir, &name, &arrival.stat);
                    self.appear(trees, node, dir, name, LocalContent::Unread, arrival.stat, findings);
                }
            }
        }
        next
    }

    /// Whether it is not known what stands at a place, because it or a directory above it waits to be looked at.
    fn is_unsure(&self, trees: &dyn Trees, dir: NodeId, name: &Name) -> bool {
        if self.is_pending(dir, name) {
            return true;
        }
        let mut at = dir;
        while at != NodeId::ROOT {
            let Some(local) = trees.local(at) else { return false };
            if self.missing.contains_key(&at) || local.parent == LIMBO {
                return false;
            }
            if self.is_pending(local.parent, &local.name) {
                return true;
            }
            at = local.parent;
        }
        false
    }

    /// What is missing is deleted when everything was looked at and nothing more went missing for a while, so that a whole tree
    /// goes as one.
    fn settle_missing(&mut self, trees: &mut dyn Trees, findings: &mut Findings) -> Option<u64> {
        let first = self.missing.values().map(|missing| missing.since_ms).min()?;
        // What waits beneath something missing will be found with it, or is gone with it.
        let waiting =
            self.dirty.iter().filter(|(dir, _)| !self.is_beneath_missing(trees, **dir)).map(|(_, dirty)| dirty);
        let waiting: Vec<&Dirty> = waiting.chain(self.looks.values().map(|look| &look.dirty)).collect();
        let scanning = waiting.iter().any(|dirty| dirty.deep);
        let latest = first + self.limits.delete_wait_max_ms;
        if scanning || !self.arrivals.is_empty() {
            return None;
        }
        if !waiting.is_empty() && self.at_ms < latest {
            return Some(latest);
        }
        let due = latest.min(self.missing_changed_ms + self.limits.delete_quiet_ms);
        if self.at_ms < due {
            return Some(due);
        }
        if !std::mem::replace(&mut self.missing_sought, true) {
            let mut unhinted: Vec<NodeId> = self.unhinted.iter().copied().collect();
            unhinted.retain(|dir| trees.local(*dir).is_some() && !self.is_beneath_missing(trees, *dir));
            for dir in &unhinted {
                self.dirty.entry(*dir).or_default().deep = true;
            }
            if !unhinted.is_empty() {
                return None;
            }
        }
        let missing = std::mem::take(&mut self.missing);
        for node in missing.keys() {
            let was_told = self.was_told_above(trees, &missing, *node);
            self.vanish(trees, *node, was_told, findings);
        }
        None
    }

    /// Whether the watcher told of a missing directory in which the node was.
    fn was_told_above(&self, trees: &dyn Trees, missing: &BTreeMap<NodeId, Missing>, node: NodeId) -> bool {
        let above = |node: &NodeId| trees.local(*node).map(|local| local.parent).filter(|above| *above != NodeId::ROOT);
        let mut chain = std::iter::successors(above(&node), above).take(CHAIN_MAX);
        chain.any(|above| missing.contains_key(&above) && self.told.contains(&above))
    }

    /// A node and all beneath it are not on this disk.
    fn vanish(&mut self, trees: &mut dyn Trees, node: NodeId, was_told: bool, findings: &mut Findings) {
        let mut left = vec![(node, was_told)];
        while let Some((node, was_told)) = left.pop() {
            // Who saw a directory go saw all go that was in it.
            let was_told = self.told.remove(&node) || was_told;
            left.extend(trees.local_children(node).into_iter().map(|(_, child)| (child, was_told)));
            if !was_told && trees.local(node).is_some() {
                findings.absent.push(node);
            }
            trees.set_local(node, None);
            if self.filters.distrust_absence() {
                trees.set_synced(node, None);
                trees.set_offered(node, false);
            }
            self.forget_damage(trees, node);
            findings.listed.push(node);
            findings.changed.insert(node);
            self.forget_directory(node);
            self.missing.remove(&node);
            self.dirty.remove(&node);
            findings.touched.insert(node);
        }
    }

    fn settle_rereads(&mut self, trees: &mut dyn Trees, findings: &mut Findings) -> Option<u64> {
        let racy: Vec<NodeId> = due(&self.racy, self.at_ms, |at| *at);
        for node in racy {
            self.racy.remove(&node);
            if let Some(local) = trees.local(node)
                && local.kind() == Kind::File
            {
                trees.set_local(node, Some(Local { content: LocalContent::Unread, ..local }));
                findings.touched.insert(node);
            }
        }
        let is_unread = |node: &NodeId| trees.local(*node).is_some_and(|local| local.content == LocalContent::Unread);
        self.busy.retain(|node, _| is_unread(node));
        for node in due(&self.busy, self.at_ms, |busy| busy.retry_at_ms) {
            if let Some(busy) = self.busy.get_mut(&node) {
                busy.retry_at_ms = NOT_WAITING;
            }
            // Its look asks for the read.
            if let Some(local) = trees.local(node) {
                self.hint(local.parent, local.name, Change::Entry);
                findings.touched.insert(node);
            }
        }
        for node in due(&self.young, self.at_ms, |at| *at) {
            self.young.remove(&node);
            findings.touched.insert(node);
        }
        self.forget_moments();
        let busy = self.busy.values().filter(|busy| busy.waits()).map(|busy| busy.retry_at_ms);
        self.racy.values().copied().chain(busy).min()
    }

    /// Whether a read of the node may be asked for now.
    pub(crate) fn may_read(&self, trees: &dyn Trees, node: NodeId) -> bool {
        !self.reading.contains(&node)
            && !self.busy.get(&node).is_some_and(Busy::waits)
            && !self.is_being_written(trees, node)
    }

    /// Takes what reading a file found.
    pub(crate) fn read(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        result: Result<ReadResult, ReadError>,
        findings: &mut Findings,
    ) {
        self.reading.remove(&node);
        let Some(local) = trees.local(node) else {
            self.busy.remove(&node);
            return;
        };
        findings.touched.insert(node);
        match result {
            // By now, the path that was read belongs to another file: a look tells which.
            Ok(read) if read.stat.inode != local.stat.inode => {
                self.busy.remove(&node);
                self.hint(local.parent, local.name, Change::Entry);
            }
            Ok(read) => {
                self.busy.remove(&node);
                findings.readable.push(node);
                if is_racy(&read, &self.limits) && self.is_unhinted(trees, node) {
                    self.racy.insert(node, self.at_ms + racy_ms(&read.stat, &self.limits));
                }
                let mtime = match trees.synced(node) {
                    // A coarse clock rounded the mtime when it was written here; that is no change.
                    Some(synced) if synced.shown.mtime == read.stat.mtime => {
                        synced.state.content.file().map_or(read.stat.mtime, |file| file.mtime)
                    }
                    _ => read.stat.mtime,
                };
                // Damage is not an edit, however it came that the file was read.
                let repaired = trees.synced(node).and_then(|synced| synced.state.content.file().map(|file| file.id));
                let id = match (self.damage(node), repaired) {
                    (Some(damaged), Some(repaired)) if damaged == read.content => repaired,
                    _ => {
                        self.forget_damage(trees, node);
                        read.content
                    }
                };
                let content = FileContent { id, size: read.size, mtime };
                let mode = self.mode_of(trees, node, &local, &read.stat);
                let content = LocalContent::Known(Content::File(content));
                trees.set_local(node, Some(Local { content, mode, stat: read.stat, ..local }));
            }
            Err(ReadError::Gone) => {
                self.busy.remove(&node);
                self.hint(local.parent, local.name, Change::Entry);
            }
            Err(error @ ReadError::Busy) => {
                let tries = self.busy.get(&node).map_or(0, |busy| busy.tries) + 1;
                let retry_at_ms = self.at_ms + self.limits.busy_retry_ms;
                self.busy.insert(node, Busy { tries, retry_at_ms });
                if tries >= self.limits.busy_tries_max {
                    findings.unreadable.push((node, error));
                }
            }
            Err(error @ (ReadError::Denied | ReadError::Failed)) => {
                self.busy.remove(&node);
                findings.unreadable.push((node, error));
            }
        }
    }
}

/// The keys whose time has come.
fn due<V>(times: &BTreeMap<NodeId, V>, at_ms: u64, time: impl Fn(&V) -> u64) -> Vec<NodeId> {
    times.iter().filter(|(_, value)| time(value) <= at_ms).map(|(node, _)| *node).collect()
}

/// Whether a change right after the reading could have left the stat as it is.
fn is_racy(read: &ReadResult, limits: &Limits) -> bool {
    let tick = i128::from(racy_ms(&read.stat, limits)) * 1_000_000;
    // Programs can set an mtime, also to the future, but no ctime. A ctime from the future tells of a clock that was set back: the
    // next change gets another one.
    let age = read.at.as_nanoseconds() - read.stat.ctime.as_nanoseconds();
    (0..tick).contains(&age)
}
