//! Runs worlds from seeds: `skep-sim --seeds N --start S`, or one of them, told as it happens: `skep-sim SEED`.

use std::process::ExitCode;

use clap::Parser;
use skep_sim::{Listener, Options, Random, Violation, run_many, run_world};

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.seed {
        Some(seed) => run_world(seed, Options::draw(&mut Random::new(seed)), Listener::Stderr)
            .map(|outcome| println!("{outcome:?}\n1 seed without a violation")),
        None => run_many(arguments.start, arguments.seeds)
            .map(|figures| println!("{figures}\n{} seeds without a violation", figures.seeds)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            report(&violation);
            ExitCode::FAILURE
        }
    }
}

fn report(violation: &Violation) {
    eprintln!("{violation}");
    println!("1 violation, in seed {}", violation.seed);
}
