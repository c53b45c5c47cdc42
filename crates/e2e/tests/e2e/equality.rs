//! Folder and server are compared: what is claimed is true, and a row that somebody spoiled is found, told and put right.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::Value;
use skep_metastore::{MetaStore, Sqlite};
use skep_types::ContentId;

use crate::rig::{Answer, Computer, Server, noise, settle, until};
use crate::tree::tree;

/// Puts other bytes in the place of the first ones, wherever they stand in these columns: as a disk might, or a fault of a program.
fn spoil(database: &Path, table: &str, columns: &[&str], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let connection = Connection::open(database).unwrap();
    let mut spoiled = 0;
    for column in columns {
        let mut statement = connection.prepare(&format!("SELECT {column} FROM {table}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        let values: Vec<Vec<u8>> = rows.collect::<Result<_, _>>().unwrap();
        for value in values {
            let Some(at) = value.windows(from.len()).position(|window| window == from) else { continue };
            let mut other = value.clone();
            other[at..at + to.len()].copy_from_slice(to);
            let update = format!("UPDATE {table} SET {column} = ?1 WHERE {column} = ?2");
            spoiled += connection.execute(&update, params![other, value]).unwrap();
        }
    }
    assert_eq!(spoiled, columns.len(), "one row, in each column");
}

fn state_of(computer: &Computer) -> std::path::PathBuf {
    computer.home.join("state.db")
}

/// The hash of a file of one chunk, as the server has it.
fn chunk_of(server: &Server, name: &str) -> [u8; 32] {
    let meta = Sqlite::open(&server.data().join("skep.db")).unwrap();
    let nodes = meta.read(|read| read.nodes(read.every_drive()?[0].id, None, 20_000)).unwrap();
    let node = nodes.into_iter().find(|node| node.place.name.as_bytes() == name.as_bytes()).unwrap();
    match node.content.file().map(|file| file.id) {
        Some(ContentId::Chunk(chunk)) => *chunk.as_bytes(),
        other => panic!("{name} is one chunk, not {other:?}"),
    }
}

/// What the status says of equality, once it is verified with nothing changed since.
#[track_caller]
fn verified(computer: &Computer) -> Value {
    until("it is verified", || {
        let folder = computer.status()["folders"][0].clone();
        (folder["verified_at"].is_string() && folder["changes_since_verified"] == 0).then_some(folder)
    })
}

/// What `skep doctor` says of equality, until that is `ok`.
fn doctor(computer: &Computer, ok: bool) -> Answer {
    until("the doctor sees it", || {
        let answer = computer.command(&["doctor", "--json"]);
        let checks = answer.json()["checks"].as_array().unwrap().clone();
        // A daemon that has just begun does not answer yet.
        let equality = checks.into_iter().find(|check| check["name"] == "equality")?;
        (equality["ok"] == ok && equality["code"] != "E-NOT-COMPARED").then_some(answer)
    })
}

/// A row is spoiled while the client is off; the doctor finds it, says `how`, and the next time all is well. Nothing was sent, nothing was displaced.
fn is_found_and_put_right(spoil_row: impl Fn(&Computer, &Server), how: &str) {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    laptop.write("d/notes", "as they should be");
    laptop.write("d/other", noise(3000, 1));
    settle(&laptop, &desktop);
    let (before, entries) = (tree(&laptop.folder), server.journal().len());
    laptop.stop();
    spoil_row(&laptop, &server);
    laptop.start();
    let found = doctor(&laptop, false);
    assert!(found.out.contains("E-UNEQUAL") && found.out.contains(how), "{found:?}");
    assert!(found.out.contains("d/notes"), "{found:?}");
    assert_eq!(found.code, 8);
    doctor(&laptop, true);
    settle(&laptop, &desktop);
    assert_eq!(tree(&laptop.folder), before);
    let added: Vec<_> = server.journal().split_off(entries);
    assert!(added.is_empty(), "nothing was to be sent: {added:?}");
    let displaced: Vec<_> = fs::read_dir(laptop.path(".skep/trash")).map(|dir| dir.collect()).unwrap_or_default();
    assert!(displaced.is_empty(), "{displaced:?}");
    let folder = verified(&laptop);
    assert_eq!(folder["last_difference"]["mended"], true, "{folder}");
    assert_eq!(folder["last_difference"]["fault"], "device", "{folder}");
    let text = laptop.command(&["status"]).done();
    assert!(text.contains("verified equal to the server") && text.contains("and put right"), "{text}");
}

#[test]
fn ten_thousand_files_are_verified_and_that_is_kept_over_a_restart() {
    let server = Server::start();
    let mut laptop = server.computer("laptop");
    for number in 0..10_000 {
        laptop.write(&format!("d{}/f{number}", number % 100), number.to_string());
    }
    laptop.wait();
    let folder = verified(&laptop);
    assert_eq!(folder["verified_entries"], 10_100, "{folder}");
    assert!(laptop.command(&["status"]).done().contains("verified equal to the server"));
    laptop.stop();
    laptop.start();
    let text = until("the daemon answers", || Some(laptop.command(&["status"])).filter(|answer| answer.code == 0));
    assert!(text.out.contains("verified equal to the server"), "{text:?}");
    let healthy = doctor(&laptop, true);
    assert!(healthy.out.contains("10,100 files or folders are equal here and on the server"), "{healthy:?}");
    // A spoiled row among very many is found all the same.
    let chunk = chunk_of(&server, "f4711");
    let mut other = chunk;
    other[7] ^= 1;
    laptop.stop();
    spoil(&state_of(&laptop), "synced", &["synced"], &chunk, &other);
    laptop.start();
    let found = doctor(&laptop, false);
    assert!(found.out.contains("`d11/f4711`: this device had it with another content"), "{found:?}");
    doctor(&laptop, true);
    assert_eq!(laptop.read("d11/f4711").unwrap(), b"4711");
}

#[test]
fn a_content_that_the_state_has_wrong_is_found_and_put_right() {
    let spoil_row = |laptop: &Computer, server: &Server| {
        let chunk = chunk_of(server, "notes");
        let mut other = chunk;
        other[31] ^= 0x80;
        spoil(&state_of(laptop), "synced", &["synced"], &chunk, &other);
    };
    is_found_and_put_right(spoil_row, "another content");
}

#[test]
fn a_column_that_the_state_has_wrong_is_found_and_put_right() {
    let spoil_row = |laptop: &Computer, _: &Server| {
        spoil(&state_of(laptop), "synced", &["name"], b"notes", b"nodes");
    };
    is_found_and_put_right(spoil_row, "did not agree with itself");
}

#[test]
fn a_name_that_the_state_has_wrong_is_put_right() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    laptop.write("d/notes", "as they should be");
    settle(&laptop, &desktop);
    let before = tree(&laptop.folder);
    laptop.stop();
    spoil(&state_of(&laptop), "synced", &["name", "synced"], b"notes", b"nodes");
    laptop.start();
    // The scan at the start may find it before anybody compares: then the disk's name is sent, which is the server's.
    doctor(&laptop, true);
    settle(&laptop, &desktop);
    assert_eq!(tree(&laptop.folder), before);
    verified(&laptop);
}

#[test]
fn a_row_of_the_server_that_is_wrong_is_told_taken_by_nobody_and_repaired() {
    let mut server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("d/notes", "as they should be");
    settle(&laptop, &desktop);
    verified(&laptop);
    let before = tree(&laptop.folder);
    server.stop();
    spoil(&server.data().join("skep.db"), "node", &["name"], b"notes", b"nodes");
    server.start_again();
    let found = doctor(&laptop, false);
    assert!(found.out.contains("E-UNEQUAL") && found.out.contains("skep-server fsck"), "{found:?}");
    assert!(laptop.problems().contains(&"E-UNEQUAL ".to_owned()), "{:?}", laptop.problems());
    let fsck = server.command(&["fsck"], "");
    assert_eq!(fsck.code, 8, "{fsck:?}");
    assert!(
        fsck.out.contains("E-UNEQUAL")
            && fsck.out.contains("`nodes`")
            && fsck.out.contains("is not as the journal says"),
        "{fsck:?}"
    );
    assert!(fsck.err.contains("fsck --repair"), "{fsck:?}");
    assert_eq!(server.command(&["fsck", "--repair"], "").code, 9, "only without a server");

    server.stop();
    let repaired = server.command(&["fsck", "--repair"], "");
    assert_eq!(repaired.code, 0, "{repaired:?}");
    assert!(
        repaired.out.contains("Set the row of `notes`") && repaired.out.contains("Nothing was deleted"),
        "{repaired:?}"
    );
    let quarantine = fs::read_dir(server.data().join("quarantine")).unwrap().flatten();
    let kept: Vec<String> = quarantine.map(|file| fs::read_to_string(file.path()).unwrap()).collect();
    assert!(kept.len() == 1 && kept[0].contains("\"nodes\"") && kept[0].contains("\"notes\""), "{kept:?}");
    server.command(&["fsck"], "").done();
    server.start_again();
    doctor(&laptop, true);
    settle(&laptop, &desktop);
    assert_eq!(tree(&laptop.folder), before);
    verified(&laptop);
}
