//! The connection log: who called from where, with which outcome. Never names of files, never secrets.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use skep_metastore::{Connection, MetaStore, StoreError};
use skep_platform::{Clock, Gone, Lane, Tasks, offload};
use skep_protocol::{ByteStream, Code, ErrorReply, Joined};
use skep_types::{Civil, DeviceId, Timestamp};
use tokio::sync::{broadcast, watch};

use crate::ServiceError;
use crate::counters::{Calls, Counters};
use crate::service::lock;
use crate::session::{Session, Turn};

/// Lines that wait to be written; beyond that the oldest are dropped, and counted.
const LINES_MAX: usize = 4096;
/// Lines are written this long after the first of them, together.
const WRITE_AFTER_MS: u64 = 500;
/// A device's last sign of life is noted at most this often.
const SEEN_EVERY_MS: u64 = 60_000;

/// Collects lines and writes them off the path of the calls.
#[derive(Debug)]
pub(crate) struct ConnectionLog {
    waiting: Mutex<Waiting>,
    wake: watch::Sender<()>,
    live: broadcast::Sender<Connection>,
    /// Counts what has no line too.
    pub(crate) counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Connection>,
    dropped: u64,
    seen: BTreeMap<DeviceId, Timestamp>,
}

impl ConnectionLog {
    pub(crate) fn new() -> ConnectionLog {
        ConnectionLog {
            waiting: Mutex::default(),
            wake: watch::Sender::new(()),
            live: broadcast::Sender::new(LINES_MAX.next_power_of_two()),
            counters: Arc::default(),
        }
    }

    /// Every line from now on; a reader that is too slow loses the oldest.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Connection> {
        self.live.subscribe()
    }

    fn add(&self, line: Connection) {
        // Nobody has to listen.
        let _ = self.live.send(line.clone());
        let mut waiting = lock(&self.waiting);
        if waiting.lines.len() >= LINES_MAX {
            waiting.lines.pop_front();
            waiting.dropped += 1;
        }
        waiting.lines.push_back(line);
        drop(waiting);
        self.wake.send_replace(());
    }

    /// Notes a sign of life of a device, once a minute; tells whether it was noted now.
    pub(crate) fn saw(&self, session: &Session, clock: &impl Clock) -> bool {
        // Counts from 1, so that 0 means never.
        let now_ms = clock.monotonic_ms() + 1;
        let noted_ms = session.noted_ms.load(Ordering::Relaxed);
        if noted_ms != 0 && now_ms < noted_ms + SEEN_EVERY_MS {
            return false;
        }
        session.noted_ms.store(now_ms, Ordering::Relaxed);
        lock(&self.waiting).seen.insert(session.device, clock.now());
        self.wake.send_replace(());
        true
    }

    /// Writes what waits.
    pub(crate) async fn flush<M: MetaStore, T: Tasks>(&self, meta: &Arc<M>, tasks: &T) -> Result<(), ServiceError> {
        let Waiting { lines, dropped, seen } = std::mem::take(&mut *lock(&self.waiting));
        if lines.is_empty() && seen.is_empty() {
            return Ok(());
        }
        if dropped > 0 {
            tracing::warn!(dropped, "lines of the connection log were dropped");
        }
        let meta = Arc::clone(meta);
        offload(tasks, Lane::Database, move || write(&*meta, &lines, &seen)).await??;
        Ok(())
    }

    /// The task that writes lines a little after they come, together; it ends with the log.
    pub(crate) fn writer<M: MetaStore, C: Clock, T: Tasks>(
        log: &Arc<ConnectionLog>,
        meta: Arc<M>,
        clock: Arc<C>,
        tasks: T,
    ) -> impl Future<Output = ()> + Send + use<M, C, T> {
        let mut wake = log.wake.subscribe();
        let log = Arc::downgrade(log);
        async move {
            while wake.changed().await.is_ok() {
                clock.sleep_until(clock.monotonic_ms() + WRITE_AFTER_MS).await;
                let Some(log) = log.upgrade() else { return };
                wake.borrow_and_update();
                match log.flush(&meta, &tasks).await {
                    Ok(()) => {}
                    Err(ServiceError::Gone(Gone)) => return,
                    Err(error) => tracing::error!(%error, "lines of the connection log are lost"),
                }
            }
        }
    }
}

fn write(
    meta: &impl MetaStore,
    lines: &VecDeque<Connection>,
    seen: &BTreeMap<DeviceId, Timestamp>,
) -> Result<(), StoreError> {
    meta.write(|tx| {
        for line in lines {
            tx.put_connection(line)?;
        }
        for (id, time) in seen {
            if let Some(mut device) = tx.device(*id)? {
                device.last_seen = device.last_seen.max(*time);
                tx.put_device(&device)?;
            }
        }
        Ok(())
    })
}

/// Counts one call, and writes its line when it ends, however it ends.
#[derive(Debug)]
pub(crate) struct CallRecord {
    log: Arc<ConnectionLog>,
    line: Connection,
    started_ms: u64,
    /// Monotonic milliseconds; a pointer, because the record knows no clock's type.
    now_ms: NowMs,
    received: Arc<AtomicU64>,
    worth_a_line: WorthALine,
    request: &'static str,
    outcome: &'static str,
    is_open_feed: bool,
    turn: Option<Turn>,
}

/// Reads the monotonic clock.
#[derive(Clone)]
struct NowMs(Arc<dyn Fn() -> u64 + Send + Sync>);

impl std::fmt::Debug for NowMs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NowMs")
    }
}

/// Whether a call gets its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorthALine {
    /// Whatever comes of it.
    Always,
    /// Only if it fails.
    WhenItFails,
}

