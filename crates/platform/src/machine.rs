//! What the machine is called.

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
