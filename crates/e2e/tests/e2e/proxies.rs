//! Behind the proxies of the documentation, word for word: devices sync through them and are told of news.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::rig::{PASSWORD, Running, Server, USER, free_port, noise, settle, until};

/// A server without TLS, and what a proxy before it needs to know.
struct Behind {
    server: Server,
    port: String,
    certificate: PathBuf,
    key: PathBuf,
}

impl Behind {
    /// The server runs; a certificate and its key are those of another one.
    fn a_proxy() -> Behind {
        let mut server = Server::stopped();
        let theirs = server.scratch("theirs");
        let mut other = Server::stopped();
        other.start_again();
        let expected = other.fingerprint();
        other.stop();
        fs::rename(other.data(), &theirs).unwrap();
        let (certificate, key) = (theirs.join("keys/server.crt"), theirs.join("keys/server.key"));
        let settings = format!(
            "[tls]\nmode = \"off\"\ncertificate = {certificate:?}\n[http]\ntrusted_proxies = [\"127.0.0.1\"]\n"
        );
        fs::write(server.data().join("server.toml"), settings).unwrap();
        server.start_again();
        server.command(&["user", "add", USER, "--password-stdin"], PASSWORD).done();
        assert_eq!(server.fingerprint(), expected, "that of the proxy");
        Behind { server, port: free_port(), certificate, key }
    }

    /// The snippet of the documentation in that language, with the ports and paths of this machine.
    fn snippet(&self, language: &str, address: (&str, String)) -> String {
        let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating/reverse-proxy.md"));
        let page = page.unwrap();
        let block = page.split(&format!("```{language}\n")).nth(1).unwrap().split("```").next().unwrap().to_owned();
        let changes = [
            address,
            ("/etc/ssl/skep/fullchain.pem", self.certificate.display().to_string()),
            ("/etc/ssl/skep/privkey.pem", self.key.display().to_string()),
            ("127.0.0.1:7537", self.server.listen()),
        ];
        changes.iter().fold(block, |block, (from, to)| {
            assert!(block.contains(from), "{from} is not in the snippet");
            block.replace(from, to)
        })
    }

    /// What devices are promised, through a proxy that runs.
    fn everything_works(mut self, command: Command, log: &Path) {
        let _proxy = Running::start(command, log);
        until("the proxy listens", || TcpStream::connect(format!("127.0.0.1:{}", self.port)).ok());
        self.server.before_it = Some(format!("https://127.0.0.1:{}", self.port));
        let (laptop, desktop) = self.server.two_computers();
        laptop.write("small.txt", "through the proxy");
        laptop.write("large.bin", noise(20 << 20, 7));
        settle(&laptop, &desktop);
        // Nobody polls: what comes without `sync wait` came by the feed.
        laptop.write("pushed.txt", "news");
        until("news are pushed", || desktop.read("pushed.txt"));
        // The log is written beside the work, a little later.
        let feeds = until("two feeds are in the log", || {
            let log = self.server.command(&["log", "--connections", "--json"], "").done();
            let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let feeds: Vec<Value> =
                lines.filter(|line| line["request"] == "feed_open" && line["outcome"] == "ok").collect();
            (feeds.len() >= 2).then_some(feeds)
        });
        assert!(feeds.iter().all(|line| line["peer"] == "127.0.0.1:0"), "{feeds:?}");
    }
}

#[test]
fn devices_sync_and_are_told_of_news_through_nginx_as_documented() {
    let behind = Behind::a_proxy();
    let block = behind.snippet("nginx", ("listen 443 ssl", format!("listen 127.0.0.1:{} ssl", behind.port)));
    let nginx = behind.server.scratch("nginx");
    fs::create_dir(&nginx).unwrap();
    let directories = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let places: String =
        directories.iter().map(|name| format!("{name}_temp_path {}/{name};\n", nginx.display())).collect();
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let whole = format!(
        "{user}daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{block}}}\n",
        nginx.display()
    );
    fs::write(nginx.join("nginx.conf"), whole).unwrap();
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(&nginx).arg("-c").arg(nginx.join("nginx.conf"));
    let log = behind.server.scratch("nginx.log");
    behind.everything_works(command, &log);
}

#[test]
fn devices_sync_and_are_told_of_news_through_caddy_as_documented() {
    let behind = Behind::a_proxy();
    let block = behind.snippet("caddyfile", ("files.example.org", format!("https://127.0.0.1:{}", behind.port)));
    let caddy = behind.server.scratch("caddy");
    fs::create_dir(&caddy).unwrap();
    // Its port for orders and its port 80 are the machine's, not the test's.
    let whole = format!("{{\n    admin off\n    auto_https disable_redirects\n}}\n{block}");
    fs::write(caddy.join("Caddyfile"), whole).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(caddy.join("Caddyfile"));
    command.env("HOME", &caddy).env("XDG_DATA_HOME", caddy.join("data")).env("XDG_CONFIG_HOME", caddy.join("config"));
    let log = behind.server.scratch("caddy.log");
    behind.everything_works(command, &log);
}
