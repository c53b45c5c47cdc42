//! Every rule of apply, and what a person's program or a kill does at every point of it.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use skep_planner::{ApplyError, ApplyKind, ApplyOperation, Location};
use skep_platform::Files;
use skep_sim::disk::{DiskConfig, SimDisk};
use skep_types::{Content, ContentId, DeviceId, DriveId, FileContent, Mode, Name, NodeId, Stat, Timestamp};

use super::*;
use crate::root::{Marker, RootId, open_root, prepare_root};
use crate::safe::look_through;

const ID: RootId = RootId::from_bytes([5; 16]);
const KEEP_MS: u64 = 1_000_000_000;
/// More calls than any operation makes.
const CALLS_MAX: u32 = 32;

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn at(path: &str) -> Location {
    let mut names: Vec<Name> = path.split('/').map(name).collect();
    let name = names.pop().unwrap();
    Location { dir: names, name }
}

fn disk(config: DiskConfig) -> SimDisk {
    let ticks = AtomicU64::new(1_000_000);
    let clock = move || Timestamp::default().plus_milliseconds(ticks.fetch_add(10, Ordering::Relaxed));
    let disk = SimDisk::new(config, Arc::new(clock));
    let marker = Marker { id: ID, drive: DriveId::from_bytes([1; 16]), device: DeviceId::from_bytes([2; 8]) };
    prepare_root(&disk, marker).unwrap();
    disk
}

fn root(disk: &SimDisk) -> Root<SimDisk> {
    open_root(disk, ID).unwrap()
}

fn file(bytes: &[u8]) -> Content {
    let mtime = Timestamp { seconds: 77, nanoseconds: 7 };
    Content::File(FileContent { id: id_of(bytes), size: bytes.len() as u64, mtime })
}

fn id_of(bytes: &[u8]) -> ContentId {
    if bytes.is_empty() { ContentId::Empty } else { ContentId::Chunk(skep_content::chunk_id(bytes)) }
}

fn hash(root: &Root<SimDisk>, dir: &<SimDisk as Files>::Dir, name: &Name) -> Result<ContentId, FileError> {
    let mut bytes = Vec::new();
    root.files.read(dir, name)?.0.read_to_end(&mut bytes).unwrap();
    Ok(id_of(&bytes))
}

fn stage(root: &Root<SimDisk>, text: &str, bytes: &[u8]) -> Staged {
    let mut writer = root.files.create(&root.staging, &name(text)).unwrap();
    writer.write_all(bytes).unwrap();
    Some(Ok(name(text)))
}

fn apply(root: &Root<SimDisk>, kinds: Vec<(ApplyKind, Staged)>) -> Vec<ApplyResult> {
    let (operations, staged): (Vec<_>, Vec<_>) = kinds
        .into_iter()
        .map(|(kind, staged)| (ApplyOperation { node: NodeId::ROOT, kind, nearby: None }, staged))
        .unzip();
    apply_batch(root, &operations, &staged, [9; 4], &|dir, name| hash(root, dir, name))
}

fn one(root: &Root<SimDisk>, kind: ApplyKind, staged: Staged) -> ApplyResult {
    apply(root, vec![(kind, staged)]).remove(0)
}

/// What the person sees: every file outside `.skep`, by path.
fn visible(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let paths = disk.tree().into_keys().map(|path| String::from_utf8(path).unwrap());
    paths
        .filter(|path| !path.starts_with(".skep"))
        .filter_map(|path| disk.user().read(&path).ok().map(|bytes| (path, bytes.to_vec())))
        .collect()
}

/// The contents of every file, wherever it is.
fn contents(disk: &SimDisk) -> BTreeSet<Vec<u8>> {
    disk.tree().keys().filter_map(|path| disk.user().read(path).ok()).map(|bytes| bytes.to_vec()).collect()
}

fn in_safe(disk: &SimDisk) -> Vec<Vec<u8>> {
    let paths = disk.tree().into_keys().filter(|path| path.starts_with(b".skep/trash/"));
    paths.map(|path| disk.user().read(&path).unwrap().to_vec()).collect()
}

fn mode() -> Mode {
    Mode::default()
}

