//! `skep-server log --connections`: who connected, from where, with which outcome. Reads the database, beside a running server or without
//! one.

use std::collections::VecDeque;
use std::time::Duration;

use skep_metastore::Connection;
use skep_platform::Clock;
use skep_platform::runtime::RuntimeClock;
use skep_platform::talk::{Complaint, utc_text};
use skep_service::{ServiceError, connection_line};
use skep_types::{AccountId, Timestamp};
use tokio::time::sleep;

use crate::admin::{print, printable, told};
use crate::args::LogArgs;
use crate::config;
use crate::store::{DiskService, administer};

/// Lines that are read at a time.
const PAGE_LINES: usize = 4096;
/// Most lines that are shown at a time.
const LINES_MAX: usize = 1_000_000;
/// How soon a new line is shown; the server itself writes it half a second after it came.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The outcome of a call that went well.
const OK: &str = "ok";

/// Which lines are wanted.
struct Wanted {
    failed: bool,
    account: Option<AccountId>,
    not_before: Option<Timestamp>,
}

impl Wanted {
    fn takes(&self, line: &Connection) -> bool {
        (!self.failed || line.outcome != OK)
            && self.account.is_none_or(|account| line.account == Some(account))
            && self.not_before.is_none_or(|time| line.time >= time)
    }
}

/// Shows the log.
pub async fn log(args: LogArgs) -> Result<(), Complaint> {
    let service = administer(&config::of(&args.data)?.site.data_dir).await?;
    let account = match &args.user {
        Some(user) => Some(account_of(&service, user).await?),
        None => None,
    };
    let not_before = args.since.map(|age_ms| RuntimeClock::start().now().minus_milliseconds(age_ms));
    let wanted = Wanted { failed: args.failed, account, not_before };
    let mut newest = VecDeque::new();
    let mut seen = 0;
    loop {
        let page = service.connections_after(seen, PAGE_LINES).await.map_err(told)?;
        let Some((last, _)) = page.last() else { break };
        seen = *last;
        newest.extend(page.into_iter().map(|(_, line)| line).filter(|line| wanted.takes(line)));
        let too_many = newest.len().saturating_sub(args.lines.min(LINES_MAX));
        newest.drain(..too_many);
    }
    let shown = |line: &Connection| if args.json { json_line(line) } else { text_line(line) };
    print(&newest.iter().map(shown).collect::<Vec<_>>())?;
    if !args.follow {
        return Ok(());
    }
    loop {
        sleep(LOOK_EVERY).await;
        let page = service.connections_after(seen, PAGE_LINES).await.map_err(told)?;
        seen = page.last().map_or(seen, |(last, _)| *last);
        let lines = page.iter().map(|(_, line)| line).filter(|line| wanted.takes(line));
        print(&lines.map(shown).collect::<Vec<_>>())?;
    }
}

async fn account_of(service: &DiskService<skep_blobstore::MemoryBlobs>, user: &str) -> Result<AccountId, Complaint> {
    let accounts = service.accounts().await.map_err(told)?;
    let found = accounts.iter().find(|account| account.name.to_lowercase() == user.to_lowercase());
    found.map(|account| account.id).ok_or_else(|| told(ServiceError::UnknownUser(user.to_owned())))
}

fn json_line(line: &Connection) -> String {
    format!("{{\"schema\":1,{}", &connection_line(line)[1..])
}

fn text_line(line: &Connection) -> String {
    let id_or_dash = |id: Option<String>| id.unwrap_or_else(|| "-".into());
    format!(
        "{}  {}  account {}  device {}  {}  {}  in {} B  out {} B  {} ms",
        utc_text(line.time),
        printable(&line.peer),
        id_or_dash(line.account.map(|id| id.to_string())),
        id_or_dash(line.device.map(|id| id.to_string())),
        line.request,
        line.outcome,
        line.bytes_in,
        line.bytes_out,
        line.duration_ms
    )
}
