//! Where the client crate is driven from: the only place that knows how an engine is started.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use skep_client::{
    Account, Client, Compared, Conflict, Feed, HoldId, Machine, Marker, PathReport, Problem, RootError, RootId,
    SafeEntry, SafeOfRoot, SqliteTrees, Start, StartError, State, Status, Verified, WaitOutcome, Wishes,
};
use skep_platform::runtime::{RuntimeClock, RuntimeTasks, SystemEntropy};
use skep_platform::talk::{Complaint, Exit};
use skep_platform::{
    Entropy, FileError, FileErrorKind, Files, Lane, MappedFiles, MappedWatcher, NativeFiles, NativeWatcher, Tasks,
    offload, own_files,
};
use skep_types::{DriveId, Kind, Limits, Mode, Name, Timestamp};

use crate::activity::{self, ActivityLine};
use crate::control::{
    ConflictAnswer, Control, DecisionWord, EntryAnswer, HoldAnswer, IgnoreRuleAnswer, IgnoredAnswer, KeepWord,
    NotSelected, Resolved, SelectableAnswer, Selecting,
};
use crate::home::{Config, Home, NotHere, PauseConfig, SelectionConfig, SyncConfig};
use crate::link::HttpLink;
use crate::names::{self, NameText, PathNames};
use crate::{place, remote};

/// The files of a synced folder.
pub type RootFiles = MappedFiles<NativeFiles>;

/// Entries of a directory that one answer holds.
const PAGE_ENTRIES: usize = 5_000;

/// A fresh identity for a folder that is about to join.
pub fn new_root_id() -> RootId {
    RootId::from_bytes(SystemEntropy.bytes())
}

/// Makes a folder one that this client syncs: its marker says so from now on.
pub fn prepare_root(root: &Path, config: &Config) -> Result<(), Complaint> {
    let files = NativeFiles::open(root).map_err(|error| root_complaint(root, RootError::Disk(error)))?;
    let marker = Marker { id: config.folder.root, drive: config.folder.drive, device: config.device.id };
    skep_client::prepare_root(&files, marker).map_err(|error| root_complaint(root, error))
}

/// The drive that a folder shows already, if it was joined before.
pub fn drive_shown_in(root: &Path) -> Result<Option<DriveId>, Complaint> {
    let files = NativeFiles::open(root).map_err(|error| root_complaint(root, RootError::Disk(error)))?;
    let marker = skep_client::marker_of(&files).map_err(|error| root_complaint(root, error))?;
    Ok(marker.map(|marker| marker.drive))
}

/// Whether the folder is the one that was joined.
pub fn check_root(config: &Config) -> Result<(), Complaint> {
    let root = &config.folder.local;
    let files = NativeFiles::open(root).map_err(|error| root_complaint(root, RootError::Missing(error.message)))?;
    match skep_client::marker_of(&files).map_err(|error| root_complaint(root, error))? {
        Some(marker) if marker.id == config.folder.root => Ok(()),
        Some(_) => Err(root_complaint(root, RootError::Other)),
        None => Err(root_complaint(root, RootError::Missing("it has no marker".into()))),
    }
}

/// What is free on the disk of the folder.
pub fn free_bytes(config: &Config) -> Result<u64, Complaint> {
    let root = &config.folder.local;
    let free = NativeFiles::open(root).and_then(|files| files.free_bytes());
    free.map_err(|error| root_complaint(root, RootError::Disk(error)))
}

/// The safe of the folder.
pub fn safe(config: &Config) -> Result<SafeOfRoot<RootFiles>, Complaint> {
    let root = &config.folder.local;
    let files = NativeFiles::open(root).map_err(|error| root_complaint(root, RootError::Missing(error.message)))?;
    SafeOfRoot::open(&MappedFiles::new(files), config.folder.root).map_err(|error| root_complaint(root, error))
}

/// What lies in a safe, the last first.
pub fn safe_entries(safe: &SafeOfRoot<RootFiles>) -> Result<Vec<SafeEntry>, Complaint> {
    safe.entries().map_err(|error| {
        Complaint::new(Exit::Failed, "E-DISK", format!("Cannot read the safe of this computer: {error}."))
    })
}

/// Why something cannot be done in the folder.
pub fn disk_complaint(config: &Config, error: FileError) -> Complaint {
    root_complaint(&config.folder.local, RootError::Disk(error))
}

