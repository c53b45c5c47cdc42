//! A running server, from its first line to its last.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use skep_platform::runtime::{RuntimeTasks, stop_signal};
use skep_platform::service_manager::{Moment, keep_alive, take_listeners, tell};
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{Clock, Lane, Tasks, machine, offload, own_files::BoundedLog, runtime::RuntimeClock};
use skep_protocol::Fingerprint;
use skep_service::connection_line;
use skep_types::{Limits, product};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::acme::Renewal;
use crate::admin::identity;
use crate::config::{Settings, Tls};
use crate::discovery::Announcement;
use crate::listen::{Door, Rooms};
use crate::operated::Operated;
use crate::store::{DiskService, Opened, Packs, open};
use crate::{codes, discovery, listen, stop};

/// How soon a device that another process signed out is cut off.
const CHECK_REVOCATIONS_EVERY_MS: u64 = 500;
/// Open files that are none of connections: packs, database, logs.
const FILES_KEPT: usize = 256;
/// `connections.log` and its one predecessor are at most this long each. The database keeps the lines too.
const CONNECTION_LOG_BYTES_MAX: u64 = 64 << 20;

/// Serves until it is told to stop.
pub async fn run(settings: Settings) -> Result<(), Complaint> {
    let opened = open(&settings.site).await?;
    let Opened { service, tasks, .. } = &opened;
    let identity = identity(&settings)?;
    let renewal = match (&settings.tls, &identity.certificates) {
        (Tls::Acme(acme), Some(shown)) => {
            acme.check_roots()?;
            let keys = settings.site.data_dir.join("keys");
            Some(Renewal::new(acme.clone(), &keys, Arc::clone(shown)))
        }
        _ => None,
    };
    let answers = Operated::new(&opened, &settings.site, renewal.as_ref().map(Renewal::standings));
    let (listeners, local) = listeners(&settings).await?;
    let operators = match &settings.metrics_listen {
        Some(listen) => Some(bind(listen).await?),
        None => None,
    };
    let shown = settings.site.data_dir.display();
    tracing::info!("{} {}, data in {shown}", product::SERVER, env!("CARGO_PKG_VERSION"));
    let is_off = matches!(settings.tls, Tls::Off { .. });
    if settings.tls != (Tls::Off { certificate: None }) {
        tracing::info!("server key {}", identity.fingerprint);
    }
    for address in listeners.iter().filter_map(|listener| listener.local_addr().ok()) {
        tracing::info!("listening on {}://{address}", if is_off { "http" } else { "https" });
    }
    if settings.open {
        service.open_to_all();
        tracing::info!("open: anyone who reaches this server may make an account");
    }
    let key = codes::key_of(&settings)?;
    service.introduce_as(&settings.name, key);
    // Held until the end.
    let _announced = key.filter(|_| settings.discovery && !is_off).and_then(|key| announce(&settings.name, key, local));
    let (stop, stopping) = stop::channel();
    tasks.spawn("signals", async move {
        let signal = stop_signal().await;
        tracing::info!("stopping, told to by {signal}");
        tell_service_manager(Moment::Stopping);
        stop.stop();
    });
    start_chores(service, tasks, &settings);
    if let Some((listener, local)) = operators {
        tracing::info!("figures on http://{local}/metrics");
        let door = Door { rooms: Rooms::Operators, ..Door::with(None) };
        let (answers, tasks_too, stopping) = (answers.clone(), tasks.clone(), stopping.clone());
        tasks.spawn("operators", listen::serve(listener, door, answers, Limits::SHIPPED, tasks_too, stopping));
    }

    codes::welcome(service, &settings, local).await?;
    // Exactly this line is part of the contract for automation.
    let _ = writeln!(io::stderr(), "ready");
    tell_service_manager(Moment::Ready);
    tasks.spawn("watchdog", keep_alive());
    if let Some(renewal) = renewal {
        tasks.spawn("certificate", renewal.keep());
    }
    let connections_max = connections_max(&settings);
    let door = Door {
        tls: if is_off { None } else { identity.tls },
        connections_max,
        of_one_place_max: settings.connections_of_one_place_max,
        trusted_proxies: settings.trusted_proxies.into(),
        rooms: Rooms::Devices { metrics_allow: settings.metrics_allow.into() },
        certificates: identity.certificates,
    };
    listen::serve_all(listeners, door, answers, Limits::SHIPPED, tasks.clone(), stopping).await;
    if let Err(error) = service.flush_connections().await {
        tracing::warn!(%error, "the last lines of the connection log are lost");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Connections at a time: as many as the settings say, if the system gives so many open files.
fn connections_max(settings: &Settings) -> usize {
    let wanted = settings.connections_max;
    let Some(files) = machine::raise_open_files() else { return wanted };
    let possible = files.saturating_sub(FILES_KEPT).max(1);
    if possible < wanted {
        tracing::warn!("the system lets this server have {files} open files: {possible} connections at a time");
    }
    wanted.min(possible)
}

/// Tells the network; a server that cannot be found can be named.
fn announce(name: &str, key: Fingerprint, local: SocketAddr) -> Option<Announcement> {
    match discovery::announce(name, key, local) {
        Ok(announced) => Some(announced),
        Err(error) => {
            tracing::warn!(%error, "computers in this network cannot find the server by themselves");
            None
        }
    }
}

/// What goes on beside the answers, as long as the server runs.
fn start_chores(service: &DiskService<Packs>, tasks: &RuntimeTasks, settings: &Settings) {
    tasks.spawn("revocations", check_revocations(service.clone()));
    let (upkeep, retention) = (service.clone(), settings.retention);
    tasks.spawn("upkeep", async move { upkeep.keep_up(retention).await });
    let log = settings.site.data_dir.join("connections.log");
    tasks.spawn("connections.log", keep_connection_log(service.clone(), tasks.clone(), log));
}

/// The sockets that the service manager listens at, if there are any, else that of the settings; and the address that is announced.
async fn listeners(settings: &Settings) -> Result<(Vec<TcpListener>, SocketAddr), Complaint> {
    let taken = take_listeners().and_then(|given| given.into_iter().map(TcpListener::from_std).collect());
    let given: Vec<TcpListener> = taken.map_err(|error| {
        Complaint::new(Exit::Failed, "E-LISTEN", format!("The service manager's sockets cannot be used: {error}."))
            .hint("See what is in skep-server.socket: systemctl cat skep-server.socket")
    })?;
    match given.first().map(TcpListener::local_addr) {
        Some(Ok(local)) => {
            tracing::info!("the service manager says where to listen; `http.listen` does not count");
            Ok((given, local))
        }
        Some(Err(error)) => Err(cannot_listen("the service manager's socket", &error)),
        None => bind(&settings.listen).await.map(|(listener, local)| (vec![listener], local)),
    }
}

async fn bind(listen: &str) -> Result<(TcpListener, SocketAddr), Complaint> {
    listen::bind(listen).await.map_err(|error| cannot_listen(listen, &error))
}

fn cannot_listen(listen: &str, error: &io::Error) -> Complaint {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "Stop what uses that port, or choose another one with --listen ADDRESS:PORT.",
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 are for the system; choose one with --listen ADDRESS:PORT."
        }
        _ => "Name an address of this machine and a port, such as --listen 127.0.0.1:7537.",
    };
    Complaint::new(Exit::Failed, "E-LISTEN", format!("Cannot listen on {listen}: {error}.")).hint(hint)
}

