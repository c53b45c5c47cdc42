//! What a service manager hears from a program that runs under it: systemd's notify protocol, a word in a datagram.
//!
//! Without `NOTIFY_SOCKET` in the environment nobody listens and nothing is said.

use std::time::Duration;

use tokio::time::sleep;

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
pub fn tell(moment: Moment) -> std::io::Result<()> {
    let state = match moment {
        Moment::Ready => sd_notify::NotifyState::Ready,
        Moment::Stopping => sd_notify::NotifyState::Stopping,
        Moment::Alive => sd_notify::NotifyState::Watchdog,
    };
    sd_notify::notify(&[state])
}

/// Tells the service manager: there is none that listens here.
#[cfg(not(unix))]
pub fn tell(_: Moment) -> std::io::Result<()> {
    Ok(())
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