/// A copy of a file on its way to any place of this computer.
pub struct Copied {
    files: NativeFiles,
    dir: <NativeFiles as Files>::Dir,
    name: Name,
    writer: <NativeFiles as Files>::Writer,
    shown: String,
}

impl Copied {
    /// Begins a new file; nothing is ever replaced.
    pub fn begin(path: &Path) -> Result<Copied, Complaint> {
        let shown = names::printable(&path.display().to_string());
        let failed = |error: FileError| match error.kind {
            FileErrorKind::Exists => {
                Complaint::new(Exit::Guard, "E-EXISTS", format!("`{shown}` is there already. Nothing was changed."))
                    .hint("Name another one: -o OUT")
            }
            _ => Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot write `{shown}`: {error}.")),
        };
        let name = path.file_name().and_then(|name| names::file_name(name).ok());
        let name =
            name.ok_or_else(|| Complaint::new(Exit::Usage, "E-USAGE", format!("`{shown}` is no name of a file.")))?;
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let files = NativeFiles::open(above).map_err(failed)?;
        let dir = files.root().map_err(failed)?;
        let writer = files.create(&dir, &name).map_err(failed)?;
        Ok(Copied { files, dir, name, writer, shown })
    }

    /// Where its bytes go.
    pub fn writer(&mut self) -> &mut impl std::io::Write {
        &mut self.writer
    }

    /// Removes what there is of it.
    pub fn drop_it(self) {
        drop(self.writer);
        // Whoever asked is told already that it came to nothing.
        let _ = self.files.remove_file(&self.dir, &self.name);
    }

    /// Completes it.
    pub fn finish(mut self, mtime: Timestamp, mode: Mode) -> Result<(), Complaint> {
        use std::io::Write;
        let shown = self.shown;
        let failed =
            |error: String| Complaint::new(Exit::Failed, "E-OUTPUT", format!("Cannot write `{shown}`: {error}."));
        self.writer.flush().map_err(|error| failed(error.to_string()))?;
        drop(self.writer);
        if mode.executable {
            self.files.set_executable(&self.dir, &self.name, true).map_err(|error| failed(error.to_string()))?;
        }
        self.files.set_mtime(&self.dir, &self.name, mtime).map_err(|error| failed(error.to_string()))
    }
}

/// Starts to sync. What is given back answers commands, and stops it.
pub async fn start_client(
    home: &Home,
    config: &Config,
    token: String,
    link: HttpLink,
    tasks: RuntimeTasks,
    limits: Limits,
) -> Result<Arc<dyn Control>, Complaint> {
    let local = &config.folder.local;
    let files = NativeFiles::open(local).map_err(|error| root_complaint(local, RootError::Missing(error.message)))?;
    place::check(home, &own_files::absolute(local).unwrap_or_else(|_| local.clone()))?;
    let watcher = NativeWatcher::new()
        .map_err(|error| Complaint::new(Exit::Failed, "E-WATCH", format!("Cannot watch the folder: {error}.")))?;
    let path = home.state();
    let files = RootFiles::new(files);
    let watcher = MappedWatcher::new(watcher, &files);
    let trees = offload(&tasks, Lane::Database, move || SqliteTrees::open(&path)).await;
    let trees = trees.map_err(|error| error.to_string()).and_then(|opened| opened.map_err(|error| error.to_string()));
    let trees = trees.map_err(|words| {
        Complaint::new(Exit::Failed, "E-STATE", format!("Cannot use `{}`: {words}.", home.state().display()))
            .hint("It holds nothing that cannot be found out again: move it away and start once more")
    })?;
    let clock = RuntimeClock::start();
    let activity_tasks = tasks.clone();
    let world = Arc::new(Machine { clock, entropy: SystemEntropy, tasks, files, watcher, link });
    let account = Account {
        drive: config.folder.drive,
        device: config.device.id,
        device_name: config.device.name.clone(),
        token,
        root: config.folder.root,
        client_version: remote::client_version(),
    };
    let start = Start { world, trees, account, limits, feed: Feed::Push };
    let pause = config.pause.as_ref().map(PauseConfig::as_pause);
    let rates = config.sync.as_ref().map(SyncConfig::rates).unwrap_or_default();
    let selection = config.selection.as_ref().map(SelectionConfig::as_selection).unwrap_or_default();
    match Client::start_with(start, Wishes { pause, selection, rates }).await {
        Ok(client) => {
            // A log that cannot be read begins anew; it is for people only.
            let base = activity::last_number(home).unwrap_or(0);
            activity_tasks.spawn("activity", activity::keep(client.clone(), home.clone(), base));
            Ok(Arc::new(Running { client, home: home.clone(), base, selecting: Arc::default() }))
        }
        Err(StartError::Root(error)) => Err(root_complaint(local, error)),
        Err(error) => Err(Complaint::new(Exit::Failed, "E-START", format!("Cannot start to sync: {error}."))),
    }
}

