//! A folder whose computer has lost its state: what was agreed on is known again, from the folder and the server.

use std::fs;
use std::process::Command;

use crate::rig::{Computer, Server, settle};
use crate::tree::{conflict_copies, tree};

/// A file for each thing that may happen to it.
const FILES: [&str; 8] = [
    "deleted.txt",
    "edited.txt",
    "moved.txt",
    "mine.txt",
    "both.txt",
    "gone/with/dir.txt",
    "kept/inside.txt",
    "kept/renamed.txt",
];

fn lose_state(computer: &Computer) {
    let entries = fs::read_dir(&computer.home).unwrap().map(|entry| entry.unwrap().path());
    let state: Vec<_> = entries.filter(|path| path.file_name().unwrap().to_string_lossy().contains("state")).collect();
    assert!(!state.is_empty());
    state.iter().for_each(|path| fs::remove_file(path).unwrap());
}

fn write_all(computer: &Computer) {
    for file in FILES {
        computer.write(file, format!("{file} at first"));
    }
    fs::create_dir(computer.path("empty")).unwrap();
    std::os::unix::fs::symlink("edited.txt", computer.path("link")).unwrap();
}

/// What happens elsewhere.
fn change_there(computer: &Computer) {
    fs::remove_file(computer.path("deleted.txt")).unwrap();
    fs::remove_file(computer.path("link")).unwrap();
    fs::remove_dir(computer.path("empty")).unwrap();
    fs::remove_dir_all(computer.path("gone")).unwrap();
    computer.write("edited.txt", "edited there");
    computer.write("both.txt", "both, there");
    fs::rename(computer.path("moved.txt"), computer.path("kept/moved-away.txt")).unwrap();
    fs::rename(computer.path("kept"), computer.path("kept there")).unwrap();
}

/// What stands on both computers in the end.
fn check(one: &Computer, other: &Computer) {
    settle(one, other);
    let copies = conflict_copies(&one.folder);
    assert_eq!(copies.len(), 1, "of what both edited there are two versions, of nothing else: {copies:?}");
    let mut paths: Vec<String> = tree(&one.folder).into_keys().map(|path| path.display().to_string()).collect();
    paths.retain(|path| !copies.contains(path));
    let expected = [
        "both.txt",
        "edited.txt",
        "kept there",
        "kept there/inside.txt",
        "kept there/moved-away.txt",
        "kept there/new.txt",
        "kept there/renamed.txt",
        "mine.txt",
    ];
    assert_eq!(paths, expected);
    assert_eq!(one.read("mine.txt").unwrap(), b"mine, edited here");
    assert_eq!(one.read("edited.txt").unwrap(), b"edited there");
    assert_eq!(one.read("both.txt").unwrap(), b"both, there");
    assert_eq!(one.read(&copies[0]).unwrap(), b"both, here");
    assert_eq!(one.problems(), ["E-TWO-VERSIONS both.txt"]);
}

#[test]
fn a_computer_that_lost_its_state_brings_nothing_back_and_makes_no_needless_copies() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    write_all(&laptop);
    settle(&laptop, &desktop);
    desktop.stop();
    lose_state(&desktop);
    change_there(&laptop);
    desktop.write("mine.txt", "mine, edited here");
    desktop.write("both.txt", "both, here");
    desktop.write("kept/new.txt", "made here");
    laptop.wait();
    desktop.start();
    check(&laptop, &desktop);
    // What went is in the safe.
    let safe = fs::read_dir(desktop.path(".skep/trash")).unwrap().count();
    assert!(safe >= 4, "{safe}");
}

#[test]
fn a_copy_of_a_folder_on_a_new_computer_goes_on_from_when_it_was_copied() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    write_all(&laptop);
    settle(&laptop, &desktop);
    desktop.stop();
    let tablet = server.stranger("tablet");
    let copied = Command::new("cp").arg("-aT").arg(&desktop.folder).arg(&tablet.folder).status().unwrap();
    assert!(copied.success());
    change_there(&laptop);
    tablet.write("mine.txt", "mine, edited here");
    tablet.write("both.txt", "both, here");
    tablet.write("kept/new.txt", "made here");
    laptop.wait();
    tablet.join(&server).done();
    let mut tablet = tablet;
    tablet.start();
    check(&laptop, &tablet);
}

#[test]
fn a_folder_that_was_never_synced_keeps_the_newer_file_under_its_name() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    laptop.write("old.txt", "the older one");
    laptop.write("new.txt", "the newer one");
    laptop.write("equal.txt", "the same");
    Command::new("touch").args(["-d", "2020-01-01"]).arg(laptop.path("old.txt")).status().unwrap();
    laptop.wait();
    let mut desktop = server.stranger("desktop");
    fs::create_dir_all(&desktop.folder).unwrap();
    desktop.write("old.txt", "written later");
    desktop.write("new.txt", "written long ago");
    desktop.write("equal.txt", "the same");
    Command::new("touch").args(["-d", "2021-01-01"]).arg(desktop.path("new.txt")).status().unwrap();
    desktop.join(&server).done();
    desktop.start();
    settle(&laptop, &desktop);
    assert_eq!(laptop.read("old.txt").unwrap(), b"written later");
    assert_eq!(laptop.read("new.txt").unwrap(), b"the newer one");
    let copies = conflict_copies(&laptop.folder);
    let texts: Vec<Vec<u8>> = copies.iter().map(|copy| laptop.read(copy).unwrap()).collect();
    assert_eq!((copies.len(), tree(&laptop.folder).len()), (2, 5), "{copies:?}");
    assert!(texts.contains(&b"the older one".to_vec()) && texts.contains(&b"written long ago".to_vec()));
}
