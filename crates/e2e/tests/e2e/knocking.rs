//! Joining by a code that the new computer shows: whoever is signed in types it, and the new computer is let in.

use std::fs;
use std::path::PathBuf;

use crate::rig::{Answer, Computer, PASSWORD, Running, Server, USER, at_terminal, run, settle, until};

/// A computer that waits to be let in.
struct Knocking {
    running: Option<Running>,
    out: PathBuf,
    log: PathBuf,
}

impl Knocking {
    /// `skep join ADDRESS --device-code` without a person, up to its code.
    fn at(server: &Server, computer: &Computer, more: &[&str]) -> (Knocking, String) {
        let (out, log) = (computer.home.with_extension("out"), computer.home.with_extension("log"));
        let (address, folder) = (server.address(), computer.folder.to_str().unwrap());
        let line = ["join", &address, "--device-code", "--dir", folder, "--no-daemon"];
        let running = Running::start_apart(computer.client(&[&line[..], more].concat()), &log, &out);
        let code = until("the code is shown", || {
            let shown = fs::read_to_string(&out).unwrap();
            shown.ends_with('\n').then(|| shown.trim().to_owned())
        });
        assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'), "{code}");
        (Knocking { running: Some(running), out, log }, code)
    }

    /// What it came to.
    fn ended(&mut self) -> (i32, String) {
        let code = self.running.take().unwrap().wait();
        (code, fs::read_to_string(&self.log).unwrap())
    }
}

fn approve(computer: &Computer, code: &str) -> Answer {
    computer.command(&["devices", "approve", code, "--yes"])
}

#[test]
fn a_computer_without_a_keyboard_is_let_in_from_the_first_one_and_syncs() {
    let mut server = Server::start();
    let (laptop, mut nas) = (server.computer("laptop"), server.stranger("nas"));
    laptop.wait();
    laptop.write("hello.txt", "hello");
    let (mut knocking, code) = Knocking::at(&server, &nas, &["--user", USER, "--name", "nas"]);
    let listed = laptop.command(&["devices", "--json"]).json();
    assert_eq!((&listed["waiting"][0]["name"], listed["waiting"].as_array().unwrap().len()), (&"nas".into(), 1));
    let listed = server.command(&["device", "ls", "--json"], "");
    assert_eq!(listed.json()["waiting"][0]["user"], USER);
    // Nobody there to confirm, and a code that is wrong in its last letter: nothing happens.
    let asked = laptop.command(&["devices", "approve", &code]);
    assert_eq!((asked.code, asked.err.contains("E-CONFIRM")), (9, true), "{}", asked.err);
    let last = if code.ends_with('7') { "8" } else { "7" };
    let wrong = approve(&laptop, &format!("{}{last}", &code[..8]));
    assert_eq!((wrong.code, wrong.err.contains("E-CODE")), (6, true), "{}", wrong.err);
    // A server that is started anew still knows who waits.
    server.stop();
    server.start_again();
    let told = approve(&laptop, &code.to_lowercase());
    assert!(told.err.contains("nas is signed in as maya"), "{}", told.err);
    let (exit, log) = knocking.ended();
    assert_eq!(exit, 0, "{log}");
    assert!(log.contains("the server's key was checked by the code"), "{log}");
    nas.start();
    settle(&laptop, &nas);
    assert_eq!(nas.read("hello.txt").unwrap(), b"hello");
    assert_eq!(nas.command(&["whoami", "--json"]).json()["user"], USER);
    // Used up, and written nowhere.
    let again = approve(&laptop, &code);
    assert_eq!((again.code, again.err.contains("E-CODE")), (6, true), "{}", again.err);
    let logs = server.log() + &fs::read_to_string(server.data().join("connections.log")).unwrap();
    assert!(!logs.contains(&code) && !logs.contains(&code.replace('-', "")));
    for request in ["knock", "answer_knock", "enter"] {
        assert!(logs.contains(&format!("\"request\":\"{request}\"")), "{request}");
    }
}

