//! `cargo xtask soak SEED`: a real server and two real clients, on whose folders programs work at random, while processes are killed.
//!
//! What the simulator proves of the code, this proves of the programs, on this kernel and its file systems. The seed decides what
//! programs do and who is killed; the moments are the machine's own, so a seed tells where to look but does not replay.

mod judge;
mod ledger;
mod person;
mod random;

use std::fmt::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::arguments::Arguments;
use crate::cargo::{self, Profile};
use crate::interrupt;
use crate::process::LOOK_EVERY;
use crate::rig::{Place, Programs, Rig, Victim};
use crate::say::{self, Tone, toned};

use ledger::Ledger;
use person::Person;
use random::Random;

/// How long programs work if nothing else is said.
const SECONDS: u64 = 30;
/// Programs pause between two actions for less than so many milliseconds.
const PAUSE_MS_MAX: usize = 120;
/// At times they rest for up to so long, so that contents stand still for long enough to be owed.
const REST_MS_MAX: usize = 3_000;
/// The time between two kills, and that until the killed one comes back, are below so many milliseconds.
const CALM_MS_MAX: usize = 5_000;
/// See [`CALM_MS_MAX`].
const AWAY_MS_MAX: usize = 1_500;
/// A client that has just started, or whose server has, may take so long to be in touch with it again.
const IN_TOUCH_AFTER: Duration = Duration::from_secs(4);

/// What to do.
#[derive(Debug, Clone, Copy)]
struct Options {
    seed: u64,
    lasting: Duration,
    kill: bool,
    /// The two sides never touch the same names.
    apart: bool,
}

/// Runs the task.
pub fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let seconds = arguments.option::<u64>("--seconds")?.unwrap_or(SECONDS);
    let (kill, apart) = (arguments.switch("--kill"), arguments.switch("--apart"));
    let built = arguments.switch("--no-build");
    let seed = arguments.word().context("which seed?\nhint: `cargo xtask soak 1 --kill`")?;
    let seed = seed.parse().with_context(|| format!("`{seed}` is no seed, which is a number"))?;
    arguments.finish()?;
    interrupt::listen()?;
    let directory = match built {
        true => cargo::programs(Profile::Dev)?,
        false => cargo::build(&["skep-server", "skep"], Profile::Dev)?,
    };
    let programs = Programs::in_directory(&directory)?;
    let mut place = Place::temporary("soak")?;
    let options = Options { seed, lasting: Duration::from_secs(seconds), kill, apart };
    let mut log = String::new();
    let outcome = soak(&programs, &place, options, &mut log);
    match outcome {
        Ok(told) => {
            println!("  {} seed {seed}: {told}", toned(Tone::Good, "✓"));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if interrupt::asked() => Err(error),
        Err(error) => {
            place.keep();
            std::fs::write(place.log("actions"), log)?;
            println!("  {} seed {seed}: {error:#}", toned(Tone::Bad, "✗"));
            println!("    everything is still in {}", place.path().display());
            Ok(ExitCode::FAILURE)
        }
    }
}

fn soak(programs: &Programs, place: &Place, options: Options, log: &mut String) -> Result<String> {
    let mut rig = Rig::raise(programs, place, &mut |_, _| {})?;
    let marks = if options.apart { ["-laptop".to_owned(), "-desktop".to_owned()] } else { Default::default() };
    let mut ledger = Ledger::default();
    for side in 0..2 {
        ledger.connected(side, Duration::ZERO);
    }
    let (actions, kills) = work(&mut rig, &marks, options, &mut ledger, log)?;
    let settling = Instant::now();
    for victim in [Victim::Server, Victim::Client(0), Victim::Client(1)] {
        if !rig.is_up(victim) {
            rig.start_again(victim)?;
        }
    }
    let copies = judge::judge(&mut rig, place, &marks, options.apart, &ledger).map_err(|error| {
        let statuses =
            [0, 1].map(|computer| rig.client(computer, &["status"]).unwrap_or_else(|error| format!("{error:#}\n")));
        anyhow!("{error:#}\n{}", statuses.concat().trim_end())
    })?;
    let settled = say::duration(settling.elapsed());
    rig.lower()?;
    let (saved, owed) = ledger.counts();
    Ok(format!(
        "{actions} actions, killed {kills}, {owed} of {saved} contents owed and there, {copies} conflict copies, judged in {settled}"
    ))
}

