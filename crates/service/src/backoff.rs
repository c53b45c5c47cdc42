//! Slows down those who guess passwords and ids, or make many accounts: by account and by address, in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::service::lock;

/// What is free, and how the waits grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// So many cost nothing.
    free: u32,
    /// The wait after the first one that costs; doubles with each further one,
    wait_first_ms: u64,
    /// up to this.
    wait_max_ms: u64,
    /// All are forgotten after so long without another one.
    forget_after_ms: u64,
}

/// For wrong passwords and ids.
pub(crate) const GUESSES: Pace =
    Pace { free: 5, wait_first_ms: 1_000, wait_max_ms: 60_000, forget_after_ms: 15 * 60_000 };
/// For accounts that strangers make: enough at once for everybody behind one address, few in the long run.
pub(crate) const NEW_ACCOUNTS: Pace =
    Pace { free: 20, wait_first_ms: 10_000, wait_max_ms: 10 * 60_000, forget_after_ms: 60 * 60_000 };
/// Names and addresses that are remembered; beyond that the one that was quiet longest is forgotten.
const KEYS_MAX: usize = 4096;

/// Who failed how often.
#[derive(Debug)]
pub(crate) struct Backoff {
    pace: Pace,
    failures: Mutex<BTreeMap<String, Failures>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    last_ms: u64,
}

impl Failures {
    fn free_at_ms(&self, pace: &Pace) -> u64 {
        match self.count.checked_sub(pace.free) {
            None => 0,
            Some(beyond) => self.last_ms + pace.wait_first_ms.saturating_mul(1 << beyond.min(16)).min(pace.wait_max_ms),
        }
    }
}

impl Backoff {
    /// Nobody has failed yet.
    pub(crate) fn new(pace: Pace) -> Backoff {
        Backoff { pace, failures: Mutex::default() }
    }

    /// How long any of these must wait before the next attempt, if at all.
    pub(crate) fn wait_ms(&self, keys: &[String], now_ms: u64) -> Option<u64> {
        let failures = lock(&self.failures);
        let free_at_ms =
            keys.iter().filter_map(|key| failures.get(key)).map(|known| known.free_at_ms(&self.pace)).max()?;
        free_at_ms.checked_sub(now_ms).filter(|wait_ms| *wait_ms > 0)
    }

    /// Notes a failure.
    pub(crate) fn failed(&self, keys: &[String], now_ms: u64) {
        let mut failures = lock(&self.failures);
        for key in keys {
            if failures.len() >= KEYS_MAX && !failures.contains_key(key) {
                let quietest = failures.iter().min_by_key(|(_, failures)| failures.last_ms);
                if let Some(quietest) = quietest.map(|(key, _)| key.clone()) {
                    failures.remove(&quietest);
                }
            }
            let known = failures.entry(key.clone()).or_default();
            if now_ms.saturating_sub(known.last_ms) > self.pace.forget_after_ms {
                known.count = 0;
            }
            *known = Failures { count: known.count.saturating_add(1), last_ms: now_ms };
        }
    }

    /// Forgets the failures of someone who knew the password.
    pub(crate) fn succeeded(&self, keys: &[String]) {
        let mut failures = lock(&self.failures);
        for key in keys {
            failures.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_the_fifth_failure_and_end() {
        let backoff = Backoff::new(GUESSES);
        let keys = ["user ada".to_owned(), "peer ::1".to_owned()];
        for _ in 0..4 {
            backoff.failed(&keys, 1_000);
            assert_eq!(backoff.wait_ms(&keys, 1_000), None);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff.failed(&keys[..1], 1_000);
            waits.push(backoff.wait_ms(&keys, 1_000));
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].map(Some));
        assert_eq!(backoff.wait_ms(&keys[1..], 1_000), None);
        assert_eq!(backoff.wait_ms(&keys, 61_000), None);
        backoff.succeeded(&keys);
        assert_eq!(backoff.wait_ms(&keys, 1_000), None);
    }

    #[test]
    fn memory_is_bounded_and_old_failures_are_forgotten() {
        let backoff = Backoff::new(GUESSES);
        for index in 0..KEYS_MAX as u64 + 10 {
            backoff.failed(&[index.to_string()], index);
        }
        assert_eq!(lock(&backoff.failures).len(), KEYS_MAX);
        assert!(!lock(&backoff.failures).contains_key("0"));
        let keys = ["late".to_owned()];
        (0..9).for_each(|_| backoff.failed(&keys, 10_000));
        backoff.failed(&keys, 20_000_000);
        assert_eq!(backoff.wait_ms(&keys, 20_000_000), None);
    }
}
