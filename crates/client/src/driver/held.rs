//! Deletions that wait for a person: what a shell asks of them, and tells.

use skep_planner::{DeletionHold, Event, HoldDecision, HoldId};
use skep_types::Name;

use super::{Client, Ended, Signal};

/// What a person decided.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) hold: HoldId,
    under: Option<Vec<Name>>,
    decision: HoldDecision,
}

impl Decided {
    pub(super) fn into_event(self) -> Event {
        Event::HoldDecided { hold: self.hold, under: self.under, decision: self.decision }
    }
}

impl Client {
    /// The deletions that wait for a person, if there are any.
    pub async fn deletion_hold(&self) -> Result<Option<DeletionHold>, Ended> {
        self.question(|engine, _| engine.hold().cloned()).await
    }

    /// What a person decided of this very hold, or of the part of it at and beneath a path. Once this gives true, it outlives a power
    /// cut; false: the hold is another one by now, look at it again.
    pub async fn decide_hold(
        &self,
        hold: HoldId,
        under: Option<Vec<Name>>,
        decision: HoldDecision,
    ) -> Result<bool, Ended> {
        self.ask(|answer| Signal::DecideHold(Decided { hold, under, decision }, answer)).await
    }
}
