//! A server and clients as a person would start them, each in directories of its own, all gone when the test ends.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use skep_metastore::{MetaStore, Sqlite};
use skep_types::{Entry, Kind, NodeId, Seq};
use tempfile::TempDir;

/// Any single thing happens within this time, on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The account of every test.
pub const USER: &str = "maya";
/// Its password.
pub const PASSWORD: &str = "correct horse battery staple";

/// The directory with both programs: that of this test. They are built if nobody has done it.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let directory = test.ancestors().nth(2).unwrap().to_owned();
        if !directory.join("skep").is_file() || !directory.join("skep-server").is_file() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let built = Command::new(cargo).args(["build", "--locked", "-p", "skep", "-p", "skep-server"]).status();
            assert!(built.unwrap().success(), "the programs cannot be built");
        }
        directory
    })
}

/// What a command came to.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// The standard output of a command that must succeed.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The same command at a terminal, as a person would run it.
pub fn at_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line.join(" "), "/dev/null"]);
    terminal
}

/// Runs a command to its end.
pub fn run(mut command: Command, input: &str) -> Answer {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Whoever needs no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Waits until `condition` gives something.
#[track_caller]
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = condition() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A port that nobody uses now.
pub fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Started, with all that it says in a file.
    pub fn start(mut command: Command, log: &Path) -> Running {
        let file = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Running(command.spawn().unwrap())
    }

    /// The same with these sockets as its third and fourth file, at which it is to listen: what systemd would do.
    pub fn start_listening(command: &Command, sockets: [&TcpListener; 2], log: &Path) -> Running {
        let mut shell = Command::new("sh");
        let hand_over = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$@\"";
        shell.args(["-c", hand_over, "sh"]).arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let [third, fourth] = sockets.map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
        let file = File::options().create(true).append(true).open(log).unwrap();
        shell.stdin(third).stdout(fourth).stderr(file);
        Running(shell.spawn().unwrap())
    }

    /// The same with a file of its own for each stream; that of standard output is new.
    pub fn start_apart(mut command: Command, log: &Path, out: &Path) -> Running {
        let file = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(File::create(out).unwrap()).stderr(file);
        Running(command.spawn().unwrap())
    }

    /// Its exit code when it ends by itself; -1 if a signal ended it.
    pub fn wait(mut self) -> i32 {
        until("a program ends", || self.0.try_wait().unwrap()).code().unwrap_or(-1)
    }

    /// Its exit code; -1 if a signal ended it.
    pub fn end(mut self, signal: Signal) -> i32 {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        until("a program ends", || self.0.try_wait().unwrap()).code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server.
pub struct Server {
    // Dropped before the directory in which it works.
    running: Option<Running>,
    dir: TempDir,
    port: String,
    /// For `skep-server run`, beside where its data is.
    pub flags: &'static [&'static str],
    /// For the environment of `skep-server run`.
    pub variables: Vec<(&'static str, String)>,
    /// Where clients reach it, if something stands before it.
    pub before_it: Option<String>,
}

impl Server {
    /// A new one that runs, with the account of every test.
    pub fn start() -> Server {
        let server = Server::with(&[]);
        server.command(&["user", "add", USER, "--password-stdin"], PASSWORD).done();
        server
    }

    /// A new one that runs, without an account.
    pub fn with(flags: &'static [&'static str]) -> Server {
        let mut server = Server::stopped();
        server.flags = flags;
        server.start_again();
        server
    }

    /// A new one that has not run yet, with its directory of data.
    pub fn stopped() -> Server {
        let dir = tempfile::Builder::new().prefix("skep-e2e-").tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        Server { running: None, dir, port: free_port(), flags: &[], variables: Vec::new(), before_it: None }
    }

    /// A server that was killed runs again, where it was.
    pub fn start_again(&mut self) {
        let log = self.dir.path().join("server.log");
        let said = fs::read(&log).map_or(0, |log| log.len());
        let mut command = Command::new(programs().join("skep-server"));
        command.args(["run", "--listen", &self.listen(), "--data-dir"]).arg(self.data()).args(self.flags);
        // Only where that is what is tested: tests run at the same time.
        command.env("SKEP_DISCOVERY", "false");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.running = Some(Running::start(command, &log));
        until("the server is ready", || {
            let log = fs::read(&log).unwrap();
            String::from_utf8_lossy(&log[said..]).lines().any(|line| line == "ready").then_some(())
        });
    }

    /// Starts it at a terminal, as a person would.
    pub fn on_a_terminal(&mut self) {
        let log = self.dir.path().join("server.log");
        let program = programs().join("skep-server");
        let (program, data) = (program.display(), self.data());
        let line = format!("exec {program} run --listen {} --data-dir {}", self.listen(), data.display());
        let mut command = Command::new("script");
        command.args(["-qefc", &line, "/dev/null"]).env("SKEP_DISCOVERY", "false");
        self.running = Some(Running::start(command, &log));
        until("the server is ready", || {
            fs::read_to_string(&log).unwrap_or_default().lines().any(|line| line.trim() == "ready").then_some(())
        });
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.running.take().unwrap().end(Signal::KILL);
    }

    /// SIGTERM, which must be a clean stop.
    pub fn stop(&mut self) {
        assert_eq!(self.running.take().unwrap().end(Signal::TERM), 0, "a clean stop");
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap()
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A path of its own for a test.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As clients take it.
    pub fn address(&self) -> String {
        self.before_it.clone().unwrap_or_else(|| format!("https://{}", self.listen()))
    }

    /// Where it listens, as ADDRESS:PORT.
    pub fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `skep-server ARGUMENTS --data-dir D`.
    pub fn command(&self, arguments: &[&str], input: &str) -> Answer {
        run(self.tool(arguments), input)
    }

    /// The same, not yet started.
    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(arguments);
        command.arg("--data-dir").arg(self.data());
        command
    }

    /// `skep-server ARGUMENTS`, not yet started.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(programs().join("skep-server"));
        command.args(arguments);
        command
    }

    /// As `skep-server fingerprint` prints it.
    pub fn fingerprint(&self) -> String {
        self.command(&["fingerprint"], "").done().trim().to_owned()
    }

    /// The journal of the account's home drive.
    pub fn journal(&self) -> Vec<Entry> {
        let meta = Sqlite::open(&self.data().join("skep.db")).unwrap();
        meta.read(|read| {
            let account = read.account_by_name(USER)?.expect("every server has the account");
            let drive = read.drives(account.id)?[0].id;
            read.entries(drive, Seq::START, usize::MAX)
        })
        .unwrap()
    }

    /// The entries of each file that ever had this name, in the order in which they came: one file that was edited is one element.
    pub fn files_named(&self, name: &str) -> Vec<Vec<Entry>> {
        let journal = self.journal();
        let mut nodes: Vec<NodeId> = Vec::new();
        for entry in &journal {
            let is_it = entry.state.kind() == Kind::File && entry.state.place.name.display() == name;
            if is_it && !nodes.contains(&entry.state.node) {
                nodes.push(entry.state.node);
            }
        }
        let of = |node| journal.iter().filter(|entry| entry.state.node == node).cloned().collect();
        nodes.into_iter().map(of).collect()
    }

    /// Bytes of content that have arrived.
    pub fn stored_bytes(&self) -> u64 {
        let packs = fs::read_dir(self.data().join("packs"));
        packs.map_or(0, |packs| packs.flatten().map(|pack| pack.metadata().map_or(0, |pack| pack.len())).sum())
    }

    /// A computer that has joined, its daemon running.
    pub fn computer(&self, name: &str) -> Computer {
        let mut computer = self.stranger(name);
        computer.join(self).done();
        computer.start();
        computer
    }

    /// A computer that has not joined.
    pub fn stranger(&self, name: &str) -> Computer {
        let (home, folder) = (self.scratch(&format!("{name}-home")), self.scratch(name));
        fs::create_dir_all(&folder).unwrap();
        Computer { name: name.to_owned(), home, folder, running: None }
    }

    /// Two computers, in step.
    pub fn two_computers(&self) -> (Computer, Computer) {
        let (laptop, desktop) = (self.computer("laptop"), self.computer("desktop"));
        laptop.wait();
        desktop.wait();
        (laptop, desktop)
    }
}

