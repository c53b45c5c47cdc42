//! `skep devices`: the computers of the account.

use serde_json::json;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_protocol::{Code, DeviceSummary, KnockSummary, NewCode, Reply, Request, Verdict};
use skep_types::DeviceId;

use crate::account::Asker;
use crate::args::{AnswerArgs, DevicesCommand, Global};
use crate::clock;
use crate::commands::print_json;
use crate::names::printable;
use crate::status::SCHEMA;
use crate::{approve, daemon, join, qr, remote, terminal};

/// Does what was asked about them.
pub async fn devices(global: &Global, command: Option<DevicesCommand>) -> Result<Exit, Complaint> {
    match command {
        None | Some(DevicesCommand::Ls) => list(global).await,
        Some(DevicesCommand::Add { qr }) => add(global, qr).await,
        Some(DevicesCommand::Approve(args)) => approve::answer(global, &args, Verdict::Approved).await,
        Some(DevicesCommand::Deny { code }) => {
            approve::answer(global, &AnswerArgs { code, yes: true }, Verdict::Denied).await
        }
        Some(DevicesCommand::Revoke { device }) => revoke(global, &device).await,
    }
}

async fn all(asker: &Asker) -> Result<Vec<DeviceSummary>, Complaint> {
    match asker.ask(&Request::Devices).await? {
        Reply::Devices { devices } => Ok(devices),
        _ => Err(remote::strange()),
    }
}

/// The computers that ask to be let in and name this account.
async fn waiting(asker: &Asker) -> Result<Vec<KnockSummary>, Complaint> {
    match asker.ask(&Request::Knocks).await {
        Ok(Reply::Knocks { knocks }) => Ok(knocks),
        Ok(_) => Err(remote::strange()),
        // A server that is older than this client has none.
        Err(complaint) if complaint.code == Code::BadRequest.as_str() => Ok(Vec::new()),
        Err(complaint) => Err(complaint),
    }
}

async fn list(global: &Global) -> Result<Exit, Complaint> {
    let asker = Asker::of(global)?;
    let own = asker.config.device.id;
    let devices = all(&asker).await?;
    let waiting = waiting(&asker).await?;
    if global.json {
        let rows = devices.iter().map(|device| {
            json!({ "id": device.id.to_string(), "name": device.name, "platform": device.platform,
                "client_version": device.client_version, "created": utc_text(device.created),
                "last_seen": utc_text(device.last_seen), "signed_out": device.is_signed_out, "this": device.id == own })
        });
        let waiting = waiting.iter().map(|knock| {
            json!({ "name": knock.device.name, "platform": knock.device.platform,
                "client_version": knock.device.client_version, "address": knock.peer, "since": utc_text(knock.made) })
        });
        print_json(&json!({ "schema": SCHEMA, "devices": rows.collect::<Vec<_>>(),
            "waiting": waiting.collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    let now = clock::now();
    for device in &devices {
        let state = match (device.is_signed_out, device.id == own) {
            (true, _) => "signed out",
            (false, true) => "this one",
            (false, false) => "active",
        };
        let (name, platform) = (printable(&device.name), printable(&device.platform));
        let seen = clock::since_text(device.last_seen, &now);
        terminal::print(&format!("{}  {state:<10}  last seen {seen:<15}  {platform:<16}  {name}\n", device.id))?;
    }
    for knock in &waiting {
        let (name, platform) = (printable(&knock.device.name), printable(&knock.device.platform));
        let origin = approve::origin(knock);
        terminal::print(&format!(
            "asks to be let in, from {origin}: {name} ({platform})   skep devices approve CODE\n"
        ))?;
    }
    Ok(Exit::Done)
}

/// Prints a code: alone on standard output, what it is to the person.
async fn add(global: &Global, wants_qr: bool) -> Result<Exit, Complaint> {
    let asker = Asker::of(global)?;
    let Reply::Code(NewCode { code, valid_ms }) = asker.ask(&Request::MakeCode).await? else {
        return Err(remote::strange());
    };
    let server = &asker.config.server.url;
    let link = join::link_text(server, &code);
    if global.json {
        print_json(&json!({ "schema": SCHEMA, "code": code.to_string(), "link": link, "valid_s": valid_ms / 1000 }))?;
        return Ok(Exit::Done);
    }
    if !global.quiet {
        terminal::say(&format!(
            "On the other computer, within {} minutes:   skep join {code}\nWhere that finds nothing:   skep join {} {code}",
            valid_ms / 60_000,
            server.authority()
        ));
    }
    // The picture holds the code: into a pipe or a file it goes only if somebody wants it.
    if (wants_qr || (terminal::has_person() && !global.quiet))
        && let Some(picture) = qr::picture(&link)
    {
        terminal::say(&picture);
    }
    terminal::print(&format!("{code}\n"))?;
    Ok(Exit::Done)
}

async fn revoke(global: &Global, wanted: &str) -> Result<Exit, Complaint> {
    let asker = Asker::of(global)?;
    let id = one_called(all(&asker).await?, wanted)?;
    if id == asker.config.device.id {
        return Err(Complaint::new(Exit::Guard, "E-THIS-DEVICE", "That is this computer. Nothing was changed.")
            .hint("To sign it out:   skep logout"));
    }
    asker.ask(&Request::SignOut { device: id }).await?;
    daemon::say(
        global,
        &format!("Signed out {wanted} ({id}). Its files stay where they are; it gets and sends nothing any more."),
    )
}

/// The device of that id, else the one of that name that is signed in.
fn one_called(devices: Vec<DeviceSummary>, wanted: &str) -> Result<DeviceId, Complaint> {
    let by_id = wanted.parse().ok().filter(|id| devices.iter().any(|device| device.id == *id));
    let by_name =
        || devices.iter().find(|device| device.name == wanted && !device.is_signed_out).map(|device| device.id);
    by_id.or_else(by_name).ok_or_else(|| {
        Complaint::new(Exit::NotFound, "E-NOT-FOUND", format!("The account has no device `{wanted}`."))
            .hint("See which there are:   skep devices")
    })
}
