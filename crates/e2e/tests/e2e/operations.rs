//! The server as those see it who run it: service managers, settings, readiness, figures, own certificates.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::asking::{complained, complaint};
use crate::rig::{PASSWORD, PATIENCE, Running, Server, USER, free_port, run, settle, until};

/// What systemd would hear on `$NOTIFY_SOCKET`.
struct ServiceManager(UnixDatagram);

impl ServiceManager {
    fn at(path: &Path) -> ServiceManager {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        ServiceManager(socket)
    }

    /// Waits until it has heard that.
    #[track_caller]
    fn hears(&self, word: &str) {
        let mut bytes = [0; 512];
        loop {
            let len = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("{word}: {error}"));
            if String::from_utf8_lossy(&bytes[..len]).lines().any(|line| line == word) {
                return;
            }
        }
    }
}

/// A plain HTTP request; status and body.
fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub fn get(address: &str, path: &str) -> (u16, String) {
    ask(address, "GET", path, "", "")
}

pub fn figure(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_service_manager_hears_when_a_server_is_ready_lives_and_stops() {
    let mut server = Server::stopped();
    let socket = server.scratch("notify");
    let manager = ServiceManager::at(&socket);
    server.variables = vec![("NOTIFY_SOCKET", socket.display().to_string()), ("WATCHDOG_USEC", "200000".into())];
    server.start_again();
    for word in ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"] {
        manager.hears(word);
    }
    server.stop();
    manager.hears("STOPPING=1");
    assert!(server.log().lines().any(|line| line == "ready"));
}

#[test]
fn a_service_manager_hears_when_a_client_is_ready_lives_and_stops() {
    let server = Server::start();
    let laptop = server.stranger("laptop");
    laptop.join(&server).done();
    let socket = server.scratch("notify");
    let manager = ServiceManager::at(&socket);
    let log = server.scratch("daemon.log");
    let mut command = laptop.client(&["daemon", "run"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "200000");
    let running = Running::start(command, &log);
    manager.hears("READY=1");
    assert!(fs::read_to_string(&log).unwrap().lines().any(|line| line == "ready"));
    manager.hears("WATCHDOG=1");
    manager.hears("WATCHDOG=1");
    assert_eq!(running.end(Signal::TERM), 0);
    manager.hears("STOPPING=1");
}

#[test]
fn a_server_listens_where_the_service_manager_does_and_callers_wait_while_it_is_started_anew() {
    let mut server = Server::start();
    server.stop();
    let sockets = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [first, second] = sockets.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    let log = server.scratch("given.log");
    let start = |server: &Server| {
        let mut command = server.tool(&["run"]);
        // Nobody can listen there.
        command.args(["--listen", "192.0.2.1:1"]).env("SKEP_DISCOVERY", "false");
        Running::start_listening(&command, [&sockets[0], &sockets[1]], &log)
    };
    // Both callers come before there is a server.
    let ask_early = |address: &str| {
        let address = address.to_owned();
        std::thread::spawn(move || get(&address, "/healthz").0)
    };
    let early = [ask_early(&first), ask_early(&second)];
    let running = start(&server);
    assert_eq!(early.map(|answer| answer.join().unwrap()), [308, 308], "plain HTTP is led to HTTPS");
    server.before_it = Some(format!("https://{second}"));
    let laptop = server.computer("laptop");
    server.before_it = Some(format!("https://{first}"));
    let desktop = server.computer("desktop");
    laptop.write("f.txt", "at either");
    settle(&laptop, &desktop);
    assert_eq!(running.end(Signal::TERM), 0);

    let early = ask_early(&first);
    let running = start(&server);
    assert_eq!(early.join().unwrap(), 308);
    laptop.write("g.txt", "as before");
    settle(&laptop, &desktop);
    assert_eq!(running.end(Signal::TERM), 0);
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains(&first) && said.contains(&second) && !said.contains("192.0.2.1"), "{said}");
}

