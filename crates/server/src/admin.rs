//! Administration from the command line. Works on the data directory, whether the server runs or not.

use std::io::{self, BufRead, Read, Write};

use serde_json::json;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_service::{ServiceError, connection_line};

use crate::args::{DataArgs, DeviceCommand, LogArgs, UserCommand};
use crate::config::{self, Settings, Tls};
use crate::keys;
use crate::store::{administer, complaint_of, complaint_of_key};

/// Longest line that is taken as a password.
const PASSWORD_LINE_BYTES_MAX: u64 = 4 << 10;
/// Most lines of a log that are shown at a time.
const LOG_LINES_MAX: usize = 1_000_000;

/// Accounts.
pub async fn user(command: UserCommand) -> Result<(), Complaint> {
    match command {
        UserCommand::Add { name, password_stdin, data } => {
            if !password_stdin {
                let what = "A new account needs a password.";
                let hint = format!("Pass it by standard input: skep-server user add {name} --password-stdin");
                return Err(Complaint::new(Exit::Usage, "E-USAGE", what).hint(hint));
            }
            let password = read_password(&mut io::stdin().lock())?;
            let account = administer(&config::of(&data)?.site.data_dir).await?.add_user(&name, &password).await;
            let account = account.map_err(told)?;
            say(&format!("Made the account {name} ({account})."));
            Ok(())
        }
        UserCommand::NewId { name, data } => {
            let id = administer(&config::of(&data)?.site.data_dir).await?.new_classic_id(&name).await.map_err(told)?;
            say(&format!("The account id of {name}, shown only now. Who has it can add computers to the account:"));
            print(&[id.to_string()])
        }
        UserCommand::Set { name, quota, data } => {
            let service = administer(&config::of(&data)?.site.data_dir).await?;
            let quota = service.set_quota(&name, quota.0).await.map_err(told)?;
            let limit = quota.limit_bytes.map_or("as much as the disk takes".into(), |limit| format!("{limit} bytes"));
            say(&format!("{} may keep {limit}; it keeps {} bytes.", printable(&name), quota.used_bytes));
            Ok(())
        }
        UserCommand::Ls { json, data } => list_users(json, data).await,
    }
}

async fn list_users(json: bool, data: DataArgs) -> Result<(), Complaint> {
    let service = administer(&config::of(&data)?.site.data_dir).await?;
    let accounts = service.accounts().await.map_err(told)?;
    if !json {
        return print(&accounts.iter().map(|account| printable(&account.name)).collect::<Vec<_>>());
    }
    let mut rows = Vec::new();
    for account in accounts {
        let has_account_id = service.has_classic_id(account.id).await.map_err(told)?;
        let quota = service.quota(account.id).await.map_err(told)?;
        rows.push(json!({ "id": account.id.to_string(), "name": account.name, "created": utc_text(account.created),
            "disabled": account.disabled, "has_password": account.password_hash.is_some(),
            "has_account_id": has_account_id, "quota_bytes": quota.limit_bytes, "used_bytes": quota.used_bytes }));
    }
    print(&[json!({ "schema": 1, "users": rows }).to_string()])
}

/// Devices.
pub async fn device(command: DeviceCommand) -> Result<(), Complaint> {
    match command {
        DeviceCommand::Ls { json, data } => list_devices(json, data).await,
        DeviceCommand::Revoke { device, data } => {
            let service = administer(&config::of(&data)?.site.data_dir).await?;
            let id = service.revoke_device(&device).await.map_err(told)?;
            say(&format!(
                "Signed out {device} ({id}). Its files stay where they are; it gets and sends nothing any more."
            ));
            Ok(())
        }
    }
}

async fn list_devices(json: bool, data: DataArgs) -> Result<(), Complaint> {
    let devices = administer(&config::of(&data)?.site.data_dir).await?.devices().await.map_err(told)?;
    if json {
        let rows: Vec<_> = devices
            .iter()
            .map(|device| {
                json!({ "id": device.id.to_string(), "account": device.account.to_string(), "name": device.name,
                    "platform": device.platform, "client_version": device.client_version,
                    "created": utc_text(device.created), "last_seen": utc_text(device.last_seen),
                    "revoked": device.revoked })
            })
            .collect();
        return print(&[json!({ "schema": 1, "devices": rows }).to_string()]);
    }
    let rows = devices.iter().map(|device| {
        let state = if device.revoked { "signed out" } else { "active" };
        format!("{}  {:<10}  last seen {}  {}", device.id, state, utc_text(device.last_seen), printable(&device.name))
    });
    print(&rows.collect::<Vec<_>>())
}

/// The fingerprint, alone on a line.
pub fn fingerprint(data: DataArgs) -> Result<(), Complaint> {
    print(&[identity(&config::of(&data)?)?.fingerprint.to_string()])
}

/// By what devices know this server. Its own key is made if it is not there.
pub fn identity(settings: &Settings) -> Result<keys::Identity, Complaint> {
    let identity = match &settings.tls {
        Tls::OwnKey | Tls::Off { certificate: None } => keys::identity(&settings.site.data_dir.join("keys")),
        Tls::Files { certificate, key } => keys::identity_of_files(certificate, key),
        Tls::Off { certificate: Some(certificate) } => keys::identity_of_proxy(certificate),
    };
    identity.map_err(|error| complaint_of_key(&error))
}

/// The connection log.
pub async fn log(args: LogArgs) -> Result<(), Complaint> {
    let service = administer(&config::of(&args.data)?.site.data_dir).await?;
    let connections = service.connections(args.lines.min(LOG_LINES_MAX)).await.map_err(told)?;
    let id_or_dash = |id: Option<String>| id.unwrap_or_else(|| "-".into());
    let lines = connections.iter().map(|line| {
        if args.json {
            return format!("{{\"schema\":1,{}", &connection_line(line)[1..]);
        }
        let (account, device) = (line.account.map(|id| id.to_string()), line.device.map(|id| id.to_string()));
        format!(
            "{}  {}  account {}  device {}  {}  {}  in {} B  out {} B  {} ms",
            utc_text(line.time),
            printable(&line.peer),
            id_or_dash(account),
            id_or_dash(device),
            line.request,
            line.outcome,
            line.bytes_in,
            line.bytes_out,
            line.duration_ms
        )
    });
    print(&lines.collect::<Vec<_>>())
}

/// Names come from people: nothing in them may steer a terminal.
fn printable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

fn told(error: ServiceError) -> Complaint {
    complaint_of(&error)
}

/// Talk goes to standard error, so that standard output is data only.
pub(crate) fn say(text: &str) {
    // Nobody may be listening; the work is done all the same.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes lines to standard output.
pub(crate) fn print(lines: &[String]) -> Result<(), Complaint> {
    let mut out = io::stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
    match written {
        // Whoever read along has read enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot write the answer: {error}."))),
        Ok(()) => Ok(()),
    }
}

fn read_password(input: &mut impl BufRead) -> Result<String, Complaint> {
    let mut line = String::new();
    let read = input.take(PASSWORD_LINE_BYTES_MAX).read_line(&mut line);
    let unreadable = |error| Complaint::new(Exit::Usage, "E-USAGE", format!("Cannot read the password: {error}."));
    read.map_err(unreadable)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
