//! Packs with records whose rows are still to come: nothing leads to them yet, and they must not be freed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use skep_blobstore::PackId;

use crate::service::lock;

/// The packs that are pinned, and how often.
#[derive(Debug, Default)]
pub(crate) struct Pins(Mutex<BTreeMap<PackId, usize>>);

/// Keeps a pack until its rows are written or nobody wants them any more.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    pack: PackId,
}

impl Pins {
    /// Pins a pack to which a record was just appended.
    pub(crate) fn pin(self: &Arc<Pins>, pack: PackId) -> Pin {
        *lock(&self.0).entry(pack).or_default() += 1;
        Pin { pins: Arc::clone(self), pack }
    }

    /// Whether rows may still come for the pack.
    pub(crate) fn holds(&self, pack: PackId) -> bool {
        lock(&self.0).contains_key(&pack)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = lock(&self.pins.0);
        if let Some(count) = pins.get_mut(&self.pack) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.pack);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_held_as_long_as_one_pin_is() {
        let pins = Arc::new(Pins::default());
        let (one, other) = (pins.pin(PackId(1)), pins.pin(PackId(1)));
        drop(one);
        assert!(pins.holds(PackId(1)));
        drop(other);
        assert!(!pins.holds(PackId(1)) && !pins.holds(PackId(2)));
    }
}
