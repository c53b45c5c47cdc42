//! Deletions that nobody saw: a few go, many wait for a person, who sends them or brings the files back.

use std::fs;

use crate::rig::{Computer, Server, settle};
use crate::tree::tree;

/// Sixty files in `Archive`, forty elsewhere.
fn two_computers_with_files(server: &Server) -> (Computer, Computer) {
    let (laptop, desktop) = server.two_computers();
    for number in 0..60 {
        laptop.write(&format!("Archive/{}/{number}", number % 3), format!("archived {number}"));
    }
    for number in 0..40 {
        laptop.write(&format!("Work/{number}"), format!("work {number}"));
    }
    settle(&laptop, &desktop);
    (laptop, desktop)
}

/// `Archive` goes while the client is off.
fn lose_archive(laptop: &mut Computer) {
    laptop.stop();
    fs::remove_dir_all(laptop.path("Archive")).unwrap();
    laptop.start();
}

#[test]
fn sixty_percent_deleted_while_off_are_held_over_restarts_and_brought_back() {
    let server = Server::start();
    let (mut laptop, desktop) = two_computers_with_files(&server);
    let before = tree(&desktop.folder);
    let entries = server.journal().len();
    lose_archive(&mut laptop);
    assert_eq!(laptop.wait_with_problems(), ["E-HELD Archive"]);
    let held = laptop.command(&["holds", "--json"]).json();
    let hold = &held["holds"][0];
    assert_eq!((&hold["files"], &hold["directories"], &hold["percent"]), (&60.into(), &4.into(), &60.into()));
    assert_eq!(
        (&hold["found"], &hold["places"][0]["path"], &hold["places"][0]["files"]),
        (&"at_start".into(), &"Archive".into(), &60.into())
    );
    assert_eq!(laptop.command(&["status", "--check"]).code, 7);
    let status = laptop.command(&["status"]).done();
    assert!(status.contains("60 files in `Archive` went while Skep was off (60 % of it)"), "{status}");
    laptop.kill();
    laptop.start();
    assert_eq!(laptop.wait_with_problems(), ["E-HELD Archive"]);
    let again = laptop.command(&["holds", "--json"]).json();
    assert_eq!(again, held);
    // What else changes goes on.
    laptop.write("Work/new", "goes on");
    laptop.wait_with_problems();
    desktop.wait();
    assert_eq!(desktop.read("Work/new").unwrap(), b"goes on");
    fs::remove_file(laptop.path("Work/new")).unwrap();
    assert_eq!(laptop.command(&["holds", "bring-back", "--dry-run"]).code, 0);
    laptop.wait_with_problems();
    laptop.command(&["holds", "bring-back"]).done();
    settle(&laptop, &desktop);
    assert_eq!(tree(&laptop.folder), before);
    assert_eq!(server.journal().len(), entries + 2, "only the file beside was sent, and its deletion");
    assert_eq!(laptop.command(&["holds", "bring-back"]).code, 4);
}

#[test]
fn held_deletions_that_were_approved_go_everywhere_and_no_later_ones() {
    let server = Server::start();
    let (mut laptop, desktop) = two_computers_with_files(&server);
    lose_archive(&mut laptop);
    laptop.wait_with_problems();
    let asked = laptop.command(&["holds", "approve"]);
    assert_eq!(asked.code, 2, "nobody can be asked: {asked:?}");
    let part = laptop.path("Archive/1");
    laptop.command(&["sync", "apply", part.to_str().unwrap(), "--yes"]).done();
    laptop.wait_with_problems();
    desktop.wait();
    assert!(desktop.read("Archive/0/0").is_some() && !desktop.path("Archive/1").exists());
    laptop.command(&["holds", "approve", "--yes"]).done();
    // Right after the answer, nothing of it can be lost any more.
    laptop.kill();
    laptop.start();
    settle(&laptop, &desktop);
    assert!(!desktop.path("Archive").exists());
    assert!(desktop.read("Work/7").is_some());
    laptop.stop();
    fs::remove_dir_all(laptop.path("Work")).unwrap();
    laptop.start();
    assert_eq!(laptop.wait_with_problems(), ["E-HELD "], "all of the folder is gone by now");
    assert!(desktop.read("Work/7").is_some());
}

#[test]
fn deletions_that_were_seen_go_at_once_and_elsewhere_into_the_safe() {
    let server = Server::start();
    let (laptop, desktop) = two_computers_with_files(&server);
    fs::remove_dir_all(laptop.path("Archive")).unwrap();
    settle(&laptop, &desktop);
    assert!(!desktop.path("Archive").exists());
    let kept = fs::read_dir(desktop.path(".skep/trash")).unwrap().count();
    assert_eq!(kept, 60);
}

#[test]
fn a_folder_that_was_emptied_while_off_is_told_so_and_a_threshold_can_be_set() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    for number in 0..8 {
        laptop.write(&format!("{number}"), format!("number {number}"));
    }
    settle(&laptop, &desktop);
    laptop.stop();
    let config = laptop.home.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[safety]\nhold_deletes = {{ files = 5, percent = 50 }}\n")).unwrap();
    for number in 0..8 {
        fs::remove_file(laptop.path(&number.to_string())).unwrap();
    }
    laptop.start();
    assert_eq!(laptop.wait_with_problems(), ["E-HELD "]);
    let status = laptop.command(&["status"]).done();
    assert!(status.contains("all that the folder held"), "{status}");
    assert_eq!(desktop.read("7").unwrap(), b"number 7");
    laptop.command(&["holds", "bring-back"]).done();
    settle(&laptop, &desktop);
    assert_eq!(laptop.read("3").unwrap(), b"number 3");
    // Few go by themselves.
    laptop.stop();
    for number in 0..3 {
        fs::remove_file(laptop.path(&number.to_string())).unwrap();
    }
    laptop.start();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("2"), None);
}
