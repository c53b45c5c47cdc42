//! Slows down those who guess passwords and ids, or make many accounts: by account and by address, in memory.
//!
//! An attempt counts as a failure from its beginning, so that many at the same time are no more than many one after the other; success
//! takes that back. It forgets the failures of the one who succeeded, not those of everybody behind the same address: an own account
//! does not make its owner free to guess those of others.

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

/// For one person at one place.
const ONE: Pace = Pace { free: 5, wait_first_ms: 1_000, wait_max_ms: 60_000, forget_after_ms: 15 * 60_000 };
/// For everybody at one place.
const PLACE: Pace = Pace { free: 20, ..ONE };
/// For an account, wherever the attempts come from.
const EVERYWHERE: Pace = Pace { free: 50, ..ONE };
/// For accounts that strangers make: enough at once for everybody behind one address, few in the long run.
const NEW_ACCOUNTS: Pace =
    Pace { free: 20, wait_first_ms: 10_000, wait_max_ms: 10 * 60_000, forget_after_ms: 60 * 60_000 };
/// For strangers who knock: as often as a person can want to.
const KNOCKS: Pace = Pace { free: 10, wait_first_ms: 5_000, wait_max_ms: 10 * 60_000, forget_after_ms: 60 * 60_000 };
/// Names and addresses that are remembered; beyond that the one that was quiet longest is forgotten.
const KEYS_MAX: usize = 8192;

/// By what attempts are counted.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    name: String,
    pace: Pace,
    /// What success means for it.
    shared: bool,
}

impl Key {
    /// The user of that name at the place.
    pub(crate) fn user_at(user: &str, place: &str) -> Key {
        Key { name: format!("user {} at {place}", user.to_lowercase()), pace: ONE, shared: false }
    }

    /// The user of that name wherever they are.
    pub(crate) fn user(user: &str) -> Key {
        Key { name: format!("user {}", user.to_lowercase()), pace: EVERYWHERE, shared: true }
    }

    /// Everybody at the place.
    pub(crate) fn place(place: &str) -> Key {
        Key { name: place.to_owned(), pace: PLACE, shared: true }
    }

    /// Everybody at the place who names account ids.
    pub(crate) fn ids(place: &str) -> Key {
        Key { name: format!("ids at {place}"), pace: ONE, shared: true }
    }

    /// Everybody at the place who tries join codes.
    pub(crate) fn codes(place: &str) -> Key {
        Key { name: format!("codes at {place}"), pace: ONE, shared: true }
    }

    /// Everybody at the place who makes an account.
    pub(crate) fn new_accounts(place: &str) -> Key {
        Key { name: format!("new account at {place}"), pace: NEW_ACCOUNTS, shared: true }
    }

    /// The devices of an account.
    pub(crate) fn own(account: impl std::fmt::Display) -> Key {
        Key { name: format!("account {account}"), pace: ONE, shared: false }
    }

    /// Everybody at the place who knocks.
    pub(crate) fn knocks(place: &str) -> Key {
        Key { name: format!("knock at {place}"), pace: KNOCKS, shared: true }
    }

    /// The devices of an account that answer knocks.
    pub(crate) fn answers(account: impl std::fmt::Display) -> Key {
        Key { name: format!("answers of {account}"), pace: ONE, shared: false }
    }

    /// Who tries a join code.
    pub(crate) fn code(locator: u16) -> Key {
        Key { name: format!("code {locator}"), pace: ONE, shared: false }
    }
}

/// Who failed how often.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: Mutex<BTreeMap<String, Failures>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    last_ms: u64,
    /// The one before the last.
    before_ms: u64,
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
    /// Counts an attempt by all of these, or says how many milliseconds one of them must wait before the next.
    pub(crate) fn attempt(&self, keys: &[Key], now_ms: u64) -> Result<(), u64> {
        let mut failures = lock(&self.failures);
        let free_at_ms =
            keys.iter().filter_map(|key| Some(failures.get(&key.name)?.free_at_ms(&key.pace))).max().unwrap_or(0);
        if free_at_ms > now_ms {
            return Err(free_at_ms - now_ms);
        }
        for key in keys {
            if failures.len() >= KEYS_MAX && !failures.contains_key(&key.name) {
                let quietest = failures.iter().min_by_key(|(_, failures)| failures.last_ms);
                if let Some(quietest) = quietest.map(|(name, _)| name.clone()) {
                    failures.remove(&quietest);
                }
            }
            let known = failures.entry(key.name.clone()).or_default();
            if now_ms.saturating_sub(known.last_ms) > key.pace.forget_after_ms {
                known.count = 0;
            }
            *known = Failures { count: known.count.saturating_add(1), last_ms: now_ms, before_ms: known.last_ms };
        }
        Ok(())
    }

    /// An attempt was none of a guesser: it no longer counts, nor do the earlier ones of the same person.
    pub(crate) fn succeeded(&self, keys: &[Key]) {
        let mut failures = lock(&self.failures);
        for key in keys {
            let left = failures.get(&key.name).map_or(0, |known| known.count.saturating_sub(1));
            match failures.get_mut(&key.name) {
                Some(known) if key.shared && left > 0 => {
                    *known = Failures { count: left, last_ms: known.before_ms, ..*known }
                }
                _ => drop(failures.remove(&key.name)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_the_fifth_failure_and_end() {
        let backoff = Backoff::default();
        let keys = [Key::user_at("ada", "::1"), Key::place("::1")];
        for _ in 0..5 {
            assert_eq!(backoff.attempt(&keys, 1_000), Ok(()));
        }
        let mut now_ms = 1_000;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait_ms = backoff.attempt(&keys[..1], now_ms).unwrap_err();
            assert_eq!(backoff.attempt(&keys[..1], now_ms + wait_ms - 1), Err(1));
            now_ms += wait_ms;
            backoff.attempt(&keys[..1], now_ms).unwrap();
            waits.push(wait_ms);
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff.attempt(&keys[1..], now_ms), Ok(()), "others at the place go on");
        backoff.succeeded(&keys);
        assert_eq!(backoff.attempt(&keys, now_ms), Ok(()));
    }

    #[test]
    fn who_knows_one_password_is_not_free_to_guess_others() {
        let backoff = Backoff::default();
        let guess = |user: u32| backoff.attempt(&[Key::user_at(&user.to_string(), "a"), Key::place("a")], 1);
        for user in 0..PLACE.free {
            assert_eq!(guess(user), Ok(()));
            let own = [Key::user_at("eve", "a"), Key::place("a")];
            if backoff.attempt(&own, 1).is_ok() {
                backoff.succeeded(&own);
            }
        }
        assert_eq!(guess(99), Err(ONE.wait_first_ms));
    }

    #[test]
    fn memory_is_bounded_and_old_failures_are_forgotten() {
        let backoff = Backoff::default();
        for index in 0..KEYS_MAX as u64 + 10 {
            backoff.attempt(&[Key::place(&index.to_string())], index).unwrap();
        }
        assert_eq!(lock(&backoff.failures).len(), KEYS_MAX);
        assert!(!lock(&backoff.failures).contains_key("0"));
        let keys = [Key::user_at("late", "a")];
        for time in 0..9 {
            backoff.attempt(&keys, time * 100_000).unwrap();
        }
        assert_eq!(backoff.attempt(&keys, 20_000_000), Ok(()));
        assert_eq!(backoff.attempt(&keys, 20_000_000), Ok(()));
    }
}
