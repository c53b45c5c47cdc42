//! `cargo xtask bench`: how fast the real programs are, on this machine, over loopback, server and both clients together.
//!
//! The figures compare one version of Skep with the next on one machine. They are no comparison with other programs and
//! no promise: three programs share the processors here and the network has no delay.

mod gauge;
mod workloads;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::arguments::Arguments;
use crate::cargo::{self, Profile};
use crate::rig::{Place, Programs, Rig};
use crate::{interrupt, say};

use workloads::{Figure, WORKLOADS};

/// Where `--save` puts the figures.
const SAVED: &str = "docs/bench/latest.json";

/// Runs the task.
pub fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let profile = if arguments.switch("--dev") { Profile::Dev } else { Profile::Release };
    let built = arguments.switch("--no-build");
    let quick = arguments.switch("--quick");
    let save = arguments.switch("--save");
    let only = arguments.option::<String>("--only")?;
    arguments.finish()?;
    interrupt::listen()?;
    let directory = match built {
        true => cargo::programs(profile)?,
        false => cargo::build(&["skep-server", "skep"], profile)?,
    };
    let programs = Programs::in_directory(&directory)?;
    let place = Place::temporary("bench")?;
    let figures =
        measure(&programs, &place, quick, only.as_deref()).inspect_err(|_| eprintln!("{}", place.log_tails()))?;
    print(&figures);
    if save {
        write(&figures, profile)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the workloads in one rig, in order: later ones build on the files of earlier ones.
fn measure(programs: &Programs, place: &Place, quick: bool, only: Option<&str>) -> Result<Vec<Figure>> {
    let mut rig = Rig::raise(programs, place, &mut |_, _| {})?;
    let mut figures = Vec::new();
    for workload in WORKLOADS {
        let chosen = only.is_none_or(|only| only == workload.name || workload.needed_by.contains(&only));
        if chosen && !(quick && workload.slow) {
            println!("{} …", workload.what);
            let measured = (workload.run)(&mut rig, place).with_context(|| format!("workload {}", workload.name))?;
            for figure in &measured {
                println!("    {}: {}", figure.name, figure.said());
            }
            figures.extend(measured);
        }
    }
    figures.extend(gauge::peaks(&rig)?);
    rig.lower()?;
    Ok(figures)
}

fn print(figures: &[Figure]) {
    let rows: Vec<Vec<String>> =
        figures.iter().map(|figure| vec![figure.name.clone(), figure.said(), figure.remark.clone()]).collect();
    println!("\n{}", say::table(&["measured", "figure", ""], &[1], &rows));
}

fn write(figures: &[Figure], profile: Profile) -> Result<()> {
    let path = cargo::root().join(SAVED);
    std::fs::create_dir_all(path.parent().context("the figures have no directory")?)?;
    let commit = std::process::Command::new("git").args(["rev-parse", "HEAD"]).current_dir(cargo::root()).output()?;
    let processors = std::thread::available_parallelism()?.get();
    let figures: Vec<_> = figures
        .iter()
        .map(|figure| json!({ "name": figure.name, "value": figure.value, "unit": figure.unit.name() }))
        .collect();
    let document = json!({
        "commit": String::from_utf8_lossy(&commit.stdout).trim(),
        "profile": format!("{profile:?}").to_lowercase(),
        "processors": processors,
        "figures": figures,
    });
    std::fs::write(&path, format!("{document:#}\n"))?;
    println!("written to {SAVED}");
    Ok(())
}

/// The share `of_hundred` of sorted durations lies at or below the answer.
fn percentile(sorted: &[Duration], of_hundred: usize) -> Duration {
    let rank = (sorted.len() * of_hundred).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let sorted: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        let of = |share| super::percentile(&sorted, share).as_millis();
        assert_eq!([of(50), of(95), of(100)], [10, 19, 20]);
    }
}
