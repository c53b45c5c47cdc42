//! Public certificates: a real authority (Pebble) looks at a real server, gives, and gives again.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::operations::{figure, get};
use crate::rig::{PASSWORD, Running, Server, USER, free_port, run, settle, until};

const DOMAIN: &str = "files.example.org";
/// So long is a certificate valid: it is renewed after two thirds.
const VALID_SECONDS: u64 = 15;

/// An authority with the name server that it asks.
struct Authority {
    dir: PathBuf,
    port: String,
    running: Vec<Running>,
}

impl Authority {
    /// Not yet running.
    fn new(server: &Server) -> Authority {
        let dir = server.scratch("authority");
        fs::create_dir(&dir).unwrap();
        let mut command = Command::new("openssl");
        command.current_dir(&dir).args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]);
        command.args(["-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-subj", "/CN=authority"]);
        command.args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]);
        run(command, "").done();
        Authority { dir, port: free_port(), running: Vec::new() }
    }

    /// What a server needs to know of it.
    fn settings(&self) -> String {
        let (port, root) = (&self.port, self.dir.join("certificate.pem"));
        format!(
            "[tls]\nmode = \"acme\"\nacme_domain = {DOMAIN:?}\nacme_email = \"root@example.org\"\n\
             acme_directory = \"https://127.0.0.1:{port}/dir\"\nacme_roots = {root:?}\n"
        )
    }

    /// Looks for servers at these two ports, whatever their name.
    fn start(&mut self, tls_port: &str, http_port: &str) {
        let (names, unused, other) = (free_port(), free_port(), free_port());
        let mut command = Command::new("pebble-challtestsrv");
        command.args(["-dns01", &format!("127.0.0.1:{names}"), "-management", &format!("127.0.0.1:{unused}")]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        self.running.push(Running::start(command, &self.dir.join("names.log")));
        until("the name server answers", || TcpStream::connect(format!("127.0.0.1:{names}")).ok());
        let number = |port: &str| port.parse::<u16>().unwrap();
        let settings = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port), "managementListenAddress": format!("127.0.0.1:{other}"),
            "certificate": self.dir.join("certificate.pem"), "privateKey": self.dir.join("key.pem"),
            "httpPort": number(http_port), "tlsPort": number(tls_port), "ocspResponderURL": "",
            "externalAccountBindingRequired": false, "certificateValidityPeriod": VALID_SECONDS } });
        let file = self.dir.join("pebble.json");
        fs::write(&file, settings.to_string()).unwrap();
        let mut command = Command::new("pebble");
        command.arg("-config").arg(&file).args(["-dnsserver", &format!("127.0.0.1:{names}")]);
        command.envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")]);
        self.running.push(Running::start(command, &self.dir.join("pebble.log")));
        until("the authority answers", || TcpStream::connect(format!("127.0.0.1:{}", self.port)).ok());
    }
}

/// The serial number of the certificate that a server shows under its name, if the chain beside it and the name are right.
fn shown(server: &Server) -> Option<String> {
    let chain = fs::read_to_string(server.data().join("keys/acme.crt")).ok()?;
    let issuer = server.scratch("issuer.pem");
    fs::write(&issuer, chain.split_inclusive("-----END CERTIFICATE-----\n").nth(1)?).unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.listen(), "-servername", DOMAIN, "-verify_hostname", DOMAIN]);
    command.args(["-partial_chain", "-verify_return_error", "-CAfile"]).arg(issuer);
    let spoken = run(command, "");
    if spoken.code != 0 {
        return None;
    }
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-serial"]);
    Some(run(command, &spoken.out).done())
}