#[test]
fn of_two_that_wait_each_is_answered_by_its_own_code() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    let (nas, tv) = (server.stranger("nas"), server.stranger("tv"));
    let (mut nas_knocks, nas_code) = Knocking::at(&server, &nas, &["--name", "nas"]);
    let (mut tv_knocks, tv_code) = Knocking::at(&server, &tv, &["--name", "tv", "--user", USER]);
    let denied = laptop.command(&["devices", "deny", &nas_code]);
    assert!(denied.err.contains("Sent away: nas"), "{}", denied.err);
    let (exit, log) = nas_knocks.ended();
    assert_eq!((exit, log.contains("E-DENIED")), (6, true), "{log}");
    assert!(!nas.home.join("config.toml").exists());
    approve(&laptop, &tv_code).done();
    assert_eq!(tv_knocks.ended().0, 0);
    assert_eq!(fs::read_to_string(&tv_knocks.out).unwrap().trim(), tv_code);
    let devices = laptop.command(&["devices", "--json"]).json();
    assert_eq!((devices["devices"].as_array().unwrap().len(), &devices["waiting"]), (2, &serde_json::json!([])));
}

#[test]
fn the_operator_lets_in_to_the_account_that_is_named() {
    let server = Server::start();
    server.command(&["user", "add", "eve", "--password-stdin"], PASSWORD).done();
    let eve = server.stranger("eve");
    let line = ["join", &server.address(), "--user", "eve", "--password-stdin", "--fingerprint", &server.fingerprint()];
    let folder = eve.folder.to_str().unwrap();
    run(eve.client(&[&line[..], &["--dir", folder, "--no-daemon"]].concat()), PASSWORD).done();
    let nas = server.stranger("nas");
    let (mut knocking, code) = Knocking::at(&server, &nas, &["--user", USER]);
    // It names an account, so that no other one sees it.
    let other = approve(&eve, &code);
    assert_eq!((other.code, other.err.contains("E-CODE")), (6, true), "{}", other.err);
    let other = server.command(&["device", "approve", &code, "--user", "eve", "--yes"], "");
    assert_eq!((other.code, other.err.contains("E-OTHER-ACCOUNT")), (9, true), "{}", other.err);
    let asked = server.command(&["device", "approve", &code], "");
    assert_eq!((asked.code, asked.err.contains("E-CONFIRM")), (9, true), "{}", asked.err);
    server.command(&["device", "approve", "-", "--yes"], &format!("{code}\n")).done();
    let (exit, log) = knocking.ended();
    assert_eq!(exit, 0, "{log}");
    assert_eq!(nas.command(&["whoami", "--json"]).json()["user"], USER);
    // One that names nobody: the operator says whose it is.
    let tv = server.stranger("tv");
    let (mut knocking, code) = Knocking::at(&server, &tv, &[]);
    let whose = server.command(&["device", "approve", &code, "--yes"], "");
    assert_eq!((whose.code, whose.err.contains("--user NAME")), (2, true), "{}", whose.err);
    let denied = server.command(&["device", "deny", &code], "");
    assert_eq!(denied.code, 0, "{}", denied.err);
    assert_eq!(knocking.ended().0, 6);
}

#[test]
fn at_a_terminal_the_approver_sees_who_asks_and_is_asked() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    let nas = server.stranger("nas");
    let (mut knocking, code) = Knocking::at(&server, &nas, &["--name", "nas"]);
    let line = laptop.client(&["devices", "approve", &code]);
    let no = run(at_terminal(&line), "n\n");
    assert!(no.out.contains("Computer     nas") && no.out.contains("127.0.0.1, since"), "{no:?}");
    assert!(no.out.contains("It goes on waiting."), "{no:?}");
    let yes = run(at_terminal(&line), "y\n");
    assert!(yes.out.contains("Let in: nas is signed in as maya."), "{yes:?}");
    assert_eq!(knocking.ended().0, 0);
}
