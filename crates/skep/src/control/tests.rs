//! Both ends of the control socket.

use std::sync::Arc;

use skep_client::State;
use skep_platform::Tasks;
use skep_platform::runtime::RuntimeTasks;
use skep_protocol::Fingerprint;
use skep_types::{AccountId, DeviceId, DriveId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::home::{Config, DeviceConfig, FolderConfig, Home, ServerConfig};

struct Scripted;

impl Control for Scripted {
    fn status(&self) -> BoxFuture<'static, Status> {
        Box::pin(async {
            Status {
                state: State::Syncing,
                confirmed: None,
                files: 1,
                bytes: 2,
                queue_files: 3,
                queue_bytes: 4,
                problems: Vec::new(),
                watch_degraded: false,
                two_versions: 0,
                ignored: 0,
                not_synced: 0,
                not_synced_told: Vec::new(),
                shown_otherwise: 0,
                shown_otherwise_told: Vec::new(),
                pause: None,
                audit: Default::default(),
                checked: skep_client::Checked::default(),
                changes_since: None,
            }
        })
    }

    fn report(&self, path: String) -> BoxFuture<'static, PathReport> {
        Box::pin(async { PathReport { path, state: "waiting", reason: "because".into() } })
    }

    fn wait(&self, timeout_ms: u64) -> BoxFuture<'static, WaitOutcome> {
        let outcomes = [WaitOutcome::Equal, WaitOutcome::NeedsPerson, WaitOutcome::Offline, WaitOutcome::TimedOut];
        Box::pin(async move { outcomes[timeout_ms as usize] })
    }

    fn list(&self, path: PathNames, after: Option<NameText>) -> BoxFuture<'static, Option<(Vec<EntryAnswer>, bool)>> {
        Box::pin(async move { (path.is_empty() && after.is_none()).then(|| (Vec::new(), true)) })
    }

    fn conflicts(&self) -> BoxFuture<'static, Vec<ConflictAnswer>> {
        Box::pin(async { Vec::new() })
    }

    fn resolve(&self, _path: PathNames, keep: KeepWord) -> BoxFuture<'static, Resolved> {
        Box::pin(async move { if keep == KeepWord::Both { Resolved::Done } else { Resolved::Refused("no".into()) } })
    }

    fn ignored(&self) -> BoxFuture<'static, Vec<IgnoredAnswer>> {
        Box::pin(async { Vec::new() })
    }

    fn check_ignored(&self, path: PathNames, _kind: Kind) -> BoxFuture<'static, Option<IgnoreRuleAnswer>> {
        let rule = IgnoreRuleAnswer { depth: 1, file: None, line: 2, pattern: "*.o".into(), ignored: true };
        Box::pin(async move { (!path.is_empty()).then_some(rule) })
    }

    fn selection(&self) -> BoxFuture<'static, Vec<SelectableAnswer>> {
        Box::pin(async { Vec::new() })
    }

    fn select(
        &self,
        _path: PathNames,
        _wish: Selecting,
        _dry_run: bool,
    ) -> BoxFuture<'static, Result<SelectableAnswer, NotSelected>> {
        Box::pin(async { Err(NotSelected { code: "E-SELECTION", message: "no".into(), hint: "none".into() }) })
    }

    fn limit(&self, _sync: SyncConfig) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn hold(&self) -> BoxFuture<'static, Option<HoldAnswer>> {
        let hold = HoldAnswer {
            id: "7".into(),
            since: "2026-11-20T18:00:00Z".into(),
            found: "at_start".into(),
            files: 3,
            directories: 1,
            folder_files: 4,
            percent: 75,
            places: Vec::new(),
        };
        Box::pin(async move { Some(hold) })
    }

    fn decide_hold(&self, id: String, _: Option<PathNames>, _: DecisionWord) -> BoxFuture<'static, bool> {
        Box::pin(async move { id == "7" })
    }

    fn verify(&self) -> BoxFuture<'static, Result<Verified, String>> {
        Box::pin(async { Ok(Verified { files: 1, bytes: 2, damaged: vec!["a".into()], unreadable: Vec::new() }) })
    }

    fn compare(&self) -> BoxFuture<'static, Compared> {
        Box::pin(async { Compared::Unknown("Why.".into()) })
    }

    fn pause(&self, pause: Option<PauseConfig>) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move { if pause.is_some() { Ok(()) } else { Err("no".into()) } })
    }

    fn activity(&self, _after: u64) -> BoxFuture<'static, Vec<ActivityLine>> {
        Box::pin(async { Vec::new() })
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

