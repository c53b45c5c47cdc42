//! `cargo xtask demo`: Skep at work, on one machine, with nothing to prepare.

mod round;

pub use round::{noise, write_tree};

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::arguments::Arguments;
use crate::cargo::{self, Profile};
use crate::rig::{PASSWORD, Place, Programs, Rig, USER};
use crate::say::{self, Tone, toned};
use crate::{interrupt, process};

/// The transcript: each line a fact and how long it took.
pub struct Transcript;

impl Transcript {
    fn heading(&self, text: &str) {
        println!("\n{}", toned(Tone::Strong, text));
    }

    fn fact(&self, text: &str, took: Duration) {
        println!("  {} {text:<66} {:>9}", toned(Tone::Good, "✓"), say::duration(took));
    }

    fn remark(&self, text: &str) {
        println!("    {}", toned(Tone::Quiet, text));
    }
}

/// Runs the task.
pub fn run(mut arguments: Arguments) -> Result<ExitCode> {
    let once = arguments.switch("--once");
    let built = arguments.switch("--no-build");
    let keep = arguments.option::<PathBuf>("--keep")?;
    arguments.finish()?;
    interrupt::listen()?;

    let directory = match built {
        true => cargo::programs(Profile::Dev)?,
        false => cargo::build(&["skep-server", "skep"], Profile::Dev)?,
    };
    let programs = Programs::in_directory(&directory)?;
    let place = match &keep {
        Some(directory) => Place::kept(directory)?,
        None => Place::temporary("demo")?,
    };
    let outcome = show(&programs, &place, once);
    match outcome {
        // A person who presses Ctrl-C has seen enough; nothing failed.
        Err(_) if interrupt::asked() && !once => Ok(ExitCode::SUCCESS),
        Err(error) => {
            println!("  {} {error}", toned(Tone::Bad, "✗"));
            eprintln!("{}", place.log_tails());
            Err(error)
        }
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn show(programs: &Programs, place: &Place, once: bool) -> Result<()> {
    let say = Transcript;
    let began = Instant::now();
    say.heading("A server and two computers");
    let mut rig = Rig::raise(programs, place, &mut |text, took| say.fact(text, took))?;
    let files = round::play(&mut rig, place, &say)?;
    say.heading("Done");
    say.fact(&format!("{files} files are byte-identical on both computers"), began.elapsed());
    if !once {
        what_next(&rig, place);
        wait_for_interrupt(&mut rig)?;
        println!("\n{}", toned(Tone::Strong, "Stopping"));
    }
    let stopping = Instant::now();
    rig.lower()?;
    say.fact("all three programs stopped cleanly", stopping.elapsed());
    if place.is_kept() {
        say.remark(&format!("everything is still in {}", place.path().display()));
    }
    Ok(())
}

fn what_next(rig: &Rig, place: &Place) {
    let [laptop, desktop] = &rig.computers;
    println!("\n{}", toned(Tone::Strong, "Try it yourself (another terminal)"));
    println!("  put files here           {}", laptop.folder.display());
    println!("  and see them here        {}", desktop.folder.display());
    println!("  how does it stand?       {} --home {} status", rig.programs.client.display(), laptop.home.display());
    println!(
        "  who connected?           {} log --connections --data-dir {}",
        rig.programs.server.display(),
        rig.data.display()
    );
    println!("  what do they log?        {}", place.path().join("*.log").display());
    println!("  the server               {}  user {USER}, password {PASSWORD}", rig.address);
    println!("\n{}", toned(Tone::Quiet, "Ctrl-C stops everything and removes it."));
}

fn wait_for_interrupt(rig: &mut Rig) -> Result<()> {
    while !interrupt::asked() {
        rig.check_running()?;
        std::thread::sleep(process::LOOK_EVERY.saturating_mul(25));
    }
    Ok(())
}
