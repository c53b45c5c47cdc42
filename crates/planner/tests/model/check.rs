//! What must hold when a run has ended.

use std::collections::{BTreeMap, BTreeSet};

use skep_planner::Trees;
use skep_types::product::TWO_VERSIONS;
use skep_types::{Content, NodeId};

use crate::disk::{Body, content_of};
use crate::world::World;

/// A tree by path: what stands there, and whether it is executable.
pub type Shown = BTreeMap<String, (Body, bool)>;

impl World {
    /// The drive's live tree by path.
    pub fn drive_tree(&self) -> Shown {
        let mut found = BTreeMap::new();
        let mut left = vec![(String::new(), NodeId::ROOT)];
        while let Some((path, dir)) = left.pop() {
            for state in self.drive.children(dir) {
                let path = format!("{path}/{}", state.place.name.display());
                let body = match &state.content {
                    Content::File(file) => Body::File(content_of(&file.id)),
                    Content::Symlink { target } => Body::Symlink(target.clone()),
                    _ => Body::Directory(BTreeMap::new()),
                };
                found.insert(path.clone(), (body, state.mode.executable));
                left.push((path, state.node));
            }
        }
        found
    }

    /// Everything is equal, everybody knows it, and every content is on the server.
    pub fn check(&self, saved: &BTreeSet<u64>) {
        let drive = self.drive_tree();
        for client in &self.clients {
            assert_eq!(client.disk.tree(), drive, "disk of {} against the drive", client.name);
            let progress = client.engine.progress(&client.trees);
            assert!(progress.settled, "{} is not settled: {progress:?}", client.name);
            assert!(progress.problems.is_empty(), "{} has problems: {progress:?}", client.name);
            assert_eq!(client.trees.differing(None, 10), vec![], "trees of {} differ", client.name);
        }
        let kept = self.drive.journal().iter().filter_map(|entry| entry.state.content.file());
        let kept: BTreeSet<u64> = kept.map(|file| content_of(&file.id)).collect();
        // An empty file gives way to one that is not.
        let lost: Vec<&u64> = saved.iter().filter(|content| **content != 0 && !kept.contains(content)).collect();
        assert!(lost.is_empty(), "contents {lost:?} are lost");
        let swap = drive.keys().find(|path| path.contains(".skep-swap"));
        // An older database may know the node elsewhere, and this one is then another file.
        assert!(swap.is_none() || self.rolled_back, "{swap:?}: a name for a moment stayed");
    }

    /// Nothing but what its user did has happened to that part of a disk.
    pub fn check_untouched(&self, number: usize, before: &Shown, path: &str) {
        let part = |tree: &Shown| -> Shown {
            let beneath = tree.iter().filter(|(at, _)| at.starts_with(path));
            beneath.map(|(at, shown)| (at.clone(), shown.clone())).collect()
        };
        let now = part(&self.clients[number].disk.tree());
        assert_eq!(now, part(before), "`{path}` of {} against what its user left", self.clients[number].name);
        let copy = now.keys().find(|path| path.contains(TWO_VERSIONS));
        assert_eq!(copy, None, "a conflict with nobody");
    }

    /// The contents that stand on the disks now.
    pub fn standing(&self) -> BTreeSet<u64> {
        let trees = self.clients.iter().flat_map(|client| client.disk.tree().into_values());
        trees.filter_map(|(body, _)| if let Body::File(content) = body { Some(content) } else { None }).collect()
    }

    /// A run of so many acts of users should come to an end with so many effects.
    pub fn check_effects(&self, before: usize, acts: usize, faults: usize) {
        let (spent, nodes) = (self.effects - before, self.drive_tree().len());
        let allowed = (60 + 25 * acts + 10 * nodes + 40 * faults) * self.clients.len();
        assert!(spent <= allowed, "{spent} effects for {acts} acts, {nodes} nodes and {faults} faults");
    }
}
