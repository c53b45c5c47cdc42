//! A running server, from its first line to its last.

use std::io::{self, Write};
use std::path::PathBuf;

use skep_platform::runtime::stop_signal;
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{Clock, Lane, Tasks, offload, own_files::BoundedLog, runtime::RuntimeClock};
use skep_service::{Retention, connection_line};
use skep_types::{Limits, product};
use tokio::sync::broadcast::error::RecvError;

use crate::admin::identity;
use crate::config::Settings;
use crate::store::{DiskService, Opened, Packs, open};
use crate::{listen, stop};

/// How soon a device that another process signed out is cut off.
const CHECK_REVOCATIONS_EVERY_MS: u64 = 1000;
/// `connections.log` and its one predecessor are at most this long each. The database keeps the lines too.
const CONNECTION_LOG_BYTES_MAX: u64 = 64 << 20;

/// Serves until it is told to stop.
pub async fn run(settings: Settings) -> Result<(), Complaint> {
    let Settings { data_dir, listen, open: wants_open } = settings;
    let Opened { service, tasks, .. } = &open(&data_dir).await?;
    let identity = identity(&data_dir)?;
    let (listener, local) = listen::bind(&listen).await.map_err(|error| cannot_listen(&listen, &error))?;
    tracing::info!("{} {}, data in {}", product::SERVER, env!("CARGO_PKG_VERSION"), data_dir.display());
    tracing::info!("server key {}", identity.fingerprint);
    tracing::info!("listening on https://{local}");
    if wants_open {
        service.open_to_all();
        tracing::info!("open: anyone who reaches this server may make an account");
    }
    let (stop, stopping) = stop::channel();
    tasks.spawn("signals", async move {
        let signal = stop_signal().await;
        tracing::info!("stopping, told to by {signal}");
        tell_service_manager(Moment::Stopping);
        stop.stop();
    });
    tasks.spawn("revocations", check_revocations(service.clone()));
    let upkeep = service.clone();
    tasks.spawn("upkeep", async move { upkeep.keep_up(Retention::SHIPPED).await });
    tasks.spawn(
        "connections.log",
        keep_connection_log(service.clone(), tasks.clone(), data_dir.join("connections.log")),
    );

    // Exactly this line is part of the contract for automation.
    let _ = writeln!(io::stderr(), "ready");
    tell_service_manager(Moment::Ready);
    listen::serve(listener, identity.tls, service.clone(), Limits::SHIPPED, tasks.clone(), stopping).await;
    if let Err(error) = service.flush_connections().await {
        tracing::warn!(%error, "the last lines of the connection log are lost");
    }
    tracing::info!("stopped");
    Ok(())
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

/// What a service manager wants to know.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Ready,
    Stopping,
}

#[cfg(unix)]
fn tell_service_manager(moment: Moment) {
    let state = match moment {
        Moment::Ready => sd_notify::NotifyState::Ready,
        Moment::Stopping => sd_notify::NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot tell the service manager: {moment:?}");
    }
}

#[cfg(not(unix))]
fn tell_service_manager(_: Moment) {}
