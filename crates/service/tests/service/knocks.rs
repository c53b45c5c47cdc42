//! Knocks: whom they let in, who may answer them, and what those get who only guess.

use std::time::Duration;

use skep_metastore::KnockStanding;
use skep_protocol::{
    AnswerId, AnswerState, Code, Connected, Fingerprint, FrameKind, Introduction, JoinCode, KnockAnswer, KnockId,
    KnockRun, KnockState, Knocked, Locator, OpenKnock, Reply, Request, Verdict,
};
use skep_service::ServiceError;
use skep_types::DriveId;

use crate::rig::{Answer, Caller, PEER, Rig, Server, call, call_bytes, call_from};

const KEY: Fingerprint = Fingerprint([7; 32]);

/// A computer that knocks.
struct Newcomer<'a> {
    server: &'a Server,
    peer: String,
    code: JoinCode,
    seen: Fingerprint,
    knock: KnockId,
    seed: u8,
}

async fn ask(server: &Server, peer: &str, request: &Request) -> Result<Reply, Code> {
    told(call_from(server, peer, None, &call_bytes(request, vec![]).await).await)
}

fn told(answer: Answer) -> Result<Reply, Code> {
    if answer.frames[0].kind == FrameKind::Error { Err(answer.code()) } else { Ok(answer.reply()) }
}

fn message(code: &JoinCode, seen: Fingerprint, seed: u8) -> (KnockRun, Vec<u8>) {
    KnockRun::of_newcomer(code, seen, &[seed; 32])
}

fn knock_request(name: &str, user: Option<&str>, drive: Option<DriveId>) -> Request {
    let device =
        Introduction { name: name.to_owned(), platform: "linux".to_owned(), client_version: "test 1".to_owned() };
    Request::Knock { device, message: message(&letters(), KEY, 1).1, user: user.map(str::to_owned), drive }
}

fn letters() -> JoinCode {
    "00JB-MJHT".parse().unwrap()
}

async fn knocked_from<'a>(rig: &'a Rig, peer: &str, request: Request) -> Newcomer<'a> {
    let Ok(Reply::Knocked(Knocked { knock, locator, valid_ms, .. })) = ask(&rig.server, peer, &request).await else {
        panic!("it was not heard")
    };
    assert_eq!(valid_ms, 15 * 60_000);
    Newcomer { server: &rig.server, peer: peer.to_owned(), code: letters().at(locator), seen: KEY, knock, seed: 1 }
}

async fn knocked(rig: &Rig) -> Newcomer<'_> {
    knocked_from(rig, PEER, knock_request("nas", None, None)).await
}

impl Newcomer<'_> {
    async fn state(&self) -> Result<KnockState, Code> {
        tokio::time::advance(Duration::from_secs(2)).await;
        match ask(self.server, &self.peer, &Request::KnockState { knock: self.knock }).await? {
            Reply::KnockState(state) => Ok(state),
            other => panic!("{other:?}"),
        }
    }

    /// Takes the answer as the client does: comes in, or makes another message.
    async fn take(&mut self) -> Result<Option<Connected>, Code> {
        let KnockState::Answered { message: theirs, proof, .. } = self.state().await? else { panic!("no answer") };
        let proofs = message(&self.code, self.seen, self.seed).0.finish(&theirs).unwrap();
        if proofs.approver != proof {
            self.seed += 1;
            let message = message(&self.code, self.seen, self.seed).1;
            let again = Request::KnockAgain { knock: self.knock, message };
            assert_eq!(ask(self.server, &self.peer, &again).await?, Reply::Done);
            return Ok(None);
        }
        match ask(self.server, &self.peer, &Request::Enter { knock: self.knock, proof: proofs.newcomer }).await? {
            Reply::Connected(connected) => Ok(Some(connected)),
            other => panic!("{other:?}"),
        }
    }
}

async fn look(rig: &Rig, by: &Caller, locator: Locator) -> Result<OpenKnock, Code> {
    match told(call(&rig.server, Some(&by.token), &Request::LookAtKnock { locator }, vec![]).await)? {
        Reply::Knock(knock) => Ok(knock),
        other => panic!("{other:?}"),
    }
}

