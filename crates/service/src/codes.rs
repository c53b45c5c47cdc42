//! Join codes: made for an account's next device or for a new account, used once.
//!
//! A device that was given a code sends the public beginning of it and a message of [`Exchange`]; the answer is the same whether such a code
//! is open or not, because a code that nobody has stands in for one that is missing. It proves to know the code, then says as whom it
//! comes. What a stranger may try is bounded three times: each code counts five exchanges that were begun, whoever began them; each
//! address and each locator must wait after failures; and few codes are open at a time. With 30 secret bits, all tries at all codes that can be
//! open guess one of them with a chance of less than one in a million.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use skep_blobstore::BlobStore;
use skep_metastore::{JoinCodeRow, MetaStore, Read, StoreError, Write};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{
    Code, CodeTask, ErrorReply, Exchange, ExchangeId, Fingerprint, FrameStream, Introduction, JoinCode, Locator,
    NewCode, Proof, Reply,
};
use skep_types::{AccountId, DriveId, Timestamp};

use crate::answer::{Frames, no_more, reply};
use crate::backoff::Key;
use crate::connections::CallRecord;
use crate::exchanges::Exchanges;
use crate::join::{accepted, place_of};
use crate::session::Session;
use crate::{Service, ServiceError};

/// How long a code counts.
const VALID_MS: u64 = 15 * 60_000;
/// How many exchanges may be begun with a code.
const TRIES: u32 = 5;
/// Codes that are open at a time.
const CODES_MAX: usize = 128;
/// Codes that are open for one account, or for new accounts; the next one takes the place of the oldest.
const CODES_OF_ONE_MAX: usize = 8;

/// What people know the server by, and what devices do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doorplate {
    name: String,
    /// Unknown where a proxy has a certificate that nobody named; then no code can be used.
    key: Option<Fingerprint>,
}

/// What joining by code needs beside the store.
#[derive(Debug, Default)]
pub(crate) struct CodeDesk {
    doorplate: Mutex<Doorplate>,
    exchanges: Exchanges,
}

