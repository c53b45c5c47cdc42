//! The simulated world in which the shipped code runs from a seed.

pub mod disk;
mod executor;
mod network;
mod random;

pub use executor::{Executor, ProcessId, RunError, SimClock, SimEntropy, SimTasks};
pub use network::{Host, Network, NetworkConfig, SimLink};
pub use random::Random;
