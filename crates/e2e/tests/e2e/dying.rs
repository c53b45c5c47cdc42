//! Programs end at bad moments; nothing is lost and everything goes on.

use std::fs;

use crate::rig::{Computer, Server, noise, settle, until};
use crate::tree::conflict_copies;

/// Takes seconds to transfer, so that there is a middle to be killed in.
const BIG_BYTES: usize = 30_000_000;

fn staged_bytes(computer: &Computer) -> u64 {
    let staging = fs::read_dir(computer.path(".skep/staging")).unwrap();
    staging.flatten().map(|file| file.metadata().map_or(0, |file| file.len())).sum()
}

/// Saves the big file as programs save what must not be seen half written.
fn save_big(computer: &Computer, seed: u64) {
    let outside = computer.home.join("big.bin");
    fs::write(&outside, noise(BIG_BYTES, seed)).unwrap();
    fs::rename(outside, computer.path("big.bin")).unwrap();
}

fn is_whole(computer: &Computer, seed: u64) -> bool {
    computer.read("big.bin").is_some_and(|bytes| bytes == noise(BIG_BYTES, seed))
}

#[test]
fn a_client_that_was_away_brings_its_changes_and_takes_those_of_others() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    for name in ["edited here", "edited there", "deleted here", "deleted there", "moved here", "moved there"] {
        laptop.write(&format!("d/{name}"), format!("first of {name}"));
    }
    settle(&laptop, &desktop);
    for (round, killed) in [false, true].into_iter().enumerate() {
        if killed {
            laptop.kill()
        } else {
            laptop.stop()
        }
        for (computer, side) in [(&laptop, "here"), (&desktop, "there")] {
            computer.write(&format!("d/edited {side}"), format!("edit {round} {side}"));
            computer.write(&format!("new {round} {side}"), format!("new {round} {side}"));
            drop(fs::remove_file(computer.path(&format!("d/deleted {side}"))));
            fs::rename(computer.path(&format!("d/moved {side}")), computer.path(&format!("moved {side}"))).unwrap();
        }
        desktop.wait();
        laptop.start();
        settle(&laptop, &desktop);
        for side in ["here", "there"] {
            assert_eq!(laptop.read(&format!("d/edited {side}")).unwrap(), format!("edit {round} {side}").as_bytes());
            assert_eq!(laptop.read(&format!("d/deleted {side}")), None);
            assert_eq!(laptop.read(&format!("moved {side}")).unwrap(), format!("first of moved {side}").as_bytes());
            fs::rename(laptop.path(&format!("moved {side}")), laptop.path(&format!("d/moved {side}"))).unwrap();
        }
        settle(&laptop, &desktop);
    }
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

#[test]
fn a_server_that_is_killed_amid_an_upload_goes_on_with_it() {
    let mut server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let before = server.stored_bytes();
    save_big(&laptop, 1);
    until("some of it has arrived", || (server.stored_bytes() > before + 1_000_000).then_some(()));
    server.kill();
    laptop.write("while it was away.txt", "written without a server");
    server.start_again();
    settle(&laptop, &desktop);
    assert!(is_whole(&desktop, 1));
}

#[test]
fn a_client_that_is_killed_amid_an_upload_goes_on_with_it() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    let before = server.stored_bytes();
    save_big(&laptop, 2);
    until("some of it has arrived", || (server.stored_bytes() > before + 1_000_000).then_some(()));
    laptop.kill();
    assert_eq!(desktop.read("big.bin").map(|bytes| bytes.len()).unwrap_or(BIG_BYTES), BIG_BYTES, "whole or not there");
    laptop.start();
    settle(&laptop, &desktop);
    assert!(is_whole(&desktop, 2));
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

#[test]
fn a_client_that_is_killed_amid_a_download_goes_on_with_it() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    save_big(&laptop, 3);
    until("some of it has arrived", || {
        (staged_bytes(&desktop) > 100_000 || desktop.path("big.bin").exists()).then_some(())
    });
    desktop.kill();
    assert_eq!(desktop.read("big.bin").map(|bytes| bytes.len()).unwrap_or(BIG_BYTES), BIG_BYTES, "whole or not there");
    desktop.start();
    settle(&laptop, &desktop);
    assert!(is_whole(&desktop, 3));
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}
