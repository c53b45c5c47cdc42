//! The conformance checks on the file system of the temporary directory, and what only a real kernel shows.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use skep_platform::conformance::{Abilities, UserAction, check_files, check_watcher};
use skep_platform::{FileErrorKind, Files, Hint, LinuxFiles, LinuxWatcher, MappedFiles, Watcher};
use skep_types::{Name, NodeId};

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// Tells that the temporary directory is on a disk that is known not to do everything, such as exFAT.
const LIMITED_DISK: &str = "SKEP_TEST_LIMITED_DISK";

/// What the disk can do once it was made to hold every name.
fn abilities() -> Abilities {
    match std::env::var_os(LIMITED_DISK) {
        None => Abilities::ALL,
        Some(_) => Abilities {
            exchange: false,
            symlinks: false,
            executable: false,
            link_mtime: false,
            early_times: false,
            ..Abilities::ALL
        },
    }
}

/// Runs the checks with files that `open` makes of a path, each on a directory of its own.
fn check<F: Files>(abilities: Abilities, open: impl Fn(&Path) -> F) {
    let roots = RefCell::new(Vec::new());
    let fresh = || {
        let root = tempfile::tempdir().unwrap();
        let files = open(root.path());
        roots.borrow_mut().push(root);
        files
    };
    let another = |_: &F| open(roots.borrow().last().unwrap().path());
    check_files(abilities, fresh, another);
}

#[test]
fn linux_files_conform() {
    check(Abilities::ALL, |root| LinuxFiles::open(root).unwrap());
}

#[test]
fn linux_files_made_to_hold_every_name_conform() {
    check(abilities(), |root| {
        let files = MappedFiles::new(LinuxFiles::open(root).unwrap());
        files.learn_names(&files.root().unwrap()).unwrap();
        let is_limited = std::env::var_os(LIMITED_DISK).is_some();
        assert_eq!(files.name_rules().unwrap().hold_all(), !is_limited);
        files
    });
}

#[test]
fn linux_files_conform_where_the_kernel_resolves_no_paths_beneath() {
    check(Abilities::ALL, |root| LinuxFiles::open_by_component(root).unwrap());
}

fn act(root: &Path, open: &RefCell<Option<File>>, action: UserAction<'_>) {
    let at = |path: &str| root.join(path);
    match action {
        UserAction::Write(path, bytes) => fs::write(at(path), bytes).unwrap(),
        UserAction::Open(path) => *open.borrow_mut() = Some(File::create(at(path)).unwrap()),
        UserAction::WriteOpen(bytes) => open.borrow_mut().as_mut().unwrap().write_all(bytes).unwrap(),
        UserAction::Close => *open.borrow_mut() = None,
        UserAction::Read(path) => drop(fs::read(at(path)).unwrap()),
        UserAction::MakeExecutable(path) => fs::set_permissions(at(path), fs::Permissions::from_mode(0o755)).unwrap(),
        UserAction::MakeDir(path) => fs::create_dir(at(path)).unwrap(),
        UserAction::Rename(from, to) => fs::rename(at(from), at(to)).unwrap(),
        UserAction::Remove(path) => fs::remove_file(at(path)).unwrap(),
        UserAction::RemoveDir(path) => fs::remove_dir(at(path)).unwrap(),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn the_linux_watcher_conforms() {
    let root = tempfile::tempdir().unwrap();
    let files = LinuxFiles::open(root.path()).unwrap();
    let watcher = LinuxWatcher::new().unwrap();
    let open = RefCell::new(None);
    block_on(check_watcher(&watcher, &files, |action| act(root.path(), &open, action)));
}

#[test]
fn the_thread_of_a_watcher_ends_with_it() {
    let inotify_count = || {
        let links = fs::read_dir("/proc/self/task").unwrap();
        links
            .filter(|task| {
                fs::read_to_string(task.as_ref().unwrap().path().join("comm"))
                    .is_ok_and(|comm| comm.trim() == "skep-watcher")
            })
            .count()
    };
    // Other tests of this process have watchers of their own: a few of many may remain, not all.
    (0..64).for_each(|_| drop(LinuxWatcher::new().unwrap()));
    while inotify_count() > 8 {
        std::thread::yield_now();
    }
}

#[test]
fn a_storm_of_writes_is_one_hint_and_loses_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let files = LinuxFiles::open(root.path()).unwrap();
    let watcher = LinuxWatcher::new().unwrap();
    let node = NodeId::from_bytes([1; 16]);
    watcher.watch(&files.root().unwrap(), node).unwrap();
    (0..500).for_each(|round| fs::write(root.path().join("busy"), vec![0; round]).unwrap());
    (0..500).for_each(|number| fs::write(root.path().join(format!("{number:03}")), b"x").unwrap());
    fs::write(root.path().join("last"), b"").unwrap();
    let mut hints = Vec::new();
    let is_at = |hint: &Hint, at: &str| matches!(hint, Hint::Entry { name: entry, .. } if *entry == name(at));
    block_on(async {
        while !hints.iter().any(|hint| is_at(hint, "last")) {
            hints.extend(watcher.hints().await);
        }
    });
    for number in 0..500 {
        assert!(hints.iter().any(|hint| is_at(hint, &format!("{number:03}"))));
    }
}

#[test]
fn only_what_can_be_synced_has_a_kind() {
    let root = tempfile::tempdir().unwrap();
    let files = LinuxFiles::open(root.path()).unwrap();
    let dir = files.root().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    let fifo = root.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for special in ["socket", "fifo"] {
        assert_eq!(files.stat(&dir, &name(special)).unwrap().unwrap().kind, None);
        assert_eq!(files.read(&dir, &name(special)).unwrap_err().kind, FileErrorKind::WrongKind, "{special}");
    }
    assert!(files.list(&dir).unwrap().iter().all(|(_, stat)| stat.kind.is_none()));
}

#[test]
fn runs_of_zeros_take_no_room() {
    let root = tempfile::tempdir().unwrap();
    let files = LinuxFiles::open(root.path()).unwrap();
    let mut expected = Vec::new();
    let mut writer = files.create(&files.root().unwrap(), &name("image")).unwrap();
    let (hole, short_hole) = (vec![0; 8 << 20], vec![0; 100]);
    for piece in [&hole[..], b"data", &short_hole, b"\0\0", &hole, b"x", &hole] {
        std::io::Write::write_all(&mut writer, piece).unwrap();
        expected.extend_from_slice(piece);
    }
    drop(writer);
    let path = root.path().join("image");
    let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap());
    assert!(fs::read(&path).unwrap() == expected);
    assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
}

