//! What accounts may do about themselves, and what is done about them.

use skep_protocol::{Code, Profile, Reply, Request};
use skep_service::{Belongings, ServiceError};

use crate::rig::{Caller, Rig, call, noise};

const PASSWORD: &str = "correct horse";

async fn ask(caller: &Caller, request: Request) -> Result<Reply, Code> {
    let answer = caller.call(&request, vec![]).await;
    if answer.frames[0].kind == skep_protocol::FrameKind::Error { Err(answer.code()) } else { Ok(answer.reply()) }
}

async fn profile(caller: &Caller) -> Profile {
    match ask(caller, Request::Profile).await.unwrap() {
        Reply::Profile(profile) => profile,
        other => panic!("{other:?}"),
    }
}

fn change(old: Option<&str>, new: &str) -> Request {
    Request::ChangePassword { old: old.map(str::to_owned), new: new.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_name_and_a_password_are_changed_by_whoever_may() {
    let rig = Rig::new().await;
    let (one, other) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    assert_eq!((profile(&one).await.user.as_str(), profile(&one).await.devices), ("user 1", 1));
    assert_eq!(ask(&one, Request::Rename { user: "USER 2".to_owned() }).await, Err(Code::Exists));
    assert_eq!(ask(&one, Request::Rename { user: "a\nb".to_owned() }).await, Err(Code::BadRequest));
    assert_eq!(ask(&one, Request::Rename { user: "User 1".to_owned() }).await, Ok(Reply::Done), "only its case");
    assert_eq!(profile(&one).await.user, "User 1");

    assert!(!profile(&one).await.has_password);
    assert_eq!(ask(&one, change(None, "short")).await, Err(Code::BadRequest));
    assert_eq!(ask(&one, change(None, PASSWORD)).await, Ok(Reply::Done));
    assert!(profile(&one).await.has_password);
    for old in [None, Some("wrong")] {
        assert_eq!(ask(&one, change(old, "another one")).await, Err(Code::NotAllowed));
    }
    assert_eq!(ask(&one, change(Some(PASSWORD), "another one")).await, Ok(Reply::Done));
    // Whoever has only the device guesses no more than anybody else.
    for _ in 0..5 {
        assert_eq!(ask(&one, change(Some("wrong"), "a third one")).await, Err(Code::NotAllowed));
    }
    assert_eq!(ask(&one, change(Some("another one"), "a third one")).await, Err(Code::RateLimit));
    assert_eq!(profile(&other).await.user, "user 2");
}

#[tokio::test(start_paused = true)]
async fn devices_are_seen_and_signed_out_within_their_account_only() {
    let rig = Rig::new().await;
    let account = rig.account(1);
    let (one, two, foreign) = (rig.device(account, 1), rig.device(account, 2), rig.device(rig.account(2), 3));
    assert_eq!(ask(&one, Request::SignOut { device: foreign.id }).await, Err(Code::NotFound));
    profile(&foreign).await;
    let mut feed = two.feed(two.start().await, false).await.unwrap();
    assert_eq!(ask(&one, Request::SignOut { device: two.id }).await, Ok(Reply::Done));
    let last = loop {
        match feed.next().await {
            Some(frame) if frame.kind == skep_protocol::FrameKind::Error => break frame,
            Some(_) => {}
            None => panic!("the feed ended without a word"),
        }
    };
    assert_eq!(last.read::<skep_protocol::ErrorReply>().unwrap().code, Code::SignIn);
    assert_eq!(ask(&two, Request::Profile).await, Err(Code::SignIn));
    let Reply::Devices { devices } = ask(&one, Request::Devices).await.unwrap() else { panic!("no devices") };
    let told: Vec<_> = devices.iter().map(|device| (device.name.as_str(), device.is_signed_out)).collect();
    assert_eq!(told, [("device 1", false), ("device 2", true)]);
    // The last one signs itself out; the answer is that it is.
    assert_eq!(ask(&one, Request::SignOut { device: one.id }).await, Err(Code::SignIn));
    assert_eq!(ask(&one, Request::Profile).await, Err(Code::SignIn));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_account_is_cut_off_and_comes_back_with_everything() {
    let rig = Rig::new().await;
    let one = rig.device(rig.account(1), 1);
    one.save("a", b"a").await;
    rig.server.set_disabled("user 1", true).await.unwrap();
    assert_eq!(ask(&one, Request::Profile).await, Err(Code::SignIn));
    let code = rig.server.make_invitation(Some("user 1")).await;
    assert!(code.is_ok(), "it may be made, but lets nobody in");
    rig.server.set_disabled("user 1", false).await.unwrap();
    assert_eq!(profile(&one).await.user, "user 1");
    assert_eq!(one.head().await.seq.0, 1);
    assert!(matches!(rig.server.set_disabled("nobody", true).await, Err(ServiceError::UnknownUser(_))));
}

#[tokio::test(start_paused = true)]
async fn a_removed_account_leaves_nothing_and_takes_nothing_of_others() {
    let rig = Rig::new().await;
    let (gone, stays) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    for device in [&gone, &stays] {
        for number in 0..3 {
            device.save(&format!("{number}"), &noise(number, 10_000)).await;
        }
    }
    let belongings = rig.server.belongings("user 1").await.unwrap();
    assert_eq!(belongings, Belongings { devices: 1, files: 3, bytes: 30_000 });
    rig.server.remove_user("user 1").await.unwrap();
    assert_eq!(ask(&gone, Request::Profile).await, Err(Code::SignIn));
    assert_eq!(ask(&gone, Request::Head { drive: gone.drive }).await, Err(Code::SignIn));
    assert_eq!(rig.read(|read| read.drive(gone.drive)), None);
    assert_eq!(rig.read(|read| read.accounts()).len(), 1);
    assert_eq!(stays.head().await.seq.0, 3);
    let hello = Request::Head { drive: gone.drive };
    assert_eq!(call(&rig.server, Some(&stays.token), &hello, vec![]).await.code(), Code::NotFound);
    assert!(matches!(rig.server.remove_user("user 1").await, Err(ServiceError::UnknownUser(_))));
}
