//! What holds for every call: who may call, how bodies are cut, what is bounded, what is logged.

use proptest::prelude::*;
use skep_content::{Manifest, chunk_id};
use skep_metastore::MetaStore;
use skep_protocol::{Code, Frame, FrameKind, ManifestFrame, Reply, Request};
use skep_types::{ChunkId, ContentId, Cursor, DriveId, Generation, Limits, ListId, Seq, Timestamp};

use crate::rig::{Caller, PEER, Rig, block, call, call_bytes, call_with, create, create_with, noise};

/// One request of each kind for that drive, with the frames that belong to it.
fn requests(caller: &Caller, drive: DriveId) -> Vec<(Request, Vec<Frame>)> {
    let after = Cursor { generation: Generation::from_bytes([0; 16]), seq: Seq::START, commit: None };
    let mut commit = caller.commit_of(vec![create("asked", b"asked")]);
    commit.drive = drive;
    let content = block(&[b"asked"], &caller.limits);
    vec![
        (Request::Commit { drive }, vec![content.clone(), Frame::cbor(FrameKind::Operations, &commit)]),
        (Request::Upload { drive }, vec![content]),
        (Request::Lacks { drive, chunks: vec![chunk_id(b"asked")], needs: None }, vec![]),
        (Request::Fetch { drive, chunks: vec![chunk_id(b"asked")] }, vec![]),
        (Request::Manifests { drive, lists: vec![] }, vec![]),
        (Request::Entries { drive, after }, vec![]),
        (Request::Snapshot { drive, after: None }, vec![]),
        (Request::Head { drive }, vec![]),
    ]
}

