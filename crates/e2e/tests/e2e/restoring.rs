//! A server whose data was copied back, a computer that lost its state, folders that were full before they met.

use std::fs;
use std::path::Path;

use crate::rig::{Server, settle, until};
use crate::tree::{conflict_copies, tree};

/// Copies a directory with all that is in it.
fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Puts a copy in the place of a stopped server's data.
fn bring_back(server: &Server, copy: &Path) {
    fs::remove_dir_all(server.data()).unwrap();
    copy_dir(copy, &server.data());
}

#[test]
fn a_data_directory_that_was_copied_back_by_hand_takes_nothing_from_anybody() {
    let mut server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    laptop.write("kept/old.txt", "in the copy");
    laptop.write("kept/edited.txt", "in the copy");
    laptop.write("renamed.txt", "in the copy");
    settle(&laptop, &desktop);
    server.stop();
    let copy = server.scratch("copy");
    copy_dir(&server.data(), &copy);
    server.start_again();
    laptop.write("kept/edited.txt", "after the copy");
    desktop.write("late/new.txt", "after the copy");
    fs::rename(laptop.path("renamed.txt"), laptop.path("new name.txt")).unwrap();
    settle(&laptop, &desktop);
    let before = tree(&laptop.folder);

    // Under both computers, while they run.
    server.kill();
    bring_back(&server, &copy);
    server.start_again();
    settle(&laptop, &desktop);
    assert_eq!(tree(&laptop.folder), before);
    // New computers get it all from the server.
    let tablet = server.computer("tablet");
    tablet.wait();
    assert_eq!(tree(&tablet.folder), before);
    assert!(server.journal().len() > 4, "what was lost is in the journal again");

    // The same copy once more is older than what they have followed since.
    server.kill();
    bring_back(&server, &copy);
    server.start_again();
    until("the laptop refuses the older server", || {
        laptop.problems().iter().any(|told| told.starts_with("E-SERVER-OLDER")).then_some(())
    });
    assert_eq!(tree(&laptop.folder), before);
    laptop.stop();
    laptop.write("kept/old.txt", "while the server was old");
    laptop.start();
    until("it does so after a start", || {
        laptop.problems().iter().any(|told| told.starts_with("E-SERVER-OLDER")).then_some(())
    });
    let running = server.command(&["backup", "restored"], "");
    assert_eq!(running.code, 9, "{running:?}");
    server.stop();
    server.command(&["backup", "restored"], "").done();
    server.start_again();
    for computer in [&laptop, &desktop] {
        until("the computer goes on by itself", || computer.problems().is_empty().then_some(()));
    }
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("kept/old.txt").unwrap(), b"while the server was old");
    assert_eq!(desktop.read("late/new.txt").unwrap(), b"after the copy");
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
    // All data is whole.
    assert_eq!(server.command(&["fsck"], "").code, 0);
}
