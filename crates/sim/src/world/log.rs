//! What happened in a world, for whoever has to find out why it went wrong.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Events that are kept for the report of a violation.
const KEPT_MAX: usize = 60;

/// Who hears of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// The last ones are kept for a report.
    Report,
    /// All are printed as they happen, too.
    Stderr,
}

/// The last events of a world.
#[derive(Debug)]
pub struct Log {
    listener: Listener,
    kept: Mutex<VecDeque<String>>,
}

impl Log {
    pub(crate) fn new(listener: Listener) -> Log {
        Log { listener, kept: Mutex::new(VecDeque::new()) }
    }

    pub(crate) fn add(&self, at_us: u64, who: &str, told: &str) {
        let line = format!("{:>10.3} ms  {who:<9} {told}", at_us as f64 / 1000.0);
        if self.listener == Listener::Stderr {
            eprintln!("{line}");
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(line);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
