//! Which folders are on a computer: `skep sync ls`, `add`, `rm`.

use std::fs;

use crate::rig::{Computer, Server, settle, until};

fn sync(computer: &Computer, verb: &str, path: &str, more: &[&str]) -> crate::rig::Answer {
    let path = computer.path(path);
    let asked_for: &[&str] = if verb == "rm" { &["--experimental"] } else { &[] };
    computer.command(&[&["sync", verb, path.to_str().unwrap()], asked_for, more].concat())
}

fn not_here(computer: &Computer) -> Vec<String> {
    let listed = computer.command(&["sync", "ls", "--json"]).json();
    let entries = listed["not_here"].as_array().unwrap().iter();
    entries.map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_folder_goes_from_one_computer_only_and_comes_back() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    for file in 0..20 {
        laptop.write(&format!("Media/old/{file}.jpg"), format!("picture {file}"));
    }
    laptop.write("Media/new/a.jpg", "new");
    settle(&laptop, &desktop);

    let dry = sync(&desktop, "rm", "Media/old", &["--dry-run"]).done();
    assert!(dry.contains("20 files") && dry.contains("Nothing was changed"), "{dry}");
    assert!(not_here(&desktop).is_empty() && desktop.path("Media/old/0.jpg").exists());
    sync(&desktop, "rm", "Media/old", &[]).done();
    until("it goes from the desktop", || (!desktop.path("Media/old").exists()).then_some(()));
    desktop.wait();
    laptop.wait();
    assert_eq!(laptop.read("Media/old/19.jpg").unwrap(), b"picture 19");
    assert_eq!(not_here(&desktop), ["Media/old"]);
    assert_eq!(sync(&desktop, "rm", "Media/old", &[]).code, 9);
    assert_eq!(sync(&desktop, "add", "Media/new", &[]).code, 9);
    assert_eq!(sync(&desktop, "rm", "Media/nothing", &[]).code, 4);

    // What happens there is not for here, also after a restart and a rename; what is new here stays and is told.
    laptop.write("Media/old/0.jpg", "changed");
    fs::rename(laptop.path("Media/old"), laptop.path("Media/archive")).unwrap();
    laptop.wait();
    desktop.kill();
    desktop.start();
    desktop.wait();
    assert!(!desktop.path("Media/archive").exists() && !desktop.path("Media/old").exists());
    desktop.write("Media/archive/mine.jpg", "mine");
    assert_eq!(desktop.wait_with_problems(), ["E-NOT-SELECTED Media/archive/mine.jpg"]);
    assert_eq!(not_here(&desktop), ["Media/archive"]);

    // To delete what is above does not delete what is not here.
    fs::remove_dir_all(desktop.path("Media/new")).unwrap();
    sync(&desktop, "add", "Media/archive", &[]).done();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("Media/archive/0.jpg").unwrap(), b"changed");
    assert_eq!(laptop.read("Media/archive/mine.jpg").unwrap(), b"mine");
    assert!(crate::tree::conflict_copies(&laptop.folder).is_empty());
}

#[test]
fn losing_the_state_or_being_off_never_turns_a_selection_into_a_deletion() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    laptop.write("big/a", "a");
    laptop.write("big/b", "b");
    settle(&laptop, &desktop);
    sync(&desktop, "rm", "big", &[]).done();
    desktop.kill();
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(desktop.home.join(file));
    }
    desktop.start();
    desktop.wait();
    laptop.wait();
    assert_eq!(laptop.read("big/b").unwrap(), b"b");
    // Without a state, what still stood there may be taken for new: it stays or goes, but nothing is deleted.
    assert!(server.journal().iter().all(|entry| !entry.state.place.trashed));
    sync(&desktop, "add", "big", &[]).done();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("big/a").unwrap(), b"a");
}
