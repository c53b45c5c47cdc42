//! Knocks: new computers without a code that ask to be let in, until somebody answers who was shown the code there.
//!
//! What a new computer may do here, who is nobody yet; who answers is in `answers`. A knock lies in the store, so that it outlives a
//! restart and that the operator's own process sees it. The code lies nowhere: the server knows its locator, and lets the new computer
//! in when it shows what the answering end said it would, which only both who know the code can.
//!
//! What a stranger may take is bounded: knocks that wait, at all and from one place; how fast they are made; and how often each is asked
//! about. What one who is signed in may guess is too: a knock takes five answers, and wrong answers make an account wait.

mod answers;

use std::collections::BTreeMap;
use std::sync::Mutex;

use skep_blobstore::BlobStore;
use skep_metastore::{KnockAnswerRow, KnockEnd, KnockRow, KnockStanding, MetaStore, Read, StoreError, Write};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{
    Code, Connected, ErrorReply, Introduction, KnockId, KnockState, KnockSummary, Knocked, Locator, Proof, Reply,
    Verdict,
};
use skep_types::{AccountId, DriveId, Timestamp};

use crate::answer::{Frames, reply};
use crate::backoff::Key;
use crate::connections::CallRecord;
use crate::join::{accepted, clipped, place_of, turned_away};
use crate::service::lock;
use crate::{Service, ServiceError};

/// How long a knock counts.
const VALID_MS: u64 = 15 * 60_000;
/// How often a new computer is told to ask.
const POLL_MS: u64 = 2_000;
/// Sooner than this after the last time it is told to slow down, by
const POLL_MIN_MS: u64 = 500;
/// so much.
const SLOW_DOWN_MS: u64 = 5_000;
/// Knocks that wait at a time; the next one is told to come back.
const KNOCKS_MAX: usize = 64;
/// Knocks that wait from one place; the next takes the place of the oldest.
const KNOCKS_OF_ONE_PLACE_MAX: usize = 8;
/// Answers that a knock takes.
const ROUNDS_MAX: u32 = 5;
/// An answer that nobody has read for so long may be replaced.
const ANSWER_READ_WITHIN_MS: u64 = 30_000;
/// Longest message of an exchange that is kept: they have 33 bytes.
const MESSAGE_BYTES_MAX: usize = 64;

/// When each knock was last asked about, in monotonic milliseconds.
#[derive(Debug, Default)]
pub(crate) struct KnockDesk(Mutex<BTreeMap<[u8; 32], u64>>);

impl KnockDesk {
    /// Notes that a knock is asked about, or says how long to wait first.
    fn poll(&self, knock: [u8; 32], now_ms: u64) -> Result<(), ErrorReply> {
        let mut polls = lock(&self.0);
        polls.retain(|_, last_ms| now_ms.saturating_sub(*last_ms) < SLOW_DOWN_MS);
        match polls.insert(knock, now_ms) {
            Some(last_ms) if now_ms.saturating_sub(last_ms) < POLL_MIN_MS => {
                Err(turned_away(Code::RateLimit, "asked again too soon", SLOW_DOWN_MS))
            }
            _ => Ok(()),
        }
    }
}

