//! Accounts and devices: what their owners and the administrator do with them, and that it takes effect at once.

use std::fs;

use crate::rig::{Computer, PASSWORD, Server, USER, noise, run, settle, until};

/// Bytes of a file that takes a while to send.
const LARGE_BYTES: usize = 300 << 20;
/// So much of it has arrived when the device is cut off.
const UNDER_WAY_BYTES: u64 = 8 << 20;

/// The device has noticed that it is signed out, and says what to do.
fn expect_signed_out(computer: &Computer) {
    until("the device knows that it is signed out", || {
        let status = computer.command(&["status", "--json"]).json();
        let problem = &status["problems"][0];
        (problem["code"] == "E-SIGN-IN" && problem["hint"].as_str()?.contains("skep logout")).then_some(())
    });
    assert_eq!(computer.command(&["status", "--check"]).code, 7);
}

#[test]
fn a_device_that_is_signed_out_stops_in_the_middle_of_an_upload_and_keeps_its_files() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    laptop.wait();
    // Whole from its first moment: of a file that is being written, a first part may be sent before.
    let outside = server.scratch("large");
    fs::write(&outside, noise(LARGE_BYTES, 1)).unwrap();
    fs::rename(outside, laptop.path("large")).unwrap();
    until("the upload is under way", || (server.stored_bytes() > UNDER_WAY_BYTES).then_some(()));
    let revoked = std::time::Instant::now();
    server.command(&["device", "revoke", "laptop"], "").done();
    expect_signed_out(&laptop);
    eprintln!("signed out after {:?}, {} bytes had arrived", revoked.elapsed(), server.stored_bytes());
    assert!(server.stored_bytes() < LARGE_BYTES as u64, "it was sent whole before");
    assert_eq!(fs::metadata(laptop.path("large")).unwrap().len(), LARGE_BYTES as u64);
    assert!(server.files_named("large").is_empty());
    // Signed out here too, and back with a code: what was not sent is.
    let refused = laptop.command(&["devices"]);
    assert_eq!((refused.code, refused.err.contains("E-SIGN-IN")), (6, true), "{}", refused.err);
    laptop.command(&["logout"]).done();
    assert!(laptop.path("large").exists());
    let code = server.command(&["invite", "--user", USER], "").done();
    let folder = laptop.folder.to_str().unwrap();
    let line = ["join", &server.address(), code.trim(), "--dir", folder, "--no-daemon"];
    laptop.command(&line).done();
    assert_eq!(laptop.command(&["whoami", "--json"]).json()["user"], USER);
}

#[test]
fn a_disabled_account_stops_at_once_with_open_feeds_and_goes_on_when_enabled() {
    let server = Server::start();
    let (mut laptop, mut desktop) = server.two_computers();
    laptop.write("before", "before");
    settle(&laptop, &desktop);
    server.command(&["user", "disable", USER], "").done();
    for computer in [&laptop, &desktop] {
        expect_signed_out(computer);
    }
    laptop.write("meanwhile", "kept");
    assert!(server.files_named("meanwhile").is_empty());
    let refused = server.stranger("third").join(&server);
    assert_eq!(refused.code, 6, "{}", refused.err);
    server.command(&["user", "enable", USER], "").done();
    for computer in [&mut laptop, &mut desktop] {
        computer.stop();
        computer.start();
    }
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("meanwhile").unwrap(), b"kept");
}

#[test]
fn an_owner_sees_renames_and_signs_out_what_is_theirs() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    server.command(&["user", "add", "eve", "--password-stdin"], PASSWORD).done();
    let listed = laptop.command(&["devices", "--json"]).json();
    let names: Vec<&str> =
        listed["devices"].as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["desktop", "laptop"]);
    assert_eq!(laptop.command(&["devices", "revoke", "laptop"]).code, 9);
    assert_eq!(laptop.command(&["devices", "revoke", "phone"]).code, 4);
    laptop.command(&["devices", "revoke", "desktop"]).done();
    expect_signed_out(&desktop);
    assert!(laptop.command(&["devices"]).done().contains("signed out"));

    let taken = laptop.command(&["profile", "--name", "EVE"]);
    assert!(taken.err.contains("E-EXISTS"), "{}", taken.err);
    laptop.command(&["profile", "--name", "Maya II"]).done();
    assert_eq!(laptop.command(&["whoami", "--json"]).json()["user"], "Maya II");
    let change = |line: &str| run(laptop.client(&["passwd", "--password-stdin"]), line);
    let wrong = change("not it at all\nanother password\n");
    assert_eq!((wrong.code, wrong.err.contains("E-NOT-ALLOWED")), (6, true), "{}", wrong.err);
    change(&format!("{PASSWORD}\nanother password\n")).done();
    laptop.wait();
    // The administrator sets both back.
    server.command(&["user", "set", "maya ii", "--name", USER], "").done();
    server.command(&["user", "passwd", USER, "--password-stdin"], PASSWORD).done();
    server.stranger("phone").join(&server).done();
}

#[test]
fn an_account_is_removed_only_when_that_is_confirmed_and_then_wholly() {
    let server = Server::start();
    server.command(&["user", "add", "eve", "--password-stdin"], PASSWORD).done();
    let laptop = server.computer("laptop");
    laptop.write("mine", noise(1 << 20, 1));
    laptop.wait();
    let asked = server.command(&["user", "rm", USER], "");
    assert_eq!(asked.code, 9);
    assert!(asked.err.contains("1 files of 1048576 bytes") && asked.err.contains("--yes"), "{}", asked.err);
    assert_eq!(server.files_named("mine").len(), 1);
    server.command(&["user", "rm", USER, "--yes"], "").done();
    expect_signed_out(&laptop);
    assert_eq!(fs::metadata(laptop.path("mine")).unwrap().len(), 1 << 20);
    assert_eq!(server.command(&["user", "ls"], "").done().trim(), "eve");
    assert_eq!(server.command(&["user", "rm", USER, "--yes"], "").code, 4);
    let checked = server.command(&["fsck", "--json"], "");
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
}

#[test]
fn a_computer_is_told_the_name_that_it_got() {
    let server = Server::start();
    server.stranger("laptop").join(&server).done();
    let mut second = server.stranger("laptop");
    (second.home, second.folder) = (server.scratch("second-home"), server.scratch("second"));
    let joined = second.join(&server);
    assert!(joined.err.contains("This device  laptop 2\n"), "{joined:?}");
    joined.done();
    assert_eq!(second.command(&["whoami", "--json"]).json()["device"], "laptop 2");
    // Conflict copies bear it.
    let config = std::fs::read_to_string(second.home.join("config.toml")).unwrap();
    assert!(config.contains("name = \"laptop 2\""), "{config}");
}
