//! `skep update --check` and `skep man`: whether there is a newer release, and the manual page.

use skep_platform::talk::{Complaint, Exit};
use skep_shell::manual;
use skep_shell::releases::{self, Program};
use skep_types::product;

use crate::args::{self, Global, UpdateArgs};
use crate::home::{Config, Home};
use crate::terminal;

/// Tells whether there is a newer release. Nobody is asked whom the user has not named.
pub async fn update(global: &Global, args: UpdateArgs) -> Result<Exit, Complaint> {
    let named = |config: Config| config.update?.url;
    let from = match args.from {
        Some(from) => Some(from),
        None => Home::find(global.home.clone())?.config()?.and_then(named),
    };
    let program = Program {
        name: product::NAME,
        version: env!("CARGO_PKG_VERSION"),
        command: "skep update --check",
        setting: "`url` below `[update]` in config.toml",
    };
    let checked = releases::check(program, from.as_deref()).await?;
    terminal::print(&if global.json { checked.json.to_string() } else { checked.text })?;
    Ok(checked.exit)
}

/// Prints the manual page.
pub fn manual() -> Result<Exit, Complaint> {
    let failed = |error| Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot make the manual: {error}."));
    terminal::print(&manual::page(args::command_line()).map_err(failed)?)?;
    Ok(Exit::Done)
}
