//! Joining without a code or a password: this computer shows a code of its own, and somebody who is signed in elsewhere lets it in.
//!
//! The code is for a person to carry to where it is typed; the server never learns it. Whoever answers proves to know it and to see the
//! same key of the server, so the key that was seen here first is checked by the answer, without anybody comparing fingerprints.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use skep_platform::Entropy;
use skep_platform::runtime::SystemEntropy;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::{
    Code, Connected, Fingerprint, JoinCode, KnockId, KnockRun, KnockState, Knocked, Proof, Reply, Request, Verdict,
};
use skep_types::Limits;
use tokio::time::{Instant, sleep};

use crate::args::{Global, JoinArgs};
use crate::commands::print_json;
use crate::home::Home;
use crate::link::{HttpLink, ServerAddress, probe_fingerprint};
use crate::status::SCHEMA;
use crate::{daemon, engine, join, remote, terminal};

/// The server ends a knock; its clock and ours need not agree to the second.
const GRACE: Duration = Duration::from_secs(30);
/// Asked too often, or nobody there: so much slower from then on, as RFC 8628 has it.
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// Slower than this it never gets: the server may only have been started anew.
const POLL_MAX: Duration = Duration::from_secs(15);

/// A knock that is under way.
struct Knocking {
    link: HttpLink,
    code: JoinCode,
    fingerprint: Fingerprint,
    id: KnockId,
    /// Until an answer has used it up.
    run: Option<KnockRun>,
    /// The answer that was right, by its message, and what we show for it.
    right: Option<(Vec<u8>, Proof)>,
    poll: Duration,
    ends: Instant,
}

/// Shows a code and waits until somebody has answered.
pub async fn join(global: &Global, home: &Home, server: ServerAddress, args: JoinArgs) -> Result<Exit, Complaint> {
    let fingerprint = match args.fingerprint {
        Some(named) => named,
        None => probe_fingerprint(&server).await.map_err(|error| remote::complaint_of(error, &server))?,
    };
    home.make()?;
    let local = join::make_folder(home, args.dir.clone())?;
    let mut knocking = knock(&server, fingerprint, &args, &local).await?;
    show(global, &server, &knocking, args.user.as_deref())?;
    let Connected { joined, account_name, device_name } = let_in(global, &server, &mut knocking).await?;
    if !global.quiet {
        terminal::say("Let in, and the server's key was checked by the code.");
    }
    let config = join::config_of(&joined, server, fingerprint, account_name, device_name, local)?;
    join::keep(global, home, &config, &joined.token)?;
    if args.no_daemon { Ok(Exit::Done) } else { daemon::start(home, global).await }
}

async fn knock(
    server: &ServerAddress,
    fingerprint: Fingerprint,
    args: &JoinArgs,
    local: &Path,
) -> Result<Knocking, Complaint> {
    let link = HttpLink::new(server.clone(), fingerprint, Limits::SHIPPED);
    let letters = JoinCode::from_bytes(SystemEntropy.bytes());
    let (run, message) = KnockRun::of_newcomer(&letters, fingerprint, &SystemEntropy.bytes());
    let device = join::introduction(args.name.clone());
    let drive = engine::drive_shown_in(local)?;
    let request = Request::Knock { device, message, user: args.user.clone(), drive };
    let Reply::Knocked(Knocked { knock, locator, poll_ms, valid_ms }) =
        remote::ask(&link, None, &request).await.map_err(|complaint| of_old_server(complaint, server))?
    else {
        return Err(remote::strange());
    };
    let ends = Instant::now() + Duration::from_millis(valid_ms) + GRACE;
    let (poll, code) = (Duration::from_millis(poll_ms), letters.at(locator));
    Ok(Knocking { link, code, fingerprint, id: knock, run: Some(run), right: None, poll, ends })
}

/// A server that does not know the question cannot read it.
fn of_old_server(complaint: Complaint, server: &ServerAddress) -> Complaint {
    if complaint.code != Code::BadRequest.as_str() {
        return complaint;
    }
    let hint = format!(
        "The server may be older than this client. By a code from a computer that is signed in:   skep join {server} CODE\n\
         By name and password:   skep join {server} --user NAME"
    );
    complaint.hint(hint)
}

