//! Changes on one computer are the other's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::rig::{Server, noise, settle, until};

#[test]
fn files_and_directories_go_both_ways_with_everything_done_to_them() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("from laptop.txt", "one");
    desktop.write("deep/er/from desktop.txt", "two");
    // No command asks for anything here: it is seen by itself.
    until("a file arrives from the laptop", || desktop.read("from laptop.txt"));
    until("a file arrives from the desktop", || laptop.read("deep/er/from desktop.txt"));

    for (computer, name) in [(&laptop, "deep/er/from desktop.txt"), (&desktop, "from laptop.txt")] {
        fs::write(computer.path(name), "edited on the other side").unwrap();
        fs::set_permissions(computer.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    symlink("../from laptop.txt", laptop.path("deep/link")).unwrap();
    fs::create_dir(desktop.path("empty")).unwrap();
    settle(&laptop, &desktop);
    assert_eq!(laptop.read("from laptop.txt").unwrap(), b"edited on the other side");

    fs::rename(laptop.path("deep"), laptop.path("renamed")).unwrap();
    settle(&laptop, &desktop);
    fs::rename(desktop.path("from laptop.txt"), desktop.path("renamed/er/moved.txt")).unwrap();
    fs::rename(desktop.path("renamed/er"), desktop.path("empty/moved")).unwrap();
    settle(&laptop, &desktop);
    assert!(laptop.path("empty/moved/moved.txt").is_file());
    assert!(!laptop.path("deep").exists() && !laptop.path("renamed/er").exists());

    fs::remove_file(laptop.path("empty/moved/moved.txt")).unwrap();
    fs::remove_dir_all(desktop.path("renamed")).unwrap();
    settle(&laptop, &desktop);
    let left: Vec<_> = crate::tree::tree(&laptop.folder).into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(left, ["empty", "empty/moved", "empty/moved/from desktop.txt"]);
}

#[test]
fn a_tree_moved_in_at_once_arrives_whole_and_a_new_computer_gets_it_too() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let outside = server.scratch("outside");
    for file in 0..300 {
        let path = outside.join(format!("{}/{}/{file}.dat", file % 7, file % 3));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(file * 40, file as u64)).unwrap();
    }
    fs::rename(outside, laptop.path("photos")).unwrap();
    settle(&laptop, &desktop);
    assert_eq!(crate::tree::tree(&desktop.folder).len(), 1 + 7 + 21 + 300);
    let newcomer = server.computer("newcomer");
    settle(&newcomer, &laptop);
}

#[test]
fn renaming_a_directory_of_2000_files_is_one_entry_of_the_journal() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let outside = server.scratch("outside");
    fs::create_dir(&outside).unwrap();
    (0..2000).for_each(|file| fs::write(outside.join(format!("{file:04}")), format!("file {file}")).unwrap());
    fs::rename(outside, laptop.path("before")).unwrap();
    settle(&laptop, &desktop);
    let entries = server.journal().len();
    fs::rename(laptop.path("before"), laptop.path("after")).unwrap();
    settle(&laptop, &desktop);
    assert!(desktop.path("after/1999").is_file() && !desktop.path("before").exists());
    let journal = server.journal();
    assert_eq!(journal.len(), entries + 1);
    let (changed, name) = (journal[entries].changed, journal[entries].state.place.name.display());
    assert_eq!((changed.place, changed.content, &*name), (true, false, "after"));
}
