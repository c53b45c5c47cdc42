//! A drive's newest commits in memory, where its open feeds take them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use skep_metastore::Drive;
use skep_types::{AccountId, CommitId, Content, Cursor, DriveId, Entry, Generation, Seq};
use tokio::sync::watch;

use crate::service::lock;

/// Bytes of commits that are kept for the feeds of one drive.
const RING_BYTES_MAX: usize = 8 << 20;
/// Commits that are kept for the feeds of one drive.
const RING_COMMITS_MAX: usize = 4096;
/// What an entry takes in memory beside its name and target, roughly.
const ENTRY_BYTES: usize = 320;
/// Drives that are remembered between calls, beyond those that are in use.
const HUBS_MAX: usize = 4096;
/// Bytes of small contents that go into one piece of a feed.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// A commit as the feeds see it.
#[derive(Debug)]
pub(crate) struct Published {
    /// It follows this position.
    pub(crate) after: Seq,
    /// Whose it is.
    pub(crate) commit: CommitId,
    /// At least one.
    pub(crate) entries: Vec<Entry>,
    /// Payloads of `block` frames with its small contents, as far as they came with it.
    pub(crate) blocks: Vec<Bytes>,
}

impl Published {
    fn end(&self) -> Seq {
        Seq(self.after.0 + self.entries.len() as u64)
    }

    fn bytes(&self) -> usize {
        let entries = self.entries.iter().map(|entry| {
            let target = if let Content::Symlink { target } = &entry.state.content { target.len() } else { 0 };
            ENTRY_BYTES + entry.state.place.name.as_bytes().len() + target
        });
        entries.chain(self.blocks.iter().map(Bytes::len)).sum()
    }
}

/// What the ring has for a feed.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Nothing: the feed has all.
    Current,
    /// These commits, in order, and the end of the journal.
    Commits(Vec<Arc<Published>>, Seq),
    /// The feed's position is not in the ring any more: ask the store.
    Behind,
}

/// One drive, as this process knows it.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Which drive.
    pub(crate) drive: DriveId,
    /// Whose it is.
    pub(crate) owner: AccountId,
    /// Of its history: changes when a device tells that the history was another one before.
    generation: Mutex<Generation>,
    ring: Mutex<Ring>,
    head: watch::Sender<Seq>,
}

#[derive(Debug)]
struct Ring {
    /// Without a gap; the last one ends at `head`.
    commits: VecDeque<Arc<Published>>,
    bytes: usize,
    head: Seq,
}

impl Hub {
    fn new(drive: &Drive) -> Hub {
        let ring = Ring { commits: VecDeque::new(), bytes: 0, head: drive.head };
        Hub {
            drive: drive.id,
            owner: drive.owner,
            generation: Mutex::new(drive.generation),
            ring: Mutex::new(ring),
            head: watch::Sender::new(drive.head),
        }
    }

    /// A receiver that wakes when the journal grows.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Seq> {
        self.head.subscribe()
    }

    /// The cursor of a device that has taken `entry`.
    pub(crate) fn cursor(&self, entry: &Entry) -> Cursor {
        Cursor { generation: *lock(&self.generation), seq: entry.seq, commit: Some(entry.commit) }
    }

    /// The history has a new generation.
    pub(crate) fn set_generation(&self, generation: Generation) {
        *lock(&self.generation) = generation;
    }

    /// Takes a commit that is durable. Called by the one writer, in the order of the journal.
    pub(crate) fn publish(&self, published: Published) {
        let end = published.end();
        let mut ring = lock(&self.ring);
        ring.head = end;
        if self.head.receiver_count() == 0 {
            // Nobody listens: a feed that opens later reads the store.
            ring.commits.clear();
            ring.bytes = 0;
        } else {
            ring.push(published);
        }
        drop(ring);
        self.head.send_replace(end);
    }

    /// What follows `after`, up to about `entries_max` entries; whole commits.
    pub(crate) fn take(&self, after: Seq, entries_max: usize) -> Taken {
        let ring = lock(&self.ring);
        if after >= ring.head {
            return Taken::Current;
        }
        let Ok(first) = ring.commits.binary_search_by_key(&after, |commit| commit.after) else {
            return Taken::Behind;
        };
        let (mut entries, mut bytes) = (0, 0);
        let mut commits = Vec::new();
        for commit in ring.commits.range(first..) {
            entries += commit.entries.len();
            bytes += commit.blocks.iter().map(Bytes::len).sum::<usize>();
            if !commits.is_empty() && (entries > entries_max || bytes > PIECE_BYTES_MAX) {
                break;
            }
            commits.push(Arc::clone(commit));
        }
        Taken::Commits(commits, ring.head)
    }
}

impl Ring {
    fn push(&mut self, published: Published) {
        self.bytes += published.bytes();
        self.commits.push_back(Arc::new(published));
        while self.bytes > RING_BYTES_MAX || self.commits.len() > RING_COMMITS_MAX {
            let Some(oldest) = self.commits.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }
}

/// The drives that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Hubs {
    known: Mutex<BTreeMap<DriveId, Arc<Hub>>>,
    /// Held while a drive is read from the store and entered. A drive that is in use is never forgotten, so what is read
    /// under this lock is not overtaken by a commit.
    pub(crate) loading: tokio::sync::Mutex<()>,
}

impl Hubs {
    /// The drive, if it is known.
    pub(crate) fn get(&self, drive: DriveId) -> Option<Arc<Hub>> {
        lock(&self.known).get(&drive).cloned()
    }

    /// Enters a drive as the store has it. Call it with `loading` held since before the store was read.
    pub(crate) fn enter(&self, drive: &Drive) -> Arc<Hub> {
        let mut known = lock(&self.known);
        if known.len() >= HUBS_MAX {
            known.retain(|_, hub| Arc::strong_count(hub) > 1);
        }
        Arc::clone(known.entry(drive.id).or_insert_with(|| Arc::new(Hub::new(drive))))
    }
}