async fn check_revocations(service: DiskService<Packs>) {
    let clock = RuntimeClock::start();
    loop {
        clock.sleep_until(clock.monotonic_ms() + CHECK_REVOCATIONS_EVERY_MS).await;
        if let Err(error) = service.check_revocations().await {
            tracing::warn!(%error, "cannot look for devices that were signed out");
        }
    }
}

/// Writes each line of the connection log to a file too.
async fn keep_connection_log(service: DiskService<Packs>, tasks: impl Tasks, path: PathBuf) {
    let mut lines = service.subscribe_connections();
    let mut log = match BoundedLog::open(&path, CONNECTION_LOG_BYTES_MAX) {
        Ok(log) => log,
        Err(error) => return tracing::warn!(%error, "cannot write {}", path.display()),
    };
    loop {
        let text = match lines.recv().await {
            Ok(line) => format!("{}\n", connection_line(&line)),
            Err(RecvError::Lagged(lost)) => format!("{{\"lost_lines\":{lost}}}\n"),
            Err(RecvError::Closed) => return,
        };
        let written = offload(&tasks, Lane::Disk, move || (log.write_all(text.as_bytes()), log)).await;
        match written {
            Ok((Ok(()), same)) => log = same,
            Ok((Err(error), same)) => {
                tracing::warn!(%error, "cannot write {}", path.display());
                log = same;
            }
            Err(_) => return,
        }
    }
}

fn tell_service_manager(moment: Moment) {
    if let Err(error) = tell(moment) {
        tracing::warn!(%error, "cannot tell the service manager: {moment:?}");
    }
}
