//! `skep join`: connects this computer to a server, by name and password here, by a code in `join_code`, without either in `knock`.

use std::env;
use std::path::PathBuf;

use skep_platform::talk::{Complaint, Exit};
use skep_platform::{machine, own_files};
use skep_protocol::{Fingerprint, Introduction, JOIN_PATH, JoinCode, Joined, Reply, Request};
use skep_types::Limits;

use crate::args::{Global, JoinArgs};
use crate::home::{Config, DeviceConfig, FolderConfig, Home, ServerConfig};
use crate::link::{HttpLink, ParseAddressError, ServerAddress, probe_fingerprint};
use crate::{daemon, engine, join_code, knock, place, remote, terminal};

/// What a command line asks to join by.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// A name and a password.
    Password(ServerAddress),
    /// A code, at this server or at one that is found.
    Code(Option<ServerAddress>, JoinCode),
    /// A code that this computer shows, for somebody else to type.
    Knock(ServerAddress),
}

/// Joins.
pub async fn join(global: &Global, args: JoinArgs) -> Result<Exit, Complaint> {
    let home = Home::find(global.home.clone())?;
    if let Some(config) = home.config()? {
        let what = format!("This computer is connected to {} already.", config.server.url);
        return Err(Complaint::new(Exit::Guard, "E-JOINED", what)
            .hint("To leave it:   skep logout   To connect to another one too, give that a home of its own:   skep --home DIR join …"));
    }
    match way(&args)? {
        Way::Password(server) => join_by_password(global, &home, server, args).await,
        Way::Code(server, code) => join_code::join(global, &home, server, code, args).await,
        Way::Knock(server) => knock::join(global, &home, server, args).await,
    }
}

/// In an order in which a failure leaves nothing half done: what can fail here fails before the server hears of it.
async fn join_by_password(
    global: &Global,
    home: &Home,
    server: ServerAddress,
    args: JoinArgs,
) -> Result<Exit, Complaint> {
    let Some(user) = args.user.clone() else {
        return Err(Complaint::new(Exit::Usage, "E-USAGE", format!("As whom should this computer join {server}?"))
            .hint(
                "By a code:   skep join SERVER CODE   (from `skep devices add` or `skep-server invite`)\n\
             By name and password:   skep join SERVER --user NAME",
            ));
    };
    let fingerprint = match args.fingerprint {
        Some(fingerprint) => fingerprint,
        None => learn_fingerprint(&server).await?,
    };
    let password = read_password(&args, &user)?;
    home.make()?;
    let local = make_folder(home, args.dir.clone())?;
    let link = HttpLink::new(server.clone(), fingerprint, Limits::SHIPPED);
    let Introduction { name: asked_name, platform, client_version } = introduction(args.name.clone());
    let device_name = asked_name.clone();
    let request = Request::Join { user: user.clone(), password, device_name, platform, client_version };
    let Reply::Joined(joined) = remote::ask(&link, None, &request).await? else {
        return Err(remote::strange());
    };
    // The server calls it otherwise if another computer has that name. It has joined already, so that nothing may fail any more by asking.
    let (user, device_name) = match remote::ask(&link, Some(&joined.token), &remote::hello()).await {
        Ok(Reply::Hello { account_name, device_name, .. }) => (account_name, device_name),
        _ => (user, asked_name),
    };
    let config = config_of(&joined, server, fingerprint, user, device_name, local)?;
    keep(global, home, &config, &joined.token)?;
    if args.no_daemon { Ok(Exit::Done) } else { daemon::start(home, global).await }
}

/// Keeps what a join has given, and tells it.
pub(crate) fn keep(global: &Global, home: &Home, config: &Config, token: &str) -> Result<(), Complaint> {
    engine::prepare_root(&config.folder.local, config)?;
    home.save(config, token)?;
    if !global.quiet {
        terminal::say(&format!("  Server key   {}", config.server.fingerprint));
        terminal::say(&format!("  Signed in    {}", config.device.user));
        terminal::say(&format!("  This device  {}", config.device.name));
        terminal::say(&format!("  Folder       {}", config.folder.local.display()));
    }
    Ok(())
}