fn answer_of(knock: &OpenKnock, code: &JoinCode, verdict: Verdict) -> KnockAnswer {
    let (run, message) = KnockRun::of_approver(code, KEY, &[9; 32]);
    let proofs = run.finish(&knock.message).unwrap();
    KnockAnswer { round: knock.round, message, proof: proofs.approver, expected: proofs.newcomer, verdict }
}

async fn answer(rig: &Rig, by: &Caller, code: &JoinCode, verdict: Verdict) -> Result<AnswerId, Code> {
    let knock = look(rig, by, code.locator()).await?;
    let request = Request::AnswerKnock { locator: code.locator(), answer: answer_of(&knock, code, verdict) };
    match told(call(&rig.server, Some(&by.token), &request, vec![]).await)? {
        Reply::KnockAnswered { answer } => Ok(answer),
        other => panic!("{other:?}"),
    }
}

async fn outcome(rig: &Rig, by: &Caller, answer: AnswerId) -> Result<AnswerState, Code> {
    match told(call(&rig.server, Some(&by.token), &Request::AnswerState { answer }, vec![]).await)? {
        Reply::AnswerState(state) => Ok(state),
        other => panic!("{other:?}"),
    }
}

fn wrong(code: &JoinCode) -> JoinCode {
    "00JB-MJHS".parse::<JoinCode>().unwrap().at(code.locator())
}

#[tokio::test(start_paused = true)]
async fn whoever_types_the_code_lets_the_computer_in_to_their_account() {
    let rig = Rig::new().await;
    let (ada, bob) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    let mut nas = knocked(&rig).await;
    let mut other = knocked_from(&rig, "203.0.113.1:5000", knock_request("nas", None, None)).await;
    assert_eq!(nas.state().await, Ok(KnockState::Waiting));
    let seen = look(&rig, &ada, nas.code.locator()).await.unwrap();
    assert_eq!((seen.summary.device.name.as_str(), seen.summary.peer.as_str()), ("nas", PEER));
    assert_eq!(seen.summary.age_ms, 2_000);
    let given = answer(&rig, &ada, &nas.code, Verdict::Approved).await.unwrap();
    assert_eq!(outcome(&rig, &ada, given).await, Ok(AnswerState::Waiting));
    assert_eq!(answer(&rig, &bob, &nas.code, Verdict::Approved).await, Err(Code::Busy), "one answer at a time");
    let connected = nas.take().await.unwrap().unwrap();
    assert_eq!(connected.joined.account, ada.account);
    assert_eq!(outcome(&rig, &ada, given).await, Ok(AnswerState::Entered { device_name: "nas".to_owned() }));
    let hello = Request::Hello { features: vec![], client_version: "test 1".to_owned() };
    call(&rig.server, Some(&connected.joined.token), &hello, vec![]).await.reply();
    // The other one waits as before, until its own answer comes; the first is used up.
    assert_eq!(other.state().await, Ok(KnockState::Waiting));
    answer(&rig, &bob, &other.code, Verdict::Approved).await.unwrap();
    assert_eq!(other.take().await.unwrap().unwrap().joined.account, bob.account);
    assert_eq!(nas.state().await, Err(Code::JoinCode));
    assert_eq!(answer(&rig, &ada, &nas.code, Verdict::Approved).await, Err(Code::JoinCode));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_code_and_another_key_let_nobody_in_and_the_knock_goes_on() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let mut nas = knocked(&rig).await;
    let given = answer(&rig, &ada, &wrong(&nas.code), Verdict::Approved).await.unwrap();
    assert!(nas.take().await.unwrap().is_none());
    assert_eq!(outcome(&rig, &ada, given).await, Ok(AnswerState::Wrong));
    // Not even with a proof of its own invention.
    let given = answer(&rig, &ada, &wrong(&nas.code), Verdict::Approved).await.unwrap();
    let KnockState::Answered { proof, .. } = nas.state().await.unwrap() else { panic!("no answer") };
    let enter = Request::Enter { knock: nas.knock, proof };
    assert_eq!(ask(&rig.server, PEER, &enter).await, Err(Code::JoinCode));
    assert!(nas.take().await.unwrap().is_none());
    assert_eq!(outcome(&rig, &ada, given).await, Ok(AnswerState::Wrong));
    answer(&rig, &ada, &nas.code, Verdict::Approved).await.unwrap();
    nas.take().await.unwrap().unwrap();

    // Somebody between the new computer and the server, with a key of their own, passes everything on.
    let mut cheated = knocked_from(&rig, PEER, knock_request("nas", None, None)).await;
    cheated.seen = Fingerprint([8; 32]);
    cheated.seed = 2;
    let request = Request::KnockAgain { knock: cheated.knock, message: message(&cheated.code, cheated.seen, 2).1 };
    assert_eq!(ask(&rig.server, PEER, &request).await, Ok(Reply::Done));
    let given = answer(&rig, &ada, &cheated.code, Verdict::Approved).await.unwrap();
    assert!(cheated.take().await.unwrap().is_none(), "it sees that the answer was given for another key");
    assert_eq!(outcome(&rig, &ada, given).await, Ok(AnswerState::Wrong));
}