/// The code alone on standard output; what it is, to the person.
fn show(global: &Global, server: &ServerAddress, knocking: &Knocking, user: Option<&str>) -> Result<(), Complaint> {
    let Knocking { code, fingerprint, ends, .. } = knocking;
    let valid = ends.duration_since(Instant::now()).saturating_sub(GRACE);
    let (minutes, approve) = (valid.as_secs().div_ceil(60), format!("skep devices approve {code}"));
    if global.json {
        return print_json(&json!({
            "schema": SCHEMA, "code": code.to_string(), "approve": approve, "server": server.to_string(),
            "fingerprint": fingerprint.to_string(), "valid_s": minutes * 60,
        }));
    }
    if !global.quiet {
        let whose = user.map_or("NAME".to_owned(), crate::names::printable);
        terminal::say(&format!(
            "To add this computer, type on a computer that is signed in:   {approve}\n\
             Or on the server itself:   skep-server device approve {code} --user {whose}\n\
             The code counts once, for {minutes} minutes, and checks the key of {}:\n  {fingerprint}",
            server.authority()
        ));
    }
    terminal::print(&format!("{code}\n"))?;
    if !global.quiet {
        terminal::say("Waiting … (Ctrl-C gives up)");
    }
    Ok(())
}

/// Asks what has become of the knock, until it has ended.
async fn let_in(global: &Global, server: &ServerAddress, knocking: &mut Knocking) -> Result<Connected, Complaint> {
    let mut has_entered = false;
    while Instant::now() < knocking.ends {
        sleep(knocking.poll).await;
        let asked = Request::KnockState { knock: knocking.id };
        let state = match remote::ask(&knocking.link, None, &asked).await {
            Ok(Reply::KnockState(state)) => state,
            Ok(_) => return Err(remote::strange()),
            Err(complaint) => {
                go_on(knocking, complaint, server, has_entered)?;
                continue;
            }
        };
        let KnockState::Answered { message, proof, verdict } = state else { continue };
        let Some(own) = checked(knocking, &message, &proof) else {
            try_again(global, server, knocking).await?;
            continue;
        };
        has_entered |= verdict == Verdict::Approved;
        match remote::ask(&knocking.link, None, &Request::Enter { knock: knocking.id, proof: own }).await {
            Ok(Reply::Connected(connected)) => return Ok(connected),
            Ok(_) => return Err(remote::strange()),
            // If it did not arrive, the answer stands and is taken once more.
            Err(complaint) => go_on(knocking, complaint, server, has_entered)?,
        }
    }
    Err(nobody_came(server))
}

/// Our proof, if theirs shows that they know the code and see the same key.
fn checked(knocking: &mut Knocking, message: &[u8], proof: &Proof) -> Option<Proof> {
    if let Some((answered, own)) = &knocking.right
        && answered == message
    {
        return Some(*own);
    }
    let proofs = knocking.run.take()?.finish(message).ok()?;
    if proofs.approver != *proof {
        return None;
    }
    knocking.right = Some((message.to_owned(), proofs.newcomer));
    Some(proofs.newcomer)
}

/// Makes another message, for the next answer.
async fn try_again(global: &Global, server: &ServerAddress, knocking: &mut Knocking) -> Result<(), Complaint> {
    let (run, message) = KnockRun::of_newcomer(&knocking.code, knocking.fingerprint, &SystemEntropy.bytes());
    knocking.run = Some(run);
    if !global.quiet {
        terminal::say(
            "Somebody has answered with another code, or sees another key of the server. This computer was not let in.",
        );
    }
    match remote::ask(&knocking.link, None, &Request::KnockAgain { knock: knocking.id, message }).await {
        Ok(_) => Ok(()),
        Err(complaint) => go_on(knocking, complaint, server, false),
    }
}

/// What passes is waited for; what does not ends the knock.
fn go_on(
    knocking: &mut Knocking,
    complaint: Complaint,
    server: &ServerAddress,
    has_entered: bool,
) -> Result<(), Complaint> {
    if matches!(complaint.exit, Exit::Unreachable | Exit::Temporary) {
        knocking.poll = (knocking.poll + SLOW_DOWN).min(POLL_MAX);
        return Ok(());
    }
    if complaint.code == Code::Denied.as_str() {
        let what = format!("This computer was not let in at {}: somebody has said no.", server.authority());
        return Err(Complaint::new(Exit::NotAllowed, Code::Denied.as_str(), what)
            .hint("Nothing was changed. If that was a mistake, ask again:   the same command"));
    }
    if complaint.code != Code::JoinCode.as_str() {
        return Err(complaint);
    }
    if has_entered {
        let what = "This computer was let in, but the server's answer was lost on the way.";
        return Err(Complaint::new(Exit::Unreachable, "E-ANSWER-LOST", what).hint(
            "Ask again:   the same command   Then sign out the one that never came:   skep devices   and   skep devices revoke ID",
        ));
    }
    Err(nobody_came(server))
}

fn nobody_came(server: &ServerAddress) -> Complaint {
    let what = format!(
        "The code does not count any more at {}: it is older than 15 minutes, or was answered wrongly too often.",
        server.authority()
    );
    Complaint::new(Exit::TimedOut, Code::JoinCode.as_str(), what)
        .hint("Nothing was changed. For another code:   the same command")
}
