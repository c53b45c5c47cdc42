//! The workloads: what is done on the laptop, and what must then be true on the desktop.
//!
//! New files and trees are made outside the folder and renamed in, so that a measurement begins at one instant.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{gauge, percentile};
use crate::demo::{noise, write_tree};
use crate::rig::{Place, Rig};
use crate::say;

/// Longest wait for the largest workload.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// Directories of the big tree.
const TREE_DIRECTORIES: usize = 100;
/// Files in each of them.
const TREE_FILES: usize = 100;
/// Bytes of each of those.
const TREE_FILE_BYTES: usize = 4_000;
/// Saves whose latency is measured.
const SAVES: usize = 100;
/// How long nothing happens while the idle cost is measured.
const IDLE: Duration = Duration::from_secs(20);

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Seconds,
    /// Memory or transfer.
    Bytes,
    /// A part of one processor, in percent.
    Percent,
}

impl Unit {
    /// For the saved file.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Bytes => "B",
            Unit::Percent => "%",
        }
    }
}

/// One measured figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much, in `unit`.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// The same figure said otherwise, for people.
    pub remark: String,
}

impl Figure {
    /// A figure without a remark.
    pub fn new(name: impl Into<String>, value: f64, unit: Unit) -> Figure {
        Figure { name: name.into(), value, unit, remark: String::new() }
    }

    /// With its unit, for people.
    pub fn said(&self) -> String {
        match self.unit {
            Unit::Seconds => say::duration(Duration::from_secs_f64(self.value)),
            Unit::Bytes => say::size(self.value as u64),
            Unit::Percent => format!("{:.2} %", self.value),
        }
    }
}

/// One workload.
pub struct Workload {
    /// For `--only`.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    /// Left out by `--quick`.
    pub slow: bool,
    /// Workloads that use the files this one makes.
    pub needed_by: &'static [&'static str],
    /// Does it.
    pub run: fn(&mut Rig, &Place) -> Result<Vec<Figure>>,
}

/// All of them, in order.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "1mb",
        what: "a file of 1 MB",
        slow: false,
        needed_by: &[],
        run: |rig, place| file(rig, place, "1 MB", 1_000_000),
    },
    Workload {
        name: "100mb",
        what: "a file of 100 MB",
        slow: false,
        needed_by: &[],
        run: |rig, place| file(rig, place, "100 MB", 100_000_000),
    },
    Workload {
        name: "1gb",
        what: "a file of 1 GB",
        slow: true,
        needed_by: &[],
        run: |rig, place| file(rig, place, "1 GB", 1_000_000_000),
    },
    Workload {
        name: "tree",
        what: "10,000 files of 4 kB",
        slow: false,
        needed_by: &["rename", "saves", "idle"],
        run: tree,
    },
    Workload {
        name: "rename",
        what: "the directory of 10,000 files renamed",
        slow: false,
        needed_by: &[],
        run: rename,
    },
    Workload {
        name: "saves",
        what: "saves of 1 kB in a tree of 10,000 files",
        slow: false,
        needed_by: &[],
        run: saves,
    },
    Workload { name: "idle", what: "nothing, for 20 s", slow: false, needed_by: &[], run: idle },
];

fn file(rig: &mut Rig, place: &Place, name: &str, bytes: usize) -> Result<Vec<Figure>> {
    let outside = place.directory("scratch")?.join(name);
    write_noise(&outside, bytes)?;
    let [laptop, _] = rig.folders();
    let took = timed(rig, name, || Ok(fs::rename(&outside, laptop.join(name))?))?;
    let mut figure = Figure::new(format!("one file of {name}"), took.as_secs_f64(), Unit::Seconds);
    figure.remark = format!("{}/s", say::size((bytes as f64 / took.as_secs_f64()) as u64));
    Ok(vec![figure])
}

fn tree(rig: &mut Rig, place: &Place) -> Result<Vec<Figure>> {
    let outside = place.directory("scratch")?.join("tree");
    write_tree(&outside, TREE_DIRECTORIES, TREE_FILES, TREE_FILE_BYTES)?;
    let [laptop, _] = rig.folders();
    let took = timed(rig, "tree", || Ok(fs::rename(&outside, laptop.join("tree"))?))?;
    let mut figure = Figure::new("10,000 files of 4 kB", took.as_secs_f64(), Unit::Seconds);
    figure.remark = format!("{:.0} files/s", (TREE_DIRECTORIES * TREE_FILES) as f64 / took.as_secs_f64());
    Ok(vec![figure])
}