/// Why a folder cannot be synced, and what to do.
fn root_complaint(root: &Path, error: RootError) -> Complaint {
    let shown = root.display();
    match error {
        RootError::Missing(words) => {
            let what = format!("The folder `{shown}` is not there, or not the one that was joined: {words}.");
            Complaint::new(Exit::Guard, "E-ROOT-MISSING", what)
                .hint("Nothing was deleted anywhere. Mount or move the folder back, then start again")
        }
        RootError::Other => {
            Complaint::new(Exit::Guard, "E-ROOT-OTHER", format!("`{shown}` is not the folder that was joined here."))
                .hint("Nothing was deleted anywhere. Put the right folder back, or join anew with a home of its own")
        }
        RootError::InUse => {
            Complaint::new(Exit::Failed, "E-ROOT-IN-USE", format!("Another client syncs `{shown}` already."))
                .hint("One folder has one client. See what runs:   skep daemon status")
        }
        RootError::Disk(error) => {
            Complaint::new(Exit::Failed, "E-FOLDER", format!("The folder `{shown}` cannot be used: {error}."))
        }
    }
}

/// Changes whether a directory is on this computer. It is kept before the client is told, so that it holds whatever happens then.
async fn select(
    client: &Client,
    home: &Home,
    path: &PathNames,
    wish: Selecting,
    dry_run: bool,
) -> Result<SelectableAnswer, NotSelected> {
    let no = |code, message: String, hint: &str| NotSelected { code, message, hint: hint.into() };
    let shown = names::display(path);
    let names = names::parsed(path).map_err(|error| no("E-NOT-FOUND", error.to_string(), ""))?;
    let found = client.selectable(names).await.map_err(|ended| no("E-DAEMON", ended.to_string(), ""))?;
    let found = found.ok_or_else(|| {
        let what = format!("The server has no directory `{shown}`.");
        no("E-NOT-FOUND", what, "See what is not on this computer:   skep sync ls")
    })?;
    let config = home.joined().map_err(|complaint| no("E-CONFIG", complaint.what, ""))?;
    let free = free_bytes(&config).map_err(|complaint| no("E-FOLDER", complaint.what, ""))?;
    let mut selection = config.selection.unwrap_or_default();
    let is_outside = selection.not_here.iter().any(|not_here| not_here.node == found.node);
    match wish {
        Selecting::Here if !is_outside => {
            let what = format!("`{shown}` is not among what is left out here.");
            return Err(no("E-SELECTION", what, "See what is:   skep sync ls"));
        }
        Selecting::NotHere if is_outside => {
            let what = format!("`{shown}` is not synced on this computer already.");
            return Err(no("E-SELECTION", what, "Bring it back:   skep sync add PATH"));
        }
        Selecting::Here if found.bytes.saturating_sub(found.bytes_here) > free => {
            let (needed, free) = (crate::status::bytes_text(found.bytes), crate::status::bytes_text(free));
            let what = format!("`{shown}` needs {needed}, {free} are free on this disk.");
            return Err(no("E-DISK-FULL", what, "Nothing was changed. Make room, then try again"));
        }
        Selecting::Here => selection.not_here.retain(|not_here| not_here.node != found.node),
        Selecting::NotHere => selection.not_here.push(NotHere { node: found.node, path: shown }),
    }
    let answer = SelectableAnswer::of(&found, free);
    if !dry_run {
        selection.changes += 1;
        let changed = selection.as_selection();
        home.save_selection(selection).map_err(|complaint| no("E-CONFIG", complaint.what, "Nothing was changed"))?;
        client.select(changed).await.map_err(|ended| no("E-DAEMON", ended.to_string(), ""))?;
    }
    Ok(answer)
}

