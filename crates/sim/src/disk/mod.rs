//! A machine's disk in memory: deterministic, with user programs, faults, crashes and power cuts.
//!
//! [`SimDisk`] implements [`skep_platform::Files`] the way Linux does it; [`UserProgram`] changes the same tree by path, as
//! the programs of the person do; [`SimWatcher`] tells what changed. Nothing here reads a clock, draws a random number that
//! is not given as a seed, or starts a thread.
//!
//! Before every `Files` call, and before every read or write of an open file, the *hook* runs, with no lock held: there the
//! world may let a user program act, cut the power, or kill the process by unwinding.

mod durability;
mod files;
mod inode;
mod spelling;
mod state;
mod user;
mod watcher;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_platform::{FileError, FileErrorKind};
use skep_types::{Alphabet, Name, NameRules, Timestamp};

pub use files::{SimDir, SimReader, SimWriter};
pub use user::{TreeEntry, UserFile, UserProgram};
pub use watcher::SimWatcher;

use state::{ProcessId, State};

/// The wall clock of the simulated machine.
pub type DiskClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Runs before every call, with the call's name; may use the [`UserProgram`], crash the disk, or unwind.
pub type Hook = Arc<dyn Fn(&'static str) + Send + Sync>;

/// What kind of file system it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskConfig {
    /// What fits, in bytes of file content.
    pub capacity_bytes: u64,
    /// Precision of a stored mtime and ctime: 1 ns on ext4, 2 s on FAT.
    pub mtime_granularity_ns: u64,
    /// How often the kernel's clock for time stamps ticks: 1 to 4 ms on Linux.
    pub clock_tick_ns: u64,
    /// What a program wrote is on the disk after so long, also without a sync.
    pub write_back_ms: u64,
    /// [`skep_platform::RenameMode::Exchange`] works.
    pub has_exchange: bool,
    /// The executable bit is stored.
    pub has_executable: bool,
    /// Symlinks can be made.
    pub has_symlinks: bool,
    /// `stat` shows when an inode was made.
    pub has_birth: bool,
    /// Names that differ only in case are one.
    pub is_case_insensitive: bool,
    /// Names that differ only in their Unicode form are one.
    pub is_form_insensitive: bool,
    /// Names are stored in the decomposed Unicode form, however they were given.
    pub decomposes_names: bool,
    /// Which characters names may hold.
    pub alphabet: Alphabet,
    /// Longest name.
    pub name_bytes_max: usize,
    /// The number of a removed inode is given to the next one.
    pub reuses_inodes: bool,
    /// So many directories can be watched.
    pub watches_max: usize,
    /// So many hints wait for a reader; then they collapse to `Lost`.
    pub hints_queued_max: usize,
}

impl Default for DiskConfig {
    /// Like ext4 on Linux, with 1 GiB.
    fn default() -> DiskConfig {
        DiskConfig {
            capacity_bytes: 1 << 30,
            mtime_granularity_ns: 1,
            clock_tick_ns: 4_000_000,
            write_back_ms: 30_000,
            has_exchange: true,
            has_executable: true,
            has_symlinks: true,
            has_birth: true,
            is_case_insensitive: false,
            is_form_insensitive: false,
            decomposes_names: false,
            alphabet: Alphabet::Bytes,
            name_bytes_max: Name::BYTES_MAX,
            reuses_inodes: false,
            watches_max: 8192,
            hints_queued_max: 16_384,
        }
    }
}

impl DiskConfig {
    /// What names such a disk can hold.
    pub fn name_rules(&self) -> NameRules {
        NameRules {
            alphabet: self.alphabet,
            folds: self.is_case_insensitive || self.is_form_insensitive || self.decomposes_names,
            normalises: self.decomposes_names,
            bytes_max: self.name_bytes_max,
        }
    }
}

/// The disk of one machine, as one process sees it. Clones belong to the same process; see [`SimDisk::another_process`].
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
    process: ProcessId,
}

/// What all processes of the machine share.
struct Shared {
    state: Mutex<State>,
    hook: Mutex<Option<Hook>>,
    clock: DiskClock,
}

impl Shared {
    /// The state, at the time that the clock shows. The clock is read before the lock is taken: it belongs to the world.
    fn state(&self) -> MutexGuard<'_, State> {
        let now = (self.clock)();
        // A panic elsewhere is a simulated kill: no change of the state is left half done by it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.set_now(now);
        state
    }

    /// Runs the hook, then gives the state, unless the call is to fail.
    fn enter(&self, call: &'static str) -> Result<MutexGuard<'_, State>, FileError> {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(call);
        }
        let mut state = self.state();
        state.take_fault(call)?;
        Ok(state)
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(config: DiskConfig, clock: DiskClock) -> SimDisk {
        let state = State::new(config, clock());
        let shared = Shared { state: Mutex::new(state), hook: Mutex::new(None), clock };
        SimDisk { shared: Arc::new(shared), process: ProcessId::FIRST }
    }

    /// The same disk as a further process sees it: with handles and locks of its own.
    pub fn another_process(&self) -> SimDisk {
        let process = self.shared.state().add_process();
        SimDisk { shared: Arc::clone(&self.shared), process }
    }

    /// What the programs of the person do on this disk. Never runs the hook.
    pub fn user(&self) -> UserProgram {
        UserProgram::new(Arc::clone(&self.shared))
    }

    /// From now on `hook` runs before every call of every process. `None` takes it away.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = hook;
    }

    /// The next `times` calls named `call` (as the hook sees it) fail with `kind` and change nothing.
    pub fn fail_next(&self, call: &'static str, times: u32, kind: FileErrorKind) {
        self.shared.state().add_fault(call, times, kind);
    }

    /// Takes back what [`SimDisk::fail_next`] asked for.
    pub fn clear_faults(&self) {
        self.shared.state().clear_faults();
    }

    /// From now on so many bytes fit; fewer than are there means that the disk is full.
    pub fn set_capacity(&self, bytes: u64) {
        self.shared.state().config.capacity_bytes = bytes;
    }

    /// The paths that the last rename of Skep was, or is, called for.
    pub fn renamed_paths(&self) -> Vec<Vec<u8>> {
        let state = self.shared.state();
        state.renamed.iter().filter_map(|(dir, name)| state.path(*dir, name)).collect()
    }

    /// What kind of file system it is.
    pub fn config(&self) -> DiskConfig {
        self.shared.state().config.clone()
    }

    /// Bytes of file content that are there.
    pub fn used_bytes(&self) -> u64 {
        self.shared.state().used_bytes()
    }

    /// This process is killed: its handles are void, its locks and watches gone; what it changed stays. The same `SimDisk`
    /// serves the next one.
    pub fn crash(&self) {
        self.shared.state().kill(self.process);
    }

    /// The power fails: every process is gone, and the tree is one of those that a power cut can leave, chosen by `seed`.
    ///
    /// In each directory the changes since it was last made durable survive as a prefix; a rename survives as a whole or not
    /// at all. The content of a file since it was last made durable survives as the old one, the new one or a prefix of the
    /// new one.
    pub fn power_cut(&self, seed: u64) {
        self.shared.state().power_cut(seed);
    }

    /// All that was changed so far is durable, as after `sync`.
    pub fn write_back(&self) {
        self.shared.state().write_back();
    }

    /// Every watcher of every process loses the hints that wait, and says so.
    pub fn lose_hints(&self) {
        self.shared.state().lose_hints();
    }

    /// The whole tree, by path from the root (the root itself is not listed).
    pub fn tree(&self) -> BTreeMap<Vec<u8>, TreeEntry> {
        self.user().tree()
    }
}
