//! Both sides change things at once.

use std::fs;

use crate::rig::{Computer, Server, noise, settle};
use crate::tree::conflict_copies;

/// A generator for choices; no secret.
struct Choices(u64);

impl Choices {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// One change to one of the files that only this computer touches.
fn change(computer: &Computer, own: &str, choices: &mut Choices, round: u64) {
    let path = |choices: &mut Choices| format!("d{}/{own}{}", choices.below(4), choices.below(12));
    let (one, other) = (path(choices), path(choices));
    match choices.below(6) {
        0..3 => computer.write(&one, noise(50 + choices.below(3000), round)),
        3 | 4 if computer.path(&one).exists() => {
            fs::create_dir_all(computer.path(&other).parent().unwrap()).unwrap();
            fs::rename(computer.path(&one), computer.path(&other)).unwrap();
        }
        _ => drop(fs::remove_file(computer.path(&one))),
    }
}

#[test]
fn changes_to_different_files_on_both_sides_at_once_never_make_a_conflict() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let mut choices = Choices(7);
    for round in 0..300 {
        change(&laptop, "l", &mut choices, round * 2);
        change(&desktop, "d", &mut choices, round * 2 + 1);
    }
    settle(&laptop, &desktop);
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
    assert!(!crate::tree::tree(&laptop.folder).is_empty());
}

#[test]
fn a_file_edited_on_both_sides_while_they_were_apart_becomes_two_versions_on_both() {
    let server = Server::start();
    let (mut laptop, mut desktop) = server.two_computers();
    laptop.write("notes/plan.txt", "the beginning");
    settle(&laptop, &desktop);
    laptop.stop();
    desktop.stop();
    laptop.write("notes/plan.txt", "as the laptop wants it");
    desktop.write("notes/plan.txt", "as the desktop would have it");
    laptop.start();
    laptop.wait();
    desktop.start();
    settle(&laptop, &desktop);
    assert_eq!(laptop.read("notes/plan.txt").unwrap(), b"as the laptop wants it");
    let copies = conflict_copies(&desktop.folder);
    let [copy] = copies.as_slice() else { panic!("{copies:?}") };
    assert_eq!(laptop.read(&format!("notes/{copy}")).unwrap(), b"as the desktop would have it");
    let time = copy.strip_prefix("plan (two versions, desktop, ").and_then(|rest| rest.strip_suffix(").txt"));
    let shape: String =
        time.unwrap().chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    assert_eq!(shape, "0000-00-00 00.00.00", "{copy}");

    // Equal bytes are no conflict, whoever wrote them.
    laptop.stop();
    desktop.stop();
    laptop.write("same.txt", "both thought of it");
    desktop.write("same.txt", "both thought of it");
    laptop.start();
    desktop.start();
    settle(&laptop, &desktop);
    assert_eq!(conflict_copies(&laptop.folder).len(), 1);
}

#[test]
fn an_edit_beneath_a_directory_that_the_other_side_deleted_lives() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    laptop.write("work/kept.txt", "before");
    laptop.write("work/dropped.txt", "nobody edits this one");
    settle(&laptop, &desktop);
    laptop.kill();
    laptop.write("work/kept.txt", "an edit that nobody may lose");
    fs::remove_dir_all(desktop.path("work")).unwrap();
    desktop.wait();
    laptop.start();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("work/kept.txt").unwrap(), b"an edit that nobody may lose");
    assert_eq!(desktop.read("work/dropped.txt"), None);
}
