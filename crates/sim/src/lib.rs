//! The simulated world in which the shipped code runs from a seed.

pub mod disk;
mod executor;
mod known;
mod network;
mod oracle;
mod random;
mod run;
mod workload;
mod world;

pub use executor::{Executor, ProcessId, RunError, SimClock, SimEntropy, SimTasks, running_here};
pub use network::{Host, Network, NetworkConfig, SimLink};
pub use random::Random;
pub use run::{Figures, Outcome, Violation, run_all, run_many, run_seed, run_world};
pub use workload::{Acted, Action, Contents, Habits, Names, Person, name_of};
pub use world::{Faults, Listener, Meetings, Options, Swarm};
