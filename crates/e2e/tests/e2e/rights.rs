//! What may not be read or written is a problem of its own: told, nothing else waits for it, and nothing counts as deleted.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::rig::{Computer, Server, settle, until};
use crate::tree::{conflict_copies, tree};

/// Gives the right back and waits until the client has noticed, which it does by itself.
fn mend(computer: &Computer, name: &str, mode: u32) {
    computer.set_mode(name, mode);
    until("the client tries again", || computer.problems().is_empty().then_some(()));
}

#[test]
fn a_file_that_may_not_be_read_is_told_and_sent_when_it_may() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("known", "first");
    settle(&laptop, &desktop);
    for name in ["new", "known"] {
        // In place at once as what may not be read: a client is quick enough to read what may be read for a moment.
        let outside = server.scratch(name);
        fs::write(&outside, "secret").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o000)).unwrap();
        fs::rename(outside, laptop.path(name)).unwrap();
    }
    laptop.write("beside", "goes on");
    assert_eq!(laptop.wait_with_problems(), ["E-CANNOT-READ known", "E-CANNOT-READ new"]);
    desktop.wait();
    assert_eq!(desktop.read("beside").unwrap(), b"goes on");
    assert_eq!((desktop.read("new"), desktop.read("known").unwrap()), (None, b"first".to_vec()));
    laptop.set_mode("new", 0o644);
    mend(&laptop, "known", 0o644);
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("new").unwrap(), b"secret");
}

#[test]
fn a_directory_that_may_not_be_read_is_not_empty() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    for name in ["closed/one", "closed/beneath/two", "open"] {
        laptop.write(name, format!("the only copy of {name}"));
    }
    settle(&laptop, &desktop);
    let before = tree(&desktop.folder);
    let entries = server.journal().len();
    // Closed while the client runs, while it does not, and so that names can be seen but nothing else.
    for mode in [0o000, 0o100, 0o400] {
        laptop.stop();
        laptop.set_mode("closed", mode);
        laptop.start();
        assert_eq!(laptop.wait_with_problems(), ["E-CANNOT-READ closed"], "{mode:o}");
        laptop.kill();
        laptop.start();
        laptop.wait_with_problems();
        desktop.wait();
        assert_eq!((server.journal().len(), tree(&desktop.folder) == before), (entries, true), "{mode:o}");
        mend(&laptop, "closed", 0o755);
    }
    settle(&laptop, &desktop);
    assert_eq!(server.journal().len(), entries);
}

#[test]
fn a_directory_that_may_not_be_written_takes_what_waited_when_it_may() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    for name in ["edited", "deleted", "moved"] {
        laptop.write(&format!("closed/{name}"), "first");
    }
    settle(&laptop, &desktop);
    desktop.set_mode("closed", 0o555);
    laptop.write("closed/edited", "second");
    laptop.write("closed/new", "new");
    fs::remove_file(laptop.path("closed/deleted")).unwrap();
    fs::rename(laptop.path("closed/moved"), laptop.path("moved")).unwrap();
    laptop.write("beside", "goes on");
    laptop.wait();
    let problems = desktop.wait_with_problems();
    assert!(problems.iter().all(|problem| problem.starts_with("E-CANNOT-WRITE ")), "{problems:?}");
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert_eq!(desktop.read("beside").unwrap(), b"goes on");
    assert_eq!(desktop.read("closed/edited").unwrap(), b"first");
    mend(&desktop, "closed", 0o755);
    settle(&laptop, &desktop);
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

#[test]
fn a_file_that_may_not_be_written_is_replaced_as_every_other() {
    // Like any program that saves by renaming: it is the directory that is written.
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("file", "first");
    settle(&laptop, &desktop);
    desktop.set_mode("file", 0o444);
    laptop.write("file", "second");
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("file").unwrap(), b"second");
}

#[test]
fn a_new_directory_that_may_not_be_read_is_told_and_looked_at_when_it_may() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    // Closed before it comes: one that could be listed for a moment is known to be empty.
    fs::create_dir(laptop.path("../closed")).unwrap();
    laptop.set_mode("../closed", 0o000);
    fs::rename(laptop.path("../closed"), laptop.path("closed")).unwrap();
    assert_eq!(laptop.wait_with_problems(), ["E-CANNOT-READ closed"]);
    mend(&laptop, "closed", 0o755);
    laptop.write("closed/file", "in it");
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("closed/file").unwrap(), b"in it");
}

#[test]
fn a_wait_tries_again_what_was_a_problem() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("closed/file", "first");
    settle(&laptop, &desktop);
    desktop.set_mode("closed", 0o555);
    laptop.write("closed/file", "second");
    laptop.wait();
    desktop.wait_with_problems();
    desktop.set_mode("closed", 0o755);
    settle(&laptop, &desktop);
}

#[test]
fn a_problem_ends_with_the_file_that_had_it() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("closed/file", "first");
    settle(&laptop, &desktop);
    desktop.set_mode("closed", 0o555);
    laptop.write("closed/new", "new");
    laptop.wait();
    desktop.wait_with_problems();
    fs::remove_file(laptop.path("closed/new")).unwrap();
    settle(&laptop, &desktop);
}