#[test]
fn what_is_handed_over_and_is_no_socket_is_refused() {
    let server = Server::start();
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh"]);
    let data = server.scratch("other");
    shell.arg(server.program(&[]).get_program()).args(["run", "--data-dir"]).arg(&data);
    let answer = run(shell, "");
    assert_eq!(complaint(&answer), complained(1, "E-LISTEN"));
    assert!(answer.err.contains("not for TCP"), "{answer:?}");
}

#[test]
fn settings_come_from_flags_then_the_environment_then_the_file_and_say_so() {
    let server = Server::stopped();
    let file = server.data().join("server.toml");
    fs::write(&file, "[http]\nlisten = \"127.0.0.1:1\"\n[keep]\ntrash = \"5d\"\nversions = \"8d\"\n").unwrap();
    let show = |variables: &[(&str, &str)]| {
        let mut command = server.tool(&["config", "show", "--origin", "--json"]);
        command.envs(variables.iter().copied());
        run(command, "").json()["settings"].clone()
    };
    let shown = show(&[("SKEP_KEEP__TRASH", "6d")]);
    let told =
        |key: &str| format!("{} {}", shown[key]["value"].as_str().unwrap(), shown[key]["origin"].as_str().unwrap());
    assert_eq!(told("http.listen"), "127.0.0.1:1 file");
    assert_eq!(shown["http.listen"]["place"], file.to_str().unwrap());
    assert_eq!(told("keep.trash"), "6d environment");
    assert_eq!(told("keep.versions"), "8d file");
    assert_eq!(told("log.format"), "text default");
    assert_eq!(told("data_dir"), format!("{} flag", server.data().display()));
    server.command(&["config", "check"], "").done();

    // What `config doc` prints is a file that is fine, and says nothing new.
    let doc = run(server.program(&["config", "doc"]), "").done();
    let before = show(&[]);
    let keys: Vec<&String> = before.as_object().unwrap().keys().collect();
    for key in keys {
        assert!(doc.contains(&format!("SKEP_{}", key.to_uppercase().replace('.', "__"))), "{key}");
    }
    fs::write(&file, &doc).unwrap();
    server.command(&["config", "check"], "").done();
    assert_eq!(show(&[])["keep.trash"]["value"], "90d");
}

