//! The project's own tasks, started as `cargo xtask TASK`.
//!
//! `demo` shows Skep at work, `ci` runs every check that guards main, `tidy` is the check that reads the project as a
//! reader would, `sim` replays simulated worlds, `soak` torments the real programs, `conformance` runs them on
//! each file system and on full disks, `dist` makes what is released, and `bench` measures. They share [`rig`],
//! which runs the real programs, and [`process`], which sees to it that no started process outlives the task.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a task measures time and waits for programs; nothing of it is simulated"
)]

mod arguments;
mod bench;
mod cargo;
mod ci;
mod conformance;
mod demo;
mod dist;
mod interrupt;
mod process;
mod rig;
mod say;
mod sim;
mod soak;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use arguments::Arguments;

const USAGE: &str = "\
cargo xtask TASK

  demo [--once] [--keep DIR]        a server and two computers on this machine, real files moving between them
  ci                                everything that guards main, with times; installs what it needs
  ci --list                         the stages and the tools, without running them
  ci --only STAGE                   one stage
  tidy                              the project's own rules: dependencies, layers, sizes, links, leftovers
  sim SEED                          replay one simulated world
  sim --seeds N --start S           many worlds [--jobs 2] [--forever]
  soak SEED [--seconds 30] [--kill] [--apart] [--no-build]
                                    random programs on two computers, real server and clients, killed at random
  conformance [--only ROW]          the tests with real files on ext4, XFS, Btrfs, tmpfs and overlayfs, and on full disks; as root
  dist [--no-build]                 static programs for Linux as archives and Debian packages, in target/dist, tried out where possible
  bench [--dev] [--only WORKLOAD] [--quick] [--save]
                                    measure a server and two clients on this machine";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_command_line();
    let outcome = match arguments.word().as_deref() {
        Some("demo") => demo::run(arguments),
        Some("ci") => ci::run(arguments),
        Some("tidy") => tidy::run(arguments),
        Some("sim") => sim::run(arguments),
        Some("soak") => soak::run(arguments),
        Some("bench") => bench::run(arguments),
        Some("dist") => dist::run(arguments),
        Some("conformance") => conformance::run(arguments),
        Some(process::LEASH) => process::leashed(arguments),
        Some("help" | "--help" | "-h") => usage(&mut std::io::stdout()),
        _ => usage(&mut std::io::stderr()).map(|_| ExitCode::from(2)),
    };
    outcome.unwrap_or_else(|error| {
        say::error(&error);
        ExitCode::FAILURE
    })
}

fn usage(to: &mut dyn std::io::Write) -> Result<ExitCode> {
    writeln!(to, "{USAGE}")?;
    Ok(ExitCode::SUCCESS)
}
