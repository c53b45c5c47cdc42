//! Lets computers in the same network find this server: `_skep._tcp` by multicast DNS.
//!
//! What is told is where it listens and what it is called, which anyone who reaches it can learn anyway. A server that listens on this machine
//! alone is told to this machine alone.

use std::net::{IpAddr, SocketAddr};

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use skep_protocol::{DISCOVERY_NAME, DISCOVERY_TYPE, Fingerprint};

/// Letters of the fingerprint that make names on the network different.
const DISTINCT_LETTERS: usize = 8;

/// Announced as long as it is held.
pub struct Announcement(ServiceDaemon);

impl Drop for Announcement {
    fn drop(&mut self) {
        // Says goodbye. A network that cannot hear it forgets by itself.
        let _ = self.0.shutdown();
    }
}

/// Announces a server called `name` that listens at `local`.
pub fn announce(name: &str, key: Fingerprint, local: SocketAddr) -> Result<Announcement, mdns_sd::Error> {
    let daemon = ServiceDaemon::new()?;
    // Dropped on every way out from here: the daemon has a thread of its own.
    let announcement = Announcement(daemon);
    let daemon = &announcement.0;
    if local.ip().is_loopback() {
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
    }
    daemon.register(info(name, key, local)?)?;
    Ok(announcement)
}

fn info(name: &str, key: Fingerprint, local: SocketAddr) -> Result<ServiceInfo, mdns_sd::Error> {
    let text = key.to_string();
    let digits = text.rsplit(':').next().unwrap_or_default();
    let distinct = &digits[..DISTINCT_LETTERS];
    // Not the machine's own name: another program of it may speak for that.
    let host = format!("skep-{distinct}.local.");
    // A dot would end the name.
    let instance = format!("{} {distinct}", name.replace('.', " "));
    let told = [(DISCOVERY_NAME, name)];
    let everywhere = local.ip().is_unspecified();
    let addresses: Vec<IpAddr> = if everywhere { Vec::new() } else { vec![local.ip()] };
    let info = ServiceInfo::new(DISCOVERY_TYPE, &instance, &host, addresses.as_slice(), local.port(), &told[..])?;
    Ok(if everywhere { info.enable_addr_auto() } else { info })
}
