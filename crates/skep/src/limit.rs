//! `skep limit`: how fast bytes may go.

use serde_json::json;
use skep_platform::talk::{Complaint, Exit};

use crate::args::{Global, LimitArgs};
use crate::commands::{print_json, strange};
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection};
use crate::home::{Home, Rate, SyncConfig};
use crate::status::SCHEMA;
use crate::terminal;

/// Shows the limits, or changes them: kept for later starts, and in force at once.
pub async fn limit(global: &Global, args: &LimitArgs) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let before = home.joined()?.sync.unwrap_or_default();
    let sync = SyncConfig {
        bandwidth_up: args.up.or(before.bandwidth_up),
        bandwidth_down: args.down.or(before.bandwidth_down),
    };
    if args.up.is_some() || args.down.is_some() {
        match DaemonConnection::open(&home).await {
            None => home.save_sync(sync.clone())?,
            Some(mut daemon) => match daemon.ask(&ControlRequest::Limit { sync: sync.clone() }).await? {
                ControlAnswer::Limited { .. } => {}
                other => return Err(strange(&other)),
            },
        }
    }
    let [up, down] = [sync.bandwidth_up, sync.bandwidth_down].map(|rate| rate.unwrap_or(Rate(None)));
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "up": up.0, "down": down.0 }))?;
    } else if !global.quiet {
        let text = |rate: Rate| if rate.0.is_some() { format!("{rate} a second") } else { "off".into() };
        terminal::print(&format!("up     {}\ndown   {}\n", text(up), text(down)))?;
    }
    Ok(Exit::Done)
}
