//! What strangers and bad guests may try. In each test a well-behaved pair of computers goes on syncing meanwhile.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;
use skep_protocol::{ClassicId, Exchange, FEED_PATH, Fingerprint, JoinCode, Request};

use crate::attacker::{Answered, Attacker, address, call_head, drip, introduction, rest};
use crate::rig::{Computer, PASSWORD, Server, USER, noise, run, settle, until};

/// Log-ins that are tried while others sync.
const FLOOD: usize = 150;

/// A file goes from one computer to the other and the server says that it is well.
fn goes_on(server: &Server, laptop: &Computer, desktop: &Computer, name: &str) {
    let started = Instant::now();
    laptop.write(name, name);
    until("a change arrives", || desktop.read(name));
    eprintln!("{name}: arrived after {:?}", started.elapsed());
    let healthy = Attacker::of(server)
        .sends(Ipv4Addr::LOCALHOST, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(healthy.status, 200, "{healthy:?}");
}

/// What the server's process takes of memory.
fn resident_bytes(server: &Server) -> u64 {
    let told = Attacker::of(server)
        .sends(Ipv4Addr::LOCALHOST, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8(told.body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

fn token_of(computer: &Computer) -> String {
    fs::read_to_string(computer.home.join("token")).unwrap().trim().to_owned()
}

fn hello() -> Request {
    Request::Hello { features: Vec::new(), client_version: "0".to_owned() }
}

#[test]
fn who_guesses_passwords_is_slowed_down_learns_no_names_and_locks_nobody_out() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let attacker = Attacker::of(&server);
    let guesses = |number: u16, user: &str| -> Vec<(u16, String, bool)> {
        let answers = (0..9).map(|_| attacker.join(address(number), user, "wrong password"));
        answers
            .map(|answer| {
                (answer.status, answer.refusal().message, answer.head.to_lowercase().contains("retry-after: "))
            })
            .collect()
    };
    let (known, unknown) = (guesses(1, USER), guesses(2, "nobody"));
    assert_eq!(known, unknown, "a name that nobody has looks like any other");
    let statuses: Vec<u16> = known.iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429, 429]);
    assert!(known[8].2, "{known:?}");
    goes_on(&server, &laptop, &desktop, "while one guesses");

    // Many at once from one address are no more than many after each other; names are not tried from there without end either.
    let taken: Vec<u16> = std::thread::scope(|scope| {
        let guess = |_| scope.spawn(|| attacker.join(address(3), USER, "wrong password").status);
        let guesses: Vec<_> = (0..24).map(guess).collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
    });
    assert!(taken.iter().filter(|status| **status == 401).count() <= 5, "{taken:?}");
    let names = (0..30).map(|name| attacker.join(address(4), &format!("user{name}"), "wrong password").status);
    assert_eq!(names.filter(|status| *status == 401).count(), 20);

    // From everywhere: the account gets slow, but not where its owner is.
    let slow = (10..80).map(|number| attacker.join(address(number), USER, "wrong password").status);
    assert!(slow.filter(|status| *status == 401).count() <= 50);
    assert_eq!(attacker.join(address(90), USER, PASSWORD).status, 429);
    server.stranger("phone").join(&server).done();
    goes_on(&server, &laptop, &desktop, "while many guess");
    let failed = server.command(&["log", "--connections", "--json"], "").done();
    let failed = failed.lines().filter(|line| line.contains("E-SIGN-IN") && line.contains("127.66.0.")).count();
    assert!(failed >= 60, "{failed}");
}

#[test]
fn a_flood_of_log_ins_takes_neither_memory_nor_the_turn_of_those_who_sync() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let attacker = Attacker::of(&server);
    let (ends, tried) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..16_u16 {
            let (attacker, ends, tried) = (&attacker, &ends, &tried);
            scope.spawn(move || {
                for number in 0..1000 {
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                    // A botnet: each address tries a few names.
                    let answer = attacker.join(
                        address(256 * (thread + 1) + number / 5),
                        &format!("user {number}"),
                        "wrong password",
                    );
                    assert!([401, 429, 503].contains(&answer.status), "{answer:?}");
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        until("the flood has begun", || (tried.load(Ordering::Relaxed) > 20).then_some(()));
        let mut number = 0;
        while tried.load(Ordering::Relaxed) < FLOOD {
            goes_on(&server, &laptop, &desktop, &format!("in the flood {number}"));
            number += 1;
        }
        let resident = resident_bytes(&server);
        ends.store(true, Ordering::Relaxed);
        eprintln!("{} log-ins, {} MiB resident", tried.load(Ordering::Relaxed), resident >> 20);
        assert!(resident < 160 << 20, "{resident}");
    });
    settle(&laptop, &desktop);
}

#[test]
fn slow_and_silent_connections_are_ended_whatever_they_have_said() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let (http1, http2) = (Attacker::of(&server), Attacker::speaking(&server, b"h2"));
    let token = format!("Authorization: Bearer {}\r\n", token_of(&laptop));
    let call = call_head("", 5000);
    let upload = call_head(&token, 50_000_000);
    let feed = format!(
        "GET {FEED_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{token}\r\n"
    );
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let slow: [(&str, &Attacker, &[u8], &[u8]); 12] = [
        ("nothing", &http1, b"", b""),
        ("nothing of HTTP/2", &http2, b"", b""),
        ("the beginning of HTTP/2", &http1, b"PRI * HT", b""),
        ("HTTP/2 without a request", &http2, preface, b""),
        ("HTTP/2 that pings", &http2, preface, b"\0\0\x08\x06\0\0\0\0\0skepskep"),
        ("half a head", &http1, b"GET / HTTP/1.1\r\nHost:", b""),
        ("a head that trickles", &http1, b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
        ("a stranger's call without a body", &http1, call.as_bytes(), b""),
        ("a stranger's body that trickles", &http1, call.as_bytes(), b"\x01"),
        ("a device's upload that stops", &http1, upload.as_bytes(), b""),
        ("a device's upload that trickles", &http1, upload.as_bytes(), b"\x01"),
        ("a feed without a beginning", &http1, feed.as_bytes(), b""),
    ];
    std::thread::scope(|scope| {
        for (number, (what, attacker, first, drop)) in slow.into_iter().enumerate() {
            scope.spawn(move || {
                let took = drip(attacker.tls(address(number as u16)).unwrap(), first, drop);
                eprintln!("{what}: ended after {took:?}");
            });
        }
        for (number, half) in [&b""[..], b"\x16\x03\x01\x02\0\x01", b"GET / HTTP/1.1\r\n"].into_iter().enumerate() {
            let mut stream = http1.connection(address(100 + number as u16));
            scope.spawn(move || {
                let started = Instant::now();
                stream.write_all(half).unwrap();
                rest(&mut stream);
                eprintln!("{half:?} without TLS: ended after {:?}", started.elapsed());
            });
        }
        goes_on(&server, &laptop, &desktop, "while they dawdle");
    });
    settle(&laptop, &desktop);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_kept() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let attacker = Attacker::of(&server);
    let from = address(1);
    let refused = |what: &str, answer: &Answered, codes: &[u16]| {
        assert!(codes.contains(&answer.status), "{what}: {answer:?}");
    };
    let get = |more: &str| attacker.sends(from, format!("GET /healthz{more}\r\n\r\n").as_bytes());
    refused("a header", &get(&format!(" HTTP/1.1\r\nHost: x\r\nA: {}", "a".repeat(4 << 20))), &[0, 431]);
    refused("many headers", &get(&format!(" HTTP/1.1\r\nHost: x{}", "\r\na: b".repeat(100_000))), &[0, 431]);
    refused("a path", &get(&format!("{} HTTP/1.1\r\nHost: x", "/a".repeat(1 << 20))), &[0, 400, 414, 431]);
    // A stranger's frame, announced and sent.
    let frame = |length: u32| [&[1, 0][..], &length.to_le_bytes()].concat();
    for (announced, sent) in [(u32::MAX, 1 << 20), (48 << 20, 20 << 20), (17 << 10, 17 << 10)] {
        let body = [frame(announced), noise(sent, 1)].concat();
        let answer = attacker.sends(from, &[call_head("Connection: close\r\n", body.len()).as_bytes(), &body].concat());
        refused("a frame", &answer, &[0, 400, 413]);
    }
    for length in ["18446744073709551616", "-1", "5, 6", "0x10"] {
        let head =
            call_head("Connection: close\r\n", 7).replace("Content-Length: 7", &format!("Content-Length: {length}"));
        refused(length, &attacker.sends(from, head.as_bytes()), &[400]);
    }
    let both = call_head("Transfer-Encoding: chunked\r\nConnection: close\r\n", 3);
    let smuggled = attacker.sends(from, format!("{both}0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    assert!(!String::from_utf8_lossy(&smuggled.body).contains("skep_"), "{smuggled:?}");
    // HTTP/2: a head without end, and requests that are taken back as fast as they are made.
    let h2 = Attacker::speaking(&server, b"h2");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut endless = [&preface[..], b"\0\0\x03\x01\0\0\0\0\x01\x82\x84\x87"].concat();
    for _ in 0..20_000 {
        endless.extend_from_slice(b"\0\0\x06\x09\0\0\0\0\x01\0\x01a\x02bc");
    }
    assert_eq!(h2.sends(from, &endless).status, 0);
    let mut resets = preface.to_vec();
    for stream in (1..60_000_u32).step_by(2) {
        let id = stream.to_be_bytes();
        resets.extend_from_slice(
            &[b"\0\0\x06\x01\x05", &id[..], b"\x82\x84\x87\x41\x01x", b"\0\0\x04\x03\0", &id, b"\0\0\0\x08"].concat(),
        );
    }
    assert_eq!(h2.sends(from, &resets).status, 0);
    // A device that says too much on its feed.
    let feed = format!(
        "GET {FEED_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {}\r\n\r\n",
        token_of(&laptop)
    );
    let message = [&b"\x82\xff\0\0\0\0\x40\0\0\0\0\0\0\0"[..], &noise(1 << 20, 2)].concat();
    refused("a message", &attacker.sends(from, &[feed.as_bytes(), &message].concat()), &[0, 101]);
    goes_on(&server, &laptop, &desktop, "afterwards");
    let resident = resident_bytes(&server);
    assert!(resident < 256 << 20, "{resident}");
    settle(&laptop, &desktop);
}

#[test]
fn connections_are_bounded_for_one_address_and_for_all_together() {
    let mut server = Server::stopped();
    server.variables =
        vec![("SKEP_LIMITS__CONNECTIONS", "80".into()), ("SKEP_LIMITS__CONNECTIONS_PER_ADDRESS", "20".into())];
    server.start_again();
    server.command(&["user", "add", USER, "--password-stdin"], PASSWORD).done();
    let (laptop, desktop) = server.two_computers();
    let attacker = Attacker::of(&server);
    let greedy: Vec<_> = (0..200).map(|_| attacker.connection(address(1))).collect();
    goes_on(&server, &laptop, &desktop, "beside a greedy one");
    let shaken: Vec<_> = (0..20).filter_map(|_| attacker.tls(address(1)).ok()).collect();
    assert!(shaken.len() <= 20);
    drop(greedy);
    // Even when all places are taken: nobody who asks nothing keeps one.
    let all: Vec<TcpStream> = (0..200).map(|number| attacker.connection(address(2 + number / 20))).collect();
    goes_on(&server, &laptop, &desktop, "beside many greedy ones");
    drop((shaken, all));
    settle(&laptop, &desktop);
}

#[test]
fn join_codes_and_account_ids_cannot_be_guessed() {
    let server = Server::with(&["--open"]);
    let mut first = server.stranger("first");
    let id: ClassicId = first.connect(&server, &[]).trim().parse().unwrap();
    let mut second = server.stranger("second");
    second.connect(&server, &[&id.to_string()]);
    let attacker = Attacker::of(&server);
    // Ids.
    let guess = |number: u16| {
        let id = ClassicId::from_bytes([number as u8; ClassicId::LEN]);
        attacker.call(address(1), None, &Request::NewDevice { id, device: introduction(), drive: None }).status
    };
    assert_eq!((0..8).map(guess).collect::<Vec<_>>(), [401, 401, 401, 401, 401, 429, 429, 429]);
    // Codes: an open one and one that nobody has get the same answers, and each try costs one, wherever it comes from.
    let code: JoinCode = first.command(&["devices", "add", "--json"]).json()["code"].as_str().unwrap().parse().unwrap();
    let other = skep_protocol::Locator::numbered((code.locator().number() + 1) % 1024);
    let start = |number: u16, locator| {
        let (_, message) = Exchange::of_device(&code.at(locator), Fingerprint([0; 32]), &[number as u8; 32]);
        let answer = attacker.call(address(number), None, &Request::StartCode { locator, message });
        (answer.status, answer.body.len())
    };
    let open: Vec<_> = (10..17).map(|number| start(number, code.locator())).collect();
    let unknown: Vec<_> = (20..27).map(|number| start(number, other)).collect();
    assert_eq!(open, unknown);
    assert_eq!(open.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 200, 200, 200, 429, 429]);
    let one_place: Vec<u16> =
        (0..7).map(|number| start(30, skep_protocol::Locator::numbered(500 + number)).0).collect();
    assert_eq!(one_place, [200, 200, 200, 200, 200, 429, 429]);
    // Strangers make no heaps of accounts: twenty at once, then slowly.
    let made = (0..25_u8).map(|number| {
        let id = ClassicId::from_bytes([100 + number; ClassicId::LEN]);
        attacker.call(address(40), None, &Request::NewAccount { id, device: introduction() }).status
    });
    assert_eq!(made.filter(|status| *status == 200).count(), 20);
    goes_on(&server, &first, &second, "meanwhile");
    settle(&first, &second);
}

#[test]
fn a_token_counts_as_it_is_for_its_device_alone_and_is_kept_nowhere_on_the_server() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let eve = server.stranger("eve");
    eve.join(&server).done();
    let (token, stolen) = (token_of(&laptop), token_of(&eve));
    let attacker = Attacker::of(&server);
    let status = |token: &str| attacker.call(address(1), Some(token), &hello()).status;
    assert_eq!((status(&token), status(&stolen)), (200, 200));
    for changed in [&token[..token.len() - 1], &token.to_uppercase(), &format!("{token}0"), "skd_", "", &token[4..]] {
        assert_eq!(status(changed), 401, "{changed}");
    }
    let scheme = attacker.sends(
        address(1),
        format!("GET {FEED_PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {token}\r\n\r\n")
            .as_bytes(),
    );
    assert!([400, 401].contains(&scheme.status), "{scheme:?}");
    server.command(&["device", "revoke", "eve"], "").done();
    until("a token of a device that was signed out does not count", || (status(&stolen) == 401).then_some(()));
    goes_on(&server, &laptop, &desktop, "meanwhile");
    settle(&laptop, &desktop);

    // Nothing that the server writes, and no command line, says a secret.
    let secrets = [token.as_str(), stolen.as_str(), PASSWORD];
    for place in [server.data(), server.scratch("laptop-home")] {
        for (path, bytes) in files_below(&place) {
            let is_own = path.ends_with("token");
            let said =
                secrets.iter().find(|secret| !is_own && bytes.windows(secret.len()).any(|at| at == secret.as_bytes()));
            assert!(said.is_none(), "{} says {said:?}", path.display());
        }
    }
    let log = server.log();
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
    use std::os::unix::fs::PermissionsExt;
    for private in
        [laptop.home.join("token"), server.data().join("keys/server.key"), server.data().join("keys/master.key")]
    {
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o077, 0, "{}", private.display());
    }
}

fn files_below(place: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(place).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(files_below(&entry.path())),
            kind if kind.is_file() => files.push((entry.path(), fs::read(entry.path()).unwrap_or_default())),
            _ => {}
        }
    }
    files
}

