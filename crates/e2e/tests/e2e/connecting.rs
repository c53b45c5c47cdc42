//! The classic form: `skep-server --open` and `skep connect`.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::asking::{complained, complaint};
use crate::rig::{Computer, Server, run, settle, until};
use crate::tree::tree;

fn lines(server: &Server, arguments: &[&str], key: &str) -> Vec<Value> {
    server.command(arguments, "").json()[key].as_array().unwrap().clone()
}

fn users(server: &Server) -> Vec<Value> {
    lines(server, &["user", "ls", "--json"], "users")
}

fn devices(server: &Server) -> usize {
    lines(server, &["device", "ls", "--json"], "devices").len()
}

/// How many requests of that kind went well, with account and device.
fn logged(log: &str, request: &str) -> usize {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_meant = |line: &Value| line["request"] == request && line["outcome"] == "ok";
    lines.filter(|line| is_meant(line) && line["account"].is_string() && line["device"].is_string()).count()
}

/// A first computer, and the id that it printed.
fn first_of_an_account(server: &Server, name: &str) -> (Computer, String) {
    let mut computer = server.stranger(name);
    let printed = computer.connect(server, &[]);
    let id = printed.strip_suffix('\n').unwrap().to_owned();
    let shape: String = id.chars().map(|letter| if letter.is_ascii_alphanumeric() { 'x' } else { letter }).collect();
    assert_eq!(shape, "xxxx-xxxx-xxxx-xxxx-xxxx-xxxx");
    (computer, id)
}

#[test]
fn computers_of_one_account_share_and_those_of_another_see_nothing() {
    let server = Server::with(&["--open"]);
    let (laptop, id) = first_of_an_account(&server, "laptop");
    laptop.write("d/early.txt", "there before the other computer");
    let mut desktop = server.stranger("desktop");
    assert_eq!(desktop.connect(&server, &["2", &id.to_lowercase()]), "");
    let (stranger, other_id) = first_of_an_account(&server, "stranger");
    assert_ne!(id, other_id);
    stranger.write("own.txt", "of another account");
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("d/early.txt").unwrap(), b"there before the other computer");
    desktop.write("back.txt", "the other way");
    fs::rename(desktop.path("d"), desktop.path("e")).unwrap();
    settle(&laptop, &desktop);
    assert_eq!(laptop.read("e/early.txt").unwrap(), b"there before the other computer");
    stranger.wait();
    assert_eq!(tree(&stranger.folder).keys().collect::<Vec<_>>(), ["own.txt"]);
    assert_eq!(laptop.read("own.txt"), None);

    // What commands say of it is what they say of every client.
    assert_eq!(laptop.status()["state"], "up_to_date");
    assert_eq!(laptop.command(&["status", "--check"]).code, 0);
    let accounts = users(&server);
    assert_eq!(accounts.len(), 2);
    for account in &accounts {
        let name = account["name"].as_str().unwrap();
        assert_eq!(name, format!("account-{}", &account["id"].as_str().unwrap()[..4]));
        assert_eq!((&account["has_password"], &account["has_account_id"]), (&false.into(), &true.into()));
    }
    let user = laptop.command(&["whoami", "--json"]).json()["user"].clone();
    assert!(accounts.iter().any(|account| account["name"] == user));
    let log = until("the connection log has the lines", || {
        let log = server.command(&["log", "--connections", "--json"], "").done();
        (logged(&log, "new_user") == 2 && logged(&log, "new_client") == 1).then_some(log)
    });
    assert!(!log.contains(&id));
}

#[test]
fn the_same_command_starts_again_and_makes_nothing_new() {
    let server = Server::with(&["--open"]);
    let (mut laptop, id) = first_of_an_account(&server, "laptop");
    let mut desktop = server.stranger("desktop");
    desktop.connect(&server, &[&id]);
    settle(&laptop, &desktop);
    let known = (users(&server).len(), devices(&server));
    for (rest, signal) in [(&[][..], Signal::TERM), (&["7"], Signal::INT), (&["7", &id], Signal::TERM)] {
        laptop.stop_by(signal);
        laptop.write("while-off.txt", format!("{rest:?}"));
        desktop.write("meanwhile.txt", format!("{rest:?}"));
        assert_eq!(laptop.connect(&server, rest), "");
        settle(&laptop, &desktop);
    }
    // The daemon of the same home, and a kill in place of a stop.
    laptop.kill();
    laptop.write("while-off.txt", "killed");
    laptop.start();
    settle(&laptop, &desktop);
    assert_eq!(complaint(&run(laptop.connecting(&server, &[]), "")), complained(1, "E-DAEMON-RUNS"));
    laptop.stop();
    assert_eq!((users(&server).len(), devices(&server)), known);
}

#[test]
fn a_computer_starts_without_its_server_and_goes_on_when_it_comes() {
    let mut server = Server::with(&["--open"]);
    let (mut laptop, _) = first_of_an_account(&server, "laptop");
    laptop.stop();
    server.kill();
    laptop.write("f.txt", "waits");
    laptop.connect(&server, &["1"]);
    assert_eq!(laptop.status()["state"], "offline");
    server.start_again();
    laptop.wait();
}

