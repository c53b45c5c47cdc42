//! Worlds with ignore files: what counts in a tree, and that nothing was deleted because it does not count.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_planner::{IgnoreRules, is_path_ignored};
use skep_types::{Content, ContentId, Kind, Name, NodeId, NodeState, product};

use super::{Shown, Tree, live_path, node_table, show, words};
use crate::disk::TreeEntry;
use crate::world::World;

/// Ignore files by the directory that holds them.
type Rules = BTreeMap<Vec<Name>, Arc<IgnoreRules>>;

impl World {
    /// The tree of a machine and that of the server, without what is ignored in either, and without what stayed on the machine only because
    /// something in it is ignored.
    pub(crate) fn counting_trees(&self, machine: &Tree, server: &Tree) -> (Tree, Tree) {
        let texts = self.texts();
        let (rules_here, rules_there) = (rules_of(machine, &texts), rules_of(server, &texts));
        let counts_there = counting(server, &rules_there);
        let mut counts_here = counting(machine, &rules_here);
        let residues: Vec<Vec<u8>> = counts_here
            .iter()
            .filter(|(path, shown)| **shown == Shown::Directory && !counts_there.contains_key(*path))
            .filter(|(path, _)| {
                let is_below = |other: &Vec<u8>| other.starts_with(&[path, b"/".as_slice()].concat());
                let holds_ignored = machine.keys().any(|other| is_below(other) && !counts_here.contains_key(other));
                let below = counts_here.iter().filter(|(other, _)| is_below(other));
                holds_ignored && below.into_iter().all(|(_, shown)| *shown == Shown::Directory)
            })
            .map(|(path, _)| path.clone())
            .collect();
        residues.iter().for_each(|path| _ = counts_here.remove(path));
        (counts_here, counts_there)
    }

    /// Nothing is in the trash that no person took from its place: no rule deletes anything. Whoever removes a directory takes what is left out
    /// in it along, though it does not lie on his disk.
    pub(crate) fn check_trash(&self) -> Result<(), String> {
        let nodes = node_table(&self.meta(), self.drive()).map_err(words)?;
        let ledger = self.ledger();
        let untouched = |state: &NodeState| match &state.content {
            Content::File(file) => {
                let went_along = topmost_trashed(&nodes, state).is_some_and(|top| {
                    top.node != state.node && ledger.was_directory_handled(top.place.name.as_bytes())
                });
                file.size > 0 && !ledger.was_handled(&file.id) && !went_along
            }
            _ => false,
        };
        let mut trashed = nodes.values().filter(|state| matches!(live_path(&nodes, state), Ok(None)));
        let found = trashed.find(|state| untouched(state));
        found
            .map_or(Ok(()), |state| Err(format!("`{}` is in the trash, and nobody touched it", path_of(&nodes, state))))
    }

    /// The contents of all files on all machines.
    fn texts(&self) -> BTreeMap<ContentId, Vec<u8>> {
        let mut texts = BTreeMap::new();
        for machine in 0..self.options.machines {
            let disk = self.machine_disk(machine);
            let ledger = self.ledger();
            for entry in disk.tree().into_values() {
                if let TreeEntry::File { bytes, .. } = entry {
                    texts.insert(ledger.content_id(&bytes), bytes.to_vec());
                }
            }
        }
        texts
    }
}

/// Of the node and the directories above it, the topmost one that is in the trash by itself.
fn topmost_trashed<'a>(nodes: &'a BTreeMap<NodeId, NodeState>, state: &'a NodeState) -> Option<&'a NodeState> {
    let above = std::iter::successors(Some(state), |state| nodes.get(&state.place.parent)).take(nodes.len());
    above.filter(|state| state.place.trashed).last()
}

fn names_of(path: &[u8]) -> Vec<Name> {
    path.split(|byte| *byte == b'/').filter_map(|name| Name::new(name).ok()).collect()
}

fn rules_of(tree: &Tree, texts: &BTreeMap<ContentId, Vec<u8>>) -> Rules {
    let mut rules = Rules::new();
    for (path, shown) in tree {
        let mut names = names_of(path);
        let is_file = names.pop().is_some_and(|name| name.as_bytes() == product::IGNORE_FILE.as_bytes());
        if let Shown::File { content, .. } = shown
            && is_file
            && let Some(text) = texts.get(content)
        {
            rules.insert(names, Arc::new(IgnoreRules::parse(text)));
        }
    }
    rules
}

fn counting(tree: &Tree, rules: &Rules) -> Tree {
    let kind = |shown: &Shown| match shown {
        Shown::Directory => Some(Kind::Directory),
        Shown::File { .. } => Some(Kind::File),
        Shown::Symlink(_) => Some(Kind::Symlink),
        Shown::Special => None,
    };
    let counts = tree.iter().filter(|(path, shown)| !is_path_ignored(rules, &names_of(path), kind(shown)));
    counts.map(|(path, shown)| (path.clone(), shown.clone())).collect()
}

fn path_of(nodes: &BTreeMap<NodeId, NodeState>, state: &NodeState) -> String {
    let parent =
        nodes.get(&state.place.parent).map_or_else(String::new, |parent| format!("{}/", parent.place.name.display()));
    format!("{parent}{}", show(state.place.name.as_bytes()))
}
