//! Comparing what this device knows with what the server knows, by their sums.
//!
//! One question of a few bytes when everything has settled, and now and then at rest. Only if the sums differ is more asked, of ranges
//! of ids in which they do, until the nodes are found: what the server says of these is taken anew, and what the disk shows of them is
//! looked at again. Nothing is deleted for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::future::{BoxFuture, Either, select};
use skep_planner::{Correction, Event, Progress, Trees};
use skep_platform::Clock;
use skep_protocol::{DriveSums, IdRange, InRange, PartSum, SUM_RANGES_MAX};
use skep_types::{Cursor, Name, NodeId, NodeState, Sum};

use super::bookkeeping::Work;
use super::{Client, Driver, Signal};
use crate::SqliteTrees;
use crate::call::CallError;
use crate::equality::{Compared, Difference, Differing, VerifiedEqual, Whose};
use crate::state::{Books, Recount, Standing};
use crate::world::World;

/// Calls that look for a difference, at most; what they did not find, the next comparison does.
const CALLS_MAX: usize = 64;
/// Nodes that are put right at a time.
const CORRECTIONS_MAX: usize = 4096;
/// Nodes that are told of one by one.
const TOLD_MAX: usize = 20;
/// Without success, after so many comparisons in a row that found a difference the next one waits as at rest.
const MENDING_MAX: u32 = 3;
/// Comparisons that a person asked for are begun anew so often, when something changed meanwhile.
const TRIES_MAX: u32 = 5;

/// How much is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The sums that both sides keep.
    Kept,
    /// Every row here, and every row at the server, is counted anew.
    Counted,
}

/// Starts a comparison, whatever the world is.
#[derive(Clone)]
pub(super) struct Comparer(Arc<dyn Fn() -> BoxFuture<'static, Compared> + Send + Sync>);

impl Comparer {
    pub(super) fn new<M: World>(driver: Arc<Driver<M>>) -> Comparer {
        Comparer(Arc::new(move || {
            let driver = driver.clone();
            Box::pin(async move { driver.compare_now().await })
        }))
    }
}

impl std::fmt::Debug for Comparer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Comparer")
    }
}

impl Client {
    /// Counts what this device and the server hold, now, and compares it.
    pub async fn compare(&self) -> Compared {
        (self.comparer.0)().await
    }
}

/// When it was compared last, and what came of it.
#[derive(Debug, Default)]
struct Rhythm {
    /// Where it was compared last; `None`: wherever everything settles, it is to be compared.
    compared_at: Option<Cursor>,
    last_ms: Option<u64>,
    /// How often in a row a difference was found.
    differed: u32,
}

/// A comparison came to nothing: why, in a sentence.
struct Broken(String);

impl From<CallError> for Broken {
    fn from(error: CallError) -> Broken {
        Broken(format!("The server could not be asked: {error}."))
    }
}

fn moved() -> Broken {
    Broken("Something changed while it was compared.".into())
}

fn stateless() -> Broken {
    Broken("The state of this device cannot be used now.".into())
}

/// What this device knows at one moment.
struct Here {
    standing: Standing,
    is_settled: bool,
    recount: Option<Recount>,
    /// What was kept before it was counted anew.
    was_kept: Option<Books>,
}

impl<M: World> Driver<M> {
    /// Compares whenever everything has settled somewhere else, and now and then.
    pub(super) async fn keep_comparing(self: Arc<Self>) {
        let mut rhythm = Rhythm::default();
        while self.unless_stopping(self.until_due(&rhythm)).await.is_some() {
            let at = self.progress.borrow().as_ref().filter(|progress| is_level(progress)).and_then(|at| at.cursor);
            let Some(cursor) = at else { continue };
            let compared = async { self.compare_sums(self.depth_due().await).await };
            let Some(compared) = self.unless_stopping(compared).await else { return };
            rhythm.last_ms = Some(self.world.clock().monotonic_ms());
            rhythm.compared_at = Some(cursor);
            match compared {
                Compared::Equal(_) => rhythm.differed = 0,
                Compared::Differs(_) => {
                    rhythm.compared_at = None;
                    rhythm.differed = rhythm.differed.saturating_add(1);
                }
                Compared::Unknown(why) => tracing::debug!(why, "nothing was compared"),
            }
        }
    }