#[test]
fn command_lines_of_what_goes_on_running_say_no_secret() {
    let server = Server::with(&["--open"]);
    let mut first = server.stranger("first");
    let id = first.connect(&server, &[]).trim().to_owned();
    let mut second = server.stranger("second");
    second.connect(&server, &[&id]);
    let mut seen = 0;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read(process.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        seen += usize::from(line.contains(second.home.to_str().unwrap()));
        let variables = fs::read(process.path().join("environ")).unwrap_or_default();
        assert!(!line.contains(&id) && !String::from_utf8_lossy(&variables).contains(&id), "{line}");
    }
    assert!(seen > 0, "the client runs");
    goes_on(&server, &first, &second, "meanwhile");
}

#[test]
fn nothing_that_strangers_say_writes_lines_of_its_own_into_a_log() {
    let server = Server::start();
    let (laptop, desktop) = server.two_computers();
    let attacker = Attacker::of(&server);
    let evil = "x\n{\"time\":\"2026-01-01T00:00:00.000Z\",\"outcome\":\"forged\"}\r\n\u{1b}[2J\u{202e}forged";
    attacker.join(address(1), evil, evil);
    let mut device = introduction();
    device.name = evil.to_owned();
    device.platform = evil.to_owned();
    device.client_version = evil.to_owned();
    let joined = Request::Join {
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
        device_name: "a name\u{202e}".to_owned(),
        platform: evil.to_owned(),
        client_version: evil.to_owned(),
    };
    assert_eq!(attacker.call(address(1), None, &joined).status, 400, "a name that turns the line around");
    let forged = "GET /forged%0aforged HTTP/1.1\r\nHost: forged\r\nUser-Agent: forged\u{1b}[2J\r\nX-Forwarded-For: forged\r\nConnection: close\r\n\r\n";
    attacker.sends(address(2), forged.as_bytes());
    for name in ["forged\u{1b}[2J", "turned\u{202e}around", "two\u{2028}lines", "zero\u{200f}"] {
        assert_ne!(server.command(&["user", "add", name, "--password-stdin"], PASSWORD).code, 0, "{name:?}");
        assert_ne!(server.command(&["user", "set", USER, "--name", name], "").code, 0, "{name:?}");
        assert_ne!(laptop.command(&["profile", "--name", name]).code, 0, "{name:?}");
    }
    // Names of files are in no log of the server at all.
    laptop.write("forged\n\u{1b}[2Jforged.txt", "x");
    settle(&laptop, &desktop);
    let log = until("the failures are in the log", || {
        let log = server.command(&["log", "--connections", "--json"], "").done();
        log.contains("127.66.0.1").then_some(log)
    });
    let file = fs::read_to_string(server.data().join("connections.log")).unwrap();
    for line in log.lines().chain(file.lines()) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(!line.to_string().contains("forged"), "{line}");
    }
    let text = server.command(&["log", "--connections"], "").done() + &server.log();
    let text = text + &server.command(&["device", "ls"], "").done() + &server.command(&["user", "ls"], "").done();
    assert!(!text.contains("forged") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
}

