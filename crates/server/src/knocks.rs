//! New computers that ask to be let in, answered by the operator, in a process beside the running server.
//!
//! The operator's end of the exchange runs here, with the key that this server shows to devices.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use skep_blobstore::BlobStore;
use skep_platform::Entropy;
use skep_platform::runtime::SystemEntropy;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_protocol::{
    AnswerState, Fingerprint, JoinCode, KnockAnswer, KnockRun, KnockSummary, OpenKnock, ParseJoinCodeError, Verdict,
};
use tokio::time::{Instant, sleep};

use crate::admin::{printable, say, told};
use crate::args::{ApproveArgs, DataArgs};
use crate::codes::known_key;
use crate::config;
use crate::store::{DiskService, administer, require_data};

/// The new computer asks every few seconds; one that does not is not there.
const READ_WITHIN: Duration = Duration::from_secs(40);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Longest line that is taken from a person.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// Lets a computer in to an account.
pub async fn approve(args: ApproveArgs) -> Result<(), Complaint> {
    let ApproveArgs { code, user, yes, data } = args;
    let at_work = AtWork::begin(&code, &data).await?;
    let knock = at_work.service.operator_looks(at_work.code.locator()).await.map_err(told_of_code)?;
    let user = at_work.whose(&knock, user).await?;
    let OpenKnock { summary, .. } = &knock;
    say(&format!(
        "  Computer     {}   ({}, {})\n  Comes from   {}\n  Account      {}: it gets all files of the account, and may change them",
        printable(&summary.device.name),
        printable(&summary.device.platform),
        printable(&summary.device.client_version),
        origin(summary),
        printable(&user),
    ));
    if !yes {
        confirm()?;
    }
    match at_work.answer(&knock, &user, Verdict::Approved).await? {
        AnswerState::Entered { device_name } => {
            say(&format!("Let in: {} is signed in as {}.", printable(&device_name), printable(&user)));
            Ok(())
        }
        other => Err(unread(&other, summary)),
    }
}

/// Sends a computer away.
pub async fn deny(code: String, data: DataArgs) -> Result<(), Complaint> {
    let at_work = AtWork::begin(&code, &data).await?;
    let knock = at_work.service.operator_looks(at_work.code.locator()).await.map_err(told_of_code)?;
    // An answer is some account's, also one that lets nobody in.
    let accounts = at_work.service.accounts().await.map_err(told)?;
    let Some(any) = accounts.first() else { return Err(told_of_code(skep_service::ServiceError::NoSuchKnock)) };
    match at_work.answer(&knock, &any.name, Verdict::Denied).await? {
        AnswerState::TurnedAway => {
            say(&format!("Sent away: {}.", printable(&knock.summary.device.name)));
            Ok(())
        }
        other => Err(unread(&other, &knock.summary)),
    }
}

/// Those who wait, as lines for people.
pub fn lines(knocks: &[KnockSummary]) -> Vec<String> {
    let line = |knock: &KnockSummary| {
        let (name, platform) = (printable(&knock.device.name), printable(&knock.device.platform));
        let wants = knock.user.as_ref().map(|user| format!(" to {}", printable(user))).unwrap_or_default();
        format!(
            "asks to be let in{wants}, from {}: {name} ({platform})   skep-server device approve CODE",
            origin(knock)
        )
    };
    knocks.iter().map(line).collect()
}

/// The same for programs.
pub fn rows(knocks: &[KnockSummary]) -> Vec<Value> {
    let row = |knock: &KnockSummary| {
        json!({ "name": knock.device.name, "platform": knock.device.platform,
            "client_version": knock.device.client_version, "address": knock.peer, "since": utc_text(knock.made),
            "user": knock.user })
    };
    knocks.iter().map(row).collect()
}

/// What an answer needs.
struct AtWork<B> {
    code: JoinCode,
    key: Fingerprint,
    service: DiskService<B>,
}

impl AtWork<skep_blobstore::MemoryBlobs> {
    async fn begin(code: &str, data: &DataArgs) -> Result<Self, Complaint> {
        let typed = if code.trim() == "-" { read_line()? } else { code.to_owned() };
        let code = typed.parse().map_err(|error: ParseJoinCodeError| {
            // What was typed may be most of a code, so it is not repeated.
            Complaint::new(Exit::Usage, "E-USAGE", format!("Cannot take the code: {error}."))
        })?;
        let settings = config::of(data)?;
        require_data(&settings.site.data_dir)?;
        let key = known_key(&settings)?;
        Ok(AtWork { code, key, service: administer(&settings.site.data_dir).await? })
    }
}

