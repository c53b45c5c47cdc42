//! The past: versions, the trash, how a directory was; and who may ask.

use std::time::Duration;

use skep_content::chunk_id;
use skep_metastore::MetaStore;
use skep_protocol::{Code, FoundNode, History, Pasts, Reply, Request, Trash, TrashPlace};
use skep_types::{
    Commit, CommitId, CommitReply, Content, ContentId, Evidence, FileContent, Group, GroupResult, Limits, Mode, Name,
    NodeId, NodeState, Operation, Seq, Timestamp,
};

use crate::rig::{Caller, Rig, block};

/// Pages of two.
const SMALL: Limits = Limits { snapshot_rows_max: 2, ..Limits::SHIPPED };

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn state(rig: &Rig, caller: &Caller, node: NodeId) -> NodeState {
    rig.read(|read| Ok(read.view(caller.drive)?.node(node).unwrap())).unwrap()
}

fn edited(rig: &Rig, caller: &Caller, node: NodeId, bytes: &[u8]) -> Operation {
    let id = ContentId::Chunk(chunk_id(bytes));
    let content = Content::File(FileContent { id, size: bytes.len() as u64, mtime: Timestamp::default() });
    Operation::Edit { node, base: state(rig, caller, node).content_version, content }
}

async fn edit(rig: &Rig, caller: &Caller, node: NodeId, bytes: &[u8]) {
    let commit = caller.commit_of(vec![edited(rig, caller, node, bytes)]);
    taken(caller.send(&commit, vec![block(&[bytes], &caller.limits)]).await.committed());
}

async fn done(caller: &Caller, operation: Operation) {
    taken(caller.send(&caller.commit_of(vec![operation]), vec![]).await.committed());
}

#[track_caller]
fn taken(reply: CommitReply) {
    let CommitReply::Decided { results, .. } = reply else { panic!("{reply:?}") };
    assert!(results.iter().all(|result| *result == GroupResult::Accepted), "{results:?}");
}

async fn trash(rig: &Rig, caller: &Caller, node: NodeId) {
    let seen = caller.head().await.seq;
    done(caller, Operation::Trash { node, base: state(rig, caller, node).place_version, seen }).await;
}

async fn directory(caller: &Caller, number: u8, parent: NodeId, name_: &str) -> NodeId {
    let node = NodeId::from_bytes([number; 16]);
    let (content, mode) = (Content::Directory, Mode::default());
    done(caller, Operation::Create { node, parent, name: name(name_), content, mode }).await;
    node
}

async fn found(caller: &Caller, path: &[&str]) -> Vec<(NodeId, bool)> {
    let path = path.iter().map(|text| name(text)).collect();
    match caller.call(&Request::Find { drive: caller.drive, path }, vec![]).await.reply() {
        Reply::Found(found) => found.iter().map(|FoundNode { state, in_trash }| (state.node, *in_trash)).collect(),
        other => panic!("{other:?}"),
    }
}

async fn history(caller: &Caller, node: NodeId, before: Option<Seq>) -> History {
    match caller.call(&Request::History { drive: caller.drive, node, before }, vec![]).await.reply() {
        Reply::History(history) => history,
        other => panic!("{other:?}"),
    }
}

async fn in_trash(caller: &Caller, search: Option<&str>, from: Option<TrashPlace>) -> Trash {
    let request = Request::Trash { drive: caller.drive, search: search.map(str::to_owned), from };
    match caller.call(&request, vec![]).await.reply() {
        Reply::Trash(trash) => trash,
        other => panic!("{other:?}"),
    }
}

fn pasts_at(caller: &Caller, directory: NodeId, at: Timestamp) -> Request {
    Request::Pasts { drive: caller.drive, directory, at, then: None, after: None }
}

async fn pasts(caller: &Caller, directory: NodeId, at: Timestamp) -> Pasts {
    match caller.call(&pasts_at(caller, directory, at), vec![]).await.reply() {
        Reply::Pasts(pasts) => pasts,
        other => panic!("{other:?}"),
    }
}

fn paths(trash: &Trash) -> Vec<String> {
    let path = |path: &[Name]| path.iter().map(|name| name.display().into_owned()).collect::<Vec<_>>().join("/");
    trash.items.iter().map(|item| path(&item.path)).collect()
}

