//! Entries of directories: made, read, listed, renamed, removed.

use skep_types::{Kind, Timestamp};

use super::{get, kind_of, kinds, listed, make_dir, name, put, rename, root, some_mtime};
use crate::{FileErrorKind, Files, RenameMode};

pub(super) fn new_names_are_never_taken_ones<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "file", b"kept");
    make_dir(files, &root, "dir");
    for taken in ["file", "dir"] {
        assert_eq!(kinds(files.create(&root, &name(taken)).map(drop)), Err(FileErrorKind::Exists));
        assert_eq!(kinds(files.make_dir(&root, &name(taken))), Err(FileErrorKind::Exists));
    }
    assert_eq!(get(files, &root, "file"), Ok(b"kept".to_vec()));
}

pub(super) fn content_reads_back<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "empty", b"");
    put(files, &root, "file", b"0123456789");
    assert_eq!(get(files, &root, "empty"), Ok(Vec::new()));
    assert_eq!(get(files, &root, "file"), Ok(b"0123456789".to_vec()));
    let range = |offset, len| kinds(files.read_range(&root, &name("file"), offset, len));
    assert_eq!(range(2, 3), Ok(b"234".to_vec()));
    assert_eq!(range(8, 100), Ok(b"89".to_vec()), "fewer at the end");
    assert_eq!(range(10, 1), Ok(Vec::new()));
    assert_eq!(range(1 << 40, usize::MAX), Ok(Vec::new()));
    make_dir(files, &root, "dir");
    assert_eq!(get(files, &root, "dir"), Err(FileErrorKind::WrongKind));
    assert_eq!(kinds(files.read_range(&root, &name("dir"), 0, 1)), Err(FileErrorKind::WrongKind));
}

pub(super) fn listings_are_complete_and_sorted<F: Files>(files: &F) {
    let root = root(files);
    let dir = make_dir(files, &root, "dir");
    assert_eq!(listed(files, &dir), []);
    let mut expected: Vec<_> = (0..1000).map(|number| name(&format!("a file of number {number}"))).collect();
    for file in &expected {
        drop(files.create(&dir, file).expect("a new file"));
    }
    expected.extend([name("ß"), name("B"), name(".hidden")]);
    for file in &expected[1000..] {
        files.make_dir(&dir, file).expect("a new directory");
    }
    expected.sort();
    assert_eq!(listed(files, &dir), expected);
    for (entry, stat) in files.list(&dir).expect("a listing") {
        assert_eq!(files.stat(&dir, &entry).expect("a stat"), Some(stat), "a listing shows what stat shows");
    }
    assert_eq!(listed(files, &root), [name("dir")], "only its own entries");
}

pub(super) fn absent_things_are_not_found<F: Files>(files: &F) {
    let root = root(files);
    let gone = name("gone");
    let not_found = Err(FileErrorKind::NotFound);
    assert_eq!(files.stat(&root, &gone), Ok(None));
    assert_eq!(get(files, &root, "gone").map(drop), not_found);
    assert_eq!(kinds(files.read_range(&root, &gone, 0, 1)).map(drop), not_found);
    assert_eq!(kinds(files.read_link(&root, &gone)).map(drop), not_found);
    assert_eq!(kinds(files.open_dir(&root, std::slice::from_ref(&gone)).map(drop)), not_found);
    assert_eq!(kinds(files.set_mtime(&root, &gone, some_mtime())), not_found);
    assert_eq!(kinds(files.set_executable(&root, &gone, true)), not_found);
    assert_eq!(kinds(files.remove_file(&root, &gone)), not_found);
    assert_eq!(kinds(files.remove_dir(&root, &gone)), not_found);
    assert_eq!(kinds(files.make_durable(&[(root.clone(), gone)], &[])), not_found);
    assert_eq!(rename(files, (&root, "gone"), (&root, "new"), RenameMode::NoReplace), not_found);
}

pub(super) fn attributes_can_be_set<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "file", b"12345");
    let file = name("file");
    let before = files.stat(&root, &file).expect("a stat").expect("the file");
    assert_eq!((before.kind, before.size, before.links, before.executable), (Some(Kind::File), 5, 1, false));
    for mtime in [some_mtime(), Timestamp { seconds: 1_000_000_000, nanoseconds: 0 }] {
        files.set_mtime(&root, &file, mtime).expect("a settable mtime");
        let after = files.stat(&root, &file).expect("a stat").expect("the file");
        assert_eq!((after.mtime, after.size, after.inode, after.birth), (mtime, 5, before.inode, before.birth));
    }
    assert_eq!(kind_of(files, &root, "file"), Some(Kind::File));
    let dir = make_dir(files, &root, "dir");
    let stat = files.stat_dir(&dir).expect("a stat");
    assert_eq!(stat.kind, Some(Kind::Directory));
    assert_eq!(files.stat(&root, &name("dir")).expect("a stat").map(|found| found.inode), Some(stat.inode));
    assert_eq!(kinds(files.set_executable(&root, &name("dir"), true)), Err(FileErrorKind::WrongKind));
}

pub(super) fn times_before_the_epoch_can_be_set<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "file", b"");
    let long_ago = Timestamp { seconds: -86_400, nanoseconds: 0 };
    files.set_mtime(&root, &name("file"), long_ago).expect("a settable mtime");
    let stat = files.stat(&root, &name("file")).expect("a stat").expect("the file");
    assert_eq!(stat.mtime, long_ago);
}

