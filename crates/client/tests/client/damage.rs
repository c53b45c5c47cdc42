//! What a disk does to bytes by itself is found, told, repaired, and never sent.

use std::sync::Arc;

use skep_client::Verified;
use skep_types::Limits;

use crate::rig::{Device, Rig};
use crate::{noise, tiny};

/// A device on which nothing is young any more.
async fn at_rest(rig: &Rig, files: &[(&str, Vec<u8>)]) -> (Device, Device) {
    let (a, b) = (rig.device("a").await, rig.device("b").await);
    for (path, bytes) in files {
        a.write(path, bytes);
    }
    a.equal().await;
    b.equal().await;
    tokio::time::advance(std::time::Duration::from_millis(10_000)).await;
    (a, b)
}

fn bytes_of(device: &Device, path: &str) -> Arc<Vec<u8>> {
    device.disk.user().read(path).unwrap()
}

/// What lies in the safe.
fn safe(device: &Device) -> Vec<Arc<Vec<u8>>> {
    let entries = device.disk.tree().into_iter().filter(|(path, _)| path.starts_with(b".skep/trash/"));
    let files = entries.map(|(path, _)| device.disk.user().read(path).unwrap());
    files.collect()
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_is_repaired_from_the_server_and_never_sent() {
    let rig = Rig::new(tiny()).await;
    let whole = noise(1, 3_000);
    let (a, b) = at_rest(&rig, &[("f", whole.clone()), ("g", noise(2, 700))]).await;
    a.disk.user().flip_bit("f", 1_234).unwrap();
    let damaged = bytes_of(&a, "f");
    assert_ne!(*damaged, whole);
    a.equal().await;
    assert_eq!(bytes_of(&a, "f"), damaged, "nobody has noticed yet");
    let found = a.client().verify().await.unwrap();
    assert_eq!(found, Verified { files: 2, bytes: 3_700, damaged: vec!["f".into()], unreadable: Vec::new() });
    a.equal().await;
    b.equal().await;
    assert_eq!(*bytes_of(&a, "f"), whole);
    assert_eq!(*bytes_of(&b, "f"), whole);
    assert_eq!(safe(&a), [damaged]);
    let audit = a.client().status().audit;
    assert_eq!((audit.damaged, audit.last_damage.unwrap().1), (1, "f".into()));
    assert!(audit.completed.is_some());
    assert_eq!(a.client().verify().await.unwrap().damaged, [""; 0]);
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(start_paused = true)]
async fn damage_that_is_known_is_not_sent_when_the_file_is_renamed() {
    let rig = Rig::new(tiny()).await;
    let whole = noise(1, 3_000);
    let (a, b) = at_rest(&rig, &[("f", whole.clone())]).await;
    a.disk.user().flip_bit("f", 5).unwrap();
    a.cut(true);
    assert_eq!(a.client().verify().await.unwrap().damaged, ["f"]);
    // It cannot be fetched now.
    assert!(a.client().status().problems.iter().any(|problem| problem.code == "E-DISK-DAMAGE"));
    a.disk.user().rename("f", "g").unwrap();
    tokio::time::advance(std::time::Duration::from_millis(5_000)).await;
    a.cut(false);
    a.equal().await;
    b.equal().await;
    assert_eq!((*bytes_of(&a, "g")).clone(), whole);
    assert_eq!((*bytes_of(&b, "g")).clone(), whole);
    assert!(a.client().status().problems.is_empty());
}

#[tokio::test(start_paused = true)]
async fn damage_that_is_known_outlives_a_kill() {
    let rig = Rig::new(tiny()).await;
    let whole = noise(1, 3_000);
    let (mut a, b) = at_rest(&rig, &[("f", whole.clone())]).await;
    a.disk.user().flip_bit("f", 5).unwrap();
    a.cut(true);
    assert_eq!(a.client().verify().await.unwrap().damaged, ["f"]);
    a.client().stop().await;
    a.disk.crash();
    a.cut(false);
    let state = a.kept_state();
    a.start(state).await.unwrap();
    a.equal().await;
    assert_eq!(*bytes_of(&a, "f"), whole);
    b.equal().await;
    assert_eq!(a.tree(), b.tree());
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_restored_size_and_mtime_is_an_edit() {
    let rig = Rig::new(tiny()).await;
    let (mut a, b) = at_rest(&rig, &[("f", noise(1, 3_000))]).await;
    a.client().stop().await;
    a.disk.crash();
    let mtime = a.disk.user().stat("f").unwrap().mtime;
    let edited = noise(9, 3_000);
    a.write("f", &edited);
    a.disk.user().set_mtime("f", mtime).unwrap();
    let state = a.kept_state();
    a.start(state).await.unwrap();
    a.equal().await;
    b.equal().await;
    assert_eq!(*bytes_of(&b, "f"), edited);
    assert_eq!(a.client().verify().await.unwrap().damaged, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn all_files_are_read_again_in_the_background() {
    let limits = Limits { audit_every_ms: 3_600_000, ..tiny() };
    let rig = Rig::new(limits).await;
    let files: Vec<(String, Vec<u8>)> = (0..30).map(|index| (format!("f{index}"), noise(index, 900))).collect();
    let borrowed: Vec<(&str, Vec<u8>)> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    let (a, b) = at_rest(&rig, &borrowed).await;
    a.disk.user().flip_bit("f17", 800).unwrap();
    let mut client = a.client().clone();
    let began = client.status();
    assert_eq!(began.audit.completed, None);
    while client.status().audit.completed.is_none() {
        client.status_changed().await.unwrap();
    }
    assert_eq!(client.status().audit.damaged, 1);
    a.equal().await;
    assert_eq!(*bytes_of(&a, "f17"), noise(17, 900));
    b.equal().await;
    assert_eq!(a.tree(), b.tree());
}
