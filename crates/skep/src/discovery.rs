//! Finds servers in this network: `_skep._tcp` by multicast DNS. What is found is only a place to ask; a code proves which one is meant.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use mdns_sd::{Receiver, ResolvedService, ServiceDaemon, ServiceEvent};
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::{DISCOVERY_NAME, DISCOVERY_TYPE};
use tokio::time::{Instant, timeout_at};

use crate::link::ServerAddress;
use crate::names::printable;

/// Servers on one network answer within moments; some need to be asked twice.
const LOOK_FOR: Duration = Duration::from_secs(4);
/// Servers that are asked. A network with more of them wants their names typed.
const SERVERS_MAX: usize = 32;

/// A server that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says it is called.
    pub name: String,
    /// Where it may be reached, best first.
    pub addresses: Vec<ServerAddress>,
}

/// A look around.
pub struct Search {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    ends: Instant,
    seen: BTreeSet<String>,
}

impl Search {
    /// Begins to look around.
    pub fn begin() -> Result<Search, Complaint> {
        let failed = |error: mdns_sd::Error| {
            Complaint::new(
                Exit::Unreachable,
                "E-NO-SERVER",
                format!("Cannot look for servers in this network: {error}."),
            )
            .hint("Name the server:   skep join SERVER CODE")
        };
        let daemon = ServiceDaemon::new().map_err(failed)?;
        let events = daemon.browse(DISCOVERY_TYPE).map_err(failed)?;
        Ok(Search { daemon, events, ends: Instant::now() + LOOK_FOR, seen: BTreeSet::new() })
    }

    /// The next server; `None` when the time is up.
    pub async fn next(&mut self) -> Option<Found> {
        while self.seen.len() < SERVERS_MAX {
            let event = timeout_at(self.ends, self.events.recv_async()).await.ok()?.ok()?;
            if let ServiceEvent::ServiceResolved(service) = event
                && let Some(found) = found_by(&service)
                && self.seen.insert(service.get_fullname().to_owned())
            {
                return Some(found);
            }
        }
        None
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

/// What an answer says; `None` if it names no place that can be reached.
fn found_by(service: &ResolvedService) -> Option<Found> {
    let mut hosts: Vec<IpAddr> = service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
    // Loopback first, as it is this machine; then IPv4, which needs no scope.
    hosts.retain(|host| !matches!(host, IpAddr::V6(address) if address.is_unicast_link_local()));
    hosts.sort_by_key(|host| (!host.is_loopback(), host.is_ipv6(), *host));
    let port = service.get_port();
    let address = |host: IpAddr| match host {
        IpAddr::V4(host) => ServerAddress { host: host.to_string(), port },
        IpAddr::V6(host) => ServerAddress { host: format!("[{host}]"), port },
    };
    let addresses: Vec<ServerAddress> = hosts.into_iter().map(address).collect();
    let name = service.get_property_val_str(DISCOVERY_NAME).unwrap_or("a server");
    (port != 0 && !addresses.is_empty()).then(|| Found { name: printable(name), addresses })
}
