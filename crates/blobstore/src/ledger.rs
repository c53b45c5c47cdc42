//! What of each pack will survive a power cut: pure bookkeeping beneath [`crate::LocalPacks`].
//!
//! A pack that is not in the ledger was closed and is durable as a whole, or was made by an earlier process, of which nobody
//! holds a place that was not durable.

use std::collections::BTreeMap;

use crate::{PackId, RecordPlace};

/// How far one pack is.
#[derive(Debug)]
struct Standing {
    /// Whole records end here.
    appended: u64,
    /// A completed sync covered the file to here; 0: not even its directory entry.
    durable: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Records may still come.
    Open,
    /// None will come.
    Closed,
    /// A sync of it failed: the system may have dropped what was written, so no later sync proves anything.
    GivenUp(String),
}

/// What is known of some places together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All will survive.
    Durable,
    /// A sync is needed.
    Unsynced,
    /// One may be lost, for this reason.
    Lost(String),
}

/// One sync: each pack and how far it goes in the file at the moment when the sync starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) packs: Vec<(PackId, u64)>,
    /// Whether one of the packs is new, so that its directory entry must be made durable, too.
    pub(crate) new_entries: bool,
}

/// All packs of this process that are not yet closed and durable, and those that were given up (a few bytes for each failed
/// sync, for the life of the process: their lost places must stay lost).
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    packs: BTreeMap<PackId, Standing>,
}

impl Ledger {
    /// A pack was made.
    pub(crate) fn open(&mut self, pack: PackId) {
        self.packs.insert(pack, Standing { appended: 0, durable: 0, state: State::Open });
    }

    /// A record was written whole; it ends at `end`.
    pub(crate) fn append(&mut self, pack: PackId, end: u64) {
        if let Some(standing) = self.packs.get_mut(&pack) {
            standing.appended = end;
        }
    }

    /// No record will be appended to the pack any more.
    pub(crate) fn close(&mut self, pack: PackId) {
        if let Some(standing) = self.packs.get_mut(&pack) {
            standing.state = State::Closed;
        }
        self.forget_finished();
    }

    /// Whether something may still be appended to the pack, or some of it is not durable.
    pub(crate) fn is_under_way(&self, pack: PackId) -> bool {
        self.packs.contains_key(&pack)
    }

    /// What is known of these places.
    pub(crate) fn verdict(&self, places: &[RecordPlace]) -> Verdict {
        let mut verdict = Verdict::Durable;
        for place in places {
            let end = place.offset.saturating_add(u64::from(place.length));
            let Some(standing) = self.packs.get(&place.pack) else { continue };
            if end <= standing.durable {
                continue;
            }
            match &standing.state {
                State::GivenUp(reason) => return Verdict::Lost(reason.clone()),
                _ if end > standing.appended => return Verdict::Lost("nothing was appended there".to_owned()),
                _ => verdict = Verdict::Unsynced,
            }
        }
        verdict
    }

    /// Everything that a sync would bring further.
    pub(crate) fn unsynced(&self) -> Batch {
        let needs_sync =
            |standing: &Standing| standing.durable < standing.appended && !matches!(standing.state, State::GivenUp(_));
        let unsynced = self.packs.iter().filter(|(_, standing)| needs_sync(standing));
        Batch {
            packs: unsynced.clone().map(|(pack, standing)| (*pack, standing.appended)).collect(),
            new_entries: unsynced.into_iter().any(|(_, standing)| standing.durable == 0),
        }
    }

    /// The sync succeeded.
    pub(crate) fn synced(&mut self, batch: &Batch) {
        for (pack, end) in &batch.packs {
            if let Some(standing) = self.packs.get_mut(pack) {
                standing.durable = *end;
            }
        }
        self.forget_finished();
    }

    /// The sync failed. Records that were appended while it ran are lost with the others of their pack.
    pub(crate) fn failed(&mut self, batch: &Batch, reason: &str) {
        for (pack, _) in &batch.packs {
            if let Some(standing) = self.packs.get_mut(pack) {
                standing.state = State::GivenUp(reason.to_owned());
            }
        }
    }

    fn forget_finished(&mut self) {
        self.packs
            .retain(|_, standing| !(matches!(standing.state, State::Closed) && standing.durable == standing.appended));
    }
}