#[test]
fn tls_is_spoken_in_its_present_versions_and_strong_suites_only() {
    let server = Server::start();
    let scan = |more: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &server.listen()]).args(more);
        let answer = run(command, "");
        let told = |name: &str| {
            let line = answer.out.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_default();
            line.trim_start_matches([' ', ':', ',']).to_owned()
        };
        (answer.code == 0 && !answer.out.contains("Cipher is (NONE)"), told("New,"), answer)
    };
    for version in ["-tls1", "-tls1_1"] {
        let (spoken, _, answer) = scan(&[version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(!spoken, "{version}: {answer:?}");
    }
    let weak = [
        "aNULL:eNULL:@SECLEVEL=0",
        "RC4:3DES:DES:IDEA:SEED:CAMELLIA:ARIA:@SECLEVEL=0",
        "kRSA:@SECLEVEL=0",
        "PSK:SRP:@SECLEVEL=0",
        "SHA1:SHA256:SHA384:!AESGCM:!CHACHA20:!AESCCM:@SECLEVEL=0",
        "AESCCM:AESCCM8:@SECLEVEL=0",
        "DHE:!ECDHE:@SECLEVEL=0",
    ];
    for suites in weak {
        let (spoken, suite, answer) = scan(&["-tls1_2", "-cipher", suites]);
        assert!(!spoken, "{suites}: {suite} {answer:?}");
    }
    for suites in ["ECDHE+AESGCM", "ECDHE+CHACHA20"] {
        let (spoken, suite, answer) = scan(&["-tls1_2", "-cipher", suites]);
        assert!(spoken && suite.contains("ECDHE-ECDSA-"), "{suites}: {suite} {answer:?}");
    }
    let (spoken, suite, answer) = scan(&["-tls1_3"]);
    assert!(spoken && suite.contains("TLS_"), "{suite} {answer:?}");
    assert!(answer.out.contains("Compression: NONE"), "{answer:?}");
    let (spoken, _, answer) = scan(&["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256"]);
    assert!(!spoken, "{answer:?}");
}
