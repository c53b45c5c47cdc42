//! `skep join`: connects this computer to a server.

use std::env;
use std::path::PathBuf;

use skep_platform::own_files;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::{Fingerprint, Introduction, Joined, Reply, Request};
use skep_types::Limits;

use crate::args::{Global, JoinArgs};
use crate::home::{Config, DeviceConfig, FolderConfig, Home, ServerConfig};
use crate::link::{HttpLink, ServerAddress, probe_fingerprint};
use crate::{daemon, engine, remote, terminal};

/// Joins, in an order in which a failure leaves nothing half done: what can fail here fails before the server hears of it.
pub async fn join(global: &Global, args: JoinArgs) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    if let Some(config) = home.config()? {
        let what = format!("This computer is connected to {} already.", config.server.url);
        return Err(Complaint::new(Exit::Guard, "E-JOINED", what)
            .hint("To connect to another one too, give that a home of its own:   skep --home DIR join …"));
    }
    let fingerprint = match args.fingerprint {
        Some(fingerprint) => fingerprint,
        None => learn_fingerprint(&args.server).await?,
    };
    let password = read_password(&args)?;
    home.make()?;
    let local = make_folder(args.dir)?;
    let link = HttpLink::new(args.server.clone(), fingerprint, Limits::SHIPPED);
    let Introduction { name: device_name, platform, client_version } = introduction(args.name);
    let (user, name) = (args.user.clone(), device_name.clone());
    let request = Request::Join { user, password, device_name: name, platform, client_version };
    let Reply::Joined(joined) = remote::ask(&link, None, &request).await? else {
        return Err(remote::strange());
    };
    let config = config_of(&joined, args.server, fingerprint, args.user, device_name, local)?;
    engine::prepare_root(&config.folder.local, &config)?;
    home.save(&config, &joined.token)?;
    if !global.quiet {
        terminal::say(&format!("  Server key   {fingerprint}"));
        terminal::say(&format!("  Signed in    {}", config.device.user));
        terminal::say(&format!("  This device  {}", config.device.name));
        terminal::say(&format!("  Folder       {}", config.folder.local.display()));
    }
    if args.no_daemon { Ok(Exit::Done) } else { daemon::start(&home, global).await }
}

/// What this computer says of itself.
pub(crate) fn introduction(name: Option<String>) -> Introduction {
    Introduction {
        name: name.unwrap_or_else(host_name),
        platform: format!("{}-{}", env::consts::OS, env::consts::ARCH),
        client_version: remote::client_version(),
    }
}

/// What a computer that has joined keeps.
pub(crate) fn config_of(
    joined: &Joined,
    url: ServerAddress,
    fingerprint: Fingerprint,
    user: String,
    name: String,
    local: PathBuf,
) -> Result<Config, Complaint> {
    let home_drive = joined.drives.first().ok_or_else(|| {
        Complaint::new(Exit::NotFound, "E-NOT-FOUND", format!("The account {user} has no drive on this server."))
    })?;
    Ok(Config {
        server: ServerConfig { url, fingerprint },
        device: DeviceConfig { name, id: joined.device, account: joined.account, user, account_id: None },
        folder: FolderConfig { local, drive: home_drive.drive, root: engine::new_root_id() },
        safety: None,
        pause: None,
    })
}

async fn learn_fingerprint(server: &ServerAddress) -> Result<Fingerprint, Complaint> {
    if !terminal::has_person() {
        let what = "The server's key is not known yet, and there is nobody to ask whether it is the right one.";
        return Err(Complaint::new(Exit::Usage, "E-USAGE", what)
            .hint("Name it: --fingerprint FP   (on the server: skep-server fingerprint)"));
    }
    let fingerprint = probe_fingerprint(server).await.map_err(|error| remote::complaint_of(error, server))?;
    terminal::say(&format!(
        "The key of {server} is\n  {fingerprint}\nCompare it with what `skep-server fingerprint` prints there."
    ));
    if terminal::confirm("Is it the same?")? {
        return Ok(fingerprint);
    }
    Err(Complaint::new(Exit::Guard, "E-KEY-REFUSED", "The server's key was not confirmed. Nothing was sent."))
}

fn read_password(args: &JoinArgs) -> Result<String, Complaint> {
    if args.password_stdin {
        return terminal::read_line();
    }
    if terminal::has_person() {
        return terminal::ask_password(&format!("Password of {}: ", args.user));
    }
    Err(Complaint::new(Exit::Usage, "E-USAGE", "A password is needed, and there is nobody to ask for it.")
        .hint("Pass it by standard input: --password-stdin"))
}

/// The folder to sync, there from now on.
pub(crate) fn make_folder(named: Option<PathBuf>) -> Result<PathBuf, Complaint> {
    let usual = || env::home_dir().map(|home| home.join("Skep"));
    let dir = named.or_else(usual).ok_or_else(|| {
        Complaint::new(Exit::Usage, "E-USAGE", "There is no usual place for the folder here.")
            .hint("Name one: --dir DIR")
    })?;
    own_files::make_dir(&dir).and_then(|()| own_files::absolute(&dir)).map_err(|error| {
        Complaint::new(Exit::Failed, "E-FOLDER", format!("Cannot make the folder `{}`: {error}.", dir.display()))
    })
}

#[cfg(unix)]
fn host_name() -> String {
    let full = rustix::system::uname().nodename().to_string_lossy().into_owned();
    full.split('.').next().filter(|name| !name.is_empty()).unwrap_or("computer").to_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    env::var("COMPUTERNAME").unwrap_or_else(|_| "computer".into())
}
