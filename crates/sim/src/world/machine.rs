//! A client's machine.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_client::{Account, Client, Marker, RootId, Selection, SqliteTrees, Start, WaitOutcome, Wishes, prepare_root};
use skep_platform::{Lane, MappedFiles, MappedWatcher, offload};

use crate::disk::{SimDisk, SimWatcher};
use crate::{Acted, Person, ProcessId, Random, SimClock, SimEntropy, SimLink, SimTasks};

use super::{End, World};

/// Images of the state that a power cut can bring back.
const IMAGES_MAX: usize = 6;

/// Images of the client's database, oldest first. A kill leaves the last one, a power cut one of them.
#[derive(Clone, Default)]
pub(crate) struct Images(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Images {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, image: Vec<u8>) {
        let mut images = self.lock();
        if images.len() == IMAGES_MAX {
            images.pop_front();
        }
        images.push_back(image);
    }

    /// The newest `count` are lost, but never all.
    fn lose(&self, count: usize) {
        let mut images = self.lock();
        let kept = images.len().saturating_sub(count).max(1);
        images.truncate(kept);
    }
}

/// A client's machine.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) clock: SimClock,
    pub(crate) person: Person,
    pub(crate) process: Option<ProcessId>,
    pub(crate) client: Option<Client>,
    /// The id of its root, once it has joined.
    joined: Option<RootId>,
    /// Which directories are not to be on it.
    pub(crate) selection: Selection,
    images: Images,
}

impl Machine {
    pub(crate) fn new(disk: SimDisk, clock: SimClock, person: Person) -> Machine {
        Machine {
            disk,
            clock,
            person,
            process: None,
            client: None,
            joined: None,
            selection: Selection::default(),
            images: Images::default(),
        }
    }
}

impl Machine {
    /// The database of its client is gone; the folder and its marker stay.
    pub(super) fn forget_state(&self) {
        self.images.lock().clear();
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
        let entropy = state.random.fork();
        drop(state);
        self.tell(&format!("client {machine}"), &format!("starts as {process}"));
        let world = Arc::clone(self);
        self.executor.spawn(process, "client start", async move {
            match world.open_client(machine, process, entropy).await {
                Ok(client) => world.state().machines[machine].client = Some(client),
                Err(error) => {
                    world.tell(&format!("client {machine}"), &format!("does not start: {error}"));
                    world.end_client(machine, End::Kill);
                }
            }
        });
    }

    async fn open_client(&self, machine: usize, process: ProcessId, mut entropy: Random) -> Result<Client, String> {
        let (disk, clock, joined, images, credentials, drive) = {
            let state = self.state();
            let at = &state.machines[machine];
            let (credentials, drive) = (state.server.devices[machine].clone(), state.server.drive);
            (at.disk.clone(), at.clock.clone(), at.joined, at.images.clone(), credentials, drive)
        };
        let tasks = SimTasks::new(&self.executor, process);
        let root = match joined {
            Some(root) => root,
            None => {
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes);
                let root = RootId::from_bytes(bytes);
                let marker = Marker { id: root, device: credentials.device, drive };
                let files = disk.clone();
                let prepared = offload(&tasks, Lane::Disk, move || prepare_root(&files, marker)).await;
                prepared.map_err(|gone| gone.to_string())?.map_err(|error| error.to_string())?;
                self.state().machines[machine].joined = Some(root);
                root
            }
        };
        let image = images.lock().back().cloned();
        let trees = match image {
            Some(image) => SqliteTrees::from_bytes(&image),
            None => SqliteTrees::in_memory(),
        };
        let trees = trees.map_err(|error| error.to_string())?;
        let trees = trees.after_commit(move |trees| {
            images.keep(trees.serialize().expect("a database in memory can be written"));
        });
        let files = MappedFiles::new(disk.clone());
        let parts = skep_client::Machine {
            clock,
            entropy: SimEntropy::new(entropy),
            tasks,
            watcher: MappedWatcher::new(SimWatcher::new(&disk), &files),
            files,
            link: SimLink::new(&self.network, machine, process),
        };
        let account = Account {
            drive,
            device: credentials.device,
            device_name: credentials.device_name,
            token: credentials.token,
            root,
            client_version: "simulated".to_owned(),
        };
        let start =
            Start { world: Arc::new(parts), trees, account, limits: self.options.limits, feed: self.options.feed };
        let selection = self.state().machines[machine].selection.clone();
        Client::start_with(start, Wishes { selection, ..Wishes::default() }).await.map_err(|error| error.to_string())
    }

    /// Ends a client. Does not return if the caller runs in it.
    pub(crate) fn end_client(&self, machine: usize, end: End) {
        let mut state = self.state();
        let Some(process) = state.machines[machine].process.take() else { return };
        let client = state.machines[machine].client.take();
        let images = state.machines[machine].images.clone();
        let disk = state.machines[machine].disk.clone();
        let (seed, lost) = (state.random.number(), state.random.index(IMAGES_MAX));
        drop(state);
        drop(client);
        match end {
            End::Kill => {
                self.tell(&format!("client {machine}"), "is killed");
                disk.crash();
            }
            End::PowerCut => {
                self.change_disk(machine, |state| {
                    disk.power_cut(seed);
                    state.machines[machine].person.forget_open();
                    Some(Acted { told: "loses the power".to_owned(), saved: Vec::new() })
                });
                images.lose(lost);
            }
        }
        self.executor.kill(process);
    }

    /// Whether a client waits for a person to do something.
    pub(crate) fn has_stopped(&self, machine: usize) -> bool {
        let client = self.state().machines[machine].client.clone();
        client.is_some_and(|client| client.status().state == skep_client::State::Stopped)
    }

    /// Asks a client to wait until it and the server are equal; `None` if it is down or ended meanwhile.
    pub(crate) async fn wait_equal(&self, machine: usize, timeout_ms: u64) -> Option<WaitOutcome> {
        let client = self.state().machines[machine].client.clone()?;
        client.wait_equal(timeout_ms).await.ok()
    }

    /// What a client says of itself.
    pub(crate) fn describe(&self, machine: usize) -> String {
        let client = self.state().machines[machine].client.clone();
        match client.map(|client| client.status()) {
            Some(status) => {
                let problems: Vec<String> = status
                    .problems
                    .iter()
                    .map(|problem| {
                        format!("{} {} {}", problem.code, problem.path.as_deref().unwrap_or("-"), problem.message)
                    })
                    .collect();
                format!("client {machine} is {:?}, {} wait, problems {problems:?}", status.state, status.queue_files)
            }
            None => format!("client {machine} is down"),
        }
    }
}