pub(super) fn files_become_executable<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "file", b"");
    for executable in [true, true, false, false, true] {
        files.set_executable(&root, &name("file"), executable).expect("a settable bit");
        let stat = files.stat(&root, &name("file")).expect("a stat").expect("the file");
        assert_eq!(stat.executable, executable);
    }
}

pub(super) fn removal_asks_for_the_right_kind<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "file", b"");
    let dir = make_dir(files, &root, "dir");
    put(files, &dir, "inner", b"");
    assert_eq!(kinds(files.remove_dir(&root, &name("file"))), Err(FileErrorKind::WrongKind));
    assert_eq!(kinds(files.remove_file(&root, &name("dir"))), Err(FileErrorKind::WrongKind));
    assert_eq!(kinds(files.remove_dir(&root, &name("dir"))), Err(FileErrorKind::NotEmpty));
    assert_eq!(kinds(files.open_dir(&root, &[name("file")]).map(drop)), Err(FileErrorKind::WrongKind));
    files.remove_file(&dir, &name("inner")).expect("a removable file");
    files.remove_dir(&root, &name("dir")).expect("an empty directory");
    files.remove_file(&root, &name("file")).expect("a removable file");
    assert_eq!(listed(files, &root), []);
}

pub(super) fn a_rename_replaces_nothing<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "file", b"mine");
    put(files, &root, "other", b"theirs");
    let dir = make_dir(files, &root, "dir");
    make_dir(files, &root, "empty");
    for (from, to) in [("file", "other"), ("file", "dir"), ("file", "empty"), ("dir", "empty"), ("dir", "file")] {
        let renamed = rename(files, (&root, from), (&root, to), RenameMode::NoReplace);
        assert_eq!(renamed, Err(FileErrorKind::Exists), "{from} to {to}");
    }
    assert!(rename(files, (&root, "dir"), (&dir, "inside itself"), RenameMode::NoReplace).is_err());
    assert_eq!(get(files, &root, "file"), Ok(b"mine".to_vec()));
    assert_eq!(get(files, &root, "other"), Ok(b"theirs".to_vec()));
    assert_eq!(listed(files, &root).len(), 4);
}

pub(super) fn renames_keep_what_they_move<F: Files>(files: &F) {
    let root = root(files);
    let target = make_dir(files, &root, "target");
    put(files, &root, "file", b"content");
    files.set_mtime(&root, &name("file"), some_mtime()).expect("a settable mtime");
    let source = make_dir(files, &root, "source");
    put(files, &source, "inner", b"deep");
    let before = files.stat(&root, &name("file")).expect("a stat").expect("the file");
    rename(files, (&root, "file"), (&target, "moved"), RenameMode::NoReplace).expect("a free name");
    rename(files, (&root, "source"), (&target, "dir"), RenameMode::NoReplace).expect("a free name");
    let after = files.stat(&target, &name("moved")).expect("a stat").expect("the file");
    assert_eq!((after.size, after.mtime, after.links), (before.size, before.mtime, 1));
    assert_eq!(get(files, &target, "moved"), Ok(b"content".to_vec()));
    let moved = files.open_dir(&root, &super::names("target/dir")).expect("the moved directory");
    assert_eq!(get(files, &moved, "inner"), Ok(b"deep".to_vec()));
    assert_eq!(listed(files, &root), [name("target")]);
}

pub(super) fn an_exchange_swaps<F: Files>(files: &F) {
    let root = root(files);
    let dir = make_dir(files, &root, "dir");
    put(files, &root, "file", b"one");
    put(files, &dir, "inner", b"two");
    rename(files, (&root, "file"), (&dir, "inner"), RenameMode::Exchange).expect("two files");
    assert_eq!(get(files, &root, "file"), Ok(b"two".to_vec()));
    assert_eq!(get(files, &dir, "inner"), Ok(b"one".to_vec()));
    rename(files, (&root, "file"), (&root, "dir"), RenameMode::Exchange).expect("a file and a directory");
    assert_eq!(kind_of(files, &root, "file"), Some(Kind::Directory));
    assert_eq!(get(files, &root, "dir"), Ok(b"two".to_vec()));
    for (from, to) in [("dir", "gone"), ("gone", "dir")] {
        let swapped = rename(files, (&root, from), (&root, to), RenameMode::Exchange);
        assert_eq!(swapped, Err(FileErrorKind::NotFound), "{from} with {to}");
    }
    assert!(rename(files, (&root, "file"), (&dir, "inner"), RenameMode::Exchange).is_err(), "with what is in it");
    assert_eq!(listed(files, &root), [name("dir"), name("file")]);
}

pub(super) fn an_exchange_is_refused<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "one", b"1");
    put(files, &root, "two", b"2");
    let swapped = rename(files, (&root, "one"), (&root, "two"), RenameMode::Exchange);
    assert_eq!(swapped, Err(FileErrorKind::Unsupported));
    assert_eq!(get(files, &root, "one"), Ok(b"1".to_vec()));
}

pub(super) fn making_durable_covers_what_is_named<F: Files>(files: &F) {
    let root = root(files);
    let dir = make_dir(files, &root, "dir");
    let new: Vec<_> = (0..20).map(|number| (dir.clone(), name(&number.to_string()))).collect();
    for (_, file) in &new {
        drop(files.create(&dir, file).expect("a new file"));
    }
    files.make_durable(&[], &[]).expect("nothing to do");
    files.make_durable(&new[..2], &[dir.clone(), root.clone(), dir.clone()]).expect("a few");
    files.make_durable(&new, std::slice::from_ref(&dir)).expect("many");
    assert_eq!(listed(files, &dir).len(), 20);
}
