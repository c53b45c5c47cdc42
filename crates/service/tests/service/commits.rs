//! Commits: all or nothing, once, and together with their neighbours.

use futures_util::future::join_all;
use skep_content::{ChunkRef, Manifest, chunk_id};
use skep_metastore::MetaStore;
use skep_protocol::{Code, Frame, FrameKind, ManifestFrame, Request, SnapshotRows};
use skep_types::{CommitId, CommitReply, ContentId, DeviceId, DriveId, GroupResult, Limits, Reject, Seq};

use crate::rig::{Caller, Rig, block, create, create_with, noise};

fn manifest_of(chunks: &[Vec<u8>]) -> Manifest {
    let refs = chunks.iter().map(|bytes| ChunkRef { id: chunk_id(bytes), length: bytes.len() as u32 });
    Manifest { chunks: refs.collect() }
}

fn manifest_frame(manifest: &Manifest) -> Frame {
    Frame::cbor(FrameKind::Manifest, &ManifestFrame { list: manifest.list_id(), bytes: manifest.to_bytes() })
}

fn decided(reply: CommitReply) -> (Seq, Vec<GroupResult>) {
    match reply {
        CommitReply::Decided { head, results } => (head, results),
        missing => panic!("{missing:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_shows_in_journal_snapshot_and_head() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let start = ada.start().await;
    let node = ada.save("a", b"hello").await;
    let page = ada.entries(start).await;
    assert_eq!((page.after, page.head, page.entries.len()), (Seq::START, Seq(1), 1));
    assert_eq!(page.entries[0].state.node, node);
    assert_eq!(page.to, ada.head().await);
    let answer = ada.call(&Request::Snapshot { drive: ada.drive, after: None }, vec![]).await;
    let rows: SnapshotRows = answer.frame(FrameKind::SnapshotRows).read().unwrap();
    assert_eq!((rows.rows, rows.more, rows.head), (vec![page.entries[0].state.clone()], false, page.to));
}

#[tokio::test(start_paused = true)]
async fn snapshots_and_journals_come_in_pages() {
    let rig = Rig::with(Limits { snapshot_rows_max: 2, feed_entries_max: 2, ..Limits::SHIPPED }).await;
    let ada = rig.device(rig.account(1), 1);
    for index in 0..5 {
        ada.save(&format!("file {index}"), b"x").await;
    }
    let (mut nodes, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let answer = ada.call(&Request::Snapshot { drive: ada.drive, after }, vec![]).await;
        let page: SnapshotRows = answer.frame(FrameKind::SnapshotRows).read().unwrap();
        after = page.rows.last().map(|row| row.node);
        nodes.extend(page.rows);
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!((nodes.len(), pages), (5, 3));
    let (mut cursor, mut seqs) = (ada.start().await, Vec::new());
    while cursor != ada.head().await {
        let page = ada.entries(cursor).await;
        seqs.extend(page.entries.iter().map(|entry| entry.seq.0));
        cursor = page.to;
    }
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    assert_eq!(ada.entries(cursor).await.entries, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_asked_for_and_what_came_is_kept() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let large = [noise(1, 5000), noise(2, 6000)];
    let manifest = manifest_of(&large);
    let commit = ada.commit_of(vec![
        create("came", b"came"),
        create("missing", b"missing"),
        create_with("large", ContentId::List(manifest.list_id()), 11_000),
    ]);
    let frames = vec![block(&[b"came", &large[0]], &ada.limits), manifest_frame(&manifest)];
    let CommitReply::Missing { chunks, lists } = ada.send(&commit, frames).await.committed() else { panic!("decided") };
    assert_eq!(chunks, [chunk_id(b"missing"), chunk_id(&large[1])]);
    assert_eq!(lists, [manifest.list_id()]);
    assert_eq!(ada.head().await.seq, Seq::START);
    let asked = [chunk_id(b"missing"), chunk_id(b"came"), chunk_id(&large[0]), chunk_id(&large[1])];
    assert_eq!(ada.lacks(&asked).await, [asked[0], asked[3]]);
    let frames = vec![block(&[b"missing", &large[1]], &ada.limits), manifest_frame(&manifest)];
    let (head, results) = decided(ada.send(&commit, frames).await.committed());
    assert_eq!((head, results), (Seq(3), vec![GroupResult::Accepted; 3]));
}

#[tokio::test(start_paused = true)]
async fn a_commit_sent_again_is_answered_again_and_done_once() {
    let rig = Rig::new().await;
    let (account, start) = (rig.account(1), async |caller: &Caller| caller.start().await);
    let (ada, other) = (rig.device(account, 1), rig.device(account, 2));
    let commit = ada.commit_of(vec![create("a", b"a"), create("b", b"b")]);
    let frames = vec![block(&[b"a", b"b"], &ada.limits)];
    let first = decided(ada.send(&commit, frames.clone()).await.committed());
    other.save("c", b"c").await;
    let again = decided(ada.send(&commit, frames).await.committed());
    assert_eq!(again, (Seq(3), first.1));
    assert_eq!(ada.entries(start(&ada).await).await.entries.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_nobody_takes_is_done_whole() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let commit = ada.commit_of(vec![create("a", b"a")]);
    let frames = vec![block(&[b"a"], &ada.limits), Frame::cbor(FrameKind::Operations, &commit)];
    let bytes = crate::rig::call_bytes(&Request::Commit { drive: ada.drive, seen: None }, frames.clone()).await;
    drop(rig.server.call(Some(&ada.token), crate::rig::PEER, crate::rig::body(&bytes)).await);
    assert_eq!(ada.head().await.seq, Seq(1));
    assert_eq!(
        decided(ada.send(&commit, frames[..1].to_vec()).await.committed()),
        (Seq(1), vec![GroupResult::Accepted])
    );
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_lies_is_refused_whole() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let content = || vec![block(&[b"a"], &ada.limits)];
    let mut foreign_id = ada.commit_of(vec![create("a", b"a")]);
    foreign_id.id = CommitId::new(DeviceId::from_bytes([9; 8]), [0; 8]);
    assert_eq!(ada.send(&foreign_id, content()).await.code(), Code::BadRequest);

    let commit = ada.commit_of(vec![create("a", b"a")]);
    let other_drive = skep_types::Commit { drive: DriveId::from_bytes([9; 16]), ..commit.clone() };
    let frames = [content(), vec![Frame::cbor(FrameKind::Operations, &other_drive)]].concat();
    assert_eq!(ada.call(&Request::Commit { drive: ada.drive, seen: None }, frames).await.code(), Code::BadRequest);

    let wrong_size = ada.commit_of(vec![create_with("a", ContentId::Chunk(chunk_id(b"a")), 2)]);
    assert_eq!(ada.send(&wrong_size, content()).await.code(), Code::BadRequest);

    let mut bytes = content()[0].payload.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let wrong_bytes = Frame::new(FrameKind::Block, bytes);
    assert_eq!(ada.send(&commit, vec![wrong_bytes]).await.code(), Code::WrongHash);

    let manifest = manifest_of(&[b"a".to_vec(), b"b".to_vec()]);
    let other_list = manifest_of(&[b"b".to_vec(), b"a".to_vec()]).list_id();
    let misnamed = ManifestFrame { list: other_list, bytes: manifest.to_bytes() };
    let frames = vec![block(&[b"a", b"b"], &ada.limits), Frame::cbor(FrameKind::Manifest, &misnamed)];
    assert_eq!(ada.send(&commit, frames).await.code(), Code::WrongHash);

    let mut stretched = manifest;
    stretched.chunks[1].length = 7;
    let list = create_with("a", ContentId::List(stretched.list_id()), 8);
    let frames = vec![block(&[b"a", b"b"], &ada.limits), manifest_frame(&stretched)];
    assert_eq!(ada.send(&ada.commit_of(vec![list]), frames).await.code(), Code::WrongHash);
    assert_eq!(ada.head().await.seq, Seq::START);
}

#[tokio::test(start_paused = true)]
async fn commits_that_wait_together_do_not_spoil_each_other() {
    let rig = Rig::new().await;
    let account = rig.account(1);
    let devices: Vec<_> = (1..=6).map(|number| rig.device(account, number)).collect();
    devices[5].save("taken", b"taken").await;
    let commits = [
        create("one", b"one"),
        // Another node has that name.
        skep_types::Operation::Create {
            node: skep_types::NodeId::from_bytes([7; 16]),
            parent: skep_types::NodeId::ROOT,
            name: skep_types::Name::try_from("taken").unwrap(),
            content: skep_types::Content::File(skep_types::FileContent {
                id: ContentId::Chunk(chunk_id(b"one")),
                size: 3,
                mtime: skep_types::Timestamp::default(),
            }),
            mode: skep_types::Mode::default(),
        },
        create_with("wrong size", ContentId::Chunk(chunk_id(b"one")), 4),
        create("nobody sent this", b"missing"),
        create("five", b"one"),
    ];
    let calls = devices.iter().zip(&commits).map(async |(device, operation)| {
        let commit = device.commit_of(vec![operation.clone()]);
        device.send(&commit, vec![block(&[b"one"], &device.limits)]).await
    });
    let answers = join_all(calls).await;
    assert_eq!(decided(answers[0].committed()).1, [GroupResult::Accepted]);
    let (_, rejected) = decided(answers[1].committed());
    assert!(matches!(rejected[..], [GroupResult::Rejected(Reject::NameTaken(_))]), "{rejected:?}");
    assert_eq!(answers[2].code(), Code::BadRequest);
    assert!(matches!(answers[3].committed(), CommitReply::Missing { .. }));
    assert_eq!(decided(answers[4].committed()).1, [GroupResult::Accepted]);
    assert_eq!(devices[0].head().await.seq, Seq(3));
}

#[tokio::test(start_paused = true)]
async fn commits_that_failed_together_are_tried_alone() {
    let rig = Rig::new().await;
    let account = rig.account(1);
    let devices: Vec<_> = (1..=3).map(|number| rig.device(account, number)).collect();
    for device in &devices {
        device.head().await;
    }
    rig.server.flush_connections().await.unwrap();
    let send = async |device: &Caller, name: &str| {
        let commit = device.commit_of(vec![create(name, b"x")]);
        device.send(&commit, vec![block(&[b"x"], &device.limits)]).await
    };
    // The transaction of all three, and that of the first one alone.
    rig.meta.fail(2);
    let names = ["a", "b", "c"];
    let answers = join_all(devices.iter().zip(names).map(|(device, name)| send(device, name))).await;
    assert_eq!(answers[0].code(), Code::Internal);
    assert_eq!(decided(answers[1].committed()), (Seq(1), vec![GroupResult::Accepted]));
    assert_eq!(decided(answers[2].committed()), (Seq(2), vec![GroupResult::Accepted]));
    assert_eq!(decided(send(&devices[0], "a").await.committed()), (Seq(3), vec![GroupResult::Accepted]));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_by_another_process_is_not_overtaken_by_a_commit() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    ada.save("before", b"before").await;
    rig.meta
        .write(|tx| {
            let mut device = tx.device(ada.id)?.unwrap();
            device.revoked = true;
            tx.put_device(&device)
        })
        .unwrap();
    let commit = ada.commit_of(vec![create("after", b"after")]);
    assert_eq!(ada.send(&commit, vec![block(&[b"after"], &ada.limits)]).await.code(), Code::SignIn);
    let upload = Request::Upload { drive: ada.drive };
    assert_eq!(ada.call(&upload, vec![block(&[b"after"], &ada.limits)]).await.code(), Code::SignIn);
    assert_eq!(rig.read(|read| read.drive(ada.drive)).unwrap().head, Seq(1));
}
