//! Accounts, and devices that join them and are signed out.

use std::time::Duration;

use skep_metastore::{MetaStore, StoreError};
use skep_protocol::{Code, Frame, FrameKind, Joined, Reply, Request};
use skep_service::ServiceError;
use skep_types::Seq;

use crate::rig::{Answer, Rig, Server, call, call_from};

const PASSWORD: &str = "correct horse";

async fn join(server: &Server, user: &str, password: &str, device_name: &str) -> Answer {
    call(server, None, &request(user, password, device_name), vec![]).await
}

async fn join_from(server: &Server, peer: &str, user: &str, password: &str) -> Answer {
    let request = Frame::cbor(FrameKind::Request, &request(user, password, "laptop"));
    call_from(server, peer, None, &[request.to_bytes(), Frame::end().to_bytes()].concat()).await
}

fn request(user: &str, password: &str, device_name: &str) -> Request {
    Request::Join {
        user: user.to_owned(),
        password: password.to_owned(),
        device_name: device_name.to_owned(),
        platform: "linux\nx86_64".to_owned(),
        client_version: "test 1".to_owned(),
    }
}

async fn joined(server: &Server, user: &str, device_name: &str) -> Joined {
    match join(server, user, PASSWORD, device_name).await.reply() {
        Reply::Joined(joined) => joined,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_joined_has_a_home_and_a_token_that_is_stored_nowhere() {
    let rig = Rig::new().await;
    let account = rig.server.add_user("Ada Lovelace", PASSWORD).await.unwrap();
    let ada = joined(&rig.server, "ada lovelace", " laptop ").await;
    assert_eq!(ada.account, account);
    assert_eq!((ada.drives.len(), ada.drives[0].name.as_str()), (1, "home"));
    assert_eq!((ada.drives[0].head.seq, ada.drives[0].head.commit), (Seq::START, None));
    assert!(ada.token.starts_with("skd_") && ada.token.len() == 68, "{}", ada.token);
    let hello = Request::Hello { features: vec![], client_version: "test 1".to_owned() };
    let Reply::Hello { account_name, device_name, drives, .. } =
        call(&rig.server, Some(&ada.token), &hello, vec![]).await.reply()
    else {
        panic!("no hello")
    };
    assert_eq!((account_name.as_str(), device_name.as_str()), ("Ada Lovelace", "laptop"));
    assert_eq!(drives, ada.drives);
    let image = rig.meta.image();
    let stored = |text: &str| image.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(stored("laptop") && !stored(&ada.token) && !stored(PASSWORD));
    assert_eq!(rig.read(|read| read.device(ada.device)).unwrap().platform, "linuxx86_64");
}

#[tokio::test(start_paused = true)]
async fn devices_of_an_account_have_different_names() {
    let rig = Rig::new().await;
    rig.server.add_user("ada", PASSWORD).await.unwrap();
    for _ in 0..3 {
        joined(&rig.server, "ada", "laptop").await;
    }
    let names: Vec<_> = rig.server.devices().await.unwrap().into_iter().map(|device| device.name).collect();
    assert_eq!(names, ["laptop", "laptop 2", "laptop 3"]);
    for bad in ["", "  ", "a\nb", &"x".repeat(65)] {
        assert_eq!(join(&rig.server, "ada", PASSWORD, bad).await.code(), Code::BadRequest, "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_name_and_a_wrong_password_look_alike_and_slow_down() {
    let rig = Rig::new().await;
    rig.server.add_user("ada", PASSWORD).await.unwrap();
    let wrong_password = join(&rig.server, "ada", "wrong", "laptop").await.error();
    let wrong_name = join(&rig.server, "nobody", PASSWORD, "laptop").await.error();
    assert_eq!(wrong_password, wrong_name);
    assert_eq!(wrong_name.code, Code::SignIn);
    for name in ["ada", "nobody"] {
        for _ in 0..4 {
            assert_eq!(join(&rig.server, name, "wrong", "laptop").await.code(), Code::SignIn);
        }
    }
    // Five failures at this address: there even the right password waits now, and a name that nobody has waits as long.
    let limited = join(&rig.server, "ada", PASSWORD, "laptop").await.error();
    assert_eq!((limited.code, limited.retry_after_ms), (Code::RateLimit, Some(1_000)));
    assert_eq!(join(&rig.server, "nobody", PASSWORD, "laptop").await.error(), limited);
    tokio::time::advance(Duration::from_millis(limited.retry_after_ms.unwrap())).await;
    joined(&rig.server, "ada", "laptop").await;
    assert_eq!(join(&rig.server, "ada", "wrong", "laptop").await.code(), Code::SignIn);
}

#[tokio::test(start_paused = true)]
async fn who_guesses_elsewhere_does_not_lock_the_owner_out() {
    let rig = Rig::new().await;
    rig.server.add_user("ada", PASSWORD).await.unwrap();
    joined(&rig.server, "ada", "laptop").await;
    let at = |number: usize| format!("203.0.113.{number}:5000");
    for number in 0..50 {
        assert_eq!(join_from(&rig.server, &at(number), "ada", "wrong").await.code(), Code::SignIn);
    }
    // From many addresses it is the account that is slow, but not where a device of it is.
    let limited = join_from(&rig.server, &at(50), "ada", PASSWORD).await.error();
    assert_eq!((limited.code, limited.retry_after_ms), (Code::RateLimit, Some(1_000)));
    joined(&rig.server, "ada", "desktop").await;
    // Nobody can wash off guesses by an account of their own.
    rig.server.add_user("eve", PASSWORD).await.unwrap();
    for number in 0..20 {
        assert_eq!(join_from(&rig.server, &at(60), &format!("user {number}"), "wrong").await.code(), Code::SignIn);
        join_from(&rig.server, &at(60), "eve", PASSWORD).await;
    }
    assert_eq!(join_from(&rig.server, &at(60), "bob", "wrong").await.code(), Code::RateLimit);
}

#[tokio::test(start_paused = true)]
async fn guesses_at_the_same_time_are_not_more_than_one_after_the_other() {
    let rig = Rig::new().await;
    rig.server.add_user("ada", PASSWORD).await.unwrap();
    let guesses = (0..8).map(|_| join(&rig.server, "ada", "wrong", "laptop"));
    let answers = futures_util::future::join_all(guesses).await;
    let codes: Vec<Code> = answers.iter().map(|answer| answer.code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == Code::SignIn).count(), 5, "{codes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_account_takes_no_device() {
    let rig = Rig::new().await;
    let account = rig.server.add_user("ada", PASSWORD).await.unwrap();
    rig.meta
        .write(|tx| {
            let mut account = tx.account(account)?.unwrap();
            account.disabled = true;
            tx.put_account(&account)
        })
        .unwrap();
    assert_eq!(join(&rig.server, "ada", PASSWORD, "laptop").await.code(), Code::SignIn);
}

#[tokio::test(start_paused = true)]
async fn names_and_passwords_have_rules() {
    let rig = Rig::new().await;
    let add = async |name: &str, password: &str| rig.server.add_user(name, password).await;
    for bad in ["", " ada", "ada ", "a\tb", &"x".repeat(65)] {
        assert!(matches!(add(bad, PASSWORD).await, Err(ServiceError::BadUserName { .. })), "{bad:?}");
    }
    assert!(matches!(add("ada", "7 chars").await, Err(ServiceError::BadPassword(_))));
    assert!(matches!(add("ada", &"x".repeat(1025)).await, Err(ServiceError::BadPassword(_))));
    add(&"é".repeat(64), "8 chars!").await.unwrap();
    add("Ada", PASSWORD).await.unwrap();
    assert!(matches!(add("ada", PASSWORD).await, Err(ServiceError::Store(StoreError::Exists(_)))));
    assert_eq!(rig.server.accounts().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn devices_are_revoked_by_name_or_id() {
    let rig = Rig::new().await;
    rig.server.add_user("ada", PASSWORD).await.unwrap();
    rig.server.add_user("bob", PASSWORD).await.unwrap();
    let ada = joined(&rig.server, "ada", "laptop").await;
    let bob = joined(&rig.server, "bob", "laptop").await;
    let phone = joined(&rig.server, "bob", "phone").await;
    let revoke = async |name: &str| rig.server.revoke_device(name).await;
    assert!(matches!(revoke("tablet").await, Err(ServiceError::UnknownDevice(_))));
    let Err(ServiceError::AmbiguousDevice { ids, .. }) = revoke("laptop").await else { panic!("not ambiguous") };
    assert_eq!(ids, [ada.device, bob.device]);
    assert_eq!(revoke("phone").await.unwrap(), phone.device);
    assert_eq!(revoke("phone").await.unwrap(), phone.device);
    assert_eq!(revoke(&ada.device.to_string()).await.unwrap(), ada.device);
    // The other laptop is the only one left of that name.
    assert_eq!(revoke("laptop").await.unwrap(), bob.device);
    for device in [&ada, &bob, &phone] {
        let head = Request::Head { drive: device.drives[0].drive };
        assert_eq!(call(&rig.server, Some(&device.token), &head, vec![]).await.code(), Code::SignIn);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_keeps_its_generation() {
    let rig = Rig::new().await;
    rig.server.add_user("ada", PASSWORD).await.unwrap();
    let first = joined(&rig.server, "ada", "laptop").await.drives[0].head.generation;
    rig.another_process().await.add_user("bob", PASSWORD).await.unwrap();
    assert_eq!(joined(&rig.server, "bob", "laptop").await.drives[0].head.generation, first);
}
