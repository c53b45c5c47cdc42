//! Joining by a code: the server proves to know it before anything is said, and its key is pinned by that.

use std::path::Path;
use std::time::Duration;

use skep_platform::Entropy;
use skep_platform::runtime::SystemEntropy;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::{
    Code, CodeTask, Connected, Exchange, ExchangeId, Fingerprint, JoinCode, NewCode, Proof, Reply, Request,
};
use skep_types::{DriveId, Limits};
use tokio::time::timeout;

use crate::args::{Global, JoinArgs};
use crate::discovery::Search;
use crate::home::Home;
use crate::link::{HttpLink, ServerAddress, probe_fingerprint};
use crate::{connect, daemon, engine, join, remote, terminal};

/// A server in the same network answers within this time, or at another of its addresses.
const ASK_WITHIN: Duration = Duration::from_secs(4);

/// A server that knows the code; its key is known from now on.
struct Known {
    server: ServerAddress,
    fingerprint: Fingerprint,
    link: HttpLink,
    exchange: ExchangeId,
    proof: Proof,
}

/// Joins with a code.
pub async fn join(
    global: &Global,
    home: &Home,
    server: Option<ServerAddress>,
    code: JoinCode,
    args: JoinArgs,
) -> Result<Exit, Complaint> {
    let known = match server {
        Some(server) => at(&server, &code, args.fingerprint).await?.ok_or_else(|| does_not_count(&server))?,
        None => find(global, &code, args.fingerprint).await?,
    };
    let Reply::CodeProven { server_name, task } =
        remote::ask(&known.link, None, &Request::ProveCode { exchange: known.exchange, proof: known.proof })
            .await
            .map_err(|complaint| {
                if complaint.code == Code::JoinCode.as_str() { does_not_count(&known.server) } else { complaint }
            })?
    else {
        return Err(remote::strange());
    };
    let server_name = crate::names::printable(&server_name);
    if !global.quiet {
        let news = match &task {
            CodeTask::NewAccount { is_first: true, .. } => "  It is new: you are its first user.",
            _ => "",
        };
        terminal::say(&format!(
            "Found \"{server_name}\" ({}), key checked by the code.{news}",
            known.server.authority()
        ));
    }
    home.make()?;
    let local = join::make_folder(home, args.dir.clone())?;
    let shown = engine::drive_shown_in(&local)?;
    let makes_account = matches!(task, CodeTask::NewAccount { .. });
    if makes_account && shown.is_some() {
        return Err(connect::folder_of_another(&local));
    }
    let connected = finish(&known, &task, &args, shown, &local).await?;
    let Connected { joined, account_name, device_name } = connected;
    let config = join::config_of(&joined, known.server.clone(), known.fingerprint, account_name, device_name, local)?;
    join::keep(global, home, &config, &joined.token)?;
    if makes_account && !global.quiet && terminal::has_person() {
        tell_next(&known, &joined.token).await;
    }
    if args.no_daemon { Ok(Exit::Done) } else { daemon::start(home, global).await }
}

/// Begins at one server: `None` if it does not know the code, or shows another key than its own.
async fn at(server: &ServerAddress, code: &JoinCode, named: Option<Fingerprint>) -> Result<Option<Known>, Complaint> {
    let fingerprint = match named {
        Some(named) => named,
        None => probe_fingerprint(server).await.map_err(|error| remote::complaint_of(error, server))?,
    };
    let link = HttpLink::new(server.clone(), fingerprint, Limits::SHIPPED);
    let (run, message) = Exchange::of_device(code, fingerprint, &SystemEntropy.bytes());
    let request = Request::StartCode { locator: code.locator(), message };
    let Reply::CodeStarted { exchange, message, proof } = remote::ask(&link, None, &request).await? else {
        return Err(remote::strange());
    };
    let proofs = run.finish(&message).map_err(|_| remote::strange())?;
    let known = Known { server: server.clone(), fingerprint, link, exchange, proof: proofs.device };
    Ok((proofs.server == proof).then_some(known))
}

/// The server in this network that knows the code: each that is found is asked, and only the right one can prove it.
async fn find(global: &Global, code: &JoinCode, named: Option<Fingerprint>) -> Result<Known, Complaint> {
    if !global.quiet {
        terminal::say("Looking for a server in this network …");
    }
    let mut search = Search::begin()?;
    let mut others = Vec::new();
    while let Some(found) = search.next().await {
        for address in &found.addresses {
            match timeout(ASK_WITHIN, at(address, code, named)).await {
                Ok(Ok(Some(known))) => return Ok(known),
                // Another server, or the right one through somebody in between.
                Ok(Ok(None)) => {
                    others.push(format!("{} ({})", found.name, address.authority()));
                    break;
                }
                // Perhaps it is reached at another of its addresses.
                Ok(Err(complaint)) if complaint.exit == Exit::Unreachable => {}
                Ok(Err(complaint)) => {
                    others.push(format!("{} ({}): {}", found.name, address.authority(), complaint.what));
                    break;
                }
                Err(_) => {}
            }
        }
    }
    Err(none_knows(&others))
}

