//! `skep pause` and `skep resume`.

use serde_json::json;
use skep_client::Pause;
use skep_platform::talk::{Complaint, Exit, utc_text};

use crate::args::{Global, PauseArgs};
use crate::clock;
use crate::commands::{print_json, strange};
use crate::control::{ControlAnswer, ControlRequest, DaemonConnection};
use crate::home::{Home, PauseConfig};
use crate::status::SCHEMA;
use crate::terminal;

/// Pauses syncing.
pub async fn pause(global: &Global, args: &PauseArgs) -> Result<Exit, Complaint> {
    let now = clock::now();
    let pause = match (args.for_time, args.until) {
        (Some(time), _) => {
            let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(LONGEST_MS);
            Pause::Until(clock::timestamp(&now).plus_milliseconds(milliseconds))
        }
        (None, Some(time)) => Pause::Until(clock::next(time, &now).ok_or_else(|| {
            Complaint::new(Exit::Usage, "E-USAGE", "Clocks here do not show that time soon.").hint("Use:   --for 2h")
        })?),
        (None, None) => Pause::UntilResumed,
    };
    set(global, Some(pause)).await?;
    let until = match pause {
        Pause::UntilResumed => None,
        Pause::Until(end) => Some(end),
    };
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "paused": true, "until": until.map(utc_text) }))?;
    } else if !global.quiet {
        let end = until.map_or_else(|| "it is resumed".into(), |end| clock::until_text(end, &now));
        terminal::say(&format!("Paused until {end}. Changes wait, here and on the server. Go on:   skep resume"));
    }
    Ok(Exit::Done)
}

/// A hundred years: more is meant for ever.
const LONGEST_MS: u64 = 100 * 366 * 86_400_000;

/// Goes on after a pause.
pub async fn resume(global: &Global) -> Result<Exit, Complaint> {
    set(global, None).await?;
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "paused": false, "until": null }))?;
    } else if !global.quiet {
        terminal::say("Syncing goes on.");
    }
    Ok(Exit::Done)
}

/// Tells the daemon, which keeps it for later starts; while it is off, that is all there is to do.
async fn set(global: &Global, pause: Option<Pause>) -> Result<(), Complaint> {
    let home = Home::find(global.home.clone())?;
    home.joined()?;
    let Some(mut daemon) = DaemonConnection::open(&home).await else { return home.save_pause(pause) };
    match daemon.ask(&ControlRequest::Pause { pause: pause.map(PauseConfig::from) }).await? {
        ControlAnswer::Paused { .. } => Ok(()),
        other => Err(strange(&other)),
    }
}
