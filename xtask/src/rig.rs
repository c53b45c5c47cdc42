//! A server and two computers on this machine: the real programs, as a user would start them.
//!
//! [`Rig::raise`] follows the documented contract for automation only, so what works here works in a service unit too.
//! Everything lives in one [`Place`]; nothing is waited for by time, always by what can be seen.

mod compare;
mod place;

pub use compare::difference;
pub use place::Place;

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::process::{self, LOOK_EVERY, Process};
use crate::{interrupt, say};

/// How long a program may take to start, to answer a command, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// The account of the demo. Its password is no secret: the server listens on this machine only.
pub const USER: &str = "maya";
/// See [`USER`].
pub const PASSWORD: &str = "correct horse battery staple";

/// Where the two programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The server.
    pub server: PathBuf,
    /// The client.
    pub client: PathBuf,
}

impl Programs {
    /// The two in `directory`.
    pub fn in_directory(directory: &Path) -> Result<Programs> {
        let programs = Programs { server: directory.join("skep-server"), client: directory.join("skep") };
        for program in [&programs.server, &programs.client] {
            if !program.is_file() {
                bail!("`{}` is not built", program.display());
            }
        }
        Ok(programs)
    }
}

/// One computer with a synced folder.
#[derive(Debug)]
pub struct Computer {
    /// Its name, also that of its device.
    pub name: &'static str,
    /// Configuration and state of its client.
    pub home: PathBuf,
    /// The synced folder.
    pub folder: PathBuf,
    log: PathBuf,
    /// `None` while it was killed.
    daemon: Option<Process>,
}

/// One of the programs of a rig.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The server.
    Server,
    /// The client of this computer.
    Client(usize),
}

/// A running server with two computers.
///
/// Fields drop in order: the computers before the server, everything before the place is removed by its owner.
#[derive(Debug)]
pub struct Rig {
    /// The two computers.
    pub computers: [Computer; 2],
    /// The server's address as clients take it.
    pub address: String,
    /// The server's data directory.
    pub data: PathBuf,
    /// Where the programs are.
    pub programs: Programs,
    /// `None` while it was killed.
    server: Option<Process>,
    server_log: PathBuf,
    scratch: PathBuf,
}

/// A computer that is being set up: what the rig needs of it before its daemon runs.
struct Setup<'a> {
    programs: &'a Programs,
    place: &'a Place,
    told: &'a mut dyn FnMut(&str, Duration),
}

impl Rig {
    /// Starts everything in `place`, and says each step with its time to `told`.
    pub fn raise(programs: &Programs, place: &Place, told: &mut dyn FnMut(&str, Duration)) -> Result<Rig> {
        let mut setup = Setup { programs, place, told };
        let data = place.directory("server")?;
        let (server, address) = setup.start_server(&data)?;
        setup.add_user(&data)?;
        let fingerprint = setup.fingerprint(&data)?;
        let laptop = setup.join("laptop", &address, &fingerprint)?;
        let desktop = setup.join("desktop", &address, &fingerprint)?;
        let computers = [laptop, desktop];
        let scratch = place.directory("scratch")?;
        let (server, server_log) = (Some(server), place.log("server"));
        let mut rig = Rig { computers, address, data, programs: programs.clone(), server, server_log, scratch };
        let started = Instant::now();
        rig.sync_wait(0)?;
        rig.sync_wait(1)?;
        told("both computers are in step with the server", started.elapsed());
        Ok(rig)
    }

    /// Asks a computer to say when it and the server are equal.
    pub fn sync_wait(&mut self, computer: usize) -> Result<()> {
        self.computers[computer].sync_wait(&self.programs, &self.scratch)
    }

    /// Runs the client's command line on a computer and returns what it printed.
    pub fn client(&mut self, computer: usize, arguments: &[&str]) -> Result<String> {
        self.computers[computer].command(&self.programs, arguments, &self.scratch)
    }

