//! Who calls: devices by token, and how they are signed out at once.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::{Either, select};
use skep_metastore::{Read, StoreError};
use skep_protocol::{Code, ErrorReply};
use skep_types::{AccountId, DeviceId};
use tokio::sync::watch;

use crate::error::signed_out;
use crate::join::turned_away;
use crate::service::lock;

/// Devices that are remembered between calls, beyond those that are in use.
const SESSIONS_MAX: usize = 4096;
/// Calls and feeds of one device at the same time: several times what the client ever has.
const UNDER_WAY_MAX: usize = 64;
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 128;
/// What every token starts with, so that people and scanners know it for a secret.
pub(crate) const TOKEN_PREFIX: &str = "skd_";

/// One device that may call.
#[derive(Debug)]
pub(crate) struct Session {
    /// Which device.
    pub(crate) device: DeviceId,
    /// Whose.
    pub(crate) account: AccountId,
    /// When its last sign of life was noted, in monotonic milliseconds.
    pub(crate) noted_ms: AtomicU64,
    revoked: watch::Sender<bool>,
    under_way: AtomicUsize,
}

/// A call or feed of a device that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Session>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Session {
    /// One more call or feed, unless there are too many.
    pub(crate) fn turn(self: &Arc<Session>) -> Result<Turn, ErrorReply> {
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= UNDER_WAY_MAX {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            return Err(turned_away(Code::Busy, "this device asks for too much at once", 1_000));
        }
        Ok(Turn(Arc::clone(self)))
    }

    /// Completes when the device is signed out.
    pub(crate) async fn revoked(&self) {
        let mut revoked = self.revoked.subscribe();
        // The sender is in `self`, so this ends only with a revocation.
        let _ = revoked.wait_for(|revoked| *revoked).await;
    }

    /// Does `work` unless the device is signed out first.
    pub(crate) async fn unless_revoked<R>(
        &self,
        work: impl Future<Output = Result<R, ErrorReply>>,
    ) -> Result<R, ErrorReply> {
        match select(pin!(self.revoked()), pin!(work)).await {
            Either::Left(_) => Err(signed_out()),
            Either::Right((done, _)) => done,
        }
    }
}

/// The devices that have called, by the hash of their token.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_token: BTreeMap<[u8; 32], Arc<Session>>,
    /// Counts revocations: what was read from the store before one may be out of date.
    revocations: u64,
}

/// What is known of a token without asking the store.
pub(crate) enum Lookup {
    /// It counts.
    Known(Arc<Session>),
    /// Ask the store, then call [`Sessions::remember`] with this.
    Unknown {
        /// The count of revocations before the store was asked.
        revocations: u64,
    },
}

impl Sessions {
    /// The session of a token, if it is remembered.
    pub(crate) fn look_up(&self, token_hash: &[u8; 32]) -> Lookup {
        let known = lock(&self.0);
        match known.by_token.get(token_hash) {
            Some(session) => Lookup::Known(Arc::clone(session)),
            None => Lookup::Unknown { revocations: known.revocations },
        }
    }

    /// Remembers a device that the store knows; `None` if a revocation came in between, so that the store must be asked again.
    pub(crate) fn remember(
        &self,
        token_hash: [u8; 32],
        device: DeviceId,
        account: AccountId,
        revocations: u64,
    ) -> Option<Arc<Session>> {
        let mut known = lock(&self.0);
        if known.revocations != revocations {
            return None;
        }
        if known.by_token.len() >= SESSIONS_MAX {
            known.by_token.retain(|_, session| Arc::strong_count(session) > 1);
        }
        let session = known.by_token.entry(token_hash).or_insert_with(|| {
            let (noted_ms, under_way) = (AtomicU64::new(0), AtomicUsize::new(0));
            Arc::new(Session { device, account, noted_ms, revoked: watch::Sender::new(false), under_way })
        });
        Some(Arc::clone(session))
    }

    /// The devices that are remembered.
    pub(crate) fn devices(&self) -> BTreeSet<DeviceId> {
        lock(&self.0).by_token.values().map(|session| session.device).collect()
    }

    /// Forgets a device and ends what it has under way.
    pub(crate) fn revoke(&self, device: DeviceId) {
        let mut known = lock(&self.0);
        known.revocations += 1;
        known.by_token.retain(|_, session| {
            let stays = session.device != device;
            if !stays {
                session.revoked.send_replace(true);
            }
            stays
        });
    }
}

/// The hash by which a token is stored; `None` for what cannot be a token.
pub(crate) fn token_hash(token: &str) -> Option<[u8; 32]> {
    let plausible = token.starts_with(TOKEN_PREFIX) && token.len() <= TOKEN_BYTES_MAX;
    plausible.then(|| *blake3::hash(token.as_bytes()).as_bytes())
}

/// Whether the device may still do anything: it is not signed out and its account not disabled.
pub(crate) fn may_call(read: &(impl Read + ?Sized), device: DeviceId) -> Result<bool, StoreError> {
    let Some(device) = read.device(device)? else { return Ok(false) };
    if device.revoked {
        return Ok(false);
    }
    Ok(read.account(device.account)?.is_some_and(|account| !account.disabled))
}
