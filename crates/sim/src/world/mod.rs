//! One server, a few clients' machines, the people at them, and everything that goes wrong.
//!
//! The world's own tasks run in a process of their own. No lock of the world is held while code of Skep runs, since that may
//! call a hook of a disk, which comes back here.

mod ledger;
mod log;
mod machine;
mod meeting;
mod mishap;
mod rot;
mod selection;
mod server;
mod sums;
mod swarm;
mod trouble;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_blobstore::{BlobError, LocalPacks};
use skep_metastore::{MetaStore, Sqlite};
use skep_types::{ContentId, DriveId, Seq};

use crate::disk::{DiskConfig, SimDisk};
use crate::{Acted, Contents, Executor, Network, Person, ProcessId, Random, SimClock};

pub(crate) use ledger::Ledger;
pub use log::Listener;
use log::Log;
use machine::Machine;
use server::{Server, ServerState};
pub use swarm::{Faults, Meetings, Options, Swarm};

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// `kill -9`: what it wrote stays.
    Kill,
    /// The machine loses its power.
    PowerCut,
}

/// The world of one seed.
pub(crate) struct World {
    pub(crate) executor: Executor,
    pub(crate) network: Network,
    pub(crate) options: Arc<Options>,
    /// In which the world's own tasks run.
    pub(crate) process: ProcessId,
    log: Log,
    state: Mutex<State>,
}

