//! The client's link against a server on a real data directory: joining, a feed, and a device that is signed out.

use skep::args::{Colour, Global, JoinArgs};
use skep::link::HttpLink;
use skep::{join, remote};
use skep_client::{Link, LinkError};
use skep_platform::Tasks;
use skep_platform::talk::Exit;
use skep_protocol::{BodyError, Code, FeedRequest, FrameKind, FrameStream, Joined, Reply, Request};
use skep_server::config::Site;
use skep_server::listen::Door;
use skep_server::{keys, listen, stop, store};
use skep_types::Limits;

fn join_as(user: &str, password: &str) -> Request {
    let text = |text: &str| text.to_owned();
    Request::Join {
        user: text(user),
        password: text(password),
        device_name: text("thinkpad"),
        platform: text("linux"),
        client_version: text("skep 0"),
    }
}

fn hello() -> Request {
    Request::Hello { features: Vec::new(), client_version: "skep 0".into() }
}

#[tokio::test]
async fn a_device_joins_follows_the_feed_and_is_signed_out() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let data = tempfile::tempdir().unwrap();
    let site = Site::at(data.path());
    let opened = store::open(&site).await.unwrap();
    assert!(store::open(&site).await.is_err(), "a second server on one data directory");
    let identity = keys::identity(&data.path().join("keys")).unwrap();
    let (listener, local) = listen::bind("127.0.0.1:0").await.unwrap();
    let (_stop, stopping) = stop::channel();
    let (service, tasks) = (opened.service.clone(), opened.tasks.clone());
    let served =
        listen::serve(listener, Door::with(identity.tls), service.clone(), Limits::SHIPPED, tasks.clone(), stopping);
    tasks.spawn("serve", served);
    // As the command line does, beside the running server.
    store::administer(data.path()).await.unwrap().add_user("maya", "correct horse").await.unwrap();

    let link = HttpLink::new(local.to_string().parse().unwrap(), identity.fingerprint, Limits::SHIPPED);
    let refused = remote::ask(&link, None, &join_as("maya", "wrong horse")).await.unwrap_err();
    assert_eq!((refused.exit, refused.code), (Exit::NotAllowed, "E-SIGN-IN"));
    let reply = remote::ask(&link, None, &join_as("maya", "correct horse")).await.unwrap();
    let Reply::Joined(Joined { token, drives, .. }) = reply else { panic!("{reply:?}") };
    let reply = remote::ask(&link, Some(&token), &hello()).await.unwrap();
    assert!(matches!(reply, Reply::Hello { account_name, .. } if account_name == "maya"));

    let request = FeedRequest { drive: drives[0].drive, after: drives[0].head, wants_content: true };
    let stranger = link.feed("no such token", request.clone()).await.err();
    assert!(matches!(stranger, Some(LinkError::Refused(refused)) if refused.code == Code::SignIn));
    let mut feed = FrameStream::new(link.feed(&token, request).await.unwrap(), Limits::SHIPPED.frame_bytes_max);
    assert_eq!(feed.next_frame().await.unwrap().unwrap().kind, FrameKind::Heartbeat);

    // Another process signs the device out; the server notices when it looks.
    store::administer(data.path()).await.unwrap().revoke_device("thinkpad").await.unwrap();
    service.check_revocations().await.unwrap();
    let end = loop {
        match feed.next_frame().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Err(BodyError::Refused(refused)) if refused.code == Code::SignIn));
    let refused = remote::ask(&link, Some(&token), &hello()).await.unwrap_err();
    assert_eq!(refused.exit, Exit::NotAllowed);
    let lines = service.connections(100).await.unwrap();
    assert!(lines.iter().any(|line| line.request == "join" && line.outcome == "E-SIGN-IN"));
}

/// A service that hears calls at an address with this key, whatever key it takes for its own.
async fn hear(opened: &store::Opened, identity: keys::Identity) -> (String, stop::Stop) {
    let (listener, local) = listen::bind("127.0.0.1:0").await.expect("there is a free port");
    let (stop, stopping) = stop::channel();
    let (service, tasks) = (opened.service.clone(), opened.tasks.clone());
    let door = Door::with(identity.tls);
    tasks.clone().spawn("serve", listen::serve(listener, door, service, Limits::SHIPPED, tasks, stopping));
    (local.to_string(), stop)
}

#[tokio::test]
async fn a_man_in_the_middle_who_passes_everything_on_gets_no_computer_to_join() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let opened = store::open(&Site::at(data.path())).await.unwrap();
    let own = keys::identity(&data.path().join("keys")).unwrap();
    opened.service.introduce_as("attic", Some(own.fingerprint));
    let (true_address, _stop) = hear(&opened, own).await;
    let (false_address, _stop_too) = hear(&opened, keys::identity(elsewhere.path()).unwrap()).await;

    opened.service.add_user("maya", "correct horse").await.unwrap();
    let (code, _) = opened.service.make_invitation(Some("maya")).await.unwrap();
    let joined = async |address: &str, home: &str| {
        let home = elsewhere.path().join(home);
        let folder = home.with_extension("folder");
        let global = Global { home: Some(home), json: false, quiet: true, color: Colour::Never };
        let args = JoinArgs {
            to: address.to_owned(),
            code: Some(code.to_string()),
            user: None,
            password_stdin: false,
            fingerprint: None,
            dir: Some(folder),
            name: None,
            device_code: false,
            no_daemon: true,
        };
        join::join(&global, args).await.map_err(|complaint| complaint.code)
    };
    assert_eq!(joined(&false_address, "one").await, Err("E-CODE"));
    assert!(opened.service.devices().await.unwrap().is_empty());
    assert!(!elsewhere.path().join("one.folder").exists(), "nothing was begun here either");
    assert_eq!(joined(&true_address, "two").await, Ok(Exit::Done));
    assert_eq!(opened.service.devices().await.unwrap().len(), 1);
}
