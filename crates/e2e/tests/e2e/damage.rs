//! A disk that damages what it holds: it is found, told and repaired, and no other device ever sees the damaged bytes.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};

use skep_client::SqliteTrees;
use skep_planner::{Local, Synced, Trees};
use skep_types::{Name, NodeId, Stat, Timestamp};

use crate::rig::{Computer, Server, noise, settle, until};

/// Longer than any hint may be late.
const LATER_MS: u64 = 60_000;

/// Changes a byte in the middle of a file at the top of the folder, as a disk does: no time of the file tells. No program can set a ctime back,
/// so the state of the client, which is off, is told the one that the file has now.
fn damage(computer: &Computer, name: &str) -> Vec<u8> {
    let path = computer.path(name);
    let before = fs::metadata(&path).unwrap();
    let middle = before.len() / 2;
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], middle).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let after = file.metadata().unwrap();
    let ctime = Timestamp { seconds: after.ctime(), nanoseconds: u32::try_from(after.ctime_nsec()).unwrap() };
    let mut state = SqliteTrees::open(&computer.home.join("state.db")).unwrap();
    state
        .with_step(|trees| {
            let node = trees.local_child(NodeId::ROOT, &Name::new(name.as_bytes()).unwrap()).unwrap();
            let (local, synced) = (trees.local(node).unwrap(), trees.synced(node).unwrap());
            let shown = Stat { ctime, ..synced.shown };
            trees.set_synced(node, Some(Synced { shown, ..synced }));
            trees.set_local(node, Some(Local { stat: shown, ..local }));
            // It happened long before the client ended.
            trees.set_last_step(ctime.plus_milliseconds(LATER_MS));
        })
        .unwrap();
    state.close().unwrap();
    fs::read(&path).unwrap()
}

#[test]
fn a_flipped_bit_is_found_told_and_repaired_and_no_other_device_sees_it() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    let whole = noise(700_000, 1);
    laptop.write("film", &whole);
    laptop.write("notes", "as they should be");
    settle(&laptop, &desktop);
    let entries = server.journal().len();
    laptop.stop();
    let damaged = damage(&laptop, "film");
    assert_ne!(damaged, whole);
    laptop.start();
    laptop.wait();
    assert_eq!(laptop.read("film").unwrap(), damaged, "nobody has looked at its bytes yet");
    let found = until("the damage is found", || {
        let answer = laptop.command(&["doctor", "--verify"]);
        answer.out.contains("film").then_some(answer)
    });
    assert_eq!(found.code, 8);
    assert!(
        found.out.contains("1 file did not hold what they should, though nobody changed them: `film`"),
        "{found:?}"
    );
    settle(&laptop, &desktop);
    assert_eq!(laptop.read("film").unwrap(), whole);
    assert_eq!(desktop.read("film").unwrap(), whole);
    assert_eq!(server.journal().len(), entries, "nothing was sent");
    let safe = fs::read_dir(laptop.path(".skep/trash")).unwrap().flatten();
    let kept: Vec<Vec<u8>> = safe.map(|entry| fs::read(entry.path()).unwrap()).collect();
    assert_eq!(kept, [damaged], "the damaged bytes are in the safe");
    let status = laptop.command(&["status"]).done();
    assert!(status.contains("this disk damaged files 1 time"), "{status}");
    assert_eq!(laptop.command(&["doctor", "--verify"]).code, 0);
}
