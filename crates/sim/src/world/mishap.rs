//! Mishaps of people, and what they decide then.

use std::sync::Arc;

use skep_client::{DeletionHold, HoldDecision, WaitOutcome};

use super::{End, World};
use crate::oracle::Shown;

/// How long a client is given to find out that its folder is empty.
const NOTICE_MS: u64 = 120_000;
/// Longest pause between two looks for held deletions.
const DECIDE_EVERY_MS_MAX: u64 = 20_000;

impl World {
    /// What a client holds.
    pub(crate) async fn hold(&self, machine: usize) -> Option<DeletionHold> {
        let client = self.state().machines[machine].client.clone()?;
        client.deletion_hold().await.ok().flatten()
    }

    /// A person decides what a client holds, if it holds anything.
    pub(crate) async fn decide_hold(&self, machine: usize, decision: HoldDecision) {
        let Some(hold) = self.hold(machine).await else { return };
        let Some(client) = self.state().machines[machine].client.clone() else { return };
        self.tell(&format!("person {machine}"), &format!("decides on {} files: {decision:?}", hold.files));
        // A client that ends meanwhile holds them again when it starts, or holds no more.
        let _ = client.decide_hold(hold.id, None, decision).await;
    }

    /// One of the two, as it comes. Who works apart from the others meant what he did.
    pub(crate) fn draw_decision(&self) -> HoldDecision {
        let brings_back = self.state().random.coin() && !self.options.is_apart;
        if brings_back { HoldDecision::BringBack } else { HoldDecision::Approve }
    }

    /// People decide now and then, until the world is calm.
    pub(crate) async fn decide_holds(self: Arc<World>) {
        loop {
            let pause_ms = self.state().random.range(1..=DECIDE_EVERY_MS_MAX);
            self.executor.sleep_ms(pause_ms).await;
            let machine = {
                let mut state = self.state();
                if state.is_calm {
                    return;
                }
                state.random.index(self.options.machines)
            };
            self.until_people_may_act().await;
            let decision = self.draw_decision();
            self.decide_hold(machine, decision).await;
        }
    }

    /// A folder is emptied while its client is down. If that is much, nothing of it is sent until somebody decides.
    pub(crate) async fn empty_a_folder(self: &Arc<World>) -> Result<(), String> {
        let machine = self.state().random.index(self.options.machines);
        let before = self.server_tree()?;
        // What is left out was not here, so it cannot be missed.
        let was_here = self.counting_trees(&self.machine_tree(machine), &before).0;
        self.end_client(machine, End::Kill);
        self.empty_folder(machine);
        self.start_client(machine);
        let limits = self.options.limits;
        let files = was_here.values().filter(|shown| !matches!(shown, Shown::Directory)).count() as u64;
        if files <= limits.hold_files {
            return Ok(());
        }
        let outcome = loop {
            match self.wait_equal(machine, NOTICE_MS).await {
                // It is still starting.
                None => self.executor.sleep_ms(100).await,
                Some(outcome) => break outcome,
            }
        };
        let hold = self.hold(machine).await;
        // What a program wrote to a displaced file comes back from the safe, and may take the place of one that is gone.
        let is_whole = outcome == WaitOutcome::NeedsPerson && hold.as_ref().map(|hold| hold.files) == Some(files);
        if !is_whole && !self.options.keeps_files_open() {
            return Err(format!("an emptied folder of {files} files gives {outcome:?} and {hold:?}"));
        }
        // What comes back from the safe is new.
        let now = self.server_tree()?;
        if let Some(path) = before.keys().find(|path| hold.is_some() && !now.contains_key(*path)) {
            return Err(format!("a held deletion was sent: {}", String::from_utf8_lossy(path)));
        }
        let decision = self.draw_decision();
        self.decide_hold(machine, decision).await;
        Ok(())
    }
}
