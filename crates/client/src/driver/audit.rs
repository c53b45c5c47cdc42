//! The audit: every file is read again now and then, slowly, and compared with what it should hold.
//!
//! The watcher tells of what people change, a scan finds what it missed by the stat. What a disk does to bytes by itself shows in neither.
//! What is read here goes to the engine, which says whether it is damage.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use skep_planner::{Event, Location, ReadError, path_here};
use skep_platform::Clock;
use skep_types::{FileContent, NodeId, Timestamp};

use super::{Client, Driver, Ended, Signal};
use crate::state::AuditState;
use crate::world::World;

/// How often a share of the files is read.
const WAKE_MS: u64 = 60_000;
/// Files that are chosen at a time.
const PAGE_FILES: usize = 256;
/// What opening a file costs, in bytes.
const FILE_COST: u64 = 16 << 10;
/// What was not read while the computer was off or paused, is not made up for at once.
const CREDIT_WAKES_MAX: u64 = 60;

/// What an audit that a person asked for came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Paths of those that are damaged; they are being repaired.
    pub damaged: Vec<String>,
    /// Paths of those that could not be read.
    pub unreadable: Vec<String>,
}

/// Starts an audit, whatever the world is.
#[derive(Clone)]
pub(super) struct Verifier(Arc<dyn Fn() -> BoxFuture<'static, Option<Verified>> + Send + Sync>);

impl Verifier {
    pub(super) fn new<M: World>(driver: Arc<Driver<M>>) -> Verifier {
        Verifier(Arc::new(move || {
            let driver = driver.clone();
            Box::pin(async move { driver.verify().await })
        }))
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Client {
    /// Reads every file again, now, and compares it with what it should hold. What is damaged is repaired from the server.
    pub async fn verify(&self) -> Result<Verified, Ended> {
        (self.verifier.0)().await.ok_or(Ended)
    }
}

/// A file whose turn it is.
struct Due {
    node: NodeId,
    at: Location,
    content: FileContent,
}

impl<M: World> Driver<M> {
    /// Reads a share of the files every minute, so that all are read in [`skep_types::Limits::audit_every_ms`].
    pub(super) async fn audit(self: Arc<Self>) {
        let every_ms = self.limits.audit_every_ms;
        if every_ms == 0 {
            return;
        }
        let mut credit = 0;
        while self.unless_stopping(self.sleep(WAKE_MS.min(every_ms))).await.is_some() {
            if self.pause_now().is_some() {
                continue;
            }
            let share = self.known(move |_, trees| {
                let (files, bytes) = skep_planner::Trees::totals(trees);
                let cost = u128::from(bytes) + u128::from(files) * u128::from(FILE_COST);
                u64::try_from(cost * u128::from(WAKE_MS.min(every_ms)) / u128::from(every_ms)).unwrap_or(u64::MAX)
            });
            let Some(share) = share.await else { return };
            credit = (credit + share).min(share.saturating_mul(CREDIT_WAKES_MAX)).max(1);
            let some = self.audit_some(&mut credit);
            if self.unless_stopping(some).await.is_none() {
                return;
            }
        }
    }

    /// Reads files as long as there is credit for the next one.
    async fn audit_some(&self, credit: &mut u64) {
        let _one = self.auditing.lock().await;
        let Some(mut state) = self.known(|_, trees| trees.audit_state()).await else { return };
        // A small folder is read in a few minutes, and then left alone.
        let now = self.world.clock().now();
        let is_recent = |began: Timestamp| began <= now && began.plus_milliseconds(self.limits.audit_every_ms) > now;
        if state.after.is_none() && state.last_began.is_some_and(is_recent) {
            return;
        }
        let mut found = Verified::default();
        while *credit > 0 && self.pause_now().is_none() {
            let after = state.after;
            let Some((due, last)) = self.due_after(after).await else { return };
            state.began.get_or_insert(self.world.clock().now());
            for file in due {
                if *credit == 0 {
                    break;
                }
                *credit = credit.saturating_sub(file.content.size + FILE_COST);
                state.after = Some(file.node);
                self.audit_one(file, &mut state, &mut found).await;
            }
            let is_over = last.is_none();
            if *credit > 0 {
                state.after = last;
            }
            if is_over && *credit > 0 {
                state = AuditState { completed: Some(self.world.clock().now()), ..begun_anew(state) };
            }
            self.tell(Signal::Audit(state.clone())).await;
            if is_over {
                // One pass at a time, also of a folder that is read in a moment.
                *credit = 0;
            }
        }
    }

    /// Reads all files.
    async fn verify(&self) -> Option<Verified> {
        let _one = self.auditing.lock().await;
        let mut state = begun_anew(self.known(|_, trees| trees.audit_state()).await?);
        state.began = Some(self.world.clock().now());
        let mut found = Verified::default();
        let mut after = None;
        loop {
            let (due, last) = self.due_after(after).await?;
            for file in due {
                self.unless_stopping(self.audit_one(file, &mut state, &mut found)).await?;
            }
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        let completed = Some(self.world.clock().now());
        self.tell(Signal::Audit(AuditState { completed, ..begun_anew(state) })).await;
        Some(found)
    }

    /// Files after a node, and the last node that was looked at; no such node: there are no more.
    async fn due_after(&self, after: Option<NodeId>) -> Option<(Vec<Due>, Option<NodeId>)> {
        self.known(move |_, trees| {
            let nodes = trees.agreed_after(after, PAGE_FILES);
            let last = nodes.last().map(|(node, _)| *node).filter(|_| nodes.len() == PAGE_FILES);
            let due = nodes.into_iter().filter_map(|(node, synced)| {
                let content = *synced.state.content.file().filter(|file| file.size > 0)?;
                Some(Due { node, at: path_here(trees, node)?, content })
            });
            (due.collect(), last)
        })
        .await
    }

    async fn audit_one(&self, file: Due, state: &mut AuditState, found: &mut Verified) {
        let Due { node, at, content } = file;
        let result = self.executor().audit(at.clone(), self.limits.audit_bytes_per_s).await;
        state.files += 1;
        state.bytes += content.size;
        found.files += 1;
        found.bytes += content.size;
        if matches!(result, Err(ReadError::Denied | ReadError::Failed)) {
            state.unreadable += 1;
            found.unreadable.push(at.display());
        }
        let is_other = matches!(&result, Ok(read) if read.content != content.id);
        if !is_other && result.is_ok() {
            return;
        }
        self.tell(Signal::Event(Event::Audited { node, result })).await;
        if is_other && self.known(move |engine, _| engine.is_damaged(node)).await == Some(true) {
            tracing::warn!(path = at.display(), "this file was damaged by the disk: the server's version is fetched");
            state.damaged += 1;
            state.last_damage = Some((self.world.clock().now(), at.display()));
            found.damaged.push(at.display());
        }
    }
}

/// A new pass.
fn begun_anew(state: AuditState) -> AuditState {
    let last_began = state.began.or(state.last_began);
    AuditState { after: None, began: None, last_began, files: 0, bytes: 0, unreadable: 0, ..state }
}