#[tokio::test(start_paused = true)]
async fn nobody_sees_the_past_of_a_drive_that_is_not_his() {
    let rig = Rig::new().await;
    let (ada, bob) = (rig.device(rig.account(1), 1), rig.device(rig.account(2), 2));
    let node = ada.save("file", b"first").await;
    edit(&rig, &ada, node, b"second").await;
    let drive = ada.drive;
    for request in [
        Request::Find { drive, path: vec![name("file")] },
        Request::History { drive, node, before: None },
        Request::Trash { drive, search: None, from: None },
        Request::Trash { drive, search: Some("f".into()), from: None },
        pasts_at(&ada, NodeId::ROOT, Timestamp::default()),
    ] {
        assert_eq!(bob.call(&request, vec![]).await.code(), Code::NotFound, "{request:?}");
    }
    // A node of another drive is none of one's own, and neither are its old bytes.
    assert_eq!(history(&bob, node, None).await.entries, []);
    assert_eq!(found(&bob, &["file"]).await, []);
    let old = |caller: &Caller| Request::Fetch { drive: caller.drive, chunks: vec![chunk_id(b"first")] };
    assert_eq!(bob.call(&old(&bob), vec![]).await.chunks(), []);
    assert_eq!(ada.call(&old(&ada), vec![]).await.chunks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_by_hand_is_that_of_the_person_and_not_of_the_engine() {
    let rig = Rig::with(SMALL).await;
    let account = rig.account(1);
    let (ada, other) = (rig.device(account, 1), rig.device(account, 2));
    let node = ada.save("file", b"first").await;
    edit(&rig, &ada, node, b"second").await;
    let by_hand = |of: &Caller| Commit {
        id: CommitId::new(of.id.by_hand(), [7; 8]),
        drive: ada.drive,
        groups: vec![Group(vec![edited(&rig, &ada, node, b"first")])],
        evidence: Evidence::Approved,
    };
    assert_eq!(ada.send(&by_hand(&other), vec![]).await.code(), Code::BadRequest, "by the hand of another device");
    let mut feed = ada.feed(ada.head().await, true).await.unwrap();
    taken(ada.send(&by_hand(&ada), vec![]).await.committed());
    let news = feed.catch_up(Seq(3)).await;
    assert_eq!(news[0].commit.device(), ada.id.by_hand());
    // The same commit once more, as after a lost answer.
    taken(ada.send(&by_hand(&ada), vec![]).await.committed());
    assert_eq!(ada.head().await.seq, Seq(3));

    let newest = history(&other, node, None).await;
    assert_eq!(newest.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [3, 2]);
    assert!(newest.more);
    let authors: Vec<_> = newest.authors.iter().map(|author| (author.device, author.by_hand)).collect();
    assert!(authors.contains(&(ada.id.by_hand(), true)) && authors.contains(&(ada.id, false)), "{authors:?}");
    assert!(newest.authors.iter().all(|author| author.device_name == "device 1" && author.account_name == "user 1"));
    let oldest = history(&other, node, Some(Seq(2))).await;
    assert_eq!((oldest.entries.len(), oldest.more), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_path_leads_to_what_stands_there_and_then_to_what_was_deleted_last() {
    let rig = Rig::new().await;
    let ada = rig.device(rig.account(1), 1);
    let first = directory(&ada, 1, NodeId::ROOT, "d").await;
    let inner = directory(&ada, 2, first, "x").await;
    trash(&rig, &ada, first).await;
    let second = directory(&ada, 3, NodeId::ROOT, "d").await;
    let other = directory(&ada, 4, second, "x").await;
    trash(&rig, &ada, other).await;
    let live = directory(&ada, 5, second, "x").await;
    assert_eq!(found(&ada, &["d"]).await, [(second, false), (first, true)]);
    assert_eq!(found(&ada, &["d", "x"]).await, [(live, false), (other, true), (inner, true)]);
    assert_eq!(found(&ada, &["d", "y"]).await, []);
    assert_eq!(found(&ada, &["d", "x", "z"]).await, []);
    assert_eq!(found(&ada, &[]).await, [(NodeId::ROOT, false)]);
    let deep = Request::Find { drive: ada.drive, path: vec![name("a"); Limits::SHIPPED.depth_max + 2] };
    assert_eq!(ada.call(&deep, vec![]).await.code(), Code::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn the_trash_comes_in_pages_and_a_search_finds_what_lies_beneath_a_deleted_directory() {
    let rig = Rig::with(SMALL).await;
    let ada = rig.device(rig.account(1), 1);
    let above = directory(&ada, 1, NodeId::ROOT, "above").await;
    directory(&ada, 2, above, "Report").await;
    let mut names = Vec::new();
    for number in 0..3 {
        let node = ada.save(&format!("file {number}"), b"bytes").await;
        trash(&rig, &ada, node).await;
        names.insert(0, format!("file {number}"));
    }
    trash(&rig, &ada, above).await;
    ada.save("report that is there", b"bytes").await;
    names.insert(0, "above".into());
    let first = in_trash(&ada, None, None).await;
    assert!(first.items.iter().all(|item| item.by_itself && item.by == ada.id));
    assert!(first.items[0].deleted.seconds >= 1_800_000_000, "{first:?}");
    let second = in_trash(&ada, None, first.next).await;
    assert_eq!([paths(&first), paths(&second)].concat(), names);
    let third = in_trash(&ada, None, second.next).await;
    assert_eq!((third.items.len(), third.next), (0, None));

    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let page = in_trash(&ada, Some("rePORT"), from).await;
        assert!(page.items.iter().all(|item| !item.by_itself));
        all.extend(paths(&page));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(all, ["above/Report"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_at_a_time_is_told_node_by_node_as_long_as_it_is_kept_whole() {
    let rig = Rig::with(SMALL).await;
    let ada = rig.device(rig.account(1), 1);
    let second = || tokio::time::advance(Duration::from_secs(1));
    let dir = directory(&ada, 1, NodeId::ROOT, "dir").await;
    let inner = directory(&ada, 2, dir, "inner").await;
    let beside = directory(&ada, 3, NodeId::ROOT, "beside").await;
    second().await;
    let Reply::Hello { time: Some(at), .. } =
        ada.call(&Request::Hello { features: vec![], client_version: "test 1".into() }, vec![]).await.reply()
    else {
        panic!("a server tells its time")
    };
    second().await;
    trash(&rig, &ada, dir).await;
    let made = directory(&ada, 4, NodeId::ROOT, "dir").await;
    let base = state(&rig, &ada, beside).place_version;
    done(&ada, Operation::Move { node: beside, base, parent: made, name: name("moved") }).await;
    directory(&ada, 5, made, "new").await;

    let page = pasts(&ada, NodeId::ROOT, at).await;
    assert_eq!((page.then, page.head, page.nodes.len()), (Seq(3), Seq(7), 2));
    let rest =
        Request::Pasts { drive: ada.drive, directory: NodeId::ROOT, at, then: Some(page.then), after: page.next };
    let Reply::Pasts(rest) = ada.call(&rest, vec![]).await.reply() else { panic!("pasts") };
    let all: Vec<_> = page.nodes.iter().chain(&rest.nodes).collect();
    let told: Vec<_> = all
        .iter()
        .map(|past| (past.now.node, past.then.is_some(), past.trashed_now, past.path_then.len(), past.path_now.len()))
        .collect();
    let new = NodeId::from_bytes([5; 16]);
    assert_eq!(
        told,
        [(dir, true, true, 1, 1), (beside, true, false, 1, 2), (made, false, false, 0, 1), (new, false, false, 0, 2)]
    );
    // Only what is or was beneath it; a directory itself is not beneath itself. The rest is on the next page.
    let beneath = pasts(&ada, made, at).await;
    assert_eq!(beneath.nodes.iter().map(|past| past.now.node).collect::<Vec<_>>(), [beside]);
    assert!(beneath.next.is_some());
    assert_eq!(pasts(&ada, inner, at).await.nodes, []);
    assert_eq!(pasts(&ada, NodeId::ROOT, page.time).await.then, Seq(7));
    assert_eq!(pasts(&ada, NodeId::ROOT, Timestamp::default()).await.then, Seq(0));
    // What was thinned away cannot be told.
    rig.meta.write(|tx| tx.put_thinned(ada.drive, Seq(4))).unwrap();
    assert_eq!(ada.call(&pasts_at(&ada, NodeId::ROOT, at), vec![]).await.code(), Code::NotFound);
    assert_eq!(pasts(&ada, NodeId::ROOT, page.time).await.then, Seq(7));
}
