//! `cargo xtask sim`: whole-system worlds from seeds.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::cargo::{self, Profile};
use crate::interrupt;
use crate::process::{self, LOOK_EVERY, Process};

/// Seeds of one process in an endless run: few enough that it reports now and then.
const ENDLESS_BATCH: u64 = 500;
/// Processes at once when nothing is said.
const JOBS: u64 = 2;

/// Which worlds the seeds make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worlds {
    Usual,
    /// In which servers are brought back from copies, clients lose their state, and the past goes.
    Meetings,
}

/// Runs the task.
pub fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let seeds = arguments.option::<u64>("--seeds")?;
    let start = arguments.option::<u64>("--start")?;
    let jobs = arguments.option::<u64>("--jobs")?.unwrap_or(JOBS).max(1);
    let forever = arguments.switch("--forever");
    let built = arguments.switch("--no-build");
    let worlds = if arguments.switch("--meetings") { Worlds::Meetings } else { Worlds::Usual };
    let one = arguments.word().map(|seed| seed.parse::<u64>().with_context(|| format!("`{seed}` is no seed")));
    arguments.finish()?;
    interrupt::listen()?;
    if !built {
        cargo::build(&["skep-sim"], Profile::Dev)?;
    }
    match one.transpose()? {
        Some(seed) => batch(worlds, seed, 1, 1)?,
        None if forever => {
            let mut start = start.map_or_else(seed_from_clock, Ok)?;
            loop {
                batch(worlds, start, ENDLESS_BATCH.saturating_mul(jobs), jobs)?;
                start = start.wrapping_add(ENDLESS_BATCH.saturating_mul(jobs));
            }
        }
        None => {
            let seeds = seeds.context("say which worlds: a SEED, or `--seeds N --start S`")?;
            batch(worlds, start.unwrap_or(1), seeds, jobs)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `seeds` worlds from `start`, shared out among `jobs` processes. Fails as soon as one of them does.
fn batch(worlds: Worlds, start: u64, seeds: u64, jobs: u64) -> Result<()> {
    let program = cargo::programs(Profile::Dev)?.join("skep-sim");
    if !program.is_file() {
        bail!("`{}` is not built", program.display());
    }
    let mut running = Vec::new();
    for (start, seeds) in shares(start, seeds, jobs) {
        let mut command = process::command(&program)?;
        command.args(["--seeds", &seeds.to_string(), "--start", &start.to_string()]).current_dir(cargo::root());
        if worlds == Worlds::Meetings {
            command.arg("--meetings");
        }
        running.push(Process::start_in_view(&format!("worlds {start} to {}", start + (seeds - 1)), command)?);
    }
    while !running.is_empty() {
        interrupt::check()?;
        let mut index = 0;
        while index < running.len() {
            match running[index].ended()? {
                None => index += 1,
                Some(status) if status.success() => drop(running.swap_remove(index)),
                Some(status) => bail!("{}: {status}; the seed and how to replay it stand above", running[index].name),
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Consecutive shares of the seeds, none of them empty.
fn shares(start: u64, seeds: u64, jobs: u64) -> Vec<(u64, u64)> {
    let jobs = jobs.min(seeds);
    let mut next = start;
    (0..jobs)
        .map(|job| {
            let share = seeds / jobs + u64::from(job < seeds % jobs);
            let first = next;
            next += share;
            (first, share)
        })
        .collect()
}

/// An endless run starts somewhere new each time; the seeds are printed, so it can be repeated.
fn seed_from_clock() -> Result<u64> {
    let now: Duration = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(now.as_secs().wrapping_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn shares_cover_every_seed_once() {
        assert_eq!(shares(10, 5, 2), [(10, 3), (13, 2)]);
        assert_eq!(shares(1, 1, 2), [(1, 1)]);
        assert_eq!(shares(1, 0, 2), []);
    }
}
