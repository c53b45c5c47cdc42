//! What CI needs besides Rust, why, and where it comes from.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::stages::Stage;
use crate::say;

/// Where a missing tool comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// Debian packages.
    Debian(&'static [&'static str]),
    /// A component of the Rust toolchain.
    Component(&'static str),
    /// A target of the Rust toolchain.
    Target(&'static str),
}

/// How to see that a tool is there.
#[derive(Debug, Clone, Copy)]
enum Probe {
    /// This command succeeds.
    Runs(&'static [&'static str]),
    /// This command prints this line.
    Prints(&'static [&'static str], &'static str),
}

/// One tool.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// As stages name it.
    pub name: &'static str,
    why: &'static str,
    from: From,
    probe: Probe,
}

/// All tools.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "cc",
        why: "SQLite, zstd and AWS-LC are C",
        from: From::Debian(&["gcc", "libc6-dev"]),
        probe: Probe::Runs(&["cc", "--version"]),
    },
    Tool {
        name: "git",
        why: "knows which files belong to the project",
        from: From::Debian(&["git"]),
        probe: Probe::Runs(&["git", "--version"]),
    },
    Tool {
        name: "rustfmt",
        why: "formats",
        from: From::Component("rustfmt"),
        probe: Probe::Runs(&["cargo", "fmt", "--version"]),
    },
    Tool {
        name: "clippy",
        why: "lints",
        from: From::Component("clippy"),
        probe: Probe::Runs(&["cargo", "clippy", "--version"]),
    },
    Tool {
        name: "vim",
        why: "saves in the ways of an editor, in tests",
        from: From::Debian(&["vim"]),
        probe: Probe::Runs(&["vim", "--version"]),
    },
    Tool {
        name: "sqlite3",
        why: "writes a database while it is synced, in tests",
        from: From::Debian(&["sqlite3"]),
        probe: Probe::Runs(&["sqlite3", "--version"]),
    },
    Tool {
        name: "rsync",
        why: "copies trees, in tests",
        from: From::Debian(&["rsync"]),
        probe: Probe::Runs(&["rsync", "--version"]),
    },
    Tool {
        name: "zip",
        why: "packs and unpacks trees, in tests",
        from: From::Debian(&["zip", "unzip"]),
        probe: Probe::Runs(&["sh", "-c", "zip -v && unzip -v"]),
    },
    Tool {
        name: "nginx",
        why: "stands before a server, in tests",
        from: From::Debian(&["nginx-light"]),
        probe: Probe::Runs(&["nginx", "-v"]),
    },
    Tool {
        name: "caddy",
        why: "stands before a server, in tests",
        from: From::Debian(&["caddy"]),
        probe: Probe::Runs(&["caddy", "version"]),
    },
    Tool {
        name: "openssl",
        why: "tries weak TLS on a server, in tests",
        from: From::Debian(&["openssl"]),
        probe: Probe::Runs(&["openssl", "version"]),
    },
    Tool {
        name: "pebble",
        why: "gives certificates, in tests",
        from: From::Debian(&["pebble"]),
        probe: Probe::Runs(&["sh", "-c", "command -v pebble && command -v pebble-challtestsrv"]),
    },
    Tool {
        name: "windows target",
        why: "Rust's library for Windows",
        from: From::Target("x86_64-pc-windows-gnu"),
        probe: Probe::Prints(&["rustup", "target", "list", "--installed"], "x86_64-pc-windows-gnu"),
    },
    Tool {
        name: "mingw",
        why: "compiles the C parts for Windows",
        from: From::Debian(&["gcc-mingw-w64-x86-64-posix"]),
        probe: Probe::Runs(&["x86_64-w64-mingw32-gcc", "--version"]),
    },
    Tool {
        name: "nasm",
        why: "assembles AWS-LC for Windows",
        from: From::Debian(&["nasm"]),
        probe: Probe::Runs(&["nasm", "-v"]),
    },
];

/// Whether the better test runner is there. Not in [`TOOLS`]: a machine without it runs the same tests, less tidily.
pub fn has_nextest() -> bool {
    probe(Probe::Runs(&["cargo", "nextest", "--version"]))
}

/// The table for people.
pub fn table() -> String {
    let rows: Vec<Vec<String>> = TOOLS
        .iter()
        .map(|tool| {
            let from = match tool.from {
                From::Debian(packages) => format!("Debian: {}", packages.join(" ")),
                From::Component(component) => format!("rustup component add {component}"),
                From::Target(target) => format!("rustup target add {target}"),
            };
            let here = if probe(tool.probe) { "here" } else { "missing" };
            vec![tool.name.to_owned(), tool.why.to_owned(), from, here.to_owned()]
        })
        .collect();
    say::table(&["tool", "why", "from", ""], &[], &rows)
}

/// Installs what the chosen stages need and is missing. Fails if that is not possible, or did not help.
pub fn provide(stages: &[&Stage]) -> Result<()> {
    let needed = |tool: &&Tool| stages.iter().any(|stage| stage.tools.contains(&tool.name));
    let missing: Vec<&Tool> = TOOLS.iter().filter(needed).filter(|tool| !probe(tool.probe)).collect();
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|tool| if let From::Debian(packages) = tool.from { packages } else { &[] })
        .copied()
        .collect();
    if !packages.is_empty() {
        install_debian(&packages)?;
    }
    for tool in &missing {
        match tool.from {
            From::Debian(_) => {}
            From::Component(component) => execute(&["rustup", "component", "add", component])?,
            From::Target(target) => execute(&["rustup", "target", "add", target])?,
        }
        if !probe(tool.probe) {
            bail!("{} ({}) was installed and still does not run", tool.name, tool.why);
        }
    }
    if !has_nextest() {
        println!("note: cargo-nextest is not installed; the tests run with `cargo test`");
    }
    Ok(())
}

fn install_debian(packages: &[&str]) -> Result<()> {
    let line = packages.join(" ");
    let apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-y", "-q"];
    let with: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else if probe(Probe::Runs(&["sudo", "-n", "true"])) {
        &["sudo", "-n"]
    } else {
        bail!("these Debian packages are missing: {line}\nhint: `sudo apt-get install {line}`, then try again");
    };
    let environment: &[&str] = &["env", "DEBIAN_FRONTEND=noninteractive"];
    let install: &[&str] = &["install", "--no-install-recommends"];
    // The lists may be there and good; a refresh costs a minute on a slow line, so it is tried second.
    if execute(&[with, environment, &apt, install, packages].concat()).is_err() {
        execute(&[with, environment, &apt, &["update"]].concat())?;
        execute(&[with, environment, &apt, install, packages].concat())?;
    }
    Ok(())
}

fn probe(probe: Probe) -> bool {
    let run = |line: &[&str]| {
        let output = Command::new(line[0]).args(&line[1..]).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    match probe {
        Probe::Runs(line) => run(line).is_some(),
        Probe::Prints(line, expected) => {
            run(line).is_some_and(|text| text.lines().any(|found| found.trim() == expected))
        }
    }
}

fn execute(line: &[&str]) -> Result<()> {
    println!("$ {}", line.join(" "));
    let status = Command::new(line[0]).args(&line[1..]).stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("`{}` failed ({status})", line.join(" ")),
        Err(error) => bail!("cannot run `{}`: {error}", line[0]),
    }
}
