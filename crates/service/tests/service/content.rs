//! Uploads, questions and downloads.

use skep_content::{ChunkRef, Manifest, chunk_id};
use skep_metastore::MetaStore;
use skep_protocol::{Code, Frame, FrameKind, ManifestFrame, Reply, Request};
use skep_types::{CommitReply, ListId};

use crate::rig::{Caller, Rig, block, call_bytes, call_with, create, noise, open};

async fn upload(caller: &Caller, frames: Vec<Frame>) -> crate::rig::Answer {
    caller.call(&Request::Upload { drive: caller.drive }, frames).await
}

#[tokio::test(start_paused = true)]
async fn what_was_uploaded_comes_back_each_record_once() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let chunks: Vec<Vec<u8>> = (0..10).map(|seed| noise(seed, 4000)).collect();
    let ids: Vec<_> = chunks.iter().map(|bytes| chunk_id(bytes)).collect();
    assert_eq!(ada.lacks(&ids).await, ids);
    let frames = chunks.chunks(2).map(|pair| block(&[&pair[0], &pair[1]], &ada.limits)).collect();
    assert_eq!(upload(&ada, frames).await.reply(), Reply::Done);
    assert_eq!(ada.lacks(&ids).await, []);
    let unknown = chunk_id(b"unknown");
    let asked = [&ids[3..], &[unknown], &ids[..2], &ids[3..4]].concat();
    let got = ada.call(&Request::Fetch { drive: ada.drive, chunks: asked }, vec![]).await.chunks();
    // All five records hold something that was asked for; they come in the order in which they lie.
    let expected: Vec<_> = ids.iter().copied().zip(chunks.iter().map(|bytes| bytes.clone().into())).collect();
    assert_eq!(got, expected);
}