fn hello() -> Request {
    Request::Hello { features: vec!["of the future".to_owned()], client_version: "test 2".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn hello_tells_who_and_what() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    ada.save("a", b"a").await;
    let Reply::Hello { account_name, device_name, drives, server_version, .. } =
        ada.call(&hello(), vec![]).await.reply()
    else {
        panic!("no hello")
    };
    assert_eq!((account_name.as_str(), device_name.as_str()), ("user 1", "device 1"));
    assert_eq!(server_version, "skep-server test");
    assert_eq!(drives.len(), 1);
    assert_eq!((drives[0].name.as_str(), drives[0].head), ("home", ada.head().await));
    assert_eq!(rig.read(|read| read.device(ada.id)).unwrap().client_version, "test 2");
}

#[tokio::test(start_paused = true)]
async fn only_a_token_that_counts_may_call() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let long = format!("skd_{}", "0".repeat(10_000));
    for token in [None, Some(""), Some("skd_"), Some("1"), Some("skd_2"), Some(&*long)] {
        for (request, frames) in requests(&ada, ada.drive).into_iter().chain([(hello(), vec![])]) {
            assert_eq!(call(&rig.server, token, &request, frames).await.code(), Code::SignIn, "{request:?}");
        }
    }
    assert_eq!(ada.head().await.seq, Seq::START);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_account_may_not_call() {
    let rig = Rig::new().await;
    let account = rig.account(1);
    let ada = rig.device(account, 1);
    rig.meta
        .write(|tx| {
            let mut account = tx.account(account.0)?.unwrap();
            account.disabled = true;
            tx.put_account(&account)
        })
        .unwrap();
    assert_eq!(ada.call(&hello(), vec![]).await.code(), Code::SignIn);
}

#[tokio::test(start_paused = true)]
async fn the_drive_of_another_account_is_not_there() {
    let rig = Rig::new().await;
    let (ada, bob) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    bob.save("secret", b"asked").await;
    for drive in [bob.drive, DriveId::from_bytes([9; 16])] {
        for (request, frames) in requests(&ada, drive) {
            assert_eq!(ada.call(&request, frames).await.code(), Code::NotFound, "{request:?}");
        }
    }
    assert_eq!(bob.head().await.seq, Seq(1));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_anywhere_counts_for_nothing() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    for (request, frames) in requests(&ada, ada.drive).into_iter().chain([(hello(), vec![])]) {
        let bytes = call_bytes(&request, frames).await;
        for length in 0..bytes.len() {
            let answer = call_with(&rig.server, Some(&ada.token), &bytes[..length]).await;
            assert_eq!(answer.code(), Code::BadRequest, "{request:?} cut at {length}");
        }
        assert_eq!(ada.head().await.seq, Seq::START, "{request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_do_not_belong_are_refused() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let commit = ada.commit_of(vec![create("a", b"a")]);
    let (content, operations) = (block(&[b"a"], &ada.limits), Frame::cbor(FrameKind::Operations, &commit));
    let (drive, garbage) = (ada.drive, Frame::new(FrameKind::Block, vec![7; 100]));
    let cases = [
        (Request::Head { drive }, vec![content.clone()]),
        (Request::Upload { drive }, vec![operations.clone()]),
        (Request::Upload { drive }, vec![garbage.clone()]),
        (Request::Upload { drive }, vec![Frame::new(FrameKind::Manifest, vec![7; 100])]),
        (Request::Commit { drive }, vec![content.clone()]),
        (Request::Commit { drive }, vec![content.clone(), Frame::new(FrameKind::Operations, vec![7; 100])]),
        (Request::Commit { drive }, vec![operations.clone(), content.clone()]),
        (Request::Commit { drive }, vec![content.clone(), operations.clone(), operations.clone()]),
        (Request::Commit { drive }, vec![content, operations, Frame::new(FrameKind::Heartbeat, vec![])]),
    ];
    for (request, frames) in cases {
        assert_eq!(ada.call(&request, frames).await.code(), Code::BadRequest, "{request:?}");
    }
    let no_request = garbage.to_bytes();
    assert_eq!(call_with(&rig.server, Some(&ada.token), &no_request).await.code(), Code::BadRequest);
    assert_eq!(ada.head().await.seq, Seq::START);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_a_limit_is_refused() {
    let limits = Limits { chunk_query_max: 2, commit_operations_max: 2, commit_bytes_max: 300, ..Limits::SHIPPED };
    let rig = Rig::with(limits).await;
    let ada = rig.device(rig.account(1), 1);
    let (drive, chunks) = (ada.drive, vec![ChunkId::from_bytes([1; 32]); 3]);
    let lists = vec![ListId::from_bytes([1; 32]); 257];
    let many = ["a", "b", "c"].map(|name| create_with(name, ContentId::Empty, 0)).to_vec();
    let long = create_with(&"x".repeat(250), ContentId::Empty, 0);
    let mut empty_groups = ada.commit_of(vec![]);
    empty_groups.groups = vec![skep_types::Group::default(); 3];
    for commit in [ada.commit_of(many), ada.commit_of(vec![long]), empty_groups] {
        assert_eq!(ada.send(&commit, vec![]).await.code(), Code::TooLarge);
    }
    assert_eq!(
        ada.call(&Request::Lacks { drive, chunks: chunks.clone(), needs: None }, vec![]).await.code(),
        Code::TooLarge
    );
    assert_eq!(ada.call(&Request::Fetch { drive, chunks }, vec![]).await.code(), Code::TooLarge);
    assert_eq!(ada.call(&Request::Manifests { drive, lists }, vec![]).await.code(), Code::TooLarge);
    let mut endless = vec![FrameKind::Request as u8, 0];
    endless.extend((48u32 << 20).to_le_bytes());
    assert_eq!(call_with(&rig.server, None, &endless).await.code(), Code::TooLarge);
    assert_eq!(ada.head().await.seq, Seq::START);
}

#[tokio::test(start_paused = true)]
async fn the_connection_log_tells_who_did_what_and_no_secret() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let mut live = rig.server.subscribe_connections();
    ada.save("a", b"a").await;
    ada.head().await;
    call(&rig.server, Some("skd_wrong"), &hello(), vec![]).await;
    let lines = rig.server.connections(10).await.unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line.request.as_str(), line.outcome.as_str(), line.device)).collect();
    assert_eq!(told, [("commit", "ok", Some(ada.id)), ("hello", "E-SIGN-IN", None)]);
    assert!(lines.iter().all(|line| line.peer == PEER && line.bytes_in > 0 && line.bytes_out > 0));
    assert_eq!(live.recv().await.unwrap(), lines[0]);
    assert!(!skep_service::connection_line(&lines[1]).contains("skd_"));
}

#[tokio::test(start_paused = true)]
async fn the_last_sign_of_life_is_noted_once_a_minute() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let seen = async || {
        ada.head().await;
        rig.server.flush_connections().await.unwrap();
        rig.read(|read| read.device(ada.id)).unwrap().last_seen
    };
    let first = seen().await;
    assert!(first > Timestamp::default());
    tokio::time::advance(std::time::Duration::from_secs(59)).await;
    assert_eq!(seen().await, first);
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert!(seen().await > first);
}

/// A commit with everything that a body can hold.
async fn rich_call(ada: &Caller) -> Vec<u8> {
    let chunks = [noise(1, 2000), noise(2, 3000)];
    let refs = chunks.iter().map(|bytes| skep_content::ChunkRef { id: chunk_id(bytes), length: bytes.len() as u32 });
    let manifest = Manifest { chunks: refs.collect() };
    let list = manifest.list_id();
    let commit = ada.commit_of(vec![create("small", b"small"), create_with("large", ContentId::List(list), 5000)]);
    let frames = vec![
        block(&[b"small", &chunks[0]], &ada.limits),
        block(&[&chunks[1]], &ada.limits),
        Frame::cbor(FrameKind::Manifest, &ManifestFrame { list, bytes: manifest.to_bytes() }),
        Frame::cbor(FrameKind::Operations, &commit),
    ];
    call_bytes(&Request::Commit { drive: ada.drive }, frames).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mutated_bodies_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new().await;
            let ada = rig.device(rig.account(1), 1);
            let whole = rich_call(&ada).await;
            let mut bytes = whole.clone();
            for (index, byte) in &changes {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            let answer = call_with(&rig.server, Some(&ada.token), &bytes).await;
            let first = answer.frames.first().unwrap().kind;
            assert!(matches!(first, FrameKind::Reply | FrameKind::Error), "{first:?}");
            // Whatever it did, the service still works, and takes the unharmed call.
            let answer = call_with(&rig.server, Some(&ada.token), &whole).await;
            answer.committed();
        });
    }
}
