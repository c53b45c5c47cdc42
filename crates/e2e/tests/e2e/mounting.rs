//! File systems that are mounted in a synced folder. These tests need the rights to mount; without them there is nothing to test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::{Server, settle, until};
use crate::tree::conflict_copies;

/// A small file system of its own; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`: nobody may mount here.
    fn on(place: &Path) -> Option<Mounted> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(place);
        let is_mounted = command.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Mounted(place.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // If it is busy, it goes as soon as it is not.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn a_mount_over_a_synced_directory_deletes_nothing_and_it_goes_on_when_the_mount_is_gone() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("d/one", "one");
    laptop.write("d/e/two", "two");
    settle(&laptop, &desktop);
    let Some(mounted) = Mounted::on(&laptop.path("d")) else { return };
    laptop.write("d/on the other file system", "not synced");
    let problems = || laptop.problems();
    until("the mount is noticed", || (problems() == ["E-SPECIAL-FILE d"]).then_some(()));
    desktop.write("d/one", "one, changed there");
    desktop.write("d/three", "three");
    desktop.wait();
    assert_eq!(laptop.wait_with_problems(), ["E-SPECIAL-FILE d"]);
    drop(mounted);
    until("it goes on by itself", || {
        let came =
            laptop.read("d/one").is_some_and(|text| text == b"one, changed there") && laptop.path("d/three").exists();
        came.then_some(())
    });
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("d/e/two").unwrap(), b"two");
    assert!(!desktop.path("d/on the other file system").exists());
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

#[test]
fn a_file_system_that_is_mounted_on_a_directory_of_its_own_is_told_as_long_as_it_is_there() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    fs::create_dir(laptop.path("disk")).unwrap();
    settle(&laptop, &desktop);
    let Some(mounted) = Mounted::on(&laptop.path("disk")) else { return };
    until("the mount is noticed", || (laptop.problems() == ["E-SPECIAL-FILE disk"]).then_some(()));
    drop(mounted);
    until("and that it is gone", || laptop.problems().is_empty().then_some(()));
    settle(&laptop, &desktop);
    assert!(desktop.path("disk").is_dir());
}
