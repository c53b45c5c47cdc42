//! Files that programs have open and write: a save is sent when it is done, which its close tells, and not in between.
//!
//! A program that truncates a file, thinks, and writes would else show others an empty file, and half a one later. Who never closes is not
//! waited for longer than a while without a write; who writes all the time, no longer than a bounded time.

use skep_types::{Change, Limits, Name, NodeId, Stat};

use super::{Findings, Observer};
use crate::trees::{LocalContent, Trees};

/// Since when a program writes a file, when it did so last, and what the file was called then.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    at: (NodeId, Name),
    since_ms: u64,
    last_ms: u64,
}

impl Writing {
    /// When it is long enough that nothing was written.
    fn quiet_at_ms(&self, limits: &Limits) -> u64 {
        self.last_ms + limits.writing_quiet_ms
    }

    /// When it is too long that it is written.
    fn enough_at_ms(&self, limits: &Limits) -> u64 {
        self.since_ms + limits.writing_wait_max_ms
    }

    fn is_waited_for(&self, at_ms: u64, limits: &Limits) -> bool {
        at_ms < self.quiet_at_ms(limits).min(self.enough_at_ms(limits))
    }

    /// What was written for too long is not waited for until so much later: it must be read and sent meanwhile, whatever is written.
    fn begins_anew(&self, at_ms: u64, limits: &Limits) -> bool {
        at_ms >= self.enough_at_ms(limits) + limits.writing_quiet_ms
    }
}

impl Observer {
    /// A file was seen: is a program writing it?
    pub(super) fn see_writing(
        &mut self,
        trees: &dyn Trees,
        (dir, name): (NodeId, &Name),
        stat: &Stat,
        hinted: Option<Change>,
        findings: &mut Findings,
    ) {
        match hinted {
            Some(Change::Bytes) => self.written(trees, stat.inode, findings),
            Some(Change::Writing) => self.is_written((dir, name), stat.inode, self.at_ms),
            // With something in it and no hint of a write, it was written before it got this name.
            Some(Change::Made) if stat.size == 0 && stat.links == 1 => {
                self.is_written((dir, name), stat.inode, self.at_ms);
            }
            _ if self.unhinted.contains(&dir) => self.see_unhinted(trees, (dir, name), stat, findings),
            _ => {}
        }
    }

    /// A file of this name was closed. By now it may have another one: programs that save by renaming close the file first.
    pub(super) fn see_closed(&mut self, trees: &dyn Trees, (dir, name): (NodeId, &Name), findings: &mut Findings) {
        let is_there = |writing: &Writing| (writing.at.0, &writing.at.1) == (dir, name);
        let closed = self.writing.iter().filter(|(_, writing)| is_there(writing)).map(|(inode, _)| *inode);
        for inode in closed.collect::<Vec<_>>() {
            self.written(trees, inode, findings);
        }
    }

    /// Where no hints come, nothing tells of a close: a file that was written a moment ago may be written on.
    fn see_unhinted(&mut self, trees: &dyn Trees, at: (NodeId, &Name), stat: &Stat, findings: &mut Findings) {
        let age = (self.now.as_nanoseconds() - stat.mtime.as_nanoseconds()) / 1_000_000;
        match u64::try_from(age) {
            Ok(age_ms) if age_ms < self.limits.writing_quiet_ms => {
                self.is_written(at, stat.inode, self.at_ms.saturating_sub(age_ms));
            }
            _ => self.written(trees, stat.inode, findings),
        }
    }

    fn is_written(&mut self, (dir, name): (NodeId, &Name), inode: u64, last_ms: u64) {
        let at = (dir, name.clone());
        let writing = self.writing.entry(inode).or_insert(Writing { at: at.clone(), since_ms: last_ms, last_ms });
        writing.at = at;
        if writing.begins_anew(self.at_ms, &self.limits) {
            writing.since_ms = last_ms;
        }
        writing.last_ms = writing.last_ms.max(last_ms);
    }

    /// Nobody writes it any more.
    fn written(&mut self, trees: &dyn Trees, inode: u64, findings: &mut Findings) {
        if self.writing.remove(&inode).is_some() {
            findings.touched.extend(trees.local_by_inode(inode));
        }
    }

    /// What is not waited for any more is considered anew. Returns when the next one is.
    pub(super) fn settle_writing(&mut self, trees: &dyn Trees, findings: &mut Findings) -> Option<u64> {
        let mut next: Option<u64> = None;
        for (inode, writing) in self.writing.clone() {
            let quiet_at_ms = writing.quiet_at_ms(&self.limits);
            if writing.is_waited_for(self.at_ms, &self.limits) {
                let due = quiet_at_ms.min(writing.enough_at_ms(&self.limits));
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            let unread = unread_by_inode(trees, inode);
            findings.touched.extend(&unread);
            if self.at_ms < quiet_at_ms {
                next = Some(next.map_or(quiet_at_ms, |next| next.min(quiet_at_ms)));
                continue;
            }
            let unhinted: Vec<NodeId> = unread.into_iter().filter(|node| self.is_unhinted(trees, *node)).collect();
            if unhinted.is_empty() {
                self.writing.remove(&inode);
            }
            // Only a look can tell whether it was written meanwhile.
            for node in unhinted {
                self.look_at(trees, node);
            }
        }
        next
    }

    /// Whether a program is writing the file, and is waited for.
    pub(crate) fn is_being_written(&self, trees: &dyn Trees, node: NodeId) -> bool {
        if self.writing.is_empty() {
            return false;
        }
        let local = trees.local(node).filter(|local| local.content == LocalContent::Unread);
        let writing = local.and_then(|local| self.writing.get(&local.stat.inode));
        writing.is_some_and(|writing| writing.is_waited_for(self.at_ms, &self.limits))
    }

    /// Whether what is here differs for no other reason than that programs are writing.
    pub(super) fn waits_for_programs(&self, trees: &dyn Trees) -> bool {
        let mut waited = self.writing.iter().filter(|(_, writing)| writing.is_waited_for(self.at_ms, &self.limits));
        waited.any(|(inode, _)| !unread_by_inode(trees, *inode).is_empty())
    }
}

/// Files of this inode that are still to be read.
fn unread_by_inode(trees: &dyn Trees, inode: u64) -> Vec<NodeId> {
    let mut nodes = trees.local_by_inode(inode);
    nodes.retain(|node| trees.local(*node).is_some_and(|local| local.content == LocalContent::Unread));
    nodes
}
