//! What `.skepignore` says is not synced, and never deleted for it.

use std::fs;

use crate::rig::{Computer, Server, settle, until};

/// `skep ignore check PATH --json`.
fn check(computer: &Computer, path: &str) -> serde_json::Value {
    computer.command(&["ignore", "check", computer.path(path).to_str().unwrap(), "--json"]).json()
}

/// The paths that `skep ignore` lists.
fn ignored(computer: &Computer) -> Vec<String> {
    computer.command(&["ignore"]).done().lines().map(str::to_owned).collect()
}

#[test]
fn what_is_ignored_is_neither_sent_nor_fetched_nor_deleted() {
    let server = Server::start();
    let (laptop, mut desktop) = server.two_computers();
    laptop.write("web/node_modules/left-pad/index.js", "module.exports = 1");
    laptop.write("web/app.js", "main");
    laptop.write("notes.log", "was synced before");
    settle(&laptop, &desktop);

    // A rule that comes later: what was synced stays everywhere, and is nobody else's business from then on.
    laptop.write(".skepignore", "# comments\n*.log\nnode_modules/\n!keep.log\n");
    until("the rule comes to the desktop", || desktop.read(".skepignore"));
    laptop.wait();
    desktop.wait();
    laptop.write("notes.log", "changed on the laptop");
    laptop.write("new.log", "only on the laptop");
    laptop.write("keep.log", "kept");
    fs::remove_dir_all(desktop.path("web/node_modules")).unwrap();
    laptop.wait();
    desktop.wait();
    assert_eq!(desktop.read("keep.log").unwrap(), b"kept");
    assert_eq!(desktop.read("notes.log").unwrap(), b"was synced before");
    assert_eq!(desktop.read("new.log"), None);
    assert!(laptop.path("web/node_modules/left-pad/index.js").exists());
    assert_eq!(ignored(&laptop), ["new.log", "notes.log", "web/node_modules/"]);
    assert_eq!(ignored(&desktop), ["notes.log"]);
    assert_eq!(laptop.status()["folders"][0]["ignored"], 3);
    assert!(laptop.command(&["status"]).done().contains("ignored: 3"));

    // A new computer does not fetch it; a restart finds nothing to do.
    let newcomer = server.computer("newcomer");
    newcomer.wait();
    assert_eq!(newcomer.read("web/app.js").unwrap(), b"main");
    assert!(!newcomer.path("notes.log").exists() && !newcomer.path("web/node_modules").exists());
    let entries = server.journal().len();
    desktop.stop();
    desktop.start();
    desktop.wait();
    assert_eq!(server.journal().len(), entries);

    // The directory goes on one computer: elsewhere what is ignored stays, and it does not come back.
    desktop.write("web/node_modules/mine.js", "mine");
    fs::remove_dir_all(laptop.path("web")).unwrap();
    laptop.wait();
    until("the desktop follows", || (!desktop.path("web/app.js").exists()).then_some(()));
    desktop.wait();
    assert_eq!(desktop.read("web/node_modules/mine.js").unwrap(), b"mine");
    assert!(!laptop.path("web").exists());

    // The rule goes: all meet again.
    fs::remove_file(laptop.path(".skepignore")).unwrap();
    until("the rules are gone", || (!desktop.path(".skepignore").exists()).then_some(()));
    settle(&laptop, &desktop);
    newcomer.wait();
    assert_eq!(newcomer.read("new.log").unwrap(), b"only on the laptop");
    // The laptop made that file, so what it says of it later is an edit. The desktop has an old version: if it meets the server's first, nothing is
    // to be kept; else that one is.
    assert_eq!(newcomer.read("notes.log").unwrap(), b"changed on the laptop");
    for copy in crate::tree::conflict_copies(&newcomer.folder) {
        assert!(copy.starts_with("notes (two versions, "), "{copy}");
        assert_eq!(newcomer.read(&copy).unwrap(), b"was synced before");
    }
}

#[test]
fn ignore_check_tells_file_line_and_pattern_and_a_bad_line_is_a_problem() {
    let server = Server::start();
    let laptop = server.computer("laptop");
    laptop.write("Project/.skepignore", "build/\n*.o\n!main.o\n");
    laptop.write("Project/build/out", "");
    laptop.write("Project/main.o", "");
    laptop.write("~$Report.docx", "");
    laptop.wait();
    let text = laptop.command(&["ignore", "check", laptop.path("Project/build/out").to_str().unwrap()]);
    assert_eq!(
        text.done(),
        "Project/build/out   ignored\n  Project/.skepignore line 1: build/   (of `Project/build`, which holds it)\n"
    );
    let rule = &check(&laptop, "Project/deeper/x.o")["rule"];
    assert_eq!(
        (&rule["file"], &rule["line"], &rule["pattern"]),
        (&"Project/.skepignore".into(), &2.into(), &"*.o".into())
    );
    let kept = check(&laptop, "Project/main.o");
    assert_eq!((&kept["ignored"], &kept["rule"]["line"]), (&false.into(), &3.into()));
    assert_eq!(check(&laptop, "other.txt")["rule"], serde_json::Value::Null);
    assert_eq!(check(&laptop, "~$Report.docx")["rule"]["file"], serde_json::Value::Null);
    assert_eq!(laptop.command(&["ignore", "check", laptop.path("other.txt").to_str().unwrap()]).code, 4);
    let why = laptop.command(&["status", laptop.path("Project/build/out").to_str().unwrap(), "--json"]).json();
    assert_eq!(why["state"], "ignored");

    // A bad line is told with its file and number; the others count.
    assert_eq!(laptop.command(&["ignore", "add", "a[b"]).code, 2);
    laptop.command(&["ignore", "add", "/private"]).done();
    laptop.write("private/diary", "mine");
    until("the rule counts", || (check(&laptop, "private")["ignored"] == true).then_some(()));
    laptop.wait();
    laptop.write(".skepignore", "/private\na[b\n");
    until("the bad line is told", || laptop.problems().first().cloned());
    assert_eq!(laptop.wait_with_problems(), ["E-IGNORE-RULE .skepignore"]);
    let problem = &laptop.status()["problems"][0];
    assert!(problem["message"].as_str().unwrap().contains("line 2"), "{problem}");
    laptop.write(".skepignore", "/private\n");
    until("it is corrected", || laptop.problems().is_empty().then_some(()));
    laptop.wait();
    assert!(server.files_named("diary").is_empty() && server.files_named("out").is_empty());
}
