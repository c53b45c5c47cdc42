//! Runs worlds from seeds: `skep-sim --seeds N --start S`, or one of them, told as it happens: `skep-sim SEED`.

use std::process::ExitCode;

use clap::Parser;
use skep_sim::{Listener, Options, Outcome, Swarm, Violation, run_all, run_many, run_world, running_here};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Runs the whole system in simulated worlds.
#[derive(Parser)]
struct Arguments {
    /// Runs this seed alone and tells on stderr what happens.
    seed: Option<u64>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Goes on after a violation and tells of each in a line.
    #[arg(long)]
    keep_going: bool,
    /// Servers are brought back from copies, clients lose their state, and the past goes.
    #[arg(long)]
    meetings: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let swarm = if arguments.meetings { Swarm::Meetings } else { Swarm::Usual };
    if arguments.keep_going {
        return list(arguments.start, arguments.seeds, swarm);
    }
    let result = match arguments.seed {
        Some(seed) => run_told(seed, Options::drawn(seed, swarm), Listener::Stderr)
            .map(|outcome| println!("{outcome:?}\n1 seed without a violation")),
        None => run_many(arguments.start, arguments.seeds, swarm).map(|figures| {
            let clean = figures.seeds - figures.known;
            println!("{figures}\n{clean} seeds without a violation, {} with one that is known", figures.known);
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            report(&violation);
            ExitCode::FAILURE
        }
    }
}

/// Puts virtual time and process before what Skep says in its logs.
struct Running;

impl FormatTime for Running {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let (process, at_us) = running_here();
        write!(writer, "{:>10.3} ms  process {process}", at_us as f64 / 1000.0)
    }
}

fn list(start: u64, seeds: u64, swarm: Swarm) -> ExitCode {
    let mut count = 0u64;
    for violation in run_all(start, seeds, swarm) {
        count += 1;
        println!("seed {}: {}", violation.seed, violation.what);
    }
    println!("{count} of {seeds} seeds with a violation");
    if count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one seed and tells everything; with `SKEP_LOG=trace`, also what Skep says in its logs.
fn run_told(seed: u64, options: Options, listener: Listener) -> Result<Outcome, Violation> {
    let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Running)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    run_world(seed, options, listener)
}

fn report(violation: &Violation) {
    eprintln!("{violation}");
    println!("1 violation, in seed {}", violation.seed);
}
