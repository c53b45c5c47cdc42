//! `cargo xtask tidy`: what a reader may rely on, checked where the compiler cannot.
//!
//! Each check returns [`Finding`]s; nothing is fixed by itself. The tables that a person edits are `deny.toml` (licences,
//! banned and doubled dependencies), [`layers`] (which crate may use which) and [`words`] (what may be written where).

mod dependencies;
mod docs;
mod layers;
mod leftovers;
mod licence;
mod sources;
mod words;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::Arguments;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where: `file:line`, a file or a package.
    pub place: String,
    /// Which rule, and how it is broken.
    pub rule: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    fn new(place: impl Into<String>, rule: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { place: place.into(), rule: rule.into(), remedy: remedy.into() }
    }
}

/// Which checks to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What stands in the files.
    Text,
    /// What is built on what.
    Dependencies,
}

/// Runs the task: all parts.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    arguments.finish()?;
    let mut findings = check(Part::Text)?;
    findings.extend(check(Part::Dependencies)?);
    Ok(report(&findings))
}

/// Runs one part.
pub fn check(part: Part) -> Result<Vec<Finding>> {
    let mut findings = match part {
        Part::Text => {
            let sources = sources::read()?;
            [words::check(&sources), leftovers::check(&sources), docs::check(&sources)].concat()
        }
        Part::Dependencies => [dependencies::check()?, layers::check()?].concat(),
    };
    findings.sort();
    Ok(findings)
}

/// Prints findings as a compiler does, and gives the exit code.
pub fn report(findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("{}: {}\n    {}", finding.place, finding.rule, finding.remedy);
    }
    match findings.len() {
        0 => {
            println!("tidy: nothing found");
            ExitCode::SUCCESS
        }
        count => {
            println!("tidy: {count} found");
            ExitCode::FAILURE
        }
    }
}