#[tokio::test]
async fn commands_get_their_answers_and_nonsense_gets_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::find(Some(dir.path().to_owned())).unwrap();
    assert!(DaemonConnection::open(&home).await.is_none());
    let config = Arc::new(Config {
        server: ServerConfig { url: "attic".parse().unwrap(), fingerprint: Fingerprint([0; 32]) },
        device: DeviceConfig {
            name: "thinkpad".into(),
            id: DeviceId::from_bytes([1; 8]),
            account: AccountId::from_bytes([2; 16]),
            user: "maya".into(),
            account_id: None,
        },
        folder: FolderConfig {
            local: "/data/Skep".into(),
            drive: DriveId::from_bytes([4; 16]),
            root: skep_client::RootId::from_bytes([5; 16]),
        },
        safety: None,
        pause: None,
        selection: None,
        sync: None,
        update: None,
    });
    let server = ControlServer::bind(&home).unwrap();
    let (stop, mut stopped) = mpsc::channel(1);
    let tasks = RuntimeTasks::new(tokio::runtime::Handle::current());
    tasks.spawn("control", serve(server, Arc::new(Scripted), config.clone(), tasks.clone(), stop));

    let mut daemon = DaemonConnection::open(&home).await.unwrap();
    let expected = StatusAnswer::of(&Scripted.status().await, &config);
    let answer = daemon.ask(&ControlRequest::Status).await.unwrap();
    assert_eq!(answer, ControlAnswer::Status(Box::new(expected)));
    let answer = daemon.ask(&ControlRequest::StatusOf { path: "a/b".into() }).await.unwrap();
    assert!(matches!(answer, ControlAnswer::StatusOf(PathAnswer { path, .. }) if path == "a/b"));
    for timeout_ms in 0..4 {
        let answer = daemon.ask(&ControlRequest::Wait { timeout_ms }).await.unwrap();
        let ControlAnswer::Waited { outcome, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(WaitOutcome::from(outcome), Scripted.wait(timeout_ms).await);
    }
    let answer = daemon.ask(&ControlRequest::List { path: Vec::new(), after: None }).await.unwrap();
    assert_eq!(answer, ControlAnswer::Listed { schema: 1, entries: Vec::new(), more: true });
    let nowhere = vec![NameText::Text("x".into())];
    let answer = daemon.ask(&ControlRequest::List { path: nowhere.clone(), after: None }).await.unwrap();
    assert_eq!(answer, ControlAnswer::NotThere { schema: 1 });
    let answer = daemon.ask(&ControlRequest::Conflicts).await.unwrap();
    assert_eq!(answer, ControlAnswer::Conflicts { schema: 1, conflicts: Vec::new() });
    let answer = daemon.ask(&ControlRequest::Resolve { path: nowhere, keep: KeepWord::Copy }).await.unwrap();
    assert_eq!(answer, ControlAnswer::Resolved { schema: 1, outcome: Resolved::Refused("no".into()) });
    let answer = daemon.ask(&ControlRequest::Hold).await.unwrap();
    assert_eq!(answer, ControlAnswer::Hold { schema: 1, hold: Scripted.hold().await });
    let answer = daemon.ask(&ControlRequest::Verify).await.unwrap();
    let (damaged, unreadable) = (vec!["a".to_owned()], Vec::new());
    assert_eq!(answer, ControlAnswer::Verified { schema: 1, files: 1, bytes: 2, damaged, unreadable });
    let answer = daemon.ask(&ControlRequest::Compare).await.unwrap();
    let result = ComparedAnswer::Unknown { why: "Why.".into() };
    assert_eq!(answer, ControlAnswer::Compared { schema: 1, result });
    for (id, done) in [("7", true), ("8", false)] {
        let decision = DecisionWord::BringBack;
        let request = ControlRequest::DecideHold { id: id.into(), under: None, decision };
        assert_eq!(daemon.ask(&request).await.unwrap(), ControlAnswer::HoldDecided { schema: 1, done });
    }
    let pause = Some(PauseConfig { until: Some("2026-11-20T18:00:00Z".into()) });
    let answer = daemon.ask(&ControlRequest::Pause { pause: pause.clone() }).await.unwrap();
    assert_eq!(answer, ControlAnswer::Paused { schema: 1, pause });
    assert!(daemon.ask(&ControlRequest::Pause { pause: None }).await.is_err());
    let answer = daemon.ask(&ControlRequest::Stop).await.unwrap();
    assert_eq!(answer, ControlAnswer::Stopping { schema: 1 });
    assert_eq!(stopped.recv().await, Some(()));

    let mut stream = socket::connect(&home).await.unwrap();
    stream.write_all(b"{\"request\":\"dance\"}\n").await.unwrap();
    let mut start = vec![0; 27];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(start, br#"{"answer":"error","schema":"#);
}
