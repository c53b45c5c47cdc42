//! Programs that work in a synced folder: databases, version control, archives, compilers, logs.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use crate::rig::{Computer, Server, noise, run, settle, until};
use crate::tree::{conflict_copies, tree};

/// Runs a program in a directory; it must succeed.
#[track_caller]
fn program(directory: &Path, line: &[&str]) -> String {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(directory);
    // What the person who runs the tests has configured is nothing to them.
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("TZ", "UTC")]);
    run(command, "").done()
}

#[test]
fn a_database_that_is_written_while_it_is_synced_opens_with_all_of_it() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    for journal_mode in ["wal", "delete"] {
        let file = format!("{journal_mode}.db");
        let setup = format!("pragma journal_mode={journal_mode}; create table lines (number, text);");
        program(&laptop.folder, &["sqlite3", &file, &setup]);
        for number in 0..40 {
            let insert = format!("insert into lines values ({number}, hex(randomblob(3000)));");
            program(&laptop.folder, &["sqlite3", &file, &insert]);
        }
    }
    settle(&laptop, &desktop);
    for file in ["wal.db", "delete.db"] {
        let check = "pragma integrity_check; select count(*), sum(number) from lines;";
        assert_eq!(program(&desktop.folder, &["sqlite3", file, check]), "ok\n40|780\n");
        program(&desktop.folder, &["sqlite3", file, "delete from lines where number % 2 = 0; vacuum;"]);
    }
    settle(&laptop, &desktop);
    for file in ["wal.db", "delete.db"] {
        let check = "pragma integrity_check; select count(*), sum(number) from lines;";
        assert_eq!(program(&laptop.folder, &["sqlite3", file, check]), "ok\n20|400\n");
        assert_eq!(server.files_named(file).len(), 1, "one file with many versions");
    }
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

fn commit(repository: &Path, number: usize) {
    for file in 0..4 {
        fs::write(repository.join(format!("{file}.txt")), noise(100 + file * 900, (number * 10 + file) as u64))
            .unwrap();
    }
    program(repository, &["git", "add", "-A"]);
    let line = ["git", "-c", "user.name=Maya", "-c", "user.email=maya@example.org", "commit", "-q", "-m"];
    program(repository, &[&line[..], &[&format!("Commit {number}")]].concat());
}

#[test]
fn a_repository_stays_whole_through_commits_branches_and_collections() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let here = laptop.path("repository");
    fs::create_dir(&here).unwrap();
    program(&here, &["git", "init", "-q", "-b", "main"]);
    (0..10).for_each(|number| commit(&here, number));
    program(&here, &["git", "checkout", "-q", "-b", "other", "HEAD~5"]);
    commit(&here, 10);
    for _ in 0..5 {
        program(&here, &["git", "checkout", "-q", "main"]);
        program(&here, &["git", "checkout", "-q", "other"]);
    }
    program(&here, &["git", "gc", "-q", "--prune=now"]);
    commit(&here, 11);
    settle(&laptop, &desktop);
    let there = desktop.path("repository");
    for side in [&here, &there] {
        program(side, &["git", "fsck", "--full", "--strict"]);
        assert_eq!(program(side, &["git", "status", "--porcelain"]), "");
    }
    assert_eq!(program(&there, &["git", "rev-list", "--all"]), program(&here, &["git", "rev-list", "--all"]));

    // The other computer goes on with it, once it has seen the lock of the last command here come and go.
    settle(&laptop, &desktop);
    program(&there, &["git", "checkout", "-q", "main"]);
    commit(&there, 12);
    program(&there, &["git", "gc", "-q", "--aggressive", "--prune=now"]);
    settle(&laptop, &desktop);
    program(&here, &["git", "fsck", "--full", "--strict"]);
    assert_eq!(program(&here, &["git", "log", "-1", "--format=%s %D"]), "Commit 12 HEAD -> main\n");
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

