//! The classic form of joining: accounts made by whoever asks, and computers that come to them by the account's id.

use std::time::Duration;

use skep_protocol::{ClassicId, Code, Connected, Introduction, Reply, Request};
use skep_service::ServiceError;
use skep_types::DriveId;

use crate::rig::{Answer, PEER, Rig, Server, call, call_bytes, call_from};

const OTHER_PEER: &str = "198.51.100.9:5000";

fn id(number: u8) -> ClassicId {
    ClassicId::from_bytes([number; ClassicId::LEN])
}

fn laptop() -> Introduction {
    Introduction { name: "laptop".to_owned(), platform: "linux".to_owned(), client_version: "test 1".to_owned() }
}

async fn ask_from(server: &Server, peer: &str, request: &Request) -> Answer {
    call_from(server, peer, None, &call_bytes(request, vec![]).await).await
}

async fn new_account(server: &Server, number: u8) -> Answer {
    ask_from(server, PEER, &Request::NewAccount { id: id(number), device: laptop() }).await
}

async fn new_device(server: &Server, number: u8, drive: Option<DriveId>) -> Answer {
    ask_from(server, PEER, &Request::NewDevice { id: id(number), device: laptop(), drive }).await
}

#[track_caller]
fn connected(answer: &Answer) -> Connected {
    match answer.reply() {
        Reply::Connected(connected) => connected,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_gets_an_account_and_other_computers_come_to_it_by_its_id() {
    let rig = Rig::new().await;
    rig.server.open_to_all();
    let first = connected(&new_account(&rig.server, 1).await);
    let account = first.joined.account.to_string();
    assert_eq!(first.account_name, format!("account-{}", &account[..4]));
    assert_eq!((first.device_name.as_str(), first.joined.drives[0].name.as_str()), ("laptop", "home"));
    let home = first.joined.drives[0].drive;
    let second = connected(&new_device(&rig.server, 1, None).await);
    assert_eq!((second.joined.account, second.device_name.as_str()), (first.joined.account, "laptop 2"));
    assert_eq!(second.joined.drives[0].drive, home);
    connected(&new_device(&rig.server, 1, Some(home)).await);

    // Another account is another world.
    let other = connected(&new_account(&rig.server, 2).await);
    assert_ne!((other.joined.account, other.joined.drives[0].drive), (first.joined.account, home));
    let head = Request::Head { drive: home };
    assert_eq!(call(&rig.server, Some(&other.joined.token), &head, vec![]).await.code(), Code::NotFound);
    call(&rig.server, Some(&second.joined.token), &head, vec![]).await.reply();

    // Neither id nor token is stored; the account has no password by which anybody could sign in.
    let image = rig.meta.image();
    let stored = |bytes: &[u8]| image.windows(bytes.len()).any(|window| window == bytes);
    assert!(stored(first.account_name.as_bytes()));
    assert!(
        !stored(id(1).as_bytes()) && !stored(id(1).to_string().as_bytes()) && !stored(first.joined.token.as_bytes())
    );
    assert_eq!(rig.server.accounts().await.unwrap()[0].password_hash, None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_makes_no_second_account() {
    let rig = Rig::new().await;
    rig.server.open_to_all();
    let lost = connected(&new_account(&rig.server, 1).await);
    let again = connected(&new_account(&rig.server, 1).await);
    assert_eq!((again.joined.account, again.joined.drives), (lost.joined.account, lost.joined.drives));
    assert_eq!(rig.server.accounts().await.unwrap().len(), 1);
    // Nor does one that failed at its end.
    rig.meta.fail(1);
    assert_eq!(new_account(&rig.server, 2).await.code(), Code::Internal);
    assert_eq!(rig.server.accounts().await.unwrap().len(), 1);
    connected(&new_account(&rig.server, 2).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_open_makes_no_account_but_takes_computers_by_id() {
    let rig = Rig::new().await;
    assert_eq!(new_account(&rig.server, 1).await.code(), Code::NotOpen);
    assert_eq!(rig.server.accounts().await.unwrap().len(), 0);
    // That it was open once is enough for the account.
    rig.server.open_to_all();
    let first = connected(&new_account(&rig.server, 1).await);
    let closed = rig.another_process().await;
    assert_eq!(connected(&new_device(&closed, 1, None).await).joined.account, first.joined.account);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_id_is_refused_and_slows_down_only_who_guesses() {
    let rig = Rig::new().await;
    rig.server.open_to_all();
    connected(&new_account(&rig.server, 1).await);
    for _ in 0..5 {
        assert_eq!(new_device(&rig.server, 9, None).await.code(), Code::SignIn);
    }
    let limited = new_device(&rig.server, 1, None).await.error();
    assert_eq!((limited.code, limited.retry_after_ms), (Code::RateLimit, Some(1_000)));
    // Asking for an account tells as much about an id as naming it.
    assert_eq!(new_account(&rig.server, 9).await.code(), Code::RateLimit);
    let request = Request::NewDevice { id: id(1), device: laptop(), drive: None };
    connected(&ask_from(&rig.server, OTHER_PEER, &request).await);
    tokio::time::advance(Duration::from_secs(1)).await;
    connected(&new_device(&rig.server, 1, None).await);
    // Who has an id cannot wash off the guesses at others with it.
    assert_eq!(new_device(&rig.server, 9, None).await.code(), Code::SignIn);
    assert_eq!(new_device(&rig.server, 1, None).await.error().retry_after_ms, Some(2_000));
}

#[tokio::test(start_paused = true)]
async fn new_accounts_are_few_for_each_address() {
    let rig = Rig::new().await;
    rig.server.open_to_all();
    for number in 0..20 {
        connected(&new_account(&rig.server, number).await);
    }
    let limited = new_account(&rig.server, 20).await.error();
    assert_eq!((limited.code, limited.retry_after_ms), (Code::RateLimit, Some(10_000)));
    connected(&ask_from(&rig.server, OTHER_PEER, &Request::NewAccount { id: id(21), device: laptop() }).await);
    // The accounts that are there go on, also with an answer that was lost.
    connected(&new_device(&rig.server, 0, None).await);
    connected(&new_account(&rig.server, 0).await);
    tokio::time::advance(Duration::from_secs(10)).await;
    connected(&new_account(&rig.server, 20).await);
    assert_eq!(new_account(&rig.server, 22).await.error().retry_after_ms, Some(20_000));
}

#[tokio::test(start_paused = true)]
async fn a_folder_of_one_account_is_not_taken_into_another_one() {
    let rig = Rig::new().await;
    rig.server.open_to_all();
    let one = connected(&new_account(&rig.server, 1).await);
    connected(&new_account(&rig.server, 2).await);
    let drive = one.joined.drives[0].drive;
    let devices = rig.server.devices().await.unwrap().len();
    assert_eq!(new_device(&rig.server, 2, Some(drive)).await.code(), Code::NotFound);
    assert_eq!(rig.server.devices().await.unwrap().len(), devices);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_replaced_no_longer_counts_and_devices_stay() {
    let rig = Rig::new().await;
    rig.server.open_to_all();
    let first = connected(&new_account(&rig.server, 1).await);
    let token = Some(first.joined.token.as_str());
    let check = async |id| call(&rig.server, token, &Request::CheckId { id }, vec![]).await;
    assert_eq!(check(id(1)).await.reply(), Reply::Done);

    let by_admin = rig.server.new_classic_id(&first.account_name.to_uppercase()).await.unwrap();
    assert_eq!(new_device(&rig.server, 1, None).await.code(), Code::SignIn);
    assert_eq!(check(id(1)).await.code(), Code::NotFound);
    assert_eq!(check(by_admin).await.reply(), Reply::Done);
    let request = Request::NewDevice { id: by_admin, device: laptop(), drive: None };
    assert_eq!(connected(&ask_from(&rig.server, PEER, &request).await).joined.account, first.joined.account);

    let replaced = call(&rig.server, token, &Request::ReplaceId { id: id(3) }, vec![]).await;
    assert_eq!(replaced.reply(), Reply::Done);
    assert_eq!(check(by_admin).await.code(), Code::NotFound);
    assert_eq!(connected(&new_device(&rig.server, 3, None).await).joined.account, first.joined.account);
    assert!(rig.server.has_classic_id(first.joined.account).await.unwrap());

    // An account with a password can have one too; nobody's cannot.
    let ada = rig.server.add_user("ada", "correct horse").await.unwrap();
    assert!(!rig.server.has_classic_id(ada).await.unwrap());
    rig.server.new_classic_id("ada").await.unwrap();
    assert!(matches!(rig.server.new_classic_id("bob").await, Err(ServiceError::UnknownUser(_))));
    // A stranger replaces and checks nothing.
    for request in [Request::ReplaceId { id: id(4) }, Request::CheckId { id: id(3) }] {
        assert_eq!(ask_from(&rig.server, PEER, &request).await.code(), Code::SignIn);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_tries_ids_is_slowed_down() {
    let rig = Rig::new().await;
    rig.server.open_to_all();
    let first = connected(&new_account(&rig.server, 1).await);
    let token = Some(first.joined.token.as_str());
    for _ in 0..5 {
        assert_eq!(call(&rig.server, token, &Request::CheckId { id: id(2) }, vec![]).await.code(), Code::NotFound);
    }
    assert_eq!(call(&rig.server, token, &Request::CheckId { id: id(1) }, vec![]).await.code(), Code::RateLimit);
}

#[tokio::test(start_paused = true)]
async fn the_connection_log_tells_new_users_and_new_clients() {
    let rig = Rig::new().await;
    new_account(&rig.server, 1).await;
    rig.server.open_to_all();
    let first = connected(&new_account(&rig.server, 1).await);
    let second = connected(&new_device(&rig.server, 1, None).await);
    new_device(&rig.server, 2, None).await;
    let lines = rig.server.connections(10).await.unwrap();
    let told: Vec<_> =
        lines.iter().map(|line| (line.request.as_str(), line.outcome.as_str(), line.account, line.device)).collect();
    let account = Some(first.joined.account);
    assert_eq!(
        told,
        [
            ("new_user", "E-NOT-OPEN", None, None),
            ("new_user", "ok", account, Some(first.joined.device)),
            ("new_client", "ok", account, Some(second.joined.device)),
            ("new_client", "E-SIGN-IN", None, None),
        ]
    );
    assert!(lines.iter().all(|line| line.peer == PEER && line.bytes_in > 0));
}
