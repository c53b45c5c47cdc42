//! `cargo xtask dist`: what is released for Linux, in `target/dist`: static programs (musl), as archives that run where they are
//! unpacked and as Debian packages with units, manual pages and completions.

mod package;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::process::{self, LOOK_EVERY, Process};
use crate::rig::Place;
use crate::{cargo, interrupt, say};

/// Linux on 64 bits of Intel and AMD, without a C library of the machine's.
const TARGET: &str = "x86_64-unknown-linux-musl";
/// A release build on a slow machine with nothing cached stays below this,
const BUILD_WITHIN: Duration = Duration::from_secs(90 * 60);
/// and a packed program below this.
const TOOL_WITHIN: Duration = Duration::from_secs(10 * 60);
/// A server on an empty disk is ready within this time.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A program that is released.
pub struct Program {
    /// Of the package and of the file.
    pub name: &'static str,
    /// In one line.
    pub summary: &'static str,
    /// Its units in `packaging/systemd`,
    pub units: &'static [&'static str],
    /// and where packages put them.
    pub unit_directory: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program {
        name: "skep-server",
        summary: "server of Skep: keeps your files and tells your devices what changed",
        units: &["skep-server.service", "skep-server.socket"],
        unit_directory: "usr/lib/systemd/system",
    },
    Program {
        name: "skep",
        summary: "client of Skep: keeps a folder the same on all of your computers",
        units: &["skep.service"],
        unit_directory: "usr/lib/systemd/user",
    },
];

/// Runs the task.
pub fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let built = arguments.switch("--no-build");
    arguments.finish()?;
    interrupt::listen()?;
    if !built {
        build()?;
    }
    let target = cargo::target_directory()?;
    let (programs, dist) = (target.join(TARGET).join("release"), target.join("dist"));
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("cannot empty `{}`", dist.display()))?;
    }
    let mut rows = Vec::new();
    for program in &PROGRAMS {
        let file = programs.join(program.name);
        require_static(&file)?;
        let texts = texts(&file, program)?;
        for made in [archive(&dist, program, &file, &texts)?, package::make(&dist, program, &file, &texts)?] {
            let name = made.file_name().unwrap_or_default().to_string_lossy().into_owned();
            rows.push(vec![name, say::size(fs::metadata(&made)?.len())]);
        }
    }
    // An empty directory for `packaging/Containerfile`.
    fs::create_dir_all(dist.join("container/data"))?;
    try_out(&dist)?;
    print!("{}", say::table(&["file", "size"], &[1], &rows));
    println!("in {}", dist.display());
    Ok(ExitCode::SUCCESS)
}

fn build() -> Result<()> {
    let mut command = process::command(cargo::program())?;
    command.args(["build", "--release", "--locked", "--target", TARGET]).current_dir(cargo::root());
    for program in &PROGRAMS {
        command.args(["--package", program.name]);
    }
    if !Process::start_in_view("cargo build", command)?.wait(BUILD_WITHIN)?.success() {
        bail!(
            "cannot build for {TARGET}: `rustup target add {TARGET}` and `apt-get install musl-tools` bring what it needs"
        );
    }
    Ok(())
}

/// A program that needs a library of the machine's would fail on another one.
fn require_static(file: &Path) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("`{}` is not built", file.display()))?;
    if bytes.windows(INTERPRETER.len()).any(|window| window == INTERPRETER) {
        bail!("`{}` wants a dynamic linker", file.display());
    }
    Ok(())
}

/// Begins the path of every dynamic linker of this kind of machine.
const INTERPRETER: &[u8] = b"/lib64/ld-linux";

/// What a program says of itself: file, text.
type Texts = Vec<(String, Vec<u8>)>;