    /// Until it is time to compare again.
    async fn until_due(&self, rhythm: &Rhythm) {
        let mut progress = self.progress.clone();
        let has_settled = Box::pin(async {
            let is_new = |progress: &Option<Progress>| {
                let is_new = |progress: &Progress| progress.settled && progress.cursor != rhythm.compared_at;
                progress.as_ref().is_some_and(|progress| is_level(progress) && is_new(progress))
            };
            if progress.wait_for(is_new).await.is_err() {
                // Nothing will ever settle any more: the client is ending.
                std::future::pending::<()>().await;
            }
        });
        let every = Box::pin(self.sleep(self.limits.compare_every_ms));
        if let (Either::Left(_), Some(last_ms)) = (select(has_settled, every).await, rhythm.last_ms) {
            let limits = &self.limits;
            let wait_ms = if rhythm.differed < MENDING_MAX { limits.compare_after_ms } else { limits.compare_every_ms };
            self.world.clock().sleep_until(last_ms.saturating_add(wait_ms)).await;
        }
        self.not_paused().await;
    }

    /// Now and then everything is counted: what became of a row at rest shows in no sum that is kept.
    async fn depth_due(&self) -> Depth {
        let counted = self.known(|_, trees| trees.checked().counted).await.flatten();
        let (now, every_ms) = (self.world.clock().now(), self.limits.count_every_ms);
        match counted.is_some_and(|at| at <= now && at.plus_milliseconds(every_ms) > now) {
            true => Depth::Kept,
            false => Depth::Counted,
        }
    }

