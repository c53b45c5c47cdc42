//! The simulated disk: what a power cut may leave, and what a crash and a hook do.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use skep_platform::conformance::{Abilities, UserAction, check_files, check_watcher};
use skep_platform::{FileErrorKind, Files, Hint, MappedFiles, RenameMode, Watcher};
use skep_sim::disk::{DiskConfig, SimDisk, SimWatcher, TreeEntry};
use skep_types::{Alphabet, Change, Name, NodeId, Timestamp};

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// A disk whose clock goes on by 10 ms with every call.
fn disk(config: DiskConfig) -> SimDisk {
    let ticks = AtomicI64::new(1_000_000_000);
    let clock = move || {
        Timestamp { seconds: 0, nanoseconds: 0 }.plus_milliseconds(ticks.fetch_add(10, Ordering::Relaxed) as u64)
    };
    SimDisk::new(config, Arc::new(clock))
}

fn put(disk: &SimDisk, file: &str, bytes: &[u8]) {
    let root = disk.root().unwrap();
    disk.create(&root, &name(file)).unwrap().write_all(bytes).unwrap();
}

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    disk.user().read(path).ok().map(|bytes| bytes.to_vec())
}

#[test]
fn the_simulated_disk_conforms() {
    check_files(Abilities::ALL, || disk(DiskConfig::default()), SimDisk::another_process);
    let config = DiskConfig { has_exchange: false, has_executable: false, ..DiskConfig::default() };
    let abilities = Abilities { exchange: false, executable: false, ..Abilities::ALL };
    check_files(abilities, || disk(config.clone()), SimDisk::another_process);
}

/// Disks that do not hold every name.
fn limited_disks() -> [DiskConfig; 6] {
    let ext4 = DiskConfig::default();
    let folding = DiskConfig { is_case_insensitive: true, ..ext4.clone() };
    let apple = DiskConfig { is_form_insensitive: true, alphabet: Alphabet::Text, ..folding.clone() };
    let windows =
        DiskConfig { alphabet: Alphabet::Windows, has_exchange: false, has_executable: false, ..folding.clone() };
    [
        DiskConfig { alphabet: Alphabet::Text, ..ext4.clone() },
        DiskConfig { decomposes_names: true, ..apple.clone() },
        DiskConfig { mtime_granularity_ns: 2_000_000_000, ..windows.clone() },
        DiskConfig { name_bytes_max: 143, ..windows },
        folding,
        apple,
    ]
}

#[test]
fn disks_that_do_not_hold_every_name_conform_by_themselves_and_made_to_hold_them() {
    for config in limited_disks() {
        let abilities = Abilities {
            exchange: config.has_exchange,
            executable: config.has_executable,
            all_names: false,
            ..Abilities::ALL
        };
        check_files(abilities, || disk(config.clone()), SimDisk::another_process);
        let mapped = |disk: SimDisk| {
            let files = MappedFiles::new(disk);
            files.learn_names(&files.root().unwrap()).unwrap();
            assert_eq!(files.name_rules(), Some(config.name_rules()));
            files
        };
        let abilities = Abilities { all_names: true, ..abilities };
        check_files(abilities, || mapped(disk(config.clone())), |files| mapped(files.raw().another_process()));
    }
}

#[test]
fn the_simulated_watcher_conforms() {
    let disk = disk(DiskConfig::default());
    let user = disk.user();
    let open = RefCell::new(None);
    let act = |action: UserAction<'_>| {
        match action {
            UserAction::Write(path, bytes) => user.write(path, bytes),
            UserAction::Open(path) => {
                let is_new = user.stat(path).is_err();
                open.replace(Some(user.open(path).unwrap()));
                if is_new { Ok(()) } else { open.borrow().as_ref().unwrap().set_len(0) }
            }
            UserAction::WriteOpen(bytes) => open.borrow().as_ref().unwrap().append(bytes),
            UserAction::Close => {
                open.replace(None);
                Ok(())
            }
            UserAction::Read(path) => user.read(path).map(drop),
            UserAction::MakeExecutable(path) => user.set_executable(path, true),
            UserAction::MakeDir(path) => user.make_dir(path),
            UserAction::Rename(from, to) => user.rename(from, to),
            UserAction::Remove(path) => user.remove_file(path),
            UserAction::RemoveDir(path) => user.remove_dir(path),
        }
        .unwrap();
    };
    let watcher = SimWatcher::new(&disk);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let check = std::pin::pin!(check_watcher(&watcher, &disk, act));
    assert!(check.poll(&mut context).is_ready(), "hints of what was done do not need waiting for");
}

