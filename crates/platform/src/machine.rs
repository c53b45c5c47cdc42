//! What the machine is called, and what it lets a program have.

/// The machine's own name, without its domain.
#[cfg(unix)]
pub fn host_name() -> String {
    let full = rustix::system::uname().nodename().to_string_lossy().into_owned();
    full.split('.').next().filter(|name| !name.is_empty()).unwrap_or("computer").to_owned()
}

/// The machine's own name, without its domain.
#[cfg(not(unix))]
pub fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "computer".into())
}

/// Lets this process have as many open files as the system grants without asking anybody; how many that is, if it is a number.
#[cfg(unix)]
pub fn raise_open_files() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let current = if raised.is_ok() { limit.maximum } else { limit.current };
    current.and_then(|files| usize::try_from(files).ok())
}

/// The system grants as many open files as there is memory for.
#[cfg(not(unix))]
pub fn raise_open_files() -> Option<usize> {
    None
}
