//! `skep`: reads the command line, does one thing, ends with its exit code.

use std::env;
use std::process::ExitCode;

use skep::args::{self, Asked};
use skep::{commands, terminal};
use skep_platform::talk::{Complaint, Exit};

/// musl's allocator is slow under threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Two providers may be compiled in by dependencies; then rustls refuses to choose.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        unreachable!("nothing ran before this line");
    }
    match carry_out() {
        Ok(exit) => exit.into(),
        Err(complaint) => {
            terminal::say(&complaint.to_string());
            if args::wants_json(env::args_os()) {
                terminal::print_complaint(&complaint);
            }
            complaint.exit.into()
        }
    }
}

fn carry_out() -> Result<Exit, Complaint> {
    let asked = match args::parse(env::args_os())? {
        Asked::Command(asked) => asked,
        Asked::Text(text) => return terminal::print(&text).map(|()| Exit::Done),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Complaint::new(Exit::Failed, "E-INTERNAL", format!("Cannot start threads: {error}.")))?;
    let done = runtime.block_on(commands::carry_out(asked.command, &asked.global));
    // A job that hangs on a dead disk must not hold up the end.
    runtime.shutdown_background();
    done
}
