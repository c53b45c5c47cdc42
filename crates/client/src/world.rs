//! The seams as one type parameter in place of six.

use skep_platform::{Clock, Entropy, Files, Tasks, Watcher};

use crate::Link;

/// Everything that the client runs on.
pub trait World: Send + Sync + 'static {
    /// What tells the time.
    type Clock: Clock;
    /// Where unpredictable bytes come from.
    type Entropy: Entropy;
    /// What runs tasks and blocking jobs.
    type Tasks: Tasks;
    /// The disk beneath the synced root.
    type Files: Files;
    /// What notices changes on it.
    type Watcher: Watcher<Files = Self::Files>;
    /// The way to the server.
    type Link: Link;

    /// What tells the time.
    fn clock(&self) -> &Self::Clock;
    /// Where unpredictable bytes come from.
    fn entropy(&self) -> &Self::Entropy;
    /// What runs tasks and blocking jobs.
    fn tasks(&self) -> &Self::Tasks;
    /// The disk beneath the synced root.
    fn files(&self) -> &Self::Files;
    /// What notices changes on it.
    fn watcher(&self) -> &Self::Watcher;
    /// The way to the server.
    fn link(&self) -> &Self::Link;
}

/// A [`World`] of six parts.
#[derive(Debug)]
pub struct Machine<C, E, T, F, W, L> {
    /// What tells the time.
    pub clock: C,
    /// Where unpredictable bytes come from.
    pub entropy: E,
    /// What runs tasks and blocking jobs.
    pub tasks: T,
    /// The disk beneath the synced root.
    pub files: F,
    /// What notices changes on it.
    pub watcher: W,
    /// The way to the server.
    pub link: L,
}

impl<C, E, T, F, W, L> World for Machine<C, E, T, F, W, L>
where
    C: Clock,
    E: Entropy,
    T: Tasks,
    F: Files,
    W: Watcher<Files = F>,
    L: Link,
{
    type Clock = C;
    type Entropy = E;
    type Tasks = T;
    type Files = F;
    type Watcher = W;
    type Link = L;

    fn clock(&self) -> &C {
        &self.clock
    }
    fn entropy(&self) -> &E {
        &self.entropy
    }
    fn tasks(&self) -> &T {
        &self.tasks
    }
    fn files(&self) -> &F {
        &self.files
    }
    fn watcher(&self) -> &W {
        &self.watcher
    }
    fn link(&self) -> &L {
        &self.link
    }
}
