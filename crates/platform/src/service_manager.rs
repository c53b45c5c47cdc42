//! What a service manager hears from a program that runs under it: systemd's notify protocol, a word in a datagram.
//!
//! Without `NOTIFY_SOCKET` in the environment nobody listens and nothing is said. What it hands over: sockets at which it listens already
//! (`LISTEN_FDS`), so that a program without rights gets low ports, and callers wait while it is started anew.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::time::sleep;

/// Sockets that are handed over at most.
#[cfg(unix)]
const LISTENERS_MAX: usize = 64;

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Requests are answered from now on.
    Ready,
    /// What was begun is brought to its end.
    Stopping,
    /// Still alive.
    Alive,
}

/// Tells the service manager.
#[cfg(unix)]
pub fn tell(moment: Moment) -> io::Result<()> {
    let state = match moment {
        Moment::Ready => sd_notify::NotifyState::Ready,
        Moment::Stopping => sd_notify::NotifyState::Stopping,
        Moment::Alive => sd_notify::NotifyState::Watchdog,
    };
    sd_notify::notify(&[state])
}

/// Tells the service manager: there is none that listens here.
#[cfg(not(unix))]
pub fn tell(_: Moment) -> io::Result<()> {
    Ok(())
}

/// The sockets that the service manager listens at for this process, in its order; each is handed out once, so a second call gives none.
#[cfg(unix)]
pub fn take_listeners() -> io::Result<Vec<TcpListener>> {
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::sync::atomic::{AtomicBool, Ordering};

    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let given = sd_notify::listen_fds()?;
    if given.len() > LISTENERS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "far too many sockets were handed over"));
    }
    let owned = given.map(|number| {
        #[expect(unsafe_code, reason = "the protocol hands over numbers; nothing safe makes an owner of one")]
        // SAFETY: `LISTEN_PID` says that these are for this process, `listen_fds` has found each one open, and this is the only time that
        // they are taken.
        unsafe {
            OwnedFd::from_raw_fd(number)
        }
    });
    owned.map(OwnedFd::into).map(listening).collect()
}

/// Whether a socket is one that accepts TCP connections is only found out by asking it.
#[cfg(unix)]
fn listening(listener: TcpListener) -> io::Result<TcpListener> {
    let is_other = |_| io::Error::new(io::ErrorKind::InvalidInput, "a socket that is not for TCP was handed over");
    listener.local_addr().map_err(is_other)?;
    if !rustix::net::sockopt::socket_acceptconn(&listener)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket that does not listen was handed over"));
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Sockets that the service manager listens at: no such service manager here.
#[cfg(not(unix))]
pub fn take_listeners() -> io::Result<Vec<TcpListener>> {
    Ok(Vec::new())
}

/// Gives a sign of life twice as often as the service manager asks for (`WATCHDOG_USEC`), for as long as the runtime runs tasks: one
/// that hangs is started anew. Ends at once if nobody asks for it.
pub async fn keep_alive() {
    let Some(within) = asked_for() else { return };
    // A manager that is gone restarts nothing; the program need not care.
    while tell(Moment::Alive).is_ok() {
        sleep(within / 2).await;
    }
}

#[cfg(unix)]
fn asked_for() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|within| !within.is_zero())
}

#[cfg(not(unix))]
fn asked_for() -> Option<Duration> {
    None
}
