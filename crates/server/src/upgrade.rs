//! `skep-server upgrade --check`: whether there is a newer release, and how to get it here.

use skep_platform::talk::{Complaint, Exit};
use skep_shell::releases::{self, Program};
use skep_types::product;

use crate::admin::print;
use crate::args::UpgradeArgs;
use crate::config;

/// Tells.
pub async fn upgrade(args: UpgradeArgs) -> Result<Exit, Complaint> {
    let from = args.from.or(config::of(&args.data)?.update_url);
    let program = Program {
        name: product::SERVER,
        version: env!("CARGO_PKG_VERSION"),
        command: "skep-server upgrade --check",
        setting: "`update.url` of the settings",
    };
    let checked = releases::check(program, from.as_deref()).await?;
    print(&[if args.json { checked.json.to_string() } else { checked.text }])?;
    Ok(checked.exit)
}