    /// Waits until `condition` gives something, for `limit` at most. Fails at once if a program ends meanwhile.
    pub fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        loop {
            let looked = Instant::now();
            if let Some(seen) = condition()? {
                return Ok(seen);
            }
            // A look at a big tree costs; looking must not take the processor from what is looked at.
            let pause = LOOK_EVERY.max(looked.elapsed() * 3);
            self.check_running()?;
            interrupt::check()?;
            if started.elapsed() > limit {
                bail!("{what}: not within {}", say::duration(limit));
            }
            std::thread::sleep(pause);
        }
    }

    /// Waits until both folders hold the same, byte by byte.
    pub fn until_equal(&mut self, what: &str, limit: Duration) -> Result<()> {
        let [one, other] = self.folders();
        let mut last = None;
        let waited = self.until(what, limit, || {
            last = difference(&one, &other)?;
            Ok(last.is_none().then_some(()))
        });
        waited.map_err(|error| match last {
            Some(difference) => anyhow!("{error}; the folders differ: {difference}"),
            None => error,
        })
    }

    /// The two synced folders.
    pub fn folders(&self) -> [PathBuf; 2] {
        self.computers.each_ref().map(|computer| computer.folder.clone())
    }

    /// Names and process ids of the programs that run.
    pub fn processes(&self) -> Vec<(&str, u32)> {
        let computers = self.computers.iter().map(|computer| (computer.name, computer.daemon.as_ref()));
        let all = std::iter::once(("server", self.server.as_ref())).chain(computers);
        all.filter_map(|(name, process)| Some((name, process?.id()))).collect()
    }

    /// Fails if one of the three has ended by itself.
    pub fn check_running(&mut self) -> Result<()> {
        let computers = self.computers.iter_mut().filter_map(|computer| computer.daemon.as_mut());
        self.server.iter_mut().chain(computers).try_for_each(Process::check_running)
    }

    /// Kills a program at once, as a power cut would.
    pub fn kill(&mut self, victim: Victim) {
        let process = match victim {
            Victim::Server => self.server.take(),
            Victim::Client(computer) => self.computers[computer].daemon.take(),
        };
        process.into_iter().for_each(Process::kill);
    }

    /// Whether a program was started and not killed since.
    pub fn is_up(&self, victim: Victim) -> bool {
        match victim {
            Victim::Server => self.server.is_some(),
            Victim::Client(computer) => self.computers[computer].daemon.is_some(),
        }
    }

    /// Starts a program that was killed.
    pub fn start_again(&mut self, victim: Victim) -> Result<()> {
        match victim {
            Victim::Server => {
                let listen = self.address.trim_start_matches("https://");
                self.server = Some(start_server(&self.programs, &self.data, listen, &self.server_log)?);
            }
            Victim::Client(computer) => self.computers[computer].start(&self.programs)?,
        }
        Ok(())
    }

    /// One more computer, which has never seen any of this.
    pub fn add_computer(&mut self, name: &'static str, place: &Place) -> Result<Computer> {
        let mut setup = Setup { programs: &self.programs, place, told: &mut |_, _| {} };
        let fingerprint = setup.fingerprint(&self.data)?;
        setup.join(name, &self.address, &fingerprint)
    }

    /// Runs the server's command line on its data and returns what it printed.
    pub fn server_command(&mut self, arguments: &[&OsStr]) -> Result<String> {
        let mut command = process::command(&self.programs.server)?;
        command.args(arguments).arg("--data-dir").arg(&self.data);
        run("skep-server", command, "", &self.scratch)
    }

    /// Stops the clients, then the server, as a service manager does. All three are gone afterwards, also on an error.
    pub fn lower(self) -> Result<()> {
        let computers = self.computers.map(|computer| computer.daemon).into_iter();
        let stopped: Vec<_> = computers.chain([self.server]).flatten().map(stop).collect();
        stopped.into_iter().collect()
    }
}

impl Computer {
    fn start(&mut self, programs: &Programs) -> Result<()> {
        let mut command = process::command(&programs.client)?;
        command.arg("--home").arg(&self.home).args(["daemon", "run"]);
        self.daemon = Some(Process::start(self.name, command, &self.log)?);
        Ok(())
    }

    /// Runs the client's command line and returns what it printed.
    pub fn command(&self, programs: &Programs, arguments: &[&str], scratch: &Path) -> Result<String> {
        let mut command = process::command(&programs.client)?;
        command.arg("--home").arg(&self.home).args(arguments);
        run(&format!("skep {} on {}", arguments[0], self.name), command, "", scratch)
    }

    /// Asks it to say when it and the server are equal.
    pub fn sync_wait(&self, programs: &Programs, scratch: &Path) -> Result<()> {
        let seconds = format!("{}s", PATIENCE.as_secs());
        let waited = self.command(programs, &["sync", "wait", "--timeout", &seconds], scratch);
        if waited.is_err() && self.has_only_two_versions(programs, scratch) {
            return Ok(());
        }
        waited.with_context(|| format!("{} did not come into step with the server", self.name))?;
        Ok(())
    }

