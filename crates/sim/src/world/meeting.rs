//! How folder and server meet in another way than before: the server's data is brought back from a copy, a client loses its state.

use std::sync::Arc;

use skep_metastore::{MetaStore, Sqlite};
use skep_service::mark_as_copy;
use skep_types::{DriveId, Generation};

use super::server::ServerState;
use super::{End, World};

/// Copies of the server's data that are kept.
const BACKUPS_MAX: usize = 4;

/// A copy of the server's metadata. Its packs are only ever added to.
pub(crate) struct Backup {
    image: Vec<u8>,
    generation: Generation,
}

impl World {
    /// Copies the server's data now and then, until the world is calm.
    pub(crate) async fn back_up(self: Arc<World>) {
        while self.pause_for(self.options.meetings.backup_every_ms).await {
            let mut state = self.state();
            let meta = state.server.meta();
            let image = meta.image().expect("a database in memory can be written");
            let generation = generation_of(&meta, state.server.drive);
            let backups = &mut state.server.backups;
            if backups.len() == BACKUPS_MAX {
                backups.remove(0);
            }
            backups.push(Backup { image, generation });
        }
    }

    /// Brings a copy of the server's data back now and then, until the world is calm.
    pub(crate) async fn restore(self: Arc<World>) {
        while self.pause_for(self.options.meetings.restore_every_ms).await {
            self.restore_once();
        }
    }

    fn restore_once(&self) {
        self.end_server(End::Kill);
        let mut state = self.state();
        let count = state.server.backups.len();
        if count == 0 || !matches!(state.server.state, ServerState::Down { .. }) {
            return;
        }
        let (chosen, is_told) = (state.random.index(count), state.random.coin());
        let drive = state.server.drive;
        let generation = generation_of(&state.server.meta(), drive);
        if !state.server.generations.contains(&generation) {
            state.server.generations.push(generation);
        }
        // Of a copy from before the history got another generation, devices know that it is older: somebody has to say that it counts.
        let is_older = state.server.generations.last() != Some(&state.server.backups[chosen].generation);
        let mut image = state.server.backups[chosen].image.clone();
        if is_told || is_older {
            let meta = Sqlite::from_image(&image).expect("a copied database can be read");
            meta.write(mark_as_copy).expect("a database in memory can be written");
            image = meta.image().expect("a database in memory can be written");
        }
        let reader = Arc::new(Sqlite::from_image(&image).expect("a copied database can be read"));
        state.server.state = ServerState::Down { image, reader: Arc::clone(&reader) };
        let disks: Vec<_> = state.machines.iter().map(|machine| machine.disk.clone()).collect();
        let held = disks.iter().flat_map(|disk| state.ledger.contents_of(disk).anywhere).collect();
        state.restored += 1;
        state.ledger.went_back(&*reader, drive, &held).expect("a database in memory can be read");
        drop(state);
        let how = if is_told || is_older { "and told so" } else { "by hand" };
        let head = self.head();
        self.tell("server", &format!("is brought back from a copy that ends at {head}, {how}"));
    }

    /// Lets a client lose its state now and then, until the world is calm.
    pub(crate) async fn lose_states(self: Arc<World>) {
        while self.pause_for(self.options.meetings.state_loss_every_ms).await {
            let machine = {
                let mut state = self.state();
                state.random.index(self.options.machines)
            };
            self.end_client(machine, End::Kill);
            let state = self.state();
            if state.machines[machine].process.is_none() {
                state.machines[machine].forget_state();
                drop(state);
                self.tell(&format!("client {machine}"), "loses its state");
            }
        }
    }

    /// Waits for about so long; false if there is nothing to wait for, or the world is calm.
    async fn pause_for(&self, every_ms: u64) -> bool {
        if every_ms == 0 {
            return false;
        }
        let pause_ms = self.state().random.range(1..=2 * every_ms);
        self.executor.sleep_ms(pause_ms).await;
        !self.state().is_calm
    }
}

fn generation_of(meta: &Sqlite, drive: DriveId) -> Generation {
    let row = meta.read(|read| read.drive(drive)).expect("a database in memory can be read");
    row.expect("the drive is made with the world").generation
}
