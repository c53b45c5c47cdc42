//! Damage, repair, garbage and backups, with the real programs on a real disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skep_metastore::{MetaStore, Sqlite};
use skep_types::ContentId;

use crate::rig::{Server, noise, settle};
use crate::tree::{conflict_copies, tree};

/// Where the content of a file lies.
struct Lies {
    pack: u64,
    offset: usize,
}

/// Where the content of a file of one chunk lies.
fn place_of(server: &Server, name: &str) -> Lies {
    let meta = Sqlite::open(&server.data().join("skep.db")).unwrap();
    meta.read(|read| {
        let drive = read.every_drive()?[0].id;
        let nodes = read.nodes(drive, None, 1000)?;
        let node = nodes.into_iter().find(|node| node.place.name.as_bytes() == name.as_bytes()).unwrap();
        let Some(ContentId::Chunk(chunk)) = node.content.file().map(|file| file.id) else {
            panic!("{name} is one chunk")
        };
        let record = read.chunk_rows(drive, &[chunk])?[0].unwrap().place.record;
        Ok(Lies { pack: record.pack.0, offset: record.offset as usize })
    })
    .unwrap()
}

fn pack_path(server: &Server, lies: &Lies) -> PathBuf {
    server.data().join(format!("packs/{:08}.pack", lies.pack))
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn lost_files(report: &Value) -> Vec<&str> {
    report["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect()
}

#[test]
fn a_damaged_record_is_found_told_by_path_set_aside_and_healed_by_the_device_that_has_it() {
    let mut server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    laptop.write("d/first", noise(50_000, 1));
    settle(&laptop, &desktop);
    laptop.write("d/second", noise(50_000, 2));
    settle(&laptop, &desktop);
    let fine = server.command(&["fsck", "--json"], "");
    assert_eq!((fine.code, fine.json()["fine"].as_bool()), (0, Some(true)), "{fine:?}");
    assert!(fine.err.contains("A server is running"), "{fine:?}");
    assert_eq!(server.command(&["fsck", "--repair"], "").code, 9, "only without a server");
    desktop.stop();

    server.kill();
    let record = place_of(&server, "second");
    let path = pack_path(&server, &record);
    change(&path, |bytes| bytes[record.offset + 200] ^= 1);
    let damaged = fs::read(&path).unwrap();
    let found = server.command(&["fsck", "--json"], "");
    assert_eq!((found.code, lost_files(&found.json())), (8, vec!["d/second"]), "{found:?}");
    assert!(server.command(&["fsck"], "").out.contains("`d/second` of maya (current)"));
    assert_eq!(fs::read(&path).unwrap(), damaged, "looking changes nothing");

    let repaired = server.command(&["fsck", "--repair", "--json"], "");
    assert_eq!((repaired.code, lost_files(&repaired.json())), (8, vec!["d/second"]), "{repaired:?}");
    let aside = server.data().join("quarantine").join(path.file_name().unwrap());
    assert_eq!(fs::read(aside).unwrap(), damaged, "nothing is deleted");
    assert!(!path.exists());

    // The laptop still has the file: a copy of it is sent with its bytes, which heals all that name them. Meanwhile a mere
    // touch goes through as ever.
    server.start_again();
    let file = fs::File::options().append(true).open(laptop.path("d/second")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    drop(file);
    laptop.wait();
    assert_eq!(server.command(&["fsck"], "").code, 8);
    fs::copy(laptop.path("d/second"), laptop.path("d/copy")).unwrap();
    laptop.wait();
    server.command(&["fsck"], "").done();
    let tablet = server.computer("tablet");
    settle(&laptop, &tablet);
}

#[test]
fn a_pack_that_is_cut_short_or_missing_is_told_and_ends_nothing_else() {
    let mut server = Server::start();
    let laptop = server.computer("laptop");
    laptop.write("first", noise(50_000, 1));
    laptop.wait();
    laptop.write("second", noise(50_000, 2));
    laptop.wait();
    server.kill();
    let record = place_of(&server, "second");
    let path = pack_path(&server, &record);
    let whole = fs::read(&path).unwrap();

    change(&path, |bytes| bytes.truncate(record.offset + 100));
    let found = server.command(&["fsck", "--json"], "");
    assert_eq!((found.code, lost_files(&found.json())), (8, vec!["second"]), "{found:?}");
    assert_eq!(server.command(&["scrub"], "").code, 8);

    fs::remove_file(&path).unwrap();
    let found = server.command(&["fsck", "--json"], "");
    assert_eq!((found.code, lost_files(&found.json())), (8, vec!["first", "second"]), "{found:?}");

    // The server runs all the same, and never gives the number of the lost pack to a new one.
    server.start_again();
    laptop.write("third", noise(50_000, 3));
    laptop.wait();
    assert!(place_of(&server, "third").pack > record.pack);
    assert!(!path.exists());

    // Back from a backup, everything is whole.
    server.kill();
    fs::write(&path, whole).unwrap();
    let back = server.command(&["fsck", "--repair"], "");
    assert_eq!(back.code, 0, "{back:?}");
    assert_eq!(server.command(&["scrub"], "").code, 0);
}

#[test]
fn a_damaged_database_is_told_and_changed_by_nothing() {
    let mut server = Server::start();
    let laptop = server.computer("laptop");
    for number in 0..200 {
        laptop.write(&format!("d/{number}"), format!("{number}"));
    }
    laptop.wait();
    server.kill();
    // One connection more takes the log into the file, so that all is there.
    let meta = Sqlite::open(&server.data().join("skep.db")).unwrap();
    let copy = server.scratch("copy.db");
    meta.copy_to(&copy).unwrap();
    drop(meta);
    let database = server.data().join("skep.db");
    for log in ["skep.db-wal", "skep.db-shm"] {
        drop(fs::remove_file(server.data().join(log)));
    }
    for (what, from) in [("a page", 5 * 4096), ("the header", 0)] {
        fs::copy(&copy, &database).unwrap();
        change(&database, |bytes| bytes[from..from + 4096].fill(0x5a));
        let found = server.command(&["fsck"], "");
        assert_eq!(found.code, 8, "{what}: {found:?}");
        assert!(found.err.contains("E-METADATA") && found.err.contains("backup"), "{what}: {found:?}");
        for log in ["skep.db-wal", "skep.db-shm"] {
            drop(fs::remove_file(server.data().join(log)));
        }
    }
    fs::copy(&copy, &database).unwrap();
    assert_eq!(server.command(&["fsck"], "").code, 0);
}

#[test]
fn garbage_is_counted_beside_a_server_and_collected_without_one() {
    let mut server = Server::start();
    let laptop = server.computer("laptop");
    laptop.write("file", "kept");
    laptop.wait();
    let counted = server.command(&["gc", "--dry-run", "--json"], "");
    assert_eq!((counted.code, counted.json()["chunks"].as_u64()), (0, Some(0)), "{counted:?}");
    let refused = server.command(&["gc"], "");
    assert_eq!(refused.code, 9, "{refused:?}");
    let left: Vec<_> = fs::read_dir(server.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("dry-run")), "{left:?}");
    server.kill();
    assert_eq!(server.command(&["gc"], "").code, 0);
    assert_eq!(server.command(&["fsck"], "").code, 0);
}

#[test]
fn a_backup_made_beside_a_running_server_serves_and_a_client_that_knows_more_notices() {
    let mut server = Server::start();
    let mut laptop = server.computer("laptop");
    laptop.write("d/big", noise(3_000_000, 5));
    laptop.write("small", "in the backup");
    laptop.wait();
    let backup = server.scratch("backup");
    let to = backup.to_str().unwrap();
    let before = tree(&laptop.folder);
    server.command(&["backup", "create", to], "").done();
    assert_eq!(server.command(&["backup", "create", to], "").code, 9, "a backup never replaces one");
    laptop.write("small", "after the backup");
    laptop.write("late", "after the backup");
    laptop.wait();
    laptop.stop();
    server.kill();

    fs::rename(server.data(), server.scratch("lost")).unwrap();
    fs::rename(&backup, server.data()).unwrap();
    assert_eq!(server.command(&["fsck"], "").code, 0);
    server.start_again();
    // A new computer gets what the backup holds.
    let tablet = server.computer("tablet");
    tablet.wait();
    assert_eq!(tree(&tablet.folder), before);
    // One that has seen more brings back what the server has lost.
    laptop.start();
    settle(&laptop, &tablet);
    assert_eq!(tablet.read("late").unwrap(), b"after the backup");
    assert_eq!(tablet.read("small").unwrap(), b"after the backup");
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}
