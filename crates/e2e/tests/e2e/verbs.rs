//! The verbs that people type: what they print, what they do in the folder, how they end.

use serde_json::Value;

use crate::asking::{complained, complaint};
use crate::rig::{Computer, Server, settle, until};

/// `path`, edited on both computers at the same time: the desktop's version becomes the copy. Gives the copy's path.
fn two_versions(laptop: &Computer, desktop: &mut Computer, path: &str) -> String {
    laptop.write(path, "the start");
    settle(laptop, desktop);
    desktop.stop();
    laptop.write(path, format!("the laptop's {path}"));
    laptop.wait();
    desktop.write(path, format!("the desktop's {path}, longer"));
    desktop.start();
    settle(laptop, desktop);
    let listed = desktop.command(&["conflicts", "--json"]).json();
    let mut conflicts = listed["conflicts"].as_array().unwrap().iter();
    let conflict = conflicts.find(|conflict| conflict["path"] == path).unwrap_or_else(|| panic!("{listed}"));
    conflict["copy_path"].as_str().unwrap().to_owned()
}

/// What lies in the safe of a computer.
fn in_safe(computer: &Computer) -> Vec<String> {
    let entries = std::fs::read_dir(computer.path(".skep/trash")).unwrap();
    entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

fn resolve(computer: &Computer, path: &str, keep: &str) -> crate::rig::Answer {
    computer.command(&["conflicts", "resolve", computer.path(path).to_str().unwrap(), "--keep", keep])
}

#[test]
fn a_conflict_is_ended_by_keeping_either_version_or_both() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    assert_eq!(laptop.command(&["conflicts"]).done(), "");
    let (mine, theirs) = (String::from("the desktop's a.txt, longer"), String::from("the laptop's a.txt"));

    // The copy gets the name.
    let copy = two_versions(&laptop, &mut desktop, "d/a.txt");
    let (mine, theirs) = (mine.replace("a.txt", "d/a.txt"), theirs.replace("a.txt", "d/a.txt"));
    assert!(copy.starts_with("d/a (two versions, desktop, "), "{copy}");
    assert_eq!(desktop.read("d/a.txt").unwrap(), theirs.as_bytes());
    let shown = desktop.command(&["conflicts", "show", "1", "--json"]).json();
    assert_eq!((&shown["schema"], &shown["conflicts"][0]["mine"]), (&1.into(), &"copy".into()));
    assert_eq!(laptop.command(&["conflicts", "--json"]).json()["conflicts"][0]["mine"], "original");
    let text = desktop.command(&["conflicts"]).done();
    assert!(text.starts_with("1  d/a.txt\n   yours  ") && text.contains("<- has the name"), "{text}");
    let dry = ["conflicts", "resolve", "--all", "--keep", "mine", "--dry-run"];
    assert!(desktop.command(&dry).done().contains("gets the content of"));
    assert_eq!(desktop.read("d/a.txt").unwrap(), theirs.as_bytes());
    resolve(&desktop, "d/a.txt", "mine").done();
    settle(&laptop, &desktop);
    assert_eq!((laptop.read("d/a.txt").unwrap(), laptop.read(&copy)), (mine.into_bytes(), None));
    assert!(in_safe(&desktop).contains(&theirs));
    assert_eq!(desktop.command(&["conflicts"]).done(), "");

    // The copy goes to the safe; named by its own path.
    let copy = two_versions(&laptop, &mut desktop, "b.txt");
    resolve(&desktop, &copy, "theirs").done();
    settle(&laptop, &desktop);
    assert_eq!((laptop.read("b.txt").unwrap(), laptop.read(&copy)), (b"the laptop's b.txt".to_vec(), None));
    assert!(in_safe(&desktop).contains(&"the desktop's b.txt, longer".to_owned()));

    // The later one, as the other computer sees it.
    two_versions(&laptop, &mut desktop, "c.txt");
    laptop.command(&["conflicts", "resolve", "--all", "--keep", "newest"]).done();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("c.txt").unwrap(), b"the desktop's c.txt, longer");

    // Both: the copy becomes a file like any other.
    let copy = two_versions(&laptop, &mut desktop, "e.txt");
    resolve(&desktop, "e.txt", "both").done();
    settle(&laptop, &desktop);
    let plain = copy.replace("(two versions, desktop", "(desktop");
    assert_eq!(laptop.read(&plain).unwrap(), b"the desktop's e.txt, longer");
    assert_eq!(laptop.read("e.txt").unwrap(), b"the laptop's e.txt");
    assert_eq!(laptop.command(&["conflicts"]).done(), "");
    assert_eq!(complaint(&resolve(&laptop, "e.txt", "mine")), complained(4, "E-NOT-FOUND"));
    assert_eq!(complaint(&laptop.command(&["conflicts", "resolve", "--all"])), complained(2, "E-USAGE"));
}

