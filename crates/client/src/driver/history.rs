//! Meeting a server whose history is not, or not wholly, the one that this device has followed: its data was brought back from a copy,
//! or the device was away for longer than the journal is kept whole.
//!
//! Up to where it is the same history is found out by asking for commits that this device has seen; then a whole snapshot is taken, beside
//! Remote, and put in its place. What that does to what was agreed on is the planner's ([`skep_planner::take_shadow`]).

use std::ops::Range;
use std::sync::PoisonError;

use skep_planner::{Event, Meeting};
use skep_protocol::{COMPARED_VERSIONS_MAX, DriveSummary, Lineage};
use skep_types::{Cursor, Generation, NodeId, Seq, Standing, Version};
use tokio::sync::oneshot;

use super::{Driver, Signal};
use crate::call::CallError;
use crate::world::World;

/// A new beginning of the engine, after what it knew of the server has become wrong.
#[derive(Debug)]
pub(super) struct Renewal {
    /// The snapshot that was taken is put in Remote's place.
    pub(super) met: Option<Meeting>,
    /// Told when it is done.
    pub(super) done: oneshot::Sender<()>,
}

/// How much of a device's past is in the history of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ground {
    /// The last version that certainly is.
    held: Option<Version>,
    /// Something certainly is not.
    is_departed: bool,
}

impl<M: World> Driver<M> {
    /// Learns which history the server has; fails if it is in the past of the one that this device knows.
    pub(super) async fn check_lineage(&self, summary: &DriveSummary) -> Result<(), CallError> {
        let known = self.lineage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let generation = summary.head.generation;
        if known.as_ref().is_some_and(|known| known.head.generation == generation) {
            return Ok(());
        }
        if known.is_some_and(|known| known.forks.iter().any(|fork| fork.parent == generation)) {
            return Err(CallError::Older);
        }
        self.keep_lineage(self.server.compare(Vec::new()).await?).await;
        Ok(())
    }

    /// If the server has forgotten what this device has heard of, what the engine waits for may never come: it begins anew.
    pub(super) async fn check_head(&self, summary: &DriveSummary, heard_of: Seq) -> Result<(), CallError> {
        if heard_of <= summary.head.seq {
            return Ok(());
        }
        self.renew(None).await
    }

    /// Finds out what the server's history has to do with the one that was followed up to `cursor`, and takes its snapshot.
    pub(super) async fn meet(&self, cursor: Cursor) -> Result<(), CallError> {
        let mut commits = self.agreed_commits().await?;
        let stands_at = cursor.stands_at();
        commits.extend(stands_at);
        commits.sort();
        commits.dedup();
        let ground = self.compare(&commits).await?;
        let lineage = match ground.is_departed {
            true => self.server.departed(cursor, ground.held).await?,
            false => self.server.compare(Vec::new()).await?,
        };
        let common = common(ground, &lineage, &cursor);
        tracing::warn!(%common, seen = %cursor.seq, departed = ground.is_departed, "the server is met anew");
        self.keep_lineage(lineage).await;
        let head = self.take_shadow().await?;
        // Without a state, the folder may remember.
        let is_unknown = self.progress().await?.cursor.is_none();
        let since = if is_unknown { self.recall().await? } else { None };
        // The server may have become yet another one meanwhile.
        let mut asked: Vec<Version> = stands_at.into_iter().chain(ground.held).collect();
        asked.extend(head.stands_at());
        let again = self.server.compare(asked).await?.standings;
        let is_other = |at: Option<usize>| at.is_some_and(|at| again.get(at) == Some(&Standing::Other));
        let tail = usize::from(head.commit.is_some());
        let of_held = again.len().checked_sub(tail + 1).filter(|_| ground.held.is_some());
        let of_cursor = stands_at.filter(|_| !ground.is_departed).map(|_| 0);
        let of_head = again.len().checked_sub(1).filter(|_| tail == 1);
        if is_other(of_head) || is_other(of_held) || is_other(of_cursor) {
            return Err(CallError::Unreachable("the server's history changed while it was read".into()));
        }
        self.renew(Some(Meeting { common, cursor: head, since })).await
    }

    /// Takes all nodes into the shadow; where the journal follows.
    async fn take_shadow(&self) -> Result<Cursor, CallError> {
        self.tell(Signal::Event(Event::ShadowBegun)).await;
        self.take_pages(|rows| Event::ShadowRows { rows }).await
    }

