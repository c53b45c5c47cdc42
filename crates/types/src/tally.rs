//! Keeping the sum of a tree true while the tree changes.
//!
//! A node lives if neither it nor a directory above it is in the trash. That a directory goes to the trash or comes back is one change of
//! one node, and changes whether all beneath it live; so a tree remembers which nodes are *uncounted*: not themselves in the trash, and
//! yet not alive. Between the changes of one commit a tree may be anything, with directories beneath themselves: only
//! what stood before the first change and what stands after the last one counts.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::{Content, NodeId, NodeState, Sum};

/// Deepest chain of parents that is followed; a longer one is a fault and leads nowhere.
const CHAIN_MAX: usize = 4096;

/// A tree whose sum is kept.
pub trait Counted {
    /// Why it cannot be read or written.
    type Error;
    /// A node, in the trash or not; the root is none.
    fn node(&self, node: NodeId) -> Result<Option<NodeState>, Self::Error>;
    /// All nodes that stand in a directory, in the trash or not.
    fn nodes_in(&self, directory: NodeId) -> Result<Vec<NodeState>, Self::Error>;
    /// Whether the node was marked by [`Counted::set_uncounted`].
    fn is_uncounted(&self, node: NodeId) -> Result<bool, Self::Error>;
    /// Remembers that the node does not count, though it is not itself in the trash; or forgets it.
    fn set_uncounted(&mut self, node: NodeId, uncounted: bool) -> Result<(), Self::Error>;
}

/// By how much a sum changes: what goes away, and what is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SumChange {
    gone: Sum,
    come: Sum,
}

impl SumChange {
    /// The sum after the change.
    pub fn applied_to(&self, sum: Sum) -> Sum {
        let mut after = sum;
        after.take(&self.gone);
        after.add(&self.come);
        after
    }

    /// Whether it changes nothing.
    pub fn is_nothing(&self) -> bool {
        self.gone == self.come
    }
}

/// What a node was before it was changed.
#[derive(Debug, Clone, Copy)]
struct Before {
    counted: Option<Sum>,
    was_uncounted: bool,
}

/// The nodes that a transaction changes.
#[derive(Debug, Default)]
pub struct Tally {
    before: BTreeMap<NodeId, Before>,
}

impl Tally {
    /// To be called before a node is changed; the first call for a node counts.
    pub fn note<T: Counted + ?Sized>(&mut self, tree: &T, node: NodeId) -> Result<(), T::Error> {
        if let Entry::Vacant(place) = self.before.entry(node) {
            let state = tree.node(node)?.filter(|state| !state.place.trashed);
            let was_uncounted = state.is_some() && tree.is_uncounted(node)?;
            let counted = state.filter(|_| !was_uncounted).map(|state| Sum::of(&state));
            place.insert(Before { counted, was_uncounted });
        }
        Ok(())
    }

    /// How many nodes were noted.
    pub fn nodes(&self) -> usize {
        self.before.len()
    }

    /// After the last change: by how much the sum changes. Marks who is uncounted from now on.
    pub fn settle<T: Counted + ?Sized>(self, tree: &mut T) -> Result<SumChange, T::Error> {
        let mut settling = Settling { change: SumChange::default(), alive: BTreeMap::new() };
        let mut turned = Vec::new();
        for (node, before) in &self.before {
            let now = tree.node(*node)?;
            let stands = now.as_ref().is_some_and(|state| !state.place.trashed);
            let lives = match &now {
                Some(state) if stands => settling.lives(tree, state.place.parent)?,
                _ => false,
            };
            let counted = now.as_ref().filter(|_| lives).map(Sum::of);
            settling.replace(before.counted, counted);
            if before.was_uncounted != (stands && !lives) {
                tree.set_uncounted(*node, stands && !lives)?;
            }
            // What it was is not known any more: a node that is gone may have been a directory.
            if now.is_none_or(|state| state.content == Content::Directory) && before.counted.is_some() != lives {
                turned.push((*node, lives));
            }
        }
        while let Some((directory, lives)) = turned.pop() {
            for state in tree.nodes_in(directory)? {
                let node = state.node;
                // Those in the trash by themselves, and those that were noted, do not follow their directory.
                if state.place.trashed || self.before.contains_key(&node) || tree.is_uncounted(node)? != lives {
                    continue;
                }
                let sum = Some(Sum::of(&state));
                settling.replace(sum.filter(|_| !lives), sum.filter(|_| lives));
                tree.set_uncounted(node, !lives)?;
                if state.content == Content::Directory {
                    turned.push((node, lives));
                }
            }
        }
        Ok(settling.change)
    }
}

/// What is known while a tally is settled.
struct Settling {
    change: SumChange,
    /// Whether what stands in these directories lives.
    alive: BTreeMap<NodeId, bool>,
}

impl Settling {
    fn replace(&mut self, before: Option<Sum>, after: Option<Sum>) {
        if before != after {
            before.iter().for_each(|sum| self.change.gone.add(sum));
            after.iter().for_each(|sum| self.change.come.add(sum));
        }
    }

    /// Whether what stands in this directory, and is not itself in the trash, lives.
    fn lives<T: Counted + ?Sized>(&mut self, tree: &T, directory: NodeId) -> Result<bool, T::Error> {
        let mut way = BTreeSet::new();
        let mut at = directory;
        let lives = loop {
            if at == NodeId::ROOT {
                break true;
            }
            if let Some(known) = self.alive.get(&at) {
                break *known;
            }
            if way.len() == CHAIN_MAX || !way.insert(at) {
                break false;
            }
            match tree.node(at)? {
                Some(state) if !state.place.trashed => at = state.place.parent,
                _ => break false,
            }
        };
        self.alive.extend(way.into_iter().map(|directory| (directory, lives)));
        Ok(lives)
    }
}

/// Of directories that are not themselves in the trash, with their parents: those that live.
pub fn live_directories(above: &BTreeMap<NodeId, NodeId>) -> BTreeSet<NodeId> {
    let (mut live, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for start in above.keys() {
        let (mut at, mut way) = (*start, BTreeSet::new());
        let lives = loop {
            if at == NodeId::ROOT || live.contains(&at) {
                break true;
            }
            if dead.contains(&at) || !way.insert(at) {
                break false;
            }
            match above.get(&at) {
                Some(parent) => at = *parent,
                None => break false,
            }
        };
        if lives { live.extend(way) } else { dead.extend(way) }
    }
    live
}
