//! Child processes that cannot be left behind.
//!
//! A child runs in a process group of its own, so that Ctrl-C reaches only the task, which then stops its children in
//! order. On drop the whole group is asked to stop, then killed. Should the task itself be killed, the kernel kills the child: it is
//! started through [`leashed`], which ties it to its parent before it becomes the program.
//!
//! The tie is to the *thread* that started the child: start children on the main thread only.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use crate::arguments::Arguments;
use crate::interrupt;

/// The hidden task that becomes another program.
pub const LEASH: &str = "leashed";

/// How often a condition is looked at. It bounds what a measured wait is wrong by.
pub const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long a child that is no longer wanted may take to leave by itself.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// Ties this process to its parent, then becomes the program named by the arguments. Returns only on failure.
pub fn leashed(mut arguments: Arguments) -> Result<ExitCode> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot tie a process to its parent")?;
    let line = arguments.rest();
    let (program, arguments) = line.split_first().context("no program named")?;
    let failure = Command::new(program).args(arguments).exec();
    Err(failure).with_context(|| format!("cannot start `{}`", program.display()))
}

/// This program, to be started again. The link outlives the file: a build during the task may replace the program that runs it.
pub fn this_program() -> Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    if link.exists() {
        return Ok(link.to_owned());
    }
    std::env::current_exe().context("cannot tell which program this is")
}

/// A command line that will be started on the leash.
pub fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(this_program()?);
    command.arg(LEASH).arg(program).process_group(0).stdin(Stdio::null());
    Ok(command)
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    /// As people know it.
    pub name: String,
    child: Child,
}

impl Process {
    /// Starts `command` with both output streams going to the end of the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Process> {
        let file = File::options()
            .append(true)
            .create(true)
            .open(log)
            .with_context(|| format!("cannot write `{}`", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Process { name: name.to_owned(), child })
    }

    /// Starts `command` with its output going wherever the task's goes.
    pub fn start_in_view(name: &str, mut command: Command) -> Result<Process> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Process { name: name.to_owned(), child })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask after {}", self.name))
    }

    /// Fails if it has ended, which a daemon must not do by itself.
    pub fn check_running(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended by itself ({status})", self.name);
        }
        Ok(())
    }

    /// Waits for its end; kills it when the time is up or somebody interrupts.
    pub fn wait(mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            interrupt::check()?;
            if started.elapsed() > limit {
                bail!("{} was still running after {} and was ended", self.name, crate::say::duration(limit));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Asks it to stop (SIGTERM) and waits; one that does not stop within `patience` is killed, and that is an error.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal_if_running(Signal::TERM);
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("{} did not stop within {} of SIGTERM and was killed", self.name, crate::say::duration(patience));
    }

    /// Kills it at once (SIGKILL), as a power cut would.
    pub fn kill(mut self) {
        self.signal_if_running(Signal::KILL);
        let _status = self.child.wait();
    }

    fn signal_if_running(&mut self, signal: Signal) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // An error says that the group is gone, which is what the signal is for.
        let _gone = group.map(|group| rustix::process::kill_process_group(group, signal));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first, so that a child can end its own children and remove what it made. Once the leader has been waited
        // for, its number could be given away again, so a group is signalled only while the leader is unreaped.
        self.signal_if_running(Signal::TERM);
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && asked.elapsed() < DROP_PATIENCE {
            std::thread::sleep(LOOK_EVERY);
        }
        self.signal_if_running(Signal::KILL);
        let _status = self.child.wait();
    }
}

/// What a short-lived command printed.
#[derive(Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `command` to its end with `input` on its standard input. Its output goes through files in `scratch`, so that a
/// full pipe cannot stop it and the time limit holds.
pub fn run_to_end(name: &str, mut command: Command, input: &str, scratch: &Path, limit: Duration) -> Result<Output> {
    let paths = ["in", "out", "err"].map(|stream| scratch.join(format!("{name}.{stream}").replace(['/', ' '], "-")));
    std::fs::write(&paths[0], input)?;
    command.stdin(File::open(&paths[0])?).stdout(File::create(&paths[1])?).stderr(File::create(&paths[2])?);
    std::fs::remove_file(&paths[0])?;
    let status = Process::start_in_view(name, command)?.wait(limit)?;
    let read = |path: &Path| -> Result<String> {
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        std::fs::remove_file(path)?;
        Ok(text)
    };
    Ok(Output { status, stdout: read(&paths[1])?, stderr: read(&paths[2])? })
}
