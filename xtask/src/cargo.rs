//! Cargo, as the tasks call it: from the repository's root, always with the lock file as it is.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{self, Process};

/// A build on a slow machine with nothing cached stays below this.
const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The root of the repository.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(manifest);
    root.pop();
    root
}

/// Cargo itself: the one that started this task.
pub fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What a cargo command prints on standard output.
pub fn output(arguments: &[&str]) -> Result<String> {
    let line = arguments.join(" ");
    let output = Command::new(program())
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `cargo {line}`"))?;
    if !output.status.success() {
        bail!("`cargo {line}` failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`cargo {line}` printed what is not text"))
}

/// With what care the programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// That of the tests and the demo: everything is compiled once.
    Dev,
    /// That of a release: measurements use it.
    Release,
}

/// Builds the programs of these packages and names the directory that they are in.
pub fn build(packages: &[&str], profile: Profile) -> Result<PathBuf> {
    let mut command = process::command(program())?;
    command.args(["build", "--locked"]).current_dir(root());
    for package in packages {
        command.args(["--package", package]);
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    let status = Process::start_in_view("cargo build", command)?.wait(BUILD_LIMIT)?;
    if !status.success() {
        bail!("cannot build {}: cargo says why above", packages.join(" and "));
    }
    programs(profile)
}

/// The directory in which cargo puts programs.
pub fn programs(profile: Profile) -> Result<PathBuf> {
    Ok(target_directory()?.join(if profile == Profile::Dev { "debug" } else { "release" }))
}

/// The directory for everything that is built.
pub fn target_directory() -> Result<PathBuf> {
    let metadata = output(&["metadata", "--locked", "--no-deps", "--format-version", "1"])?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"].as_str().context("cargo names no target directory")?;
    Ok(PathBuf::from(target))
}