pub(crate) struct State {
    random: Random,
    server: Server,
    machines: Vec<Machine>,
    ledger: Ledger,
    /// Nothing goes wrong any more.
    is_calm: bool,
    /// Nobody changes a file now.
    are_people_still: bool,
    /// How often the server was brought back from a copy.
    restored: u64,
    /// Actions of people between two calls of a disk, so far.
    meddled: u64,
    /// The first thing that should never have happened.
    violation: Option<String>,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options, listener: Listener) -> Arc<World> {
        let mut random = Random::new(seed ^ 0x5eed_0000_0000_0000);
        let executor = Executor::new(random.fork());
        let network = Network::new(&executor, options.network.clone(), random.fork());
        let process = executor.add_process();
        let contents = Contents::default();
        let machines = (0..options.machines).map(|index| {
            let clock = SimClock::new(&executor, options.clock_offsets_ms[index]);
            let disk = new_disk(options.disks[index].clone(), &clock);
            let person = Person::new(disk.user(), options.habits[index].clone(), contents.clone(), random.fork());
            Machine::new(disk, clock, person)
        });
        let machines = machines.collect();
        let disk = new_disk(DiskConfig::default(), &SimClock::new(&executor, 0));
        let server =
            Server::new(&executor, disk, options.machines, &mut random).expect("a database in memory can be made");
        let state = State {
            random,
            server,
            machines,
            ledger: Ledger::new(&options.limits, options.meetings.collect_every_ms > 0),
            is_calm: false,
            are_people_still: false,
            restored: 0,
            meddled: 0,
            violation: None,
        };
        let log = Log::new(listener);
        let world =
            Arc::new(World { executor, network, options: Arc::new(options), process, log, state: Mutex::new(state) });
        world.set_hooks();
        world
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A kill unwinds only while the lock is not held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what happens.
    pub(crate) fn tell(&self, who: &str, told: &str) {
        self.executor.note(told.as_bytes());
        self.log.add(self.executor.now_us(), who, told);
    }

    /// The last events.
    pub(crate) fn history(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Something that must never happen has happened.
    pub(crate) fn violate(&self, what: String) {
        self.tell("oracle", &what);
        self.state().violation.get_or_insert(what);
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.state().violation.clone()
    }

    /// Lets go of everything that holds the world alive.
    pub(crate) fn shut_down(&self) {
        let disks: Vec<SimDisk> = self.disks();
        disks.iter().for_each(|disk| disk.set_hook(None));
        self.network.set_host(None);
        self.executor.shut_down();
        let clients: Vec<_> = self.state().machines.iter_mut().map(|machine| machine.client.take()).collect();
        drop(clients);
    }

    fn disks(&self) -> Vec<SimDisk> {
        let state = self.state();
        let machines = state.machines.iter().map(|machine| machine.disk.clone());
        machines.chain([state.server.disk.clone()]).collect()
    }

    pub(crate) fn machine_disk(&self, machine: usize) -> SimDisk {
        self.state().machines[machine].disk.clone()
    }

    /// The server's metadata, running or not.
    pub(crate) fn meta(&self) -> Arc<Sqlite> {
        self.state().server.meta()
    }

    // The server.

    /// Starts the server if it is down.
    pub(crate) fn start_server(self: &Arc<World>) {
        let mut state = self.state();
        let process = self.executor.add_process();
        let ServerState::Down { image, .. } = &state.server.state else { return };
        let meta = Arc::new(Sqlite::from_image(image).expect("a committed database can be read"));
        let (disk, clock, entropy) = (state.server.disk.clone(), state.server.clock.clone(), state.random.fork());
        state.server.state = ServerState::Up { process, meta: Arc::clone(&meta) };
        drop(state);
        self.tell("server", "starts");
        let (world, executor, options) = (Arc::clone(self), self.executor.clone(), Arc::clone(&self.options));
        self.executor.spawn(process, "server start", async move {
            match server::open_service(executor, process, meta, disk, clock, entropy, options).await {
                Ok(host) => world.network.set_host(Some(host)),
                Err(error) => world.violate(format!("the server does not start: {error}")),
            }
        });
    }

    /// Ends the server. Does not return if the caller runs in it.
    pub(crate) fn end_server(&self, end: End) {
        let mut state = self.state();
        let ServerState::Up { process, meta } = &state.server.state else { return };
        // Every committed transaction is durable; one that is under way is not in the image.
        let (process, image) = (*process, meta.image().expect("a database in memory can be written"));
        let reader = Sqlite::from_image(&image).expect("a committed database can be read");
        state.server.state = ServerState::Down { image, reader: Arc::new(reader) };
        let (disk, seed) = (state.server.disk.clone(), state.random.number());
        drop(state);
        self.network.set_host(None);
        match end {
            End::Kill => {
                self.tell("server", "is killed");
                disk.crash();
            }
            End::PowerCut => {
                self.tell("server", "loses its power");
                disk.power_cut(seed);
            }
        }
        self.executor.kill(process);
    }

    // People.

    /// How long a person pauses.
    pub(crate) fn draw_pause_us(&self) -> u64 {
        self.state().random.range(0..=self.options.pause_ms_max * 1000)
    }

    /// A person does something on a machine.
    pub(crate) fn act(&self, machine: usize) {
        self.change_disk(machine, |state| state.machines[machine].person.act());
    }

    /// A person saves a file in the very moment in which Skep renames it or puts another one in its place; if that is none of his, he does
    /// something else.
    pub(crate) fn act_in_haste(&self, machine: usize) {
        let paths = self.machine_disk(machine).renamed_paths();
        self.change_disk(machine, |state| {
            let person = &mut state.machines[machine].person;
            person.save_one_of(&paths).or_else(|| person.act())
        });
    }

    /// The person closes every file.
    pub(crate) fn close_files(&self, machine: usize) {
        self.change_disk(machine, |state| Some(state.machines[machine].person.close_all()));
    }

    /// The person removes everything in the folder.
    pub(crate) fn empty_folder(&self, machine: usize) {
        self.change_disk(machine, |state| Some(state.machines[machine].person.empty_folder()));
    }

    /// Something other than Skep changes the disk of a machine; the ledger follows.
    fn change_disk(&self, machine: usize, change: impl FnOnce(&mut State) -> Option<Acted>) {
        let mut state = self.state();
        let meta = state.server.meta();
        let drive = state.server.drive;
        state.ledger.read_history(&*meta, drive).expect("a database in memory can be read");
        let disk = state.machines[machine].disk.clone();
        let before = state.ledger.contents_of(&disk);
        let Some(acted) = change(&mut state) else { return };
        let after = state.ledger.contents_of(&disk);
        let State { ledger, machines, .. } = &mut *state;
        let others = |ledger: &Ledger| -> BTreeSet<ContentId> {
            machines.iter().flat_map(|machine| ledger.contents_of(&machine.disk).anywhere).collect()
        };
        ledger.changed(&acted, &before, &after, others);
        drop(state);
        self.tell(&format!("person {machine}"), &acted.told);
    }

    /// The ledger. The world stands still as long as it is held.
    pub(crate) fn ledger(&self) -> LedgerGuard<'_> {
        LedgerGuard(self.state())
    }

    /// The drive that everybody syncs.
    pub(crate) fn drive(&self) -> DriveId {
        self.state().server.drive
    }

    /// The server's packs, to be read beside it.
    pub(crate) fn packs(&self) -> Result<LocalPacks<SimDisk>, BlobError> {
        let disk = self.state().server.disk.clone();
        server::packs_on(disk.another_process(), &self.options)
    }

    /// The end of the drive's journal.
    pub(crate) fn head(&self) -> Seq {
        let (meta, drive) = (self.meta(), self.state().server.drive);
        let row = meta.read(|read| read.drive(drive)).expect("a database in memory can be read");
        row.expect("the drive is made with the world").head
    }
}

/// The ledger, locked.
pub(crate) struct LedgerGuard<'a>(MutexGuard<'a, State>);

impl std::ops::Deref for LedgerGuard<'_> {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.0.ledger
    }
}

impl std::ops::DerefMut for LedgerGuard<'_> {
    fn deref_mut(&mut self) -> &mut Ledger {
        &mut self.0.ledger
    }
}

fn new_disk(config: DiskConfig, clock: &SimClock) -> SimDisk {
    use skep_platform::Clock;
    let clock = clock.clone();
    SimDisk::new(config, Arc::new(move || clock.now()))
}
