//! Nodes that are left alone for a while, because what was tried with them failed; and what to say of it.

use std::collections::BTreeMap;

use skep_types::{NodeId, OwnDir, Timestamp, bytes_text};

use super::own::own_trouble;
use crate::{ApplyError, ReadError};

/// First wait after a failure that is a problem; doubles up to the longest.
const PROBLEM_FIRST_MS: u64 = 2_000;
const PROBLEM_LONGEST_MS: u64 = 60_000;
/// First wait after a refusal or a surprise that usually is over at once.
const SURPRISE_FIRST_MS: u64 = 50;
/// So many surprises in a row are a problem.
const SURPRISES_MAX: u32 = 6;

/// What is wrong with a node: code, sentence, hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: &'static str,
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
    pub(super) needs_person: bool,
}

/// What ends a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// That it goes well.
    Success,
    /// It is a directory that could not be listed: a look that lists it.
    Listing,
    /// Something else stands in its place: a look that sees another thing there.
    Sight,
}

/// Why a node is left alone.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) trouble: Option<Trouble>,
    pub(super) detail: String,
    pub(super) since: Timestamp,
    until_ms: u64,
    tries: u32,
    /// It only waits for a connection.
    link: bool,
    ends: Ends,
    expired: bool,
}

/// All nodes that are left alone.
#[derive(Debug, Default)]
pub(super) struct Holds {
    holds: BTreeMap<NodeId, Hold>,
}

impl Holds {
    /// Whether the node is to be left alone now.
    pub(super) fn holds(&self, node: NodeId) -> bool {
        self.holds.get(&node).is_some_and(|hold| !hold.expired)
    }

    /// What is wrong with the node.
    pub(super) fn trouble(&self, node: NodeId) -> Option<&Hold> {
        self.holds.get(&node).filter(|hold| hold.trouble.is_some())
    }

    /// All nodes with which something is wrong.
    pub(super) fn troubles(&self) -> impl Iterator<Item = (NodeId, &Hold)> {
        self.holds.iter().filter(|(_, hold)| hold.trouble.is_some()).map(|(node, hold)| (*node, hold))
    }

    /// Ends the holds whose time has come; their nodes may be tried again. What is wrong is remembered until it went well.
    pub(super) fn expire(&mut self, at_ms: u64) -> Vec<NodeId> {
        let due = self.holds.iter_mut().filter(|(_, hold)| !hold.expired && hold.until_ms <= at_ms);
        due.map(|(node, hold)| {
            hold.expired = true;
            *node
        })
        .collect()
    }

    /// Ends the holds of problems with `wanted` nodes: something has changed, or somebody asks.
    pub(super) fn try_again(&mut self, at_ms: u64, wanted: impl Fn(NodeId) -> bool) {
        for (node, hold) in &mut self.holds {
            if hold.trouble.is_some() && !hold.expired && wanted(*node) {
                hold.until_ms = at_ms;
            }
        }
    }

    /// When the next hold ends.
    pub(super) fn next(&self) -> Option<u64> {
        self.holds.values().filter(|hold| !hold.expired).map(|hold| hold.until_ms).min()
    }