#[test]
fn archives_copies_and_builds_arrive_as_they_are() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let source = server.scratch("source");
    for number in 0..200 {
        let path = source.join(format!("{}/{}/{number}.c", number % 5, number % 3));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("int f{number}(void) {{ return {number}; }}\n")).unwrap();
    }
    std::os::unix::fs::symlink("0/0/0.c", source.join("link")).unwrap();
    program(&source, &["tar", "-cf", "../a.tar", "."]);
    program(&source, &["zip", "-q", "-r", "-y", "../a.zip", "."]);
    for directory in ["tar", "zip"] {
        fs::create_dir(laptop.path(directory)).unwrap();
    }
    let (archives, folder) = (server.scratch(""), laptop.folder.to_str().unwrap().to_owned());
    program(&archives, &["tar", "-xf", "a.tar", "-C", &format!("{folder}/tar")]);
    program(&archives, &["unzip", "-q", "a.zip", "-d", &format!("{folder}/zip")]);
    program(&archives, &["rsync", "-a", "source/", &format!("{folder}/rsync")]);
    fs::remove_dir_all(source.join("1")).unwrap();
    fs::write(source.join("0/0/0.c"), "int changed;\n").unwrap();
    program(&archives, &["rsync", "-a", "--delete", "source/", &format!("{folder}/rsync")]);
    settle(&laptop, &desktop);
    assert!(tree(&desktop.path("rsync")) == tree(&source));
    assert_eq!(tree(&desktop.path("tar")).len(), tree(&desktop.path("zip")).len());

    build(&laptop);
    settle(&laptop, &desktop);
    let built = Command::new(desktop.path("tar/program")).status().unwrap();
    assert_eq!(built.code(), Some(7));
    assert_eq!(conflict_copies(&laptop.folder), [""; 0]);
}

/// Compiles to object files, links them, cleans up and does it again, as builds do.
fn build(computer: &Computer) {
    let directory = computer.path("tar");
    fs::write(directory.join("main.c"), "int f7(void); int main(void) { return f7(); }\n").unwrap();
    for round in 0..3 {
        let script = format!("for c in main.c 2/1/7.c */*/1?.c; do cc -c -O{round} $c -o $c.o || exit 1; done");
        program(&directory, &["sh", "-c", &script]);
        program(&directory, &["sh", "-c", "cc -o program main.c.o */*/*.o && rm main.c.o */*/*.o"]);
    }
}

#[test]
fn a_save_that_takes_its_time_is_not_shown_before_it_is_done() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("known.txt", "the first text");
    settle(&laptop, &desktop);
    let (before, after) = ("half of a text, ".repeat(64), "and the other half".repeat(64));
    for (name, shown) in [("known.txt", Some(b"the first text".to_vec())), ("new.txt", None)] {
        // A program cuts the file off, thinks, writes a half and thinks again.
        let file = File::create(laptop.path(name)).unwrap();
        for (round, written) in ["", &before].into_iter().enumerate() {
            let beside = format!("beside {name} {round}");
            laptop.write("beside.txt", &beside);
            until("the file beside arrives", || {
                // However slow this machine is, the program is still at it.
                file.set_len(0).unwrap();
                file.write_all_at(written.as_bytes(), 0).unwrap();
                desktop.read("beside.txt").filter(|text| *text == beside.as_bytes())
            });
            assert_eq!(desktop.read(name), shown, "{written}");
            let status = laptop.command(&["status", name, "--json"]).json();
            assert_eq!(status["state"], "waiting", "{status}");
        }
        file.write_all_at(after.as_bytes(), before.len() as u64).unwrap();
        drop(file);
        settle(&laptop, &desktop);
        assert_eq!(desktop.read(name).unwrap(), format!("{before}{after}").as_bytes());
        let versions = &server.files_named(name)[0];
        assert_eq!(versions.len(), if shown.is_some() { 2 } else { 1 }, "{versions:?}");
    }
}

#[test]
fn a_log_that_grows_all_the_time_holds_nobody_up_and_arrives_whole() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let mut log = File::options().create(true).append(true).open(laptop.path("app.log")).unwrap();
    let mut lines = 0;
    // The log is written to until another file has come and gone, so there was no quiet moment for it.
    for round in 0..20 {
        laptop.write("beside.txt", format!("round {round}"));
        until("the file beside arrives", || {
            writeln!(log, "line {lines} of a log").unwrap();
            lines += 1;
            desktop.read("beside.txt").filter(|text| *text == format!("round {round}").as_bytes())
        });
    }
    drop(log);
    settle(&laptop, &desktop);
    let text = String::from_utf8(desktop.read("app.log").unwrap()).unwrap();
    assert!(text.lines().enumerate().all(|(number, line)| line == format!("line {number} of a log")));
    assert_eq!(text.lines().count(), lines);
    assert_eq!(server.files_named("app.log").len(), 1);
}
