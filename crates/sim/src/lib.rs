//! The simulated world in which the shipped code runs from a seed.

pub mod disk;
