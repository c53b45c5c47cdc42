//! Signing a new device in by name and password.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use skep_blobstore::BlobStore;
use skep_metastore::{Account, Device, MetaStore, StoreError, Write};
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_protocol::{Code, Connected, ErrorReply, FrameStream, Introduction, Joined, Reply, Request};
use skep_types::{AccountId, DeviceId, Timestamp};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Service;
use crate::accounts::misleads;
use crate::answer::{Frames, no_more, reply};
use crate::backoff::{Backoff, Key};
use crate::connections::CallRecord;
use crate::error::gone_refusal;
use crate::journal::summary;
use crate::password::{self, Memory};
use crate::service::lock;
use crate::session::{TOKEN_PREFIX, token_hash};

/// Passwords that are hashed at the same time: each takes memory and a core.
const HASHES_MAX: usize = 2;
/// Joins that wait for one of them; the next is told to come back.
const JOINS_MAX: usize = 32;
/// The same for those who come from one place.
const JOINS_OF_ONE_PLACE_MAX: u32 = 8;
/// Places that are remembered as those of an account's devices; beyond that the one that was quiet longest is forgotten.
const PLACES_MAX: usize = 4096;
/// Longest login name or password that is looked at.
const CREDENTIAL_BYTES_MAX: usize = 1024;
/// Longest name of a device, in characters.
const DEVICE_NAME_CHARS_MAX: usize = 64;
/// Longest description that is kept of a device's system and program, in characters.
const DESCRIPTION_CHARS_MAX: usize = 100;
/// Devices of one account that are signed in.
const DEVICES_MAX: usize = 1000;
/// Unpredictable bytes of a token.
const TOKEN_BYTES: usize = 32;

/// Bounds what joining costs.
#[derive(Debug)]
pub(crate) struct JoinGate {
    hashes: Arc<Semaphore>,
    /// What hashes are made in: as many as are made at the same time, at most.
    memories: Arc<Mutex<Vec<Memory>>>,
    joins: Semaphore,
    joining: Mutex<BTreeMap<String, u32>>,
    /// From where devices of an account have called, and when.
    places: Mutex<BTreeMap<(AccountId, String), u64>>,
    /// Of those who guess, and of those who make accounts.
    pub(crate) attempts: Backoff,
    /// Whoever asks may make an account.
    pub(crate) is_open: AtomicBool,
}

impl Default for JoinGate {
    fn default() -> JoinGate {
        JoinGate {
            hashes: Arc::new(Semaphore::new(HASHES_MAX)),
            joins: Semaphore::new(JOINS_MAX),
            memories: Arc::default(),
            joining: Mutex::default(),
            places: Mutex::default(),
            attempts: Backoff::default(),
            is_open: AtomicBool::new(false),
        }
    }
}

/// One who joins; the turn of the next comes when it is dropped.
#[derive(Debug)]
pub(crate) struct Joining<'a> {
    gate: &'a JoinGate,
    place: String,
    _turn: SemaphorePermit<'a>,
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        let mut joining = lock(&self.gate.joining);
        match joining.get_mut(&self.place) {
            Some(others) if *others > 1 => *others -= 1,
            _ => drop(joining.remove(&self.place)),
        }
    }
}

