//! What the kernel says of the three processes: processor time and memory.

use std::time::Duration;

use anyhow::{Context, Result};

use super::workloads::{Figure, Unit};
use crate::rig::Rig;

/// Processor time that a process has used so far, in user and kernel mode together.
pub fn processor_time(id: u32) -> Result<Duration> {
    // `schedstat` is finer, but it has the main thread only; `stat` has all threads.
    let path = format!("/proc/{id}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let ticks = ticks(&stat).with_context(|| format!("`{path}` is not as documented"))?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Fields 14 and 15; the name before them may hold spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

/// The most memory each process held so far.
pub fn peaks(rig: &Rig) -> Result<Vec<Figure>> {
    let peak = |(name, id): (&str, u32)| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel names no peak")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(Figure::new(format!("peak memory, {name}"), kibibytes * 1024.0, Unit::Bytes))
    };
    rig.processes().into_iter().map(peak).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 25 17 0 0 20 0 5 0 100";
        assert_eq!(super::ticks(stat), Some(42));
    }
}
