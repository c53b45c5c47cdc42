//! Whole clients against a whole service, in one process: real engine, executor, transfer, state and SQL.
#![expect(clippy::unwrap_used, reason = "a failing test should say where")]

mod damage;
mod rig;
mod room;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use skep_client::{Feed, Selection, SqliteTrees, StartError, State, WaitOutcome};
use skep_platform::FileErrorKind;
use skep_types::Limits;

use rig::{MINUTE_MS, Rig};

/// Limits so small that a file of a few kilobytes has many chunks and is sent ahead of its commit.
fn tiny() -> Limits {
    Limits {
        chunk_bytes_min: 64,
        chunk_bytes_average: 128,
        chunk_bytes_max: 512,
        block_bytes_max: 1024,
        block_chunks_max: 4,
        bundle_bytes_max: 4096,
        inline_bytes_max: 256,
        chunk_query_max: 7,
        feed_entries_max: 5,
        snapshot_rows_max: 3,
        ..Limits::SHIPPED
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_the_same_on_both_devices() {
    for limits in [tiny(), Limits::SHIPPED] {
        let rig = Rig::new(limits).await;
        let (a, b) = (rig.device("a").await, rig.device("b").await);
        a.write("small", b"hello");
        a.write("empty", b"");
        a.write("big", &noise(1, 40_000));
        a.disk.user().make_dir("d").unwrap();
        a.write("d/same", b"hello");
        a.write("d/run", b"#!");
        a.disk.user().set_executable("d/run", true).unwrap();
        a.disk.user().symlink("d/link", b"../small").unwrap();
        a.equal().await;
        b.equal().await;
        assert_eq!(a.tree(), b.tree());
        assert_eq!(b.tree().len(), 7);
        let stat = |device: &rig::Device| device.disk.user().stat("big").unwrap().mtime;
        assert_eq!(stat(&a), stat(&b));

        let mut edited = noise(1, 40_000);
        edited.splice(20_000..20_010, noise(2, 500));
        b.write("big", &edited);
        b.disk.user().rename("d", "e").unwrap();
        b.disk.user().remove_file("small").unwrap();
        b.equal().await;
        a.equal().await;
        assert_eq!(a.tree(), b.tree());
        assert_eq!(a.disk.user().read("big").unwrap().as_slice(), edited);
        assert!(a.tree().contains_key("e/same") && !a.tree().contains_key("small"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_device_gets_what_is_there() {
    let rig = Rig::new(tiny()).await;
    let a = rig.device("a").await;
    for index in 0..40 {
        a.write(&format!("f{index}"), &noise(index, 30 * index as usize));
    }
    a.equal().await;
    let b = rig.device("b").await;
    b.equal().await;
    assert_eq!(a.tree(), b.tree());
    let status = b.client().status();
    assert_eq!((status.state, status.files), (State::UpToDate, 40));
    assert!(status.confirmed.is_some() && status.problems.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_it_was_off_is_found_at_the_start() {
    for is_state_lost in [false, true] {
        let rig = Rig::new(tiny()).await;
        let (mut a, b) = (rig.device("a").await, rig.device("b").await);
        a.write("f", b"one");
        a.write("gone", b"two");
        a.write("moved", b"three");
        a.equal().await;
        b.equal().await;
        a.client().stop().await;
        a.disk.crash();
        a.write("f", b"edited while off");
        a.disk.user().remove_file("gone").unwrap();
        a.disk.user().rename("moved", "here").unwrap();
        b.write("g", b"made elsewhere");
        b.equal().await;
        let state = if is_state_lost { SqliteTrees::in_memory().unwrap() } else { a.kept_state() };
        a.start(state).await.unwrap();
        a.equal().await;
        b.equal().await;
        assert_eq!(a.tree(), b.tree());
        assert!(a.tree().contains_key("g") && a.tree().contains_key("here"));
        // Without the state, nobody knows that it was ever here: absence is not deletion.
        assert_eq!(a.tree().contains_key("gone"), is_state_lost);
        // What the folder was then is known, though: the edit was made of that.
        let holds_edit = |path: &String| a.disk.user().read(path).is_ok_and(|bytes| *bytes == b"edited while off");
        let tree = a.tree();
        let edited: Vec<&String> = tree.keys().filter(|path| holds_edit(path)).collect();
        assert_eq!(edited, ["f"], "{is_state_lost} {:?}", a.tree());
        assert_eq!(tree.keys().filter(|path| path.contains("two versions")).count(), 0, "{is_state_lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_removed_whole_deletes_nothing_elsewhere() {
    let rig = Rig::new(tiny()).await;
    let (a, b) = (rig.device("a").await, rig.device("b").await);
    a.write("f", b"one");
    a.disk.user().make_dir("d").unwrap();
    a.write("d/g", b"two");
    a.equal().await;
    b.equal().await;
    let before = b.tree();
    for path in ["f", "d", ".skep"] {
        a.disk.user().remove_all(path).unwrap();
    }
    a.reaches(State::Stopped).await;
    assert_eq!(a.client().status().problems[0].code, "E-ROOT-MISSING");
    b.equal().await;
    assert_eq!(b.tree(), before);
}

#[tokio::test(start_paused = true)]
async fn files_that_change_all_the_time_arrive_whole() {
    let rig = Rig::new(tiny()).await;
    let (a, b) = (rig.device("a").await, rig.device("b").await);
    let saved = Arc::new(Mutex::new(BTreeSet::from([b"first".to_vec()])));
    let mixed = Arc::new(Mutex::new(Vec::new()));
    // At every seventh call of the client, a program saves another version of one of three files.
    let (user, calls, versions) = (a.disk.user(), AtomicU64::new(0), saved.clone());
    a.disk.set_hook(Some(Arc::new(move |_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        if call.is_multiple_of(7) && call < 4_000 {
            let path = format!("f{}", call % 3);
            let bytes = noise(call, 200 + 3_000 * (call as usize % 3));
            versions.lock().unwrap().insert(bytes.clone());
            let is_in_place = call.is_multiple_of(2);
            if is_in_place { user.write(&path, &bytes) } else { user.replace(&path, &bytes) }.unwrap();
        }
    })));
    // Whenever the other client does something, whole versions are all that can be seen there.
    let (user, versions, finds) = (b.disk.user(), saved.clone(), mixed.clone());
    b.disk.set_hook(Some(Arc::new(move |_| {
        for path in ["f0", "f1", "f2"] {
            let bytes = user.read(path).map(|bytes| bytes.to_vec()).unwrap_or(b"first".to_vec());
            if !versions.lock().unwrap().contains(&bytes) {
                finds.lock().unwrap().push(path);
            }
        }
    })));
    a.write("f0", b"first");
    for _ in 0..20 {
        a.wait().await;
        b.wait().await;
    }
    a.disk.set_hook(None);
    a.equal().await;
    b.equal().await;
    assert_eq!(mixed.lock().unwrap().as_slice(), [""; 0]);
    assert_eq!(a.tree(), b.tree());
    assert!(a.tree().keys().all(|path| !path.contains("two versions")), "{:?}", a.tree());
}

#[tokio::test(start_paused = true)]
async fn without_a_server_changes_wait() {
    let rig = Rig::new(tiny()).await;
    let (mut a, b) = (rig.device("a").await, rig.device("b").await);
    a.equal().await;
    a.client().stop().await;
    a.disk.crash();
    a.cut(true);
    a.start(SqliteTrees::in_memory().unwrap()).await.unwrap();
    a.write("f", b"one");
    a.reaches(State::Offline).await;
    assert_eq!(a.client().wait_equal(500).await, Ok(WaitOutcome::Offline));
    a.cut(false);
    a.equal().await;
    b.equal().await;
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(start_paused = true)]
async fn without_push_the_server_is_asked() {
    for (feed, has_feed) in [(Feed::Poll, true), (Feed::Push, false)] {
        let rig = Rig::new(tiny()).await;
        let (a, b) = (rig.device("a").await, rig.device_with("b", feed, has_feed).await);
        b.equal().await;
        a.write("f", &noise(3, 5000));
        a.equal().await;
        b.equal().await;
        assert_eq!(a.tree(), b.tree());
        b.write("g", b"back");
        b.equal().await;
        a.equal().await;
        assert_eq!(a.tree(), b.tree());
    }
}

#[tokio::test(start_paused = true)]
async fn without_push_a_change_is_here_after_the_poll_time() {
    for poll_ms in [2_000, 600_000] {
        let rig = Rig::new(Limits { poll_ms, ..tiny() }).await;
        let (a, b) = (rig.device("a").await, rig.device_with("b", Feed::Push, false).await);
        b.equal().await;
        let started = tokio::time::Instant::now();
        for round in 1..=4u8 {
            a.write(&format!("f{round}"), &[round]);
            a.equal().await;
            let mut client = b.client().clone();
            while client.status().files < u64::from(round) {
                client.status_changed().await.unwrap();
            }
        }
        // Time is virtual: it goes on only when all that is left to do is to wait.
        let taken_ms = started.elapsed().as_millis() as u64;
        assert!((3 * poll_ms..5 * poll_ms).contains(&taken_ms), "{taken_ms} ms for four polls every {poll_ms} ms");
        assert_eq!(a.tree(), b.tree());
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_signed_out_stops_and_deletes_nothing() {
    let rig = Rig::new(tiny()).await;
    let a = rig.device("a").await;
    a.write("f", b"one");
    a.equal().await;
    let before = a.tree();
    rig.server.revoke_device("a").await.unwrap();
    a.reaches(State::Stopped).await;
    assert_eq!(a.client().status().problems[0].code, "E-SIGN-IN");
    assert_eq!(a.tree(), before);
    assert_eq!(a.wait().await, WaitOutcome::NeedsPerson);
}

#[tokio::test(start_paused = true)]
async fn a_root_without_its_marker_is_not_looked_at() {
    let rig = Rig::new(tiny()).await;
    let (mut a, b) = (rig.device("a").await, rig.device("b").await);
    a.write("f", b"one");
    a.equal().await;
    b.equal().await;
    a.disk.user().remove_file(".skep/root").unwrap();
    a.disk.user().remove_file("f").unwrap();
    a.disk.lose_hints();
    a.reaches(State::Stopped).await;
    assert_eq!(a.client().status().problems[0].code, "E-ROOT-MISSING");
    b.equal().await;
    a.client().stop().await;
    a.disk.crash();
    let refused = a.start(SqliteTrees::in_memory().unwrap()).await;
    assert!(matches!(refused, Err(StartError::Root(skep_client::RootError::Missing(_)))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_folder_tells_which_drive_it_shows() {
    let rig = Rig::new(tiny()).await;
    let a = rig.device("a").await;
    let marker = skep_client::marker_of(&a.disk).unwrap().unwrap();
    assert_eq!((marker.id, marker.drive), (a.id, a.joined.drives[0].drive));
    a.disk.user().write(".skep/root", b"no marker").unwrap();
    assert!(matches!(skep_client::marker_of(&a.disk), Err(skep_client::RootError::Missing(_))));
    a.disk.user().remove_file(".skep/root").unwrap();
    assert_eq!(skep_client::marker_of(&a.disk), Ok(None));
}

#[tokio::test(start_paused = true)]
async fn one_root_has_one_client() {
    let rig = Rig::new(tiny()).await;
    let mut a = rig.device("a").await;
    a.equal().await;
    a.disk = a.disk.another_process();
    let refused = a.start(SqliteTrees::in_memory().unwrap()).await;
    assert_eq!(refused, Err(StartError::Root(skep_client::RootError::InUse)));
}

#[tokio::test(start_paused = true)]
async fn a_path_tells_why_it_is_as_it_is() {
    let rig = Rig::new(tiny()).await;
    let a = rig.device("a").await;
    a.write("f", b"one");
    a.equal().await;
    let path = vec![skep_types::Name::try_from("f").unwrap()];
    let report = a.client().report(path).await.unwrap();
    assert_eq!((report.path.as_str(), report.state), ("f", "synced"));
    assert_eq!(a.client().wait_equal(MINUTE_MS).await, Ok(WaitOutcome::Equal));
}

/// A copy, and a big file of which a little changed, are made of what the disk holds.
#[tokio::test(start_paused = true)]
async fn what_is_here_already_is_not_fetched() {
    let rig = Rig::new(Limits { inline_bytes_max: 0, ..tiny() }).await;
    let (a, b) = (rig.device("a").await, rig.device("b").await);
    let mut bytes = noise(1, 100_000);
    a.write("film", &bytes);
    a.equal().await;
    b.equal().await;
    assert!(b.received() > 100_000, "counted: {}", b.received());

    let before = b.received();
    a.disk.user().make_dir("copies").unwrap();
    a.write("copies/film", &bytes);
    a.equal().await;
    b.equal().await;
    assert_eq!(a.tree(), b.tree());
    let copied = b.received() - before;
    // The list of its chunks: 36 bytes for each 128.
    assert!(copied < 40_000, "a copy cost {copied} bytes");

    bytes.splice(50_000..50_001, *b"some more");
    a.write("film", &bytes);
    let before = b.received();
    a.equal().await;
    b.equal().await;
    assert_eq!(a.tree(), b.tree());
    let edited = b.received() - before;
    assert!(edited < 40_000, "an edit cost {edited} bytes");
}

/// What cannot be read here is fetched.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_here_is_fetched() {
    let rig = Rig::new(Limits { inline_bytes_max: 0, ..tiny() }).await;
    let (a, b) = (rig.device("a").await, rig.device("b").await);
    a.write("film", &noise(1, 20_000));
    a.equal().await;
    b.equal().await;
    b.disk.fail_next("read_range", 3, FileErrorKind::Other);
    a.write("copy", &noise(1, 20_000));
    a.equal().await;
    b.equal().await;
    assert_eq!(b.disk.user().read("copy").unwrap().as_slice(), noise(1, 20_000));
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_goes_and_comes_back_is_synced_again_by_itself() {
    let rig = Rig::new(tiny()).await;
    let (a, b) = (rig.device("a").await, rig.device("b").await);
    a.write("f", b"one");
    a.write("g", b"two");
    a.equal().await;
    b.equal().await;
    let marker = a.disk.user().read(".skep/root").unwrap();
    let other = String::from_utf8(marker.to_vec()).unwrap().replace(&a.id.to_string(), &b.id.to_string());
    // Nobody tells that it goes: it is found out. An empty disk, and another one, are no folder of which everything was deleted.
    a.disk.user().remove_file(".skep/root").unwrap();
    a.disk.user().remove_file("f").unwrap();
    a.disk.user().remove_file("g").unwrap();
    a.disk.lose_hints();
    a.reaches(State::Stopped).await;
    assert_eq!(a.client().status().problems[0].code, "E-ROOT-MISSING");
    a.write(".skep/root", other.as_bytes());
    let mut client = a.client().clone();
    while client.status().problems[0].code != "E-ROOT-OTHER" {
        client.status_changed().await.unwrap();
    }
    assert_eq!(a.wait().await, WaitOutcome::NeedsPerson);
    b.write("h", b"three");
    b.equal().await;
    assert_eq!(b.tree().len(), 3);

    a.write("f", b"one, edited while it was away");
    a.write("g", b"two");
    a.write(".skep/root", &marker);
    a.reaches(State::UpToDate).await;
    a.equal().await;
    b.equal().await;
    assert_eq!(a.tree(), b.tree());
    assert_eq!(b.disk.user().read("f").unwrap().as_slice(), b"one, edited while it was away");
    assert_eq!(b.tree().len(), 3);
    assert_eq!(a.client().status().problems, []);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_for_a_while_stops_nothing_for_good() {
    for failures in [1, 2, 20] {
        let rig = Rig::new(tiny()).await;
        let (a, b) = (rig.device("a").await, rig.device("b").await);
        a.write("f", b"one");
        a.equal().await;
        b.equal().await;
        a.disk.fail_next("root", failures, FileErrorKind::Other);
        let is_gone = failures > 2;
        if is_gone {
            a.reaches(State::Stopped).await;
            assert_eq!(a.client().status().problems[0].code, "E-ROOT-MISSING");
            a.reaches(State::UpToDate).await;
        }
        a.write("g", b"two");
        a.equal().await;
        b.equal().await;
        assert_eq!(a.tree(), b.tree());
        assert_eq!(b.tree().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_selected_stays_away_when_a_server_is_met_anew() {
    let rig = Rig::new(tiny()).await;
    let (a, b) = (rig.device("a").await, rig.device("b").await);
    a.disk.user().make_dir("d").unwrap();
    a.equal().await;
    b.equal().await;
    let directory = b.client().selectable(vec![skep_types::Name::try_from("d").unwrap()]).await.unwrap().unwrap();
    b.client().select(Selection { outside: BTreeSet::from([directory.node]), changes: 1 }).await.unwrap();
    a.write("d/f", b"one");
    a.equal().await;
    b.equal().await;
    let copy = rig.copy();
    a.write("g", b"two");
    a.equal().await;
    b.equal().await;

    a.cut(true);
    b.cut(true);
    rig.bring_back(&copy).await;
    a.cut(false);
    b.cut(false);
    a.equal().await;
    b.equal().await;
    assert_eq!(a.tree().len(), 3);
    assert_eq!(b.tree().into_keys().collect::<Vec<_>>(), ["g"]);
}
