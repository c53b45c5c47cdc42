//! Work on the state that is no event for the engine: done in a step of its own, between two of the engine's.

use skep_planner::Engine;
use tokio::sync::oneshot;

use crate::SqliteTrees;

/// Changes what is kept, and says whom to tell.
type Change = Box<dyn FnOnce(&Engine, &mut SqliteTrees) -> Done + Send>;

/// What is to be done, and its answer to whoever asked.
pub(super) struct Work(Change);

/// Tells whoever asked, once the step is stored.
pub(super) struct Done(Box<dyn FnOnce() + Send>);

impl Work {
    /// Work whose answer comes when what it wrote is stored, and not at all if that failed.
    pub(super) fn new<T: Send + 'static>(
        work: impl FnOnce(&Engine, &mut SqliteTrees) -> T + Send + 'static,
    ) -> (Work, oneshot::Receiver<T>) {
        let (answer, answered) = oneshot::channel();
        let work = move |engine: &Engine, trees: &mut SqliteTrees| {
            let made = work(engine, trees);
            // Whoever asked may have gone away.
            Done(Box::new(move || drop(answer.send(made))))
        };
        (Work(Box::new(work)), answered)
    }

    pub(super) fn carry_out(self, engine: &Engine, trees: &mut SqliteTrees) -> Done {
        (self.0)(engine, trees)
    }
}

impl Done {
    pub(super) fn tell(self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}