/// Whom a code was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// Another device of an account that there is.
    NewDevice,
    /// Whoever makes an account.
    NewAccount,
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// What people call this server, and by which key devices know it.
    pub fn introduce_as(&self, name: &str, key: Option<Fingerprint>) {
        let doorplate = Doorplate { name: name.to_owned(), key };
        *self.inner.codes.doorplate.lock().unwrap_or_else(PoisonError::into_inner) = doorplate;
    }

    /// A code that makes the server's first account; it replaces one that was not used. [`ServiceError::HasAccounts`] once there is one.
    pub async fn make_setup_code(&self) -> Result<JoinCode, ServiceError> {
        let made = self.keep_code(|tx| {
            if !tx.accounts()?.is_empty() {
                return Ok(None);
            }
            for old in tx.join_codes()? {
                tx.remove_join_code(old.locator)?;
            }
            Ok(Some((None, None)))
        });
        made.await?.ok_or(ServiceError::HasAccounts)
    }

    /// A code for the account of that name, if there is one; else one that makes an account, of that name if one is given.
    pub async fn make_invitation(&self, user: Option<&str>) -> Result<(JoinCode, Invited), ServiceError> {
        user.map_or(Ok(()), crate::accounts::check_user_name)?;
        let wanted = user.map(str::to_owned);
        let account = match user.map(str::to_owned) {
            Some(user) => self.read(move |read| read.account_by_name(&user)).await?,
            None => None,
        };
        let invited = if account.is_some() { Invited::NewDevice } else { Invited::NewAccount };
        let made = match account {
            Some(account) => self.keep_code(move |_| Ok(Some((Some(account.id), None)))).await?,
            None => self.keep_code(move |_| Ok(Some((None, wanted)))).await?,
        };
        Ok((made.expect("it was not refused"), invited))
    }

    /// [`skep_protocol::Request::MakeCode`].
    pub(crate) async fn make_code(&self, session: &Arc<Session>, mut body: FrameStream) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        self.own_key()?;
        let account = session.account;
        let code = self.keep_code(move |_| Ok(Some((Some(account), None)))).await?;
        let code = code.expect("it was not refused");
        Ok(reply(&Reply::Code(NewCode { code, valid_ms: VALID_MS })))
    }

    /// Keeps a new code for the account or the user name that `whom` gives, or none if it gives nothing.
    async fn keep_code(
        &self,
        whom: impl FnOnce(&mut dyn Write) -> Result<Option<(Option<AccountId>, Option<String>)>, StoreError>
        + Send
        + 'static,
    ) -> Result<Option<JoinCode>, ServiceError> {
        let parts = &self.inner.parts;
        let fresh = JoinCode::from_bytes(parts.entropy.bytes());
        let now = parts.clock.now();
        self.write(move |tx| {
            let Some((account, user)) = whom(tx)? else { return Ok(None) };
            let locator = free_locator(tx, account, fresh.locator(), now)?;
            let code = fresh.at(locator);
            let ends = now.plus_milliseconds(VALID_MS);
            let (locator, letters) = (locator.number(), *code.letters());
            tx.put_join_code(&JoinCodeRow { locator, letters, account, user, made: now, ends, tries: TRIES })?;
            Ok(Some(code))
        })
        .await
    }

    /// [`skep_protocol::Request::StartCode`].
    pub(crate) async fn start_code(&self, locator: Locator, message: &[u8], peer: &str) -> Result<Frames, ErrorReply> {
        let (gate, parts) = (&self.inner.joins, &self.inner.parts);
        let key = self.own_key()?;
        let keys = keys_of(peer, locator.number());
        let now_ms = parts.clock.monotonic_ms();
        let _joining = gate.enter(peer)?;
        // A failure until it is proven: those who only look at the answer have guessed too.
        gate.attempt(&keys, now_ms)?;
        let now = parts.clock.now();
        let found = self.write(move |tx| take_try(tx, locator.number(), now)).await?;
        let nobodys = JoinCode::from_bytes(parts.entropy.bytes());
        let code = found.as_ref().map_or(Some(nobodys), code_of).unwrap_or(nobodys);
        let (run, own_message) = Exchange::of_server(&code, key, &parts.entropy.bytes());
        let wrong = |_| ErrorReply::new(Code::BadRequest, "this is no message of a join by code");
        let proofs = run.finish(message).map_err(wrong)?;
        let exchange = ExchangeId(parts.entropy.bytes());
        if let Some(found) = found {
            self.inner.codes.exchanges.begin(exchange, found, proofs.device, now_ms);
        }
        Ok(reply(&Reply::CodeStarted { exchange, message: own_message, proof: proofs.server }))
    }

    /// [`skep_protocol::Request::ProveCode`].
    pub(crate) async fn prove_code(
        &self,
        exchange: ExchangeId,
        proof: &Proof,
        peer: &str,
    ) -> Result<Frames, ErrorReply> {
        let clock = &self.inner.parts.clock;
        let now_ms = clock.monotonic_ms();
        let code = self.inner.codes.exchanges.prove(exchange, proof, now_ms, VALID_MS).ok_or_else(no_such_code)?;
        let (now, open) = (clock.now(), code.clone());
        let task = self.read(move |read| if is_open(read, &open, now)? { task_of(read, &open) } else { Ok(None) });
        let task = task.await?.ok_or_else(no_such_code)?;
        self.inner.joins.attempts.succeeded(&keys_of(peer, code.locator));
        let server_name = self.doorplate().name;
        Ok(reply(&Reply::CodeProven { server_name, task }))
    }

    /// [`skep_protocol::Request::FinishCode`].
    pub(crate) async fn finish_code(
        &self,
        finish: Finish,
        peer: &str,
        record: &mut CallRecord,
    ) -> Result<Frames, ErrorReply> {
        let Finish { exchange, device, user, password, drive } = finish;
        let (parts, exchanges) = (&self.inner.parts, &self.inner.codes.exchanges);
        let device = accepted(device)?;
        let code = exchanges.proven(exchange, parts.clock.monotonic_ms()).ok_or_else(no_such_code)?;
        let _joining = self.inner.joins.enter(peer)?;
        let now = parts.clock.now();
        let (open, account) = (code.clone(), code.account);
        let asked = self.read(move |read| {
            let drives = account.map(|account| read.drives(account)).transpose()?.unwrap_or_default();
            let is_own = drive.is_none_or(|shown| drives.iter().any(|own| own.id == shown));
            Ok((is_open(read, &open, now)?, is_own))
        });
        match asked.await? {
            (false, _) => return Err(no_such_code()),
            (true, false) => return Err(ErrorReply::new(Code::NotFound, "the folder belongs to another account")),
            (true, true) => {}
        }
        let fresh = match code.account {
            Some(_) => None,
            None => Some(self.account_to_make(code.user.clone().or(user), password).await?),
        };
        let connected = self.add_device(device, move |tx| {
            // Asked once more: of two that use it at the same time, one does.
            if !is_open(tx, &code, now)? {
                return Ok(None);
            }
            tx.remove_join_code(code.locator)?;
            match fresh {
                None => Ok(code.account),
                Some((account, home)) => {
                    tx.put_account(&account)?;
                    tx.put_drive(&home)?;
                    Ok(Some(account.id))
                }
            }
        });
        let connected = connected.await?;
        exchanges.end(exchange);
        record.joined(&connected.joined);
        Ok(reply(&Reply::Connected(connected)))
    }

    /// The account that a code makes, with a name that is free and a password that can be used.
    async fn account_to_make(
        &self,
        user: Option<String>,
        password: Option<String>,
    ) -> Result<(skep_metastore::Account, skep_metastore::Drive), ErrorReply> {
        let (Some(user), Some(password)) = (user, password) else {
            return Err(ErrorReply::new(Code::BadRequest, "a new account needs a user name and a password"));
        };
        crate::accounts::check_user_name(&user)?;
        crate::accounts::check_password(&password)?;
        let wanted = user.clone();
        if self.read(move |read| read.account_by_name(&wanted)).await?.is_some() {
            return Err(ErrorReply::new(Code::Exists, format!("the user name {user} is taken")));
        }
        let salt = self.inner.parts.entropy.bytes();
        let hash = self.hash_job(move |_| crate::password::hash(&password, &salt)).await?;
        Ok(self.fresh_account(user, Some(hash)))
    }

    fn doorplate(&self) -> Doorplate {
        self.inner.codes.doorplate.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn own_key(&self) -> Result<Fingerprint, ErrorReply> {
        self.doorplate().key.ok_or_else(|| {
            let why = "this server does not know by which key devices see it, so no codes can be used: name `tls.certificate`";
            ErrorReply::new(Code::NotAllowed, why)
        })
    }
}