    /// Compares for a person who waits for it.
    async fn compare_now(&self) -> Compared {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.compare_sums(Depth::Counted).await {
                Compared::Unknown(_) if tries < TRIES_MAX => self.sleep(self.limits.retry_first_ms).await,
                compared => return compared,
            }
        }
    }

    /// One comparison, and what follows from it.
    async fn compare_sums(&self, depth: Depth) -> Compared {
        let _one = self.comparing.lock().await;
        let compared = match self.compare_once(depth).await {
            Ok(compared) => compared,
            Err(Broken(why)) => return Compared::Unknown(why),
        };
        let (found, now) = (compared.clone(), self.world.clock().now());
        let kept = self.keep_books(move |_, trees| {
            let mut checked = trees.checked().clone();
            if depth == Depth::Counted {
                checked.counted = Some(now);
            }
            match found {
                Compared::Equal(verified) => {
                    checked.verified = Some(verified);
                    checked.difference.iter_mut().for_each(|difference| difference.is_mended = true);
                }
                Compared::Differs(difference) => checked.difference = Some(difference),
                Compared::Unknown(_) => {}
            }
            trees.set_checked(checked);
        });
        match kept.await {
            Ok(()) => compared,
            Err(Broken(why)) => Compared::Unknown(why),
        }
    }

    async fn compare_once(&self, depth: Depth) -> Result<Compared, Broken> {
        let mut here = self.here(depth == Depth::Counted).await?;
        let ranges = if depth == Depth::Counted { vec![IdRange::ALL] } else { Vec::new() };
        let Some(there) = self.server.sums(ranges).await? else {
            return Ok(Compared::Unknown("This server is too old to be compared with.".into()));
        };
        // A server that was brought back may have begun another generation where this device stands.
        let is_there = |cursor: &Cursor| cursor.stands_at() == there.at.stands_at();
        let Some(cursor) = here.standing.cursor.filter(is_there) else { return Err(moved()) };
        if let Some(counted) = there.ranges.first().map(InRange::sum).filter(|counted| *counted != there.kept) {
            return Ok(Compared::Differs(self.servers_fault(&there, &counted)));
        }
        let is_equal = |here: &Here| here.standing.books.remote == there.kept && here.standing.is_shown();
        if !is_equal(&here) && here.recount.is_none() {
            // Perhaps the count is wrong and the rows are right.
            here = self.here(true).await?;
            if here.standing.cursor != Some(cursor) {
                return Err(moved());
            }
        }
        if let Some(recount) = &here.recount {
            if here.was_kept.is_some_and(|kept| kept != recount.books) && is_equal(&here) {
                return Ok(Compared::Differs(self.lost_count()));
            }
            if !recount.torn.is_empty() {
                return self.mend_rows(recount.torn.clone()).await;
            }
        }
        if here.standing.books.remote != there.kept {
            return self.find_and_correct(cursor).await;
        }
        if !here.is_settled {
            return Err(Broken("Something is still to be synced.".into()));
        }
        if !here.standing.is_shown() {
            tracing::warn!(standing = ?here.standing, "what this disk shows is not what the server says, and nothing is said of it");
            return Err(Broken("This device has lost count of what its disk shows.".into()));
        }
        Ok(Compared::Equal(VerifiedEqual {
            at: self.world.clock().now(),
            cursor,
            nodes: here.standing.books.remote.nodes(),
            left_out: here.standing.resting.nodes(),
            told: here.standing.differing_nodes,
        }))
    }

    /// What this device knows; counted anew if `counted`, or if nothing is kept.
    async fn here(&self, counted: bool) -> Result<Here, Broken> {
        let here = self.keep_books(move |engine, trees| {
            let was_kept = trees.books();
            let recount = (counted || was_kept.is_none()).then(|| trees.recount());
            let is_settled = engine.progress(trees).settled;
            trees.standing().map(|standing| Here { standing, is_settled, recount, was_kept })
        });
        here.await?.ok_or_else(moved)
    }

    /// The rows are right, and the sums that were kept of them were not. They are now.
    fn lost_count(&self) -> Difference {
        tracing::warn!("the sums of this device were not those of its rows; they were counted anew");
        Difference { at: self.world.clock().now(), whose: Whose::Count, nodes: 0, told: Vec::new(), is_mended: false }
    }

    /// The server's nodes are not what it counted as they changed: nothing of them is taken.
    fn servers_fault(&self, there: &DriveSums, counted: &Sum) -> Difference {
        tracing::warn!(kept = %there.kept, %counted, "the server's nodes are not what the server has counted");
        let nodes = there.kept.nodes().abs_diff(counted.nodes()).max(1);
        Difference { at: self.world.clock().now(), whose: Whose::Servers, nodes, told: Vec::new(), is_mended: false }
    }

    /// Rows whose columns say something else than the rows are written anew.
    async fn mend_rows(&self, torn: Vec<NodeId>) -> Result<Compared, Broken> {
        let nodes = torn.len() as u64;
        let told = self.keep_books(move |_, trees| {
            let told = torn.iter().take(TOLD_MAX);
            let told = told.map(|node| Differing {
                path: path_here(trees, *node),
                how: "a row of this device's state did not agree with itself".into(),
            });
            let told = told.collect();
            trees.mend_rows(&torn);
            told
        });
        let told = told.await?;
        let at = self.world.clock().now();
        Ok(Compared::Differs(Difference { at, whose: Whose::Ours, nodes, told, is_mended: false }))
    }

    /// Finds the nodes that differ, and puts them right.
    async fn find_and_correct(&self, cursor: Cursor) -> Result<Compared, Broken> {
        let found = match self.find(cursor).await? {
            Ok(found) => found,
            Err(difference) => return Ok(Compared::Differs(difference)),
        };
        let mut corrections = Vec::new();
        for (node, (theirs, ours)) in &found {
            let state = match theirs {
                Some(theirs) => Some(theirs.clone()),
                // It does not live there; the journal tells what became of it.
                None => self.newest_of(*node).await?,
            };
            // What lies beneath something that went to the trash is as it was.
            if state.is_none() || state != *ours {
                corrections.push(Correction { node: *node, state });
            }
        }
        let nodes = found.len() as u64;
        let told = self.keep_books(move |_, trees| {
            let told = found.iter().take(TOLD_MAX);
            told.map(|(node, (theirs, ours))| differing(trees, *node, theirs.as_ref(), ours.as_ref()))
                .collect::<Vec<_>>()
        });
        let told = told.await?;
        for Differing { path, how } in &told {
            tracing::warn!(path, how, "this device's state was not what the server says");
        }
        self.tell(Signal::Event(Event::Corrected { at: cursor, corrections })).await;
        let at = self.world.clock().now();
        Ok(Compared::Differs(Difference { at, whose: Whose::Ours, nodes, told, is_mended: false }))
    }

    /// The nodes that differ, with what lives of them there and here; or that the server is at fault.
    async fn find(&self, cursor: Cursor) -> Result<Result<Found, Difference>, Broken> {
        let (mut left, mut found) = (VecDeque::from([IdRange::ALL]), Found::new());
        for call in 0..CALLS_MAX {
            let asked: Vec<IdRange> = left.drain(..left.len().min(SUM_RANGES_MAX)).collect();
            if asked.is_empty() || found.len() >= CORRECTIONS_MAX {
                break;
            }
            let Some(there) = self.server.sums(asked.clone()).await? else { return Err(moved()) };
            if there.at != cursor {
                return Err(moved());
            }
            if call == 0
                && let Some(counted) = there.ranges.first().map(InRange::sum).filter(|counted| *counted != there.kept)
            {
                return Ok(Err(self.servers_fault(&there, &counted)));
            }
            let kinds: Vec<bool> = there.ranges.iter().map(|range| matches!(range, InRange::Parts(_))).collect();
            let questions: Vec<(IdRange, bool)> = asked.iter().cloned().zip(kinds).collect();
            let ours = self.known(move |_, trees| {
                let answer = |(range, parts): &(IdRange, bool)| match parts {
                    true => InRange::Parts(trees.parts_of(range)),
                    false => InRange::Nodes(trees.live_nodes(range, CORRECTIONS_MAX)),
                };
                (trees.cursor(), questions.iter().map(answer).collect::<Vec<_>>())
            });
            let (at, ours) = ours.await.ok_or_else(stateless)?;
            if at != Some(cursor) {
                return Err(moved());
            }
            for ((range, theirs), ours) in asked.iter().zip(there.ranges).zip(ours) {
                match (theirs, ours) {
                    (InRange::Nodes(theirs), InRange::Nodes(ours)) => gather(&mut found, theirs, ours),
                    (InRange::Parts(theirs), InRange::Parts(ours)) => {
                        left.extend(differing_parts(&theirs, &ours).into_iter().map(|byte| range.part(byte)));
                    }
                    _ => return Err(moved()),
                }
            }
        }
        Ok(Ok(found))
    }

    /// What the journal says last of a node; `None`: the server has never heard of it, or forgot it.
    async fn newest_of(&self, node: NodeId) -> Result<Option<NodeState>, Broken> {
        Ok(self.server.newest_entry(node).await?.map(|entry| entry.state))
    }

    /// Does something to the books, in a step of its own.
    async fn keep_books<T: Send + 'static>(
        &self,
        work: impl FnOnce(&skep_planner::Engine, &mut SqliteTrees) -> T + Send + 'static,
    ) -> Result<T, Broken> {
        let (work, done) = Work::new(work);
        self.tell(Signal::Work(work)).await;
        done.await.map_err(|_| stateless())
    }
}

