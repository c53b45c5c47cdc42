//! `skep limit`: bytes go at a rate, and small changes ahead of big files.

use crate::rig::{Server, at_terminal, noise, run, settle, until};

#[test]
fn a_small_change_passes_a_big_file_that_is_limited_and_the_limit_outlives_a_restart() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    assert_eq!(laptop.command(&["limit", "--up", "plenty"]).code, 2);
    assert_eq!(laptop.command(&["limit", "--up", "100kB"]).done(), "up     100kB a second\ndown   off\n");
    laptop.stop();
    laptop.start();
    until("it runs", || (laptop.command(&["daemon", "status"]).code == 0).then_some(()));
    let shown = laptop.command(&["limit", "--json"]).json();
    assert_eq!((&shown["up"], &shown["down"]), (&100_000.into(), &serde_json::Value::Null));

    // At this rate it takes minutes.
    laptop.write("big.bin", noise(24 << 20, 5));
    until("the big file is on its way", || (server.stored_bytes() > 300_000).then_some(()));
    laptop.write("small.txt", "small");
    until("the small file arrives", || desktop.read("small.txt"));
    assert!(!desktop.path("big.bin").exists());
    let waited = run(at_terminal(&laptop.client(&["sync", "wait", "--timeout", "2s"])), "");
    assert!(waited.out.contains("↻ 1 change, ") && waited.out.contains(" to go"), "{waited:?}");
    let waited = laptop.command(&["sync", "wait", "--timeout", "1s"]);
    assert!(waited.code == 10 && !waited.err.contains("to go"), "nobody looks: {waited:?}");
    laptop.command(&["limit", "--up", "off"]).done();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("big.bin").unwrap().len(), 24 << 20);
}
