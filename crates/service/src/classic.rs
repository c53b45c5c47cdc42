//! The classic form of joining: an account's id is a secret that lets computers in, without name and password.
//!
//! The id is made by the first computer, which keeps it before it asks: an answer that is lost on the way makes no second account,
//! because the same id comes again. The server keeps only its hash. As with tokens that is a fast one: an id is not a password that
//! could be guessed from a dictionary, but 104 unpredictable bits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use skep_blobstore::BlobStore;
use skep_metastore::{Account, Drive, MetaStore, StoreError, Write};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{ClassicId, Code, ErrorReply, FrameStream, Introduction, Reply};
use skep_types::{AccountId, DriveId};

use crate::answer::{Frames, no_more, reply};
use crate::backoff::Key;
use crate::connections::CallRecord;
use crate::join::{accepted, place_of, turned_away};
use crate::session::Session;
use crate::{Service, ServiceError};

/// Sets these hashes apart from every other use of the hash function. Part of the database's format.
const HASH_CONTEXT: &str = "skep 1 classic account id";
/// Digits of the account's own id that stand in its name: as few as make it different.
const NAME_DIGITS: [usize; 3] = [4, 8, 32];

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// From now on whoever reaches this server may make an account.
    pub fn open_to_all(&self) {
        self.inner.joins.is_open.store(true, Ordering::Relaxed);
    }

    /// Gives the account of that name a new classic id. The one that it had, if any, no longer counts; its devices stay signed in.
    pub async fn new_classic_id(&self, name: &str) -> Result<ClassicId, ServiceError> {
        let id = ClassicId::from_bytes(self.inner.parts.entropy.bytes());
        let (hash, wanted) = (hash_of(&id), name.to_owned());
        let given = self.write(move |tx| match tx.account_by_name(&wanted)? {
            Some(account) => tx.put_classic_id(account.id, &hash).map(|()| true),
            None => Ok(false),
        });
        if given.await? { Ok(id) } else { Err(ServiceError::UnknownUser(name.to_owned())) }
    }

    /// Whether an account has a classic id.
    pub async fn has_classic_id(&self, account: AccountId) -> Result<bool, ServiceError> {
        self.read(move |read| Ok(read.classic_id(account)?.is_some())).await
    }

    /// [`skep_protocol::Request::NewAccount`].
    pub(crate) async fn connect_new_account(
        &self,
        id: &ClassicId,
        device: Introduction,
        peer: &str,
        record: &mut CallRecord,
    ) -> Result<Frames, ErrorReply> {
        let device = accepted(device)?;
        let hash = hash_of(id);
        let (gate, clock) = (&self.inner.joins, &self.inner.parts.clock);
        let place = place_of(peer);
        let keys = [Key::ids(&place), Key::place(&place)];
        let _joining = gate.enter(peer)?;
        gate.attempt(&keys, clock.monotonic_ms())?;
        let is_known = self.read(move |read| Ok(read.account_by_classic_id(&hash)?.is_some())).await?;
        if !is_known && !gate.is_open.load(Ordering::Relaxed) {
            // It tells that no account has this id, so it counts as a guess.
            return Err(ErrorReply::new(Code::NotOpen, "this server does not make accounts for those who ask"));
        }
        gate.attempts.succeeded(&keys);
        if !is_known {
            let made = gate.attempts.attempt(&[Key::new_accounts(&place)], clock.monotonic_ms());
            made.map_err(|wait_ms| turned_away(Code::RateLimit, "too many new accounts from this address", wait_ms))?;
        }
        let (account, home) = self.fresh_account(String::new(), None);
        let connected = self.add_device(device, move |tx| found_or_made(tx, &hash, account, &home).map(Some)).await?;
        record.joined(&connected.joined);
        Ok(reply(&Reply::Connected(connected)))
    }

    /// [`skep_protocol::Request::NewDevice`].
    pub(crate) async fn connect_new_device(
        &self,
        id: &ClassicId,
        device: Introduction,
        drive: Option<DriveId>,
        peer: &str,
        record: &mut CallRecord,
    ) -> Result<Frames, ErrorReply> {
        let device = accepted(device)?;
        let hash = hash_of(id);
        let (gate, place) = (&self.inner.joins, place_of(peer));
        let keys = [Key::ids(&place), Key::place(&place)];
        let _joining = gate.enter(peer)?;
        gate.attempt(&keys, self.inner.parts.clock.monotonic_ms())?;
        let found = self.read(move |read| {
            let account = read.account_by_classic_id(&hash)?.filter(|account| !account.disabled);
            let Some(account) = account else { return Ok(None) };
            let drives = read.drives(account.id)?;
            Ok(Some(drive.is_none_or(|shown| drives.iter().any(|own| own.id == shown))))
        });
        match found.await? {
            None => return Err(ErrorReply::new(Code::SignIn, "no account has this id")),
            Some(is_own) => {
                gate.attempts.succeeded(&keys);
                if !is_own {
                    return Err(ErrorReply::new(Code::NotFound, "the folder belongs to another account"));
                }
            }
        }
        // Asked once more: the id may have been replaced in between.
        let account_of = move |tx: &mut dyn Write| Ok(tx.account_by_classic_id(&hash)?.map(|account| account.id));
        let connected = self.add_device(device, account_of).await?;
        record.joined(&connected.joined);
        Ok(reply(&Reply::Connected(connected)))
    }

    /// [`skep_protocol::Request::CheckId`].
    pub(crate) async fn check_id(
        &self,
        session: &Arc<Session>,
        id: &ClassicId,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (gate, keys) = (&self.inner.joins, [Key::own(session.account)]);
        gate.attempt(&keys, self.inner.parts.clock.monotonic_ms())?;
        let (account, hash) = (session.account, hash_of(id));
        if self.read(move |read| Ok(read.classic_id(account)? == Some(hash))).await? {
            gate.attempts.succeeded(&keys);
            return Ok(reply(&Reply::Done));
        }
        Err(ErrorReply::new(Code::NotFound, "this is not the id of this device's account"))
    }

    /// [`skep_protocol::Request::ReplaceId`].
    pub(crate) async fn replace_id(
        &self,
        session: &Arc<Session>,
        id: &ClassicId,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (account, hash) = (session.account, hash_of(id));
        self.write(move |tx| tx.put_classic_id(account, &hash)).await?;
        Ok(reply(&Reply::Done))
    }
}

/// The account with the classic id of this hash; `fresh`, with a name of its own, if there is none.
fn found_or_made(
    tx: &mut dyn Write,
    hash: &[u8; 32],
    mut fresh: Account,
    home: &Drive,
) -> Result<AccountId, StoreError> {
    if let Some(known) = tx.account_by_classic_id(hash)? {
        return Ok(known.id);
    }
    let digits = fresh.id.to_string();
    for length in NAME_DIGITS {
        fresh.name = format!("account-{}", &digits[..length]);
        if tx.account_by_name(&fresh.name)?.is_none() {
            break;
        }
    }
    tx.put_account(&fresh)?;
    tx.put_drive(home)?;
    tx.put_classic_id(fresh.id, hash)?;
    Ok(fresh.id)
}

/// By which an id is stored.
fn hash_of(id: &ClassicId) -> [u8; 32] {
    blake3::derive_key(HASH_CONTEXT, id.as_bytes())
}
