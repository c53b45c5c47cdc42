//! What the programs answer: exit codes, codes of errors, fields of `--json`. Scripts depend on each of these.

use std::fs;

use crate::rig::{Server, run, settle, until};

/// What a command complained of: exit code, and the code at the end of the first line.
#[track_caller]
pub fn complaint(answer: &crate::rig::Answer) -> (i32, String) {
    let first = answer.err.lines().find(|line| line.contains("   E-")).unwrap_or_else(|| panic!("{answer:?}"));
    (answer.code, first.rsplit("   ").next().unwrap().to_owned())
}

/// For comparison.
pub fn complained(code: i32, name: &str) -> (i32, String) {
    (code, name.to_owned())
}

#[test]
fn a_join_that_is_refused_says_why_and_leaves_nothing() {
    let server = Server::start();
    let stranger = server.stranger("laptop");
    assert_eq!(complaint(&stranger.command(&["sync", "wait"])), complained(6, "E-NOT-JOINED"));
    let mut wrong_key = server.fingerprint();
    let last = if wrong_key.pop() == Some('0') { '1' } else { '0' };
    wrong_key.push(last);
    let answer = stranger.join_with(&server, &wrong_key, crate::rig::PASSWORD);
    assert_eq!(complaint(&answer), complained(9, "E-KEY-CHANGED"));
    let answer = stranger.join_with(&server, &server.fingerprint(), "wrong horse");
    assert_eq!(complaint(&answer), complained(6, "E-SIGN-IN"));
    assert_eq!(complaint(&stranger.command(&["status"])), complained(6, "E-NOT-JOINED"));
    assert_eq!(fs::read_dir(&stranger.folder).unwrap().count(), 0);
    stranger.join(&server).done();
    assert_eq!(complaint(&stranger.join(&server)), complained(9, "E-JOINED"));
}

#[test]
fn one_home_and_one_folder_have_one_daemon() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    laptop.wait();
    assert_eq!(complaint(&laptop.command(&["daemon", "run"])), complained(1, "E-DAEMON-RUNS"));
    // Another home with the same folder: already the join is refused.
    let mut other = server.stranger("other");
    other.folder.clone_from(&laptop.folder);
    assert_eq!(complaint(&other.join(&server)), complained(1, "E-ROOT-IN-USE"));
    laptop.wait();
}

#[test]
fn a_folder_that_is_missing_stops_the_client_and_deletes_nothing() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    laptop.write("d/precious.txt", "the only copy");
    settle(&laptop, &desktop);
    let entries = server.journal().len();
    laptop.stop();
    // As when a disk is not mounted: an empty directory stands in its place.
    let aside = server.scratch("aside");
    fs::rename(&laptop.folder, &aside).unwrap();
    fs::create_dir(&laptop.folder).unwrap();
    let refused = laptop.command(&["daemon", "run"]);
    assert_eq!(complaint(&refused), complained(9, "E-ROOT-MISSING"));
    assert_eq!(refused.err.matches("E-ROOT-MISSING").count(), 1, "said once: {}", refused.err);
    let log = fs::read_to_string(laptop.home.join("daemon.log")).unwrap();
    assert!(log.contains("E-ROOT-MISSING"), "and kept in the log: {log}");
    // Who asks later is told why.
    let off = laptop.command(&["status"]);
    assert_eq!(complaint(&off), complained(3, "E-DAEMON-OFF"));
    assert!(off.err.contains("It ended by itself") && off.err.contains("E-ROOT-MISSING"), "{}", off.err);
    assert_eq!(laptop.status()["problems"][1]["code"], "E-ROOT-MISSING");
    let start = laptop.command_with_all_rights(&["daemon", "start"]);
    assert_eq!(complaint(&start), complained(1, "E-DAEMON-START"));
    assert!(start.err.contains("is not there, or not the one that was joined"), "{}", start.err);
    desktop.wait();
    assert_eq!((server.journal().len(), desktop.read("d/precious.txt").unwrap()), (entries, b"the only copy".to_vec()));
    fs::remove_dir(&laptop.folder).unwrap();
    fs::rename(&aside, &laptop.folder).unwrap();
    laptop.start();
    settle(&laptop, &desktop);
    assert!(!laptop.home.join("stopped.toml").exists(), "it runs, and nothing is left to say");

    // The same while the client runs.
    fs::rename(&laptop.folder, &aside).unwrap();
    fs::create_dir(&laptop.folder).unwrap();
    laptop.command(&["sync", "wait", "--timeout", "500ms"]);
    let status = until("the client stops", || Some(laptop.status()).filter(|status| status["state"] == "stopped"));
    assert_eq!(laptop.problems(), ["E-ROOT-MISSING "], "said once: {status}");
    for path in ["d/precious.txt", ""] {
        let report = laptop.command(&["status", "--json", laptop.path(path).to_str().unwrap()]).json();
        assert_eq!(report["state"], "problem", "{report}");
        assert!(report["reason"].as_str().unwrap().contains("E-ROOT-MISSING"), "{report}");
    }
    desktop.wait();
    assert_eq!((server.journal().len(), desktop.read("d/precious.txt").unwrap()), (entries, b"the only copy".to_vec()));

    // It goes on by itself.
    fs::write(aside.join("d/late.txt"), "while it was away").unwrap();
    fs::remove_dir(&laptop.folder).unwrap();
    fs::rename(&aside, &laptop.folder).unwrap();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("d/late.txt").unwrap(), b"while it was away");
    laptop.write("d/later.txt", "it is watched again");
    settle(&laptop, &desktop);
    assert!(laptop.problems().is_empty() && desktop.read("d/later.txt").is_some());
}