/// As whom a device comes.
pub(crate) struct Finish {
    pub(crate) exchange: ExchangeId,
    pub(crate) device: Introduction,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) drive: Option<DriveId>,
}

fn no_such_code() -> ErrorReply {
    ErrorReply::new(Code::JoinCode, "this code does not count: it is mistyped, was used, or is older than 15 minutes")
}

/// By what failures are counted.
fn keys_of(peer: &str, locator: u16) -> [Key; 3] {
    let place = place_of(peer);
    [Key::codes(&place), Key::place(&place), Key::code(locator)]
}

/// A locator that no open code has, the wanted one if possible. Codes that have ended go, and so does the account's oldest if it has
/// too many.
fn free_locator(
    tx: &mut dyn Write,
    account: Option<AccountId>,
    wanted: Locator,
    now: Timestamp,
) -> Result<Locator, StoreError> {
    let (ended, mut open): (Vec<_>, Vec<_>) = tx.join_codes()?.into_iter().partition(|code| !counts(code, now));
    let oldest_of_one = open.iter().filter(|code| code.account == account).rev().skip(CODES_OF_ONE_MAX - 1);
    let mut gone: Vec<u16> = ended.iter().chain(oldest_of_one).map(|code| code.locator).collect();
    open.retain(|code| !gone.contains(&code.locator));
    let too_many = (open.len() + 1).saturating_sub(CODES_MAX);
    gone.extend(open.drain(..too_many).map(|code| code.locator));
    gone.into_iter().try_for_each(|locator| tx.remove_join_code(locator))?;
    let locators = (0..Locator::COUNT).map(|step| Locator::numbered((wanted.number() + step) % Locator::COUNT));
    let mut free = locators.filter(|locator| open.iter().all(|code| code.locator != locator.number()));
    Ok(free.next().expect("there are more locators than open codes"))
}

fn counts(code: &JoinCodeRow, now: Timestamp) -> bool {
    code.tries > 0 && code.made <= now && now < code.ends
}

/// The open code with that locator, one try of which is now gone.
fn take_try(tx: &mut dyn Write, locator: u16, now: Timestamp) -> Result<Option<JoinCodeRow>, StoreError> {
    let found = tx.join_codes()?.into_iter().find(|code| code.locator == locator && counts(code, now));
    let Some(mut code) = found else { return Ok(None) };
    code.tries -= 1;
    tx.put_join_code(&code)?;
    Ok(Some(code))
}

/// Whether a code that was found earlier may still be used; its last try may be under way.
fn is_open(read: &(impl Read + ?Sized), code: &JoinCodeRow, now: Timestamp) -> Result<bool, StoreError> {
    let same =
        |known: &JoinCodeRow| known.locator == code.locator && known.letters == code.letters && known.made == code.made;
    Ok(now < code.ends && read.join_codes()?.iter().any(same))
}

/// What comes next for the holder of a code; nothing if its account is gone or disabled.
fn task_of(read: &(impl Read + ?Sized), code: &JoinCodeRow) -> Result<Option<CodeTask>, StoreError> {
    let Some(account) = code.account else {
        let is_first = read.accounts()?.is_empty();
        return Ok(Some(CodeTask::NewAccount { user: code.user.clone(), is_first }));
    };
    let account = read.account(account)?.filter(|account| !account.disabled);
    Ok(account.map(|account| CodeTask::NewDevice { user: account.name }))
}

/// The letters of a row as a code.
fn code_of(code: &JoinCodeRow) -> Option<JoinCode> {
    std::str::from_utf8(&code.letters).ok()?.parse().ok()
}
