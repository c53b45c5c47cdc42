//! A server that was brought back from a copy: what it says of its history, and what it refuses.

use skep_metastore::{MetaStore, Sqlite};
use skep_protocol::{COMPARED_VERSIONS_MAX, Code, Frame, FrameKind, Lineage, Reply, Request};
use skep_service::mark_as_copy;
use skep_types::{Cursor, Fork, Seq, Standing, Version};

use crate::rig::{Caller, Rig, block, create};

async fn lineage(caller: &Caller, request: Request) -> Lineage {
    match caller.call(&request, vec![]).await.reply() {
        Reply::Lineage(lineage) => lineage,
        other => panic!("{other:?}"),
    }
}

async fn compare(caller: &Caller, versions: &[Cursor]) -> Lineage {
    let versions = versions.iter().map(|at| version(*at)).collect();
    lineage(caller, Request::Compare { drive: caller.drive, versions }).await
}

async fn departed(caller: &Caller, seen: Cursor, held: Option<Cursor>) -> Lineage {
    lineage(caller, Request::Departed { drive: caller.drive, seen, held: held.map(version) }).await
}

fn version(at: Cursor) -> Version {
    Version { seq: at.seq, commit: at.commit.unwrap() }
}

/// Two files, a copy, a third file; then the copy is brought back. With the ends of both histories.
async fn brought_back(is_told: bool) -> (Rig, Caller, Cursor, Cursor) {
    let mut rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    ada.save("a", b"a").await;
    ada.save("b", b"b").await;
    let (image, copied) = (rig.meta.image(), ada.head().await);
    ada.save("c", b"c").await;
    let lost = ada.head().await;
    let copy = Sqlite::from_image(&image).unwrap();
    if is_told {
        copy.write(mark_as_copy).unwrap();
    }
    rig.bring_back(copy).await;
    let ada = ada.at(rig.server.clone());
    (rig, ada, copied, lost)
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_says_so_begins_a_generation_of_its_own_once() {
    let (rig, ada, copied, lost) = brought_back(true).await;
    let told = compare(&ada, &[copied, lost]).await;
    assert_eq!(told.standings, [Standing::Held, Standing::Other]);
    let [fork] = told.forks.as_slice() else { panic!("{told:?}") };
    assert_eq!((fork.parent, fork.at), (copied.generation, copied.seq));
    assert_eq!((told.head.generation, told.head.seq), (fork.generation, copied.seq));
    assert_ne!(fork.generation, copied.generation);
    // Who had seen nothing more goes on; who had is told.
    assert_eq!(ada.entries(copied).await.entries, []);
    let refused = ada.call(&Request::Entries { drive: ada.drive, after: lost }, vec![]).await;
    assert_eq!(refused.code(), Code::History);
    // Another start of the same data is no other history.
    let again = ada.at(rig.another_process().await);
    assert_eq!(compare(&again, &[]).await.forks, told.forks);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_brought_back_by_hand_is_noticed_by_who_has_seen_more() {
    let (_rig, ada, copied, lost) = brought_back(false).await;
    assert_eq!(compare(&ada, &[]).await.forks, []);
    // The positions are taken again, by something else.
    let mut feed = ada.feed(copied, true).await.unwrap();
    ada.save("d", b"d").await;
    let head = ada.head().await;
    assert_eq!((head.seq, head.generation), (lost.seq, lost.generation));
    assert_eq!(feed.catch_up(head.seq).await.len(), 1);

    let told = departed(&ada, lost, Some(copied)).await;
    let expected = Fork { parent: copied.generation, at: copied.seq, generation: told.head.generation };
    assert_eq!(told.forks, [expected]);
    // It was noticed: the next one who does changes nothing, nor does one who has seen nothing of it.
    assert_eq!(departed(&ada, lost, None).await.forks, told.forks);
    assert_eq!(departed(&ada, head, Some(head)).await.forks, told.forks);
    // An open feed goes on in the new generation.
    ada.save("e", b"e").await;
    let entries = feed.catch_up(Seq(head.seq.0 + 1)).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(ada.entries(head).await.to.generation, told.head.generation);
}

#[tokio::test(start_paused = true)]
async fn nobody_makes_a_generation_of_a_history_that_did_not_change() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    ada.save("a", b"a").await;
    let head = ada.head().await;
    assert_eq!(departed(&ada, head, None).await.forks, []);
    let strange = Cursor { generation: skep_types::Generation::from_bytes([9; 16]), seq: Seq(77), ..head };
    assert_eq!(departed(&ada, strange, None).await.forks, []);
    let versions = vec![version(head); COMPARED_VERSIONS_MAX + 1];
    let refused = ada.call(&Request::Compare { drive: ada.drive, versions }, vec![]).await;
    assert_eq!(refused.code(), Code::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn what_was_planned_on_another_history_is_not_done() {
    let (_rig, ada, copied, lost) = brought_back(false).await;
    ada.save("d", b"d").await;
    let send = async |seen: Cursor, name: &str| {
        let commit = ada.commit_of(vec![create(name, b"x")]);
        let frames = vec![block(&[b"x"], &ada.limits), Frame::cbor(FrameKind::Operations, &commit)];
        ada.call(&Request::Commit { drive: ada.drive, seen: Some(seen) }, frames).await
    };
    assert_eq!(send(lost, "e").await.code(), Code::History);
    assert_eq!(ada.head().await.seq, lost.seq);
    send(copied, "f").await.committed();
    assert_eq!(ada.head().await.seq, Seq(lost.seq.0 + 1));
}
