//! Joins by code that are under way: between a device's first message and its last, in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use skep_metastore::JoinCodeRow;
use skep_protocol::{ExchangeId, Proof};

use crate::service::lock;

/// At a time; the next one ends the oldest.
const EXCHANGES_MAX: usize = 1024;
/// From the first message to the proof: nobody types in between.
const PROVE_WITHIN_MS: u64 = 60_000;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Exchanges(Mutex<BTreeMap<ExchangeId, Exchange>>);

#[derive(Debug)]
struct Exchange {
    code: JoinCodeRow,
    /// What the device must show; `None` once it has.
    expected: Option<Proof>,
    /// In monotonic milliseconds.
    ends_ms: u64,
}

impl Exchanges {
    /// Begins one: whoever shows `expected` within a minute knows the code.
    pub(crate) fn begin(&self, id: ExchangeId, code: JoinCodeRow, expected: Proof, now_ms: u64) {
        let mut exchanges = lock(&self.0);
        exchanges.retain(|_, exchange| exchange.ends_ms > now_ms);
        if exchanges.len() >= EXCHANGES_MAX {
            let oldest = exchanges.iter().min_by_key(|(_, exchange)| exchange.ends_ms).map(|(id, _)| *id);
            oldest.map(|oldest| exchanges.remove(&oldest));
        }
        let ends_ms = now_ms + PROVE_WITHIN_MS;
        exchanges.insert(id, Exchange { code, expected: Some(expected), ends_ms });
    }

    /// Takes a device's proof: the code, if it is right. An exchange takes one; what was proven may be gone on with for `goes_on_ms`.
    pub(crate) fn prove(&self, id: ExchangeId, proof: &Proof, now_ms: u64, goes_on_ms: u64) -> Option<JoinCodeRow> {
        let mut exchanges = lock(&self.0);
        let exchange = exchanges.get_mut(&id).filter(|exchange| exchange.ends_ms > now_ms)?;
        let is_right = exchange.expected.take().is_some_and(|expected| expected == *proof);
        if !is_right {
            exchanges.remove(&id);
            return None;
        }
        exchange.ends_ms = now_ms + goes_on_ms;
        Some(exchange.code.clone())
    }

    /// The code of an exchange that was proven.
    pub(crate) fn proven(&self, id: ExchangeId, now_ms: u64) -> Option<JoinCodeRow> {
        let exchanges = lock(&self.0);
        let exchange = exchanges.get(&id).filter(|exchange| exchange.ends_ms > now_ms)?;
        exchange.expected.is_none().then(|| exchange.code.clone())
    }

    /// Ends one.
    pub(crate) fn end(&self, id: ExchangeId) {
        lock(&self.0).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::{Exchange as Run, Fingerprint, JoinCode};
    use skep_types::Timestamp;

    use super::*;

    fn proof(seed: u8) -> Proof {
        let code = JoinCode::from_bytes([1; 8]);
        let (run, _) = Run::of_device(&code, Fingerprint([0; 32]), &[seed; 32]);
        let (_, message) = Run::of_server(&code, Fingerprint([0; 32]), &[9; 32]);
        run.finish(&message).expect("it is a message").device
    }

    fn code() -> JoinCodeRow {
        let time = Timestamp::default();
        JoinCodeRow { locator: 1, letters: [0; 8], account: None, user: None, made: time, ends: time, tries: 5 }
    }

    fn id(number: u16) -> ExchangeId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        ExchangeId(bytes)
    }

    #[test]
    fn an_exchange_takes_one_proof_and_goes_on_only_after_it() {
        let exchanges = Exchanges::default();
        exchanges.begin(id(1), code(), proof(1), 0);
        assert_eq!(exchanges.proven(id(1), 1), None);
        assert_eq!(exchanges.prove(id(1), &proof(2), 1, 100), None);
        assert_eq!(exchanges.prove(id(1), &proof(1), 1, 100), None, "the second proof comes too late");

        exchanges.begin(id(2), code(), proof(1), 0);
        assert_eq!(exchanges.prove(id(2), &proof(1), 10, 100), Some(code()));
        assert_eq!(exchanges.proven(id(2), 109), Some(code()));
        assert_eq!(exchanges.proven(id(2), 110), None);
        assert_eq!(exchanges.prove(id(2), &proof(1), 11, 100), None, "nor is a proof taken twice");
        assert_eq!(exchanges.proven(id(2), 12), None);

        exchanges.begin(id(3), code(), proof(1), 0);
        assert_eq!(exchanges.prove(id(3), &proof(1), PROVE_WITHIN_MS, 100), None);
    }

    #[test]
    fn there_are_never_too_many() {
        let exchanges = Exchanges::default();
        for number in 0..EXCHANGES_MAX as u16 + 5 {
            exchanges.begin(id(number), code(), proof(1), u64::from(number));
        }
        assert_eq!(lock(&exchanges.0).len(), EXCHANGES_MAX);
        assert!(!lock(&exchanges.0).contains_key(&id(4)));
        exchanges.begin(id(9999), code(), proof(1), 10 * PROVE_WITHIN_MS);
        assert_eq!(lock(&exchanges.0).len(), 1);
    }
}
