//! The daemon's end of the control socket.

use std::io;
use std::sync::Arc;

use skep_client::Verified;
use skep_platform::Tasks;
use skep_types::Kind;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{Semaphore, mpsc};

use super::{Control, ControlAnswer, ControlRequest, LINE_BYTES_MAX, NotSelected, socket};
use crate::home::{Config, Home};
use crate::status::{PathAnswer, SCHEMA, StatusAnswer};

/// Commands that talk to the daemon at a time; more wait.
const CONNECTIONS_MAX: usize = 64;
/// After a failed accept, wait a little: there may be no file handles left.
const ACCEPT_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(100);

/// Takes connections for one home.
pub struct ControlServer {
    listener: socket::Listener,
}

impl ControlServer {
    /// Begins to listen. The caller holds the home's lock.
    pub fn bind(home: &Home) -> io::Result<ControlServer> {
        socket::Listener::bind(home).map(|listener| ControlServer { listener })
    }
}

/// Answers commands for ever. `stop` is told when one of them asks the daemon to end.
pub async fn serve(
    mut server: ControlServer,
    control: Arc<dyn Control>,
    config: Arc<Config>,
    tasks: impl Tasks,
    stop: mpsc::Sender<()>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        match server.listener.accept().await {
            Ok(stream) => {
                let conversation = converse(stream, control.clone(), config.clone(), stop.clone());
                tasks.spawn("control", async move {
                    // A command that goes away in the middle harms nobody.
                    let _ = conversation.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a command's connection");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

async fn converse(
    stream: socket::Stream,
    control: Arc<dyn Control>,
    config: Arc<Config>,
    stop: mpsc::Sender<()>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        (&mut stream).take(LINE_BYTES_MAX).read_line(&mut line).await?;
        if line.is_empty() {
            return Ok(());
        }
        let answer = match serde_json::from_str(&line) {
            Ok(request) => {
                let answering = answer(request, &*control, &config, &stop);
                match unless_gone(answering, &mut stream).await {
                    Some(answer) => answer,
                    None => return Ok(()),
                }
            }
            Err(error) => ControlAnswer::Error { schema: SCHEMA, message: error.to_string() },
        };
        let mut line = serde_json::to_string(&answer)?;
        line.push('\n');
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await?;
    }
}

/// The answer, or `None` if the command goes away first: one that follows the log may wait for long.
async fn unless_gone(
    answering: impl Future<Output = ControlAnswer>,
    stream: &mut BufReader<socket::Stream>,
) -> Option<ControlAnswer> {
    let mut answering = std::pin::pin!(answering);
    tokio::select! {
        biased;
        answer = &mut answering => return Some(answer),
        more = stream.fill_buf() => if more.is_err() || more.is_ok_and(<[u8]>::is_empty) {
            return None;
        },
    }
    // It has asked something else already.
    Some(answering.await)
}

async fn answer(
    request: ControlRequest,
    control: &dyn Control,
    config: &Config,
    stop: &mpsc::Sender<()>,
) -> ControlAnswer {
    match request {
        ControlRequest::Status => ControlAnswer::Status(Box::new(StatusAnswer::of(&control.status().await, config))),
        ControlRequest::StatusOf { path } => ControlAnswer::StatusOf(PathAnswer::of(&control.report(path).await)),
        ControlRequest::Wait { timeout_ms } => {
            ControlAnswer::Waited { schema: SCHEMA, outcome: control.wait(timeout_ms).await.into() }
        }
        ControlRequest::List { path, after } => match control.list(path, after).await {
            Some((entries, more)) => ControlAnswer::Listed { schema: SCHEMA, entries, more },
            None => ControlAnswer::NotThere { schema: SCHEMA },
        },
        ControlRequest::Conflicts => ControlAnswer::Conflicts { schema: SCHEMA, conflicts: control.conflicts().await },
        ControlRequest::Resolve { path, keep } => {
            ControlAnswer::Resolved { schema: SCHEMA, outcome: control.resolve(path, keep).await }
        }
        ControlRequest::Ignored => ControlAnswer::Ignored { schema: SCHEMA, entries: control.ignored().await },
        ControlRequest::CheckIgnored { path, directory } => {
            let kind = if directory { Kind::Directory } else { Kind::File };
            ControlAnswer::CheckedIgnored { schema: SCHEMA, rule: control.check_ignored(path, kind).await }
        }
        ControlRequest::Selection => ControlAnswer::Selection { schema: SCHEMA, entries: control.selection().await },
        ControlRequest::Select { path, wish, dry_run } => match control.select(path, wish, dry_run).await {
            Ok(plan) => ControlAnswer::Selected { schema: SCHEMA, plan },
            Err(NotSelected { code, message, hint }) => {
                ControlAnswer::NotSelected { schema: SCHEMA, code: code.into(), message, hint }
            }
        },
        ControlRequest::Limit { sync } => match control.limit(sync).await {
            Ok(()) => ControlAnswer::Limited { schema: SCHEMA },
            Err(message) => ControlAnswer::Error { schema: SCHEMA, message },
        },
        ControlRequest::Hold => ControlAnswer::Hold { schema: SCHEMA, hold: control.hold().await },
        ControlRequest::DecideHold { id, under, decision } => {
            ControlAnswer::HoldDecided { schema: SCHEMA, done: control.decide_hold(id, under, decision).await }
        }
        ControlRequest::Verify => match control.verify().await {
            Ok(Verified { files, bytes, damaged, unreadable }) => {
                ControlAnswer::Verified { schema: SCHEMA, files, bytes, damaged, unreadable }
            }
            Err(message) => ControlAnswer::Error { schema: SCHEMA, message },
        },
        ControlRequest::Compare => ControlAnswer::Compared { schema: SCHEMA, result: control.compare().await.into() },
        ControlRequest::Pause { pause } => match control.pause(pause.clone()).await {
            Ok(()) => ControlAnswer::Paused { schema: SCHEMA, pause },
            Err(message) => ControlAnswer::Error { schema: SCHEMA, message },
        },
        ControlRequest::Activity { after } => {
            ControlAnswer::Activity { schema: SCHEMA, lines: control.activity(after).await }
        }
        ControlRequest::Hello => {
            ControlAnswer::Hello { schema: SCHEMA, pid: std::process::id(), version: env!("CARGO_PKG_VERSION").into() }
        }
        ControlRequest::Stop => {
            // One word is enough; a full queue holds it already.
            let _ = stop.try_send(());
            ControlAnswer::Stopping { schema: SCHEMA }
        }
    }
}
