//! The client without its shell: state, executor, transfer, and the loop that drives the engine. No runtime in sight.

mod link;
mod state;
mod status;

pub use link::{Link, LinkError};
pub use state::{SqliteTrees, StateError};
pub use status::{PathReport, Problem, State, Status, WaitOutcome};