fn feeds(server: &Server) -> usize {
    let log = server.command(&["log", "--connections", "--json"], "").done();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["request"] == "feed_open" && line["outcome"] == "ok").count()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_certificate_is_ordered_and_renewed_and_devices_notice_nothing_of_it() {
    let mut server = Server::stopped();
    let mut authority = Authority::new(&server);
    let operators = format!("127.0.0.1:{}", free_port());
    let settings = format!("{}[metrics]\nlisten = {operators:?}\n", authority.settings());
    fs::write(server.data().join("server.toml"), settings).unwrap();

    // Nobody answers at the authority: the server goes on with the certificate that it made itself, and says so wherever one looks.
    server.start_again();
    server.command(&["user", "add", USER, "--password-stdin"], PASSWORD).done();
    let fingerprint = server.fingerprint();
    let told = format!("There is no certificate for {DOMAIN} yet. A new one was ordered in vain (once)");
    until("the failure is told", || {
        let (status, text) = get(&operators, "/readyz");
        (status == 200 && text.starts_with("ready\n") && text.contains(&told)).then_some(())
    });
    assert!(server.log().contains(&told));
    assert_eq!(figure(&get(&operators, "/metrics").1, "skep_certificate_failures"), 1);
    let checked = server.command(&["config", "check"], "");
    assert!(checked.code == 0 && checked.err.contains(&told), "{checked:?}");
    let (laptop, desktop) = server.two_computers();
    laptop.write("before.txt", "before there was a certificate");
    settle(&laptop, &desktop);
    server.stop();

    let port = server.listen().rsplit(':').next().unwrap().to_owned();
    authority.start(&port, &free_port());
    server.start_again();
    let first = until("there is a certificate", || shown(&server));
    laptop.write("with.txt", "with a certificate");
    settle(&laptop, &desktop);
    assert_eq!(get(&operators, "/readyz"), (200, "ready\n".to_owned()));
    let figures = get(&operators, "/metrics").1;
    assert_eq!(figure(&figures, "skep_certificate_failures"), 0);
    let ends = figure(&figures, "skep_certificate_expires_seconds");
    let open = until("both devices listen", || Some(feeds(&server)).filter(|feeds| *feeds >= 4));

    let second = until("the certificate is renewed", || shown(&server).filter(|serial| *serial != first));
    assert_ne!(first, second);
    until("the figures follow", || {
        (figure(&get(&operators, "/metrics").1, "skep_certificate_expires_seconds") > ends).then_some(())
    });
    laptop.write("after.txt", "after the renewal");
    until("news are pushed", || desktop.read("after.txt"));
    settle(&laptop, &desktop);
    assert_eq!(feeds(&server), open, "no connection was cut for it");
    assert_eq!(server.fingerprint(), fingerprint);

    // One that joins now finds the same key.
    let phone = server.computer("phone");
    phone.wait();
    assert_eq!(phone.read("after.txt").unwrap(), b"after the renewal");
    for file in ["acme.crt", "acme-account.json", "server.key"] {
        assert_eq!(mode(&server.data().join("keys").join(file)), 0o600, "{file}");
    }
    assert!(!server.data().join("keys/acme-failure.json").exists());
    // The certificate is there at the next start, without a new order.
    drop(authority);
    server.stop();
    server.start_again();
    assert!(shown(&server).is_some());
}

#[test]
fn where_only_port_80_leads_to_the_server_its_name_is_proven_there() {
    let mut server = Server::stopped();
    let mut authority = Authority::new(&server);
    let port = server.listen().rsplit(':').next().unwrap().to_owned();
    authority.start(&free_port(), &port);
    fs::write(server.data().join("server.toml"), authority.settings()).unwrap();
    server.start_again();
    until("there is a certificate", || shown(&server));
    // Other plain requests are led to HTTPS as ever, also such that look like a question of an authority.
    let (status, _) = get(&server.listen(), "/.well-known/acme-challenge/AAAA");
    assert_eq!(status, 308);
}

#[test]
fn where_nothing_leads_to_the_server_it_says_what_was_tried() {
    let mut server = Server::stopped();
    let mut authority = Authority::new(&server);
    authority.start(&free_port(), &free_port());
    fs::write(server.data().join("server.toml"), authority.settings()).unwrap();
    server.start_again();
    let log = until("the failure is told", || Some(server.log()).filter(|log| log.contains("in vain")));
    assert!(log.contains("at port 443: ") && log.contains("at port 80: "), "{log}");
    assert!(!server.data().join("keys/acme.crt").exists());

    for (wrong, why) in [
        ("acme_domain = \"192.0.2.1\"", "192.0.2.1"),
        ("acme_domain = \"localhost\"", "localhost"),
        ("acme_domain = \"a.example\"\nacme_directory = \"http://a.example/\"", "https://"),
        ("acme_domain = \"a.example\"\nkey = \"/k\"\ncertificate = \"/c\"", "tls.certificate"),
        ("acme_domain = \"a.example\"\nacme_roots = \"/nowhere.pem\"", "/nowhere.pem"),
    ] {
        fs::write(server.data().join("server.toml"), format!("[tls]\nmode = \"acme\"\n{wrong}\n")).unwrap();
        let checked = server.command(&["config", "check"], "");
        assert!(checked.code != 0 && checked.err.contains("E-CONFIG") && checked.err.contains(why), "{checked:?}");
    }
}