/// A computer with a synced folder.
pub struct Computer {
    name: String,
    /// Its client's home.
    pub home: PathBuf,
    /// Its synced folder.
    pub folder: PathBuf,
    running: Option<Running>,
}

impl Computer {
    /// A client's command line, not yet started. Like that of most people it has no rights but those of the owner of its files,
    /// also where the tests run as root.
    pub fn client(&self, arguments: &[&str]) -> Command {
        let client = programs().join("skep");
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.arg("--bounding-set=-dac_override,-dac_read_search").arg(client);
            command
        } else {
            Command::new(client)
        };
        command.arg("--home").arg(&self.home).args(arguments);
        command
    }

    /// `skep --home H ARGUMENTS` with all rights of this test: what the client starts may need them to find the program.
    pub fn command_with_all_rights(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(programs().join("skep"));
        command.arg("--home").arg(&self.home).args(arguments);
        run(command, "")
    }

    /// `skep --home H ARGUMENTS`.
    pub fn command(&self, arguments: &[&str]) -> Answer {
        run(self.client(arguments), "")
    }

    /// `skep join …` as the contract has it.
    pub fn join(&self, server: &Server) -> Answer {
        self.join_with(server, &server.fingerprint(), PASSWORD)
    }

    /// The same with another fingerprint or password.
    pub fn join_with(&self, server: &Server, fingerprint: &str, password: &str) -> Answer {
        let folder = self.folder.to_str().unwrap();
        let (address, name) = (server.address(), self.name.as_str());
        let line = ["join", &address, "--user", USER, "--password-stdin", "--fingerprint", fingerprint];
        run(self.client(&[&line[..], &["--dir", folder, "--name", name, "--no-daemon"]].concat()), password)
    }

    /// `skep connect SERVER PORT DIR REST…`, not yet started.
    pub fn connecting(&self, server: &Server, rest: &[&str]) -> Command {
        let mut command = self.client(&["connect", "127.0.0.1", &server.port]);
        command.arg(&self.folder).args(rest).args(["--name", &self.name]);
        command
    }

    /// The same, started and running; gives what it has printed on standard output by then.
    #[track_caller]
    pub fn connect(&mut self, server: &Server, rest: &[&str]) -> String {
        let (log, out) = (server.scratch(&format!("{}.log", self.name)), server.scratch(&format!("{}.out", self.name)));
        let mut running = Running::start_apart(self.connecting(server, rest), &log, &out);
        until("the client runs", || {
            let ended = running.0.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", fs::read_to_string(&log).unwrap());
            (self.command(&["daemon", "status"]).code == 0).then_some(())
        });
        self.running = Some(running);
        fs::read_to_string(out).unwrap()
    }

    /// Starts its daemon.
    pub fn start(&mut self) {
        let log = self.home.join("test.log");
        self.running = Some(Running::start(self.client(&["daemon", "run"]), &log));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.running.take().unwrap().end(Signal::KILL);
    }

    /// SIGTERM, which must be a clean stop.
    pub fn stop(&mut self) {
        self.stop_by(Signal::TERM);
    }

    /// Another signal that must be a clean stop.
    pub fn stop_by(&mut self, signal: Signal) {
        assert_eq!(self.running.take().unwrap().end(signal), 0, "a clean stop");
    }

    /// `sync wait`, which must say that everything else is equal; the problems as `CODE path`.
    #[track_caller]
    pub fn wait_with_problems(&self) -> Vec<String> {
        let answer = self.command(&["sync", "wait", "--timeout", "60s"]);
        assert_eq!(answer.code, 7, "{}: {}{}", self.name, answer.err, self.command(&["status"]).out);
        self.problems()
    }

    /// The problems that the status lists, as `CODE path`.
    pub fn problems(&self) -> Vec<String> {
        let status = self.status();
        let problems = status["problems"].as_array().unwrap().iter();
        problems
            .map(|problem| format!("{} {}", problem["code"].as_str().unwrap(), problem["path"].as_str().unwrap_or("")))
            .collect()
    }

    /// `sync wait`, which must say that everything is equal; that a file has two versions is for a person to see, and no hindrance.
    #[track_caller]
    pub fn wait(&self) {
        let answer = self.command(&["sync", "wait", "--timeout", "60s"]);
        if answer.code == 7 && self.problems().iter().all(|problem| problem.starts_with("E-TWO-VERSIONS ")) {
            return;
        }
        assert_eq!(answer.code, 0, "{}: {}{}", self.name, answer.err, self.command(&["status"]).out);
    }

    /// `chmod`.
    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// `status --json`.
    pub fn status(&self) -> Value {
        self.command(&["status", "--json"]).json()
    }

    /// A path in the folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Reads a file; `None` if it is not there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.path(path)).ok()
    }
}

/// Waits until two computers are in step with the server and with each other, and compares everything.
#[track_caller]
pub fn settle(one: &Computer, other: &Computer) {
    // What the one says last may be news for the other.
    for _ in 0..2 {
        one.wait();
        other.wait();
    }
    let (left, right) = (crate::tree::tree(&one.folder), crate::tree::tree(&other.folder));
    let differing: Vec<_> =
        left.keys().chain(right.keys()).filter(|path| left.get(*path) != right.get(*path)).collect();
    assert!(differing.is_empty(), "both say that they are up to date, and differ in {differing:?}");
    for computer in [one, other] {
        let left: Vec<_> = fs::read_dir(computer.path(".skep/staging")).unwrap().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