/// The problems of files with two versions, as `skep conflicts` counts them.
async fn two_versions(client: &Client) -> Vec<Problem> {
    if client.status().two_versions == 0 {
        return Vec::new();
    }
    let conflicts = client.conflicts().await.unwrap_or_default();
    let problem = |(index, conflict): (usize, &Conflict)| {
        let answer = ConflictAnswer::from(conflict);
        let copy = conflict.copy.name.display();
        let message = match conflict.original {
            Some(_) => format!("has two versions, both safe: the other one is `{copy}`"),
            None => format!("is not there any more, but a second version of it is: `{copy}`"),
        };
        Problem {
            code: "E-TWO-VERSIONS",
            path: Some(names::display(&answer.path())),
            message,
            hint: format!("skep conflicts show {}", index + 1),
            // Since there are both.
            since: conflict
                .copy
                .mtime
                .max(conflict.original.as_ref().and_then(|original| original.mtime))
                .unwrap_or_default(),
        }
    };
    conflicts.iter().enumerate().map(problem).collect()
}

/// A client at work.
struct Running {
    client: Client,
    home: Home,
    /// The number of the last line of the log that an earlier run wrote.
    base: u64,
    /// The selection is changed by one command at a time.
    selecting: Arc<tokio::sync::Mutex<()>>,
}