/// Nodes with what lives of them there, and here.
type Found = BTreeMap<NodeId, (Option<NodeState>, Option<NodeState>)>;

/// Whether the server can be asked about what this device has taken from it.
fn is_level(progress: &Progress) -> bool {
    progress.connected && progress.cursor.is_some_and(|cursor| cursor.seq >= progress.head)
}

fn gather(found: &mut Found, theirs: Vec<NodeState>, ours: Vec<NodeState>) {
    let mut pairs = Found::new();
    for state in theirs {
        let node = state.node;
        pairs.entry(node).or_default().0 = Some(state);
    }
    for state in ours {
        let node = state.node;
        pairs.entry(node).or_default().1 = Some(state);
    }
    let sum = |state: &Option<NodeState>| state.as_ref().map(Sum::of);
    found.extend(pairs.into_iter().filter(|(_, (theirs, ours))| sum(theirs) != sum(ours)));
}

/// The parts of a range whose sums differ.
fn differing_parts(theirs: &[PartSum], ours: &[PartSum]) -> BTreeSet<u8> {
    let sums = |parts: &[PartSum]| parts.iter().map(|part| (part.byte, part.sum)).collect::<BTreeMap<u8, Sum>>();
    let (theirs, ours) = (sums(theirs), sums(ours));
    (0..=u8::MAX).filter(|byte| theirs.get(byte) != ours.get(byte)).collect()
}

/// In words, in what the two sides differ.
fn differing(trees: &SqliteTrees, node: NodeId, theirs: Option<&NodeState>, ours: Option<&NodeState>) -> Differing {
    let path = match theirs.or(ours) {
        Some(state) => path_there(trees, state),
        None => path_here(trees, node),
    };
    let how = match (theirs, ours) {
        (Some(_), None) => "it is on the server, and this device did not know of it".to_owned(),
        (None, Some(_)) => "it is not on the server, and this device thought it was".to_owned(),
        (Some(theirs), Some(ours)) => {
            let mut wrong = Vec::new();
            if theirs.place.name != ours.place.name {
                wrong.push(format!("name `{}`", ours.place.name.display()));
            }
            if theirs.place.parent != ours.place.parent {
                wrong.push("another directory".to_owned());
            }
            if !theirs.content.same_bytes(&ours.content) {
                wrong.push("another content".to_owned());
            } else if theirs.content != ours.content {
                wrong.push("another time or size".to_owned());
            }
            if theirs.mode != ours.mode {
                wrong.push("another mode".to_owned());
            }
            format!("this device had it with {}", wrong.join(" and "))
        }
        (None, None) => "it is on neither side".to_owned(),
    };
    Differing { path, how }
}

/// Where the server has a node, in this device's words.
fn path_there(trees: &SqliteTrees, state: &NodeState) -> String {
    let mut names: Vec<Name> = vec![state.place.name.clone()];
    let mut at = state.place.parent;
    while at != NodeId::ROOT && names.len() < skep_planner::CHAIN_MAX {
        let Some(above) = trees.remote(at) else { break };
        names.push(above.place.name);
        at = above.place.parent;
    }
    names.iter().rev().map(|name| name.display().into_owned()).collect::<Vec<_>>().join("/")
}

fn path_here(trees: &SqliteTrees, node: NodeId) -> String {
    trees.remote(node).map(|state| path_there(trees, &state)).unwrap_or_default()
}
