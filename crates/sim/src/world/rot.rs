//! Disks that damage what they hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use skep_types::ContentId;

use super::{End, World};
use crate::disk::TreeEntry;

/// By now no file is so young that a change of it might leave no trace.
const REST_MS: u64 = 10_000;

impl World {
    /// Damages some files under an unchanged stat, of those that are synced: nothing else could be mended. What they hold then
    /// must not be found anywhere but in a safe, ever.
    pub(crate) async fn rot(self: &Arc<World>) -> Result<BTreeSet<ContentId>, String> {
        self.executor.sleep_ms(REST_MS).await;
        let mut rotten = BTreeSet::new();
        let server = self.server_tree()?;
        let (meta, drive) = (self.meta(), self.drive());
        self.ledger().read_history(&*meta, drive).map_err(|error| error.to_string())?;
        let machines = 0..self.options.machines;
        let mut whole: Vec<_> =
            machines.map(|machine| self.counting_trees(&self.machine_tree(machine), &server).0).collect();
        for _ in 0..self.options.rotten_files {
            let mut state = self.state();
            let machine = state.random.index(self.options.machines);
            let user = state.machines[machine].disk.user();
            let files: Vec<(Vec<u8>, usize)> = user
                .tree()
                .into_iter()
                .filter_map(|(path, entry)| match entry {
                    TreeEntry::File { bytes, .. } if !bytes.is_empty() && whole[machine].contains_key(&path) => {
                        Some((path, bytes.len()))
                    }
                    _ => None,
                })
                .collect();
            if files.is_empty() {
                continue;
            }
            let (path, length) = state.random.pick(&files).clone();
            let offset = state.random.index(length);
            if user.flip_bit(&path, offset).is_ok()
                && let Ok(bytes) = user.read(&path)
            {
                // A second time might mend it.
                whole[machine].remove(&path);
                let damage = state.ledger.content_id(&bytes);
                // What somebody once wrote proves nothing in the history.
                if !state.ledger.is_in_history(&damage) {
                    rotten.insert(damage);
                }
                drop(state);
                self.tell(&format!("disk {machine}"), &format!("damages {}", String::from_utf8_lossy(&path)));
            }
        }
        Ok(rotten)
    }

    /// Every client reads all of its files again. Now and then one is killed while it does.
    pub(crate) async fn verify_all(self: &Arc<World>) {
        for machine in 0..self.options.machines {
            let kills = self.state().random.range(0..=3) == 0;
            let client = self.state().machines[machine].client.clone();
            if let Some(client) = client {
                // A client that ends meanwhile is asked again below.
                let _ = client.verify().await;
            }
            if kills {
                self.end_client(machine, End::Kill);
                self.start_client(machine);
            }
        }
    }

    /// Damage has not spread.
    pub(crate) fn check_rot(&self, rotten: &BTreeSet<ContentId>) -> Result<(), String> {
        let (meta, drive) = (self.meta(), self.drive());
        let mut ledger = self.ledger();
        ledger.read_history(&*meta, drive).map_err(|error| error.to_string())?;
        match rotten.iter().find(|content| ledger.is_in_history(content)) {
            Some(content) => Err(format!("damage was sent: {content:?}")),
            None => Ok(()),
        }
    }
}
