//! What the service has done since it began, counted: for operators, never for decisions.
//!
//! A call costs one short lock at its end, a commit three additions.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use skep_metastore::ChunkPlace;
use skep_types::ChunkId;

use crate::service::lock;

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: Mutex<BTreeMap<(&'static str, &'static str), Calls>>,
    commits: AtomicU64,
    entries: AtomicU64,
    chunks: AtomicU64,
    chunk_bytes: AtomicU64,
    feeds_open: AtomicU64,
}

/// Calls of one kind with one outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many have ended.
    pub count: u64,
    /// Bytes of their bodies.
    pub bytes_in: u64,
    /// Bytes of their answers.
    pub bytes_out: u64,
    /// How long they took, together.
    pub duration_ms: u64,
}

/// What was counted up to a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Ended calls, by kind and by outcome (`ok`, `cut` or a code).
    pub calls: BTreeMap<(&'static str, &'static str), Calls>,
    /// Commits that appended something.
    pub commits: u64,
    /// Entries that were appended.
    pub entries: u64,
    /// Chunks that were received and made durable.
    pub chunks: u64,
    /// Their plain bytes.
    pub chunk_bytes: u64,
    /// Feeds that are open now.
    pub feeds_open: u64,
}

impl Counters {
    pub(crate) fn ended(&self, request: &'static str, outcome: &'static str, call: Calls) {
        let mut calls = lock(&self.calls);
        let known = calls.entry((request, outcome)).or_default();
        known.count += call.count;
        known.bytes_in += call.bytes_in;
        known.bytes_out += call.bytes_out;
        known.duration_ms += call.duration_ms;
    }

    pub(crate) fn committed(&self, entries: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, rows: &[(ChunkId, ChunkPlace)]) {
        let bytes = rows.iter().map(|(_, place)| u64::from(place.length)).sum();
        self.chunks.fetch_add(rows.len() as u64, Ordering::Relaxed);
        self.chunk_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn feed_opened(&self) {
        self.feeds_open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn feed_closed(&self) {
        self.feeds_open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn figures(&self) -> Figures {
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            calls: lock(&self.calls).clone(),
            commits: counted(&self.commits),
            entries: counted(&self.entries),
            chunks: counted(&self.chunks),
            chunk_bytes: counted(&self.chunk_bytes),
            feeds_open: counted(&self.feeds_open),
        }
    }
}
