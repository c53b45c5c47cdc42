//! `skep connect`: the classic form. One command joins the first time, and from then on only starts.

use std::env;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::pin::pin;
#[cfg(unix)]
use std::process::Command as Process;
use std::time::Duration;

use serde_json::json;
use skep_platform::runtime::{SystemEntropy, stop_signal};
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{Entropy, own_files};
use skep_protocol::{ClassicId, Code, Connected, Reply, Request};
use skep_types::{DriveId, Limits};
use tokio::time::timeout;

use crate::args::{AccountIdCommand, ConnectArgs, Global};
use crate::home::{Config, Home, IdHash, PendingAccount};
use crate::link::{HttpLink, ServerAddress, probe_fingerprint};
use crate::status::SCHEMA;
use crate::{daemon, engine, join, remote, terminal};

/// A start does not wait longer for a server that may be away: syncing begins without it.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Longest time between two questions, in seconds: a day.
const POLL_SECONDS_MAX: u64 = 86_400;

/// What the command line says, understood.
struct Wanted {
    server: ServerAddress,
    dir: PathBuf,
    limits: Limits,
    id: Option<ClassicId>,
    args: ConnectArgs,
}

/// Joins if this home has not joined yet, then syncs until it is told to stop.
pub async fn connect(global: &Global, args: ConnectArgs) -> Result<Exit, Complaint> {
    let wanted = understood(args)?;
    let home = Home::find(global.home.clone())?;
    home.make()?;
    // Held from here on, so that of two commands at once one joins.
    let lock = daemon::claim(&home)?;
    let is_in_line = is_in_line(&wanted);
    let mut stop = pin!(stop_signal());
    let config = tokio::select! {
        biased;
        _ = &mut stop => return Ok(Exit::Done),
        joined = joined(global, &home, &wanted) => joined?,
    };
    if is_in_line {
        drop(lock);
        return Err(start_without_id(&wanted));
    }
    daemon::serve(&home, global, config, lock, wanted.limits, stop).await
}

/// Whether an argument of this process is the account id.
fn is_in_line(wanted: &Wanted) -> bool {
    cfg!(unix) && env::args().any(|argument| is_id(wanted, &argument))
}

fn is_id(wanted: &Wanted, argument: &str) -> bool {
    wanted.id.is_some() && argument.parse().ok() == wanted.id
}

/// Everybody on this computer can read the arguments of a process as long as it runs. The id has done its work: the program takes its
/// own place, without it.
#[cfg(unix)]
fn start_without_id(wanted: &Wanted) -> Complaint {
    use std::os::unix::process::CommandExt;
    let arguments = env::args_os().skip(1).filter(|argument| argument.to_str().is_none_or(|text| !is_id(wanted, text)));
    let error = match env::current_exe() {
        Ok(program) => Process::new(program).args(arguments).exec(),
        Err(error) => error,
    };
    let what = format!("Connected, but the program cannot start itself anew: {error}.");
    Complaint::new(Exit::Failed, "E-INTERNAL", what)
        .hint("Give the same command again without the ACCOUNT_ID, so that nobody reads it in the list of processes.")
}

#[cfg(not(unix))]
fn start_without_id(_: &Wanted) -> Complaint {
    unreachable!("arguments are nobody else's to read here")
}

/// What this home is joined to, from now on if it was not before.
async fn joined(global: &Global, home: &Home, wanted: &Wanted) -> Result<Config, Complaint> {
    let config = match home.config()? {
        Some(config) => come_back(home, config, wanted).await?,
        None => come_first(global, home, wanted).await?,
    };
    tell_new_id(global, home, &config)?;
    Ok(config)
}

/// Gives the account another id.
pub async fn account_id(global: &Global, command: AccountIdCommand) -> Result<Exit, Complaint> {
    let AccountIdCommand::Replace = command;
    let home = Home::find(global.home.clone())?;
    let config = home.joined()?;
    let token = home.token()?;
    let id = new_id();
    let link = HttpLink::new(config.server.url.clone(), config.server.fingerprint, Limits::SHIPPED);
    remote::ask(&link, Some(&token), &Request::ReplaceId { id }).await?;
    // The id that this computer came by stays known here: a service that names it starts as before.
    print_id(global, &config, &id)?;
    Ok(Exit::Done)
}

