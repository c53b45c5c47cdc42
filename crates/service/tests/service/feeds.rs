//! Feeds: in order, without a gap, at once, and only as long as the device may read.

use skep_content::chunk_id;
use skep_metastore::MetaStore;
use skep_protocol::{Code, Entries, ErrorReply, FrameKind};
use skep_types::{CommitId, Cursor, Generation, Limits, Seq};

use crate::rig::{Caller, Rig, create, noise, open};

fn pair(rig: &Rig) -> (Caller, Caller) {
    let account = rig.account(1);
    (rig.device(account, 1), rig.device(account, 2))
}

#[tokio::test(start_paused = true)]
async fn a_commit_comes_with_its_small_contents_to_others_and_without_to_its_maker() {
    let rig = Rig::new().await;
    let (ada, other) = pair(&rig);
    let mut own = ada.feed(ada.start().await, true).await.unwrap();
    let mut others = other.feed(ada.start().await, true).await.unwrap();
    let mut without = other.feed(ada.start().await, false).await.unwrap();
    for feed in [&mut own, &mut others, &mut without] {
        assert_eq!(feed.next().await.unwrap().kind, FrameKind::Heartbeat);
    }
    ada.save("a", b"hello").await;
    let content = others.next().await.unwrap();
    assert_eq!(content.kind, FrameKind::Block);
    assert_eq!(open(&content), [(chunk_id(b"hello"), bytes::Bytes::from_static(b"hello"))]);
    for feed in [&mut own, &mut others, &mut without] {
        let entries: Entries = feed.next().await.unwrap().read().unwrap();
        assert_eq!((entries.after, entries.head, entries.to), (Seq::START, Seq(1), ada.head().await));
        assert_eq!(entries.entries[0].commit.device(), ada.id);
    }
}

