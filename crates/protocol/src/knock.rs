//! A *knock*: a new computer that was given no code asks to be let in, and shows a code of its own making.
//!
//! A person reads the code there and types it on a computer that is signed in (or on the server), which *answers* the knock. The server
//! carries messages between the two and learns the code from neither: both run SPAKE2 over it, as with a [`JoinCode`] in the other
//! direction, each with the fingerprint of the key that it knows the server by. Whoever stands between the new computer and the server
//! with another key, or only guesses the code, has one try with each answer, and is found out.

use minicbor::{Decode, Encode};
use skep_types::Timestamp;
use spake2::{Ed25519Group, Identity, Password, Spake2};

use crate::proof::Seeded;
use crate::{Fingerprint, Introduction, JoinCode, Locator, PROOF_SEED_LEN, Proof, WrongMessage};

/// Each sets its use of the hash function apart from every other one. Part of the wire's format.
const APPROVER_CONTEXT: &str = "skep 1 knock: proof of who answers";
const NEWCOMER_CONTEXT: &str = "skep 1 knock: proof of who knocks";
const NEWCOMER_IDENTITY: &[u8] = b"skep newcomer of ";
const APPROVER_IDENTITY: &[u8] = b"skep approver of ";

/// What a knock is asked about by the computer that made it. Nobody else can guess it.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct KnockId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// What an answer is asked about by whoever gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct AnswerId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// One end's part of a run, after it has made its message. Each is good for one run.
pub struct KnockRun(Spake2<Ed25519Group>);

/// Both proofs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnockProofs {
    /// Whoever answers shows this one.
    pub approver: Proof,
    /// The new computer shows this one.
    pub newcomer: Proof,
}

/// What somebody says to a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Verdict {
    /// Come in.
    #[n(0)]
    Approved,
    /// Go away.
    #[n(1)]
    Denied,
}

/// A knock was heard.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Knocked {
    /// For what follows.
    #[n(0)]
    pub knock: KnockId,
    /// The public beginning of its code.
    #[n(1)]
    pub locator: Locator,
    /// How often to ask what has become of it.
    #[n(2)]
    pub poll_ms: u64,
    /// How long it counts.
    #[n(3)]
    pub valid_ms: u64,
}

/// What has become of a knock.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum KnockState {
    /// Nobody has answered yet.
    #[n(0)]
    Waiting,
    /// Somebody has, who knows the code only if the proof is right.
    #[n(1)]
    Answered {
        /// Their message of [`KnockRun`].
        #[cbor(n(0), with = "minicbor::bytes")]
        message: Vec<u8>,
        /// That of the approver.
        #[n(1)]
        proof: Proof,
        /// What they say.
        #[n(2)]
        verdict: Verdict,
    },
}

/// Who knocks, for those who may answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KnockSummary {
    /// What it says of itself.
    #[n(0)]
    pub device: Introduction,
    /// From where: address and port.
    #[n(1)]
    pub peer: String,
    /// Since when.
    #[n(2)]
    pub made: Timestamp,
    /// The same, by the server's clock.
    #[n(3)]
    pub age_ms: u64,
    /// The login name of the account that it wants to belong to, if it says so.
    #[n(4)]
    pub user: Option<String>,
}

/// A knock, to be answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OpenKnock {
    /// Who it is.
    #[n(0)]
    pub summary: KnockSummary,
    /// Its message of [`KnockRun`].
    #[cbor(n(1), with = "minicbor::bytes")]
    pub message: Vec<u8>,
    /// How often it was answered before: a message is good for one answer.
    #[n(2)]
    pub round: u32,
}

/// An answer to a knock.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KnockAnswer {
    /// To which message of the knock.
    #[n(0)]
    pub round: u32,
    /// The answering end's message of [`KnockRun`].
    #[cbor(n(1), with = "minicbor::bytes")]
    pub message: Vec<u8>,
    /// That of the approver, for the new computer to see.
    #[n(2)]
    pub proof: Proof,
    /// What the new computer must show to come in, for the server alone.
    #[n(3)]
    pub expected: Proof,
    /// What is said.
    #[n(4)]
    pub verdict: Verdict,
}