/// A start of a home that has joined: everything that was named must be what it was joined with.
async fn come_back(home: &Home, mut config: Config, wanted: &Wanted) -> Result<Config, Complaint> {
    let named = own_files::absolute(&wanted.dir).or_else(|_| std::path::absolute(&wanted.dir));
    if named.is_ok_and(|named| named != config.folder.local) {
        let (known, named) = (config.folder.local.display(), wanted.dir.display());
        let what = format!("The client in `{}` syncs `{known}`, not `{named}`.", home.dir().display());
        return Err(Complaint::new(Exit::Guard, "E-JOINED", what)
            .hint("Give each folder a home of its own:   skep --home DIR connect …"));
    }
    let pinned = config.server.fingerprint;
    if let Some(now) = wanted.args.fingerprint.filter(|named| *named != pinned) {
        let what = format!("The key of this server is known here as {pinned}, not as {now}.");
        return Err(Complaint::new(Exit::Guard, "E-KEY-CHANGED", what));
    }
    let token = home.token()?;
    let new_id = wanted.id.filter(|id| config.device.account_id != Some(IdHash::of(id)));
    let has_moved = config.server.url != wanted.server;
    let request = match new_id {
        Some(id) => Request::CheckId { id },
        None => remote::hello(),
    };
    let link = HttpLink::new(wanted.server.clone(), pinned, Limits::SHIPPED);
    let asked = timeout(ASK_WITHIN, remote::ask(&link, Some(&token), &request)).await;
    let asked = asked.unwrap_or_else(|_| {
        let what = format!("{} does not answer.", wanted.server);
        Err(Complaint::new(Exit::Unreachable, "E-UNREACHABLE", what))
    });
    match asked {
        Ok(_) => {}
        Err(complaint) if complaint.code == Code::NotFound.as_str() && new_id.is_some() => {
            let user = &config.device.user;
            let what = format!("This is not the id of {user}, the account of `{}`.", config.folder.local.display());
            return Err(Complaint::new(Exit::Guard, "E-OTHER-ACCOUNT", what).hint(
                "Leave the id out to go on with this account. For another account, name another folder and a home of its own:   \
                 skep --home DIR connect …",
            ));
        }
        Err(complaint) if complaint.code == Code::SignIn.as_str() => {
            let what = "This device is signed out: the server does not take its token any more.";
            return Err(Complaint::new(Exit::NotAllowed, complaint.code, what).hint(
                "Your files stay here. To connect the folder anew:   skep --home NEW_HOME connect SERVER PORT DIR ACCOUNT_ID",
            ));
        }
        Err(complaint) if is_final(&complaint) || new_id.is_some() || has_moved => return Err(complaint),
        // It syncs what it can, and the server may come.
        Err(complaint) => terminal::say(&format!("{}  It is tried again and again.", complaint.what)),
    }
    if has_moved || new_id.is_some() {
        // Its key has proved that it is the same server.
        config.server.url = wanted.server.clone();
        config.device.account_id = new_id.as_ref().map(IdHash::of).or(config.device.account_id);
        home.save(&config, &token)?;
    }
    Ok(config)
}

/// Whether trying again by itself would not help.
fn is_final(complaint: &Complaint) -> bool {
    matches!(complaint.exit, Exit::Guard | Exit::NotAllowed | Exit::NotFound)
}

