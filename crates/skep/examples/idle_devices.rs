//! What a server needs for devices that only listen, and how soon each of them knows of a change.
//!
//! `cargo run -p skep --example idle_devices [DEVICES]`: starts `skep-server` as a program of its own, signs that many devices in by the
//! real protocol, each with a connection of its own under TLS and an open feed, lets them be idle for a while, then commits changes from
//! the real client. Figures compare one version with the next on one machine; all of it shares the processors.

#![expect(clippy::disallowed_methods, reason = "it measures on the machine's own clock")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use skep::link::{HttpLink, ServerAddress};
use skep::remote;
use skep_client::Link;
use skep_protocol::{Entries, FeedRequest, FrameKind, FrameStream, Joined, Reply, Request};
use skep_types::Limits;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const PASSWORD: &str = "correct horse battery staple";
/// As many as one account may have, with the real client.
const DEVICES: usize = 999;
/// Devices that join at the same time.
const JOINING: usize = 4;
/// How long they are watched doing nothing.
const IDLE: Duration = Duration::from_secs(60);
/// Changes that are made, one after the other.
const CHANGES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A program that is ended with this one.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One that listens, and what its feed is read from.
struct Idle {
    joined: Joined,
    link: HttpLink,
}

#[tokio::main]
async fn main() -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| "a provider is installed already")?;
    let _ = skep_platform::machine::raise_open_files();
    let devices = std::env::args().nth(1).map_or(Ok(DEVICES), |text| text.parse())?;
    let place = tempfile::tempdir()?;
    let programs = std::env::current_exe()?.ancestors().nth(2).ok_or("no target directory")?.to_owned();
    let (server, address) = start_server(&programs, place.path())?;
    let data = place.path().join("data");
    let fingerprint = output(program(&programs, "skep-server", &["fingerprint", "--data-dir"]).arg(&data))?;
    let before = resident_bytes(server.0.id())?;

    let started = Instant::now();
    let joins = (0..devices).map(|number| join(&address, fingerprint.trim(), number));
    let mut joining = futures_util::stream::iter(joins).buffer_unordered(JOINING);
    let mut idle = Vec::new();
    while let Some(joined) = joining.next().await {
        idle.push(joined?);
    }
    println!("{devices} devices joined in {:.1} s", started.elapsed().as_secs_f64());
    let (heard, mut hears) = mpsc::channel(devices.max(1));
    let started = Instant::now();
    let opening: FuturesUnordered<_> = idle.into_iter().map(|device| listen(device, heard.clone())).collect();
    let feeds: Vec<_> = opening.collect::<Vec<_>>().await.into_iter().collect::<Result<_>>()?;
    for feed in feeds {
        tokio::spawn(feed);
    }
    println!("{devices} feeds opened in {:.1} s", started.elapsed().as_secs_f64());

    let (laptop, folder) = start_client(&programs, place.path(), &address, fingerprint.trim())?;
    let _ = laptop.0.id();
    sleep(Duration::from_secs(5)).await;
    let (resident, used) = (resident_bytes(server.0.id())?, processor_time(server.0.id())?);
    println!("memory of the server: {} MiB before, {} MiB with them", before >> 20, resident >> 20);
    sleep(IDLE).await;
    let percent = (processor_time(server.0.id())? - used).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    println!("processor while all are idle: {percent:.2} % of one");

    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    while hears.try_recv().is_ok() {}
    let used = processor_time(server.0.id())?;
    for change in 0..CHANGES {
        let saved = Instant::now();
        fs::write(folder.join(format!("{change}.txt")), "a change")?;
        let mut first = None;
        for _ in 0..devices {
            timeout(PATIENCE, hears.recv()).await?.ok_or("nobody listens any more")?;
            first.get_or_insert(saved.elapsed());
        }
        lasts.push(saved.elapsed());
        firsts.extend(first);
    }
    firsts.sort();
    lasts.sort();
    let of = |times: &[Duration], part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("a saved file until the first knows: median {:.0} ms, worst {:.0} ms", of(&firsts, 50), of(&firsts, 100));
    println!("a saved file until all {devices} know: median {:.0} ms, worst {:.0} ms", of(&lasts, 50), of(&lasts, 100));
    let cost = (processor_time(server.0.id())? - used).as_secs_f64() * 1e3 / CHANGES as f64;
    println!(
        "processor of the server for a change: {cost:.0} ms; its memory at the end: {} MiB",
        resident_bytes(server.0.id())? >> 20
    );
    Ok(())
}