/// Manual page, completions and settings, as the program prints them, by the path at which packages have them.
fn texts(file: &Path, program: &Program) -> Result<Texts> {
    let name = program.name;
    let mut asked = vec![
        (format!("usr/share/man/man1/{name}.1"), vec!["man"]),
        (format!("usr/share/bash-completion/completions/{name}"), vec!["completions", "bash"]),
        (format!("usr/share/zsh/vendor-completions/_{name}"), vec!["completions", "zsh"]),
        (format!("usr/share/fish/vendor_completions.d/{name}.fish"), vec!["completions", "fish"]),
    ];
    if name == "skep-server" {
        asked.push(("etc/skep/server.toml".to_owned(), vec!["config", "doc"]));
    }
    let mut texts = Vec::new();
    for (path, arguments) in asked {
        let output = Command::new(file).args(&arguments).output()?;
        if output.status.success() {
            texts.push((path, output.stdout));
        } else {
            println!("left out: {path}, because `{name} {}` is not understood", arguments.join(" "));
        }
    }
    Ok(texts)
}

/// An archive with everything in one directory.
fn archive(dist: &Path, program: &Program, file: &Path, texts: &Texts) -> Result<PathBuf> {
    let name = format!("{}-{TARGET}", program.name);
    let dir = dist.join(&name);
    fs::create_dir_all(&dir)?;
    fs::copy(file, dir.join(program.name))?;
    for (path, text) in texts {
        let last = Path::new(path).file_name().context("a text has a name")?;
        // Completions for bash are called as the program is.
        let last = if last == program.name { format!("{}.bash", program.name).into() } else { last.to_owned() };
        fs::write(dir.join(last), text)?;
    }
    let units = program.units.iter().map(|unit| format!("packaging/systemd/{unit}"));
    for source in units.chain(["LICENSE-MIT".into(), "LICENSE-APACHE".into()]) {
        let last = Path::new(&source).file_name().context("a file has a name")?.to_owned();
        fs::copy(cargo::root().join(&source), dir.join(last))?;
    }
    let archive = dist.join(format!("{}-{}-{TARGET}.tar.gz", program.name, env!("CARGO_PKG_VERSION")));
    let mut command = process::command("tar")?;
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-czf"]).arg(&archive);
    command.arg("-C").arg(dist).arg(&name);
    tool("tar", command)?;
    Ok(archive)
}

/// Runs a tool that must succeed.
fn tool(name: &str, command: Command) -> Result<()> {
    if !Process::start_in_view(name, command)?.wait(TOOL_WITHIN)?.success() {
        bail!("`{name}` failed and says why above");
    }
    Ok(())
}

/// Installs the packages into an empty root directory and starts the server with nothing else there. Needs root and `dpkg`.
fn try_out(dist: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        println!("not tried out: installing into a root directory of its own needs root");
        return Ok(());
    }
    let place = Place::temporary("dist")?;
    let root = place.directory("root")?;
    for dir in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "tmp"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    for program in &PROGRAMS {
        let mut command = process::command("dpkg")?;
        let mut root_option = std::ffi::OsString::from("--root=");
        root_option.push(&root);
        command.arg(root_option).args(["--force-script-chrootless", "--install"]).arg(package::path(dist, program));
        tool("dpkg", command)?;
    }
    let log = place.log("server");
    let mut command = process::command("chroot")?;
    command.arg(&root).args(["/usr/bin/skep-server", "run", "--listen", "127.0.0.1:0"]);
    let mut server = Process::start("the installed server", command, &log)?;
    let started = std::time::Instant::now();
    while !fs::read_to_string(&log).unwrap_or_default().lines().any(|line| line == "ready") {
        server.check_running()?;
        if started.elapsed() > READY_WITHIN {
            bail!("the installed server is not ready:\n{}", place.log_tails());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    server.stop(READY_WITHIN)?;
    if !root.join("var/lib/skep-server/skep.db").is_file() {
        bail!("the installed server has not made its data where its package says");
    }
    let mut command = process::command("chroot")?;
    command.arg(&root).args(["/usr/bin/skep", "--version"]);
    tool("the installed client", command)?;
    println!("tried out: both packages are installed and run in an empty root directory");
    Ok(())
}