/// The first start: what can fail here fails before the server hears of it, and what the server is told is kept before, so that after a
/// break anywhere the same command goes on where this one ended.
async fn come_first(global: &Global, home: &Home, wanted: &Wanted) -> Result<Config, Complaint> {
    let server = &wanted.server;
    let begun = home.pending_account()?.filter(|begun| begun.url == *server);
    let fingerprint = match (wanted.args.fingerprint, &begun) {
        (Some(named), _) => named,
        (None, Some(begun)) => begun.fingerprint,
        (None, None) => probe_fingerprint(server).await.map_err(|error| remote::complaint_of(error, server))?,
    };
    let local = join::make_folder(home, Some(wanted.dir.clone()))?;
    let shown = engine::drive_shown_in(&local)?;
    let device = join::introduction(wanted.args.name.clone());
    let (request, id) = match (wanted.id, begun, shown) {
        (Some(id), _, drive) => (Request::NewDevice { id, device, drive }, id),
        (None, None, Some(_)) => return Err(folder_of_another(&local)),
        // Begun, and broken off when the folder had its marker already.
        (None, Some(begun), Some(drive)) => {
            (Request::NewDevice { id: begun.account_id, device, drive: Some(drive) }, begun.account_id)
        }
        (None, Some(begun), None) => (Request::NewAccount { id: begun.account_id, device }, begun.account_id),
        (None, None, None) => {
            let id = new_id();
            home.begin_account(&PendingAccount { url: server.clone(), fingerprint, account_id: id })?;
            (Request::NewAccount { id, device }, id)
        }
    };
    let link = HttpLink::new(server.clone(), fingerprint, Limits::SHIPPED);
    let answer = remote::ask(&link, None, &request).await;
    if answer.as_ref().is_err_and(|complaint| complaint.code == Code::NotOpen.as_str()) {
        // Nothing was begun.
        home.end_account()?;
    }
    let connected = match answer.map_err(|complaint| refused(complaint, wanted, &local, shown))? {
        Reply::Connected(connected) => connected,
        _ => return Err(remote::strange()),
    };
    if wanted.id.is_some() {
        // An account that was begun before, and then not wanted.
        home.end_account()?;
    }
    let Connected { joined, account_name, device_name } = connected;
    let mut config = join::config_of(&joined, server.clone(), fingerprint, account_name, device_name, local)?;
    config.device.account_id = Some(IdHash::of(&id));
    engine::prepare_root(&config.folder.local, &config)?;
    home.save(&config, &joined.token)?;
    if !global.quiet {
        let pinned =
            if wanted.args.fingerprint.is_some() { "" } else { "   seen for the first time, trusted from now on" };
        terminal::say(&format!("  Server key   {fingerprint}{pinned}"));
        terminal::say(&format!("  Account      {}", config.device.user));
        terminal::say(&format!("  This device  {}", config.device.name));
        terminal::say(&format!("  Folder       {}", config.folder.local.display()));
    }
    Ok(config)
}

/// Why the server did not take this computer, and what to do.
fn refused(complaint: Complaint, wanted: &Wanted, local: &Path, shown: Option<DriveId>) -> Complaint {
    let (server, has_id) = (&wanted.server, wanted.id.is_some());
    match complaint.code {
        code if code == Code::NotOpen.as_str() => {
            let what = format!("{server} does not make accounts for those who ask, and no ACCOUNT_ID was given.");
            Complaint::new(Exit::NotAllowed, code, what).hint(
                "Give the id of an account:   skep connect SERVER PORT DIR ACCOUNT_ID\n\
                 Or join by a code:   skep join SERVER CODE\n\
                 Or have the server started with --open.",
            )
        }
        code if code == Code::SignIn.as_str() && has_id => {
            Complaint::new(Exit::NotAllowed, code, format!("No account on {server} has this account id."))
                .hint("Was it replaced since, or is it of another server? Nothing was sent from this folder.")
        }
        code if shown.is_some() && (code == Code::NotFound.as_str() || code == Code::SignIn.as_str()) => {
            folder_of_another(local)
        }
        _ => complaint,
    }
}

/// The folder shows a drive that is not the account's.
pub(crate) fn folder_of_another(local: &Path) -> Complaint {
    let shown = local.display();
    let what = format!("`{shown}` is a folder of another account, or of this one under an id that was not given.");
    Complaint::new(Exit::Guard, "E-OTHER-ACCOUNT", what).hint(format!(
        "Nothing was sent. Give that account's id, or choose another folder. To give its files to another account all the same, \
         remove `{shown}/.skep/root` first."
    ))
}

/// Prints the id of an account that was just made: once, unless the program is ended just then.
fn tell_new_id(global: &Global, home: &Home, config: &Config) -> Result<(), Complaint> {
    let Some(made) = home.pending_account()? else { return Ok(()) };
    if config.device.account_id == Some(IdHash::of(&made.account_id)) {
        print_id(global, config, &made.account_id)?;
    }
    home.end_account()
}

/// The id alone on a line of standard output; what it is, to the person.
fn print_id(global: &Global, config: &Config, id: &ClassicId) -> Result<(), Complaint> {
    if global.json {
        let answer = json!({ "schema": SCHEMA, "account": config.device.user, "account_id": id.to_string() });
        return terminal::print(&format!("{answer}\n"));
    }
    if !global.quiet {
        terminal::say("The account id, shown only now. Who has it can add computers to the account:");
    }
    terminal::print(&format!("{id}\n"))
}

fn new_id() -> ClassicId {
    ClassicId::from_bytes(SystemEntropy.bytes())
}