#[test]
fn a_batch_is_done_in_its_order() {
    let disk = disk(DiskConfig::default());
    let root = root(&disk);
    let create = |path: &str, content: Content| ApplyKind::Create { at: at(path), content, mode: mode() };
    let link = Content::Symlink { target: b"../x".to_vec() };
    let results = apply(
        &root,
        vec![
            (create("d", Content::Directory), None),
            (create("d/f", file(b"one")), stage(&root, "s1", b"one")),
            (create("d/l", link), None),
            (create("d/f", file(b"two")), stage(&root, "s2", b"two")),
            (create("none/f", file(b"3")), stage(&root, "s3", b"3")),
        ],
    );
    assert!(results[..3].iter().all(|result| matches!(result, Ok(Some(_)))));
    assert_eq!(results[3..], [Err(ApplyError::Changed), Err(ApplyError::Changed)]);
    let dir = results[0].clone().unwrap().unwrap();
    assert_eq!(dir.inode, disk.user().stat("d").unwrap().inode);
    let results = apply(
        &root,
        vec![
            (ApplyKind::Rename { from: at("d"), to: at("e"), expected: dir }, None),
            (create("e/g", file(b"four")), stage(&root, "s4", b"four")),
            (create("d/h", file(b"five")), stage(&root, "s5", b"five")),
        ],
    );
    assert!(results[0].is_ok() && results[1].is_ok());
    assert_eq!(results[2], Err(ApplyError::Changed));
    let seen = visible(&disk);
    assert!(seen.contains(&("e/f".into(), b"one".to_vec())) && seen.contains(&("e/g".into(), b"four".to_vec())));
    assert!(!disk.tree().keys().any(|path| path.starts_with(b".skep/staging/")), "what was not used is gone");
}

#[test]
fn what_was_applied_survives_a_power_cut() {
    for seed in 0..30 {
        let disk = disk(DiskConfig::default());
        disk.user().write("f", b"old").unwrap();
        disk.user().write("gone", b"rest").unwrap();
        disk.write_back();
        let root = root(&disk);
        let (f, gone) = (disk.user().stat("f").unwrap(), disk.user().stat("gone").unwrap());
        let results = apply(
            &root,
            vec![
                (
                    ApplyKind::Replace { at: at("f"), content: file(b"new"), mode: mode(), expected: f },
                    stage(&root, "s", b"new"),
                ),
                (ApplyKind::Create { at: at("d"), content: Content::Directory, mode: mode() }, None),
                (ApplyKind::Rename { from: at("gone"), to: at("d/here"), expected: gone }, None),
            ],
        );
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        disk.power_cut(seed);
        assert_eq!(visible(&disk), [("d/here".into(), b"rest".to_vec()), ("f".into(), b"new".to_vec())]);
        assert_eq!(in_safe(&disk), [b"old".to_vec()]);
    }
}

#[test]
fn the_safe_keeps_for_a_while() {
    let disk = disk(DiskConfig::default());
    disk.user().write("f", b"old").unwrap();
    let root = root(&disk);
    let expected = disk.user().stat("f").unwrap();
    assert_eq!(one(&root, ApplyKind::Remove { at: at("f"), expected }, None), Ok(None));
    assert_eq!(in_safe(&disk), [b"old".to_vec()]);
    let soon = Timestamp::default().plus_milliseconds(2_000_000);
    assert_eq!(look_through(&root, soon, KEEP_MS), Ok(Vec::new()));
    assert_eq!(in_safe(&disk), [b"old".to_vec()]);
    assert_eq!(look_through(&root, soon.plus_milliseconds(KEEP_MS), KEEP_MS), Ok(Vec::new()));
    assert!(in_safe(&disk).is_empty());
}

#[test]
fn a_displaced_file_that_is_written_on_comes_back() {
    let disk = disk(DiskConfig::default());
    disk.user().write("report.odt", b"old").unwrap();
    let open = disk.user().open("report.odt").unwrap();
    let root = root(&disk);
    let expected = disk.user().stat("report.odt").unwrap();
    let kind = ApplyKind::Replace { at: at("report.odt"), content: file(b"new"), mode: mode(), expected };
    assert!(one(&root, kind, stage(&root, "s", b"new")).is_ok());
    open.append(b" and more").unwrap();
    let back = look_through(&root, Timestamp::default(), KEEP_MS).unwrap();
    assert_eq!(back, [name("report (two versions, kept 1).odt")]);
    assert!(contents(&disk).contains(b"old and more".as_slice()));
    assert_eq!(disk.user().read("report.odt").unwrap().as_slice(), b"new");
}

