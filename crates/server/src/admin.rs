//! Administration from the command line. Works on the data directory, whether the server runs or not.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use serde_json::json;
use skep_blobstore::MemoryBlobs;
use skep_metastore::Account;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_service::{Belongings, ServiceError};

use crate::args::{DataArgs, DeviceCommand, QuotaLimit, UserCommand};
use crate::config::{self, Settings, Tls};
use crate::store::{DiskService, administer, complaint_of, complaint_of_key, require_data};
use crate::{keys, knocks};

/// Longest line that is taken as a password.
const PASSWORD_LINE_BYTES_MAX: u64 = 4 << 10;

/// Accounts.
pub async fn user(command: UserCommand) -> Result<(), Complaint> {
    match command {
        UserCommand::Add { name, password_stdin, data } => {
            let password = given_password(password_stdin, "A new account", &format!("add {name}"))?;
            let account = service_at(&data).await?.add_user(&name, &password).await.map_err(told)?;
            say(&format!("Made the account {name} ({account})."));
            Ok(())
        }
        UserCommand::Set { name, new_name, quota, data } => set_user(name, new_name, quota, &data).await,
        UserCommand::Passwd { name, password_stdin, data } => {
            let password = given_password(password_stdin, "An account", &format!("passwd {name}"))?;
            service_at(&data).await?.set_password(&name, &password).await.map_err(told)?;
            say(&format!("{name} has another password now. Devices stay signed in."));
            Ok(())
        }
        UserCommand::Disable { name, data } => {
            service_at(&data).await?.set_disabled(&name, true).await.map_err(told)?;
            say(&format!("{name} is disabled: no device of it gets or sends anything. Everything is kept."));
            Ok(())
        }
        UserCommand::Enable { name, data } => {
            service_at(&data).await?.set_disabled(&name, false).await.map_err(told)?;
            say(&format!("{name} is enabled. Its devices go on when they are started anew."));
            Ok(())
        }
        UserCommand::Rm { name, yes, data } => remove_user(&name, yes, data).await,
        UserCommand::NewId { name, data } => {
            let id = service_at(&data).await?.new_classic_id(&name).await.map_err(told)?;
            say(&format!("The account id of {name}, shown only now. Who has it can add computers to the account:"));
            print(&[id.to_string()])
        }
        UserCommand::Ls { json, data } => list_users(json, data).await,
    }
}

/// Changes what is asked for, the quota first: it still goes by the old name.
async fn set_user(
    name: String,
    new_name: Option<String>,
    quota: Option<QuotaLimit>,
    data: &DataArgs,
) -> Result<(), Complaint> {
    let service = service_at(data).await?;
    if let Some(limit) = quota {
        let quota = service.set_quota(&name, limit.0).await.map_err(told)?;
        let limit = quota.limit_bytes.map_or("as much as the disk takes".into(), |limit| format!("{limit} bytes"));
        say(&format!("{} may keep {limit}; it keeps {} bytes.", printable(&name), quota.used_bytes));
    }
    if let Some(new_name) = new_name {
        service.rename_user(&name, &new_name).await.map_err(told)?;
        say(&format!("{name} is called {new_name} now. Its devices stay signed in."));
    }
    Ok(())
}

async fn service_at(data: &DataArgs) -> Result<DiskService<MemoryBlobs>, Complaint> {
    administer(&config::of(data)?.site.data_dir).await
}

fn given_password(from_stdin: bool, whose: &str, command: &str) -> Result<String, Complaint> {
    if from_stdin {
        return read_line(&mut io::stdin().lock());
    }
    let hint = format!("Pass it by standard input: skep-server user {command} --password-stdin");
    Err(Complaint::new(Exit::Usage, "E-USAGE", format!("{whose} needs a password.")).hint(hint))
}