fn understood(mut args: ConnectArgs) -> Result<Wanted, Complaint> {
    let (poll_seconds, id) = poll_and_id(args.poll_seconds.take(), args.account_id.take())?;
    let mut limits = Limits::SHIPPED;
    if let Some(seconds) = poll_seconds {
        limits.poll_ms = seconds * 1000;
    }
    Ok(Wanted { server: address(&args.server, args.port)?, dir: args.dir.clone(), limits, id, args })
}

/// Host or address and port, in the forms that people type.
fn address(server: &str, port: u16) -> Result<ServerAddress, Complaint> {
    let host = server.strip_prefix("https://").unwrap_or(server).trim_end_matches('/');
    let is_bare_ipv6 = host.parse::<Ipv6Addr>().is_ok();
    let text = if is_bare_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    text.parse().map_err(|_| {
        Complaint::new(Exit::Usage, "E-USAGE", format!("`{server}` is no name or address of a server."))
            .hint("Write it without its port:   skep connect attic.example.org 7537 DIR")
    })
}

/// Each of the two last arguments may be left out: a number is the one, an account id the other.
fn poll_and_id(fourth: Option<String>, fifth: Option<String>) -> Result<(Option<u64>, Option<ClassicId>), Complaint> {
    let seconds = |text: &str| match text.parse() {
        Ok(seconds @ 1..=POLL_SECONDS_MAX) => Ok(Some(seconds)),
        _ => Err(Complaint::new(
            Exit::Usage,
            "E-USAGE",
            format!("POLL_SECONDS is a number from 1 to {POLL_SECONDS_MAX}."),
        )),
    };
    // Six digits say at most eleven days; an id of digits alone has many more.
    let is_number = |text: &str| text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    match (fourth, fifth) {
        (None, id) => Ok((None, id.map(parse_id).transpose()?)),
        (Some(only), None) if !is_number(&only) => Ok((None, Some(parse_id(only)?))),
        (Some(poll), id) => Ok((seconds(&poll)?, id.map(parse_id).transpose()?)),
    }
}

fn parse_id(text: String) -> Result<ClassicId, Complaint> {
    let text = if text == "-" { terminal::read_line()? } else { text };
    text.parse().map_err(|error: skep_protocol::ParseClassicIdError| {
        Complaint::new(Exit::Usage, "E-ACCOUNT-ID", format!("Cannot take the ACCOUNT_ID: {error}."))
            .hint("It was printed when the account was made: 24 letters and digits in six groups. Nothing was sent.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(fourth: &str, fifth: &str) -> Result<(Option<u64>, Option<ClassicId>), &'static str> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        poll_and_id(given(fourth), given(fifth)).map_err(|complaint| complaint.code)
    }

    #[test]
    fn poll_time_and_id_may_each_be_left_out() {
        let id = ClassicId::from_bytes([9; ClassicId::LEN]);
        let text = id.to_string();
        assert_eq!(taken("", ""), Ok((None, None)));
        assert_eq!(taken("30", ""), Ok((Some(30), None)));
        assert_eq!(taken(&text, ""), Ok((None, Some(id))));
        assert_eq!(taken("30", &text.to_lowercase()), Ok((Some(30), Some(id))));
        let digits = ClassicId::from_bytes([0; ClassicId::LEN]);
        assert_eq!(taken(&digits.to_string().replace(['-'], ""), ""), Ok((None, Some(digits))));
        for poll in ["0", "86401", "999999"] {
            assert_eq!(taken(poll, ""), Err("E-USAGE"), "{poll}");
        }
        assert_eq!(taken(&text, &text), Err("E-USAGE"));
        assert_eq!(taken("thirty", ""), Err("E-ACCOUNT-ID"));
        let typo = if text.starts_with('0') { text.replacen('0', "1", 1) } else { text.replacen(&text[..1], "0", 1) };
        assert_eq!(taken("30", &typo), Err("E-ACCOUNT-ID"));
    }

    #[test]
    fn a_server_is_named_by_host_and_port() {
        for (server, url) in [
            ("127.0.0.1", "https://127.0.0.1:9"),
            ("attic", "https://attic:9"),
            ("::1", "https://[::1]:9"),
            ("[::1]", "https://[::1]:9"),
            ("https://attic/", "https://attic:9"),
        ] {
            assert_eq!(address(server, 9).unwrap().to_string(), url);
        }
        for server in ["", "attic:8", "http://attic", "a b"] {
            assert!(address(server, 9).is_err(), "{server}");
        }
    }
}
