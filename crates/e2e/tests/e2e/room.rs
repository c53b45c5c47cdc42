//! A server whose disk or whose owner's quota takes no more: told before anything is sent, and all that needs no room goes on.

use std::fs;

use crate::asking::{complained, complaint};
use crate::rig::{Server, USER, noise, settle, until};

#[test]
fn what_a_quota_does_not_hold_is_told_before_it_is_sent_and_stops_nothing_else() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("gone.txt", "soon");
    settle(&laptop, &desktop);
    let set = |quota: &str| server.command(&["user", "set", USER, "--quota", quota], "");
    assert!(set("1MB").err.contains("1000000 bytes"));
    laptop.write("big.bin", noise(5_000_000, 3));
    laptop.write("beside.txt", "small");
    fs::remove_file(laptop.path("gone.txt")).unwrap();
    assert_eq!(laptop.wait_with_problems(), ["E-QUOTA big.bin"]);
    desktop.wait();
    assert_eq!((desktop.read("beside.txt").unwrap(), desktop.read("gone.txt")), (b"small".to_vec(), None));
    assert!(server.stored_bytes() < 1_000_000, "nothing of it was sent");
    let listed: serde_json::Value = server.command(&["user", "ls", "--json"], "").json();
    assert_eq!((&listed["users"][0]["quota_bytes"], &listed["users"][0]["used_bytes"]), (&1_000_000.into(), &9.into()));
    set("none").done();
    settle(&laptop, &desktop);
    assert!(desktop.read("big.bin").unwrap() == noise(5_000_000, 3));
    assert_eq!(set("lots").code, 2);
    let nobody = server.command(&["user", "set", "nobody", "--quota", "1GB"], "");
    assert_eq!(complaint(&nobody), complained(4, "E-NOT-FOUND"));
}

#[test]
fn the_reserve_of_a_servers_disk_is_left_and_deletions_reads_and_log_ins_go_on() {
    let mut server = Server::start();
    let (laptop, desktop) = server.two_computers();
    for name in ["gone.txt", "stays.txt"] {
        laptop.write(name, name);
    }
    settle(&laptop, &desktop);
    server.stop();
    let stored = server.stored_bytes();
    // More than any disk has: every piece of content would take the reserve.
    server.variables.push(("SKEP_STORAGE__RESERVE", "4000TiB".into()));
    server.start_again();
    laptop.write("small.txt", "a few bytes");
    laptop.write("big.bin", noise(3_000_000, 5));
    fs::remove_file(laptop.path("gone.txt")).unwrap();
    until("both are told", || {
        let mut problems = laptop.problems();
        problems.sort();
        (problems == ["E-NO-SPACE big.bin", "E-NO-SPACE small.txt"]).then_some(())
    });
    until("the deletion goes on", || desktop.read("gone.txt").is_none().then_some(()));
    assert_eq!(server.stored_bytes(), stored);
    let mut newcomer = server.stranger("newcomer");
    newcomer.join(&server).done();
    newcomer.start();
    newcomer.wait();
    assert_eq!(newcomer.read("stays.txt").unwrap(), b"stays.txt");
    server.stop();
    server.variables.clear();
    server.start_again();
    settle(&laptop, &desktop);
    assert!(desktop.read("big.bin").unwrap() == noise(3_000_000, 5));
    assert_eq!(desktop.read("small.txt").unwrap(), b"a few bytes");
}
