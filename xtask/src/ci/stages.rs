//! The stages of CI, as a table: cheap ones first, so that a slip is told within seconds.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{cargo, tools};
use crate::process;
use crate::tidy::{self, Part};

/// What a stage does.
#[derive(Debug, Clone, Copy)]
enum Job {
    /// Runs cargo with these arguments and environment.
    Cargo(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// Runs another task of this program.
    Task(&'static [&'static str]),
    /// Checks what a reader relies on.
    Tidy(Part),
    /// Runs the tests with the best runner that is installed.
    Tests,
}

/// One stage.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// For `--only` and the table.
    pub name: &'static str,
    /// What it shows when it passes.
    pub what: &'static str,
    /// The names of the tools that it needs ([`tools::TOOLS`]).
    pub tools: &'static [&'static str],
    job: Job,
    minutes_max: u64,
}

/// All stages, in order. What is built by `build` is used by all later ones.
pub const STAGES: &[Stage] = &[
    Stage {
        name: "fmt",
        what: "every file is formatted",
        tools: &["rustfmt"],
        job: Job::Cargo(&["fmt", "--all", "--check"], &[]),
        minutes_max: 2,
    },
    Stage {
        name: "tidy",
        what: "seams, sizes, links, leftovers",
        tools: &["git"],
        job: Job::Tidy(Part::Text),
        minutes_max: 2,
    },
    Stage {
        name: "purity",
        what: "licences, layers, and that what decides reaches no IO",
        tools: &[],
        job: Job::Tidy(Part::Dependencies),
        minutes_max: 5,
    },
    Stage {
        name: "clippy",
        what: "no warning anywhere",
        tools: &["clippy", "cc"],
        job: Job::Cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
        minutes_max: 15,
    },
    Stage {
        name: "build",
        what: "every program and test compiles",
        tools: &["cc"],
        job: Job::Cargo(&["build", "--locked", "--workspace", "--all-targets"], &[]),
        minutes_max: 20,
    },
    Stage {
        name: "tests",
        what: "units, properties, conformance, end to end",
        tools: &["cc", "git", "vim", "sqlite3", "rsync", "zip", "nginx", "caddy", "openssl", "pebble"],
        job: Job::Tests,
        minutes_max: 15,
    },
    Stage {
        name: "doctests",
        what: "examples in the documentation run",
        tools: &["cc"],
        job: Job::Cargo(&["test", "--locked", "--workspace", "--doc"], &[]),
        minutes_max: 10,
    },
    Stage {
        name: "docs",
        what: "the documentation builds, each link in it leads somewhere",
        tools: &["cc"],
        job: Job::Cargo(&["doc", "--locked", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
        minutes_max: 10,
    },
    Stage {
        name: "sim",
        what: "2,000 simulated worlds with faults lose nothing and converge",
        tools: &[],
        job: Job::Task(&["sim", "--no-build", "--seeds", "2000", "--start", "1", "--jobs", "2"]),
        minutes_max: 6,
    },
    Stage {
        name: "meetings",
        what: "simulated worlds whose servers go back, whose states are lost and whose past goes lose nothing and converge",
        tools: &[],
        job: Job::Task(&["sim", "--no-build", "--meetings", "--seeds", "300", "--start", "1", "--jobs", "2"]),
        minutes_max: 4,
    },
    Stage {
        name: "windows",
        what: "both programs compile for Windows",
        tools: &["mingw", "nasm", "windows target"],
        job: Job::Cargo(
            &[
                "check",
                "--locked",
                "--target",
                "x86_64-pc-windows-gnu",
                "--package",
                "skep",
                "--package",
                "skep-server",
            ],
            &[],
        ),
        minutes_max: 10,
    },
    Stage {
        name: "demo",
        what: "the real programs carry real files from one computer to another",
        tools: &[],
        job: Job::Task(&["demo", "--once", "--no-build"]),
        minutes_max: 5,
    },
];

impl Stage {
    /// Runs it to its end.
    pub fn run(&self) -> Result<()> {
        let limit = Duration::from_secs(self.minutes_max * 60);
        match self.job {
            Job::Cargo(arguments, environment) => cargo(arguments, environment, limit),
            Job::Task(arguments) => task(arguments, limit),
            Job::Tidy(part) => {
                let findings = tidy::check(part)?;
                let count = findings.len();
                tidy::report(&findings);
                if count > 0 { bail!("{count} found") } else { Ok(()) }
            }
            // Each test in a process of its own and a time limit for each; installing that takes minutes, so a machine
            // without it runs the same tests with cargo's own runner.
            Job::Tests if tools::has_nextest() => cargo(&["nextest", "run", "--locked", "--workspace"], &[], limit),
            Job::Tests => cargo(&["test", "--locked", "--workspace", "--all-targets"], &[], limit),
        }
    }
}

/// Runs this program with another task, so that what it starts and prints is the same as by hand.
fn task(arguments: &[&str], limit: Duration) -> Result<()> {
    let mut command = process::command(process::this_program()?)?;
    command.args(arguments).current_dir(crate::cargo::root());
    let line = format!("cargo xtask {}", arguments.join(" "));
    let status = process::Process::start_in_view(&line, command)?.wait(limit)?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tools::TOOLS;
    use super::STAGES;

    #[test]
    fn each_tool_that_a_stage_names_is_known_and_each_known_tool_is_needed() {
        for stage in STAGES {
            for tool in stage.tools {
                assert!(TOOLS.iter().any(|known| known.name == *tool), "{} needs {tool}", stage.name);
            }
        }
        for tool in TOOLS {
            assert!(STAGES.iter().any(|stage| stage.tools.contains(&tool.name)), "nothing needs {}", tool.name);
        }
    }
}
