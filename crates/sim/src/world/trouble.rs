//! What goes wrong while the code of Skep is at work, and at any other time.

use std::sync::{Arc, Weak};

use skep_client::WaitOutcome;
use skep_platform::FileErrorKind;

use super::{End, World};

/// Actions of people between two calls of a disk in one world: each makes Skep call the disk again, so there must be an end.
const MEDDLING_MAX: u64 = 300;
/// A call of a disk takes up to so long.
const CALL_US_MAX: u64 = 30;
/// A process that died is started again after up to so long.
const DOWN_MS_MAX: u64 = 3_000;
/// Longest time without a network.
const PARTITION_MS_MAX: u64 = 90_000;

/// Longest pause between two audits.
const AUDIT_EVERY_MS_MAX: u64 = 8_000;
/// How long a client is given to say that it is equal.
const AUDIT_WAIT_MS: u64 = 20_000;
/// How often people who stand still look whether they still have to.
const STILL_LOOK_MS: u64 = 50;

/// What may happen just before a call of a disk.
enum Strike {
    End(End),
    Meddle,
    Fail(FileErrorKind),
}

impl World {
    /// From now on every call of a disk passes here first.
    pub(super) fn set_hooks(self: &Arc<World>) {
        for (machine, disk) in self.disks().into_iter().enumerate() {
            let world = Arc::downgrade(self);
            let is_server = machine == self.options.machines;
            disk.set_hook(Some(Arc::new(move |call| {
                let Some(world) = Weak::upgrade(&world) else { return };
                if is_server { world.before_server_call(call) } else { world.before_client_call(machine, call) }
            })));
        }
    }

    fn before_server_call(&self, call: &'static str) {
        let mut state = self.state();
        let spent_us = state.random.range(1..=CALL_US_MAX);
        self.executor.spend_us(spent_us);
        self.executor.note(call.as_bytes());
        let is_its_own = state.server.process().is_some_and(|process| self.executor.running() == Some(process));
        if state.is_calm || !is_its_own || std::thread::panicking() {
            return;
        }
        let faults = &self.options.faults;
        let end = if state.random.happens(faults.server_kills_per_million) {
            Some(End::Kill)
        } else if state.random.happens(faults.server_power_cuts_per_million) {
            Some(End::PowerCut)
        } else {
            None
        };
        drop(state);
        if let Some(end) = end {
            self.end_server(end);
        }
    }

    fn before_client_call(&self, machine: usize, call: &'static str) {
        let mut state = self.state();
        let spent_us = state.random.range(1..=CALL_US_MAX);
        self.executor.spend_us(spent_us);
        self.executor.note(call.as_bytes());
        let process = state.machines[machine].process;
        let is_its_own = process.is_some_and(|process| self.executor.running() == Some(process));
        if state.is_calm || !is_its_own || std::thread::panicking() {
            return;
        }
        let faults = &self.options.faults;
        // Just before a name changes hands there is most to win.
        let haste = if call == "rename" { 10 } else { 1 };
        let strike = if state.random.happens(faults.client_kills_per_million) {
            Some(Strike::End(End::Kill))
        } else if state.random.happens(faults.client_power_cuts_per_million) {
            Some(Strike::End(End::PowerCut))
        } else if state.random.happens(faults.meddling_per_million * haste)
            && !state.are_people_still
            && state.meddled < MEDDLING_MAX
        {
            state.meddled += 1;
            Some(Strike::Meddle)
        } else if state.random.happens(faults.disk_errors_per_million) {
            let kinds = [FileErrorKind::Other, FileErrorKind::NoSpace, FileErrorKind::Denied];
            Some(Strike::Fail(*state.random.pick(&kinds)))
        } else {
            None
        };
        let disk = state.machines[machine].disk.clone();
        drop(state);
        match strike {
            None => {}
            Some(Strike::End(end)) => self.end_client(machine, end),
            Some(Strike::Meddle) if faults.hasty_saves && call == "rename" => self.act_in_haste(machine),
            Some(Strike::Meddle) => self.act(machine),
            Some(Strike::Fail(kind)) => {
                self.tell(&format!("client {machine}"), &format!("`{call}` fails with {kind:?}"));
                disk.fail_next(call, 1, kind);
            }
        }
    }

