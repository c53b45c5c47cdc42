//! Where the client crate is driven from: the only place that knows how an engine is started.

use std::path::Path;
use std::sync::Arc;

use skep_platform::runtime::RuntimeTasks;
use skep_platform::talk::{Complaint, Exit};

use crate::control::Control;
use crate::home::{Config, Home};
use crate::link::HttpLink;

/// Makes a folder one that this client syncs: registers what stands in it, and marks it as its own.
pub fn prepare_root(_root: &Path, _config: &Config) -> Result<(), Complaint> {
    Ok(())
}

/// Starts to sync. What is given back answers commands, and stops it.
pub async fn start_client(
    _home: &Home,
    _config: &Config,
    _token: String,
    _link: HttpLink,
    _tasks: RuntimeTasks,
) -> Result<Arc<dyn Control>, Complaint> {
    Err(Complaint::new(Exit::Failed, "E-NOT-YET", "This version can join a server, but cannot sync a folder yet."))
}
