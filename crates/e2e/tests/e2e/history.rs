//! The past: versions, the trash, the safe, rewinding; with the background service running and without it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use skep_types::Entry;

use crate::asking::{complained, complaint};
use crate::rig::{Answer, Computer, Server, USER, noise, settle};
use crate::tree::tree;

/// What `skep history` lists of a path, newest first.
#[track_caller]
fn versions(computer: &Computer, path: &str) -> Vec<Value> {
    let answer = computer.command(&["history", "--json", computer.path(path).to_str().unwrap()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let listed = answer.json();
    assert_eq!((&listed["schema"], &listed["path"]), (&1.into(), &path.into()));
    listed["versions"].as_array().unwrap().clone()
}

fn whats(versions: &[Value]) -> Vec<&str> {
    versions.iter().map(|version| version["what"].as_str().unwrap()).collect()
}

fn on(computer: &Computer, verb: &[&str], path: &str, rest: &[&str]) -> Answer {
    let path = computer.path(path);
    computer.command(&[verb, &[path.to_str().unwrap()], rest].concat())
}

#[track_caller]
fn restored(answer: &Answer) -> String {
    assert_eq!(answer.code, 0, "{answer:?}");
    answer.json()["restored"].as_str().unwrap().to_owned()
}

/// The entries of the only file that ever had a name.
fn only_file(server: &Server, name: &str) -> Vec<Entry> {
    let mut files = server.files_named(name);
    assert_eq!(files.len(), 1, "{name}");
    files.remove(0)
}

#[test]
fn an_old_version_becomes_the_newest_and_none_is_lost() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let (first, second) = (noise(3_000_000, 1), noise(2_000_000, 2));
    laptop.write("d/old.bin", &first);
    settle(&laptop, &desktop);
    desktop.write("d/old.bin", &second);
    settle(&laptop, &desktop);
    fs::rename(laptop.path("d/old.bin"), laptop.path("d/a.bin")).unwrap();
    laptop.set_mode("d/a.bin", 0o755);
    settle(&laptop, &desktop);
    laptop.write("d/a.bin", "third");
    settle(&laptop, &desktop);

    let told = versions(&laptop, "d/a.bin");
    let words = whats(&told);
    assert_eq!((words[0], *words.last().unwrap()), ("edited", "created"), "{words:?}");
    assert!(
        words.contains(&"renamed from old.bin") || words.iter().any(|word| word.starts_with("renamed from old.bin,"))
    );
    let of_desktop = told.iter().find(|version| version["device"] == "desktop").unwrap();
    assert_eq!(
        (&of_desktop["user"], &of_desktop["size"], &of_desktop["now"]),
        (&USER.into(), &2_000_000.into(), &false.into())
    );
    assert_eq!((&told[0]["size"], &told[0]["now"], &told[0]["device"]), (&5.into(), &true.into(), &"laptop".into()));
    let text = laptop.command(&["history", laptop.path("d/a.bin").to_str().unwrap()]).done();
    assert!(text.contains("maya (desktop)") && text.contains("<- now"), "{text}");

    // The computer that made the present version brings an old one back, its service running: it must not be taken for an edit of its own.
    let oldest = told.last().unwrap()["version"].to_string();
    assert_eq!(restored(&on(&laptop, &["restore", "--json"], "d/a.bin", &["--version", &oldest])), "d/a.bin");
    settle(&laptop, &desktop);
    for computer in [&laptop, &desktop] {
        assert!(computer.read("d/a.bin").unwrap() == first, "the first version is back");
        assert!(
            fs::metadata(computer.path("d/a.bin")).unwrap().permissions().mode() & 0o100 != 0,
            "the mode is of now"
        );
    }
    assert!(crate::tree::conflict_copies(&laptop.folder).is_empty());
    let now = versions(&desktop, "d/a.bin");
    assert_eq!(
        (now.len(), whats(&now)[0], &now[0]["by_hand"], &now[0]["device"]),
        (told.len() + 1, "restored", &true.into(), &"laptop".into())
    );
    let again = on(&desktop, &["restore", "--json"], "d/a.bin", &["--version", &oldest]).json();
    assert_eq!(again["changed"], false, "{again}");
    // And what was there can be brought back in turn, by its time.
    let time = told[0]["time"].as_str().unwrap();
    restored(&on(&desktop, &["restore", "--json"], "d/a.bin", &["--at", time]));
    settle(&laptop, &desktop);
    assert_eq!(laptop.read("d/a.bin").unwrap(), b"third");

    // A copy beside.
    let out = server.scratch("copy.bin");
    let desktops = of_desktop["version"].to_string();
    let get = |rest: &[&str]| on(&laptop, &["get"], "d/a.bin", &[rest, &["-o", out.to_str().unwrap()]].concat());
    get(&["--version", &desktops]).done();
    assert!(fs::read(&out).unwrap() == second);
    assert_eq!(complaint(&get(&[])), complained(9, "E-EXISTS"));
    assert_eq!(on(&laptop, &["get"], "d/a.bin", &["-o", "-"]).done(), "third");
    assert_eq!(
        complaint(&on(&laptop, &["get"], "d/a.bin", &["--version", "99999", "-o", "-"])),
        complained(4, "E-NOT-FOUND")
    );
    // What is there needs the word which version.
    assert_eq!(complaint(&on(&laptop, &["restore"], "d/a.bin", &[])), complained(2, "E-USAGE"));
    assert_eq!(complaint(&on(&laptop, &["restore"], "d/a.bin", &["--at", "soon"])), complained(2, "E-USAGE"));
    assert_eq!(complaint(&on(&laptop, &["history"], "d/none", &[])), complained(4, "E-NOT-FOUND"));
    assert_eq!(server.command(&["fsck"], "").code, 0);
}

#[test]
fn what_was_deleted_comes_back_with_its_history_and_displaces_nothing() {
    let server = Server::start();
    let (mut laptop, desktop) = server.two_computers();
    for (path, text) in [("a.txt", "one"), ("d/b.txt", "bee"), ("d/sub/c.txt", "sea"), ("d/sub/e.txt", "ease")] {
        laptop.write(path, text);
    }
    settle(&laptop, &desktop);
    laptop.write("a.txt", "second");
    settle(&laptop, &desktop);
    fs::remove_file(desktop.path("a.txt")).unwrap();
    fs::remove_dir_all(desktop.path("d")).unwrap();
    settle(&laptop, &desktop);

    let listed = laptop.command(&["trash", "--json"]).json();
    let paths = |listed: &Value| -> Vec<String> {
        let items = listed["items"].as_array().unwrap().iter();
        items.map(|item| item["path"].as_str().unwrap().to_owned()).collect()
    };
    let mut deleted = paths(&listed);
    deleted.sort();
    assert_eq!(deleted, ["a.txt", "d"], "a directory is one item");
    assert!(listed["items"].as_array().unwrap().iter().all(|item| item["device"] == "desktop"), "{listed}");
    assert_eq!(paths(&laptop.command(&["trash", "ls", "--search", "C.TX", "--json"]).json()), ["d/sub/c.txt"]);
    assert_eq!(whats(&versions(&laptop, "a.txt"))[..2], ["deleted", "edited"]);

    // Without the background service; the whole file with its history.
    laptop.stop();
    let answer = on(&laptop, &["restore"], "a.txt", &[]);
    assert!(answer.err.contains("Restored: a.txt") && answer.err.contains("service is off"), "{answer:?}");
    // One file of a deleted directory: the directories above it are made, the rest stays where it is.
    assert_eq!(restored(&on(&laptop, &["restore", "--json"], "d/sub/c.txt", &[])), "d/sub/c.txt");
    laptop.start();
    settle(&laptop, &desktop);
    assert_eq!(
        (laptop.read("a.txt").unwrap(), laptop.read("d/sub/c.txt").unwrap()),
        (b"second".to_vec(), b"sea".to_vec())
    );
    assert_eq!((laptop.read("d/sub/e.txt"), laptop.read("d/b.txt")), (None, None));
    only_file(&server, "a.txt");
    only_file(&server, "c.txt");

    // Something else has the name by now: beside it, file and directory.
    assert_eq!(complaint(&on(&laptop, &["restore"], "d", &[])).0, 2, "a live directory is not what was deleted");
    assert_eq!(restored(&laptop.command(&["trash", "restore", "d", "--json"])), "d (restored)");
    fs::remove_file(laptop.path("a.txt")).unwrap();
    settle(&laptop, &desktop);
    laptop.write("a.txt", "another");
    settle(&laptop, &desktop);
    assert_eq!(restored(&on(&laptop, &["restore", "--trash", "--json"], "a.txt", &[])), "a (restored).txt");
    settle(&laptop, &desktop);
    assert_eq!(
        (laptop.read("a.txt").unwrap(), laptop.read("a (restored).txt").unwrap()),
        (b"another".to_vec(), b"second".to_vec())
    );
    assert_eq!(laptop.read("d (restored)/b.txt").unwrap(), b"bee");
    assert_eq!(laptop.read("d (restored)/sub/e.txt").unwrap(), b"ease");
    assert_eq!(paths(&laptop.command(&["trash", "--json"]).json()), Vec::<String>::new());
    assert_eq!(complaint(&laptop.command(&["trash", "restore", "a.txt"])), complained(4, "E-NOT-FOUND"));

    // An old version of a deleted file.
    let first = versions(&laptop, "a (restored).txt").last().unwrap()["version"].to_string();
    fs::remove_file(laptop.path("a (restored).txt")).unwrap();
    settle(&laptop, &desktop);
    restored(&on(&desktop, &["restore", "--json"], "a (restored).txt", &["--version", &first]));
    settle(&laptop, &desktop);
    assert_eq!(laptop.read("a (restored).txt").unwrap(), b"one");
    assert_eq!(server.command(&["fsck"], "").code, 0);
}

#[test]
fn what_gave_way_on_this_computer_comes_out_of_the_safe() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("d/b.txt", "");
    for text in ["one", "the second", "number three"] {
        // In one step: a file that is written in its place is empty for a moment, and that would be a version, too.
        let new = server.scratch("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, laptop.path("d/a.txt")).unwrap();
        settle(&laptop, &desktop);
    }
    let listed = desktop.command(&["trash", "ls", "--safe", "--json"]).json();
    let safe: Vec<(&str, u64)> = listed["safe"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["version"].as_str().unwrap(), entry["size"].as_u64().unwrap()))
        .collect();
    assert_eq!(safe, [("safe1", 10), ("safe2", 3)]);
    // The server has both as versions, so a history does not repeat them.
    assert_eq!(on(&desktop, &["history", "--json"], "d/a.txt", &[]).json()["safe"], Value::Array(vec![]));
    assert_eq!(on(&desktop, &["get"], "d/a.txt", &["--version", "safe2", "-o", "-"]).done(), "one");
    let beside = restored(&on(&desktop, &["restore", "--json"], "d/a.txt", &["--version", "safe2"]));
    assert_eq!(beside, "d/a (restored).txt");
    settle(&laptop, &desktop);
    assert_eq!(
        (laptop.read(&beside).unwrap(), laptop.read("d/a.txt").unwrap()),
        (b"one".to_vec(), b"number three".to_vec())
    );
    // Without directory and server.
    fs::remove_dir_all(laptop.path("d")).unwrap();
    settle(&laptop, &desktop);
    let mut server = server;
    server.stop();
    // The deletion put two more into the safe.
    let newest = on(&desktop, &["restore", "--json"], "d/a.txt", &["--version", "safe1"]);
    assert_eq!(restored(&newest), "d/a.txt");
    assert_eq!(desktop.read("d/a.txt").unwrap(), b"number three");
    assert_eq!(
        complaint(&on(&desktop, &["restore"], "d/a.txt", &["--version", "safe9"])),
        complained(4, "E-NOT-FOUND")
    );
    assert_eq!(complaint(&on(&desktop, &["history"], "d/a.txt", &[])).0, 3);
}