#[test]
fn a_directory_goes_only_empty() {
    let disk = disk(DiskConfig::default());
    disk.user().make_dir("d").unwrap();
    disk.user().write("d/f", b"1").unwrap();
    let root = root(&disk);
    let expected = disk.user().stat("d").unwrap();
    let remove = || ApplyKind::Remove { at: at("d"), expected };
    assert_eq!(one(&root, remove(), None), Err(ApplyError::NotEmpty));
    disk.user().remove_file("d/f").unwrap();
    assert_eq!(one(&root, remove(), None), Ok(None));
    assert_eq!(one(&root, remove(), None), Err(ApplyError::Changed));
}

#[test]
fn mtime_and_mode_are_set_only_on_what_was_expected() {
    let disk = disk(DiskConfig::default());
    disk.user().write("f", b"1").unwrap();
    let root = root(&disk);
    let expected = disk.user().stat("f").unwrap();
    let Content::File(content) = file(b"1") else { panic!("a file") };
    let touch = |expected: Stat| ApplyKind::Touch { at: at("f"), content, mode: Mode { executable: true }, expected };
    let done = one(&root, touch(expected), None).unwrap().unwrap();
    assert_eq!((done.mtime, done.executable, done.inode), (content.mtime, true, expected.inode));
    assert_eq!(one(&root, touch(expected), None), Err(ApplyError::Changed));
    disk.user().write("f", b"22").unwrap();
    assert_eq!(one(&root, touch(done), None), Err(ApplyError::Changed));
}

#[test]
fn a_full_disk_and_a_failed_sync_are_told() {
    let disk = disk(DiskConfig::default());
    let root = root(&disk);
    let create = |path: &str| ApplyKind::Create { at: at(path), content: Content::Directory, mode: mode() };
    disk.fail_next("make_dir", 1, FileErrorKind::NoSpace);
    let results = apply(&root, vec![(create("a"), None), (create("b"), None)]);
    assert_eq!(results[0], Err(ApplyError::NoSpace));
    assert!(results[1].is_ok(), "one failure does not stop the next");
    disk.fail_next("make_durable", 1, FileErrorKind::Other);
    assert!(matches!(one(&root, create("c"), None), Err(ApplyError::Failed(_))));
}

/// What a person's program does in the middle of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surprise {
    /// Saves by writing into the file.
    Write,
    /// Saves by renaming a new file over it.
    Save,
    MoveAway,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Create,
    Replace,
    Remove,
    Rename,
    Touch,
}

/// How an operation with surprises ended.
struct Outcome {
    disk: SimDisk,
    /// `None`: it was killed.
    result: Option<ApplyResult>,
    /// The surprises that came before its end, by number.
    happened: Vec<(usize, Surprise)>,
}

/// Does one operation on the file `f`, which holds `old`, with surprises at some of its calls and a kill at another one. Gives back the
/// disk and what came of it, if it was not killed.
fn surprised(config: &DiskConfig, attempt: Attempt, surprises: &[(u32, Surprise)], kill_at: Option<u32>) -> Outcome {
    let disk = disk(config.clone());
    if attempt != Attempt::Create {
        disk.user().write("f", b"old").unwrap();
    }
    let root = root(&disk);
    let expected = disk.user().stat("f").ok();
    let Content::File(content) = file(b"new") else { panic!("a file") };
    let (kind, staged) = match (attempt, expected) {
        (Attempt::Create, _) | (_, None) => {
            (ApplyKind::Create { at: at("f"), content: file(b"new"), mode: mode() }, stage(&root, "s", b"new"))
        }
        (Attempt::Replace, Some(expected)) => (
            ApplyKind::Replace { at: at("f"), content: file(b"new"), mode: mode(), expected },
            stage(&root, "s", b"new"),
        ),
        (Attempt::Remove, Some(expected)) => (ApplyKind::Remove { at: at("f"), expected }, None),
        (Attempt::Rename, Some(expected)) => (ApplyKind::Rename { from: at("f"), to: at("g"), expected }, None),
        (Attempt::Touch, Some(expected)) => (ApplyKind::Touch { at: at("f"), content, mode: mode(), expected }, None),
    };
    let calls = AtomicU32::new(0);
    let happened = Arc::new(Mutex::new(Vec::new()));
    let (user, surprises, notes) = (disk.user(), surprises.to_vec(), happened.clone());
    disk.set_hook(Some(Arc::new(move |_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        for (number, (_, surprise)) in surprises.iter().enumerate().filter(|(_, (at, _))| *at == call) {
            let saved = format!("saved {number}");
            let done = match surprise {
                Surprise::Write => user.write("f", saved.as_bytes()),
                Surprise::Save => user.replace("f", saved.as_bytes()),
                Surprise::MoveAway => user.rename("f", format!("moved {number}")),
                Surprise::Remove => user.remove_file("f"),
            };
            // What cannot be done is not done: the file may be gone.
            if done.is_ok() {
                notes.lock().unwrap().push((number, *surprise));
            }
        }
        if kill_at == Some(call) {
            resume_unwind(Box::new("killed"));
        }
    })));
    let result = catch_unwind(AssertUnwindSafe(|| one(&root, kind, staged))).ok();
    disk.set_hook(None);
    let happened = happened.lock().unwrap().clone();
    Outcome { disk, result, happened }
}

