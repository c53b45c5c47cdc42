//! The background service: `skep daemon run|start|stop|status`.

use std::env;
use std::io::{self, Write};
use std::process::{Command as Process, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use skep_platform::Tasks;
use skep_platform::own_files::{self, BoundedLog, Lock};
use skep_platform::runtime::{RuntimeTasks, stop_signal};
use skep_platform::service_manager::{Moment, keep_alive, tell};
use skep_platform::talk::{Complaint, Exit};
use skep_types::{Limits, product};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::args::{Colour, DaemonCommand, Global};
use crate::control::{self, ControlAnswer, ControlRequest, ControlServer, DaemonConnection};
use crate::home::{Config, Home};
use crate::link::HttpLink;
use crate::status::SCHEMA;
use crate::terminal;
use crate::{engine, install};

/// The log and its one predecessor are at most this long each.
const LOG_BYTES_MAX: u64 = 5 << 20;
/// What is under way may take so long to come to an end; a kill would lose nothing either.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A daemon that was started answers within this time.
const START_WITHIN: Duration = Duration::from_secs(15);
/// Target of what goes to the log file and not to standard error.
const LOG_ONLY: &str = "log only";
/// How often a starting or stopping daemon is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Does what was asked of the daemon.
pub async fn daemon(command: DaemonCommand, global: &Global) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    match command {
        DaemonCommand::Run => run(&home, global).await,
        DaemonCommand::Start => start(&home, global).await,
        DaemonCommand::Stop => stop(&home, global).await,
        DaemonCommand::Restart => {
            stop(&home, &Global { quiet: true, ..global.clone() }).await?;
            start(&home, global).await
        }
        DaemonCommand::Install { print } => install::install(&home, global, print).await,
        DaemonCommand::Uninstall => install::uninstall(&home, global).await,
        DaemonCommand::Status => status(&home, global).await,
    }
}

async fn run(home: &Home, global: &Global) -> Result<Exit, Complaint> {
    let config = home.joined()?;
    home.make()?;
    let lock = claim(home)?;
    serve(home, global, config, lock, Limits::SHIPPED, stop_signal()).await
}

/// Makes this process the one client of its home.
pub fn claim(home: &Home) -> Result<Lock, Complaint> {
    own_files::lock(&home.lock()).map_err(|error| trouble(home, &error))?.ok_or_else(|| {
        Complaint::new(
            Exit::Failed,
            "E-DAEMON-RUNS",
            format!("Another client is running in `{}`.", home.dir().display()),
        )
        .hint("Stop it:   skep daemon stop")
    })
}

/// Syncs in the foreground until `stop` says by what it is told to stop.
pub async fn serve(
    home: &Home,
    global: &Global,
    config: Config,
    _lock: Lock,
    limits: Limits,
    stop: impl Future<Output = &'static str>,
) -> Result<Exit, Complaint> {
    let token = home.token()?;
    let trouble = |error: io::Error| trouble(home, &error);
    start_log(home, global).map_err(trouble)?;
    tracing::info!("{} {} for {}", product::NAME, env!("CARGO_PKG_VERSION"), config.folder.local.display());
    let tasks = RuntimeTasks::new(Handle::current());
    let limits = config.safety.clone().unwrap_or_default().limits(limits);
    let link = HttpLink::new(config.server.url.clone(), config.server.fingerprint, limits);
    let started = engine::start_client(home, &config, token, link, tasks.clone(), limits).await;
    let client = match started {
        Ok(client) => client,
        Err(complaint) => {
            // Whoever started it is told by the complaint itself.
            tracing::error!(target: LOG_ONLY, "{complaint}");
            home.keep_last_words(&complaint)?;
            return Err(complaint);
        }
    };
    home.forget_last_words()?;
    let server = ControlServer::bind(home).map_err(trouble)?;
    let (stop_by_command, mut stopped) = mpsc::channel(1);
    tasks.spawn("control", control::serve(server, client.clone(), Arc::new(config), tasks.clone(), stop_by_command));
    // Exactly this line is part of the contract for automation.
    let _ = writeln!(io::stderr(), "ready");
    tell_service_manager(Moment::Ready);
    tasks.spawn("watchdog", keep_alive());
    tokio::select! {
        biased;
        signal = stop => tracing::info!("stopping, told to by {signal}"),
        _ = stopped.recv() => tracing::info!("stopping, told to by a command"),
    }
    tell_service_manager(Moment::Stopping);
    if timeout(STOP_WITHIN, client.stop()).await.is_err() {
        tracing::warn!("some work was still under way; it is taken up again at the next start");
    }
    // A command that still connects should not find a socket that nobody answers.
    let _ = own_files::remove(&home.socket());
    tracing::info!("stopped");
    Ok(Exit::Done)
}

fn tell_service_manager(moment: Moment) {
    if let Err(error) = tell(moment) {
        tracing::warn!(%error, "cannot tell the service manager: {moment:?}");
    }
}

