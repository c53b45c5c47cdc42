//! Full disks, as a person meets them: told at once and clearly, everything else goes on, and all is well when there is room again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{execute, mount};
use crate::rig::{Place, Programs, Rig, difference};

/// Whatever must happen happens within this time; a problem is tried again once a minute.
const LIMIT: Duration = Duration::from_secs(150);
/// More than any disk here holds.
const TOO_BIG_BYTES: usize = 60_000_000;
/// Room on a small disk.
const SMALL: &str = "size=24m";
/// Room on it afterwards.
const ENOUGH: &str = "remount,size=400m";
const LAPTOP: usize = 0;
const DESKTOP: usize = 1;

/// One disk that becomes full.
pub(super) struct Scene {
    pub(super) name: &'static str,
    /// The directory of the rig that lies on the small disk.
    disk: &'static str,
    play: fn(&mut Rig, &Disk) -> Result<()>,
}

pub(super) const SCENES: &[Scene] = &[
    Scene { name: "full-client", disk: "desktop", play: full_client },
    Scene { name: "full-server", disk: "server", play: full_server },
];

impl Scene {
    /// Raises a rig beneath `root` with one directory on a small disk, and plays.
    pub(super) fn play(&self, programs: &Programs, root: &Path) -> Result<()> {
        let place = Place::kept(root)?;
        let small = place.directory(self.disk)?;
        mount(&["-t", "tmpfs", "tmpfs", "-o", SMALL], &small, root)?;
        let mut rig = Rig::raise(programs, &place, &mut |_, _| {})?;
        let disk = Disk { at: small, scratch: root.to_owned() };
        (self.play)(&mut rig, &disk).map_err(|error| {
            let status = |computer| rig.client(computer, &["status"]).unwrap_or_else(|error| format!("{error:#}\n"));
            let statuses = [LAPTOP, DESKTOP].map(status).concat();
            error.context(format!("{}{}", statuses, place.log_tails()))
        })?;
        rig.lower()
    }
}

/// The small disk.
struct Disk {
    at: std::path::PathBuf,
    scratch: std::path::PathBuf,
}

impl Disk {
    fn make_room(&self) -> Result<()> {
        let at = self.at.to_str().context("the temporary directory has an odd name")?;
        execute(&["mount", "-o", ENOUGH, at], &self.scratch)
    }
}

fn full_client(rig: &mut Rig, disk: &Disk) -> Result<()> {
    let [laptop, desktop] = rig.folders();
    fs::write(laptop.join("edited"), noise(5_000_000, 1))?;
    rig.until_equal("a file arrives while there is room", LIMIT)?;
    fs::write(laptop.join("big"), noise(TOO_BIG_BYTES, 2))?;
    until_problem(rig, DESKTOP, "E-DISK-FULL", "big")?;
    fs::write(laptop.join("beside"), "small")?;
    fs::write(desktop.join("from the full one"), "small too")?;
    rig.until("small files go both ways", LIMIT, || {
        Ok((desktop.join("beside").exists() && laptop.join("from the full one").exists()).then_some(()))
    })?;
    // Not one byte is left, also not for a new version of what is there.
    fill(&disk.at.join(".skep/filling"))?;
    fs::write(laptop.join("edited"), noise(5_000_000, 3))?;
    until_problem(rig, DESKTOP, "E-DISK-FULL", "edited")?;
    if fs::read(desktop.join("edited"))? != noise(5_000_000, 1) {
        bail!("a file that cannot be replaced is not what it was");
    }
    disk.make_room()?;
    until_well(rig)
}

fn full_server(rig: &mut Rig, disk: &Disk) -> Result<()> {
    let [laptop, desktop] = rig.folders();
    fs::write(laptop.join("edited"), "first")?;
    fs::write(laptop.join("deleted"), "soon")?;
    rig.until_equal("a file arrives while there is room", LIMIT)?;
    fs::write(laptop.join("big"), noise(TOO_BIG_BYTES, 2))?;
    until_problem(rig, LAPTOP, "E-NO-SPACE", "big")?;
    // What does not fit has not taken the reserve, and everything else goes on.
    fs::write(disk.at.join("reserve"), noise(3_000_000, 4)).context("the server left no reserve")?;
    fs::remove_file(disk.at.join("reserve"))?;
    fs::remove_file(laptop.join("deleted"))?;
    rig.until("a deletion goes on", LIMIT, || Ok((!desktop.join("deleted").exists()).then_some(())))?;
    fill(&disk.at.join("filling"))?;
    fs::write(laptop.join("edited"), noise(100_000, 3))?;
    until_problem(rig, LAPTOP, "E-NO-SPACE", "edited")?;
    if fs::read(desktop.join("edited"))? != b"first" {
        bail!("a version that the server does not have has arrived");
    }
    // A server that starts with a full disk says so or runs; it is there again when there is room.
    rig.kill(crate::rig::Victim::Server);
    disk.make_room()?;
    rig.start_again(crate::rig::Victim::Server)?;
    until_well(rig)
}

/// Writes until there is no room for another byte.
fn fill(path: &Path) -> Result<()> {
    let mut file = fs::File::create(path)?;
    for piece in [1 << 20, 4096, 1] {
        while std::io::Write::write_all(&mut file, &vec![1; piece]).is_ok() {}
    }
    Ok(())
}

fn until_problem(rig: &mut Rig, computer: usize, code: &str, path: &str) -> Result<()> {
    wait_for_status(rig, computer, &format!("{code} for `{path}`"), |status| {
        let problems = status["problems"].as_array().map_or(&[][..], Vec::as_slice);
        problems.iter().any(|problem| {
            let has_hint = problem["hint"].as_str().is_some_and(|hint| !hint.is_empty());
            problem["code"] == code && problem["path"] == path && has_hint
        })
    })
}

fn until_well(rig: &mut Rig) -> Result<()> {
    for computer in [LAPTOP, DESKTOP, LAPTOP] {
        wait_for_status(rig, computer, "up to date again", |status| status["state"] == "up_to_date")?;
    }
    for computer in [LAPTOP, DESKTOP, LAPTOP] {
        rig.sync_wait(computer)?;
    }
    let [laptop, desktop] = rig.folders();
    if let Some(difference) = difference(&laptop, &desktop)? {
        bail!("both say that they are up to date: {difference}");
    }
    Ok(())
}

fn wait_for_status(
    rig: &mut Rig,
    computer: usize,
    what: &str,
    is_it: impl Fn(&serde_json::Value) -> bool,
) -> Result<()> {
    let started = std::time::Instant::now();
    loop {
        let status = rig.client(computer, &["status", "--json"])?;
        if is_it(&serde_json::from_str(&status)?) {
            return Ok(());
        }
        rig.check_running()?;
        crate::interrupt::check()?;
        if started.elapsed() > LIMIT {
            bail!("{what}: not within {}", crate::say::duration(LIMIT));
        }
        std::thread::sleep(crate::process::LOOK_EVERY);
    }
}

/// Bytes that do not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