impl JoinGate {
    /// A turn among those who join at the same time: nobody at one place takes all of them.
    pub(crate) fn enter(&self, peer: &str) -> Result<Joining<'_>, ErrorReply> {
        let busy = || turned_away(Code::Busy, "too many devices join at once", 1_000);
        let place = place_of(peer);
        let mut joining = lock(&self.joining);
        if joining.get(&place).is_some_and(|others| *others >= JOINS_OF_ONE_PLACE_MAX) {
            return Err(busy());
        }
        let turn = self.joins.try_acquire().map_err(|_| busy())?;
        *joining.entry(place.clone()).or_default() += 1;
        Ok(Joining { gate: self, place, _turn: turn })
    }

    /// A device of the account has called from there.
    pub(crate) fn note_place(&self, account: AccountId, peer: &str, now_ms: u64) {
        let mut places = lock(&self.places);
        places.insert((account, place_of(peer)), now_ms);
        if places.len() > PLACES_MAX {
            let quietest = places.iter().min_by_key(|(_, at_ms)| **at_ms).map(|(place, _)| place.clone());
            quietest.map(|quietest| places.remove(&quietest));
        }
    }

    /// How attempts to sign in are counted. Where devices of the account are, its owner may be too: there, those who guess elsewhere do
    /// not hold up anybody.
    fn keys_of(&self, user: &str, account: Option<&Account>, peer: &str) -> Vec<Key> {
        let place = place_of(peer);
        let mut keys = vec![Key::user_at(user, &place), Key::place(&place)];
        let places = lock(&self.places);
        if !account.is_some_and(|account| places.contains_key(&(account.id, place))) {
            keys.push(Key::user(user));
        }
        keys
    }

    /// Counts an attempt, or refuses it for now.
    pub(crate) fn attempt(&self, keys: &[Key], now_ms: u64) -> Result<(), ErrorReply> {
        let refused =
            |wait_ms| turned_away(Code::RateLimit, "too many wrong passwords, ids or codes, wait a little", wait_ms);
        self.attempts.attempt(keys, now_ms).map_err(refused)
    }
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`Request::Join`].
    pub(crate) async fn join(
        &self,
        request: Request,
        peer: &str,
        mut body: FrameStream,
        record: &mut CallRecord,
    ) -> Result<Frames, ErrorReply> {
        let Request::Join { user, password, device_name, platform, client_version } = request else {
            return Err(ErrorReply::new(Code::BadRequest, "this is no join"));
        };
        no_more(&mut body).await?;
        if user.len().max(password.len()) > CREDENTIAL_BYTES_MAX {
            return Err(ErrorReply::new(Code::TooLarge, "the name or the password is too long"));
        }
        let introduction = accepted(Introduction { name: device_name, platform, client_version })?;
        let account = self.sign_in(&user, password, peer).await?;
        let Connected { joined, .. } = self.add_device(introduction, move |_| Ok(Some(account.id))).await?;
        record.joined(&joined);
        Ok(reply(&Reply::Joined(joined)))
    }

    /// The account of a name and password. Whether the name or the password is wrong shows in no answer and in no time.
    async fn sign_in(&self, user: &str, password: String, peer: &str) -> Result<Account, ErrorReply> {
        let gate = &self.inner.joins;
        let clock = &self.inner.parts.clock;
        let _joining = gate.enter(peer)?;
        let name = user.to_owned();
        let account = self.read(move |read| read.account_by_name(&name)).await?;
        let account = account.filter(|account| !account.disabled);
        let keys = gate.keys_of(user, account.as_ref(), peer);
        gate.attempt(&keys, clock.monotonic_ms())?;
        let stored = account.as_ref().and_then(|account| account.password_hash.clone());
        let right = self.hash_job(move |memory| password::verify(&password, stored.as_deref(), memory)).await?;
        match account.filter(|_| right) {
            Some(account) => {
                gate.attempts.succeeded(&keys);
                gate.note_place(account.id, peer, clock.monotonic_ms());
                Ok(account)
            }
            None => Err(ErrorReply::new(Code::SignIn, "unknown user or wrong password")),
        }
    }

    /// Runs a job that hashes a password, not more than a few at once; the job counts until it ends, also if its caller goes away.
    pub(crate) async fn hash_job<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Memory) -> R + Send + 'static,
    ) -> Result<R, ErrorReply> {
        let permit = Arc::clone(&self.inner.joins.hashes).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let memories = Arc::clone(&self.inner.joins.memories);
        let done = offload(&self.inner.parts.tasks, Lane::Hash, move || {
            let _permit = permit;
            let mut memory = lock(&memories).pop().unwrap_or_default();
            let done = job(&mut memory);
            lock(&memories).push(memory);
            done
        });
        done.await.map_err(gone_refusal)
    }

    /// Adds a device to the account that `account_of` finds or makes, in one transaction with it.
    pub(crate) async fn add_device(
        &self,
        introduction: Introduction,
        account_of: impl FnOnce(&mut dyn Write) -> Result<Option<AccountId>, StoreError> + Send + 'static,
    ) -> Result<Connected, ErrorReply> {
        self.add_device_and(introduction, account_of, |_, _| Ok(())).await
    }

    /// The same, and `then` in the same transaction.
    pub(crate) async fn add_device_and(
        &self,
        introduction: Introduction,
        account_of: impl FnOnce(&mut dyn Write) -> Result<Option<AccountId>, StoreError> + Send + 'static,
        then: impl FnOnce(&mut dyn Write, &Connected) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Connected, ErrorReply> {
        let parts = &self.inner.parts;
        let token = new_token(&*parts.entropy);
        let id = DeviceId::from_bytes(parts.entropy.bytes());
        let hash = token_hash(&token).expect("it was made to be one");
        let now = parts.clock.now();
        let connected = self.write(move |tx| {
            let Some(account) = account_of(tx)? else { return Ok(None) };
            let Some(account) = tx.account(account)?.filter(|account| !account.disabled) else { return Ok(None) };
            let Some(device) = new_device(tx, account.id, id, hash, introduction, now)? else { return Ok(None) };
            tx.put_device(&device)?;
            let drives = tx.drives(account.id)?.iter().map(|drive| summary(tx, drive)).collect::<Result<_, _>>()?;
            let joined = Joined { account: account.id, device: id, token, drives };
            let connected = Connected { joined, account_name: account.name, device_name: device.name };
            then(tx, &connected)?;
            Ok(Some(connected))
        });
        connected.await?.ok_or_else(|| ErrorReply::new(Code::NotAllowed, "this account cannot have another device"))
    }
}