/// A server, a code, a link, or a server and a code; `-` for the code reads it from standard input.
fn way(args: &JoinArgs) -> Result<Way, Complaint> {
    let usage = |what: String| Complaint::new(Exit::Usage, "E-USAGE", what);
    let address = |text: &str| text.parse().map_err(|error: ParseAddressError| usage(format!("{error}.")));
    let code = |text: &str| {
        let typed = if text.trim() == "-" { terminal::read_line()? } else { text.to_owned() };
        // What was typed may be most of a code, so it is not repeated.
        typed.parse::<JoinCode>().map_err(|error| usage(format!("Cannot take the code: {error}.")))
    };
    let names_code = args.to.contains('#') || args.to == "-" || JoinCode::looks_like_one(&args.to);
    if args.device_code && names_code {
        return Err(usage("With a code of another computer, none is shown here.".to_owned())
            .hint("One or the other:   skep join CODE   or   skep join SERVER --device-code"));
    }
    match (args.to.as_str(), args.code.as_deref()) {
        (server, Some(text)) => Ok(Way::Code(Some(address(server)?), code(text)?)),
        (link, None) if link.contains('#') => {
            let (server, text) = link.split_once('#').expect("it is there");
            Ok(Way::Code(Some(address(server.strip_suffix(JOIN_PATH).unwrap_or(server))?), code(text)?))
        }
        (text, None) if text == "-" || JoinCode::looks_like_one(text) => Ok(Way::Code(None, code(text)?)),
        (server, None) if args.device_code || (args.user.is_none() && !args.password_stdin) => {
            Ok(Way::Knock(address(server)?))
        }
        (server, None) => Ok(Way::Password(address(server)?)),
    }
}

/// A server and a code as one text. The code stands behind the `#`, which browsers send to nobody.
pub fn link_text(server: &ServerAddress, code: &JoinCode) -> String {
    format!("{server}{JOIN_PATH}#{code}")
}

/// What this computer says of itself.
pub(crate) fn introduction(name: Option<String>) -> Introduction {
    Introduction {
        name: name.unwrap_or_else(machine::host_name),
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
        selection: None,
        sync: None,
        update: None,
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

fn read_password(args: &JoinArgs, user: &str) -> Result<String, Complaint> {
    if args.password_stdin {
        return terminal::read_password();
    }
    if terminal::has_person() {
        return terminal::ask_password(&format!("Password of {user}: "));
    }
    Err(Complaint::new(Exit::Usage, "E-USAGE", "A password is needed, and there is nobody to ask for it.").hint(
        "Pass it by standard input: --password-stdin   Or let somebody in who is signed in elsewhere: --device-code",
    ))
}

/// The folder to sync, there from now on.
pub(crate) fn make_folder(home: &Home, named: Option<PathBuf>) -> Result<PathBuf, Complaint> {
    let usual = || env::home_dir().map(|home| home.join("Skep"));
    let dir = named.or_else(usual).ok_or_else(|| {
        Complaint::new(Exit::Usage, "E-USAGE", "There is no usual place for the folder here.")
            .hint("Name one: --dir DIR")
    })?;
    let failed = |error| {
        Complaint::new(Exit::Failed, "E-FOLDER", format!("Cannot make the folder `{}`: {error}.", dir.display()))
    };
    place::check_new(home, &own_files::absolute_of_new(&dir).map_err(failed)?)?;
    let local = own_files::make_dir(&dir).and_then(|()| own_files::absolute(&dir)).map_err(failed)?;
    // Only now is it known where `..` leads.
    place::check(home, &local)?;
    Ok(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way_of(to: &str, code: Option<&str>) -> Result<Way, &'static str> {
        let args = JoinArgs {
            to: to.to_owned(),
            code: code.map(str::to_owned),
            user: None,
            password_stdin: false,
            fingerprint: None,
            dir: None,
            name: None,
            device_code: false,
            no_daemon: true,
        };
        way(&args).map_err(|complaint| {
            assert!(!complaint.to_string().contains("92M"), "{complaint}");
            complaint.code
        })
    }

    #[test]
    fn servers_codes_and_links_are_told_apart() {
        let code: JoinCode = "7Q4K-92MD".parse().unwrap();
        let attic: ServerAddress = "attic".parse().unwrap();
        assert_eq!(way_of("7q4k-92md", None), Ok(Way::Code(None, code)));
        assert_eq!(way_of("attic", Some("7Q4K 92MD")), Ok(Way::Code(Some(attic.clone()), code)));
        assert_eq!(way_of(&link_text(&attic, &code), None), Ok(Way::Code(Some(attic.clone()), code)));
        assert_eq!(way_of("attic:7537/join#7Q4K-92MD", None), Ok(Way::Code(Some(attic.clone()), code)));
        assert_eq!(way_of("attic", None), Ok(Way::Knock(attic)));
        for (to, code) in [("attic", Some("7Q4K-92M")), ("at tic", Some("7Q4K-92MD")), ("attic/join#7Q4K-92MU", None)] {
            assert_eq!(way_of(to, code), Err("E-USAGE"), "{to}");
        }
    }
}
