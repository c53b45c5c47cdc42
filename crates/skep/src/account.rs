//! `skep profile`, `skep passwd`, `skep logout`: the account that this computer belongs to.

use serde_json::json;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_protocol::{Code, Profile, Reply, Request};
use skep_types::Limits;

use crate::args::Global;
use crate::clock;
use crate::commands::print_json;
use crate::home::{Config, DeviceConfig, Home};
use crate::link::HttpLink;
use crate::names::printable;
use crate::status::SCHEMA;
use crate::{daemon, remote, terminal};

/// A computer that has joined, on its way to its server.
pub struct Asker {
    /// What it knows.
    pub config: Config,
    home: Home,
    token: String,
    link: HttpLink,
}

impl Asker {
    /// The client of this home.
    pub fn of(global: &Global) -> Result<Asker, Complaint> {
        let home = Home::find(global.home.clone())?;
        let config = home.joined()?;
        let token = home.token()?;
        let link = HttpLink::new(config.server.url.clone(), config.server.fingerprint, Limits::SHIPPED);
        Ok(Asker { config, home, token, link })
    }

    /// One request, one reply.
    pub async fn ask(&self, request: &Request) -> Result<Reply, Complaint> {
        remote::ask(&self.link, Some(&self.token), request)
            .await
            .map_err(|refused| if refused.code == Code::SignIn.as_str() { signed_out() } else { refused })
    }
}

fn signed_out() -> Complaint {
    let what = "This device is signed out: the server does not take its token any more.";
    Complaint::new(Exit::NotAllowed, Code::SignIn.as_str(), what)
        .hint("Your files stay here. To go on syncing:   skep logout   and then   skep join SERVER CODE")
}

/// What is known of the account; with another login name from now on, if one is given.
pub async fn profile(global: &Global, new_name: Option<String>) -> Result<Exit, Complaint> {
    let asker = Asker::of(global)?;
    if let Some(user) = new_name {
        asker.ask(&Request::Rename { user: user.clone() }).await?;
        let device = DeviceConfig { user, ..asker.config.device.clone() };
        asker.home.save(&Config { device, ..asker.config.clone() }, &asker.token)?;
    }
    let Reply::Profile(Profile { user, account, created, has_password, has_account_id, devices }) =
        asker.ask(&Request::Profile).await?
    else {
        return Err(remote::strange());
    };
    if global.json {
        print_json(&json!({
            "schema": SCHEMA, "user": user, "account": account.to_string(), "created": utc_text(created),
            "has_password": has_password, "has_account_id": has_account_id, "devices": devices,
        }))?;
        return Ok(Exit::Done);
    }
    let has = |there: bool| if there { "yes" } else { "no" };
    terminal::print(&format!(
        "User name   {}\nAccount     {account}\nSince       {}\nPassword    {}\nAccount id  {}\nDevices     {devices}\n",
        printable(&user),
        clock::full(created, &clock::now()),
        has(has_password),
        has(has_account_id)
    ))?;
    Ok(Exit::Done)
}

/// Sets another password: the present one first, then the new one; on standard input each on a line.
pub async fn passwd(global: &Global, from_stdin: bool) -> Result<Exit, Complaint> {
    let asker = Asker::of(global)?;
    let Reply::Profile(Profile { user, has_password, .. }) = asker.ask(&Request::Profile).await? else {
        return Err(remote::strange());
    };
    if !from_stdin && !terminal::has_person() {
        return Err(Complaint::new(Exit::Usage, "E-USAGE", "There is nobody to ask for the passwords.")
            .hint("Pass both by standard input, the present one first:   skep passwd --password-stdin"));
    }
    let old = match (has_password, from_stdin) {
        (false, _) => None,
        (true, true) => Some(terminal::read_password()?),
        (true, false) => Some(terminal::ask_password("Present password: ")?),
    };
    let new = if from_stdin { terminal::read_password()? } else { terminal::ask_new_password(&user)? };
    asker.ask(&Request::ChangePassword { old, new }).await?;
    daemon::say(global, "The password is changed. Devices stay signed in.")
}

/// Signs this computer out. Its folder stays as it is.
pub async fn logout(global: &Global) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    daemon::stop(&home, &Global { quiet: true, ..global.clone() }).await?;
    let told = match Asker::of(global) {
        Ok(asker) => asker.ask(&Request::SignOut { device: config.device.id }).await.map(drop),
        Err(no_token) => Err(no_token),
    };
    home.forget()?;
    match told {
        // The server answers so to a device that it has just signed out, and to one that was signed out before.
        Err(complaint) if complaint.code != Code::SignIn.as_str() => {
            let what = format!("Signed out here, but {} could not be told: {}", config.server.url, complaint.what);
            Err(Complaint::new(Exit::Partly, complaint.code, what).hint(format!(
                "Sign it out there too:   skep devices revoke {}   on another computer",
                config.device.name
            )))
        }
        _ => {
            let folder = config.folder.local.display();
            daemon::say(global, &format!("Signed out of {}. Your files stay in {folder}.", config.server.url))
        }
    }
}
