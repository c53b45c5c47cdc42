//! The shapes and texts that scripts and people rely on.

use skep_client::Problem;
use skep_protocol::Fingerprint;
use skep_types::{AccountId, DeviceId, DriveId, Timestamp};

use super::*;
use crate::home::{DeviceConfig, FolderConfig, ServerConfig};

fn now() -> Zoned {
    "2026-11-20T14:10:08Z[UTC]".parse().unwrap()
}

fn config() -> Config {
    Config {
        server: ServerConfig { url: "attic.example.org:443".parse().unwrap(), fingerprint: Fingerprint([0; 32]) },
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
    }
}

fn status(state: State, problems: Vec<Problem>) -> Status {
    Status {
        state,
        confirmed: Some(Timestamp { seconds: 1_795_183_804, nanoseconds: 0 }),
        files: 4182,
        bytes: 13_529_146_982,
        queue_files: 0,
        queue_bytes: 0,
        problems,
        watch_degraded: false,
        two_versions: 0,
        ignored: 0,
        not_synced: 0,
        not_synced_told: Vec::new(),
        shown_otherwise: 0,
        shown_otherwise_told: Vec::new(),
        pause: None,
        audit: AuditState::default(),
        checked: skep_client::Checked::default(),
        changes_since: None,
    }
}

fn two_versions() -> Problem {
    Problem {
        code: "E-TWO-VERSIONS",
        path: Some("Budget\n2026.xlsx".into()),
        message: "Both you and Tom changed it.".into(),
        hint: "skep conflicts show 1".into(),
        since: Timestamp { seconds: 1_795_183_511, nanoseconds: 0 },
    }
}

#[test]
fn the_json_shape_is_what_scripts_rely_on() {
    let answer = StatusAnswer::of(&status(State::UpToDate, vec![two_versions()]), &config());
    let expected = concat!(
        r#"{"schema":1,"state":"attention","server":{"url":"https://attic.example.org:443","reachable":true,"#,
        r#""latency_ms":null,"confirmed_at":"2026-11-20T14:10:04Z"},"folders":[{"id":"fld_01","local":"/data/Skep","#,
        r#""remote":"/","mode":"two-way","state":"up_to_date","files":4182,"bytes":13529146982,"#,
        r#""online_only":{"files":0,"bytes":0},"queue":{"files":0,"bytes":0,"eta_s":null},"watch_degraded":false,"ignored":0,"#,
        r#""not_synced":0,"shown_otherwise":0,"audit":{"completed_at":null,"damaged":0,"last_damaged":null,"last_damaged_at":null},"#,
        r#""verified_at":null,"changes_since_verified":null,"verified_entries":0,"verified_left_out":0,"last_difference":null}],"#,
        r#""problems":[{"code":"E-TWO-VERSIONS","path":"Budget\n2026.xlsx","since":"2026-11-20T14:05:11Z","#,
        r#""message":"Both you and Tom changed it.","hint":"skep conflicts show 1"}],"not_synced":[],"shown_otherwise":[],"paused":null}"#
    );
    assert_eq!(serde_json::to_string(&answer).unwrap(), expected);
    assert_eq!(serde_json::from_str::<StatusAnswer>(expected).unwrap(), answer);
}

#[test]
fn people_read_what_is_well_and_what_is_not() {
    let well = StatusAnswer::of(&status(State::UpToDate, Vec::new()), &config());
    assert_eq!(
        well.text(&now()),
        "● Up to date   server confirmed 4 s ago   https://attic.example.org:443\n  \
         /data/Skep   4,182 files, 13.5 GB\n"
    );
    let mut behind = status(State::Syncing, vec![two_versions()]);
    (behind.queue_files, behind.queue_bytes, behind.watch_degraded) = (1, 999, true);
    assert_eq!(
        StatusAnswer::of(&behind, &config()).text(&now()),
        "▲ 1 thing needs you   server confirmed 4 s ago   https://attic.example.org:443\n  \
         Budget\u{fffd}2026.xlsx   Both you and Tom changed it.   E-TWO-VERSIONS\n      skep conflicts show 1\n  \
         /data/Skep   4,182 files, 13.5 GB\n      waiting: 1 change, 999 B\n      \
         not everything can be watched: changes are found by scans\n"
    );
}

#[test]
fn what_cannot_be_synced_is_named_and_needs_nobody() {
    let mut status = status(State::UpToDate, Vec::new());
    let pipe = Problem { code: "E-SPECIAL-FILE", path: Some("run/pipe".into()), ..two_versions() };
    (status.not_synced, status.not_synced_told) = (1, vec![pipe]);
    let answer = StatusAnswer::of(&status, &config());
    assert_eq!(
        answer.text(&now()),
        "● Up to date   server confirmed 4 s ago   https://attic.example.org:443\n  /data/Skep   4,182 files, 13.5 GB\n      \
         not synced: 1\n        run/pipe   E-SPECIAL-FILE\n        \
         Pipes, sockets, devices and other file systems stay on this computer.\n"
    );
    assert_eq!(answer.check(), Exit::Done);
}

#[test]
fn what_the_disk_shows_by_another_name_is_told_and_needs_nobody() {
    let mut status = status(State::UpToDate, Vec::new());
    let message = "`A.txt` is called `A~0b8f2a11.txt` on this disk, which cannot hold its name here".into();
    let shown = Problem { code: "W-NAME-MAPPED", path: Some("A.txt".into()), message, ..two_versions() };
    (status.shown_otherwise, status.shown_otherwise_told) = (1, vec![shown]);
    let answer = StatusAnswer::of(&status, &config());
    assert_eq!(
        answer.text(&now()),
        "● Up to date   server confirmed 4 s ago   https://attic.example.org:443\n  /data/Skep   4,182 files, 13.5 GB\n      \
         shown by other names: 1\n        \
         `A.txt` is called `A~0b8f2a11.txt` on this disk, which cannot hold its name here   W-NAME-MAPPED\n        \
         This disk cannot hold their names; everywhere else they have them.\n"
    );
    assert_eq!(answer.check(), Exit::Done);
}

#[test]
fn exit_codes_tell_scripts_how_things_stand() {
    for (state, problems, exit) in [
        (State::UpToDate, vec![], Exit::Done),
        (State::Syncing, vec![], Exit::Done),
        (State::UpToDate, vec![two_versions()], Exit::NeedsPerson),
        (State::Offline, vec![two_versions()], Exit::Unreachable),
        (State::Stopped, vec![], Exit::NeedsPerson),
    ] {
        assert_eq!(StatusAnswer::of(&status(state, problems), &config()).check(), exit, "{state:?}");
    }
    assert_eq!(StatusAnswer::not_running(&config(), None).check(), Exit::Unreachable);
    let waits = [WaitOutcome::Equal, WaitOutcome::NeedsPerson, WaitOutcome::Offline, WaitOutcome::TimedOut];
    assert_eq!(waits.map(|outcome| exit_of_wait(outcome) as u8), [0, 7, 10, 10]);
}
