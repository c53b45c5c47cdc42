//! Handles: of directories that move, of files that are replaced, and links, which no handle ever follows.

use std::io::Read;

use skep_types::Kind;

use super::{get, kind_of, kinds, listed, make_dir, name, names, put, rename, root, some_mtime};
use crate::{FileErrorKind, Files, RenameMode};

pub(super) fn handles_follow_their_directory<F: Files>(files: &F) {
    let root = root(files);
    let above = make_dir(files, &root, "above");
    let dir = make_dir(files, &above, "dir");
    put(files, &dir, "file", b"content");
    let inode = files.stat_dir(&dir).expect("a stat").inode;
    rename(files, (&above, "dir"), (&root, "moved"), RenameMode::NoReplace).expect("a free name");
    rename(files, (&root, "above"), (&dir, "beneath"), RenameMode::NoReplace).expect("a free name");
    make_dir(files, &root, "above");
    assert_eq!(files.stat_dir(&dir).expect("a stat").inode, inode);
    assert_eq!(get(files, &dir, "file"), Ok(b"content".to_vec()));
    assert_eq!(listed(files, &dir), [name("beneath"), name("file")]);
    put(files, &above, "new", b"");
    let found = files.open_dir(&root, &names("moved/beneath")).expect("the moved directory");
    assert_eq!(listed(files, &found), [name("new")]);
    assert_eq!(files.stat_dir(&files.open_dir(&dir, &[]).expect("itself")).expect("a stat").inode, inode);
}

pub(super) fn an_open_file_stays_the_same<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "file", b"first");
    let (mut reader, stat) = files.read(&root, &name("file")).expect("a file");
    assert_eq!(files.stat_reader(&reader).expect("a stat"), stat);
    rename(files, (&root, "file"), (&root, "aside"), RenameMode::NoReplace).expect("a free name");
    put(files, &root, "file", b"second");
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("a readable file");
    assert_eq!(bytes, b"first");
    assert_eq!(files.stat_reader(&reader).expect("a stat").size, 5);
    assert_eq!(get(files, &root, "file"), Ok(b"second".to_vec()));
}

pub(super) fn a_removed_directory_takes_nothing_more<F: Files>(files: &F) {
    let root = root(files);
    let dir = make_dir(files, &root, "dir");
    files.remove_dir(&root, &name("dir")).expect("an empty directory");
    let not_found = Err(FileErrorKind::NotFound);
    assert_eq!(kinds(files.create(&dir, &name("file")).map(drop)), not_found);
    assert_eq!(kinds(files.make_dir(&dir, &name("inner"))), not_found);
    assert_eq!(kinds(files.list(&dir)).map(drop), not_found, "that is no empty directory");
    assert_eq!(files.stat(&dir, &name("file")), Ok(None));
}

pub(super) fn links_are_data<F: Files>(files: &F) {
    let root = root(files);
    let target: &[u8] = b"../any/where \xff";
    files.make_link(&root, &name("link"), target).expect("a new link");
    assert_eq!(kinds(files.read_link(&root, &name("link"))), Ok(target.to_vec()));
    assert_eq!(kind_of(files, &root, "link"), Some(Kind::Symlink));
    assert_eq!(kinds(files.make_link(&root, &name("link"), b"x")), Err(FileErrorKind::Exists));
    put(files, &root, "file", b"");
    assert_eq!(kinds(files.read_link(&root, &name("file"))), Err(FileErrorKind::WrongKind));
    for bad in [&b""[..], b"a\0b"] {
        assert_eq!(kinds(files.make_link(&root, &name("bad"), bad)), Err(FileErrorKind::BadName));
    }
    files.make_durable(&[(root.clone(), name("link"))], std::slice::from_ref(&root)).expect("a durable link");
    rename(files, (&root, "link"), (&root, "moved"), RenameMode::NoReplace).expect("a free name");
    assert_eq!(kinds(files.read_link(&root, &name("moved"))), Ok(target.to_vec()));
    files.remove_file(&root, &name("moved")).expect("a removable link");
}

pub(super) fn no_link_is_followed<F: Files>(files: &F) {
    let root = root(files);
    let secret = make_dir(files, &root, "secret");
    put(files, &secret, "file", b"secret");
    let dir = make_dir(files, &root, "dir");
    make_dir(files, &dir, "inner");
    put(files, &dir, "file", b"harmless");
    files.make_link(&root, &name("to-dir"), b"secret").expect("a new link");
    files.make_link(&root, &name("to-file"), b"secret/file").expect("a new link");
    files.make_link(&root, &name("dangling"), b"secret/new").expect("a new link");
    let wrong = Err(FileErrorKind::WrongKind);
    assert_eq!(kinds(files.open_dir(&root, &names("to-dir")).map(drop)), wrong);
    assert_eq!(get(files, &root, "to-file").map(drop), wrong);
    assert_eq!(kinds(files.read_range(&root, &name("to-file"), 0, 9)).map(drop), wrong);
    assert_eq!(kinds(files.set_executable(&root, &name("to-file"), true)), wrong);
    assert_eq!(kinds(files.create(&root, &name("dangling")).map(drop)), Err(FileErrorKind::Exists));
    let untouched = files.stat(&secret, &name("file")).expect("a stat").expect("the file");
    assert!(!untouched.executable);

    // A directory on a known path is swapped for a link: what is looked up anew never leads through it.
    rename(files, (&root, "dir"), (&root, "aside"), RenameMode::NoReplace).expect("a free name");
    files.make_link(&root, &name("dir"), b"secret").expect("a new link");
    assert_eq!(kinds(files.open_dir(&root, &names("dir")).map(drop)), wrong);
    assert!(files.open_dir(&root, &names("dir/inner")).is_err());
    assert_eq!(kinds(files.remove_dir(&root, &name("dir"))), wrong);
    files.remove_file(&root, &name("dir")).expect("the link itself");
    assert_eq!(get(files, &secret, "file"), Ok(b"secret".to_vec()));
    assert_eq!(listed(files, &secret), [name("file")]);
}

pub(super) fn links_have_an_mtime_of_their_own<F: Files>(files: &F) {
    let root = root(files);
    put(files, &root, "file", b"");
    files.make_link(&root, &name("link"), b"file").expect("a new link");
    files.set_mtime(&root, &name("link"), some_mtime()).expect("the link's own mtime");
    let mtime_of = |entry: &str| files.stat(&root, &name(entry)).expect("a stat").expect("the entry").mtime;
    assert_eq!(mtime_of("link"), some_mtime());
    assert_ne!(mtime_of("file"), some_mtime());
}

pub(super) fn a_lock_is_held_by_one_process<F: Files>(first: &F, second: &F) {
    let lock = |files: &F| kinds(files.lock(&root(files), &name("lock")));
    assert_eq!(lock(first), Ok(true));
    assert_eq!(lock(second), Ok(false));
    assert_eq!(lock(first), Ok(true), "it has the lock already");
    assert_eq!(lock(&first.clone()), Ok(true), "so has a clone");
    assert_eq!(lock(second), Ok(false));
    assert_eq!(kind_of(first, &root(first), "lock"), Some(Kind::File));
}