    /// Takes all nodes, page by page; the journal follows from the head at the first page.
    pub(super) async fn take_pages(
        &self,
        event: impl Fn(Vec<skep_types::NodeState>) -> Event,
    ) -> Result<Cursor, CallError> {
        let mut first_head = None;
        let mut after: Option<NodeId> = None;
        loop {
            let page = self.server.snapshot(after).await?;
            let cursor = *first_head.get_or_insert(page.head);
            let last = page.rows.last().map(|row| row.node);
            if last.is_some() && last <= after {
                return Err(CallError::Malformed("the pages of a snapshot do not go on".into()));
            }
            self.tell(Signal::Event(event(page.rows))).await;
            if !page.more || last.is_none() {
                return Ok(cursor);
            }
            after = last;
        }
    }

    /// The engine begins anew; completes when it has.
    async fn renew(&self, met: Option<Meeting>) -> Result<(), CallError> {
        let (done, is_done) = oneshot::channel();
        self.tell(Signal::Renew(Renewal { met, done })).await;
        is_done.await.map_err(|_| CallError::Unreachable("the state is not ready".into()))
    }

    async fn keep_lineage(&self, lineage: Lineage) {
        let kept = Lineage { standings: Vec::new(), ..lineage };
        *self.lineage.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
        self.tell(Signal::Lineage(kept)).await;
    }

    async fn agreed_commits(&self) -> Result<Vec<Version>, CallError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Signal::Question(super::questions::Question::agreed_commits(answer))).await;
        answered.await.map_err(|_| CallError::Unreachable("the state is not ready".into()))
    }

    /// Asks which of these commits, in the order of the journal, are in the server's history.
    async fn compare(&self, commits: &[Version]) -> Result<Ground, CallError> {
        // The simulator asks about few at a time, so that it needs several rounds.
        let mut search = Search::new(commits, self.limits.chunk_query_max.clamp(2, COMPARED_VERSIONS_MAX));
        while let Some(asked) = search.next_question() {
            let standings = self.server.compare(asked).await?.standings;
            search.answered(&standings);
        }
        Ok(search.ground)
    }
}

/// Looks for the place in the order of the journal from which on the server has another history.
#[derive(Debug)]
struct Search<'a> {
    commits: &'a [Version],
    /// Between the last that is held, as far as known, and the first that is not.
    doubt: Range<usize>,
    asked_max: usize,
    asked: Vec<usize>,
    ground: Ground,
    is_over: bool,
}

impl<'a> Search<'a> {
    fn new(commits: &'a [Version], asked_max: usize) -> Search<'a> {
        let ground = Ground { held: None, is_departed: false };
        Search { commits, doubt: 0..commits.len(), asked_max, asked: Vec::new(), ground, is_over: false }
    }

    /// What to ask about next: some in doubt, evenly spaced, the last one among them. `None`: there is no more to learn.
    fn next_question(&mut self) -> Option<Vec<Version>> {
        if self.is_over || self.doubt.is_empty() {
            return None;
        }
        let count = self.doubt.len().min(self.asked_max);
        let place = |part: usize| self.doubt.start + self.doubt.len() * part / count - 1;
        self.asked = (1..=count).map(place).collect();
        Some(self.asked.iter().map(|at| self.commits[*at]).collect())
    }

    fn answered(&mut self, standings: &[Standing]) {
        let before = self.doubt.clone();
        let told = || self.asked.iter().copied().zip(standings.iter().copied());
        if let Some((at, _)) = told().find(|(_, standing)| *standing == Standing::Other) {
            self.ground.is_departed = true;
            self.doubt.end = at;
        }
        let end = self.doubt.end;
        if let Some((at, _)) = told().rfind(|(at, standing)| *at < end && *standing == Standing::Held) {
            self.ground.held = Some(self.commits[at]);
            self.doubt.start = at + 1;
        }
        // Where the journal is too thin to tell, asking once more tells no more.
        self.is_over = self.asked.len() == before.len() || self.doubt == before;
    }
}

/// Up to where the history that was followed to `cursor` is that of the server. Where the journal is too thin to prove it, the
/// generations tell.
fn common(ground: Ground, lineage: &Lineage, cursor: &Cursor) -> Seq {
    let held = ground.held.map_or(Seq::START, |version| version.seq);
    match ground.is_departed {
        true => held,
        false => held.max(shared_with(lineage, cursor.generation).min(cursor.seq)),
    }
}

/// Up to where `generation` is in the lineage.
fn shared_with(lineage: &Lineage, generation: Generation) -> Seq {
    if lineage.head.generation == generation {
        return Seq(u64::MAX);
    }
    let later = lineage.forks.iter().skip_while(|fork| fork.parent != generation);
    later.map(|fork| fork.at).min().unwrap_or(Seq::START)
}

#[cfg(test)]
mod tests;
