//! `cargo xtask conformance`: the tests that touch files, on each file system that people keep files on, and on full disks.
//!
//! It mounts images of its own, so it needs root; what cannot be mounted fails and is never left out. Everything happens in a mount
//! namespace of its own: whatever ends the task, the mounts end with it.

mod full_disk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::cargo::{self, Profile};
use crate::rig::{Place, Programs};
use crate::say::{self, Tone, toned};
use crate::{interrupt, process};

/// The tests of one file system may take so long.
const TESTS_LIMIT: Duration = Duration::from_secs(15 * 60);
/// A command that makes or mounts a file system may take so long.
const MOUNT_LIMIT: Duration = Duration::from_secs(60);
/// Images are sparse: only what the tests write takes room.
const IMAGE_BYTES: u64 = 4 << 30;
/// The argument of the part that runs in the namespace.
const INSIDE: &str = "--inside";

/// A file system, and how it comes to be.
struct FileSystem {
    name: &'static str,
    /// Makes one in an image; none for those that need no image.
    make: &'static [&'static str],
}

const FILE_SYSTEMS: &[FileSystem] = &[
    FileSystem { name: "ext4", make: &["mkfs.ext4", "-q"] },
    FileSystem { name: "xfs", make: &["mkfs.xfs", "-q"] },
    FileSystem { name: "btrfs", make: &["mkfs.btrfs", "-q"] },
    FileSystem { name: "tmpfs", make: &[] },
    FileSystem { name: "overlay", make: &[] },
];

/// Runs the task.
pub fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let inside = arguments.option::<String>(INSIDE)?;
    let only = arguments.option::<String>("--only")?;
    arguments.finish()?;
    interrupt::listen()?;
    match inside {
        Some(place) => run_inside(Path::new(&place), only.as_deref()),
        None => run_outside(only.as_deref()),
    }
}

/// Builds what is needed and starts the task again in a namespace of its own.
fn run_outside(only: Option<&str>) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may mount file systems\nhint: `sudo -E env \"PATH=$PATH\" cargo xtask conformance`");
    }
    if let Some(only) = only
        && !rows().contains(&only)
    {
        bail!("there is no row of that name\nhint: one of {}", rows().join(", "));
    }
    cargo::build(&["skep-server", "skep"], Profile::Dev)?;
    let place = Place::temporary("conformance")?;
    let mut command = process::command("unshare")?;
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe()?);
    command.args(["conformance", INSIDE]).arg(place.path());
    command.args(only.map(|only| ["--only", only]).into_iter().flatten()).current_dir(cargo::root());
    let limit = TESTS_LIMIT * (FILE_SYSTEMS.len() as u32 + 1);
    let status = process::Process::start_in_view("unshare", command)?.wait(limit)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows() -> Vec<&'static str> {
    FILE_SYSTEMS
        .iter()
        .map(|file_system| file_system.name)
        .chain(full_disk::SCENES.iter().map(|scene| scene.name))
        .collect()
}

fn run_inside(place: &Path, only: Option<&str>) -> Result<ExitCode> {
    let is_chosen = |name: &str| only.is_none_or(|only| only == name);
    let mut table = Vec::new();
    let mut all_passed = true;
    let mut row = |name: &str, run: &dyn Fn() -> Result<()>| -> Result<()> {
        println!("\n{}", toned(Tone::Strong, &format!("== {name}")));
        let began = Instant::now();
        let outcome = run();
        interrupt::check()?;
        let (word, remark) = match &outcome {
            Ok(()) => ("passed", String::new()),
            Err(error) => ("FAILED", error.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        outcome.inspect_err(say::error).unwrap_or_else(|_| all_passed = false);
        table.push(vec![name.to_owned(), word.to_owned(), say::duration(began.elapsed()), remark]);
        Ok(())
    };
    for file_system in FILE_SYSTEMS.iter().filter(|file_system| is_chosen(file_system.name)) {
        row(file_system.name, &|| test(&file_system.mount(place)?))?;
    }
    let programs = Programs::in_directory(&cargo::programs(Profile::Dev)?)?;
    for scene in full_disk::SCENES.iter().filter(|scene| is_chosen(scene.name)) {
        row(scene.name, &|| scene.play(&programs, &place.join(scene.name)))?;
    }
    println!("\n{}", say::table(&["on", "result", "time", ""], &[2], &table));
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The tests with real files, in temporary directories on `mounted`.
fn test(mounted: &Path) -> Result<()> {
    let mut command = process::command(cargo::program())?;
    command.args(["test", "--locked", "-q", "-p", "skep-platform", "-p", "skep-blobstore", "-p", "skep-e2e"]);
    command.env("TMPDIR", mounted).current_dir(cargo::root());
    let status = process::Process::start_in_view("cargo test", command)?.wait(TESTS_LIMIT)?;
    if !status.success() {
        bail!("the tests failed ({status})");
    }
    Ok(())
}

impl FileSystem {
    /// A directory on one of its kind, empty.
    fn mount(&self, place: &Path) -> Result<PathBuf> {
        let base = place.join(self.name);
        let at = base.join("at");
        std::fs::create_dir_all(&at)?;
        match (self.name, self.make) {
            ("tmpfs", _) => mount(&["-t", "tmpfs", "tmpfs"], &at, &base)?,
            ("overlay", _) => {
                // Its layers must lie on something that can carry them, which an overlay (a container's root) cannot.
                let carrier = base.join("carrier");
                std::fs::create_dir(&carrier)?;
                mount(&["-t", "tmpfs", "tmpfs"], &carrier, &base)?;
                let [lower, upper, work] = ["lower", "upper", "work"].map(|layer| carrier.join(layer));
                for layer in [&lower, &upper, &work] {
                    std::fs::create_dir(layer)?;
                }
                let [lower, upper, work] = [lower, upper, work].map(|layer| layer.display().to_string());
                let layers = format!("lowerdir={lower},upperdir={upper},workdir={work}");
                mount(&["-t", "overlay", "overlay", "-o", &layers], &at, &base)?;
            }
            (_, make) => {
                let image = base.join("image");
                std::fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
                let image = image.to_str().context("the temporary directory has an odd name")?;
                execute(&[make, &[image]].concat(), &base)?;
                mount(&["-o", "loop", image], &at, &base)?;
            }
        }
        let directory = at.join("tests");
        std::fs::create_dir(&directory)?;
        Ok(directory)
    }
}

/// `mount ARGUMENTS AT`.
fn mount(arguments: &[&str], at: &Path, scratch: &Path) -> Result<()> {
    let at = at.to_str().context("the temporary directory has an odd name")?;
    execute(&[&["mount"], arguments, &[at]].concat(), scratch)
}

fn execute(line: &[&str], scratch: &Path) -> Result<()> {
    let mut command = process::command(line[0])?;
    command.args(&line[1..]);
    let output = process::run_to_end(line[0], command, "", scratch, MOUNT_LIMIT)?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}\nhint: xfsprogs, btrfs-progs and e2fsprogs are needed, and the kernel's file systems",
            line.join(" "),
            output.status,
            output.stderr.trim_end()
        );
    }
    Ok(())
}