const ATTEMPTS: [Attempt; 5] = [Attempt::Create, Attempt::Replace, Attempt::Remove, Attempt::Rename, Attempt::Touch];

fn configs() -> [DiskConfig; 2] {
    [DiskConfig::default(), DiskConfig { has_exchange: false, ..DiskConfig::default() }]
}

impl Outcome {
    /// What the person saved last must be visible; what was there before, somewhere.
    fn assert_kept(&self, attempt: Attempt, context: &str) {
        let context = format!("{attempt:?} {context} {:?} {:?}", self.happened, self.result);
        let seen: BTreeSet<Vec<u8>> = visible(&self.disk).into_iter().map(|(_, bytes)| bytes).collect();
        let mut is_replaced = false;
        for (number, surprise) in self.happened.iter().rev() {
            let saved = format!("saved {number}").into_bytes();
            if matches!(surprise, Surprise::Write | Surprise::Save) && !is_replaced {
                assert!(seen.contains(&saved), "{context}: what was saved last is not visible: {seen:?}");
            }
            is_replaced |= *surprise != Surprise::MoveAway;
        }
        if !is_replaced && attempt != Attempt::Create {
            assert!(contents(&self.disk).contains(b"old".as_slice()), "{context}: the old content is gone");
        }
    }
}

#[test]
fn nothing_is_lost_whatever_a_program_does_at_any_call() {
    let surprises = [Surprise::Write, Surprise::Save, Surprise::MoveAway, Surprise::Remove];
    for config in configs() {
        for attempt in ATTEMPTS {
            for call in 0..CALLS_MAX {
                for surprise in surprises {
                    let outcome = surprised(&config, attempt, &[(call, surprise)], None);
                    let context = format!("exchange {} call {call}", config.has_exchange);
                    outcome.assert_kept(attempt, &context);
                    look_through(&root(&outcome.disk), Timestamp::default(), KEEP_MS).unwrap();
                    outcome.assert_kept(attempt, &context);
                }
            }
        }
    }
}

#[test]
fn nothing_is_lost_by_two_saves_in_a_row() {
    for config in configs() {
        for attempt in ATTEMPTS {
            for first in 0..CALLS_MAX {
                for second in first..CALLS_MAX {
                    let both = [(first, Surprise::Save), (second, Surprise::Save)];
                    let outcome = surprised(&config, attempt, &both, None);
                    outcome.assert_kept(attempt, &format!("exchange {} {both:?}", config.has_exchange));
                }
            }
        }
    }
}

#[test]
fn nothing_is_lost_by_a_kill_after_a_save() {
    for config in configs() {
        for attempt in ATTEMPTS {
            for save in 0..CALLS_MAX {
                for kill in save..CALLS_MAX {
                    let outcome = surprised(&config, attempt, &[(save, Surprise::Save)], Some(kill));
                    let context = format!("exchange {} save {save} kill {kill}", config.has_exchange);
                    outcome.disk.crash();
                    look_through(&root(&outcome.disk), Timestamp::default(), KEEP_MS).unwrap();
                    outcome.assert_kept(attempt, &context);
                    let came_back = |(path, bytes): &(String, Vec<u8>)| path.contains("kept") && bytes == b"new";
                    assert!(!visible(&outcome.disk).iter().any(came_back), "{context}: ours came back as the person's");
                }
            }
        }
    }
}