    /// Whether everything is equal but for what a person has to choose from.
    fn has_only_two_versions(&self, programs: &Programs, scratch: &Path) -> bool {
        let Ok(text) = self.command(programs, &["status", "--json"], scratch) else { return false };
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        status["folders"][0]["state"] == "up_to_date"
            && !problems.is_empty()
            && problems.iter().all(|problem| problem["code"] == "E-TWO-VERSIONS")
    }
}

fn stop(process: Process) -> Result<()> {
    let name = process.name.clone();
    let status = process.stop(PATIENCE)?;
    if !status.success() {
        bail!("{name} did not stop cleanly: {status}");
    }
    Ok(())
}

impl Setup<'_> {
    fn start_server(&mut self, data: &Path) -> Result<(Process, String)> {
        let started = Instant::now();
        let listen = format!("127.0.0.1:{}", free_port()?);
        let server = start_server(self.programs, data, &listen, &self.place.log("server"))?;
        let address = format!("https://{listen}");
        (self.told)(&format!("server runs at {address}"), started.elapsed());
        Ok((server, address))
    }

    fn add_user(&mut self, data: &Path) -> Result<()> {
        let started = Instant::now();
        let mut command = process::command(&self.programs.server)?;
        command.args(["user", "add", USER, "--password-stdin", "--data-dir"]).arg(data);
        run("skep-server user add", command, PASSWORD, &self.place.directory("scratch")?)?;
        (self.told)(&format!("account `{USER}` made"), started.elapsed());
        Ok(())
    }

    fn fingerprint(&mut self, data: &Path) -> Result<String> {
        let started = Instant::now();
        let mut command = process::command(&self.programs.server)?;
        command.args(["fingerprint", "--data-dir"]).arg(data);
        let printed = run("skep-server fingerprint", command, "", &self.place.directory("scratch")?)?;
        let fingerprint = printed.trim().to_owned();
        if fingerprint.is_empty() || fingerprint.lines().count() != 1 {
            bail!("the fingerprint is not alone on a line: {printed:?}");
        }
        (self.told)(&format!("server's key is {fingerprint}"), started.elapsed());
        Ok(fingerprint)
    }

    fn join(&mut self, name: &'static str, address: &str, fingerprint: &str) -> Result<Computer> {
        let started = Instant::now();
        let home = self.place.directory(&format!("{name}-home"))?;
        let folder = self.place.directory(name)?;
        let mut join = process::command(&self.programs.client)?;
        join.arg("--home").arg(&home).arg("join").arg(address);
        join.args(["--user", USER, "--password-stdin", "--fingerprint", fingerprint, "--dir"]).arg(&folder);
        join.args(["--name", name, "--no-daemon"]);
        run(&format!("skep join on {name}"), join, PASSWORD, &self.place.directory("scratch")?)?;
        let mut computer = Computer { name, home, folder, log: self.place.log(name), daemon: None };
        computer.start(self.programs)?;
        (self.told)(&format!("`{name}` joined, its daemon runs"), started.elapsed());
        Ok(computer)
    }
}

/// Starts a server and waits until it is ready.
fn start_server(programs: &Programs, data: &Path, listen: &str, log: &Path) -> Result<Process> {
    let started = Instant::now();
    let said_before = log.metadata().map_or(0, |log| log.len() as usize);
    let mut command = process::command(&programs.server)?;
    command.args(["run", "--data-dir"]).arg(data).args(["--listen", listen]);
    // Scenes play on small disks.
    command.env("SKEP_STORAGE__RESERVE", "4MiB");
    let mut server = Process::start("the server", command, log)?;
    while !std::fs::read_to_string(log)?[said_before..].lines().any(|line| line == "ready") {
        server.check_running()?;
        interrupt::check()?;
        if started.elapsed() > PATIENCE {
            bail!("the server did not say `ready` within {}", say::duration(PATIENCE));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(server)
}

/// Runs a command that must succeed and returns what it printed on standard output.
fn run(name: &str, command: Command, input: &str, scratch: &Path) -> Result<String> {
    let output = process::run_to_end(name, command, input, scratch, PATIENCE)?;
    if !output.status.success() {
        bail!("`{name}` failed ({}):\n{}{}", output.status, output.stdout, output.stderr.trim_end());
    }
    Ok(output.stdout)
}

/// A port that is free now. Another program could take it before the server does; the server then says so.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("this machine has no loopback address")?;
    Ok(listener.local_addr()?.port())
}