#[test]
fn a_first_start_that_was_broken_off_goes_on_with_the_same_account() {
    let server = Server::with(&["--open"]);
    let (mut laptop, id) = first_of_an_account(&server, "laptop");
    laptop.write("f.txt", "kept");
    laptop.wait();
    laptop.stop();
    // As if the answer had never come: the server has made the account, the client knows only what it asked for.
    for file in ["config.toml", "token"] {
        fs::remove_file(laptop.home.join(file)).unwrap();
    }
    let begun =
        format!("url = \"{}\"\nfingerprint = \"{}\"\naccount_id = \"{id}\"\n", server.address(), server.fingerprint());
    fs::write(laptop.home.join("new-account.toml"), &begun).unwrap();
    assert_eq!(laptop.connect(&server, &[]), format!("{id}\n"));
    laptop.wait();
    assert_eq!((laptop.read("f.txt").unwrap(), users(&server).len()), (b"kept".to_vec(), 1));
    // As if it had ended just before it printed the id.
    laptop.stop();
    fs::write(laptop.home.join("new-account.toml"), &begun).unwrap();
    assert_eq!(laptop.connect(&server, &[]), format!("{id}\n"));
    laptop.stop();
    assert_eq!(laptop.connect(&server, &[]), "");
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason_and_nothing_is_touched() {
    let mut server = Server::with(&["--open"]);
    let (mut laptop, id) = first_of_an_account(&server, "laptop");
    let (mut other, other_id) = first_of_an_account(&server, "other");
    laptop.write("f.txt", "mine");
    other.write("g.txt", "theirs");
    laptop.wait();
    other.wait();
    laptop.stop();
    other.stop();
    let known = (users(&server).len(), devices(&server));
    let refused = |computer: &Computer, rest: &[&str]| complaint(&run(computer.connecting(&server, rest), ""));

    let mut fresh = server.stranger("fresh");
    let unknown = "0000-0000-0000-0000-0000-0A0C";
    assert_eq!(refused(&fresh, &[unknown]), complained(6, "E-SIGN-IN"));
    assert_eq!(refused(&fresh, &["30", &unknown.replace('A', "B")]), complained(2, "E-ACCOUNT-ID"));
    assert_eq!(refused(&fresh, &["0"]), complained(2, "E-USAGE"));
    assert_eq!(fs::read_dir(&fresh.folder).unwrap().count(), 0);
    // The id of another account, for a home and for a folder that has one.
    assert_eq!(refused(&laptop, &[&other_id]), complained(9, "E-OTHER-ACCOUNT"));
    fresh.folder.clone_from(&laptop.folder);
    assert_eq!(refused(&fresh, &[&other_id]), complained(9, "E-OTHER-ACCOUNT"));
    assert_eq!(refused(&fresh, &[]), complained(9, "E-OTHER-ACCOUNT"));
    // One home, one folder.
    let folder = std::mem::replace(&mut laptop.folder, other.folder.clone());
    assert_eq!(refused(&laptop, &[]), complained(9, "E-JOINED"));
    laptop.folder = folder;
    assert_eq!((users(&server).len(), devices(&server)), known);

    // A server that is not open, and then one with another key.
    server.kill();
    assert_eq!(complaint(&run(fresh.connecting(&server, &[&id]), "")), complained(3, "E-UNREACHABLE"));
    server.flags = &[];
    server.start_again();
    let late = server.stranger("late");
    let answer = run(late.connecting(&server, &[]), "");
    assert_eq!(complaint(&answer), complained(6, "E-NOT-OPEN"));
    assert!(answer.err.contains("--open") && answer.err.contains("ACCOUNT_ID"), "{}", answer.err);
    // Who has an id needs no open server; nor does a folder whose home is lost.
    fresh.connect(&server, &[&id]);
    fresh.wait();
    assert_eq!(fresh.read("f.txt").unwrap(), b"mine");
    fresh.stop();
    server.kill();
    for file in ["server.key", "server.crt"] {
        fs::remove_file(server.data().join("keys").join(file)).unwrap();
    }
    server.start_again();
    for computer in [&laptop, &other] {
        let answer = run(computer.connecting(&server, &[]), "");
        assert_eq!(complaint(&answer), complained(9, "E-KEY-CHANGED"));
        assert!(answer.err.contains(&server.fingerprint()), "{}", answer.err);
    }
    assert_eq!((laptop.read("f.txt").unwrap(), other.read("g.txt").unwrap()), (b"mine".to_vec(), b"theirs".to_vec()));
}

#[test]
fn an_id_that_was_replaced_lets_nobody_in_and_turns_nobody_out() {
    let server = Server::with(&["--open"]);
    let (mut laptop, first_id) = first_of_an_account(&server, "laptop");
    let by_owner = laptop.command(&["account-id", "replace"]).done().trim().to_owned();
    let mut desktop = server.stranger("desktop");
    assert_eq!(complaint(&run(desktop.connecting(&server, &[&first_id]), "")), complained(6, "E-SIGN-IN"));
    desktop.connect(&server, &[&by_owner]);
    settle(&laptop, &desktop);

    let user = laptop.command(&["whoami", "--json"]).json()["user"].as_str().unwrap().to_owned();
    let by_admin = server.command(&["user", "new-id", &user], "").done().trim().to_owned();
    assert_eq!(complaint(&server.command(&["user", "new-id", "nobody"], "")), complained(4, "E-NOT-FOUND"));
    let mut phone = server.stranger("phone");
    assert_eq!(complaint(&run(phone.connecting(&server, &["-"]), &by_owner)), complained(6, "E-SIGN-IN"));
    phone.connect(&server, &[&by_admin]);
    phone.write("f.txt", "three computers");
    settle(&phone, &laptop);
    settle(&phone, &desktop);

    // A computer that came by an id is started by it as before, and by the one that counts now.
    for id in [&first_id, &by_admin] {
        laptop.stop();
        laptop.connect(&server, &[id]);
        laptop.wait();
    }
    laptop.stop();
    let answer = run(laptop.connecting(&server, &[&by_owner]), "");
    assert_eq!(complaint(&answer), complained(9, "E-OTHER-ACCOUNT"));
}