#[test]
fn a_listing_tells_how_far_each_entry_is() {
    let server = Server::start();
    let (mut laptop, mut desktop) = server.two_computers();
    let copy = two_versions(&laptop, &mut desktop, "Work/Budget.xlsx");
    laptop.write("Work/Notes.md", "twelve bytes");
    laptop.write("Work/.hidden", "");
    laptop.write("Work/deep/er.txt", "1");
    settle(&laptop, &desktop);
    let rows = |computer: &Computer, arguments: &[&str]| -> Vec<String> {
        let answer = computer.command(&[&["ls", "--json"], arguments].concat()).json();
        assert_eq!(answer["schema"], 1);
        let row = |entry: &Value| format!("{} {}", entry["state"].as_str().unwrap(), entry["path"].as_str().unwrap());
        answer["entries"].as_array().unwrap().iter().map(row).collect()
    };
    let work = laptop.path("Work");
    let work = work.to_str().unwrap();
    let all = ["two versions Work/Budget.xlsx", "here Work/Notes.md", "here Work/deep"];
    let mut expected = vec![format!("two versions {copy}")];
    expected.extend(all.map(str::to_owned));
    assert_eq!(rows(&laptop, &[work]), expected);
    assert_eq!(rows(&laptop, &[work, "-a"]).len(), 5);
    assert_eq!(rows(&laptop, &["-R"]).last().unwrap(), "here Work/deep/er.txt");
    let text = laptop.command(&["ls", "-l", work]).done();
    let notes = text.lines().find(|line| line.ends_with("Notes.md")).unwrap();
    assert!(notes.starts_with("here            12 B  today "), "{text}");
    assert_eq!(laptop.command(&["ls", &format!("{work}/Notes.md")]).done(), "here       Notes.md\n");
    assert_eq!(complaint(&laptop.command(&["ls", &format!("{work}/none")])), complained(4, "E-NOT-FOUND"));

    // A file that may not be read is a problem, with its reason.
    laptop.write("closed.txt", "x");
    laptop.set_mode("closed.txt", 0);
    laptop.wait_with_problems();
    let answer = laptop.command(&["ls", "--json", laptop.path("closed.txt").to_str().unwrap()]).json();
    assert_eq!(answer["entries"][0]["state"], "problem");
    assert!(answer["entries"][0]["reason"].as_str().unwrap().contains("E-CANNOT-READ"), "{answer}");
    laptop.stop();
    assert_eq!(complaint(&laptop.command(&["ls"])), complained(3, "E-DAEMON-OFF"));
    assert_eq!(complaint(&laptop.command(&["conflicts"])), complained(3, "E-DAEMON-OFF"));
}

