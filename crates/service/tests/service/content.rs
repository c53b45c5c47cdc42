//! Uploads, questions and downloads.

use skep_content::{ChunkRef, Manifest, chunk_id};
use skep_protocol::{Code, Frame, FrameKind, ManifestFrame, Reply, Request};
use skep_types::ListId;

use crate::rig::{Caller, Rig, block, call_bytes, call_with, noise};

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
async fn a_damaged_record_is_left_out_and_the_rest_comes() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let chunks: [&[u8]; 3] = [b"first", b"second", b"third"];
    for chunk in chunks {
        upload(&ada, vec![block(&[chunk], &ada.limits)]).await.reply();
    }
    rig.blobs.damage(1);
    let asked = chunks.map(chunk_id).to_vec();
    let got = ada.call(&Request::Fetch { drive: ada.drive, chunks: asked }, vec![]).await.chunks();
    assert_eq!(got.iter().map(|(_, bytes)| &bytes[..]).collect::<Vec<_>>(), [chunks[0], chunks[2]]);
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