#[test]
fn what_was_made_durable_survives_every_power_cut() {
    for seed in 0..200 {
        let disk = disk(DiskConfig::default());
        let root = disk.root().unwrap();
        disk.make_dir(&root, &name("stage")).unwrap();
        let stage = disk.open_dir(&root, &[name("stage")]).unwrap();
        disk.create(&stage, &name("new")).unwrap().write_all(b"content").unwrap();
        disk.make_durable(&[(stage, name("new"))], &[]).unwrap();
        disk.rename(&stage, &name("new"), &root, &name("file"), RenameMode::NoReplace).unwrap();
        disk.make_durable(&[], std::slice::from_ref(&root)).unwrap();
        disk.user().write("other", b"unsynced").unwrap();
        disk.power_cut(seed);
        assert_eq!(content(&disk, "file").as_deref(), Some(&b"content"[..]), "seed {seed}");
        assert_eq!(content(&disk, "stage/new"), None, "seed {seed}");
    }
}

#[test]
fn unsynced_content_survives_as_old_new_or_a_prefix() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let disk = disk(DiskConfig::default());
        put(&disk, "file", b"old");
        disk.write_back();
        disk.user().write("file", b"NEWER").unwrap();
        disk.power_cut(seed);
        seen.insert(String::from_utf8(content(&disk, "file").unwrap()).unwrap());
    }
    let legal = ["", "N", "NE", "NEW", "NEWE", "NEWER", "old"].map(String::from);
    assert_eq!(seen, BTreeSet::from(legal));
}

#[test]
fn a_power_cut_takes_nothing_from_a_file_that_is_only_appended_to() {
    for seed in 0..200 {
        let disk = disk(DiskConfig::default());
        put(&disk, "log", b"one");
        disk.write_back();
        disk.user().append("log", b"two").unwrap();
        disk.power_cut(seed);
        assert!(content(&disk, "log").unwrap().starts_with(b"one"), "seed {seed}");
    }
}

#[test]
fn unsynced_entries_survive_as_a_prefix_and_renames_as_a_whole() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..500 {
        let disk = disk(DiskConfig::default());
        let user = disk.user();
        for dir in ["a", "b", "c"] {
            user.make_dir(dir).unwrap();
        }
        user.write("a/file", b"only copy").unwrap();
        disk.write_back();
        user.rename("a/file", "b/file").unwrap();
        user.make_dir("new").unwrap();
        user.rename("b/file", "new/file").unwrap();
        user.remove_dir("b").unwrap();
        user.rename("c", "new/c").unwrap();
        user.rename("a", "new/c/a").unwrap();
        disk.power_cut(seed);
        let tree = disk.tree();
        let places: Vec<_> = tree.keys().filter(|path| path.ends_with(b"file")).cloned().collect();
        assert_eq!(places.len(), 1, "seed {seed}: {tree:?}");
        assert_eq!(tree.keys().filter(|path| path.ends_with(b"a")).count(), 1, "seed {seed}: {tree:?}");
        assert_eq!(tree.keys().filter(|path| path.ends_with(b"c")).count(), 1, "seed {seed}: {tree:?}");
        outcomes.insert(tree.into_keys().collect::<Vec<_>>());
    }
    assert!(outcomes.len() >= 5, "only {} outcomes", outcomes.len());
}

#[test]
fn no_directory_gets_above_itself_by_a_power_cut() {
    for seed in 0..500 {
        let disk = disk(DiskConfig::default());
        let user = disk.user();
        for dir in ["a", "a/m", "a/m/x", "a/m/x/y", "b"] {
            user.make_dir(dir).unwrap();
        }
        disk.write_back();
        user.rename("a/m/x", "b/x").unwrap();
        user.rename("a", "b/x/y/a").unwrap();
        if seed % 2 == 0 {
            // A sync of the second move alone brings the first one with it.
            disk.make_durable(&[], &[disk.root().unwrap()]).unwrap();
        }
        disk.power_cut(seed);
        assert_eq!(disk.tree().len(), 5, "seed {seed}: {:?}", disk.tree());
    }
}

#[test]
fn old_changes_are_written_back_by_themselves() {
    for seed in 0..50 {
        let disk = disk(DiskConfig { write_back_ms: 100, ..DiskConfig::default() });
        disk.user().write("file", b"content").unwrap();
        (0..20).for_each(|_| _ = disk.used_bytes());
        disk.power_cut(seed);
        assert_eq!(content(&disk, "file").as_deref(), Some(&b"content"[..]), "seed {seed}");
    }
}