#[test]
fn a_pause_stops_both_directions_outlives_a_restart_and_ends() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    desktop.write("before.txt", "1");
    settle(&laptop, &desktop);
    laptop.command(&["pause", "--for", "2h"]).done();
    let status = laptop.status();
    assert_eq!(status["state"], "paused");
    assert!(status["paused"].as_str().is_some_and(|until| until.ends_with('Z')), "{status}");
    assert!(laptop.command(&["status"]).done().starts_with("‖ Paused until "));
    assert_eq!(laptop.command(&["status", "--check"]).code, 0);
    assert_eq!(complaint(&laptop.command(&["sync", "wait"])), complained(7, "E-PAUSED"));
    laptop.write("mine.txt", "waits");
    desktop.write("theirs.txt", "waits too");
    desktop.wait();
    laptop.stop();
    laptop.start();
    assert_eq!(complaint(&laptop.command(&["sync", "wait"])), complained(7, "E-PAUSED"));
    // Watching goes on: the file is known, and read, but not sent.
    let path = laptop.path("mine.txt");
    let state = || laptop.command(&["status", path.to_str().unwrap(), "--json"]).json()["state"].clone();
    until("the file is seen", || (state() == "sending").then_some(()));
    let sent = || server.journal().iter().any(|entry| entry.state.place.name.display() == "mine.txt");
    assert!(!sent() && laptop.read("theirs.txt").is_none());
    laptop.command(&["resume"]).done();
    settle(&laptop, &desktop);
    assert!(sent() && laptop.read("theirs.txt").is_some());

    // A pause that only a person ends, begun while the daemon is off; and one that ends by itself.
    laptop.stop();
    assert_eq!(laptop.command(&["pause", "--json"]).json()["until"], Value::Null);
    laptop.start();
    until("the daemon runs", || (laptop.status()["paused"] == "resumed").then_some(()));
    laptop.command(&["pause", "--for", "1ms"]).done();
    settle(&laptop, &desktop);
    assert_eq!(laptop.status()["paused"], Value::Null);
}