/// What has become of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum AnswerState {
    /// The new computer has not read it yet.
    #[n(0)]
    Waiting,
    /// It has come in.
    #[n(1)]
    Entered {
        /// What the server calls it.
        #[n(0)]
        device_name: String,
    },
    /// It knows that it may not.
    #[n(2)]
    TurnedAway,
    /// It shows another code, or sees another server key.
    #[n(3)]
    Wrong,
}

impl KnockRun {
    /// Begins on a new computer that shows this code and sees a server with this key. `seed` must be unpredictable and never be used
    /// again.
    pub fn of_newcomer(code: &JoinCode, seen: Fingerprint, seed: &[u8; PROOF_SEED_LEN]) -> (KnockRun, Vec<u8>) {
        let (newcomer, approver) = identities(seen);
        let (run, message) =
            Spake2::start_a_with_rng(&Password::new(code.secret()), &newcomer, &approver, Seeded::from(seed));
        (KnockRun(run), message)
    }

    /// Begins where the code was typed, by somebody who knows the server by this key.
    pub fn of_approver(code: &JoinCode, known: Fingerprint, seed: &[u8; PROOF_SEED_LEN]) -> (KnockRun, Vec<u8>) {
        let (newcomer, approver) = identities(known);
        let (run, message) =
            Spake2::start_b_with_rng(&Password::new(code.secret()), &newcomer, &approver, Seeded::from(seed));
        (KnockRun(run), message)
    }

    /// Ends with what the other end has sent: with the same proofs on both ends only if both began with the same.
    pub fn finish(self, message: &[u8]) -> Result<KnockProofs, WrongMessage> {
        let key = self.0.finish(message).map_err(|_| WrongMessage)?;
        let proof = |context| Proof(blake3::derive_key(context, &key));
        Ok(KnockProofs { approver: proof(APPROVER_CONTEXT), newcomer: proof(NEWCOMER_CONTEXT) })
    }
}

fn identities(server: Fingerprint) -> (Identity, Identity) {
    let of = |whom: &[u8]| Identity::new(&[whom, &server.0].concat());
    (of(NEWCOMER_IDENTITY), of(APPROVER_IDENTITY))
}

/// Hides the secret.
impl std::fmt::Debug for KnockId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KnockId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint([3; 32]);

    fn run(newcomer: (&str, Fingerprint), approver: (&str, Fingerprint)) -> (KnockProofs, KnockProofs) {
        let (there, to_approver) = KnockRun::of_newcomer(&newcomer.0.parse().unwrap(), newcomer.1, &[1; 32]);
        let (here, to_newcomer) = KnockRun::of_approver(&approver.0.parse().unwrap(), approver.1, &[2; 32]);
        (there.finish(&to_newcomer).unwrap(), here.finish(&to_approver).unwrap())
    }

    #[test]
    fn both_ends_agree_only_on_the_same_secret_and_the_same_key() {
        let (newcomer, approver) = run(("WDJB-MJHT", KEY), ("wdjb mjht", KEY));
        assert!(newcomer == approver && newcomer.newcomer != newcomer.approver);
        // The locator is the server's to choose, after the message was made.
        let (newcomer, approver) = run(("00JB-MJHT", KEY), ("WDJB-MJHT", KEY));
        assert_eq!(newcomer, approver);
        for (newcomer, approver) in
            [run(("WDJB-MJHT", KEY), ("WDJB-MJHS", KEY)), run(("WDJB-MJHT", Fingerprint([4; 32])), ("WDJB-MJHT", KEY))]
        {
            assert!(newcomer.newcomer != approver.newcomer && newcomer.approver != approver.approver);
        }
    }

    /// Devices and servers of different versions meet: what is sent and shown never changes.
    #[test]
    fn a_run_keeps_its_bytes() {
        let code: JoinCode = "WDJB-MJHT".parse().unwrap();
        let (there, to_approver) = KnockRun::of_newcomer(&code, KEY, &[1; 32]);
        let (_, to_newcomer) = KnockRun::of_approver(&code, KEY, &[2; 32]);
        let proofs = there.finish(&to_newcomer).unwrap();
        let told = [to_approver, to_newcomer, proofs.approver.0.to_vec(), proofs.newcomer.0.to_vec()].concat();
        assert_eq!(
            blake3::hash(&told).to_hex().as_str(),
            "e3a4d6d8b00f44b4bc0986c23122ec3a6763a9a220b7a2cf817087c4110b3e44"
        );
    }
}