#[test]
fn other_file_systems_are_not_crossed() {
    for files in [LinuxFiles::open("/").unwrap(), LinuxFiles::open_by_component("/").unwrap()] {
        let root = files.root().unwrap();
        assert_eq!(files.stat(&root, &name("proc")).unwrap().unwrap().kind, None);
        assert_eq!(files.open_dir(&root, &[name("proc")]).unwrap_err().kind, FileErrorKind::WrongKind);
        let below = files.open_dir(&root, &[name("proc"), name("self")]).unwrap_err();
        assert_eq!(below.kind, FileErrorKind::WrongKind);
    }
}

#[test]
fn executable_bits_follow_the_right_to_read() {
    let root = tempfile::tempdir().unwrap();
    let files = LinuxFiles::open(root.path()).unwrap();
    let dir = files.root().unwrap();
    let path: PathBuf = root.path().join("file");
    fs::write(&path, b"").unwrap();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    for (before, with) in [(0o640, 0o750), (0o600, 0o700), (0o644, 0o755), (0o755, 0o755)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
        files.set_executable(&dir, &name("file"), true).unwrap();
        assert_eq!(mode(), with);
        files.set_executable(&dir, &name("file"), false).unwrap();
        assert_eq!(mode(), with & !0o111);
    }
}

#[test]
fn names_are_bytes_and_long_paths_are_no_limit() {
    let root = tempfile::tempdir().unwrap();
    for files in [LinuxFiles::open(root.path()).unwrap(), LinuxFiles::open_by_component(root.path()).unwrap()] {
        let top = files.root().unwrap();
        let odd = Name::new(vec![b'a', 0xff, b'\n', b'\\']).unwrap();
        files.make_dir(&top, &odd).unwrap();
        assert_eq!(files.list(&top).unwrap()[0].0, odd);
        let long = Name::new(vec![b'x'; 255]).unwrap();
        let mut dir = files.open_dir(&top, std::slice::from_ref(&odd)).unwrap();
        let mut path = vec![odd.clone()];
        for _ in 0..40 {
            files.make_dir(&dir, &long).unwrap();
            dir = files.open_dir(&dir, std::slice::from_ref(&long)).unwrap();
            path.push(long.clone());
        }
        let found = files.open_dir(&top, &path).unwrap();
        assert_eq!(files.stat_dir(&found).unwrap(), files.stat_dir(&dir).unwrap());
        while let Some(last) = path.pop() {
            files.remove_dir(&files.open_dir(&top, &path).unwrap(), &last).unwrap();
        }
    }
}

#[test]
fn a_missing_or_replaced_root_shows() {
    let root = tempfile::tempdir().unwrap();
    let at = root.path().join("root");
    assert_eq!(LinuxFiles::open(&at).unwrap_err().kind, FileErrorKind::NotFound);
    fs::create_dir(&at).unwrap();
    let files = LinuxFiles::open(&at).unwrap();
    let before = files.stat_dir(&files.root().unwrap()).unwrap();
    fs::rename(&at, root.path().join("aside")).unwrap();
    assert_eq!(files.root().unwrap_err().kind, FileErrorKind::NotFound);
    fs::create_dir(&at).unwrap();
    assert_ne!(files.stat_dir(&files.root().unwrap()).unwrap().inode, before.inode);
    fs::remove_dir(&at).unwrap();
    fs::write(&at, b"").unwrap();
    assert_eq!(files.root().unwrap_err().kind, FileErrorKind::WrongKind);
}