/// How often each program was killed.
#[derive(Debug, Clone, Copy, Default)]
struct Kills {
    server: usize,
    clients: [usize; 2],
}

impl Kills {
    fn count(&mut self, victim: Victim) {
        match victim {
            Victim::Server => self.server += 1,
            Victim::Client(client) => self.clients[client] += 1,
        }
    }
}

impl fmt::Display for Kills {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [laptop, desktop] = self.clients;
        write!(text, "server {}, laptop {laptop}, desktop {desktop} times", self.server)
    }
}

/// Lets programs work and kills until the time is up. Gives the number of actions and of kills.
fn work(
    rig: &mut Rig,
    marks: &[String; 2],
    options: Options,
    ledger: &mut Ledger,
    log: &mut String,
) -> Result<(usize, Kills)> {
    let mut random = Random::new(options.seed);
    let folders = rig.folders();
    let mut people = [0, 1].map(|side| Person::new(side, &folders[side], &marks[side], random.number()));
    let mut killer = Killer::new(random.number());
    let mut actions = 0;
    let started = Instant::now();
    while started.elapsed() < options.lasting {
        interrupt::check()?;
        rig.check_running()?;
        let side = random.below(2);
        if let Some(told) = people[side].act(ledger) {
            note(log, started, &format!("{}: {told}", rig.computers[side].name));
            actions += 1;
        }
        if options.kill {
            killer.look(rig, ledger, &mut |told| note(log, started, told))?;
        }
        // Bursts with pauses in between, as people and their programs work.
        let pause = match random.below(60) {
            0 => random.below(REST_MS_MAX),
            1..15 => random.below(PAUSE_MS_MAX),
            _ => 0,
        };
        std::thread::sleep(LOOK_EVERY + Duration::from_millis(pause as u64));
    }
    people.iter_mut().for_each(|person| person.close(ledger));
    Ok((actions, killer.kills))
}

fn note(log: &mut String, started: Instant, told: &str) {
    // Wall-clock time stands beside it: the programs' own logs have no other.
    let wall = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let second = wall.as_secs() % 60;
    writeln!(log, "{:8.3} (:{second:02}.{:03}) {told}", started.elapsed().as_secs_f64(), wall.subsec_millis())
        .expect("writing to a string cannot fail");
}

/// Kills one program at a time and brings it back.
struct Killer {
    random: Random,
    down: Option<Victim>,
    next: Instant,
    kills: Kills,
}

impl Killer {
    fn new(seed: u64) -> Killer {
        let mut killer =
            Killer { random: Random::new(seed), down: None, next: Instant::now(), kills: Kills::default() };
        let first = killer.up_to(CALM_MS_MAX);
        killer.next += first;
        killer
    }

    fn up_to(&mut self, milliseconds: usize) -> Duration {
        Duration::from_millis(self.random.below(milliseconds) as u64)
    }

    fn look(&mut self, rig: &mut Rig, ledger: &mut Ledger, told: &mut dyn FnMut(&str)) -> Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        if let Some(victim) = self.down.take() {
            rig.start_again(victim)?;
            told(&format!("starts {victim:?}"));
            sides_of(victim).iter().for_each(|side| ledger.connected(*side, IN_TOUCH_AFTER));
            self.next = Instant::now() + self.up_to(CALM_MS_MAX);
            return Ok(());
        }
        let victim = *self.random.pick(&[Victim::Server, Victim::Client(0), Victim::Client(1)]);
        rig.kill(victim);
        told(&format!("kills {victim:?}"));
        sides_of(victim).iter().for_each(|side| ledger.disconnected(*side));
        self.kills.count(victim);
        self.down = Some(victim);
        self.next = Instant::now() + self.up_to(AWAY_MS_MAX);
        Ok(())
    }
}

/// Whose contents wait while this one is away.
fn sides_of(victim: Victim) -> &'static [usize] {
    match victim {
        Victim::Server => &[0, 1],
        Victim::Client(0) => &[0],
        Victim::Client(_) => &[1],
    }
}