#[tokio::test(start_paused = true)]
async fn a_drive_knows_nothing_of_the_chunks_of_another() {
    let rig = Rig::new().await;
    let (ada, bob) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    upload(&bob, vec![block(&[b"secret"], &bob.limits)]).await.reply();
    let secret = chunk_id(b"secret");
    assert_eq!(ada.lacks(&[secret]).await, [secret]);
    assert_eq!(ada.call(&Request::Fetch { drive: ada.drive, chunks: vec![secret] }, vec![]).await.chunks(), []);
    assert_eq!(bob.lacks(&[secret]).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_left_out_the_rest_comes_and_the_end_says_so() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let chunks: [&[u8]; 3] = [b"first", b"second", b"third"];
    for chunk in chunks {
        upload(&ada, vec![block(&[chunk], &ada.limits)]).await.reply();
    }
    rig.blobs.damage(1);
    let fetch = Request::Fetch { drive: ada.drive, chunks: chunks.map(chunk_id).to_vec() };
    // The second time nothing is read of what is known as damaged.
    for _ in 0..2 {
        let answer = ada.call(&fetch, vec![]).await;
        let blocks = answer.frames.iter().filter(|frame| frame.kind == FrameKind::Block);
        let got: Vec<_> = blocks.flat_map(open).map(|(_, bytes)| bytes).collect();
        assert_eq!(got, [chunks[0], chunks[2]]);
        assert_eq!(answer.code(), Code::Damaged);
        rig.blobs.mend(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_chunk_is_lacking_until_it_is_sent_again() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    ada.save("file", b"precious").await;
    let id = chunk_id(b"precious");
    let fetch = Request::Fetch { drive: ada.drive, chunks: vec![id] };
    assert_eq!(ada.lacks(&[id]).await, []);
    rig.blobs.damage(0);
    assert_eq!(ada.call(&fetch, vec![]).await.code(), Code::Damaged);
    assert_eq!(ada.lacks(&[id]).await, [id]);
    // A commit that names it is answered with what is missing, and taken with the bytes.
    let commit = ada.commit_of(vec![create("again", b"precious")]);
    let missing = CommitReply::Missing { chunks: vec![id], lists: vec![] };
    assert_eq!(ada.send(&commit, vec![]).await.committed(), missing);
    ada.save("again", b"precious").await;
    assert_eq!(ada.lacks(&[id]).await, []);
    assert_eq!(ada.call(&fetch, vec![]).await.chunks(), [(id, bytes::Bytes::from_static(b"precious"))]);
}

#[tokio::test(start_paused = true)]
async fn a_pack_in_the_place_of_another_one_never_gives_away_its_records() {
    let rig = Rig::new().await;
    let (ada, bob) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    upload(&bob, vec![block(&[b"secret"], &bob.limits)]).await.reply();
    upload(&ada, vec![block(&[b"own"], &ada.limits)]).await.reply();
    let place = rig.read(|read| read.chunks(bob.drive, &[chunk_id(b"secret")]))[0].unwrap();
    // As after a lost pack whose number was given again: the place of one drive's chunk holds another one's.
    let lost = chunk_id(b"lost");
    rig.meta.write(|tx| tx.put_chunk(ada.drive, lost, &place, skep_types::Timestamp::default())).unwrap();
    let answer = ada.call(&Request::Fetch { drive: ada.drive, chunks: vec![lost] }, vec![]).await;
    assert_eq!(answer.code(), Code::Damaged);
    assert!(answer.frames.iter().all(|frame| frame.kind != FrameKind::Block));
}

#[tokio::test(start_paused = true)]
async fn a_question_writes_only_when_a_lease_runs_out() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    upload(&ada, vec![block(&[b"one"], &ada.limits)]).await.reply();
    let id = chunk_id(b"one");
    let lease = || rig.read(|read| read.chunk_rows(ada.drive, &[id]))[0].unwrap().lease;
    let first = lease();
    tokio::time::advance(std::time::Duration::from_secs(5 * 3600)).await;
    rig.meta.fail(1);
    assert_eq!(ada.lacks(&[id]).await, [], "nothing was to renew");
    rig.meta.fail(0);
    assert_eq!(lease(), first);
    tokio::time::advance(std::time::Duration::from_secs(2 * 3600)).await;
    assert_eq!(ada.lacks(&[id]).await, []);
    assert_eq!(lease(), first.plus_milliseconds(7 * 3_600_000));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_cut_keeps_its_whole_blocks() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let chunks: Vec<Vec<u8>> = (0..6).map(|seed| noise(seed, 4000)).collect();
    let ids: Vec<_> = chunks.iter().map(|bytes| chunk_id(bytes)).collect();
    let frames = chunks.iter().map(|bytes| block(&[bytes], &ada.limits)).collect();
    let bytes = call_bytes(&Request::Upload { drive: ada.drive }, frames).await;
    let answer = call_with(&rig.server, Some(&ada.token), &bytes[..bytes.len() - 1000]).await;
    assert_eq!(answer.code(), Code::BadRequest);
    assert_eq!(ada.lacks(&ids).await, ids[5..]);
}

#[tokio::test(start_paused = true)]
async fn one_wrong_block_ends_an_upload_and_is_not_stored() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let mut wrong = block(&[b"wrong"], &ada.limits).payload.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let frames = vec![block(&[b"right"], &ada.limits), Frame::new(FrameKind::Block, wrong)];
    assert_eq!(upload(&ada, frames).await.code(), Code::WrongHash);
    assert_eq!(ada.lacks(&[chunk_id(b"wrong")]).await, [chunk_id(b"wrong")]);
    assert!(rig.blobs.count() <= 1);
}

#[tokio::test(start_paused = true)]
async fn more_chunks_than_may_wait_for_their_rows_are_all_entered() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let chunks: Vec<Vec<u8>> = (0..3000u32).map(|index| index.to_le_bytes().to_vec()).collect();
    let frames = chunks.chunks(100).map(|some| {
        let some: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
        block(&some, &ada.limits)
    });
    upload(&ada, frames.collect()).await.reply();
    let ids: Vec<_> = chunks.iter().map(|bytes| chunk_id(bytes)).collect();
    assert_eq!(ada.lacks(&ids).await, []);
}

#[tokio::test(start_paused = true)]
async fn manifests_are_held_only_with_all_their_chunks() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let chunks: [&[u8]; 2] = [b"one", b"two"];
    let refs = chunks.map(|bytes| ChunkRef { id: chunk_id(bytes), length: bytes.len() as u32 });
    let manifest = Manifest { chunks: refs.to_vec() };
    let list = manifest.list_id();
    let frame = Frame::cbor(FrameKind::Manifest, &ManifestFrame { list, bytes: manifest.to_bytes() });
    let ask = Request::Manifests { drive: ada.drive, lists: vec![list] };

    let incomplete = upload(&ada, vec![block(&chunks[..1], &ada.limits), frame.clone()]).await;
    assert_eq!(incomplete.code(), Code::NotFound);
    assert_eq!(ada.call(&ask, vec![]).await.code(), Code::NotFound);

    // The manifest may come before its chunks.
    upload(&ada, vec![frame.clone(), block(&chunks[1..], &ada.limits)]).await.reply();
    let answer = ada.call(&ask, vec![]).await;
    assert_eq!(answer.frame(FrameKind::Manifest), &frame);

    let both = Request::Manifests { drive: ada.drive, lists: vec![list, ListId::from_bytes([9; 32])] };
    let answer = ada.call(&both, vec![]).await;
    assert_eq!((answer.code(), answer.frames.len()), (Code::NotFound, 3));
}