fn rename(rig: &mut Rig, _: &Place) -> Result<Vec<Figure>> {
    let [laptop, desktop] = rig.folders();
    rig.sync_wait(0)?;
    let began = Instant::now();
    fs::rename(laptop.join("tree"), laptop.join("renamed"))?;
    rig.until("the renamed directory", LIMIT, || {
        let (new, old) = (desktop.join("renamed"), desktop.join("tree"));
        Ok((new.exists() && !old.exists()).then_some(()))
    })?;
    let took = began.elapsed();
    rig.until_equal("the renamed directory, whole", LIMIT)?;
    fs::rename(laptop.join("renamed"), laptop.join("tree"))?;
    rig.until_equal("the directory renamed back", LIMIT)?;
    Ok(vec![Figure::new("rename of that directory", took.as_secs_f64(), Unit::Seconds)])
}

/// Saves as editors do: a new version beside, renamed over the old one.
fn saves(rig: &mut Rig, place: &Place) -> Result<Vec<Figure>> {
    let [laptop, desktop] = rig.folders();
    let outside = place.directory("scratch")?.join("save");
    let (source, target) = (laptop.join("tree/0042/note"), desktop.join("tree/0042/note"));
    rig.sync_wait(0)?;
    let mut took = Vec::with_capacity(SAVES);
    for save in 0..SAVES {
        let content = noise(1_000, 1_000_000 + save as u64);
        fs::write(&outside, &content)?;
        let began = Instant::now();
        fs::rename(&outside, &source)?;
        rig.until("a save", LIMIT, || Ok(fs::read(&target).is_ok_and(|there| there == content).then_some(())))?;
        took.push(began.elapsed());
    }
    took.sort();
    let figure = |share| {
        Figure::new(format!("save to visible, p{share}"), percentile(&took, share).as_secs_f64(), Unit::Seconds)
    };
    Ok(vec![figure(50), figure(95)])
}

/// What it costs to be there: processor time of each program while nothing changes.
fn idle(rig: &mut Rig, _: &Place) -> Result<Vec<Figure>> {
    rig.sync_wait(0)?;
    rig.sync_wait(1)?;
    let times =
        |rig: &Rig| rig.processes().into_iter().map(|(_, id)| gauge::processor_time(id)).collect::<Result<Vec<_>>>();
    let before = times(rig)?;
    let began = Instant::now();
    rig.until("the end of the idle time", IDLE * 2, || Ok((began.elapsed() >= IDLE).then_some(())))?;
    let after = times(rig)?;
    let names = rig.processes().into_iter().map(|(name, _)| name);
    let figure = |(name, (before, after)): (&str, (&Duration, &Duration))| {
        let used = after.saturating_sub(*before).as_secs_f64();
        Figure::new(format!("idle processor time, {name}"), 100.0 * used / IDLE.as_secs_f64(), Unit::Percent)
    };
    Ok(names.zip(before.iter().zip(&after)).map(figure).collect())
}

/// The time from the end of `change` until both folders are equal.
fn timed(rig: &mut Rig, what: &str, change: impl FnOnce() -> Result<()>) -> Result<Duration> {
    rig.sync_wait(0)?;
    let began = Instant::now();
    change().context("cannot make the change")?;
    rig.until_equal(what, LIMIT)?;
    Ok(began.elapsed())
}

/// Writes in pieces: a gigabyte need not be in memory.
fn write_noise(path: &Path, bytes: usize) -> Result<()> {
    use std::io::Write;
    const PIECE_BYTES: usize = 8 << 20;
    let mut file = fs::File::create(path)?;
    for (piece, start) in (0..bytes).step_by(PIECE_BYTES).enumerate() {
        file.write_all(&noise(PIECE_BYTES.min(bytes - start), (bytes + piece) as u64))?;
    }
    Ok(())
}
