//! Rewinding a directory: what must be done so that all beneath it is as it was.

use skep_protocol::Past as PastOfNode;
use skep_types::{Content, Group, NodeState, Operation, Seq, Timestamp};

/// What beneath a directory is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RewindPlan {
    /// By node id.
    pub nodes: Vec<PastOfNode>,
    /// The journal's end when the first of it was read.
    pub head: Seq,
    /// The server's clock then: how the directory was before a rewind is how it was at this time.
    pub time: Timestamp,
}

/// What a rewind makes of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rewound {
    /// It was deleted since, and comes back.
    ComesBack,
    /// It was changed since, and is again as it was: content, name or place.
    AsItWas,
    /// It was made since, and goes to the trash.
    ToTrash,
}

impl Rewound {
    /// What becomes of a node; `None` if nothing.
    pub fn of(past: &PastOfNode) -> Option<Rewound> {
        match past.then.as_ref().filter(|_| !past.trashed_then) {
            None if past.trashed_now => None,
            None => Some(Rewound::ToTrash),
            Some(_) if past.trashed_now => Some(Rewound::ComesBack),
            Some(then) if is_same(&past.now, then) => None,
            Some(_) => Some(Rewound::AsItWas),
        }
    }
}

fn is_same(now: &NodeState, then: &NodeState) -> bool {
    now.place == then.place && now.content == then.content && now.mode == then.mode
}

/// The operations of a rewind, in an order in which they can be done one by one as far as names allow: files that were made since go,
/// what was there returns from the top down, then directories that were made since go. At most `operations_max` of them are one
/// group, all or nothing; more are a group each.
pub fn rewind_groups(plan: &RewindPlan, operations_max: usize) -> Vec<Group> {
    let mut ordered: Vec<(Rank, Vec<Operation>)> = plan
        .nodes
        .iter()
        .filter_map(|past| {
            let operations = operations(past, plan.head);
            (!operations.is_empty()).then(|| (Rank::of(past), operations))
        })
        .collect();
    // Stable: equal ranks stay in the order of node ids.
    ordered.sort_by_key(|(rank, _)| *rank);
    let groups = ordered.into_iter().map(|(_, operations)| operations);
    let count: usize = groups.clone().map(|operations| operations.len()).sum();
    if count <= operations_max {
        let all: Vec<Operation> = groups.flatten().collect();
        return if all.is_empty() { Vec::new() } else { vec![Group(all)] };
    }
    groups.map(Group).collect()
}

/// When the operations of a node are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    FileGoes,
    Returns { depth: usize },
    DirectoryGoes,
}

impl Rank {
    fn of(past: &PastOfNode) -> Rank {
        match (Rewound::of(past), &past.now.content) {
            (Some(Rewound::ToTrash), Content::Directory) => Rank::DirectoryGoes,
            (Some(Rewound::ToTrash), _) => Rank::FileGoes,
            _ => Rank::Returns { depth: past.path_then.len() },
        }
    }
}

fn operations(past: &PastOfNode, head: Seq) -> Vec<Operation> {
    let (now, mut operations) = (&past.now, Vec::new());
    let then = match (Rewound::of(past), &past.then) {
        (Some(Rewound::ToTrash), _) => {
            return vec![Operation::Trash { node: now.node, base: now.place_version, seen: head }];
        }
        (Some(_), Some(then)) => then,
        _ => return operations,
    };
    if now.place != then.place {
        let (parent, name) = (then.place.parent, then.place.name.clone());
        operations.push(Operation::Move { node: now.node, base: now.place_version, parent, name });
    }
    if now.content != then.content {
        let content = then.content.clone();
        operations.push(Operation::Edit { node: now.node, base: now.content_version, content });
    }
    if now.mode != then.mode {
        operations.push(Operation::SetMode { node: now.node, base: now.mode_version, mode: then.mode });
    }
    operations
}

