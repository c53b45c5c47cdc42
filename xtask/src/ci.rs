//! `cargo xtask ci`: everything that guards main, on a laptop as in CI.
//!
//! First the tools ([`tools`]): what is missing is installed, or the run ends with a sentence that says what to do; no
//! check is ever left out silently. Then the stages in order, until the first that fails. A table of times ends the run.

mod stages;
mod tools;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::arguments::Arguments;
use crate::say::{self, Tone, toned};
use crate::{interrupt, process};

use stages::{STAGES, Stage};

/// What CI may take on two cores; a longer run is said so in its table.
const BUDGET: Duration = Duration::from_secs(25 * 60);

/// How a stage went.
enum Outcome {
    Passed(Duration),
    Failed(Duration, anyhow::Error),
    NotReached,
}

/// Runs the task.
pub fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let list = arguments.switch("--list");
    let only = arguments.option::<String>("--only")?;
    arguments.finish()?;
    if list {
        print!("{}", tools::table());
        println!();
        print!("{}", stages_table());
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<&Stage> =
        STAGES.iter().filter(|stage| only.as_ref().is_none_or(|only| only == stage.name)).collect();
    if chosen.is_empty() {
        bail!("there is no stage of that name\nhint: `cargo xtask ci --list`");
    }
    interrupt::listen()?;
    let began = Instant::now();
    tools::provide(&chosen)?;
    let mut outcomes = Vec::new();
    for stage in &chosen {
        outcomes.push(match outcomes.last() {
            Some(Outcome::Failed(..) | Outcome::NotReached) => Outcome::NotReached,
            _ => run_stage(stage),
        });
    }
    Ok(report(&chosen, &outcomes, began.elapsed()))
}

fn run_stage(stage: &Stage) -> Outcome {
    println!("\n{}", toned(Tone::Strong, &format!("== {}: {}", stage.name, stage.what)));
    let began = Instant::now();
    match stage.run() {
        Ok(()) => Outcome::Passed(began.elapsed()),
        Err(error) => {
            say::error(&error);
            Outcome::Failed(began.elapsed(), error)
        }
    }
}

fn report(stages: &[&Stage], outcomes: &[Outcome], took: Duration) -> ExitCode {
    let row = |(stage, outcome): (&&Stage, &Outcome)| {
        let (word, time, remark) = match outcome {
            Outcome::Passed(time) => ("passed", say::duration(*time), String::new()),
            Outcome::Failed(time, error) => {
                ("FAILED", say::duration(*time), error.to_string().lines().next().unwrap_or_default().to_owned())
            }
            Outcome::NotReached => ("not reached", String::new(), String::new()),
        };
        vec![stage.name.to_owned(), word.to_owned(), time, remark]
    };
    let rows: Vec<Vec<String>> = stages.iter().zip(outcomes).map(row).collect();
    println!("\n{}", say::table(&["stage", "result", "time", ""], &[2], &rows));
    let failed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(..)));
    let word = if failed { toned(Tone::Bad, "ci: failed") } else { toned(Tone::Good, "ci: passed") };
    println!("{word} in {}", say::duration(took));
    if took > BUDGET {
        println!("warning: that is more than the {} that CI may take", say::duration(BUDGET));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn stages_table() -> String {
    let row = |stage: &Stage| vec![stage.name.to_owned(), stage.what.to_owned()];
    let rows: Vec<Vec<String>> = STAGES.iter().map(row).collect();
    say::table(&["stage", "what it shows"], &[], &rows)
}

/// Runs cargo in view, with `environment` added, within `limit`.
fn cargo(arguments: &[&str], environment: &[(&str, &str)], limit: Duration) -> Result<()> {
    let mut command = process::command(crate::cargo::program())?;
    command.args(arguments).envs(environment.iter().copied()).current_dir(crate::cargo::root());
    let line = format!("cargo {}", arguments.join(" "));
    let status = process::Process::start_in_view(&line, command)?.wait(limit)?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}