fn trouble(home: &Home, error: &io::Error) -> Complaint {
    Complaint::new(Exit::Failed, "E-HOME", format!("Cannot run in `{}`: {error}.", home.dir().display()))
}

/// Starts the daemon in the background and waits until it answers.
pub async fn start(home: &Home, global: &Global) -> Result<Exit, Complaint> {
    home.joined()?;
    if hello(home).await.is_some() {
        return say(global, "The background service is running already.");
    }
    let failed = |why: String| {
        Complaint::new(Exit::Failed, "E-DAEMON-START", format!("The background service did not start: {why}."))
            .hint(format!("It says why in `{}`.", home.log().display()))
    };
    let program = env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut process = Process::new(program);
    process.arg("--home").arg(home.dir()).args(["daemon", "run"]);
    process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    detach(&mut process);
    let mut child = process.spawn().map_err(|error| failed(error.to_string()))?;
    let answers = async {
        loop {
            if let Ok(Some(ended)) = child.try_wait() {
                return Err(match home.last_words() {
                    Some(why) => {
                        let what = format!("The background service did not start: {} ({})", why.message, why.code);
                        Complaint::new(Exit::Failed, "E-DAEMON-START", what).hint(why.hint)
                    }
                    None => failed(ended.to_string()),
                });
            }
            if hello(home).await.is_some() {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    };
    match timeout(START_WITHIN, answers).await {
        Ok(answered) => answered?,
        Err(_) => return Err(failed("it does not answer".into())),
    }
    say(global, "The background service is running.")
}

/// Stops the daemon, if it runs, and waits until it is gone.
pub async fn stop(home: &Home, global: &Global) -> Result<Exit, Complaint> {
    let Some(mut daemon) = DaemonConnection::open(home).await else {
        return say(global, "The background service is off already.");
    };
    daemon.ask(&ControlRequest::Stop).await?;
    let free = async {
        // The lock is free when the process is gone, however it ends.
        while !matches!(own_files::lock(&home.lock()), Ok(Some(_))) {
            sleep(LOOK_EVERY).await;
        }
    };
    if timeout(STOP_WITHIN * 2, free).await.is_err() {
        return Err(Complaint::new(Exit::TimedOut, "E-DAEMON-STOP", "The background service does not stop."));
    }
    say(global, "The background service is off.")
}

async fn status(home: &Home, global: &Global) -> Result<Exit, Complaint> {
    let found = hello(home).await;
    if global.json {
        let (pid, version) = found.clone().unzip();
        let answer = json!({ "schema": SCHEMA, "running": found.is_some(), "pid": pid, "version": version });
        terminal::print(&format!("{answer}\n"))?;
    } else {
        match &found {
            Some((pid, version)) => terminal::print(&format!("running, process {pid}, version {version}\n"))?,
            None => terminal::print("not running\n")?,
        }
    }
    Ok(if found.is_some() { Exit::Done } else { Exit::Unreachable })
}

/// Process and version of the daemon that answers.
pub async fn hello(home: &Home) -> Option<(u32, String)> {
    let mut daemon = DaemonConnection::open(home).await?;
    match daemon.ask(&ControlRequest::Hello).await {
        Ok(ControlAnswer::Hello { pid, version, .. }) => Some((pid, version)),
        _ => None,
    }
}

/// Says what was done, unless nobody wants to know.
pub fn say(global: &Global, text: &str) -> Result<Exit, Complaint> {
    if !global.quiet {
        terminal::say(text);
    }
    Ok(Exit::Done)
}

/// The same lines to standard error and to the log file.
fn start_log(home: &Home, global: &Global) -> io::Result<()> {
    let file = BoundedLog::open(&home.log(), LOG_BYTES_MAX)?;
    let on_terminal = io::IsTerminal::is_terminal(&io::stderr()) && env::var_os("NO_COLOR").is_none();
    let ansi = match global.color {
        Colour::Auto => on_terminal,
        Colour::Always => true,
        Colour::Never => false,
    };
    let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let said = filter_fn(|line| line.target() != LOG_ONLY);
    tracing_subscriber::registry()
        .with(filter)
        .with(fmt::layer().with_writer(io::stderr).with_ansi(ansi).with_filter(said))
        .with(fmt::layer().with_writer(Mutex::new(file)).with_ansi(false))
        .init();
    Ok(())
}

/// Lets the daemon outlive the terminal that it was started from.
#[cfg(unix)]
fn detach(process: &mut Process) {
    std::os::unix::process::CommandExt::process_group(process, 0);
}

/// Lets the daemon outlive the terminal that it was started from.
#[cfg(windows)]
fn detach(process: &mut Process) {
    const CREATE_NO_WINDOW: u32 = 0x0800_0000;
    std::os::windows::process::CommandExt::creation_flags(process, CREATE_NO_WINDOW);
}
