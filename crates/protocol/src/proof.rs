//! How a device and a server prove to each other that both know a join code, without telling it to anybody who does not.
//!
//! SPAKE2 over Ed25519: each end sends one message, and from both comes a key that is the same only if both put in the same code and the
//! same fingerprint. The device puts in the fingerprint of the key that it *saw* in the TLS handshake, the server its own: whoever stands
//! in between with another key is found out. From a run, an end that does not know the code learns whether one guess was right, no more.
//! From the key come two proofs, one for each end; the server's goes first.

use minicbor::{Decode, Encode};
use spake2::rand_core::{TryCryptoRng, TryRng};
use spake2::{Ed25519Group, Identity, Password, Spake2};

use crate::{Fingerprint, JoinCode};

/// Unpredictable bytes that each end needs.
pub const PROOF_SEED_LEN: usize = 32;

/// Each sets its use of the hash function apart from every other one. Part of the wire's format.
const SEED_CONTEXT: &str = "skep 1 join code: seed of one run";
const SERVER_CONTEXT: &str = "skep 1 join code: proof of the server";
const DEVICE_CONTEXT: &str = "skep 1 join code: proof of the device";
/// Stands for the device in the run; for the server stands its fingerprint.
const DEVICE_IDENTITY: &[u8] = b"skep device";
const SERVER_IDENTITY: &[u8] = b"skep server ";

/// One end's part of a run, after it has made its message. Each is good for one run.
pub struct Exchange(Spake2<Ed25519Group>);

/// What shows that an end knows the code, and which key is in use.
#[derive(Clone, Copy, Eq, Encode, Decode)]
pub struct Proof(#[cbor(n(0), with = "minicbor::bytes")] pub(crate) [u8; 32]);

/// Both proofs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proofs {
    /// The server shows this one.
    pub server: Proof,
    /// The device shows this one.
    pub device: Proof,
}

/// The other end's message is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no message of a join by code")]
pub struct WrongMessage;

impl Exchange {
    /// Begins on a device that sees a server with this key. `seed` must be unpredictable and never be used again.
    pub fn of_device(code: &JoinCode, seen: Fingerprint, seed: &[u8; PROOF_SEED_LEN]) -> (Exchange, Vec<u8>) {
        let (device, server) = identities(seen);
        let (run, message) =
            Spake2::start_a_with_rng(&Password::new(code.letters()), &device, &server, Seeded::from(seed));
        (Exchange(run), message)
    }

    /// Begins on the server whose key has this fingerprint.
    pub fn of_server(code: &JoinCode, own: Fingerprint, seed: &[u8; PROOF_SEED_LEN]) -> (Exchange, Vec<u8>) {
        let (device, server) = identities(own);
        let (run, message) =
            Spake2::start_b_with_rng(&Password::new(code.letters()), &device, &server, Seeded::from(seed));
        (Exchange(run), message)
    }

    /// Ends with what the other end has sent: with the same proofs on both ends only if both began with the same.
    pub fn finish(self, message: &[u8]) -> Result<Proofs, WrongMessage> {
        let key = self.0.finish(message).map_err(|_| WrongMessage)?;
        let proof = |context| Proof(blake3::derive_key(context, &key));
        Ok(Proofs { server: proof(SERVER_CONTEXT), device: proof(DEVICE_CONTEXT) })
    }
}

fn identities(server: Fingerprint) -> (Identity, Identity) {
    (Identity::new(DEVICE_IDENTITY), Identity::new(&[SERVER_IDENTITY, &server.0].concat()))
}

/// Sets this use of the hash function apart from every other one. Part of the database's format.
const HASH_CONTEXT: &str = "skep 1 proof, as it is kept";

impl Proof {
    /// By which a proof is kept that is still to be shown.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key(HASH_CONTEXT, &self.0)
    }

    /// One that was kept to be shown to somebody else.
    pub fn from_kept(bytes: [u8; 32]) -> Proof {
        Proof(bytes)
    }

    /// Its bytes, to be shown to somebody else later.
    pub fn to_keep(&self) -> [u8; 32] {
        self.0
    }
}

/// Takes as long wherever the difference is.
impl PartialEq for Proof {
    fn eq(&self, other: &Proof) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

/// Hides what would be as good as the code.
impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof(…)")
    }
}

/// Bytes that follow from a seed: this crate has no chance of its own.
pub(crate) struct Seeded(blake3::OutputReader);

impl From<&[u8; PROOF_SEED_LEN]> for Seeded {
    fn from(seed: &[u8; PROOF_SEED_LEN]) -> Seeded {
        Seeded(blake3::Hasher::new_derive_key(SEED_CONTEXT).update(seed).finalize_xof())
    }
}

impl Seeded {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

impl TryRng for Seeded {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_le_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Fingerprint = Fingerprint([3; 32]);

    fn code(text: &str) -> JoinCode {
        text.parse().unwrap()
    }

    fn run(device: (&str, Fingerprint), server: (&str, Fingerprint)) -> (Proofs, Proofs) {
        let (on_device, to_server) = Exchange::of_device(&code(device.0), device.1, &[1; 32]);
        let (on_server, to_device) = Exchange::of_server(&code(server.0), server.1, &[2; 32]);
        (on_device.finish(&to_device).unwrap(), on_server.finish(&to_server).unwrap())
    }

    #[test]
    fn both_ends_agree_only_on_the_same_code_and_the_same_key() {
        let (device, server) = run(("7Q4K-92MD", KEY), ("7q4k92md", KEY));
        assert!(device == server && device.server != device.device);
        let other_key = Fingerprint([4; 32]);
        for (device, server) in [
            run(("7Q4K-92MD", KEY), ("7Q4K-92ME", KEY)),
            run(("7Q4K-92MD", KEY), ("8Q4K-92MD", KEY)),
            run(("7Q4K-92MD", other_key), ("7Q4K-92MD", KEY)),
        ] {
            assert!(device.server != server.server && device.device != server.device);
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let begin = || Exchange::of_device(&code("7Q4K-92MD"), KEY, &[1; 32]);
        let (_, own) = begin();
        let no_point = [&[0x42, 2][..], &[0; 31]].concat();
        for message in [&[][..], &own, &[0x42; 32], &[0x42; 34], &no_point] {
            assert_eq!(begin().0.finish(message).err(), Some(WrongMessage), "{message:?}");
        }
    }

    /// Devices and servers of different versions meet: what is sent and shown never changes.
    #[test]
    fn a_run_keeps_its_bytes() {
        let (on_device, to_server) = Exchange::of_device(&code("7Q4K-92MD"), KEY, &[1; 32]);
        let (_, to_device) = Exchange::of_server(&code("7Q4K-92MD"), KEY, &[2; 32]);
        let proofs = on_device.finish(&to_device).unwrap();
        let told = [to_server, to_device, proofs.server.0.to_vec(), proofs.device.0.to_vec()].concat();
        assert_eq!(
            blake3::hash(&told).to_hex().as_str(),
            "99b237cb88df2d9826fc544276ada6e3c90058b83461f7f9f09e82be548f430c"
        );
    }
}