#[test]
fn a_setting_that_does_not_exist_keeps_the_server_from_starting_and_is_explained() {
    let server = Server::stopped();
    fs::write(server.data().join("server.toml"), "[http]\nlissten = \"127.0.0.1:1\"\n").unwrap();
    for arguments in [&["run"][..], &["config", "check"], &["user", "ls"]] {
        let answer = server.command(arguments, "");
        assert_eq!(complaint(&answer), complained(2, "E-CONFIG"));
        assert!(answer.err.contains("did you mean `http.listen`?"), "{}", answer.err);
    }
    assert_eq!(fs::read_dir(server.data()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn the_master_key_lies_where_the_settings_say_and_is_missed_there() {
    let mut server = Server::stopped();
    let key = server.scratch("stick/master.key");
    let settings = format!("key_file = {key:?}\n[accounts]\nclassic_ids = true\n[log]\nformat = \"json\"\n");
    fs::write(server.data().join("server.toml"), settings).unwrap();
    server.start_again();
    assert!(
        server.log().lines().filter(|line| *line != "ready").all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    // `accounts.classic_ids` is what --open is.
    let mut laptop = server.stranger("laptop");
    laptop.connect(&server, &[]);
    laptop.write("f.txt", "kept");
    laptop.wait();
    laptop.stop();
    server.stop();
    assert_eq!(fs::read(&key).unwrap().len(), 32);
    assert!(!server.data().join("keys/master.key").exists());
    server.command(&["fsck"], "").done();
    let backup = server.scratch("backup");
    let said = server.command(&["backup", "create", backup.to_str().unwrap()], "");
    assert!(said.code == 0 && said.err.contains("does not hold the master key"), "{said:?}");
    fs::rename(&key, server.scratch("lost")).unwrap();
    assert_eq!(complaint(&server.command(&["run"], "")), complained(1, "E-KEYS"));
    assert!(!key.exists(), "no new key is made for old content");
}

#[test]
fn readiness_says_what_is_wrong_and_ends_when_it_is_put_right() {
    let mut server = Server::stopped();
    let operators = format!("127.0.0.1:{}", free_port());
    fs::write(server.data().join("server.toml"), format!("[metrics]\nlisten = {operators:?}\n")).unwrap();
    server.start_again();
    assert_eq!(get(&operators, "/healthz").0, 200);
    assert_eq!(get(&operators, "/readyz"), (200, "ready\n".to_owned()));
    fs::rename(server.data().join("packs"), server.scratch("packs")).unwrap();
    let (status, why) = get(&operators, "/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("directory of packs cannot be written to"), "{why}");
    fs::rename(server.scratch("packs"), server.data().join("packs")).unwrap();
    assert_eq!(get(&operators, "/readyz").0, 200);
    assert_eq!(fs::read_dir(server.data().join("packs")).unwrap().count(), 0, "nothing is left behind");
    // Devices are not served there.
    assert_eq!(get(&operators, "/api/v1/device/feed").0, 404);
}

#[test]
fn figures_count_what_devices_do() {
    let mut server = Server::stopped();
    let operators = format!("127.0.0.1:{}", free_port());
    fs::write(server.data().join("server.toml"), format!("[metrics]\nlisten = {operators:?}\n")).unwrap();
    server.start_again();
    server.command(&["user", "add", USER, "--password-stdin"], PASSWORD).done();
    let (laptop, desktop) = server.two_computers();
    laptop.write("d/f.txt", "some content");
    settle(&laptop, &desktop);
    let (status, text) = get(&operators, "/metrics");
    assert_eq!(status, 200);
    assert!(figure(&text, "skep_requests_total{kind=\"commit\",outcome=\"ok\"}") >= 1);
    assert!(figure(&text, "skep_request_bytes_total{kind=\"commit\",outcome=\"ok\"}") > 0);
    assert_eq!(figure(&text, "skep_requests_total{kind=\"join\",outcome=\"ok\"}"), 2);
    assert_eq!(figure(&text, "skep_entries_total") as usize, server.journal().len());
    assert!(figure(&text, "skep_commits_total") >= 1);
    assert_eq!(figure(&text, "skep_chunks_received_total"), 1);
    assert_eq!(figure(&text, "skep_chunk_bytes_received_total"), 12);
    assert_eq!(figure(&text, "skep_feeds_open"), 2);
    assert!(figure(&text, "skep_disk_free_bytes") > 0 && figure(&text, "process_resident_memory_bytes") > 1 << 20);
    drop(desktop);
    until("the feed of a computer that is gone is closed", || {
        (figure(&get(&operators, "/metrics").1, "skep_feeds_open") == 1).then_some(())
    });
}

#[test]
fn behind_a_proxy_only_the_trusted_one_says_who_asks_and_figures_stay_on_this_machine() {
    let mut server = Server::stopped();
    let file = server.data().join("server.toml");
    let call = |server: &Server, header: &str| ask(&server.listen(), "POST", "/api/v1/device/call", header, "").0;
    let peers = |server: &Server| -> BTreeSet<String> {
        let log = server.command(&["log", "--connections", "--json"], "").done();
        let peer = |line: &str| serde_json::from_str::<Value>(line).unwrap()["peer"].as_str().unwrap().to_owned();
        log.lines().map(peer).collect()
    };
    let forwarded = "X-Forwarded-For: 192.0.2.1, 203.0.113.7\r\n";
    fs::write(&file, "[tls]\nmode = \"off\"\n").unwrap();
    server.start_again();
    assert_eq!(call(&server, forwarded), 400);
    assert_eq!(get(&server.listen(), "/metrics").0, 200);
    assert_eq!(ask(&server.listen(), "GET", "/metrics", forwarded, "").0, 403, "a proxy that nobody has named");
    server.stop();
    assert!(peers(&server).iter().all(|peer| peer.starts_with("127.0.0.1:")));

    fs::write(&file, "[tls]\nmode = \"off\"\n[http]\ntrusted_proxies = [\"127.0.0.1\"]\n").unwrap();
    server.start_again();
    assert_eq!(call(&server, forwarded), 400);
    assert_eq!(ask(&server.listen(), "GET", "/metrics", forwarded, "").0, 403);
    server.stop();
    let seen = peers(&server);
    assert!(seen.contains("203.0.113.7:0") && !seen.iter().any(|peer| peer.starts_with("192.0.2.1")), "{seen:?}");

    fs::write(&file, "[tls]\nmode = \"off\"\n[metrics]\nallow = [\"192.0.2.0/24\"]\n").unwrap();
    server.start_again();
    assert_eq!(get(&server.listen(), "/metrics").0, 403);
}

#[test]
fn devices_pin_the_key_of_an_own_certificate() {
    let mut server = Server::stopped();
    let theirs = server.scratch("theirs");
    let made = |dir: &Path| {
        let mut other = Server::stopped();
        other.start_again();
        let fingerprint = other.fingerprint();
        other.stop();
        fs::rename(other.data(), dir).unwrap();
        fingerprint
    };
    let expected = made(&theirs);
    let (certificate, key) = (theirs.join("keys/server.crt"), theirs.join("keys/server.key"));
    let settings = |key: &Path| format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let file = server.data().join("server.toml");
    fs::write(&file, settings(&key)).unwrap();
    server.command(&["config", "check"], "").done();
    assert_eq!(server.fingerprint(), expected);
    server.start_again();
    server.command(&["user", "add", USER, "--password-stdin"], PASSWORD).done();
    let (laptop, desktop) = server.two_computers();
    laptop.write("f.txt", "over their key");
    settle(&laptop, &desktop);
    assert!(!server.data().join("keys/server.key").exists(), "no key of its own is made");

    // A certificate without its key is found by `config check`, not by the first device.
    fs::write(&file, settings(&certificate)).unwrap();
    assert_eq!(complaint(&server.command(&["config", "check"], "")), complained(1, "E-KEYS"));
    fs::write(&file, format!("[tls]\ncertificate = {certificate:?}\n")).unwrap();
    assert_eq!(complaint(&server.command(&["config", "check"], "")), complained(2, "E-CONFIG"));
}

#[test]
fn the_connection_log_is_searched_and_followed() {
    let server = Server::start();
    server.command(&["user", "add", "eve", "--password-stdin"], PASSWORD).done();
    let laptop = server.stranger("laptop");
    assert_eq!(laptop.join_with(&server, &server.fingerprint(), "wrong password").code, 6);
    let out = server.scratch("followed");
    let mut follow = server.tool(&["log", "--connections", "--json", "-f", "-n", "0", "--user", USER]);
    follow.stdout(fs::File::create(&out).unwrap());
    let mut following = follow.spawn().unwrap();
    laptop.join(&server).done();
    let line = until("the line is followed", || fs::read_to_string(&out).unwrap().lines().next().map(str::to_owned));
    following.kill().unwrap();
    following.wait().unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["request"], &line["outcome"]), (&"join".into(), &"ok".into()));
    let account = line["account"].clone();

    let shown = |more: &[&str]| -> Vec<Value> {
        let log = server.command(&[&["log", "--connections", "--json"], more].concat(), "").done();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let failed = shown(&["--failed"]);
    assert!(failed.len() == 1 && failed[0]["outcome"] == "E-SIGN-IN" && failed[0]["account"].is_null(), "{failed:?}");
    let hers = shown(&["--user", "MAYA"]);
    assert!(!hers.is_empty() && hers.iter().all(|line| line["account"] == account), "{hers:?}");
    assert_eq!(shown(&["--user", "eve"]), Vec::<Value>::new());
    assert_eq!(shown(&["--since", "1d"]), shown(&[]));
    assert_eq!(shown(&["-n", "1"]).len(), 1);
    assert_eq!(server.command(&["log", "--connections", "--user", "nobody"], "").code, 4);
    assert_eq!(server.command(&["log", "--connections", "--since", "soon"], "").code, 2);
}

/// SQL on the database of a server that is stopped.
fn sql(server: &Server, statements: &str) -> String {
    let mut command = Command::new("sqlite3");
    command.arg(server.data().join("skep.db")).arg(statements);
    run(command, "").done()
}

#[test]
fn an_older_database_is_copied_and_upgraded_and_a_newer_one_is_refused_with_the_way_back() {
    let mut server = Server::start();
    let (laptop, desktop) = server.two_computers();
    laptop.write("before", "before");
    settle(&laptop, &desktop);
    server.stop();
    // As the program before the last change of the format left it.
    let last: u32 = sql(&server, "SELECT max(version) FROM schema_version").trim().parse().unwrap();
    assert_eq!(last, 8, "this test takes back what the newest migration does: bring it up to date");
    sql(
        &server,
        "DROP TABLE uncounted; ALTER TABLE drive DROP COLUMN sum; DELETE FROM schema_version WHERE version = 8",
    );
    server.start_again();
    laptop.write("after", "after");
    settle(&laptop, &desktop);
    server.stop();
    let copy = server.data().join("before-format-8.db");
    assert!(copy.is_file() && sql(&server, "SELECT max(version) FROM schema_version").trim() == "8");

    // What an older program says of it, and that what it says helps.
    sql(&server, "INSERT INTO schema_version VALUES (9)");
    fs::rename(&copy, server.data().join("before-format-9.db")).unwrap();
    let before = fs::read(server.data().join("skep.db")).unwrap();
    let refused = server.command(&["run"], "");
    assert_eq!(complaint(&refused), complained(1, "E-DATA"));
    assert_eq!(fs::read(server.data().join("skep.db")).unwrap(), before, "nothing was changed");
    let programs = server.program(&[]).get_program().to_owned();
    let commands: Vec<&str> = refused
        .err
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("mkdir ") || line.starts_with("mv "))
        .collect();
    assert_eq!(commands.len(), 2, "{}", refused.err);
    let mut shell = Command::new("sh");
    let path = Path::new(&programs).parent().unwrap().display().to_string();
    shell.args(["-ec", &commands.join("\n")]).env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()));
    run(shell, "").done();
    server.start_again();
    settle(&laptop, &desktop);
    assert_eq!(desktop.read("after").unwrap(), b"after");
    assert_eq!(server.files_named("after").len(), 1, "it was sent again");
    let checked = server.command(&["fsck", "--json"], "");
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
}

#[test]
fn a_data_directory_that_is_named_by_mistake_is_left_as_it_is() {
    let server = Server::stopped();
    let (not_there, of_a_person) = (server.scratch("typo"), server.scratch("letters"));
    fs::create_dir(&of_a_person).unwrap();
    fs::write(of_a_person.join("a.txt"), "to the bank").unwrap();
    let commands: [&[&str]; 12] = [
        &["fingerprint"],
        &["user", "add", "maya", "--password-stdin"],
        &["user", "ls"],
        &["user", "passwd", "maya", "--password-stdin"],
        &["device", "ls"],
        &["setup-code"],
        &["invite"],
        &["log", "--connections"],
        &["gc"],
        &["scrub"],
        &["fsck"],
        &["export", "out"],
    ];
    for data in [&not_there, &of_a_person, &server.data()] {
        for arguments in commands {
            let mut command = server.program(arguments);
            command.arg("--data-dir").arg(data).current_dir(server.scratch(""));
            let answer = run(command, "correct horse battery staple");
            assert_eq!(complaint(&answer), complained(4, "E-NO-DATA-DIR"), "{arguments:?}");
            assert!(answer.err.contains("skep-server run"), "what to do next: {answer:?}");
        }
    }
    assert!(!not_there.exists() && !server.scratch("out").exists());
    let count = |dir: &Path| fs::read_dir(dir).unwrap().count();
    assert_eq!((count(&of_a_person), count(&server.data())), (1, 0), "nothing was made");
}

#[test]
fn whether_there_is_a_newer_release_is_asked_only_where_the_user_says() {
    let server = Server::start();
    let laptop = server.stranger("laptop");
    let version = env!("CARGO_PKG_VERSION");
    let offline = laptop.command(&["update", "--check"]);
    assert!(
        offline.code == 0 && offline.out.contains("nobody was asked") && offline.out.contains("--from"),
        "{offline:?}"
    );
    assert_eq!(laptop.command(&["update"]).code, 2, "it does not replace itself");

    // A server of somebody's, with a certificate that this machine is told to trust.
    let (dir, port) = (server.scratch("releases"), free_port());
    fs::create_dir(&dir).unwrap();
    let mut command = Command::new("openssl");
    command.current_dir(&dir).args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-subj", "/CN=releases"]);
    command.args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]);
    run(command, "").done();
    let mut command = Command::new("openssl");
    command.current_dir(&dir).args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-cert", "certificate.pem"]);
    command.args(["-key", "key.pem", "-HTTP", "-quiet"]);
    let _releases = Running::start(command, &server.scratch("releases.log"));
    until("the list can be asked for", || TcpStream::connect(format!("127.0.0.1:{port}")).ok());
    let list = |text: &str| {
        // What is served so is served as it is, head and all.
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        fs::write(dir.join("list.json"), format!("{head}{text}")).unwrap();
    };
    let address = format!("https://127.0.0.1:{port}/list.json");
    let asked = |trusted: bool| {
        let mut command = laptop.client(&["--json", "update", "--check", "--from", &address]);
        command.env("SSL_CERT_FILE", dir.join(if trusted { "certificate.pem" } else { "nobody.pem" }));
        run(command, "")
    };
    fs::copy(server.data().join("keys/server.crt"), dir.join("nobody.pem")).unwrap();
    list("{\"schema\":1,\"version\":\"99.0.0\",\"page\":\"https://skep.example/99\"}");
    let newer = asked(true);
    assert_eq!((newer.code, &newer.json()["newer"]), (8, &true.into()));
    assert_eq!(newer.json()["page"], "https://skep.example/99");
    list(&format!("{{\"schema\":1,\"version\":{version:?}}}"));
    let equal = asked(true);
    assert_eq!((equal.code, &equal.json()["newer"]), (0, &false.into()));
    assert_eq!(complaint(&asked(false)), complained(3, "E-RELEASES"), "nobody vouches for that server");

    // The server's command reads the setting; a file will do.
    let file = dir.join("plain.json");
    fs::write(&file, "{\"schema\":1,\"version\":\"99.0.0\"}").unwrap();
    fs::write(server.data().join("server.toml"), format!("[update]\nurl = {file:?}\n")).unwrap();
    let newer = server.command(&["upgrade", "--check"], "");
    assert!(newer.code == 8 && newer.out.starts_with("skep-server 99.0.0 is out; this is"), "{newer:?}");
    let plain = server.command(&["upgrade", "--check", "--from", "http://127.0.0.1/list.json"], "");
    assert_eq!(complaint(&plain), complained(2, "E-USAGE"));

    // Both have a manual page.
    for page in [laptop.command(&["man"]).done(), run(server.program(&["man"]), "").done()] {
        assert!(page.contains(".SH EACH COMMAND") && page.contains("\n.SS skep"), "{page}");
    }
}