/// The outcome of a call whose answer was not taken to its end.
const CUT: &str = "cut";
/// The outcome of a call that went well.
const OK: &str = "ok";

impl CallRecord {
    pub(crate) fn start<C: Clock>(log: &Arc<ConnectionLog>, clock: &Arc<C>, peer: &str) -> CallRecord {
        let line = Connection {
            time: clock.now(),
            peer: peer.to_owned(),
            account: None,
            device: None,
            request: String::new(),
            outcome: String::new(),
            bytes_in: 0,
            bytes_out: 0,
            duration_ms: 0,
        };
        let clock = Arc::clone(clock);
        let started_ms = clock.monotonic_ms();
        let now_ms = NowMs(Arc::new(move || clock.monotonic_ms()));
        let worth_a_line = WorthALine::WhenItFails;
        CallRecord {
            log: Arc::clone(log),
            line,
            started_ms,
            now_ms,
            received: Arc::default(),
            worth_a_line,
            request: "unknown",
            outcome: CUT,
            is_open_feed: false,
            turn: None,
        }
    }

    /// The body, counted.
    pub(crate) fn counted(&self, body: ByteStream) -> ByteStream {
        let received = Arc::clone(&self.received);
        Box::pin(body.inspect(move |piece| {
            if let Ok(piece) = piece {
                received.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        }))
    }

    pub(crate) fn asked(&mut self, request: &'static str, worth_a_line: WorthALine) {
        self.request = request;
        self.worth_a_line = worth_a_line;
    }

    /// The call is one of this device, if it has not too many under way.
    pub(crate) fn by(&mut self, session: &Arc<Session>) -> Result<(), ErrorReply> {
        self.line.account = Some(session.account);
        self.line.device = Some(session.device);
        self.turn = Some(session.turn()?);
        Ok(())
    }

    pub(crate) fn joined(&mut self, joined: &Joined) {
        self.line.account = Some(joined.account);
        self.line.device = Some(joined.device);
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.line.bytes_out += bytes as u64;
    }

    pub(crate) fn failed(&mut self, code: Code) {
        self.outcome = code.as_str();
    }

    pub(crate) fn completed(&mut self) {
        self.outcome = OK;
    }

    /// Writes a line now for a feed, which begins and has no end of its own: that its answer is dropped is how it ends well.
    pub(crate) fn began_feed(&mut self, request: &str) {
        self.completed();
        self.is_open_feed = true;
        self.log.counters.feed_opened();
        self.log.add(Connection { request: request.to_owned(), outcome: OK.to_owned(), ..self.line.clone() });
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        let bytes_in = self.received.load(Ordering::Relaxed);
        let duration_ms = (self.now_ms.0)().saturating_sub(self.started_ms);
        let call = Calls { count: 1, bytes_in, bytes_out: self.line.bytes_out, duration_ms };
        self.log.counters.ended(self.request, self.outcome, call);
        if self.is_open_feed {
            self.log.counters.feed_closed();
        }
        if self.worth_a_line == WorthALine::WhenItFails && self.outcome == OK {
            return;
        }
        self.log.add(Connection {
            request: self.request.to_owned(),
            outcome: self.outcome.to_owned(),
            bytes_in,
            duration_ms,
            ..self.line.clone()
        });
    }
}

/// A connection as one JSON object on one line.
pub fn connection_line(connection: &Connection) -> String {
    let mut line = String::with_capacity(256);
    let or_null = |id: Option<String>| id.map_or("null".to_owned(), |id| format!("\"{id}\""));
    let written = write!(
        line,
        "{{\"time\":\"{}\",\"peer\":{},\"account\":{},\"device\":{},\"request\":{},\"outcome\":{},\"bytes_in\":{},\"bytes_out\":{},\"duration_ms\":{}}}",
        iso_time(connection.time),
        json_text(&connection.peer),
        or_null(connection.account.map(|id| id.to_string())),
        or_null(connection.device.map(|id| id.to_string())),
        json_text(&connection.request),
        json_text(&connection.outcome),
        connection.bytes_in,
        connection.bytes_out,
        connection.duration_ms,
    );
    written.expect("writing to a string cannot fail");
    line
}

fn json_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => {
                write!(quoted, "\\u{:04x}", control as u32).expect("writing to a string cannot fail");
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

/// RFC 3339 in UTC, with milliseconds.
fn iso_time(time: Timestamp) -> String {
    let Civil { year, month, day, hour, minute, second } = time.civil();
    let millisecond = time.nanoseconds / 1_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_calendar_times() {
        let at = |seconds, nanoseconds| iso_time(Timestamp { seconds, nanoseconds });
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 5_000_000), "2000-02-29T00:00:00.005Z");
        assert_eq!(at(-1, 999_000_000), "1969-12-31T23:59:59.999Z");
        assert_eq!(at(1_795_253_356, 0), "2026-11-21T09:29:16.000Z");
    }

    #[test]
    fn a_line_is_json_whatever_the_peer_is_called() {
        let connection = Connection {
            time: Timestamp::default(),
            peer: "a\"\\\n".to_owned(),
            account: None,
            device: Some(DeviceId::from_bytes([1; 8])),
            request: "join".to_owned(),
            outcome: OK.to_owned(),
            bytes_in: 1,
            bytes_out: 2,
            duration_ms: 3,
        };
        assert_eq!(
            connection_line(&connection),
            r#"{"time":"1970-01-01T00:00:00.000Z","peer":"a\"\\\u000a","account":null,"device":"0101010101010101","request":"join","outcome":"ok","bytes_in":1,"bytes_out":2,"duration_ms":3}"#
        );
    }
}
