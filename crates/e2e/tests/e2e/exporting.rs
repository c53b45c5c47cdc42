//! What a person put in comes out again as plain files, without any program of ours.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::rig::{Server, USER, noise};
use crate::tree::tree;

#[test]
fn an_export_beside_a_running_server_holds_every_version_and_the_trash() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    let big = noise(3_000_000, 5);
    laptop.write("d/big.bin", &big);
    laptop.write("d/run.sh", "first");
    laptop.write("gone.txt", "in the trash");
    laptop.write("empty", "");
    laptop.wait();
    fs::set_permissions(laptop.path("d/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    laptop.write("d/run.sh", "second");
    fs::remove_file(laptop.path("gone.txt")).unwrap();
    std::os::unix::fs::symlink("run.sh", laptop.path("d/link")).unwrap();
    laptop.wait();

    let target = server.scratch("export");
    let to = target.to_str().unwrap();
    server.command(&["export", to, "--user", USER], "").done();
    assert_eq!(tree(&target), tree(&laptop.folder));
    assert_eq!(server.command(&["export", to], "").code, 9, "an export never mixes with what is there");

    let target = server.scratch("everything");
    server.command(&["export", target.to_str().unwrap(), "--all-versions"], "").done();
    let own = target.join(USER);
    assert_eq!(tree(&own.join("current")), tree(&laptop.folder));
    let mut versions: Vec<(String, Vec<u8>)> = Vec::new();
    for node in fs::read_dir(own.join("all-versions")).unwrap() {
        let node = node.unwrap();
        if node.file_name() == "index.tsv" {
            continue;
        }
        for version in fs::read_dir(node.path()).unwrap() {
            let version = version.unwrap();
            let name = version.file_name().into_string().unwrap();
            let (seq, name) = name.split_once(' ').unwrap();
            assert!(seq.parse::<u64>().is_ok(), "{seq}");
            versions.push((name.to_owned(), fs::read(version.path()).unwrap_or_default()));
        }
    }
    for wanted in [("run.sh", &b"first"[..]), ("run.sh", b"second"), ("gone.txt", b"in the trash"), ("big.bin", &big)] {
        assert!(versions.iter().any(|(name, bytes)| name == wanted.0 && bytes == wanted.1), "{}", wanted.0);
    }
    let answer = server.command(&["export", server.scratch("x").to_str().unwrap(), "--user", "nobody"], "");
    assert_eq!(answer.code, 4, "{answer:?}");
}

#[test]
fn every_version_of_every_kind_comes_out_as_it_was_and_the_index_tells_what_it_is() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    let not_text = OsStr::from_bytes(b"caf\xe9");
    let written = |path: &str, text: &str| {
        // In one step: a file that is written in its place is empty for a moment, and that would be a version, too.
        let new = server.scratch("new");
        fs::write(&new, text).unwrap();
        fs::create_dir_all(laptop.path(path).parent().unwrap()).unwrap();
        fs::rename(new, laptop.path(path)).unwrap();
    };
    written("d/sub/a.txt", "first");
    written("again.txt", "the first of that name");
    fs::write(laptop.folder.join(not_text), "bytes").unwrap();
    std::os::unix::fs::symlink("nowhere", laptop.path("link")).unwrap();
    let image = fs::File::create(laptop.path("image")).unwrap();
    image.set_len(64 << 20).unwrap();
    image.write_all_at(b"end", (64 << 20) - 3).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(86_400, 123_456_789);
    fs::File::options().write(true).open(laptop.path("d/sub/a.txt")).unwrap().set_modified(long_ago).unwrap();
    laptop.wait();
    written("d/sub/a.txt", "second");
    fs::remove_file(laptop.path("again.txt")).unwrap();
    fs::remove_file(laptop.path("link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", laptop.path("link")).unwrap();
    laptop.wait();
    fs::remove_dir_all(laptop.path("d")).unwrap();
    laptop.wait();
    written("again.txt", "the second of that name");
    laptop.wait();

    let target = server.scratch("everything");
    server.command(&["export", target.to_str().unwrap(), "--all-versions", "--user", USER], "").done();
    assert_eq!(tree(&target.join("current")), tree(&laptop.folder));
    let taken = fs::metadata(target.join("current/image")).unwrap().blocks() * 512;
    assert!(taken < 8 << 20, "holes stay holes: {taken} bytes");
    let all = target.join("all-versions");
    let index = fs::read_to_string(all.join("index.tsv")).unwrap();
    let mut lines = index.lines();
    assert_eq!(lines.next(), Some("file\tversion\ttime\tpath\tsize\tdevice\tstate"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split('\t').collect()).collect();
    let count = fs::read_dir(&all).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let count: usize = count.map(|node| fs::read_dir(node.path()).unwrap().count()).sum();
    assert_eq!(rows.len(), count, "each version has its line: {index}");
    let of = |path: &str, state: &str| -> Vec<Vec<u8>> {
        let rows = rows.iter().filter(|row| row[3] == path && row[6] == state);
        rows.map(|row| fs::read(all.join(row[0])).unwrap_or_default()).collect()
    };
    assert!(of("d/sub/a.txt", "old").contains(&b"first".to_vec()));
    assert_eq!(of("d/sub/a.txt", "deleted"), [b"second".to_vec()]);
    assert!(of("again.txt", "deleted").contains(&b"the first of that name".to_vec()));
    assert_eq!(of("again.txt", "now"), [b"the second of that name".to_vec()]);
    assert!(rows.iter().any(|row| row[3] == "caf\u{fffd}" && row[4] == "5" && row[5] == "laptop"), "{index}");
    let links: Vec<PathBuf> =
        rows.iter().filter(|row| row[3] == "link").map(|row| fs::read_link(all.join(row[0])).unwrap()).collect();
    assert_eq!(links, [PathBuf::from("nowhere"), PathBuf::from("elsewhere")]);
    let old = rows.iter().find(|row| row[3] == "d/sub/a.txt" && row[6] == "old" && row[4] == "5").unwrap();
    assert_eq!(fs::metadata(all.join(old[0])).unwrap().modified().unwrap(), long_ago);
}
