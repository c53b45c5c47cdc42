//! One drive's tree and journal, against each other and against what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use skep_metastore::{Drive, Read, StoreError};
use skep_types::{Content, NodeId, NodeState, Seq};

use super::{FindingCode, Mend, Report, each_entry, each_node};

/// No orphan, no cycle, no name taken twice; each node as its newest entry says; the journal without a gap from the floor on.
pub(super) fn check_tree(read: &dyn Read, drive: &Drive, report: &mut Report) -> Result<(), StoreError> {
    let mut directories: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    each_node(read, drive.id, |state| {
        if state.content == Content::Directory {
            directories.insert(state.node, state.place.parent);
        }
        Ok(())
    })?;
    let mut names: BTreeSet<[u8; 16]> = BTreeSet::new();
    let mut known: BTreeSet<NodeId> = BTreeSet::new();
    each_node(read, drive.id, |state| {
        report.counts.nodes += 1;
        known.insert(state.node);
        check_node(read, drive, &state, &directories, &mut names, report)
    })?;
    for cycle in cycles(&directories) {
        report.find(FindingCode::Metadata, format!("In drive {} the directory {cycle} lies beneath itself.", drive.id));
    }
    check_journal(read, drive, &known, report)
}

fn check_node(
    read: &dyn Read,
    drive: &Drive,
    state: &NodeState,
    directories: &BTreeMap<NodeId, NodeId>,
    names: &mut BTreeSet<[u8; 16]>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let (node, place) = (state.node, &state.place);
    let mut wrong = |code: FindingCode, what: &str| {
        let text = format!("In drive {} `{}` ({node}) {what}.", drive.id, place.name.display());
        report.find(code, text);
    };
    if place.parent != NodeId::ROOT && !directories.contains_key(&place.parent) {
        wrong(FindingCode::Metadata, "stands in a directory that is not there");
    }
    if !place.trashed && !names.insert(name_key(state)) {
        wrong(FindingCode::Metadata, "has the name of another one in its directory");
    }
    let newest = read.entries_of(drive.id, node, Seq(u64::MAX))?.pop().map(|entry| entry.state);
    match &newest {
        None => wrong(FindingCode::Unequal, "has no entry in the journal"),
        Some(newest) if newest != state => wrong(FindingCode::Unequal, "is not as the journal says"),
        Some(_) => return Ok(()),
    }
    report.mend(Mend { drive: drive.id, node, was: Some(state.clone()), will_be: newest });
    Ok(())
}

/// A directory and a name, in little space: a drive may have millions.
fn name_key(state: &NodeState) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(state.place.parent.as_bytes()).update(state.place.name.as_bytes());
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}

/// One directory of each cycle.
fn cycles(directories: &BTreeMap<NodeId, NodeId>) -> Vec<NodeId> {
    let mut judged: BTreeSet<NodeId> = BTreeSet::new();
    let mut found = Vec::new();
    for start in directories.keys() {
        let (mut at, mut way) = (*start, BTreeSet::new());
        while !judged.contains(&at) {
            if !way.insert(at) {
                found.push(at);
                break;
            }
            // The root, and a parent that is missing, end the way; the latter is told as an orphan.
            let Some(parent) = directories.get(&at) else { break };
            at = *parent;
        }
        judged.extend(way);
    }
    found
}

fn check_journal(
    read: &dyn Read,
    drive: &Drive,
    known: &BTreeSet<NodeId>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let floor = read.thinned(drive.id)?.floor;
    let mut next = floor.max(Seq(1));
    let mut gaps: Vec<(Seq, Seq)> = Vec::new();
    let mut strangers: BTreeSet<NodeId> = BTreeSet::new();
    each_entry(read, drive.id, |entry| {
        report.counts.entries += 1;
        if entry.seq >= next {
            if entry.seq > next {
                gaps.push((next, entry.seq));
            }
            next = entry.seq.next();
        }
        if !known.contains(&entry.state.node) {
            strangers.insert(entry.state.node);
        }
        Ok(())
    })?;
    if next <= drive.head {
        gaps.push((next, drive.head.next()));
    }
    for (from, to) in gaps {
        let what = format!("The journal of drive {} lacks the entries {from} to {}.", drive.id, Seq(to.0 - 1));
        report.find(FindingCode::Metadata, what);
    }
    if next.0 > drive.head.0 + 1 {
        let what = format!("The journal of drive {} goes beyond its end {}.", drive.id, drive.head);
        report.find(FindingCode::Metadata, what);
    }
    for node in strangers {
        let what = format!("In drive {} the node {node} is in the journal, but not in the tree.", drive.id);
        report.find(FindingCode::Unequal, what);
        let newest = read.entries_of(drive.id, node, Seq(u64::MAX))?.pop().map(|entry| entry.state);
        report.mend(Mend { drive: drive.id, node, was: None, will_be: newest });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cycle_is_found_once_and_ways_to_the_root_are_none() {
        let id = |number: u8| NodeId::from_bytes([number; 16]);
        let parents = [(1, 0), (2, 1), (3, 4), (4, 5), (5, 3), (6, 3), (7, 7), (8, 99)];
        let directories = parents.iter().map(|(node, parent)| (id(*node), id(*parent))).collect();
        let found = cycles(&directories);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.contains(&id(3)) && found.contains(&id(7)));
    }
}