#[test]
fn without_a_server_waiting_ends_and_the_status_says_so() {
    let mut server = Server::start();
    let laptop = server.computer("laptop");
    laptop.wait();
    server.kill();
    until("the client notices", || (laptop.status()["state"] == "offline").then_some(()));
    laptop.write("later.txt", "waits here");
    assert_eq!(complaint(&laptop.command(&["sync", "wait", "--timeout", "300ms"])), complained(10, "E-TIMED-OUT"));
    assert_eq!(laptop.command(&["status", "--check"]).code, 3);
    assert_eq!(laptop.status()["server"]["reachable"], false);
    server.start_again();
    laptop.wait();
    assert_eq!(laptop.command(&["status", "--check"]).code, 0);
}

#[test]
fn the_status_has_the_fields_of_the_contract_and_explains_a_path() {
    let server = Server::start();
    let mut laptop = server.computer("laptop");
    laptop.write("d/a.txt", "abc");
    laptop.wait();
    let status = laptop.status();
    let keys = |value: &serde_json::Value| {
        let keys = value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        keys.join(" ")
    };
    assert_eq!(keys(&status), "folders not_synced paused problems schema server shown_otherwise state");
    assert_eq!(keys(&status["server"]), "confirmed_at latency_ms reachable url");
    let folder = &status["folders"][0];
    assert_eq!(
        keys(folder),
        "audit bytes changes_since_verified files id ignored last_difference local mode not_synced online_only queue remote \
         shown_otherwise state verified_at verified_entries verified_left_out watch_degraded"
    );
    assert_eq!((&status["schema"], &status["state"]), (&1.into(), &"up_to_date".into()));
    assert_eq!((&folder["files"], &folder["bytes"], &folder["queue"]["files"]), (&1.into(), &3.into(), &0.into()));
    assert_eq!(status["server"]["url"], server.address());

    let path = laptop.path("d/a.txt");
    let report = laptop.command(&["status", path.to_str().unwrap(), "--json"]).json();
    assert_eq!((&report["path"], &report["state"]), (&"d/a.txt".into(), &"synced".into()));
    assert!(report["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{report}");
    assert_eq!(complaint(&laptop.command(&["status", "/etc/passwd"])), complained(4, "E-NOT-IN-FOLDER"));
    assert_eq!(laptop.command(&["whoami", "--json"]).json()["device"], "laptop");

    laptop.stop();
    let answer = laptop.command(&["status", "--json"]);
    assert_eq!((answer.code, &answer.json()["state"]), (3, &"not_running".into()));
}

#[test]
fn a_device_that_is_signed_out_stops_and_keeps_its_files() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("mine.txt", "stays");
    settle(&laptop, &desktop);
    assert_eq!(complaint(&server.command(&["device", "revoke", "phone"], "")), complained(4, "E-NOT-FOUND"));
    server.command(&["device", "revoke", "laptop"], "").done();
    let status = until("the client stops", || Some(laptop.status()).filter(|status| status["state"] == "stopped"));
    assert_eq!(status["problems"][0]["code"], "E-SIGN-IN");
    assert_eq!(laptop.command(&["status", "--check"]).code, 7);
    assert_eq!(laptop.read("mine.txt").unwrap(), b"stays");
    desktop.write("afterwards.txt", "not for the laptop");
    desktop.wait();
    assert_eq!(laptop.read("afterwards.txt"), None);
    until("the connection log tells of the refusal", || {
        let lines = server.command(&["log", "--connections", "--json"], "").done();
        let mut lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.any(|line| line["outcome"] == "E-SIGN-IN").then_some(())
    });
}