    /// Starts again what went down, until the world is calm.
    pub(crate) async fn take_care(self: Arc<World>) {
        loop {
            let pause_ms = self.state().random.range(1..=DOWN_MS_MAX);
            self.executor.sleep_ms(pause_ms).await;
            if self.state().is_calm {
                return;
            }
            self.start_all();
        }
    }

    /// Starts everything that is down, and ends clients first that have stopped until a person does something.
    pub(crate) fn start_all(self: &Arc<World>) {
        self.start_server();
        for machine in 0..self.options.machines {
            if self.has_stopped(machine) {
                self.end_client(machine, End::Kill);
            }
            self.start_client(machine);
        }
    }

    /// Strikes now and then, until the world is calm.
    pub(crate) async fn strike(self: Arc<World>) {
        let every_ms = self.options.faults.strikes_every_ms;
        if every_ms == 0 {
            return;
        }
        loop {
            let pause_ms = self.state().random.range(1..=2 * every_ms);
            self.executor.sleep_ms(pause_ms).await;
            let mut state = self.state();
            if state.is_calm {
                return;
            }
            let (kind, machine) = (state.random.range(0..=7), state.random.index(self.options.machines));
            let long_ms = state.random.range(1..=PARTITION_MS_MAX);
            let who = format!("client {machine}");
            let disk = state.machines[machine].disk.clone();
            let clock = state.machines[machine].clock.clone();
            drop(state);
            match kind {
                0 => self.end_client(machine, End::Kill),
                1 => self.end_client(machine, End::PowerCut),
                2 => self.end_server(End::Kill),
                3 => self.end_server(End::PowerCut),
                4 => {
                    self.tell(&who, "loses hints of its watcher");
                    disk.lose_hints();
                }
                5 => {
                    self.tell(&who, "has its clock set");
                    clock.set_offset_ms(long_ms as i64 * 1_000 - 30_000_000);
                }
                6 => {
                    self.tell(&who, "has its connections broken");
                    self.network.break_connections(machine);
                }
                _ => {
                    self.tell(&who, "is cut off from the network");
                    self.network.set_reachable(machine, false);
                    let world = Arc::clone(&self);
                    let heal = async move {
                        world.executor.sleep_ms(long_ms).await;
                        world.tell(&who, "is on the network again");
                        world.network.set_reachable(machine, true);
                    };
                    self.executor.spawn(self.process, "heal", heal);
                }
            }
        }
    }

    /// Asks clients now and then whether they are equal to the server, and looks whether it is true; until the world is calm.
    pub(crate) async fn audit(self: Arc<World>) {
        loop {
            let pause_ms = self.state().random.range(1..=AUDIT_EVERY_MS_MAX);
            self.executor.sleep_ms(pause_ms).await;
            let Some(machine) = self.begin_audit() else { return };
            let history = || (self.head(), self.state().restored);
            let before = history();
            let outcome = self.wait_equal(machine, AUDIT_WAIT_MS).await;
            // Another machine's commit would be on its way to this one by now.
            if outcome == Some(WaitOutcome::Equal) && before == history() && self.has_everything(machine) {
                if let Err(difference) = self.check_machine(machine) {
                    self.violate(format!("a client says that it is up to date, but {difference}"));
                }
                self.executor.note(b"audited");
            }
            let mut state = self.state();
            state.are_people_still = false;
            // What a client says is equal must not depend on what a power cut takes.
            let is_cut = !state.is_calm && state.random.happens(self.options.faults.cuts_when_equal_per_million);
            drop(state);
            if is_cut && outcome == Some(WaitOutcome::Equal) {
                self.end_client(machine, End::PowerCut);
            }
        }
    }

    /// People stand still; which machine is audited, or `None` when the world is calm.
    fn begin_audit(&self) -> Option<usize> {
        let mut state = self.state();
        state.are_people_still = !state.is_calm;
        (!state.is_calm).then(|| state.random.index(self.options.machines))
    }

    /// Completes when people may do something.
    pub(crate) async fn until_people_may_act(&self) {
        while self.state().are_people_still {
            self.executor.sleep_ms(STILL_LOOK_MS).await;
        }
    }

    /// From now on nothing goes wrong, and everything runs.
    pub(crate) fn calm_down(self: &Arc<World>) {
        self.tell("world", "calms down");
        self.state().is_calm = true;
        self.network.calm_down();
        self.disks().iter().for_each(|disk| disk.clear_faults());
        self.start_all();
    }
}