    /// It went well, or all sides agree however that came. Of what only a look can tell, that says nothing.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.forget_if(node, Ends::Success);
    }

    fn forget_if(&mut self, node: NodeId, ends: Ends) {
        if self.holds.get(&node).is_some_and(|hold| hold.ends == ends) {
            self.holds.remove(&node);
        }
    }

    /// Whether it is a directory that could not be listed.
    pub(super) fn is_unlistable(&self, node: NodeId) -> bool {
        self.holds.get(&node).is_some_and(|hold| hold.ends == Ends::Listing)
    }

    /// The directory was listed, or is there no more.
    pub(super) fn listed(&mut self, node: NodeId) {
        self.forget_if(node, Ends::Listing);
    }

    /// Of directories that are here no more, whatever took them away, there is nothing left to list.
    pub(super) fn forget_gone(&mut self, is_here: impl Fn(NodeId) -> bool) {
        self.holds.retain(|node, hold| hold.ends != Ends::Listing || is_here(*node));
    }

    /// A directory could not be listed: it is looked at again with more and more time between the tries.
    pub(super) fn unlistable(&mut self, node: NodeId, now: Timestamp, at_ms: u64) {
        self.unreadable(node, ReadError::Denied, now, at_ms);
        if let Some(hold) = self.holds.get_mut(&node) {
            hold.ends = Ends::Listing;
        }
    }

    /// There is a connection: what waited for one is tried again.
    pub(super) fn forgive_link(&mut self) -> Vec<NodeId> {
        let nodes: Vec<NodeId> = self.holds.iter().filter(|(_, hold)| hold.link).map(|(node, _)| *node).collect();
        for node in &nodes {
            self.holds.remove(node);
        }
        nodes
    }

    /// Another device was faster, or something changed meanwhile: tried again soon, with more time between the tries.
    pub(super) fn surprised(&mut self, node: NodeId, now: Timestamp, at_ms: u64) {
        let trouble = Trouble {
            code: "E-CHANGING",
            message: "keeps changing here or on the server while it is synced",
            hint: "It is tried again by itself",
            needs_person: false,
        };
        self.try_again_soon(node, trouble, now, at_ms);
    }

    /// Something came into a directory that was deleted elsewhere. If it stays, it is nothing that is synced.
    fn not_empty(&mut self, node: NodeId, now: Timestamp, at_ms: u64) {
        let trouble = Trouble {
            code: "E-NOT-EMPTY",
            message: "was deleted elsewhere, but holds something here that is not synced",
            hint: "Move what is left out of it or delete it; then it goes on by itself",
            needs_person: true,
        };
        self.try_again_soon(node, trouble, now, at_ms);
    }

    /// It is new, and in a directory that is not to be on this computer.
    pub(super) fn unselected(&mut self, node: NodeId, now: Timestamp, at_ms: u64) {
        let trouble = Trouble {
            code: "E-NOT-SELECTED",
            message: "is new, and lies in a folder that is not synced on this computer",
            hint: "Move it to another folder, or sync this one again:   skep sync add FOLDER",
            needs_person: true,
        };
        self.problem(node, trouble, String::new(), now, at_ms);
    }

    /// Something that is ignored here stands in its place.
    pub(super) fn in_the_way(&mut self, node: NodeId, now: Timestamp, at_ms: u64) {
        let trouble = Trouble {
            code: "E-IGNORED-IN-WAY",
            message: "cannot come here: something that is ignored here has its name",
            hint: "Give what has the name another one, or change the rule; then it goes on by itself",
            needs_person: true,
        };
        self.try_again_soon(node, trouble, now, at_ms);
    }

    fn try_again_soon(&mut self, node: NodeId, trouble: Trouble, now: Timestamp, at_ms: u64) {
        let tries = self.holds.get(&node).map_or(0, |hold| hold.tries) + 1;
        let wait_ms = if tries == 1 { 0 } else { SURPRISE_FIRST_MS << tries.min(12) };
        let trouble = (tries > SURPRISES_MAX).then_some(trouble);
        self.insert(node, trouble, String::new(), tries, wait_ms, now, at_ms);
    }

    /// A file or directory cannot be read.
    pub(super) fn unreadable(&mut self, node: NodeId, error: ReadError, now: Timestamp, at_ms: u64) {
        let trouble = match error {
            ReadError::Busy => Trouble {
                code: "E-BUSY-FILE",
                message: "is still being written",
                hint: "It is sent when the program that writes it pauses",
                needs_person: false,
            },
            ReadError::Gone | ReadError::Denied => Trouble {
                code: "E-CANNOT-READ",
                message: "may not be read",
                hint: "Give yourself the right to read it; then it goes on by itself",
                needs_person: true,
            },
            ReadError::Failed => Trouble {
                code: "E-DISK",
                message: "cannot be read from this disk",
                hint: "Check the disk; it is tried again by itself",
                needs_person: true,
            },
        };
        self.problem(node, trouble, String::new(), now, at_ms);
    }

    /// A pipe, socket, device or a directory of ours stands in its place.
    pub(super) fn special(&mut self, node: NodeId, own: Option<OwnDir>, now: Timestamp, at_ms: u64) {
        let special = Trouble {
            code: super::special::CODE,
            message: super::special::WHAT,
            hint: "Remove it, unmount it or give it another name; then it goes on by itself",
            needs_person: true,
        };
        let trouble = own.map_or(special, own_trouble);
        self.problem(node, trouble, String::new(), now, at_ms);
        if let Some(hold) = self.holds.get_mut(&node) {
            hold.ends = Ends::Sight;
        }
    }

    /// Whether something that is not synced stands in the node's place.
    pub(super) fn is_special(&self, node: NodeId) -> bool {
        self.holds.get(&node).is_some_and(|hold| hold.ends == Ends::Sight)
    }

    /// What can be synced, or nothing, stands in the node's place.
    pub(super) fn seen(&mut self, node: NodeId) {
        self.forget_if(node, Ends::Sight);
    }

    /// An apply operation failed.
    pub(super) fn not_applied(&mut self, node: NodeId, error: ApplyError, now: Timestamp, at_ms: u64) {
        let (code, message, hint, needs_person) = match &error {
            ApplyError::Changed => return self.surprised(node, now, at_ms),
            ApplyError::NotEmpty => return self.not_empty(node, now, at_ms),
            ApplyError::Unreachable => return self.wait_for_link(node, now, at_ms),
            ApplyError::MissingContent => {
                ("E-DAMAGED", "is damaged on the server", "Restore it from another computer or a backup", true)
            }
            ApplyError::NoSpace | ApplyError::TooBig { .. } => {
                ("E-DISK-FULL", "does not fit on this disk", "Make room; then it goes on by itself", true)
            }
            ApplyError::Denied => (
                "E-CANNOT-WRITE",
                "may not be written here",
                "Give yourself the right to write here; then it goes on by itself",
                true,
            ),
            ApplyError::BadName => {
                ("E-NAME", "has a name that this disk cannot hold", "Give it another name on another computer", true)
            }
            ApplyError::Failed(_) => ("E-DISK", "could not be written", "It is tried again by itself", true),
        };
        let detail = match error {
            ApplyError::Failed(words) => words,
            ApplyError::TooBig { needed_bytes, free_bytes } => {
                format!("it needs {}, and {} are free for it", bytes_text(needed_bytes), bytes_text(free_bytes))
            }
            _ => String::new(),
        };
        self.problem(node, Trouble { code, message, hint, needs_person }, detail, now, at_ms);
    }

    /// Something is wrong with the node; tried again with more and more time between the tries.
    pub(super) fn problem(&mut self, node: NodeId, trouble: Trouble, detail: String, now: Timestamp, at_ms: u64) {
        let tries = self.holds.get(&node).map_or(0, |hold| hold.tries) + 1;
        let wait_ms = (PROBLEM_FIRST_MS << (tries - 1).min(20)).min(PROBLEM_LONGEST_MS);
        self.insert(node, Some(trouble), detail, tries, wait_ms, now, at_ms);
    }

    fn wait_for_link(&mut self, node: NodeId, now: Timestamp, at_ms: u64) {
        self.insert(node, None, String::new(), 1, PROBLEM_FIRST_MS, now, at_ms);
        if let Some(hold) = self.holds.get_mut(&node) {
            hold.link = true;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the one place where a hold is made")]
    fn insert(
        &mut self,
        node: NodeId,
        trouble: Option<Trouble>,
        detail: String,
        tries: u32,
        wait_ms: u64,
        now: Timestamp,
        at_ms: u64,
    ) {
        let since = self.holds.get(&node).filter(|hold| hold.trouble.is_some()).map_or(now, |hold| hold.since);
        let until_ms = at_ms + wait_ms;
        self.holds.insert(
            node,
            Hold { trouble, detail, since, until_ms, tries, link: false, ends: Ends::Success, expired: wait_ms == 0 },
        );
    }
}
