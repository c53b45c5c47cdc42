//! `skep devices approve` and `deny`: answers a new computer that shows a code.

use std::net::SocketAddr;
use std::time::Duration;

use skep_platform::Entropy;
use skep_platform::runtime::SystemEntropy;
use skep_platform::talk::{Complaint, Exit};
use skep_protocol::{
    AnswerState, Code, JoinCode, KnockAnswer, KnockRun, KnockSummary, OpenKnock, ParseJoinCodeError, Reply, Request,
    Verdict,
};
use tokio::time::{Instant, sleep};

use crate::account::Asker;
use crate::args::{AnswerArgs, Global};
use crate::names::printable;
use crate::{daemon, remote, terminal};

/// The new computer asks every few seconds; one that does not is not there.
const READ_WITHIN: Duration = Duration::from_secs(40);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Lets a computer in, or sends it away.
pub async fn answer(global: &Global, args: &AnswerArgs, verdict: Verdict) -> Result<Exit, Complaint> {
    let typed = if args.code.trim() == "-" { terminal::read_line()? } else { args.code.clone() };
    let code: JoinCode = typed.parse().map_err(|error: ParseJoinCodeError| {
        // What was typed may be most of a code, so it is not repeated.
        Complaint::new(Exit::Usage, "E-USAGE", format!("Cannot take the code: {error}."))
    })?;
    let asker = Asker::of(global)?;
    let Reply::Knock(OpenKnock { summary, message, round }) =
        asker.ask(&Request::LookAtKnock { locator: code.locator() }).await.map_err(told)?
    else {
        return Err(remote::strange());
    };
    if verdict == Verdict::Approved {
        let user = &asker.config.device.user;
        confirm(global, &summary, user, &asker.config.server.fingerprint.to_string(), args.yes)?;
    }
    let fingerprint = asker.config.server.fingerprint;
    let (run, own_message) = KnockRun::of_approver(&code, fingerprint, &SystemEntropy.bytes());
    let proofs = run.finish(&message).map_err(|_| remote::strange())?;
    let answer =
        KnockAnswer { round, message: own_message, proof: proofs.approver, expected: proofs.newcomer, verdict };
    let Reply::KnockAnswered { answer } =
        asker.ask(&Request::AnswerKnock { locator: code.locator(), answer }).await.map_err(told)?
    else {
        return Err(remote::strange());
    };
    let until = Instant::now() + READ_WITHIN;
    while Instant::now() < until {
        sleep(LOOK_EVERY).await;
        let Reply::AnswerState(state) = asker.ask(&Request::AnswerState { answer }).await.map_err(told)? else {
            return Err(remote::strange());
        };
        match state {
            AnswerState::Waiting => {}
            AnswerState::Entered { device_name } => {
                let (name, user) = (printable(&device_name), printable(&asker.config.device.user));
                return daemon::say(global, &format!("Let in: {name} is signed in as {user}."));
            }
            AnswerState::TurnedAway => {
                return daemon::say(global, &format!("Sent away: {}.", printable(&summary.device.name)));
            }
            AnswerState::Wrong => return Err(wrong_code()),
        }
    }
    let what = format!("{} does not answer.", printable(&summary.device.name));
    Err(Complaint::new(Exit::TimedOut, "E-TIMED-OUT", what)
        .hint("Is `skep join` still waiting there? If it is, it is let in when it comes back within 15 minutes: see   skep devices"))
}

/// Shows who asks, and has it confirmed.
fn confirm(
    global: &Global,
    who: &KnockSummary,
    user: &str,
    fingerprint: &str,
    is_confirmed: bool,
) -> Result<(), Complaint> {
    if !global.quiet || !is_confirmed {
        let KnockSummary { device, .. } = who;
        terminal::say(&format!(
            "  Computer     {}   ({}, {})\n  Comes from   {}\n  Account      {}: it gets all files of the account, and may change them\n  \
             Server key   {fingerprint}",
            printable(&device.name),
            printable(&device.platform),
            printable(&device.client_version),
            origin(who),
            printable(user),
        ));
    }
    if is_confirmed {
        return Ok(());
    }
    if !terminal::has_person() {
        return Err(Complaint::new(Exit::Guard, "E-CONFIRM", "This lets a computer in, and there is nobody to ask.")
            .hint(
                "Nothing was changed. If you have read the code on that computer:   skep devices approve CODE --yes",
            ));
    }
    terminal::say(
        "Somebody who sends you a code wants your files: let in only a computer on which you read it yourself.",
    );
    if terminal::confirm("Let it in?")? {
        return Ok(());
    }
    Err(Complaint::new(Exit::Guard, "E-CONFIRM", "Not let in. It goes on waiting.")
        .hint("To send it away:   skep devices deny CODE"))
}

/// From where it comes and since when.
pub fn origin(who: &KnockSummary) -> String {
    let address =
        who.peer.parse::<SocketAddr>().map_or(printable(&who.peer), |peer| peer.ip().to_canonical().to_string());
    format!("{address}, since {}", age(who.age_ms / 1000))
}

fn age(seconds: u64) -> String {
    match seconds {
        ..100 => format!("{seconds} s"),
        _ => format!("{} min", seconds / 60),
    }
}

/// A code that nobody shows and one whose end is wrong are the same mistake.
fn told(complaint: Complaint) -> Complaint {
    if complaint.code == Code::JoinCode.as_str() { wrong_code() } else { complaint }
}

fn wrong_code() -> Complaint {
    let what = "No computer that asks to be let in shows this code: it is mistyped, was used, or is older than 15 minutes. \
                Or somebody stands between that computer and the server.";
    Complaint::new(Exit::NotAllowed, Code::JoinCode.as_str(), what).hint(
        "Nothing was changed. Read it once more there, or get another one:   skep join SERVER   (on the new computer)\n\
         A code from `skep devices add` is typed on the new computer instead:   skep join SERVER CODE",
    )
}
