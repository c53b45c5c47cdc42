//! A client's machine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use skep_client::WaitOutcome;

use crate::disk::SimDisk;
use crate::{Acted, Person, ProcessId, SimClock};

use super::{End, World};

/// Images of the state that a power cut can bring back.
const IMAGES_MAX: usize = 6;

/// Images of the state, oldest first; the last one is what a kill leaves.
pub(crate) type Images = Arc<Mutex<VecDeque<Vec<u8>>>>;

pub(crate) struct SimClient;

/// A client's machine.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) person: Person,
    pub(crate) process: Option<ProcessId>,
    pub(crate) client: Option<SimClient>,
    pub(crate) images: Images,
}

impl Machine {
    pub(crate) fn new(disk: SimDisk, clock: SimClock, person: Person) -> Machine {
        Machine { disk, clock, person, process: None, client: None, images: Images::default() }
    }
}

impl World {
    /// Starts a client if it is down.
    pub(crate) fn start_client(self: &Arc<World>, machine: usize) {
        let mut state = self.state();
        if state.machines[machine].process.is_some() {
            return;
        }
        let process = self.executor.add_process();
        state.machines[machine].process = Some(process);
        drop(state);
        self.tell(&format!("client {machine}"), "starts");
    }

    /// Ends a client. Does not return if the caller runs in it.
    pub(crate) fn end_client(&self, machine: usize, end: End) {
        let mut state = self.state();
        let Some(process) = state.machines[machine].process.take() else { return };
        let client = state.machines[machine].client.take();
        let images = Arc::clone(&state.machines[machine].images);
        let (disk, seed, lost) =
            (state.machines[machine].disk.clone(), state.random.number(), state.random.index(IMAGES_MAX));
        drop(state);
        let who = format!("client {machine}");
        match end {
            End::Kill => {
                self.tell(&who, "is killed");
                disk.crash();
            }
            End::PowerCut => {
                self.change_disk(machine, |state| {
                    disk.power_cut(seed);
                    state.machines[machine].person.forget_open();
                    Some(Acted { told: "loses the power".to_owned(), saved: Vec::new() })
                });
                let mut images = images.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let kept = images.len().saturating_sub(lost).max(1);
                images.truncate(kept);
            }
        }
        drop(client);
        self.executor.kill(process);
    }

    /// Asks a client to wait until it and the server are equal; `None` if it is down or ended meanwhile.
    pub(crate) async fn wait_equal(&self, machine: usize, timeout_ms: u64) -> Option<WaitOutcome> {
        let _ = (machine, timeout_ms);
        None
    }

    /// What a client says of itself.
    pub(crate) fn describe(&self, machine: usize) -> String {
        format!("client {machine}: ?")
    }
}