/// The row of a device that joins; `None` if the account has too many.
fn new_device(
    tx: &mut dyn Write,
    account: AccountId,
    id: DeviceId,
    token_hash: [u8; 32],
    introduction: Introduction,
    now: Timestamp,
) -> Result<Option<Device>, StoreError> {
    if tx.device(id)?.is_some() {
        return Err(StoreError::Exists(format!("device {id}")));
    }
    let devices = tx.devices(account)?;
    if devices.iter().filter(|device| !device.revoked).count() >= DEVICES_MAX {
        return Ok(None);
    }
    let Introduction { name, platform, client_version } = introduction;
    let name = free_name(name, &devices);
    Ok(Some(Device {
        id,
        account,
        name,
        platform,
        client_version,
        token_hash,
        created: now,
        last_seen: now,
        revoked: false,
    }))
}

/// The name, or the name and the first number from 2 with which no device has it.
fn free_name(name: String, devices: &[Device]) -> String {
    let taken = |name: &str| devices.iter().any(|device| device.name.to_lowercase() == name.to_lowercase());
    if !taken(&name) {
        return name;
    }
    let numbered = (2..).map(|number| format!("{name} {number}")).find(|name| !taken(name));
    numbered.expect("there are more numbers than devices")
}

/// What is kept of what a device says of itself.
pub(crate) fn accepted(introduction: Introduction) -> Result<Introduction, ErrorReply> {
    let name = introduction.name.trim();
    let length = name.chars().count();
    if length == 0 || length > DEVICE_NAME_CHARS_MAX || name.chars().any(misleads) {
        let message =
            format!("a device name has 1 to {DEVICE_NAME_CHARS_MAX} characters, none of them a control character");
        return Err(ErrorReply::new(Code::BadRequest, message));
    }
    Ok(Introduction {
        name: name.to_owned(),
        platform: clipped(&introduction.platform),
        client_version: clipped(&introduction.client_version),
    })
}

/// A refusal for now.
pub(crate) fn turned_away(code: Code, message: &str, wait_ms: u64) -> ErrorReply {
    ErrorReply { code, message: message.to_owned(), retry_after_ms: Some(wait_ms) }
}

/// A description as it is kept: short, without control characters.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().filter(|letter| !misleads(*letter)).take(DESCRIPTION_CHARS_MAX).collect()
}

/// As what is counted who comes from there: the address without its port; of IPv6 the first half, because whoever has one address
/// has all others of that half.
pub fn place_of(peer: &str) -> String {
    match peer.parse::<SocketAddr>().map(|address| address.ip().to_canonical()) {
        Ok(IpAddr::V6(address)) => format!("{:x}::/64", address.to_bits() >> 64),
        Ok(address) => address.to_string(),
        Err(_) => peer.to_owned(),
    }
}

fn new_token(entropy: &impl Entropy) -> String {
    let mut token = TOKEN_PREFIX.to_owned();
    for byte in entropy.bytes::<TOKEN_BYTES>() {
        write!(token, "{byte:02x}").expect("writing to a string cannot fail");
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_counted_by_what_one_person_can_have() {
        assert_eq!(place_of("192.0.2.7:5000"), place_of("192.0.2.7:6000"));
        assert_eq!(place_of("192.0.2.7:5000"), place_of("[::ffff:192.0.2.7]:5000"));
        assert_ne!(place_of("192.0.2.7:5000"), place_of("192.0.2.8:5000"));
        assert_eq!(place_of("[2001:db8:1:2::1]:1"), place_of("[2001:db8:1:2:ffff::9]:2"));
        assert_ne!(place_of("[2001:db8:1:2::1]:1"), place_of("[2001:db8:1:3::1]:1"));
        assert_eq!(place_of("a name"), "a name");
    }
}
