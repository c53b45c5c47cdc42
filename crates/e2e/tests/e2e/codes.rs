//! Join codes: from a new server to a file on the second computer, with nothing typed but codes.

use std::fs;

use crate::rig::{Answer, Computer, PASSWORD, Server, USER, at_terminal, run, settle, until};

/// `skep join ADDRESS CODE` with more on its line.
fn join(computer: &Computer, server: &Server, code: &str, more: &[&str], input: &str) -> Answer {
    let (address, folder) = (server.address(), computer.folder.to_str().unwrap());
    run(computer.client(&[&["join", &address, code, "--dir", folder, "--no-daemon"], more].concat()), input)
}

fn code_of(answer: Answer) -> String {
    let code = answer.done().trim().to_owned();
    assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'), "{code}");
    code
}

/// Everything that a server and its clients have written where others may read.
fn all_logs(server: &Server, computers: &[&Computer]) -> String {
    let mut text = server.log() + &fs::read_to_string(server.data().join("connections.log")).unwrap();
    for computer in computers {
        for file in ["test.log", "daemon.log"] {
            text += &fs::read_to_string(computer.home.join(file)).unwrap_or_default();
        }
    }
    text
}

#[test]
fn a_new_server_its_first_user_and_a_second_computer_need_only_codes() {
    let server = Server::with(&[]);
    let (mut laptop, mut desktop) = (server.stranger("laptop"), server.stranger("desktop"));
    assert!(server.log().contains("skep-server setup-code"), "{}", server.log());
    let first = code_of(server.command(&["setup-code"], ""));
    let account = ["--user", USER, "--password-stdin", "--name", "laptop"];
    join(&laptop, &server, &first, &account, PASSWORD).done();
    laptop.start();
    laptop.wait();

    let told = laptop.command(&["devices", "add", "--json"]);
    let told = told.json();
    let second = told["code"].as_str().unwrap().to_owned();
    assert_eq!(told["link"], format!("{}/join#{second}", server.address()));
    // By the link, and the code in lower case.
    let link = format!("{}/join#{}", server.address(), second.to_lowercase());
    let folder = desktop.folder.to_str().unwrap().to_owned();
    let joined = run(desktop.client(&["join", &link, "--dir", &folder, "--name", "desktop", "--no-daemon"]), "");
    assert!(joined.err.contains("key checked by the code"), "{}", joined.err);
    joined.done();
    desktop.start();
    laptop.write("hello.txt", "hello");
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("hello.txt").unwrap(), b"hello");
    assert_eq!(desktop.command(&["whoami", "--json"]).json()["user"], USER);

    // Both are used up, and there is an account now.
    for code in [&first, &second] {
        let again = join(&server.stranger("third"), &server, code, &[], "");
        assert_eq!((again.code, again.err.contains("E-CODE")), (6, true), "{}", again.err);
    }
    assert_eq!(server.command(&["setup-code"], "").code, 9);
    let logs = all_logs(&server, &[&laptop, &desktop]);
    for code in [first, second] {
        assert!(!logs.contains(&code) && !logs.contains(&code.replace('-', "")));
    }
}

#[test]
fn codes_are_read_from_standard_input_and_belong_to_one_server() {
    let (server, other) = (Server::start(), Server::start());
    let laptop = server.stranger("laptop");
    let code = code_of(server.command(&["invite", "--user", USER], ""));
    let elsewhere = join(&laptop, &other, &code, &[], "");
    assert_eq!((elsewhere.code, elsewhere.err.contains("E-CODE")), (6, true), "{}", elsewhere.err);
    let wrong_name = join(&laptop, &server, &code, &["--user", "eve"], "");
    assert_eq!((wrong_name.code, wrong_name.err.contains("E-OTHER-ACCOUNT")), (9, true), "{}", wrong_name.err);
    join(&laptop, &server, "-", &["--name", "laptop"], &format!("{code}\n")).done();

    // For a person without an account: the code is the first line, the password the second.
    let bob = server.stranger("bob");
    let code = code_of(server.command(&["invite"], ""));
    let unnamed = join(&bob, &server, &code, &[], "");
    assert_eq!((unnamed.code, unnamed.err.contains("--password-stdin")), (2, true), "{}", unnamed.err);
    let taken = join(&bob, &server, "-", &["--user", "MAYA", "--password-stdin"], &format!("{code}\n{PASSWORD}\n"));
    assert_eq!((taken.code, taken.err.contains("E-EXISTS")), (1, true), "{}", taken.err);
    join(&bob, &server, "-", &["--user", "bob", "--password-stdin"], &format!("{code}\n{PASSWORD}\n")).done();
    assert_eq!(bob.command(&["whoami", "--json"]).json()["user"], "bob");
    // His folder is not hers: a code of her account does not give it to her.
    let code = code_of(server.command(&["invite", "--user", USER], ""));
    fs::remove_dir_all(&bob.home).unwrap();
    let mixed = join(&bob, &server, &code, &[], "");
    assert_eq!((mixed.code, mixed.err.contains("E-OTHER-ACCOUNT")), (9, true), "{}", mixed.err);
}

#[test]
fn at_a_terminal_the_server_shows_a_code_and_the_first_user_is_asked() {
    let mut server = Server::stopped();
    server.on_a_terminal();
    let log = server.log();
    let line = log.lines().find(|line| line.contains("Make the first account")).unwrap();
    let code = line.rsplit(' ').next().unwrap().trim().to_owned();

    let laptop = server.stranger("laptop");
    let folder = laptop.folder.to_str().unwrap();
    let client = laptop.client(&["join", &server.address(), &code, "--dir", folder, "--no-daemon"]);
    let joined = run(at_terminal(&client), &format!("{USER}\n{PASSWORD}\n{PASSWORD}\n"));
    assert!(joined.out.contains("you are its first user"), "{joined:?}");
    assert!(joined.out.contains("Next device"), "{joined:?}");
    joined.done();
    assert_eq!(laptop.command(&["whoami", "--json"]).json()["user"], USER);
    until("the account is there", || server.command(&["user", "ls"], "").out.contains(USER).then_some(()));
}

#[test]
fn a_code_alone_finds_its_server_among_several_on_the_network() {
    let found_by_all = [("SKEP_DISCOVERY", "true".to_owned())];
    let mut servers = Vec::new();
    for name in ["attic", "cellar"] {
        let mut server = Server::stopped();
        server.variables = [&found_by_all[..], &[("SKEP_NAME", name.to_owned())]].concat();
        server.start_again();
        servers.push(server);
    }
    for (server, name) in servers.iter().zip(["attic", "cellar"]) {
        let computer = server.stranger("laptop");
        let code = code_of(server.command(&["setup-code"], ""));
        let folder = computer.folder.to_str().unwrap();
        let line = ["join", &code, "--user", USER, "--password-stdin", "--dir", folder, "--no-daemon"];
        let joined = run(computer.client(&line), PASSWORD);
        assert!(joined.err.contains(&format!("Found \"{name}\" ({})", server.listen())), "{joined:?}");
        joined.done();
        let again = run(server.stranger("third").client(&line), PASSWORD);
        assert_eq!((again.code, again.err.contains("None of the servers")), (6, true), "{}", again.err);
    }
}
