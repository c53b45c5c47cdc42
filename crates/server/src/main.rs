//! `skep-server`: reads the command line, does one thing, ends with its exit code.

use std::env;
use std::process::ExitCode;

use skep_platform::talk::{Complaint, Exit};
use skep_server::args::{self, Asked, Command};
use skep_server::config::LogFormat;
use skep_server::{admin, backup, codes, config, connection_log, export, fsck, reference, run, upgrade, upkeep};
use tracing_subscriber::EnvFilter;

/// musl's allocator is slow under threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Two providers may be compiled in by dependencies; then rustls refuses to choose.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        unreachable!("nothing ran before this line");
    }
    match serve() {
        Ok(exit) => exit.into(),
        Err(complaint) => {
            eprintln!("{complaint}");
            complaint.exit.into()
        }
    }
}

fn serve() -> Result<Exit, Complaint> {
    let command = match args::parse(env::args_os())? {
        Asked::Command(command) => command,
        Asked::Text(text) => {
            print!("{text}");
            return Ok(Exit::Done);
        }
    };
    start_log(&command)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Complaint::new(Exit::Failed, "E-INTERNAL", format!("Cannot start threads: {error}.")))?;
    let done = runtime.block_on(carry_out(command));
    // A job that hangs on a dead disk must not hold up the end.
    runtime.shutdown_background();
    done
}

async fn carry_out(command: Command) -> Result<Exit, Complaint> {
    let done = match command {
        Command::Run(args) => run::run(config::of_run(&args)?).await,
        Command::User(command) => admin::user(command).await,
        Command::Device(command) => admin::device(command).await,
        Command::SetupCode(data) => codes::setup_code(data).await,
        Command::Invite(args) => codes::invite(args).await,
        Command::Fingerprint(data) => admin::fingerprint(data),
        Command::Export(args) => export::export(args),
        Command::Fsck(args) => fsck::fsck(args),
        Command::Gc(args) => upkeep::gc(args),
        Command::Scrub(args) => upkeep::scrub(args),
        Command::Backup(command) => backup::backup(command),
        Command::Log(args) => connection_log::log(args).await,
        Command::Config(command) => config::config(command),
        Command::Upgrade(args) => return upgrade::upgrade(args).await,
        Command::Completions { shell } => reference::completions(shell),
        Command::Man => reference::manual(),
    };
    done.map(|()| Exit::Done)
}

/// A server tells its story on standard error; a command says only what went wrong.
fn start_log(command: &Command) -> Result<(), Complaint> {
    let (level, format) = match command {
        Command::Run(args) => {
            let settings = config::of_run(args)?;
            (settings.log_level, settings.log_format)
        }
        _ => ("warn".to_owned(), LogFormat::Text),
    };
    let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr()) && env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