fn none_knows(others: &[String]) -> Complaint {
    if others.is_empty() {
        return Complaint::new(Exit::Unreachable, "E-NO-SERVER", "No server was found in this network.").hint(
            "Name it:   skep join SERVER CODE   (SERVER is its name or address, such as 192.168.1.20 or attic.example.org)",
        );
    }
    let what = format!("None of the servers in this network knows the code: {}.", others.join(", "));
    Complaint::new(Exit::NotAllowed, Code::JoinCode.as_str(), what).hint(
        "It may be mistyped, used, or older than 15 minutes: `skep devices add` or `skep-server invite` makes another one.\n\
         Or its server is elsewhere: name it:   skep join SERVER CODE",
    )
}

fn does_not_count(server: &ServerAddress) -> Complaint {
    let what = format!(
        "The code does not count at {server}: it is mistyped, was used, or is older than 15 minutes. \
         Or somebody stands between this computer and the server."
    );
    Complaint::new(Exit::NotAllowed, Code::JoinCode.as_str(), what).hint(
        "Nothing was sent. Make a new one:   skep devices add   (on a connected computer)   or   skep-server invite   (on the server)",
    )
}

/// Uses the code up. A person whose user name is taken chooses another one.
async fn finish(
    known: &Known,
    task: &CodeTask,
    args: &JoinArgs,
    drive: Option<DriveId>,
    local: &Path,
) -> Result<Connected, Complaint> {
    let mut named = args.user.clone();
    loop {
        let (user, password) = match task {
            CodeTask::NewDevice { user } => {
                refuse_other_name(args, user)?;
                (None, None)
            }
            CodeTask::NewAccount { user, .. } => {
                if let Some(user) = user {
                    refuse_other_name(args, user)?;
                }
                let user = user_name(user.clone().or_else(|| named.take()))?;
                let password = new_password(args, &user)?;
                (Some(user), Some(password))
            }
        };
        let device = join::introduction(args.name.clone());
        let request = Request::FinishCode { exchange: known.exchange, device, user, password, drive };
        match remote::ask(&known.link, None, &request).await {
            Ok(Reply::Connected(connected)) => return Ok(connected),
            Ok(_) => return Err(remote::strange()),
            Err(taken) if taken.code == Code::Exists.as_str() && terminal::has_person() => {
                terminal::say(&format!("{} Choose another one.", taken.what));
            }
            Err(refused) if refused.code == Code::JoinCode.as_str() => return Err(does_not_count(&known.server)),
            Err(refused) if refused.code == Code::NotFound.as_str() && drive.is_some() => {
                return Err(connect::folder_of_another(local));
            }
            Err(refused) => return Err(refused),
        }
    }
}

/// A name on the command line that is not that of the code is a mistake, not a wish.
fn refuse_other_name(args: &JoinArgs, user: &str) -> Result<(), Complaint> {
    match &args.user {
        Some(named) if named.to_lowercase() != user.to_lowercase() => {
            let what = format!("The code is for {user}, not for {named}.");
            Err(Complaint::new(Exit::Guard, "E-OTHER-ACCOUNT", what)
                .hint("Nothing was changed, and the code still counts."))
        }
        _ => Ok(()),
    }
}

fn user_name(named: Option<String>) -> Result<String, Complaint> {
    match named {
        Some(named) => Ok(named),
        None if terminal::has_person() => terminal::ask("User name: "),
        None => Err(nobody_to_ask()),
    }
}

/// The password of an account that is about to be made, typed twice.
fn new_password(args: &JoinArgs, user: &str) -> Result<String, Complaint> {
    if args.password_stdin {
        return terminal::read_password();
    }
    if !terminal::has_person() {
        return Err(nobody_to_ask());
    }
    terminal::ask_new_password(user)
}

fn nobody_to_ask() -> Complaint {
    Complaint::new(
        Exit::Usage,
        "E-USAGE",
        "The code makes an account, and there is nobody to ask for its name and password.",
    )
    .hint("Give both:   skep join … --user NAME --password-stdin   (the code still counts)")
}

/// A first computer is seldom the last.
async fn tell_next(known: &Known, token: &str) {
    if let Ok(Reply::Code(NewCode { code, .. })) = remote::ask(&known.link, Some(token), &Request::MakeCode).await {
        terminal::say(&format!("  Next device  skep join {code}     (15 minutes; another code: skep devices add)"));
    }
}
