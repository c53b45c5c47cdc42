//! Who answers knocks: a device of the account, or the operator in a process of their own.

use std::sync::Arc;

use skep_blobstore::BlobStore;
use skep_metastore::{KnockAnswerRow, KnockEnd, KnockRow, KnockStanding, MetaStore, Read, StoreError, Write};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{
    AnswerId, AnswerState, ErrorReply, FrameStream, KnockAnswer, KnockSummary, Locator, OpenKnock, Reply, Verdict,
};
use skep_types::{AccountId, Timestamp};

use super::{ANSWER_READ_WITHIN_MS, ROUNDS_MAX, check_message, is_open, summary_of};
use crate::answer::{Frames, no_more, reply};
use crate::backoff::Key;
use crate::session::Session;
use crate::{Service, ServiceError};

/// Who looks at knocks.
#[derive(Debug, Clone, Copy)]
enum Looker {
    /// A device of this account: it sees those that name no account, or this one.
    Account(AccountId),
    /// Whoever administers the server.
    Operator,
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Knocks`].
    pub(crate) async fn own_knocks(&self, session: &Session, mut body: FrameStream) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let (account, now) = (session.account, self.inner.parts.clock.now());
        let found = self.read(move |read| {
            let name = read.account(account)?.map(|account| account.name.to_lowercase());
            let knocks = read.knocks()?.into_iter().filter(|knock| is_open(knock, now));
            let own = knocks.filter(|knock| knock.user.as_ref().map(|user| user.to_lowercase()) == name);
            Ok(own.map(|knock| summary_of(knock, now)).collect())
        });
        Ok(reply(&Reply::Knocks { knocks: found.await? }))
    }

    /// [`skep_protocol::Request::LookAtKnock`].
    pub(crate) async fn look_at_knock(
        &self,
        session: &Arc<Session>,
        locator: Locator,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        match self.look(locator, Looker::Account(session.account)).await {
            Ok(knock) => Ok(reply(&Reply::Knock(knock))),
            Err(error) => {
                // A guess: knocks that are there must not be found by trying.
                self.count_answer(session)?;
                Err(error.into())
            }
        }
    }

    /// [`skep_protocol::Request::AnswerKnock`].
    pub(crate) async fn answer_knock(
        &self,
        session: &Arc<Session>,
        locator: Locator,
        answer: KnockAnswer,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        check_message(&answer.message)?;
        // Wrong until the new computer says that it is right.
        self.count_answer(session)?;
        let answer = self.answer_to(locator, answer, Looker::Account(session.account), session.account).await?;
        Ok(reply(&Reply::KnockAnswered { answer }))
    }

    /// [`skep_protocol::Request::AnswerState`].
    pub(crate) async fn own_answer_state(&self, answer: AnswerId, mut body: FrameStream) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        Ok(reply(&Reply::AnswerState(self.answer_state(answer).await?)))
    }

    fn count_answer(&self, session: &Session) -> Result<(), ErrorReply> {
        self.inner.joins.attempt(&[Key::answers(session.account)], self.inner.parts.clock.monotonic_ms())
    }

    /// All knocks that wait for an answer, the oldest first; for the operator.
    pub async fn open_knocks(&self) -> Result<Vec<KnockSummary>, ServiceError> {
        let now = self.inner.parts.clock.now();
        self.read(move |read| {
            let open = read.knocks()?.into_iter().filter(|knock| is_open(knock, now));
            Ok(open.map(|knock| summary_of(knock, now)).collect())
        })
        .await
    }

    /// The knock with this code, for the operator. [`ServiceError::NoSuchKnock`] if there is none.
    pub async fn operator_looks(&self, locator: Locator) -> Result<OpenKnock, ServiceError> {
        self.look(locator, Looker::Operator).await
    }

    /// The operator answers a knock; who is let in belongs to the account of that name.
    pub async fn operator_answers(
        &self,
        locator: Locator,
        user: &str,
        answer: KnockAnswer,
    ) -> Result<AnswerId, ServiceError> {
        let wanted = user.to_owned();
        let account = self.read(move |read| read.account_by_name(&wanted)).await?;
        let account = account.ok_or_else(|| ServiceError::UnknownUser(user.to_owned()))?;
        self.answer_to(locator, answer, Looker::Operator, account.id).await
    }

    /// What has become of an answer; whoever gave it is the only one who knows its id.
    pub async fn answer_state(&self, answer: AnswerId) -> Result<AnswerState, ServiceError> {
        let knocks = self.read(|read| read.knocks()).await?;
        knocks.iter().find_map(|knock| state_of(knock, answer)).ok_or(ServiceError::NoSuchKnock)
    }

    async fn look(&self, locator: Locator, looker: Looker) -> Result<OpenKnock, ServiceError> {
        let now = self.inner.parts.clock.now();
        let found = self.read(move |read| find(read, locator, looker, now)).await?;
        let knock = found.ok_or(ServiceError::NoSuchKnock)?;
        let (message, round) = (knock.message.clone(), knock.round);
        Ok(OpenKnock { summary: summary_of(knock, now), message, round })
    }

    async fn answer_to(
        &self,
        locator: Locator,
        answer: KnockAnswer,
        looker: Looker,
        account: AccountId,
    ) -> Result<AnswerId, ServiceError> {
        let parts = &self.inner.parts;
        let (id, now) = (AnswerId(parts.entropy.bytes()), parts.clock.now());
        let (round, expected_hash) = (answer.round, answer.expected.hash());
        let row = KnockAnswerRow {
            id: id.0,
            account,
            message: answer.message,
            proof: answer.proof.to_keep(),
            expected_hash,
            approves: answer.verdict == Verdict::Approved,
            made: now,
        };
        self.write(move |tx| put_answer(tx, locator, looker, round, row, now)).await??;
        Ok(id)
    }
}

/// The open knock with this locator, if the looker may see it.
fn find(
    read: &(impl Read + ?Sized),
    locator: Locator,
    looker: Looker,
    now: Timestamp,
) -> Result<Option<KnockRow>, StoreError> {
    let found = read.knocks()?.into_iter().find(|knock| knock.locator == locator.number() && is_open(knock, now));
    let (Some(knock), Looker::Account(account)) = (&found, looker) else { return Ok(found) };
    let Some(wanted) = &knock.user else { return Ok(found) };
    let name = read.account(account)?.map(|account| account.name.to_lowercase());
    Ok(if name == Some(wanted.to_lowercase()) { found } else { None })
}

fn put_answer(
    tx: &mut dyn Write,
    locator: Locator,
    looker: Looker,
    round: u32,
    answer: KnockAnswerRow,
    now: Timestamp,
) -> Result<Result<(), ServiceError>, StoreError> {
    let Some(mut knock) = find(tx, locator, looker, now)? else { return Ok(Err(ServiceError::NoSuchKnock)) };
    let is_read_soon = |earlier: &KnockAnswerRow| now < earlier.made.plus_milliseconds(ANSWER_READ_WITHIN_MS);
    match &knock.standing {
        KnockStanding::Answered(earlier) if is_read_soon(earlier) => return Ok(Err(ServiceError::KnockIsAnswered)),
        _ if knock.round != round => return Ok(Err(ServiceError::KnockIsAnswered)),
        _ if knock.round >= ROUNDS_MAX => return Ok(Err(ServiceError::NoSuchKnock)),
        _ => {}
    }
    if let Some(shown) = knock.drive
        && answer.approves
        && tx.drives(answer.account)?.iter().all(|own| own.id != shown)
    {
        return Ok(Err(ServiceError::FolderOfAnother));
    }
    knock.round += 1;
    knock.standing = KnockStanding::Answered(answer);
    tx.put_knock(&knock)?;
    Ok(Ok(()))
}

fn state_of(knock: &KnockRow, answer: AnswerId) -> Option<AnswerState> {
    match &knock.standing {
        KnockStanding::Answered(given) if given.id == answer.0 => Some(AnswerState::Waiting),
        KnockStanding::Ended { answer: given, end } if *given == answer.0 => Some(match end {
            KnockEnd::Entered { device_name } => AnswerState::Entered { device_name: device_name.clone() },
            KnockEnd::Denied => AnswerState::TurnedAway,
            KnockEnd::Wrong => AnswerState::Wrong,
        }),
        _ if knock.refused == Some(answer.0) => Some(AnswerState::Wrong),
        _ => None,
    }
}