#[test]
fn a_crash_keeps_the_tree_and_voids_handles_and_locks() {
    let first = disk(DiskConfig::default());
    let second = first.another_process();
    let root = first.root().unwrap();
    let second_root = second.root().unwrap();
    assert!(first.lock(&root, &name("lock")).unwrap());
    assert!(first.lock(&root, &name("lock")).unwrap(), "it has it already");
    assert!(!second.lock(&second_root, &name("lock")).unwrap());
    let mut writer = first.create(&root, &name("file")).unwrap();
    writer.write_all(b"begun").unwrap();
    first.crash();
    assert!(writer.write_all(b"x").is_err());
    assert!(first.list(&root).is_err());
    assert!(second.lock(&second_root, &name("lock")).unwrap());
    assert_eq!(content(&first, "file").as_deref(), Some(&b"begun"[..]));
    assert!(first.root().is_ok(), "the next process");
}

#[test]
fn a_hook_may_change_the_disk_under_a_call_and_unwind() {
    let disk = disk(DiskConfig::default());
    put(&disk, "file", &[1; 10]);
    let root = disk.root().unwrap();
    let (mut reader, stat) = disk.read(&root, &name("file")).unwrap();
    let user = disk.user();
    disk.set_hook(Some(Arc::new(move |call| {
        if call == "read_bytes" {
            user.replace("file", &[2; 10]).unwrap();
        }
    })));
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, [1; 10], "the open file is the old one");
    assert_eq!(disk.stat_reader(&reader).unwrap().links, 0);
    assert_ne!(disk.stat(&root, &name("file")).unwrap().unwrap().inode, stat.inode);
    disk.set_hook(Some(Arc::new(|call| assert_ne!(call, "list", "killed"))));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| disk.list(&root))).is_err());
    disk.set_hook(None);
    assert_eq!(disk.list(&root).unwrap().len(), 1);
}

#[test]
fn faults_and_a_full_disk_fail_as_asked() {
    let disk = disk(DiskConfig { capacity_bytes: 8, ..DiskConfig::default() });
    let root = disk.root().unwrap();
    disk.fail_next("list", 1, FileErrorKind::Other);
    assert_eq!(disk.list(&root).unwrap_err().kind, FileErrorKind::Other);
    assert!(disk.list(&root).is_ok());
    let mut writer = disk.create(&root, &name("file")).unwrap();
    writer.write_all(&[0; 8]).unwrap();
    assert!(writer.write_all(&[0]).is_err());
    assert_eq!(disk.create(&root, &name("more")).err().unwrap().kind, FileErrorKind::NoSpace);
    drop(writer);
    disk.remove_file(&root, &name("file")).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 8);
}

#[test]
fn other_file_systems_can_be_played() {
    let config = DiskConfig {
        is_case_insensitive: true,
        has_exchange: false,
        has_executable: false,
        mtime_granularity_ns: 2_000_000_000,
        alphabet: Alphabet::Windows,
        ..DiskConfig::default()
    };
    let disk = disk(config);
    put(&disk, "Name", b"x");
    let root = disk.root().unwrap();
    assert_eq!(disk.create(&root, &name("NAME")).err().unwrap().kind, FileErrorKind::Exists);
    assert_eq!(disk.create(&root, &name("a:b")).err().unwrap().kind, FileErrorKind::BadName);
    disk.rename(&root, &name("name"), &root, &name("nAME"), RenameMode::NoReplace).unwrap();
    assert_eq!(disk.list(&root).unwrap()[0].0, name("nAME"));
    disk.set_executable(&root, &name("name"), true).unwrap();
    disk.set_mtime(&root, &name("name"), Timestamp { seconds: -3, nanoseconds: 5 }).unwrap();
    let stat = disk.stat(&root, &name("name")).unwrap().unwrap();
    assert_eq!((stat.executable, stat.mtime), (false, Timestamp { seconds: -4, nanoseconds: 0 }));
    let swap = disk.rename(&root, &name("name"), &root, &name("name"), RenameMode::Exchange);
    assert_eq!(swap.unwrap_err().kind, FileErrorKind::Unsupported);
}

#[test]
fn hints_can_be_lost_and_overflow() {
    let disk = disk(DiskConfig { hints_queued_max: 2, watches_max: 1, ..DiskConfig::default() });
    let watcher = SimWatcher::new(&disk);
    let root = disk.root().unwrap();
    let node = NodeId::from_bytes([1; 16]);
    watcher.watch(&root, node).unwrap();
    let take = || {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(watcher.hints()).poll(&mut context) {
            std::task::Poll::Ready(hints) => hints,
            std::task::Poll::Pending => Vec::new(),
        }
    };
    assert_eq!(take(), []);
    disk.user().write("a", b"").unwrap();
    assert_eq!(take(), [Hint::Entry { dir: node, name: name("a"), change: Change::Bytes }]);
    disk.lose_hints();
    assert_eq!(take(), [Hint::Lost]);
    for file in ["a", "b", "c"] {
        disk.user().write(file, b"x").unwrap();
    }
    assert_eq!(take().first(), Some(&Hint::Lost));
    disk.make_dir(&root, &name("dir")).unwrap();
    let dir = disk.open_dir(&root, &[name("dir")]).unwrap();
    assert!(watcher.watch(&dir, NodeId::from_bytes([2; 16])).is_err(), "the limit");
}

