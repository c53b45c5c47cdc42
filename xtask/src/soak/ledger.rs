//! Which contents programs have saved, and which of them must still be somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::person::name_of;

/// A content that stood still for so long, beside a client and a server that ran, is in the history.
const STANDS_AFTER: Duration = Duration::from_secs(2);

/// A content, known by its hash and length.
type ContentKey = (u64, usize);

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    saved: BTreeMap<ContentKey, Saved>,
    /// Since when a side's client and the server have both run and had time to find each other.
    connected_since: [Option<Instant>; 2],
}

#[derive(Debug)]
struct Saved {
    told: String,
    side: usize,
    at: Instant,
    /// A program of the same side has destroyed it before it could have been sent.
    is_own_loss: bool,
}

impl Ledger {
    /// A program of `side` has saved a file with these bytes.
    pub fn saved(&mut self, side: usize, bytes: &[u8]) {
        let saved = Saved { told: name_of(bytes), side, at: Instant::now(), is_own_loss: false };
        self.saved.insert(key(bytes), saved);
    }

    /// A program of `side` has destroyed a file with these bytes.
    pub fn destroyed(&mut self, side: usize, bytes: Option<&[u8]>) {
        let Some(saved) = bytes.and_then(|bytes| self.saved.get_mut(&key(bytes))) else { return };
        // On the other side it can only stand because the server has given it out.
        if saved.side != side {
            return;
        }
        let stood = self.connected_since[side].map(|since| since.max(saved.at).elapsed());
        saved.is_own_loss = stood.is_none_or(|stood| stood < STANDS_AFTER);
    }

    /// Someone was killed: nothing stands on this side until [`Ledger::connected`].
    pub fn disconnected(&mut self, side: usize) {
        self.connected_since[side] = None;
    }

    /// Client and server of this side run and will have found each other after `patience`.
    pub fn connected(&mut self, side: usize, patience: Duration) {
        self.connected_since[side] = Some(Instant::now() + patience);
    }

    /// How many contents were saved, and how many of them must be somewhere.
    pub fn counts(&self) -> (usize, usize) {
        (self.saved.len(), self.saved.values().filter(|saved| !saved.is_own_loss).count())
    }

    /// Those of the contents that must be somewhere which `found` does not hold.
    pub fn lost(&self, found: &Found) -> Vec<&str> {
        let lost = self.saved.iter().filter(|(key, saved)| !saved.is_own_loss && !found.keys.contains(*key));
        lost.map(|(_, saved)| saved.told.as_str()).collect()
    }
}

/// Contents that were found.
#[derive(Debug, Default)]
pub struct Found {
    keys: BTreeSet<ContentKey>,
}

impl Found {
    /// Enters a content.
    pub fn enter(&mut self, bytes: &[u8]) {
        self.keys.insert(key(bytes));
    }
}

fn key(bytes: &[u8]) -> ContentKey {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    (hasher.finish(), bytes.len())
}
