//! Join codes: whom they let in, once, and what a stranger gets to see.

use std::time::Duration;

use skep_protocol::{
    Code, CodeTask, Connected, ErrorReply, Exchange, ExchangeId, Fingerprint, Introduction, JoinCode, NewCode, Proofs,
    Reply, Request,
};
use skep_service::{Invited, ServiceError};
use skep_types::DriveId;

use crate::rig::{Answer, PEER, Rig, Server, call, call_bytes, call_from};

const KEY: Fingerprint = Fingerprint([7; 32]);
const PASSWORD: &str = "correct horse";

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.server.introduce_as("attic", Some(KEY));
    rig
}

/// A device on its way in.
struct Comer<'a> {
    server: &'a Server,
    peer: String,
}

impl Comer<'_> {
    async fn ask(&self, request: &Request) -> Answer {
        call_from(self.server, &self.peer, None, &call_bytes(request, vec![]).await).await
    }

    /// Begins with a code, at a server that shows this key.
    async fn start(&self, code: &JoinCode, seen: Fingerprint) -> Result<(ExchangeId, Proofs, bool), ErrorReply> {
        let (run, message) = Exchange::of_device(code, seen, &[5; 32]);
        let answer = self.ask(&Request::StartCode { locator: code.locator(), message }).await;
        if answer.frames[0].kind == skep_protocol::FrameKind::Error {
            return Err(answer.error());
        }
        let Reply::CodeStarted { exchange, message, proof } = answer.reply() else { panic!("it was not started") };
        let proofs = run.finish(&message).unwrap();
        Ok((exchange, proofs, proofs.server == proof))
    }

    async fn prove(&self, code: &JoinCode) -> Result<(ExchangeId, CodeTask), Code> {
        let (exchange, proofs, _) = self.start(code, KEY).await.map_err(|error| error.code)?;
        let answer = self.ask(&Request::ProveCode { exchange, proof: proofs.device }).await;
        if answer.frames[0].kind == skep_protocol::FrameKind::Error {
            return Err(answer.code());
        }
        let Reply::CodeProven { server_name, task } = answer.reply() else { panic!("it was not proven") };
        assert_eq!(server_name, "attic");
        Ok((exchange, task))
    }

    async fn finish(
        &self,
        exchange: ExchangeId,
        user: Option<&str>,
        drive: Option<DriveId>,
    ) -> Result<Connected, Code> {
        let device = Introduction {
            name: "laptop".to_owned(),
            platform: "linux".to_owned(),
            client_version: "test 1".to_owned(),
        };
        let password = user.map(|_| PASSWORD.to_owned());
        let user = user.map(str::to_owned);
        let answer = self.ask(&Request::FinishCode { exchange, device, user, password, drive }).await;
        if answer.frames[0].kind == skep_protocol::FrameKind::Error {
            return Err(answer.code());
        }
        match answer.reply() {
            Reply::Connected(connected) => Ok(connected),
            other => panic!("{other:?}"),
        }
    }

    async fn join(&self, code: &JoinCode, user: Option<&str>) -> Result<Connected, Code> {
        let (exchange, _) = self.prove(code).await?;
        self.finish(exchange, user, None).await
    }
}

fn comer(rig: &Rig) -> Comer<'_> {
    Comer { server: &rig.server, peer: PEER.to_owned() }
}

fn comer_from(rig: &Rig, number: usize) -> Comer<'_> {
    Comer { server: &rig.server, peer: format!("203.0.113.{number}:5000") }
}