impl<B: BlobStore> AtWork<B> {
    /// To which account: the one that is named here, or there, or the only one.
    async fn whose(&self, knock: &OpenKnock, named: Option<String>) -> Result<String, Complaint> {
        if let (Some(named), Some(wanted)) = (&named, &knock.summary.user)
            && named.to_lowercase() != wanted.to_lowercase()
        {
            let what = format!("That computer wants to belong to {}, not to {}.", printable(wanted), printable(named));
            return Err(Complaint::new(Exit::Guard, "E-OTHER-ACCOUNT", what).hint("Nothing was changed."));
        }
        if let Some(user) = named.or_else(|| knock.summary.user.clone()) {
            return Ok(user);
        }
        match self.service.accounts().await.map_err(told)?.as_slice() {
            [only] => Ok(only.name.clone()),
            _ => Err(Complaint::new(Exit::Usage, "E-USAGE", "To which account is that computer to belong?")
                .hint("Nothing was changed. Name it:   skep-server device approve CODE --user NAME")),
        }
    }

    /// Answers, and waits until the new computer has read it.
    async fn answer(&self, knock: &OpenKnock, user: &str, verdict: Verdict) -> Result<AnswerState, Complaint> {
        let (run, message) = KnockRun::of_approver(&self.code, self.key, &SystemEntropy.bytes());
        let proofs = run.finish(&knock.message).map_err(|_| told_of_code(skep_service::ServiceError::NoSuchKnock))?;
        let answer =
            KnockAnswer { round: knock.round, message, proof: proofs.approver, expected: proofs.newcomer, verdict };
        let id = self.service.operator_answers(self.code.locator(), user, answer).await.map_err(told_of_code)?;
        let until = Instant::now() + READ_WITHIN;
        loop {
            let state = self.service.answer_state(id).await.map_err(told_of_code)?;
            if state != AnswerState::Waiting || Instant::now() >= until {
                return Ok(state);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn confirm() -> Result<(), Complaint> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Complaint::new(Exit::Guard, "E-CONFIRM", "This lets a computer in, and there is nobody to ask.")
            .hint("Nothing was changed. If you know that computer:   skep-server device approve CODE --yes"));
    }
    // A prompt that cannot be shown is answered by no.
    let _ = write!(io::stderr(), "Let it in? [y/N] ");
    if matches!(read_line()?.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Complaint::new(Exit::Guard, "E-CONFIRM", "Not let in. It goes on waiting.")
        .hint("To send it away:   skep-server device deny CODE"))
}

fn read_line() -> Result<String, Complaint> {
    let mut line = String::new();
    io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line).map_err(|error| {
        Complaint::new(Exit::Usage, "E-USAGE", format!("Cannot read from standard input: {error}."))
    })?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn origin(who: &KnockSummary) -> String {
    let address =
        who.peer.parse::<SocketAddr>().map_or(printable(&who.peer), |peer| peer.ip().to_canonical().to_string());
    let seconds = who.age_ms / 1000;
    let age = if seconds < 100 { format!("{seconds} s") } else { format!("{} min", seconds / 60) };
    format!("{address}, since {age}")
}

fn unread(state: &AnswerState, who: &KnockSummary) -> Complaint {
    if *state == AnswerState::Wrong {
        return told_of_code(skep_service::ServiceError::NoSuchKnock);
    }
    let what = format!("{} does not answer.", printable(&who.device.name));
    Complaint::new(Exit::TimedOut, "E-TIMED-OUT", what)
        .hint("Does the server run, and is `skep join` still waiting there? When it comes back within 15 minutes, it is let in.")
}

/// A code that nobody shows and one whose end is wrong are the same mistake.
fn told_of_code(error: skep_service::ServiceError) -> Complaint {
    let complaint = told(error);
    if complaint.code != "E-CODE" {
        return complaint;
    }
    let what = "No computer that asks to be let in shows this code: it is mistyped, was used, or is older than 15 minutes. \
                Or somebody stands between that computer and the server.";
    Complaint::new(complaint.exit, complaint.code, what).hint(
        "Nothing was changed. Read it once more there, or get another one:   skep join SERVER   (on the new computer)",
    )
}