#[test]
fn user_programs_leave_no_trace_of_damage_in_stat() {
    let disk = disk(DiskConfig::default());
    put(&disk, "file", b"abc");
    let before = disk.user().stat("file").unwrap();
    disk.user().flip_bit("file", 1).unwrap();
    assert_eq!(disk.user().stat("file").unwrap(), before);
    assert_eq!(content(&disk, "file").as_deref(), Some(&b"acc"[..]));
    disk.user().make_dir("dir").unwrap();
    disk.user().symlink("dir/link", b"../file").unwrap();
    disk.user().remove_all("dir").unwrap();
    assert!(
        matches!(disk.tree().into_iter().collect::<Vec<_>>().as_slice(), [(path, TreeEntry::File { .. })] if path == b"file")
    );
}

/// Random acts of user programs and of Skep, with syncs and power cuts between them: whatever is lost, the tree stays a tree,
/// the disk's own accounts are right, and a file that is only ever moved is in exactly one place.
#[test]
fn random_acts_and_power_cuts_leave_a_whole_tree() {
    for seed in 0..300_u64 {
        let config = DiskConfig { reuses_inodes: seed % 2 == 0, ..DiskConfig::default() };
        let disk = disk(config);
        let user = disk.user();
        let mut numbers = seed + 1;
        let mut draw = |bound: u64| {
            numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (numbers >> 33) % bound
        };
        user.write("keep", b"only copy").unwrap();
        disk.write_back();
        for _ in 0..120 {
            let tree = disk.tree();
            let mut dirs: Vec<String> = vec![String::new()];
            let is_dir = |entry: &TreeEntry| *entry == TreeEntry::Directory;
            dirs.extend(
                tree.iter().filter(|(_, e)| is_dir(e)).map(|(path, _)| String::from_utf8(path.clone()).unwrap()),
            );
            let paths: Vec<String> = tree.keys().map(|path| String::from_utf8(path.clone()).unwrap()).collect();
            let dir = dirs[draw(dirs.len() as u64) as usize].clone();
            let new = format!("{dir}/{}", draw(4)).trim_start_matches('/').to_owned();
            let old = paths[draw(paths.len() as u64) as usize].clone();
            let is_keep = old.ends_with("keep");
            // What cannot be done is refused; only the state afterwards counts.
            _ = match draw(9) {
                0 => user.write(&new, &vec![1; draw(50) as usize]),
                1 => user.make_dir(&new),
                2 if is_keep => user.rename(&old, format!("{dir}/keep").trim_start_matches('/')),
                2 | 3 if !is_keep => user.rename(&old, &new),
                4 if !is_keep => user.remove_file(&old).or_else(|_| user.remove_dir(&old)),
                5 if !is_keep => user.exchange(&old, &new).and_then(|()| user.append(&new, b"x")),
                6 => disk.open_dir(&disk.root().unwrap(), &names(&dir)).and_then(|dir| disk.make_durable(&[], &[dir])),
                7 if draw(4) == 0 => {
                    disk.power_cut(draw(1 << 30));
                    Ok(())
                }
                _ if is_keep => Ok(()),
                _ => user.hard_link(&old, &new).and_then(|()| user.remove_file(&new)),
            };
            let tree = disk.tree();
            let keeps = tree
                .values()
                .filter(|entry| matches!(entry, TreeEntry::File { bytes, .. } if bytes.starts_with(b"only copy")));
            assert_eq!(keeps.count(), 1, "seed {seed}: {tree:?}");
            let mut inodes = BTreeSet::new();
            let used: u64 = tree
                .iter()
                .map(|(path, entry)| match entry {
                    TreeEntry::File { bytes, .. } => (user.stat(path).unwrap(), bytes.len() as u64),
                    _ => (user.stat(path).unwrap(), 0),
                })
                .filter(|(stat, _)| {
                    let is_new = inodes.insert(stat.inode);
                    assert!(is_new || stat.links > 1, "seed {seed}: an inode number twice");
                    is_new
                })
                .map(|(_, len)| len)
                .sum();
            assert_eq!(disk.used_bytes(), used, "seed {seed}");
        }
    }
}

fn names(path: &str) -> Vec<Name> {
    path.split('/').filter(|part| !part.is_empty()).map(name).collect()
}