#[test]
fn the_log_tells_what_happened_here_also_before_a_restart() {
    let server = Server::start();
    let (mut laptop, mut desktop) = server.two_computers();
    two_versions(&laptop, &mut desktop, "d/a.txt");
    std::fs::rename(laptop.path("d/a.txt"), laptop.path("b.txt")).unwrap();
    settle(&laptop, &desktop);
    std::fs::remove_file(laptop.path("b.txt")).unwrap();
    settle(&laptop, &desktop);
    desktop.stop();
    desktop.start();
    laptop.write("closed.txt", "x");
    laptop.set_mode("closed.txt", 0);
    laptop.wait_with_problems();
    laptop.set_mode("closed.txt", 0o600);
    laptop.wait();
    let lines = |computer: &Computer, rest: &[&str]| -> Vec<String> {
        let answer = computer.command(&[&["log", "--json", "-n", "1000"], rest].concat()).json();
        let lines = answer["activities"].as_array().unwrap();
        assert!(lines.windows(2).all(|pair| pair[0]["number"].as_u64() < pair[1]["number"].as_u64()), "{answer}");
        let text = |line: &Value| ["what", "path", "detail"].map(|field| line[field].as_str().unwrap()).join("|");
        lines.iter().map(text).collect()
    };
    let shows = |computer: &Computer, expected: &[&str]| {
        until(&format!("{expected:?} in {:?}", lines(computer, &[])), || {
            let lines = lines(computer, &[]);
            let mut rest = lines.iter();
            expected.iter().all(|line| rest.any(|found| found.starts_with(line))).then_some(())
        });
    };
    shows(
        &laptop,
        &["connected||", "sent|d/a.txt|", "received|d/a (two versions, desktop, ", "sent_move|b.txt|d/a.txt"],
    );
    shows(
        &laptop,
        &["sent_deletion|b.txt|", "problem|closed.txt|E-CANNOT-READ", "problem_over|closed.txt|", "sent|closed.txt|"],
    );
    shows(&desktop, &["received|d/a.txt|", "conflict|d/a (two versions, desktop, ", "sent|d/a (two versions"]);
    shows(&desktop, &["received_move|b.txt|d/a.txt", "received_deletion|b.txt|", "connected||"]);
    let of_b = lines(&laptop, &["--path", laptop.path("b.txt").to_str().unwrap()]);
    assert_eq!(of_b, ["sent_move|b.txt|d/a.txt", "sent_deletion|b.txt|"]);
    // The file is read where the daemon is off; following needs it.
    laptop.stop();
    assert!(laptop.command(&["log", "-n", "1"]).done().contains("closed.txt"));
    assert_eq!(complaint(&laptop.command(&["log", "-f", "-n", "0"])), complained(3, "E-DAEMON-OFF"));
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let mut server = Server::start();
    let mut laptop = server.stranger("laptop");
    let names = |computer: &Computer, code: i32| -> Vec<String> {
        let answer = computer.command(&["doctor", "--json"]);
        assert_eq!(answer.code, code, "{answer:?}");
        let report = answer.json();
        assert_eq!((&report["schema"], &report["ok"]), (&1.into(), &Value::Bool(code == 0)));
        let bad = report["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        bad.map(|check| format!("{} {}", check["name"].as_str().unwrap(), check["code"].as_str().unwrap())).collect()
    };
    assert_eq!(names(&laptop, 8), ["configuration E-NOT-JOINED"]);
    laptop.join(&server).done();
    assert_eq!(names(&laptop, 8), ["service E-DAEMON-OFF"]);
    laptop.start();
    laptop.wait();
    assert_eq!(names(&laptop, 0), Vec::<String>::new());
    assert!(laptop.command(&["doctor"]).done().lines().all(|line| line.starts_with("OK   ")));
    server.kill();
    assert_eq!(names(&laptop, 8), ["equality E-NOT-COMPARED", "server E-UNREACHABLE"]);
    laptop.stop();
    std::fs::rename(laptop.path(".skep"), laptop.path("gone")).unwrap();
    assert_eq!(names(&laptop, 8), ["folder E-ROOT-MISSING", "service E-DAEMON-OFF", "server E-UNREACHABLE"]);
}

#[test]
fn the_service_starts_stops_and_describes_itself() {
    let server = Server::start();
    let laptop = server.stranger("laptop");
    laptop.join(&server).done();
    laptop.command_with_all_rights(&["daemon", "start"]).done();
    let pid = || laptop.command(&["daemon", "status", "--json"]).json()["pid"].clone();
    let first = pid();
    laptop.command_with_all_rights(&["daemon", "restart"]).done();
    assert!(pid().is_u64() && pid() != first);
    laptop.command(&["daemon", "stop"]).done();
    assert_eq!(laptop.command(&["daemon", "status"]).code, 3);
    let unit = laptop.command(&["daemon", "install", "--print"]).done();
    let line = format!("--home \"{}\" daemon run", laptop.home.display());
    assert!(unit.lines().any(|found| found.starts_with("ExecStart=\"/") && found.ends_with(&line)), "{unit}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(laptop.command(&["completions", shell]).done().contains("conflicts"), "{shell}");
    }
}

#[test]
fn two_versions_need_a_person_until_somebody_has_chosen() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    let copy = two_versions(&laptop, &mut desktop, "d/a.txt");
    for computer in [&laptop, &desktop] {
        let status = computer.status();
        let problem = &status["problems"][0];
        assert_eq!((&status["state"], &status["folders"][0]["state"]), (&"attention".into(), &"up_to_date".into()));
        assert_eq!((&problem["code"], &problem["path"]), (&"E-TWO-VERSIONS".into(), &"d/a.txt".into()));
        assert_eq!(problem["hint"], "skep conflicts show 1");
        assert!(problem["since"].is_string() && problem["message"].as_str().unwrap().contains(&copy[2..]), "{problem}");
        let text = computer.command(&["status"]).done();
        assert!(text.starts_with("▲ 1 thing needs you   everything else (2 files) is up to date"), "{text}");
        assert_eq!(computer.command(&["status", "--check"]).code, 7);
        assert_eq!(complaint(&computer.command(&["sync", "wait"])), complained(7, "E-NEEDS-YOU"));
        let waited = computer.command(&["sync", "wait", "--json"]);
        assert_eq!((waited.code, &waited.json()["outcome"]), (7, &"needs_person".into()));
    }
    // A start finds it again; it ends when the copy goes, here or on the other computer.
    desktop.stop();
    desktop.start();
    desktop.wait();
    assert_eq!(desktop.problems(), ["E-TWO-VERSIONS d/a.txt"]);
    std::fs::remove_file(laptop.path(&copy)).unwrap();
    for computer in [&laptop, &desktop] {
        until("nothing needs a person", || (computer.command(&["sync", "wait"]).code == 0).then_some(()));
        assert!(computer.command(&["status"]).done().starts_with("● Up to date"));
        assert_eq!((computer.problems(), computer.command(&["status", "--check"]).code), (vec![], 0));
    }
    // Or when one is chosen.
    two_versions(&laptop, &mut desktop, "b.txt");
    assert_eq!(laptop.command(&["status", "--check"]).code, 7);
    resolve(&laptop, "b.txt", "both").done();
    assert_eq!(laptop.command(&["sync", "wait"]).code, 0);
    assert_eq!(laptop.command(&["status", "--check"]).code, 0);
}