#[cfg(test)]
mod tests {
    use skep_types::{CommitId, Mode, Name, NodeId, Place, Version};

    use super::*;

    fn state(number: u8, parent: NodeId, name: &str, content: Content) -> NodeState {
        let version = Version { seq: Seq(u64::from(number)), commit: CommitId::from_bytes([1; 16]) };
        NodeState {
            node: NodeId::from_bytes([number; 16]),
            place: Place { parent, name: Name::try_from(name).unwrap(), trashed: false },
            content,
            mode: Mode::default(),
            place_version: version,
            content_version: version,
            mode_version: version,
        }
    }

    fn link(number: u8, name: &str, target: &str) -> NodeState {
        state(number, NodeId::ROOT, name, Content::Symlink { target: target.into() })
    }

    fn past(now: NodeState, then: Option<NodeState>) -> PastOfNode {
        let trashed_now = now.place.trashed;
        let path_then = then.iter().map(|then| then.place.name.clone()).collect();
        PastOfNode { path_now: vec![now.place.name.clone()], path_then, now, then, trashed_now, trashed_then: false }
    }

    fn trashed(mut state: NodeState) -> NodeState {
        state.place.trashed = true;
        state
    }

    #[test]
    fn each_kind_of_change_is_undone_by_its_own_operation() {
        let old = link(1, "a", "x");
        let beneath = PastOfNode { trashed_now: true, ..past(old.clone(), Some(old.clone())) };
        let was_trashed = PastOfNode { trashed_then: true, ..past(old.clone(), Some(trashed(old.clone()))) };
        let rows = [
            ("made since", past(old.clone(), None), Some(Rewound::ToTrash), "Trash"),
            ("made and deleted since", past(trashed(old.clone()), None), None, ""),
            ("deleted since", past(trashed(old.clone()), Some(old.clone())), Some(Rewound::ComesBack), "Move"),
            ("its directory was deleted", beneath, Some(Rewound::ComesBack), ""),
            ("was in the trash then", was_trashed, Some(Rewound::ToTrash), "Trash"),
            ("edited", past(link(1, "a", "y"), Some(old.clone())), Some(Rewound::AsItWas), "Edit"),
            ("renamed", past(link(1, "b", "x"), Some(old.clone())), Some(Rewound::AsItWas), "Move"),
            ("both", past(link(1, "b", "y"), Some(old.clone())), Some(Rewound::AsItWas), "MoveEdit"),
            ("changed back since", past(old.clone(), Some(old.clone())), None, ""),
        ];
        for (what, past, expected, made) in rows {
            assert_eq!(Rewound::of(&past), expected, "{what}");
            let names: String = operations(&past, Seq(9))
                .iter()
                .map(|operation| match operation {
                    Operation::Create { .. } => "Create",
                    Operation::Move { .. } => "Move",
                    Operation::Edit { .. } => "Edit",
                    Operation::SetMode { .. } => "SetMode",
                    Operation::Trash { .. } => "Trash",
                })
                .collect();
            assert_eq!(names, made, "{what}");
        }
    }

    #[test]
    fn few_operations_hold_together_and_many_come_in_an_order_in_which_they_can_be_done() {
        let dir = |number: u8, name: &str| state(number, NodeId::ROOT, name, Content::Directory);
        let plan = RewindPlan {
            nodes: vec![
                past(dir(1, "new"), None),
                past(trashed(link(2, "old", "x")), Some(link(2, "old", "x"))),
                past(link(3, "old", "y"), None),
            ],
            head: Seq(9),
            time: Timestamp::default(),
        };
        let together = rewind_groups(&plan, 3);
        assert_eq!(together.len(), 1);
        let nodes: Vec<u8> = rewind_groups(&plan, 2).iter().map(|group| group.0[0].node().as_bytes()[0]).collect();
        assert_eq!(nodes, [3, 2, 1], "the name is free before what had it returns");
        assert_eq!(rewind_groups(&RewindPlan::default(), 2), []);
    }
}
