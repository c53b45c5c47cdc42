//! Where a folder may lie: never in or around another one, a server's data, or a client's own settings and state.

use std::fs;

use crate::asking::{complained, complaint};
use crate::rig::{Computer, Server};

/// What a join of a new computer with that folder and home is answered.
fn joining(server: &Server, folder: impl Into<std::path::PathBuf>, home: &str) -> crate::rig::Answer {
    let mut computer: Computer = server.stranger("other");
    computer.folder = folder.into();
    computer.home = server.scratch(home);
    computer.join(server)
}

#[test]
fn a_folder_lies_neither_in_nor_around_what_is_ours() {
    let server = Server::start();
    let (laptop, _desktop) = server.two_computers();
    laptop.write("d/precious.txt", "the only copy");
    laptop.wait();
    let entries = server.journal().len();
    let refusals = [
        ("E-NESTED", laptop.path("d/deep/new"), "other-home"),
        ("E-NESTED", laptop.path(".skep/new"), "other-home"),
        ("E-OWN-FILES", server.data().join("packs/new"), "other-home"),
        ("E-OWN-FILES", server.data(), "other-home"),
        ("E-OWN-FILES", laptop.home.join("new"), "other-home"),
        ("E-OWN-FILES", server.scratch("around"), "around/home"),
        ("E-OWN-FILES", server.scratch("other-home"), "other-home"),
        ("E-OWN-FILES", server.scratch("other-home/new"), "other-home"),
        ("E-SYSTEM-DIR", "/".into(), "other-home"),
        ("E-SYSTEM-DIR", "/proc/sys".into(), "other-home"),
        ("E-SYSTEM-DIR", "/sys".into(), "other-home"),
        ("E-SYSTEM-DIR", "/dev".into(), "other-home"),
    ];
    for (code, folder, home) in refusals {
        let answer = joining(&server, &folder, home);
        assert_eq!(complaint(&answer), complained(9, code), "{folder:?}: {answer:?}");
        assert!(answer.err.contains("Choose") || answer.err.contains("Name"), "what to do next: {answer:?}");
    }
    assert!(!laptop.path("d/deep").exists(), "nothing was made");
    // Around a folder that is synced, and around a server's data: beneath anything.
    for (code, moved) in [("E-NESTED", laptop.path("d")), ("E-OWN-FILES", server.data())] {
        let around = server.scratch("outer");
        fs::create_dir_all(around.join("a/b")).unwrap();
        std::os::unix::fs::symlink(&moved, around.join("a/link")).unwrap();
        let inner = around.join("a/b/inner");
        match code {
            "E-NESTED" => {
                fs::create_dir_all(inner.join(".skep")).unwrap();
                fs::copy(laptop.path(".skep/root"), inner.join(".skep/root")).unwrap();
            }
            _ => {
                fs::create_dir_all(&inner).unwrap();
                fs::copy(server.data().join(".skep"), inner.join(".skep")).unwrap();
            }
        }
        assert_eq!(complaint(&joining(&server, &around, "other-home")), complained(9, code));
        assert!(!around.join(".skep").exists());
        fs::remove_dir_all(&around).unwrap();
    }
    // The classic form refuses the same.
    let mut classic = server.stranger("classic");
    classic.folder = laptop.path("d/new");
    let answer = crate::rig::run(classic.connecting(&server, &[]), "");
    assert_eq!(complaint(&answer), complained(9, "E-NESTED"));
    laptop.wait();
    assert_eq!(server.journal().len(), entries);
}

#[test]
fn a_folder_that_has_come_to_lie_in_another_one_is_not_synced() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    desktop.stop();
    laptop.wait();
    // As when the disk of the one is mounted in the other.
    fs::rename(&desktop.folder, laptop.path("inner")).unwrap();
    std::os::unix::fs::symlink(laptop.path("inner"), &desktop.folder).unwrap();
    assert_eq!(complaint(&desktop.command(&["daemon", "run"])), complained(9, "E-NESTED"));
}

#[test]
fn what_is_ours_in_a_folder_is_passed_over_and_told() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    laptop.write("kept/a.txt", "from the laptop");
    crate::rig::settle(&laptop, &desktop);
    desktop.stop();
    laptop.wait();
    let entries = server.journal().len();
    // Another folder comes to lie in this one, complete in one step; a server's data; and a folder in one that was synced.
    fs::rename(&desktop.folder, laptop.path("inner")).unwrap();
    fs::create_dir_all(server.scratch("own/packs")).unwrap();
    fs::copy(server.data().join(".skep"), server.scratch("own/.skep")).unwrap();
    fs::write(server.scratch("own/packs/1"), "a pack").unwrap();
    fs::rename(server.scratch("own"), laptop.path("data")).unwrap();
    fs::rename(laptop.path("inner/.skep"), laptop.path("kept/.skep")).unwrap();
    fs::create_dir(laptop.path("inner/.skep")).unwrap();
    fs::copy(laptop.path("kept/.skep/root"), laptop.path("inner/.skep/root")).unwrap();
    let mut problems = laptop.wait_with_problems();
    problems.sort();
    assert_eq!(problems, ["E-NESTED inner", "E-NESTED kept", "E-OWN-FILES data"]);
    laptop.write("inner/kept/new.txt", "of the other client");
    laptop.write("kept/new.txt", "of the other client");
    fs::remove_file(laptop.path("kept/a.txt")).unwrap();
    laptop.wait_with_problems();
    let names: Vec<String> =
        server.journal()[entries..].iter().map(|entry| entry.state.place.name.display().into_owned()).collect();
    assert!(names.is_empty(), "nothing of it is synced: {names:?}");

    // A rule ends the notice, and taking it out of there does.
    laptop.write(".skepignore", "/data/\n/inner/\n");
    fs::rename(laptop.path("kept/.skep"), server.scratch("marker")).unwrap();
    laptop.wait();
    assert!(laptop.problems().is_empty());
    assert!(server.journal()[entries..].iter().any(|entry| entry.state.place.name.display() == "new.txt"));
}
