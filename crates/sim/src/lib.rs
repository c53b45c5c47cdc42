//! The simulated world in which the shipped code runs from a seed.

pub mod disk;
mod executor;
mod network;
mod random;
mod workload;

pub use executor::{Executor, ProcessId, RunError, SimClock, SimEntropy, SimTasks};
pub use network::{Host, Network, NetworkConfig, SimLink};
pub use random::Random;
pub use workload::{Acted, Action, Contents, Habits, Person, name_of};
