//! Names: which of them stand, which stand for one another.

use std::collections::BTreeMap;

use skep_types::Name;

use super::{get_bytes, kinds, listed, make_dir, put_bytes, root};
use crate::{FileErrorKind, Files, RenameMode};

/// Names that some file system does not hold, or not beside one another.
fn difficult_names() -> Vec<Name> {
    let texts = [
        "readme.md",
        "README.md",
        "Readme.MD",
        "\u{e9}t\u{e9}",
        "e\u{301}te\u{301}",
        "\u{e9}te\u{301}",
        "a:b",
        "a?b",
        "a\\b",
        "<a>",
        "|",
        "\"*\"",
        "x.",
        "x ",
        "x",
        ". .",
        "CON",
        "con.txt",
        "Com1.tar.gz",
        "nul",
        "line\nbreak",
        "a\u{f03a}b",
        "\u{1f41d}",
        "~",
        "a~0a1b2c3d",
        "a~0123456789abcdef.txt",
        ".Skep",
        "stra\u{df}e",
        "STRASSE",
        "\u{212a}",
        "k",
    ];
    let bytes: [&[u8]; 4] = [b"\xff", b"caf\xe9", b"\xc3(", b"\x01"];
    let long = [
        vec![b'n'; 255],
        vec![b'N'; 255],
        [vec![b'n'; 251], b".txt".to_vec()].concat(),
        vec![0xfe; 255],
        "\u{e9}".repeat(127).into_bytes(),
    ];
    let all = texts.iter().map(|text| text.as_bytes().to_vec()).chain(bytes.map(Vec::from)).chain(long);
    all.map(|name| Name::new(name).expect("a valid name")).collect()
}

pub(super) fn every_name_stands_beside_every_other<F: Files>(files: &F) {
    let root = make_dir(files, &root(files), "beneath");
    let mut names = difficult_names();
    for name in &names {
        put_bytes(files, &root, name, name.as_bytes());
        assert_eq!(get_bytes(files, &root, name), Ok(name.as_bytes().to_vec()), "{name:?}");
        let again = kinds(files.create(&root, name).map(drop));
        assert_eq!(again, Err(FileErrorKind::Exists), "{name:?} stands already");
    }
    files.tidy_names(&root).expect("a tidy directory");
    names.sort();
    assert_eq!(listed(files, &root), names);
    for name in &names {
        assert_eq!(get_bytes(files, &root, name), Ok(name.as_bytes().to_vec()), "{name:?}");
        assert!(files.stat(&root, name).expect("a stat").is_some(), "{name:?}");
    }
    for name in names {
        files.remove_file(&root, &name).expect("a removable file");
        assert_eq!(files.stat(&root, &name).expect("a stat"), None, "{name:?}");
    }
    assert_eq!(listed(files, &root), []);
}

pub(super) fn names_are_passed_on<F: Files>(files: &F) {
    let root = make_dir(files, &root(files), "beneath");
    // Each gets the name of the next, the last a new one; then back again.
    let names = difficult_names();
    let end = Name::try_from("end").expect("a valid name");
    let pairs: Vec<(&Name, &Name)> = names.iter().zip(names.iter().skip(1).chain([&end])).collect();
    for (name, next) in &pairs {
        put_bytes(files, &root, name, name.as_bytes());
        kinds(files.rename(&root, name, &root, next, RenameMode::NoReplace))
            .unwrap_or_else(|kind| panic!("{name:?} to {next:?}: {kind:?}"));
        assert_eq!(listed(files, &root), [(*next).clone()]);
        assert_eq!(get_bytes(files, &root, next), Ok(name.as_bytes().to_vec()));
        kinds(files.rename(&root, next, &root, name, RenameMode::NoReplace))
            .unwrap_or_else(|kind| panic!("{next:?} to {name:?}: {kind:?}"));
        assert_eq!(listed(files, &root), [(*name).clone()]);
        files.remove_file(&root, name).expect("a removable file");
    }
}

pub(super) fn directories_have_any_name<F: Files>(files: &F) {
    let root = make_dir(files, &root(files), "beneath");
    let inner = Name::try_from("inner").expect("a valid name");
    let names = difficult_names();
    for name in &names {
        files.make_dir(&root, name).expect("a new directory");
        let dir = files.open_dir(&root, std::slice::from_ref(name)).expect("the new directory");
        put_bytes(files, &dir, &inner, name.as_bytes());
    }
    let path = |name: &Name| files.open_dir(&root, std::slice::from_ref(name)).expect("a directory");
    let held: BTreeMap<Name, Vec<u8>> =
        names.iter().map(|name| (name.clone(), get_bytes(files, &path(name), &inner).expect("a file"))).collect();
    held.iter().for_each(|(name, bytes)| assert_eq!(name.as_bytes(), bytes));
}

/// What the disk cannot hold it refuses, or takes for what stands there; what it makes is found by the name that it was given.
pub(super) fn a_name_stands_or_is_refused<F: Files>(files: &F) {
    let root = make_dir(files, &root(files), "beneath");
    for name in difficult_names() {
        match kinds(files.create(&root, &name).map(drop)) {
            Ok(()) => {
                let spelled = files.spelled(&root, &name).expect("a spelling").expect("the new file");
                assert!(listed(files, &root).contains(&spelled), "{name:?} stands as {spelled:?}");
            }
            Err(FileErrorKind::BadName | FileErrorKind::Exists) => {}
            Err(kind) => panic!("{name:?} is refused as {kind:?}"),
        }
    }
}