/// Who knocks, and what it wants.
pub(crate) struct Newcomer {
    pub(crate) device: Introduction,
    pub(crate) message: Vec<u8>,
    pub(crate) user: Option<String>,
    pub(crate) drive: Option<DriveId>,
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Knock`].
    pub(crate) async fn knock(&self, newcomer: Newcomer, peer: &str) -> Result<Frames, ErrorReply> {
        let Newcomer { device, message, user, drive } = newcomer;
        let (gate, parts) = (&self.inner.joins, &self.inner.parts);
        let Introduction { name, platform, client_version } = accepted(device)?;
        check_message(&message)?;
        let place = place_of(peer);
        let _joining = gate.enter(peer)?;
        let made = gate.attempts.attempt(&[Key::knocks(&place)], parts.clock.monotonic_ms());
        made.map_err(|wait_ms| turned_away(Code::RateLimit, "too many computers ask from this address", wait_ms))?;
        let knock = KnockId(parts.entropy.bytes());
        let wanted = Locator::numbered(u16::from_be_bytes(parts.entropy.bytes()) % Locator::COUNT);
        let now = parts.clock.now();
        let row = KnockRow {
            locator: wanted.number(),
            secret_hash: hash_of(&knock),
            name,
            platform,
            client_version,
            // What is longer is the name of no account.
            user: user.map(|user| clipped(&user)),
            drive,
            peer: peer.to_owned(),
            made: now,
            ends: now.plus_milliseconds(VALID_MS),
            message,
            round: 0,
            refused: None,
            standing: KnockStanding::Waiting,
        };
        let kept = self.write(move |tx| keep_knock(tx, row, &place, now)).await?;
        let locator = kept.ok_or_else(|| turned_away(Code::Busy, "too many computers ask to be let in", 60_000))?;
        Ok(reply(&Reply::Knocked(Knocked { knock, locator, poll_ms: POLL_MS, valid_ms: VALID_MS })))
    }

    /// [`skep_protocol::Request::KnockState`].
    pub(crate) async fn knock_state(&self, knock: KnockId, peer: &str) -> Result<Frames, ErrorReply> {
        let clock = &self.inner.parts.clock;
        let (hash, now) = (hash_of(&knock), clock.now());
        let found = self.read(move |read| open_knock(read, &hash, now)).await?;
        let Some(found) = found else { return Err(self.unknown_knock(peer)) };
        self.inner.knocks.poll(hash, clock.monotonic_ms())?;
        let state = match found.standing {
            KnockStanding::Answered(answer) => KnockState::Answered {
                proof: Proof::from_kept(answer.proof),
                verdict: if answer.approves { Verdict::Approved } else { Verdict::Denied },
                message: answer.message,
            },
            _ => KnockState::Waiting,
        };
        Ok(reply(&Reply::KnockState(state)))
    }

    /// [`skep_protocol::Request::KnockAgain`].
    pub(crate) async fn knock_again(&self, knock: KnockId, message: Vec<u8>, peer: &str) -> Result<Frames, ErrorReply> {
        check_message(&message)?;
        let (hash, now) = (hash_of(&knock), self.inner.parts.clock.now());
        let goes_on = self.write(move |tx| {
            let Some(mut knock) = open_knock(tx, &hash, now)? else { return Ok(false) };
            let KnockStanding::Answered(KnockAnswerRow { id: answer, .. }) = knock.standing else {
                knock.message = message;
                return tx.put_knock(&knock).map(|()| true);
            };
            let goes_on = knock.round < ROUNDS_MAX;
            knock.standing = match goes_on {
                true => KnockStanding::Waiting,
                false => KnockStanding::Ended { answer, end: KnockEnd::Wrong },
            };
            (knock.refused, knock.message) = (Some(answer), message);
            tx.put_knock(&knock).map(|()| goes_on)
        });
        if goes_on.await? { Ok(reply(&Reply::Done)) } else { Err(self.unknown_knock(peer)) }
    }

    /// [`skep_protocol::Request::Enter`].
    pub(crate) async fn enter_by_knock(
        &self,
        knock: KnockId,
        proof: &Proof,
        peer: &str,
        record: &mut CallRecord,
    ) -> Result<Frames, ErrorReply> {
        let _joining = self.inner.joins.enter(peer)?;
        let (hash, shown, now) = (hash_of(&knock), proof.hash(), self.inner.parts.clock.now());
        let found = self.read(move |read| open_knock(read, &hash, now)).await?;
        let answered = found.and_then(|knock| Some((answer_shown(&knock, &shown)?.clone(), knock)));
        let Some((answer, row)) = answered else { return Err(self.unknown_knock(peer)) };
        let own = [Key::answers(answer.account)];
        if !answer.approves {
            self.write(move |tx| match open_knock(tx, &hash, now)? {
                Some(knock) => end_knock(tx, knock, answer.id, KnockEnd::Denied),
                None => Ok(()),
            })
            .await?;
            self.inner.joins.attempts.succeeded(&own);
            return Err(ErrorReply::new(Code::Denied, "this computer was not let in"));
        }
        let KnockRow { name, platform, client_version, .. } = row;
        let device = Introduction { name, platform, client_version };
        let account_of = move |tx: &mut dyn Write| -> Result<Option<AccountId>, StoreError> {
            // Asked once more: of two that enter at the same time, one does.
            let knock = open_knock(tx, &hash, now)?;
            Ok(knock.and_then(|knock| answer_shown(&knock, &shown).map(|answer| answer.account)))
        };
        let entered = move |tx: &mut dyn Write, connected: &Connected| match open_knock(tx, &hash, now)? {
            Some(knock) => {
                let device_name = connected.device_name.clone();
                end_knock(tx, knock, answer.id, KnockEnd::Entered { device_name })
            }
            None => Ok(()),
        };
        let connected = self.add_device_and(device, account_of, entered).await?;
        self.inner.joins.attempts.succeeded(&own);
        record.joined(&connected.joined);
        Ok(reply(&Reply::Connected(connected)))
    }

    /// What is answered alike for a knock that never was and for one that is over. It counts as a guess.
    fn unknown_knock(&self, peer: &str) -> ErrorReply {
        let place = place_of(peer);
        let keys = [Key::codes(&place), Key::place(&place)];
        match self.inner.joins.attempt(&keys, self.inner.parts.clock.monotonic_ms()) {
            Ok(()) => ServiceError::NoSuchKnock.into(),
            Err(refused) => refused,
        }
    }
}

/// By which a knock is stored.
fn hash_of(knock: &KnockId) -> [u8; 32] {
    *blake3::hash(&knock.0).as_bytes()
}

fn check_message(message: &[u8]) -> Result<(), ErrorReply> {
    let is_plausible = (1..=MESSAGE_BYTES_MAX).contains(&message.len());
    is_plausible.then_some(()).ok_or_else(|| ErrorReply::new(Code::BadRequest, "this is no message of a knock"))
}

/// Whether a knock may still be answered, or its answer be read.
fn is_open(knock: &KnockRow, now: Timestamp) -> bool {
    !matches!(knock.standing, KnockStanding::Ended { .. }) && knock.made <= now && now < knock.ends
}

/// The open knock of a new computer.
fn open_knock(read: &(impl Read + ?Sized), hash: &[u8; 32], now: Timestamp) -> Result<Option<KnockRow>, StoreError> {
    Ok(read.knocks()?.into_iter().find(|knock| knock.secret_hash == *hash && is_open(knock, now)))
}

/// The answer to a knock, if what was shown is what it expects.
fn answer_shown<'k>(knock: &'k KnockRow, shown: &[u8; 32]) -> Option<&'k KnockAnswerRow> {
    match &knock.standing {
        KnockStanding::Answered(answer) => {
            // Takes as long wherever the difference is.
            let is_right = blake3::Hash::from_bytes(answer.expected_hash) == blake3::Hash::from_bytes(*shown);
            is_right.then_some(answer)
        }
        _ => None,
    }
}

fn end_knock(tx: &mut dyn Write, knock: KnockRow, answer: [u8; 16], end: KnockEnd) -> Result<(), StoreError> {
    tx.put_knock(&KnockRow { standing: KnockStanding::Ended { answer, end }, ..knock })
}

/// Keeps a new knock, with the wanted locator if that is free. What has ended goes, and the oldest from the same place if there are too
/// many; `None` if there are too many from elsewhere.
fn keep_knock(
    tx: &mut dyn Write,
    mut knock: KnockRow,
    place: &str,
    now: Timestamp,
) -> Result<Option<Locator>, StoreError> {
    // Who has answered may still ask what came of it.
    let (kept, gone): (Vec<_>, Vec<_>) = tx.knocks()?.into_iter().partition(|old| old.made <= now && now < old.ends);
    let of_place = kept.iter().filter(|old| is_open(old, now) && place_of(&old.peer) == place);
    let too_many = of_place.rev().skip(KNOCKS_OF_ONE_PLACE_MAX - 1).map(|old| old.locator);
    let gone: Vec<u16> = gone.iter().map(|old| old.locator).chain(too_many).collect();
    let kept: Vec<_> = kept.into_iter().filter(|old| !gone.contains(&old.locator)).collect();
    if kept.iter().filter(|old| is_open(old, now)).count() >= KNOCKS_MAX {
        return Ok(None);
    }
    gone.into_iter().try_for_each(|locator| tx.remove_knock(locator))?;
    let locators = (0..Locator::COUNT).map(|step| (knock.locator + step) % Locator::COUNT);
    let Some(free) = locators.into_iter().find(|locator| kept.iter().all(|old| old.locator != *locator)) else {
        return Ok(None);
    };
    knock.locator = free;
    tx.put_knock(&knock)?;
    Ok(Some(Locator::numbered(free)))
}

/// A knock, for people.
fn summary_of(knock: KnockRow, now: Timestamp) -> KnockSummary {
    let KnockRow { name, platform, client_version, peer, made, user, .. } = knock;
    let age_ms = (now.as_nanoseconds() - made.as_nanoseconds()) / 1_000_000;
    KnockSummary {
        device: Introduction { name, platform, client_version },
        peer,
        made,
        age_ms: u64::try_from(age_ms).unwrap_or_default(),
        user,
    }
}