#[test]
fn slips_on_the_command_line_are_told_by_code_2() {
    let server = Server::start();
    let laptop = server.stranger("laptop");
    for arguments in [&["stauts"][..], &["sync", "wait", "--timeout", "soon"]] {
        assert_eq!(complaint(&laptop.command(arguments)), complained(2, "E-USAGE"), "{arguments:?}");
    }
    assert_eq!(complaint(&server.command(&["user", "add", "other"], "")), complained(2, "E-USAGE"));
    assert_eq!(
        complaint(&server.command(&["user", "add", "maya", "--password-stdin"], "long enough it is")).1,
        "E-EXISTS"
    );
    assert_eq!(run(laptop.client(&["--help"]), "").code, 0);
}

#[test]
fn what_goes_wrong_is_json_where_json_was_asked_for() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    laptop.wait();
    let rows: [(&[&str], i32); 5] = [
        (&["--json", "status", "/etc/passwd"], 4),
        (&["--json", "daemon", "frob"], 2),
        (&["stauts", "--json"], 2),
        (&["--json", "get", "nothing.txt", "-o", "/nowhere/x"], 4),
        (&["--json", "--bogus"], 2),
    ];
    for (arguments, exit) in rows {
        let answer = laptop.command(arguments);
        let error = answer.json()["error"].clone();
        let (code, message) = (error["code"].as_str().unwrap(), error["message"].as_str().unwrap());
        assert_eq!((answer.code, &answer.json()["schema"]), (exit, &1.into()), "{answer:?}");
        assert!(code.starts_with("E-") && answer.err.contains(code) && answer.err.contains(message), "{answer:?}");
        assert!(error["hint"].is_string());
    }
    // One object: what was answered already is not followed by another one.
    let mut stopped = server.stranger("stopped");
    stopped.join(&server).done();
    stopped.start();
    stopped.wait();
    stopped.stop();
    assert_eq!(stopped.command(&["status", "--json"]).json()["state"], "not_running");
    // Without --json nothing of it is on standard output.
    assert_eq!(laptop.command(&["daemon", "frob"]).out, "");
}

#[test]
fn names_of_users_are_names_and_an_empty_password_is_called_empty() {
    let server = Server::start();
    let data = server.data();
    let add = |name: &str, password: &str| {
        let mut command = server.program(&["user", "add", "--password-stdin", "--data-dir"]);
        command.arg(&data).args(["--", name]);
        run(command, password)
    };
    for name in
        ["../bob", ".bob", "-bob", "bob/..", "a\\b", "a:b", "a|b", "b\u{200b}ob", "b\u{202e}ob", "a\tb", " bob", ""]
    {
        let answer = add(name, crate::rig::PASSWORD);
        assert_eq!(complaint(&answer), complained(2, "E-BAD-REQUEST"), "{name:?}: {answer:?}");
        assert!(answer.err.contains("cannot be a user name"), "{answer:?}");
    }
    for name in ["bob", "Tom Miller", "o'neil", "maya@example.org", "j\u{fc}rgen", "\u{5c71}\u{7530}", "b_o-b.2+x"] {
        add(name, crate::rig::PASSWORD).done();
    }
    for password in ["", "\n"] {
        assert!(add("carol", password).err.contains("it is empty"));
        let joining = server.stranger("laptop").join_with(&server, &server.fingerprint(), password);
        assert_eq!(complaint(&joining), complained(2, "E-USAGE"));
        assert!(joining.err.contains("The password on standard input is empty"), "{joining:?}");
    }
}