#[tokio::test(start_paused = true)]
async fn a_computer_that_is_sent_away_knows_it_and_only_the_code_does_that() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let mut nas = knocked(&rig).await;
    answer(&rig, &ada, &wrong(&nas.code), Verdict::Denied).await.unwrap();
    assert!(nas.take().await.unwrap().is_none());
    let given = answer(&rig, &ada, &nas.code, Verdict::Denied).await.unwrap();
    assert_eq!(nas.take().await, Err(Code::Denied));
    assert_eq!(outcome(&rig, &ada, given).await, Ok(AnswerState::TurnedAway));
    assert_eq!(nas.state().await, Err(Code::JoinCode));
    assert_eq!(rig.server.devices().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn guesses_end_the_knock_and_make_the_guesser_wait() {
    let rig = Rig::new().await;
    let (ada, eve) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    let mut nas = knocked(&rig).await;
    for round in 1..=5 {
        assert!(answer(&rig, &eve, &wrong(&nas.code), Verdict::Approved).await.is_ok(), "{round}");
        let taken = nas.take().await;
        assert_eq!(taken, if round < 5 { Ok(None) } else { Err(Code::JoinCode) }, "{round}");
    }
    assert_eq!(nas.state().await, Err(Code::JoinCode), "after five it ends");
    let unknown = Locator::numbered(nas.code.locator().number() ^ 1);
    assert_eq!(look(&rig, &eve, unknown).await, Err(Code::JoinCode), "the sixth guess");
    assert_eq!(look(&rig, &eve, unknown).await, Err(Code::RateLimit));
    // Who looks for knocks by their beginnings waits too; who was right starts anew.
    for number in 0..5 {
        assert_eq!(look(&rig, &ada, Locator::numbered(unknown.number() ^ (number * 2))).await, Err(Code::JoinCode));
    }
    assert_eq!(look(&rig, &ada, unknown).await, Err(Code::RateLimit));
    tokio::time::advance(Duration::from_secs(2)).await;
    let mut second = knocked(&rig).await;
    answer(&rig, &ada, &second.code, Verdict::Approved).await.unwrap();
    second.take().await.unwrap().unwrap();
    assert_eq!(look(&rig, &ada, unknown).await, Err(Code::JoinCode));
}

#[tokio::test(start_paused = true)]
async fn a_knock_ends_after_fifteen_minutes_and_is_asked_about_slowly() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let mut nas = knocked(&rig).await;
    assert_eq!(nas.state().await, Ok(KnockState::Waiting));
    let at_once = Request::KnockState { knock: nas.knock };
    assert_eq!(ask(&rig.server, PEER, &at_once).await, Err(Code::RateLimit));
    answer(&rig, &ada, &nas.code, Verdict::Approved).await.unwrap();
    tokio::time::advance(Duration::from_secs(15 * 60)).await;
    assert_eq!(nas.take().await, Err(Code::JoinCode));
    assert_eq!(answer(&rig, &ada, &nas.code, Verdict::Approved).await, Err(Code::JoinCode));
    // What never was gets the same answer as what has ended.
    let never = Request::KnockState { knock: KnockId([0; 32]) };
    assert_eq!(ask(&rig.server, PEER, &never).await, Err(Code::JoinCode));
    // An answer that nobody reads makes room for another one.
    let mut second = knocked(&rig).await;
    answer(&rig, &ada, &second.code, Verdict::Denied).await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    answer(&rig, &ada, &second.code, Verdict::Approved).await.unwrap();
    second.take().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn knocks_are_few_and_told_to_those_whom_they_name() {
    let rig = Rig::new().await;
    let (ada, bob) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    let name = rig.read(|read| read.account(ada.account)).unwrap().name;
    let for_ada = knocked_from(&rig, PEER, knock_request("nas", Some(&name.to_uppercase()), None)).await;
    let listed = |by: &Caller| {
        let token = by.token.clone();
        let server = &rig.server;
        async move {
            match call(server, Some(&token), &Request::Knocks, vec![]).await.reply() {
                Reply::Knocks { knocks } => knocks.len(),
                other => panic!("{other:?}"),
            }
        }
    };
    knocked(&rig).await;
    assert_eq!((listed(&ada).await, listed(&bob).await), (1, 0));
    assert_eq!(rig.server.open_knocks().await.unwrap().len(), 2);
    assert_eq!(look(&rig, &bob, for_ada.code.locator()).await, Err(Code::JoinCode));
    look(&rig, &ada, for_ada.code.locator()).await.unwrap();
    // From one place the oldest makes room; the eleventh in a row waits.
    for _ in 0..8 {
        tokio::time::advance(Duration::from_millis(1)).await;
        knocked(&rig).await;
    }
    assert_eq!(rig.server.open_knocks().await.unwrap().len(), 8);
    assert_eq!(ask(&rig.server, PEER, &knock_request("nas", None, None)).await, Err(Code::RateLimit));
    // From everywhere there are so many and no more; none of them loses its place.
    for number in 0..56 {
        knocked_from(&rig, &format!("203.0.113.{number}:5000"), knock_request("nas", None, None)).await;
    }
    let full = ask(&rig.server, "198.51.100.1:5000", &knock_request("nas", None, None)).await;
    assert_eq!(full, Err(Code::Busy));
    tokio::time::advance(Duration::from_secs(15 * 60)).await;
    knocked_from(&rig, "198.51.100.1:5000", knock_request("nas", None, None)).await;
    assert_eq!(rig.read(|read| read.knocks()).len(), 1, "what has ended is gone");
}

#[tokio::test(start_paused = true)]
async fn neither_the_code_nor_what_asks_about_it_is_stored() {
    let rig = Rig::new().await;
    let nas = knocked(&rig).await;
    let image = rig.meta.image();
    let stored = |text: &[u8]| image.windows(text.len()).any(|window| window == text);
    assert!(stored(b"nas") && !stored(nas.code.secret()) && !stored(&nas.knock.0));
    for line in rig.server.connections(100).await.unwrap() {
        assert!(!skep_service::connection_line(&line).contains("JBMJHT"));
    }
    assert!(!format!("{:?}", nas.knock).contains("0, 0") && format!("{:?}", nas.knock).len() < 20);
}

#[tokio::test(start_paused = true)]
async fn the_operator_answers_for_any_account_and_a_folder_stays_with_its_own() {
    let rig = Rig::new().await;
    let (ada, bob) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    let name_of = |caller: &Caller| rig.read(|read| read.account(caller.account)).unwrap().name;
    let own = rig.read(|read| read.drives(ada.account))[0].id;
    let mut nas = knocked_from(&rig, PEER, knock_request("nas", None, Some(own))).await;
    let locator = nas.code.locator();
    let knock = rig.server.operator_looks(locator).await.unwrap();
    let approved = || answer_of(&knock, &nas.code, Verdict::Approved);
    let refused = rig.server.operator_answers(locator, &name_of(&bob), approved()).await;
    assert!(matches!(refused, Err(ServiceError::FolderOfAnother)), "{refused:?}");
    let refused = rig.server.operator_answers(locator, "nobody", approved()).await;
    assert!(matches!(refused, Err(ServiceError::UnknownUser(_))), "{refused:?}");
    let given = rig.server.operator_answers(locator, &name_of(&ada), approved()).await.unwrap();
    assert!(matches!(rig.read(|read| read.knocks())[0].standing, KnockStanding::Answered(_)));
    assert_eq!(nas.take().await.unwrap().unwrap().joined.account, ada.account);
    let state = rig.server.answer_state(given).await.unwrap();
    assert_eq!(state, AnswerState::Entered { device_name: "nas".to_owned() });
    // A disabled account lets nobody in.
    let mut late = knocked(&rig).await;
    answer(&rig, &ada, &late.code, Verdict::Approved).await.unwrap();
    rig.server.set_disabled(&name_of(&ada), true).await.unwrap();
    assert_eq!(late.take().await, Err(Code::NotAllowed));
}