async fn code_of_device(rig: &Rig, token: &str) -> JoinCode {
    match call(&rig.server, Some(token), &Request::MakeCode, vec![]).await.reply() {
        Reply::Code(NewCode { code, valid_ms }) => {
            assert_eq!(valid_ms, 15 * 60_000);
            code
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_code_makes_an_account_and_its_codes_bring_devices() {
    let rig = rig().await;
    let code = rig.server.make_setup_code().await.unwrap();
    let (exchange, task) = comer(&rig).prove(&code).await.unwrap();
    assert_eq!(task, CodeTask::NewAccount { user: None, is_first: true });
    assert_eq!(comer(&rig).finish(exchange, None, None).await, Err(Code::BadRequest));
    assert_eq!(comer(&rig).finish(exchange, Some(" "), None).await, Err(Code::BadRequest));
    let first = comer(&rig).finish(exchange, Some("Maya"), None).await.unwrap();
    assert_eq!((first.account_name.as_str(), first.joined.drives[0].name.as_str()), ("Maya", "home"));
    assert_eq!(comer(&rig).finish(exchange, Some("Eve"), None).await, Err(Code::JoinCode), "a code is used once");
    assert_eq!(comer(&rig).prove(&code).await.err(), Some(Code::JoinCode));
    assert!(matches!(rig.server.make_setup_code().await, Err(ServiceError::HasAccounts)));

    let code = code_of_device(&rig, &first.joined.token).await;
    let (exchange, task) = comer(&rig).prove(&code).await.unwrap();
    assert_eq!(task, CodeTask::NewDevice { user: "Maya".to_owned() });
    let foreign = DriveId::from_bytes([9; 16]);
    assert_eq!(comer(&rig).finish(exchange, None, Some(foreign)).await, Err(Code::NotFound));
    let own = first.joined.drives[0].drive;
    let second = comer(&rig).finish(exchange, None, Some(own)).await.unwrap();
    assert_eq!((second.joined.account, second.device_name.as_str()), (first.joined.account, "laptop 2"));
    // The first account signs in with its password too.
    let request = Request::Join {
        user: "maya".to_owned(),
        password: PASSWORD.to_owned(),
        device_name: "phone".to_owned(),
        platform: String::new(),
        client_version: String::new(),
    };
    call(&rig.server, None, &request, vec![]).await.reply();
}

#[tokio::test(start_paused = true)]
async fn invitations_are_for_an_account_or_make_one() {
    let rig = rig().await;
    rig.server.add_user("ada", PASSWORD).await.unwrap();
    let (for_ada, invited) = rig.server.make_invitation(Some("ADA")).await.unwrap();
    assert_eq!(invited, Invited::NewDevice);
    assert_eq!(comer(&rig).join(&for_ada, None).await.unwrap().account_name, "ada");

    let (for_bob, invited) = rig.server.make_invitation(Some("bob")).await.unwrap();
    assert_eq!(invited, Invited::NewAccount);
    let (exchange, task) = comer(&rig).prove(&for_bob).await.unwrap();
    assert_eq!(task, CodeTask::NewAccount { user: Some("bob".to_owned()), is_first: false });
    assert_eq!(comer(&rig).finish(exchange, Some("mallory"), None).await.unwrap().account_name, "bob");

    let (for_anyone, _) = rig.server.make_invitation(None).await.unwrap();
    let (exchange, _) = comer(&rig).prove(&for_anyone).await.unwrap();
    assert_eq!(comer(&rig).finish(exchange, Some("Ada"), None).await, Err(Code::Exists), "and may choose anew:");
    assert_eq!(comer(&rig).finish(exchange, Some("eve"), None).await.unwrap().account_name, "eve");
    assert!(matches!(rig.server.make_invitation(Some("")).await, Err(ServiceError::BadUserName { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_man_in_the_middle_with_another_key_is_found_out_by_both_ends() {
    let rig = rig().await;
    let code = rig.server.make_setup_code().await.unwrap();
    let (exchange, proofs, server_is_known) = comer(&rig).start(&code, Fingerprint([8; 32])).await.unwrap();
    assert!(!server_is_known, "the device saw another key");
    let answer = comer(&rig).ask(&Request::ProveCode { exchange, proof: proofs.device }).await;
    assert_eq!(answer.code(), Code::JoinCode);
    // The code still counts for whoever sees the right key.
    comer(&rig).join(&code, Some("maya")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unknown_and_wrong_codes_get_equal_answers() {
    let rig = rig().await;
    let code = rig.server.make_setup_code().await.unwrap();
    let mut wrong = JoinCode::from_bytes([3; 8]).at(code.locator());
    if wrong == code {
        wrong = JoinCode::from_bytes([4; 8]).at(code.locator());
    }
    let other_locator = skep_protocol::Locator::numbered((code.locator().number() + 1) % 1024);
    let mut told = Vec::new();
    for (number, typed) in [(1, wrong), (2, code.at(other_locator))] {
        let comer = comer_from(&rig, number);
        let (exchange, proofs, server_is_known) = comer.start(&typed, KEY).await.unwrap();
        assert!(!server_is_known);
        told.push(comer.ask(&Request::ProveCode { exchange, proof: proofs.device }).await.error());
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].code, Code::JoinCode);
    // What is no message at all is refused alike.
    let begin = Request::StartCode { locator: other_locator, message: vec![0; 33] };
    assert_eq!(comer_from(&rig, 3).ask(&begin).await.code(), Code::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn a_code_has_five_tries_whoever_takes_them() {
    let rig = rig().await;
    let code = rig.server.make_setup_code().await.unwrap();
    let wrong = code.at(code.locator());
    for number in 1..=4 {
        // Begun is tried: the answer alone tells whether a guess was right.
        comer_from(&rig, number).start(&wrong, Fingerprint([0; 32])).await.unwrap();
    }
    let (exchange, _) = comer_from(&rig, 5).prove(&code).await.unwrap();
    assert_eq!(comer_from(&rig, 6).prove(&code).await.err(), Some(Code::JoinCode), "the sixth is too late");
    comer_from(&rig, 5).finish(exchange, Some("maya"), None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_tries_waits_by_address_and_by_code() {
    let rig = rig().await;
    let guess = |number: u16| JoinCode::from_bytes([1; 8]).at(skep_protocol::Locator::numbered(number));
    for number in 0..5 {
        comer(&rig).start(&guess(number), KEY).await.unwrap();
    }
    let refused = comer(&rig).start(&guess(6), KEY).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_ms), (Code::RateLimit, Some(1_000)));
    // The same code from many addresses, open or not.
    let code = rig.server.make_setup_code().await.unwrap();
    for unknown in [false, true] {
        let typed = if unknown {
            code.at(skep_protocol::Locator::numbered((code.locator().number() + 500) % 1024))
        } else {
            code
        };
        for number in 10..15 {
            comer_from(&rig, number).start(&typed, Fingerprint([0; 32])).await.unwrap();
        }
        let refused = comer_from(&rig, 20).start(&typed, KEY).await.unwrap_err();
        assert_eq!((refused.code, refused.retry_after_ms), (Code::RateLimit, Some(1_000)), "{unknown}");
    }
    // Another code from another address is not held up; who proved one starts anew.
    let code = rig.server.make_setup_code().await.unwrap();
    comer_from(&rig, 30).prove(&code).await.unwrap();
    assert!(comer_from(&rig, 30).start(&code, KEY).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_code_ends_after_fifteen_minutes_at_every_step() {
    let rig = rig().await;
    let code = rig.server.make_setup_code().await.unwrap();
    let (exchange, _) = comer(&rig).prove(&code).await.unwrap();
    tokio::time::advance(Duration::from_secs(15 * 60)).await;
    assert_eq!(comer(&rig).finish(exchange, Some("maya"), None).await, Err(Code::JoinCode));
    assert_eq!(comer(&rig).prove(&code).await.err(), Some(Code::JoinCode));
    let code = rig.server.make_setup_code().await.unwrap();
    let (exchange, proofs, _) = comer(&rig).start(&code, KEY).await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(comer(&rig).ask(&Request::ProveCode { exchange, proof: proofs.device }).await.code(), Code::JoinCode);
}

#[tokio::test(start_paused = true)]
async fn open_codes_are_few_and_told_to_nobody() {
    let rig = rig().await;
    let account = rig.account(1);
    let device = rig.device(account, 1);
    let mut codes = Vec::new();
    for _ in 0..10 {
        tokio::time::advance(Duration::from_millis(1)).await;
        codes.push(code_of_device(&rig, &device.token).await);
    }
    assert_eq!(rig.read(|read| read.join_codes()).len(), 8);
    assert_eq!(comer_from(&rig, 1).prove(&codes[1]).await.err(), Some(Code::JoinCode), "the oldest made room");
    comer_from(&rig, 1).prove(&codes[2]).await.unwrap();
    for number in 2..20 {
        let device = rig.device(rig.account(number), number);
        for _ in 0..8 {
            code_of_device(&rig, &device.token).await;
        }
    }
    assert_eq!(rig.read(|read| read.join_codes()).len(), 128);
    let locators: std::collections::BTreeSet<_> =
        rig.read(|read| read.join_codes()).into_iter().map(|code| code.locator).collect();
    assert_eq!(locators.len(), 128);
    let secret = codes[9].to_string();
    for line in rig.server.connections(1000).await.unwrap() {
        let line = skep_service::connection_line(&line);
        assert!(!line.contains(&secret) && !line.contains(&secret.replace('-', "")), "{line}");
    }
    let row = rig.read(|read| read.join_codes()).pop().unwrap();
    let shown = format!("{row:?}");
    assert!(!shown.contains(&format!("{:?}", row.letters)) && !shown.contains(&secret.replace('-', "")), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn codes_need_a_known_key_and_end_with_their_account() {
    let rig = Rig::new().await;
    let code = rig.server.make_setup_code().await.unwrap();
    let refused = comer(&rig).start(&code, KEY).await.unwrap_err();
    assert_eq!(refused.code, Code::NotAllowed, "no key that a code could vouch for is known");
    assert_eq!(call(&rig.server, None, &Request::MakeCode, vec![]).await.code(), Code::SignIn);
}
