//! Ctrl-C, a service manager's stop and a closed terminal, as a fact that waiting code asks for.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on these signals no longer end this process at once: the task notices, stops its children and leaves.
/// A second Ctrl-C does end it at once; the children then die with it ([`crate::process`]).
pub fn listen() -> Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order matters: at the first signal the flag is still unset, so only the second one ends the process.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
            .context("cannot listen for signals")?;
    }
    let _first = ASKED.set(asked);
    Ok(())
}

/// Whether somebody asked this task to stop.
pub fn asked() -> bool {
    ASKED.get().is_some_and(|asked| asked.load(Ordering::SeqCst))
}

/// Fails once somebody asked to stop.
pub fn check() -> Result<()> {
    if asked() {
        bail!("interrupted");
    }
    Ok(())
}
