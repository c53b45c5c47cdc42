//! A disk that is nearly full, and quotas: content is refused before it is sent, everything else goes on.

use std::sync::atomic::Ordering;

use skep_content::chunk_id;
use skep_metastore::{MetaStore, Quota};
use skep_protocol::{Code, Needs, Reply, Request};
use skep_types::{AccountId, CommitReply, GroupResult, Limits, NodeId, Operation};

use crate::rig::{Caller, Rig, block, create, noise};

const LIMITS: Limits = Limits { reserve_bytes: 1_000_000, ..Limits::SHIPPED };

fn asked(caller: &Caller, known: &[u8], unknown: &[u8], besides: u64) -> Request {
    let lengths = vec![known.len() as u32, unknown.len() as u32];
    let chunks = vec![chunk_id(known), chunk_id(unknown)];
    Request::Lacks { drive: caller.drive, chunks, needs: Some(Needs { lengths, besides }) }
}

fn trash(rig: &Rig, caller: &Caller, node: NodeId, seen: skep_types::Seq) -> Operation {
    let state = rig.read(|read| Ok(read.view(caller.drive)?.node(node).unwrap())).unwrap();
    Operation::Trash { node, base: state.place_version, seen }
}

async fn expect_deletions_and_reads_go_on(rig: &Rig, ada: &Caller, node: NodeId, bytes: &[u8]) {
    let fetched = ada.call(&Request::Fetch { drive: ada.drive, chunks: vec![chunk_id(bytes)] }, vec![]).await;
    assert_eq!(fetched.chunks().len(), 1);
    let seen = ada.head().await.seq;
    let reply = ada.send(&ada.commit_of(vec![trash(rig, ada, node, seen)]), vec![]).await.committed();
    assert!(matches!(reply, CommitReply::Decided { results, .. } if results == [GroupResult::Accepted]));
}

#[tokio::test(start_paused = true)]
async fn the_reserve_of_the_disk_is_left_for_everything_but_content() {
    let rig = Rig::with(LIMITS).await;
    let ada = rig.device(rig.account(1), 1);
    let (known, unknown) = (noise(1, 5_000), noise(2, 6_000));
    let node = ada.save("there", &known).await;
    // Room for all that is asked about, with what is sent besides.
    rig.blobs.free.store(1_006_100, Ordering::Relaxed);
    let lacks = ada.call(&asked(&ada, &known, &unknown, 100), vec![]).await.reply();
    assert_eq!(lacks, Reply::Lacks { chunks: vec![chunk_id(&unknown)] });
    let refused = ada.call(&asked(&ada, &known, &unknown, 101), vec![]).await.error();
    assert_eq!(refused.code, Code::NoSpace);
    assert!(refused.message.contains("6.1 kB"), "{refused}");
    // What is there needs no room, whatever comes besides.
    assert_eq!(
        ada.call(&asked(&ada, &known, &known, 9_000_000), vec![]).await.reply(),
        Reply::Lacks { chunks: vec![] }
    );
    // Who does not ask is refused as well, and nothing was kept.
    let count = rig.blobs.count();
    rig.blobs.free.store(1_000_500, Ordering::Relaxed);
    let upload = ada.call(&Request::Upload { drive: ada.drive }, vec![block(&[&unknown], &ada.limits)]).await;
    assert_eq!(upload.code(), Code::NoSpace);
    let commit = ada.commit_of(vec![create("new", &unknown)]);
    assert_eq!(ada.send(&commit, vec![block(&[&unknown], &ada.limits)]).await.code(), Code::NoSpace);
    assert_eq!(rig.blobs.count(), count);
    rig.blobs.free.store(0, Ordering::Relaxed);
    expect_deletions_and_reads_go_on(&rig, &ada, node, &known).await;
    rig.blobs.free.store(u64::MAX, Ordering::Relaxed);
    ada.save("new", &unknown).await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_told_before_anything_is_sent_and_counts_what_is_kept_once() {
    let rig = Rig::with(LIMITS).await;
    let account = rig.account(1);
    let (ada, bob) = (rig.device(account, 1), rig.device(rig.account(2), 2));
    let (known, unknown) = (noise(1, 5_000), noise(2, 6_000));
    let node = ada.save("there", &known).await;
    let quota = |limit| {
        let account: AccountId = account.0;
        rig.meta.write(|tx| tx.put_quota(account, limit).and_then(|()| tx.quota(account))).unwrap()
    };
    assert_eq!(quota(Some(11_000)), Quota { limit_bytes: Some(11_000), used_bytes: 5_000 });
    let lacks = ada.call(&asked(&ada, &known, &unknown, 0), vec![]).await.reply();
    assert_eq!(lacks, Reply::Lacks { chunks: vec![chunk_id(&unknown)] });
    quota(Some(10_999));
    let refused = ada.call(&asked(&ada, &known, &unknown, 0), vec![]).await.error();
    assert_eq!(refused.code, Code::Quota);
    assert!(refused.message.contains("5.9 kB") && refused.message.contains("6.0 kB"), "{refused}");
    let upload = Request::Upload { drive: ada.drive };
    assert_eq!(ada.call(&upload, vec![block(&[&unknown], &ada.limits)]).await.code(), Code::Quota);
    let commit = ada.commit_of(vec![create("new", &unknown)]);
    assert_eq!(ada.send(&commit, vec![block(&[&unknown], &ada.limits)]).await.code(), Code::Quota);
    assert_eq!(quota(Some(10_999)).used_bytes, 5_000, "what was refused does not count");
    // A second file of the same bytes is nothing new, and neither is another account's business.
    ada.save("again", &known).await;
    bob.save("other", &unknown).await;
    assert_eq!(quota(Some(10_999)).used_bytes, 5_000);
    expect_deletions_and_reads_go_on(&rig, &ada, node, &known).await;
    quota(None);
    ada.save("new", &unknown).await;
    assert_eq!(quota(None).used_bytes, 11_000);
}
