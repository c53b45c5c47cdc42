//! Signing a new device in by name and password.

use std::fmt::Write as _;
use std::sync::Arc;

use skep_blobstore::BlobStore;
use skep_metastore::{Account, Device, MetaStore, StoreError, Write};
use skep_platform::{Clock, Entropy, Lane, Tasks, offload};
use skep_protocol::{Code, ErrorReply, FrameStream, Joined, Reply, Request};
use skep_types::{AccountId, DeviceId, Timestamp};
use tokio::sync::Semaphore;

use crate::Service;
use crate::answer::{Frames, no_more, reply};
use crate::backoff::Backoff;
use crate::connections::CallRecord;
use crate::error::gone_refusal;
use crate::journal::summary;
use crate::password;
use crate::session::{TOKEN_PREFIX, token_hash};

/// Passwords that are hashed at the same time: each takes memory and a core.
const HASHES_MAX: usize = 2;
/// Joins that wait for one of them; the next is told to come back.
const JOINS_MAX: usize = 32;
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
    joins: Semaphore,
    backoff: Backoff,
}

impl Default for JoinGate {
    fn default() -> JoinGate {
        JoinGate {
            hashes: Arc::new(Semaphore::new(HASHES_MAX)),
            joins: Semaphore::new(JOINS_MAX),
            backoff: Backoff::default(),
        }
    }
}

/// What a device says of itself.
struct Introduction {
    name: String,
    platform: String,
    client_version: String,
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
        let name = device_name_of(&device_name)?;
        let introduction =
            Introduction { name, platform: clipped(&platform), client_version: clipped(&client_version) };
        let account = self.sign_in(&user, password, peer).await?;
        let joined = self.add_device(account.id, introduction).await?;
        record.joined(&joined);
        Ok(reply(&Reply::Joined(joined)))
    }

    /// The account of a name and password. Whether the name or the password is wrong shows in no answer and in no time.
    async fn sign_in(&self, user: &str, password: String, peer: &str) -> Result<Account, ErrorReply> {
        let gate = &self.inner.joins;
        let clock = &self.inner.parts.clock;
        let keys = [format!("user {}", user.to_lowercase()), format!("peer {}", host_of(peer))];
        let turned_away = |code, message: &str, wait_ms| {
            let mut refusal = ErrorReply::new(code, message);
            refusal.retry_after_ms = Some(wait_ms);
            refusal
        };
        if let Some(wait_ms) = gate.backoff.wait_ms(&keys, clock.monotonic_ms()) {
            return Err(turned_away(Code::RateLimit, "too many wrong passwords, wait a little", wait_ms));
        }
        let busy = |_| turned_away(Code::Busy, "too many devices join at once", 1_000);
        let _joining = gate.joins.try_acquire().map_err(busy)?;
        let name = user.to_owned();
        let account = self.read(move |read| read.account_by_name(&name)).await?;
        let account = account.filter(|account| !account.disabled);
        let stored = account.as_ref().and_then(|account| account.password_hash.clone());
        let right = self.hash_job(move || password::verify(&password, stored.as_deref())).await?;
        match account.filter(|_| right) {
            Some(account) => {
                gate.backoff.succeeded(&keys);
                Ok(account)
            }
            None => {
                gate.backoff.failed(&keys, clock.monotonic_ms());
                Err(ErrorReply::new(Code::SignIn, "unknown user or wrong password"))
            }
        }
    }

    /// Runs a job that hashes a password, not more than a few at once; the job counts until it ends, also if its caller goes away.
    async fn hash_job<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> Result<R, ErrorReply> {
        let permit = Arc::clone(&self.inner.joins.hashes).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let done = offload(&self.inner.parts.tasks, Lane::Hash, move || {
            let _permit = permit;
            job()
        });
        done.await.map_err(gone_refusal)
    }

    async fn add_device(&self, account: AccountId, introduction: Introduction) -> Result<Joined, ErrorReply> {
        let parts = &self.inner.parts;
        let token = new_token(&*parts.entropy);
        let id = DeviceId::from_bytes(parts.entropy.bytes());
        let hash = token_hash(&token).expect("it was made to be one");
        let now = parts.clock.now();
        let joined = self.write(move |tx| {
            let Some(device) = new_device(tx, account, id, hash, introduction, now)? else { return Ok(None) };
            tx.put_device(&device)?;
            let drives = tx.drives(account)?.iter().map(|drive| summary(tx, drive)).collect::<Result<_, _>>()?;
            Ok(Some(Joined { account, device: id, token, drives }))
        });
        joined.await?.ok_or_else(|| ErrorReply::new(Code::NotAllowed, "this account cannot have another device"))
    }
}

/// The row of a device that joins; `None` if the account was disabled meanwhile or has too many.
fn new_device(
    tx: &mut dyn Write,
    account: AccountId,
    id: DeviceId,
    token_hash: [u8; 32],
    introduction: Introduction,
    now: Timestamp,
) -> Result<Option<Device>, StoreError> {
    if tx.account(account)?.is_none_or(|account| account.disabled) {
        return Ok(None);
    }
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

fn device_name_of(name: &str) -> Result<String, ErrorReply> {
    let name = name.trim();
    let length = name.chars().count();
    if length == 0 || length > DEVICE_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        let message =
            format!("a device name has 1 to {DEVICE_NAME_CHARS_MAX} characters, none of them a control character");
        return Err(ErrorReply::new(Code::BadRequest, message));
    }
    Ok(name.to_owned())
}

/// A description as it is kept: short, without control characters.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(DESCRIPTION_CHARS_MAX).collect()
}

/// The address of a peer without its port.
fn host_of(peer: &str) -> &str {
    peer.rsplit_once(':').map_or(peer, |(host, _)| host)
}

fn new_token(entropy: &impl Entropy) -> String {
    let mut token = TOKEN_PREFIX.to_owned();
    for byte in entropy.bytes::<TOKEN_BYTES>() {
        write!(token, "{byte:02x}").expect("writing to a string cannot fail");
    }
    token
}
