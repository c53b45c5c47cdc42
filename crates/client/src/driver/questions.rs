//! What a shell asks a running client: of what it knows, and to do what a person would do in the folder.

use skep_planner::{Engine, IgnoreCheck, Ignored, Listed, Listing, Selectable, TwoVersions, path_here};
use skep_platform::{Entropy, Lane, offload};
use skep_types::{Kind, Name, Version};
use tokio::sync::oneshot;

use super::{Client, Driver, Ended, Signal};
use crate::SqliteTrees;
use crate::conflicts::{self, Keep, ResolveError};
use crate::status::{Conflict, PathReport, Selection};
use crate::world::World;

/// Conflicts that are told of. Who has more begins with these.
const CONFLICTS_MAX: usize = 5_000;
/// Ignored entries that are told of.
const IGNORED_MAX: usize = 10_000;

/// Looks at what the client knows, and keeps the answer to itself.
type Look = Box<dyn FnOnce(&Engine, &SqliteTrees) + Send>;

/// A question that only reads, answered between two steps.
pub(super) struct Question(Look);

impl Question {
    /// Which commits set anything of what was agreed on.
    pub(super) fn agreed_commits(answer: oneshot::Sender<Vec<Version>>) -> Question {
        Question(Box::new(move |_, trees| {
            // Whoever asked may have gone away.
            let _ = answer.send(trees.agreed_commits());
        }))
    }

    /// A question whose answer goes there.
    pub(super) fn new<T: Send + 'static>(
        question: impl FnOnce(&Engine, &SqliteTrees) -> T + Send + 'static,
        answer: oneshot::Sender<T>,
    ) -> Question {
        Question(Box::new(move |engine, trees| {
            // Whoever asked may have gone away.
            let _ = answer.send(question(engine, trees));
        }))
    }

    pub(super) fn answer(self, engine: &Engine, trees: &SqliteTrees) {
        (self.0)(engine, trees);
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question")
    }
}

impl Client {
    /// Why the node at `path` (names from the root down) is as it is.
    pub async fn report(&self, path: Vec<Name>) -> Result<PathReport, Ended> {
        self.question(move |engine, trees| {
            let path = engine.meant(trees, &path);
            let (state, reason) = engine.explain(trees, &path);
            let names: Vec<_> = path.iter().map(|name| name.display()).collect();
            PathReport { path: names.join("/"), state, reason }
        })
        .await
    }

    /// At most `limit` entries of the directory at `path`, after a name; `None` if there is nothing at `path`.
    pub async fn list(&self, path: Vec<Name>, after: Option<Name>, limit: usize) -> Result<Option<Listing>, Ended> {
        self.question(move |engine, trees| engine.list(trees, &engine.meant(trees, &path), after.as_ref(), limit)).await
    }

    /// What is ignored in the folder, by path; the first ones, if there are very many.
    pub async fn ignored(&self) -> Result<Vec<Ignored>, Ended> {
        self.question(|engine, trees| engine.ignored(trees, IGNORED_MAX)).await
    }

    /// The rule that decides whether the entry at `path` is ignored; `None`: none does. What is not there counts as `kind`.
    pub async fn check_ignored(&self, path: Vec<Name>, kind: Kind) -> Result<Option<IgnoreCheck>, Ended> {
        self.question(move |engine, trees| engine.check_ignored(trees, &engine.meant(trees, &path), kind)).await
    }

    /// The directories that are not to be on this computer, by path.
    pub async fn deselected(&self) -> Result<Vec<Selectable>, Ended> {
        self.question(|engine, trees| engine.deselected(trees)).await
    }

    /// The directory of the server at `path`; `None` if it has none there.
    pub async fn selectable(&self, path: Vec<Name>) -> Result<Option<Selectable>, Ended> {
        self.question(move |engine, trees| engine.selectable(trees, &engine.meant(trees, &path))).await
    }

    /// Changes which directories are on this computer. The caller has kept it already, so that it outlives this client.
    pub async fn select(&self, selection: Selection) -> Result<(), Ended> {
        self.ask(|answer| Signal::Select(selection, answer)).await
    }

    /// The conflict copies in the folder and what they are copies of, by path.
    pub async fn conflicts(&self) -> Result<Vec<Conflict>, Ended> {
        self.question(|engine, trees| {
            let copies = trees.conflict_copies(CONFLICTS_MAX);
            let mut conflicts: Vec<Conflict> =
                copies.into_iter().filter_map(|node| conflict(engine, trees, node)).collect();
            conflicts.sort_by(|a, b| (&a.dir, &a.copy.name).cmp(&(&b.dir, &b.copy.name)));
            conflicts
        })
        .await
    }

    /// Ends the conflict of the copy at `path`.
    pub async fn resolve(&self, path: Vec<Name>, keep: Keep) -> Result<Result<(), ResolveError>, Ended> {
        self.ask(|answer| Signal::Resolve(path, keep, answer)).await
    }

    pub(super) async fn question<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Engine, &SqliteTrees) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        self.ask(|answer| Signal::Question(Question::new(question, answer))).await
    }
}

fn conflict(engine: &Engine, trees: &SqliteTrees, node: skep_types::NodeId) -> Option<Conflict> {
    let at = path_here(trees, node)?;
    let told = TwoVersions::of(&at.name)?;
    let listed = |name: &Name| -> Option<Listed> {
        let path: Vec<Name> = at.dir.iter().chain([name]).cloned().collect();
        engine.list(trees, &path, None, 1)?.entries.into_iter().next().filter(|entry| entry.name == *name)
    };
    let copy = listed(&at.name)?;
    Some(Conflict { original: listed(&told.original), told, copy, dir: at.dir })
}

impl<M: World> Driver<M> {
    /// What is known, asked from a task of this client's own; `None` when it ends.
    pub(super) async fn known<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Engine, &SqliteTrees) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.tell(Signal::Question(Question::new(question, answer))).await;
        answered.await.ok()
    }

    /// Carries out [`Client::resolve`].
    pub(super) async fn resolve(&self, path: Vec<Name>, keep: Keep, answer: oneshot::Sender<Result<(), ResolveError>>) {
        let root = self.executor().root().clone();
        let random = self.world.entropy().bytes();
        let done =
            offload(self.world.tasks(), Lane::Disk, move || conflicts::resolve(&root, &path, keep, random)).await;
        // If the program is ending, nobody waits for an answer.
        if let Ok(done) = done {
            let _ = answer.send(done);
        }
    }
}
