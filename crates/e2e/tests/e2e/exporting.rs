//! What a person put in comes out again as plain files, without any program of ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;

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
        for version in fs::read_dir(node.unwrap().path()).unwrap() {
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
