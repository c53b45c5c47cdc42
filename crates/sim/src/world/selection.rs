//! People choose which directories are on a machine. That is kept as a configuration is: durable at once, and apart from the state.

use std::sync::Arc;

use skep_client::Selection;
use skep_types::NodeId;

use super::World;
use crate::oracle::live_directories;

/// Of so many actions, about one is a choice, where people choose.
const CHOICE_ONE_IN: u64 = 5;

impl World {
    /// Now and then, a person takes a directory of the server from a machine, or brings one back.
    pub(crate) fn choose_now_and_then(self: &Arc<World>, machine: usize) {
        if !self.options.has_selection || self.state().random.range(0..=CHOICE_ONE_IN) != 0 {
            return;
        }
        let Ok(directories) = live_directories(&self.meta(), self.drive()) else { return };
        let mut state = self.state();
        let chosen: Vec<NodeId> = state.machines[machine].selection.outside.iter().copied().collect();
        let brings_back = !chosen.is_empty() && state.random.coin();
        let among = if brings_back { &chosen } else { &directories };
        if among.is_empty() {
            return;
        }
        let node = *state.random.pick(among);
        let selection = &mut state.machines[machine].selection;
        let told = match selection.outside.remove(&node) {
            true => "brings back",
            false => {
                selection.outside.insert(node);
                "takes away"
            }
        };
        selection.changes += 1;
        let selection = selection.clone();
        drop(state);
        self.tell(&format!("person {machine}"), &format!("{told} {node}"));
        self.select(machine, selection);
    }

    /// Everything is to be on every machine.
    pub(crate) fn select_everything(self: &Arc<World>) {
        for machine in 0..self.options.machines {
            let mut state = self.state();
            let selection = &mut state.machines[machine].selection;
            if selection.outside.is_empty() {
                continue;
            }
            selection.outside.clear();
            selection.changes += 1;
            let selection = selection.clone();
            drop(state);
            self.select(machine, selection);
        }
    }

    /// Whether everything is to be on the machine.
    pub(crate) fn has_everything(&self, machine: usize) -> bool {
        self.state().machines[machine].selection.outside.is_empty()
    }

    /// Tells the client. If it is down, it reads what was chosen when it starts.
    fn select(self: &Arc<World>, machine: usize, selection: Selection) {
        let Some(client) = self.state().machines[machine].client.clone() else { return };
        self.executor.spawn(self.process, "select", async move {
            // If the client ends meanwhile, the next one knows.
            let _ = client.select(selection).await;
        });
    }
}