/// Joins as a device of its own.
async fn join(address: &ServerAddress, fingerprint: &str, number: usize) -> Result<Idle> {
    let link = HttpLink::new(address.clone(), fingerprint.parse()?, Limits::SHIPPED);
    let request = Request::Join {
        user: "maya".to_owned(),
        password: PASSWORD.to_owned(),
        device_name: format!("idle {number}"),
        platform: "none".to_owned(),
        client_version: "idle".to_owned(),
    };
    match remote::ask(&link, None, &request).await.map_err(|complaint| complaint.to_string())? {
        Reply::Joined(joined) => Ok(Idle { joined, link }),
        _ => Err("no join".into()),
    }
}

/// Opens a device's feed; what is given back says whenever there is news.
async fn listen(device: Idle, heard: mpsc::Sender<()>) -> Result<impl Future<Output = ()>> {
    let home = device.joined.drives.first().ok_or("no drive")?;
    let request = FeedRequest { drive: home.drive, after: home.head, wants_content: true };
    let feed = device.link.feed(&device.joined.token, request).await?;
    let mut frames = FrameStream::new(feed, Limits::SHIPPED.frame_bytes_max);
    Ok(async move {
        while let Ok(Some(frame)) = frames.next_frame().await {
            let news = frame.kind == FrameKind::Entries && frame.read::<Entries>().is_ok();
            if news && heard.send(()).await.is_err() {
                return;
            }
        }
    })
}

fn start_server(programs: &Path, place: &Path) -> Result<(Running, ServerAddress)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let log = fs::File::create(place.join("server.log"))?;
    let listen = format!("127.0.0.1:{port}");
    let mut command = program(programs, "skep-server", &["run", "--listen", &listen, "--data-dir"]);
    command.arg(place.join("data")).env("SKEP_DISCOVERY", "false").stderr(log);
    let server = Running(command.spawn()?);
    let mut add = program(programs, "skep-server", &["user", "add", "maya", "--password-stdin", "--data-dir"]);
    with_password(add.arg(place.join("data")))?;
    wait_for_line(&place.join("server.log"), "ready")?;
    Ok((server, listen.parse()?))
}

fn start_client(
    programs: &Path,
    place: &Path,
    address: &ServerAddress,
    fingerprint: &str,
) -> Result<(Running, PathBuf)> {
    let (home, folder, log) = (place.join("home"), place.join("folder"), place.join("client.log"));
    let address = address.to_string();
    let mut join = program(programs, "skep", &["join", &address, "--user", "maya", "--password-stdin", "--no-daemon"]);
    join.args(["--name", "laptop", "--fingerprint", fingerprint, "--dir"]).arg(&folder).arg("--home").arg(&home);
    with_password(&mut join)?;
    let mut daemon = program(programs, "skep", &["daemon", "run", "--home"]);
    let running = Running(daemon.arg(&home).stderr(fs::File::create(&log)?).spawn()?);
    wait_for_line(&log, "ready")?;
    Ok((running, folder))
}

fn program(programs: &Path, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(programs.join(name));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn with_password(command: &mut Command) -> Result<()> {
    use std::io::Write;
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(PASSWORD.as_bytes())?;
    if child.wait()?.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
}

fn output(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8(command.stdout(Stdio::piped()).output()?.stdout)?)
}

fn wait_for_line(log: &Path, wanted: &str) -> Result<()> {
    let started = Instant::now();
    while !fs::read_to_string(log)?.lines().any(|line| line == wanted) {
        if started.elapsed() > PATIENCE {
            return Err(format!("`{}` does not say {wanted}", log.display()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn resident_bytes(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

fn processor_time(id: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no name")?.1.split(' ').collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // 100 a second on every Linux that Rust runs on.
    Ok(Duration::from_millis(ticks * 10))
}