#[tokio::test(start_paused = true)]
async fn contents_that_are_not_small_or_not_of_the_commit_are_left_to_a_download() {
    let rig = Rig::new().await;
    let (ada, other) = pair(&rig);
    let mut feed = other.feed(ada.start().await, true).await.unwrap();
    ada.save("large", &noise(1, Limits::SHIPPED.inline_bytes_max + 1)).await;
    let commit = ada.commit_of(vec![create("small", b"small")]);
    ada.send(&commit, vec![crate::rig::block(&[b"small", b"of no file"], &ada.limits)]).await.committed();
    let news = feed.next_news().await;
    assert_eq!(news.kind, FrameKind::Entries);
    assert_eq!(news.read::<Entries>().unwrap().entries.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn two_devices_see_one_order() {
    let rig = Rig::new().await;
    let (ada, other) = pair(&rig);
    let mut feeds =
        [ada.feed(ada.start().await, true).await.unwrap(), other.feed(ada.start().await, false).await.unwrap()];
    for index in 0..10 {
        let (first, second) = (format!("ada {index}"), format!("other {index}"));
        futures_util::future::join(ada.save(&first, b"1"), other.save(&second, b"2")).await;
    }
    let first = feeds[0].catch_up(Seq(20)).await;
    assert_eq!(feeds[1].catch_up(Seq(20)).await, first);
    assert_eq!(first.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_feed_from_far_back_pages_the_store_and_goes_on_live() {
    let rig = Rig::with(Limits { feed_entries_max: 3, ..Limits::SHIPPED }).await;
    let (ada, other) = pair(&rig);
    for index in 0..8 {
        ada.save(&format!("file {index}"), b"x").await;
    }
    let mut feed = other.feed(ada.start().await, true).await.unwrap();
    assert_eq!(feed.catch_up(Seq(8)).await.len(), 8);
    ada.save("live", b"live").await;
    assert_eq!(feed.next_news().await.kind, FrameKind::Block);
    assert_eq!(feed.catch_up(Seq(9)).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_feed_too_slow_for_the_ring_misses_nothing() {
    let rig = Rig::new().await;
    let (ada, other) = pair(&rig);
    let mut feed = other.feed(ada.start().await, true).await.unwrap();
    assert_eq!(feed.next().await.unwrap().kind, FrameKind::Heartbeat);
    // More small contents than the ring keeps.
    for index in 0..200 {
        ada.save(&format!("file {index}"), &noise(index, 60_000)).await;
    }
    let entries = feed.catch_up(Seq(200)).await;
    assert_eq!(entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    // Back in the ring.
    ada.save("last", b"last").await;
    assert_eq!(feed.next_news().await.kind, FrameKind::Block);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_history_is_refused() {
    let rig = Rig::new().await;
    let (ada, other) = pair(&rig);
    ada.save("a", b"a").await;
    other.save("b", b"b").await;
    let head = ada.head().await;
    let strange = CommitId::new(ada.id, [9; 8]);
    let cursors = [
        Cursor { seq: Seq(3), ..head },
        Cursor { seq: Seq(1), ..head },
        Cursor { commit: Some(strange), ..head },
        Cursor { commit: None, ..head },
    ];
    for cursor in cursors {
        let answer = ada.call(&skep_protocol::Request::Entries { drive: ada.drive, after: cursor }, vec![]).await;
        assert_eq!(answer.code(), Code::History, "{cursor:?}");
        let refused = ada.feed(cursor, true).await.map(drop).unwrap_err();
        assert_eq!(refused.code, Code::History, "{cursor:?}");
    }
    assert!(ada.feed(head, true).await.is_ok());
    // Up to a fork, histories are one: the commit tells, whatever the generation is called.
    let renamed = Cursor { generation: Generation::from_bytes([9; 16]), ..head };
    assert!(ada.feed(renamed, true).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_feed_beats() {
    let rig = Rig::new().await;
    let (ada, _) = pair(&rig);
    let mut feed = ada.feed(ada.start().await, true).await.unwrap();
    feed.next().await.unwrap();
    let begun = tokio::time::Instant::now();
    for beat in 1..4 {
        assert_eq!(feed.next().await.unwrap().kind, FrameKind::Heartbeat);
        assert_eq!(begun.elapsed().as_millis() as u64, beat * Limits::SHIPPED.heartbeat_ms);
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_open_feeds_at_once() {
    let rig = Rig::new().await;
    let (ada, other) = pair(&rig);
    let mut feed = ada.feed(ada.start().await, true).await.unwrap();
    let mut unharmed = other.feed(ada.start().await, true).await.unwrap();
    feed.next().await.unwrap();
    let begun = tokio::time::Instant::now();
    let (last, _) = futures_util::future::join(feed.next(), rig.server.revoke_device("device 1")).await;
    assert_eq!(last.unwrap().read::<ErrorReply>().unwrap().code, Code::SignIn);
    assert_eq!(feed.next().await, None);
    assert_eq!(begun.elapsed().as_millis(), 0);
    assert_eq!(unharmed.next().await.unwrap().kind, FrameKind::Heartbeat);
    assert_eq!(ada.feed(other.start().await, true).await.map(drop).unwrap_err().code, Code::SignIn);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_by_another_process_ends_feeds_when_it_is_looked_for() {
    let rig = Rig::new().await;
    let (ada, other) = pair(&rig);
    let mut feed = ada.feed(ada.start().await, true).await.unwrap();
    let mut unharmed = other.feed(ada.start().await, true).await.unwrap();
    feed.next().await.unwrap();
    rig.another_process().await.revoke_device(&ada.id.to_string()).await.unwrap();
    rig.server.check_revocations().await.unwrap();
    assert_eq!(feed.next().await.unwrap().read::<ErrorReply>().unwrap().code, Code::SignIn);
    assert_eq!(unharmed.next().await.unwrap().kind, FrameKind::Heartbeat);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_account_loses_its_feeds() {
    let rig = Rig::new().await;
    let account = rig.account(1);
    let ada = rig.device(account, 1);
    let mut feed = ada.feed(ada.start().await, true).await.unwrap();
    rig.meta
        .write(|tx| {
            let mut account = tx.account(account.0)?.unwrap();
            account.disabled = true;
            tx.put_account(&account)
        })
        .unwrap();
    rig.server.check_revocations().await.unwrap();
    assert_eq!(feed.next().await.unwrap().kind, FrameKind::Error);
}

#[tokio::test(start_paused = true)]
async fn opening_and_closing_of_feeds_is_logged() {
    let rig = Rig::new().await;
    let (ada, _) = pair(&rig);
    let mut feed = ada.feed(ada.start().await, true).await.unwrap();
    feed.next().await.unwrap();
    drop(feed);
    let strange = Cursor { seq: Seq(9), ..ada.start().await };
    ada.feed(strange, true).await.map(drop).unwrap_err();
    let lines = rig.server.connections(10).await.unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line.request.as_str(), line.outcome.as_str())).collect();
    assert_eq!(told, [("feed_open", "ok"), ("feed", "ok"), ("feed", "E-HISTORY")]);
}
