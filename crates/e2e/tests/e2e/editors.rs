//! The ways in which editors save: whatever they do to the files, it is one file that was edited, never a second one.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::rig::{Computer, Server, run, settle};
use crate::tree::{conflict_copies, tree};

/// Saves of each kind: some are seen as one, some are seen half done.
const SAVES: usize = 12;

/// A way to save: directory, name, bytes.
type Save = fn(&Path, &str, &[u8]);

/// Truncates and writes, as VS Code, nano and `>` do.
fn in_place(directory: &Path, name: &str, bytes: &[u8]) {
    fs::write(directory.join(name), bytes).unwrap();
}

/// Renames the old one to a backup and makes a new one; beside it a lock and an autosave file.
fn like_emacs(directory: &Path, name: &str, bytes: &[u8]) {
    let [lock, autosave, backup] = [format!(".#{name}"), format!("#{name}#"), format!("{name}~")];
    symlink("maya@laptop.123:456", directory.join(&lock)).unwrap();
    fs::write(directory.join(&autosave), &bytes[..bytes.len() / 2]).unwrap();
    drop(fs::rename(directory.join(name), directory.join(backup)));
    let mut file = File::create(directory.join(name)).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    fs::remove_file(directory.join(autosave)).unwrap();
    fs::remove_file(directory.join(lock)).unwrap();
}

/// Writes a new file, puts the old one aside, the new one in its place, and deletes the old one.
fn like_office(directory: &Path, name: &str, bytes: &[u8]) {
    let [new, old, owner] = ["~WRD0001.tmp", "~WRL0002.tmp", "~$owner"].map(|name| directory.join(name));
    fs::write(&owner, "maya").unwrap();
    fs::write(&new, bytes).unwrap();
    if fs::rename(directory.join(name), &old).is_ok() {
        fs::rename(&new, directory.join(name)).unwrap();
        fs::remove_file(old).unwrap();
    } else {
        fs::rename(&new, directory.join(name)).unwrap();
    }
    fs::remove_file(owner).unwrap();
}

/// Holds a lock file while it writes a new file over the old one.
fn like_libreoffice(directory: &Path, name: &str, bytes: &[u8]) {
    let [lock, new] = [format!(".~lock.{name}#"), "lu4711.tmp".to_owned()].map(|name| directory.join(name));
    fs::write(&lock, ",maya,laptop,21.11.2026 12:00,file:///home/maya;").unwrap();
    fs::write(&new, bytes).unwrap();
    fs::rename(new, directory.join(name)).unwrap();
    fs::remove_file(lock).unwrap();
}

/// Deletes the old one before it writes the new one.
fn deleting_first(directory: &Path, name: &str, bytes: &[u8]) {
    drop(fs::remove_file(directory.join(name)));
    fs::write(directory.join(name), bytes).unwrap();
}

const PATTERNS: [(&str, Save); 5] = [
    ("in place.ts", in_place),
    ("emacs.txt", like_emacs),
    ("report.docx", like_office),
    ("report.odt", like_libreoffice),
    ("deleted first.txt", deleting_first),
];

fn text(name: &str, version: usize) -> Vec<u8> {
    format!("version {version} of {name}\n").repeat(version * 37 + 1).into_bytes()
}

/// One file had the name, it was never in the trash, and its last version is that of the disk.
#[track_caller]
fn assert_one_file(server: &Server, name: &str, versions: usize) {
    let files = server.files_named(name);
    let [file] = files.as_slice() else { panic!("{name}: {} files\n{files:#?}", files.len()) };
    assert!(file.iter().all(|entry| !entry.state.place.trashed), "{name} was in the trash");
    let edits = file.iter().filter(|entry| entry.changed.content).count();
    assert!(edits >= versions, "{name}: {edits} versions");
}

fn assert_no_leftovers(computer: &Computer, names: &[&str]) {
    let found: Vec<String> = tree(&computer.folder).into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(found, names);
}

#[test]
fn a_save_is_a_new_version_of_the_same_file_however_the_editor_does_it() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    for version in 0..SAVES {
        for (name, save) in PATTERNS {
            save(&laptop.folder, name, &text(name, version));
        }
        settle(&laptop, &desktop);
        for (name, _) in PATTERNS {
            assert_eq!(desktop.read(name).unwrap(), text(name, version), "{name}");
        }
    }
    for (name, _) in PATTERNS {
        assert_one_file(&server, name, SAVES);
    }
    let names = ["deleted first.txt", "emacs.txt", "emacs.txt~", "in place.ts", "report.docx", "report.odt"];
    assert_no_leftovers(&laptop, &names);
}

#[test]
fn saves_from_both_sides_in_turn_are_one_history() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    for version in 0..SAVES {
        let (one, other) = if version % 2 == 0 { (&laptop, &desktop) } else { (&desktop, &laptop) };
        for (name, save) in PATTERNS {
            save(&one.folder, name, &text(name, version));
        }
        settle(one, other);
    }
    for (name, _) in PATTERNS {
        assert_one_file(&server, name, SAVES);
    }
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

#[test]
fn two_hundred_saves_in_quick_succession_end_with_the_last() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    for version in 0..200 {
        for (name, save) in PATTERNS {
            save(&laptop.folder, name, &text(name, version % 20));
        }
    }
    settle(&laptop, &desktop);
    for (name, _) in PATTERNS {
        assert_eq!(desktop.read(name).unwrap(), text(name, 19), "{name}");
    }
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
    let names = ["deleted first.txt", "emacs.txt", "emacs.txt~", "in place.ts", "report.docx", "report.odt"];
    assert_no_leftovers(&desktop, &names);
}

/// Without a configuration, and with backups also in a temporary directory.
fn vim(computer: &Computer, settings: &str, keys: &str, file: &str) {
    let mut command = Command::new("vim");
    command.args(["-u", "NONE", "-i", "NONE", "-N", "-es", "-c"]).arg(format!("set backupskip= {settings}"));
    command.args(["-c", &format!("normal {keys}"), "-c", "wq", file]).current_dir(&computer.folder);
    let answer = run(command, "");
    assert_eq!(answer.code, 0, "{answer:?}");
}

#[test]
fn vim_saves_new_versions_in_each_of_its_ways() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let mut expected = "first line\n".to_owned();
    laptop.write("notes.txt", &expected);
    settle(&laptop, &desktop);
    for settings in ["backupcopy=no", "backupcopy=yes", "backupcopy=auto", "backupcopy=no backup", "nowritebackup"] {
        for round in 0..3 {
            vim(&laptop, settings, &format!("Go{settings} {round}"), "notes.txt");
            expected += &format!("{settings} {round}\n");
            settle(&laptop, &desktop);
            assert_eq!(desktop.read("notes.txt").unwrap(), expected.as_bytes(), "{settings}");
        }
    }
    assert_one_file(&server, "notes.txt", 15);
    assert_no_leftovers(&desktop, &["notes.txt", "notes.txt~"]);
}