#[test]
fn a_directory_goes_back_to_how_it_was_and_forward_again() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    for (path, text) in [
        ("p/edited.txt", "before"),
        ("p/deleted.txt", "gone"),
        ("p/renamed.txt", "name"),
        ("p/dir/in.txt", "in"),
        ("p/left/l.txt", "left"),
        ("p/one", "1"),
        ("p/two", "2"),
        ("other/stays.txt", "stays"),
        ("other/came.txt", "came"),
    ] {
        laptop.write(path, text);
    }
    std::os::unix::fs::symlink("before", laptop.path("p/link")).unwrap();
    settle(&laptop, &desktop);
    let before = tree(&laptop.folder);
    let last = server.journal().last().unwrap().seq.0;
    let time = versions_of_last(&laptop, &server, last);

    laptop.write("p/edited.txt", "afterwards");
    fs::remove_file(laptop.path("p/deleted.txt")).unwrap();
    fs::rename(laptop.path("p/renamed.txt"), laptop.path("p/another.txt")).unwrap();
    laptop.set_mode("p/another.txt", 0o755);
    settle(&laptop, &desktop);
    fs::remove_dir_all(laptop.path("p/dir")).unwrap();
    settle(&laptop, &desktop);
    laptop.write("p/dir", "a file where a directory was");
    fs::rename(laptop.path("p/left"), laptop.path("left")).unwrap();
    fs::rename(laptop.path("other/came.txt"), laptop.path("p/came.txt")).unwrap();
    fs::rename(laptop.path("p/one"), laptop.path("p/three")).unwrap();
    fs::rename(laptop.path("p/two"), laptop.path("p/one")).unwrap();
    fs::rename(laptop.path("p/three"), laptop.path("p/two")).unwrap();
    laptop.write("p/new/made.txt", "made since");
    fs::remove_file(laptop.path("p/link")).unwrap();
    std::os::unix::fs::symlink("after", laptop.path("p/link")).unwrap();
    laptop.write("other/stays.txt", "changed, and not beneath");
    settle(&laptop, &desktop);
    let after = tree(&laptop.folder);

    let dry = on(&laptop, &["rewind", "--json"], "p", &["--at", &time, "--dry-run"]).json();
    let becomes = |path: &str| {
        let changes = dry["changes"].as_array().unwrap();
        changes.iter().find(|change| change["path"] == path).unwrap_or_else(|| panic!("{path}: {dry}"))["becomes"]
            .clone()
    };
    assert_eq!(
        [becomes("p/edited.txt"), becomes("p/deleted.txt"), becomes("p/new")],
        ["as it was", "comes back", "to trash"]
    );
    assert_eq!(tree(&laptop.folder), after, "a dry run changes nothing");
    assert!(on(&laptop, &["rewind"], "p", &["--at", &time, "--dry-run"]).err.contains("Nothing was changed."));

    let done = on(&laptop, &["rewind", "--json"], "p", &["--at", &time]).json();
    assert_eq!(done["left"], 0, "{done}");
    settle(&laptop, &desktop);
    let mut expected = before;
    let stays = "other/stays.txt";
    expected.insert(stays.into(), tree(&desktop.folder).remove(std::path::Path::new(stays)).unwrap());
    assert_eq!(tree(&laptop.folder), expected);
    assert_eq!(laptop.read(stays).unwrap(), b"changed, and not beneath");

    // Undone by what it printed, from the other computer, whose service is asked for nothing.
    let undo = done["undo"].as_str().unwrap();
    let at = undo.split(" --at ").nth(1).unwrap();
    let undone = on(&desktop, &["rewind", "--json"], "p", &["--at", at]).json();
    assert_eq!(undone["left"], 0, "{undone}");
    settle(&laptop, &desktop);
    assert_eq!(tree(&laptop.folder), after);
    assert_eq!(complaint(&on(&laptop, &["rewind"], "p/edited.txt", &["--at", "2h"])).0, 2);
    assert_eq!(complaint(&on(&laptop, &["rewind"], "p", &["--at", "2h ago or so"])), complained(2, "E-USAGE"));
    assert_eq!(server.command(&["fsck"], "").code, 0);
}

/// The time of the last entry, as the history of the file that it changed tells it.
fn versions_of_last(computer: &Computer, server: &Server, last: u64) -> String {
    let entry = server.journal().into_iter().find(|entry| entry.seq.0 == last).unwrap();
    let times: Vec<String> = crate::tree::tree(&computer.folder)
        .into_keys()
        .filter(|path| path.file_name().unwrap().to_str() == Some(&entry.state.place.name.display()))
        .flat_map(|path| versions(computer, path.to_str().unwrap()))
        .filter(|version| version["version"] == last)
        .map(|version| version["time"].as_str().unwrap().to_owned())
        .collect();
    times[0].clone()
}
