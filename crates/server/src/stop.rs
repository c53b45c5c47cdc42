//! How the word to stop reaches everything that runs.

use tokio::sync::watch;

/// Gives the word. Dropping it does so too.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// Hears the word.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

/// The two ends.
pub fn channel() -> (Stop, Stopping) {
    let (stop, stopping) = watch::channel(false);
    (Stop(stop), Stopping(stopping))
}

impl Stop {
    /// Everything should come to an orderly end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Completes once the word was given.
    pub async fn asked(&mut self) {
        // An error is a sender that was dropped.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