impl Control for Running {
    fn status(&self) -> BoxFuture<'static, Status> {
        let client = self.client.clone();
        Box::pin(async move {
            let mut status = client.status();
            status.problems.extend(two_versions(&client).await);
            status
        })
    }

    fn report(&self, path: String) -> BoxFuture<'static, PathReport> {
        let client = self.client.clone();
        let status = client.status();
        if let (State::Stopped, Some(problem)) = (status.state, status.problems.first()) {
            // What is known of the path is of a time before.
            let reason = format!("Nothing is synced: {} ({}) {}", problem.message, problem.code, problem.hint);
            return Box::pin(async move { PathReport { path, state: "problem", reason } });
        }
        let is_paused = status.pause.is_some();
        let names: Result<Vec<Name>, _> =
            path.split('/').filter(|part| !part.is_empty() && *part != ".").map(Name::try_from).collect();
        Box::pin(async move {
            let unknown = |reason: String| PathReport { path: path.clone(), state: "unknown", reason };
            match names {
                Err(error) => unknown(format!("This is no path of the folder: {error}.")),
                Ok(names) => match client.report(names).await {
                    Ok(report) if is_paused && matches!(report.state, "sending" | "receiving" | "waiting") => {
                        PathReport { reason: "Syncing is paused; it goes on when it is resumed.".into(), ..report }
                    }
                    Ok(report) => report,
                    Err(error) => unknown(error.to_string()),
                },
            }
        })
    }

    fn wait(&self, timeout_ms: u64) -> BoxFuture<'static, WaitOutcome> {
        let client = self.client.clone();
        Box::pin(async move {
            match client.wait_equal(timeout_ms).await {
                Ok(WaitOutcome::Equal) if !two_versions(&client).await.is_empty() => WaitOutcome::NeedsPerson,
                Ok(outcome) => outcome,
                Err(_) if client.status().state == State::Stopped => WaitOutcome::NeedsPerson,
                Err(_) => WaitOutcome::Offline,
            }
        })
    }

    fn list(&self, path: PathNames, after: Option<NameText>) -> BoxFuture<'static, Option<(Vec<EntryAnswer>, bool)>> {
        let client = self.client.clone();
        Box::pin(async move {
            let path = names::parsed(&path).ok()?;
            let after = after.map(|name| Name::try_from(&name)).transpose().ok()?;
            let page = client.list(path, after, PAGE_ENTRIES).await.ok()??;
            Some((page.entries.iter().map(EntryAnswer::from).collect(), page.more))
        })
    }

    fn conflicts(&self) -> BoxFuture<'static, Vec<ConflictAnswer>> {
        let client = self.client.clone();
        Box::pin(async move {
            let conflicts = client.conflicts().await.unwrap_or_default();
            conflicts.iter().map(ConflictAnswer::from).collect()
        })
    }

    fn resolve(&self, path: PathNames, keep: KeepWord) -> BoxFuture<'static, Resolved> {
        let client = self.client.clone();
        Box::pin(async move {
            match names::parsed(&path) {
                Err(error) => Resolved::Refused(error.to_string()),
                Ok(path) => match client.resolve(path, keep.into()).await {
                    Ok(done) => done.into(),
                    Err(ended) => Resolved::Refused(ended.to_string()),
                },
            }
        })
    }

    fn ignored(&self) -> BoxFuture<'static, Vec<IgnoredAnswer>> {
        let client = self.client.clone();
        Box::pin(async move {
            let entries = client.ignored().await.unwrap_or_default();
            entries.iter().map(IgnoredAnswer::from).collect()
        })
    }

    fn check_ignored(&self, path: PathNames, kind: Kind) -> BoxFuture<'static, Option<IgnoreRuleAnswer>> {
        let client = self.client.clone();
        Box::pin(async move {
            let path = names::parsed(&path).ok()?;
            client.check_ignored(path, kind).await.ok()?.map(IgnoreRuleAnswer::from)
        })
    }

    fn selection(&self) -> BoxFuture<'static, Vec<SelectableAnswer>> {
        let (client, home) = (self.client.clone(), self.home.clone());
        Box::pin(async move {
            let free = home.joined().and_then(|config| free_bytes(&config)).unwrap_or(0);
            let found = client.deselected().await.unwrap_or_default();
            found.iter().map(|found| SelectableAnswer::of(found, free)).collect()
        })
    }

    fn select(
        &self,
        path: PathNames,
        wish: Selecting,
        dry_run: bool,
    ) -> BoxFuture<'static, Result<SelectableAnswer, NotSelected>> {
        let (client, home, one_at_a_time) = (self.client.clone(), self.home.clone(), self.selecting.clone());
        Box::pin(async move {
            let _turn = one_at_a_time.lock().await;
            select(&client, &home, &path, wish, dry_run).await
        })
    }

    fn limit(&self, sync: SyncConfig) -> BoxFuture<'static, Result<(), String>> {
        let (client, home) = (self.client.clone(), self.home.clone());
        Box::pin(async move {
            let rates = sync.rates();
            home.save_sync(sync).map_err(|complaint| complaint.what)?;
            client.limit(rates);
            Ok(())
        })
    }

    fn hold(&self) -> BoxFuture<'static, Option<HoldAnswer>> {
        let client = self.client.clone();
        Box::pin(async move { client.deletion_hold().await.ok().flatten().as_ref().map(HoldAnswer::from) })
    }

    fn decide_hold(&self, id: String, under: Option<PathNames>, decision: DecisionWord) -> BoxFuture<'static, bool> {
        let client = self.client.clone();
        Box::pin(async move {
            let (Ok(id), Ok(under)) = (u128::from_str_radix(&id, 16), under.as_deref().map(names::parsed).transpose())
            else {
                return false;
            };
            client.decide_hold(HoldId(id), under, decision.into()).await.unwrap_or(false)
        })
    }

    fn verify(&self) -> BoxFuture<'static, Result<Verified, String>> {
        let client = self.client.clone();
        Box::pin(async move { client.verify().await.map_err(|ended| ended.to_string()) })
    }

    fn compare(&self) -> BoxFuture<'static, Compared> {
        let client = self.client.clone();
        Box::pin(async move { client.compare().await })
    }

    fn pause(&self, pause: Option<PauseConfig>) -> BoxFuture<'static, Result<(), String>> {
        let (client, home) = (self.client.clone(), self.home.clone());
        Box::pin(async move {
            let pause = pause.as_ref().map(PauseConfig::as_pause);
            home.save_pause(pause).map_err(|complaint| complaint.what)?;
            client.pause(pause).await.map_err(|ended| ended.to_string())
        })
    }

    fn activity(&self, after: u64) -> BoxFuture<'static, Vec<ActivityLine>> {
        let (client, base) = (self.client.clone(), self.base);
        Box::pin(async move {
            let news = client.activity_after(after.saturating_sub(base)).await;
            news.iter().map(|(number, activity)| ActivityLine::of(base + number, activity)).collect()
        })
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        let client = self.client.clone();
        Box::pin(async move { client.stop().await })
    }
}