/// Says what goes, has it confirmed, and removes it.
async fn remove_user(name: &str, is_confirmed: bool, data: DataArgs) -> Result<(), Complaint> {
    let service = service_at(&data).await?;
    let Belongings { devices, files, bytes } = service.belongings(name).await.map_err(told)?;
    let gone = format!(
        "This removes the account {name} for good: {files} files of {bytes} bytes with all their versions, and {devices} devices. \
         What these have on their own disks stays there."
    );
    if !is_confirmed {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Complaint::new(Exit::Guard, "E-CONFIRM", gone)
                .hint(format!("Nothing was changed. If that is what you want: skep-server user rm {name} --yes")));
        }
        say(&format!("{gone}\nType its name to confirm:"));
        if read_line(&mut io::stdin().lock())? != name {
            return Err(Complaint::new(Exit::Guard, "E-CONFIRM", "That is another name. Nothing was changed."));
        }
    }
    service.remove_user(name).await.map_err(told)?;
    say(&format!("Removed the account {name}. The space is freed within two days."));
    Ok(())
}

async fn list_users(json: bool, data: DataArgs) -> Result<(), Complaint> {
    let service = administer(&config::of(&data)?.site.data_dir).await?;
    let accounts = service.accounts().await.map_err(told)?;
    if !json {
        let line = |account: &Account| {
            format!("{}{}", printable(&account.name), if account.disabled { "   disabled" } else { "" })
        };
        return print(&accounts.iter().map(line).collect::<Vec<_>>());
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
        DeviceCommand::Approve(args) => knocks::approve(args).await,
        DeviceCommand::Deny { code, data } => knocks::deny(code, data).await,
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
    let service = service_at(&data).await?;
    let devices = service.devices().await.map_err(told)?;
    let waiting = service.open_knocks().await.map_err(told)?;
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
        let waiting = knocks::rows(&waiting);
        return print(&[json!({ "schema": 1, "devices": rows, "waiting": waiting }).to_string()]);
    }
    let rows = devices.iter().map(|device| {
        let state = if device.revoked { "signed out" } else { "active" };
        format!("{}  {:<10}  last seen {}  {}", device.id, state, utc_text(device.last_seen), printable(&device.name))
    });
    print(&rows.chain(knocks::lines(&waiting)).collect::<Vec<_>>())
}

/// The fingerprint, alone on a line.
pub fn fingerprint(data: DataArgs) -> Result<(), Complaint> {
    let settings = config::of(&data)?;
    if matches!(settings.tls, Tls::OwnKey | Tls::Acme(_) | Tls::Off { certificate: None }) {
        // Its key was made at its first start. That of a certificate is told by the settings alone.
        require_data(&settings.site.data_dir)?;
    }
    print(&[identity(&settings)?.fingerprint.to_string()])
}

/// By what devices know this server. Its own key is made if it is not there.
pub fn identity(settings: &Settings) -> Result<keys::Identity, Complaint> {
    let identity = match &settings.tls {
        Tls::OwnKey | Tls::Acme(_) | Tls::Off { certificate: None } => {
            keys::identity(&settings.site.data_dir.join("keys"))
        }
        Tls::Files { certificate, key } => keys::identity_of_files(certificate, key),
        Tls::Off { certificate: Some(certificate) } => keys::identity_of_proxy(certificate),
    };
    identity.map_err(|error| complaint_of_key(&error))
}

/// Names come from people: nothing in them may steer a terminal.
pub(crate) fn printable(name: &str) -> String {
    name.chars()
        .map(|letter| if skep_service::misleads(letter) { char::REPLACEMENT_CHARACTER } else { letter })
        .collect()
}

/// Why a command failed.
pub(crate) fn told(error: ServiceError) -> Complaint {
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

fn read_line(input: &mut impl BufRead) -> Result<String, Complaint> {
    let mut line = String::new();
    let read = input.take(PASSWORD_LINE_BYTES_MAX).read_line(&mut line);
    let unreadable = |error| Complaint::new(Exit::Usage, "E-USAGE", format!("Cannot read the password: {error}."));
    read.map_err(unreadable)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
