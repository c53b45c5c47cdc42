//! What a watcher reports of the acts of other programs.

use std::cell::Cell;
use std::collections::BTreeMap;

use skep_types::Change::{Bytes, Entry, Made, Writing};
use skep_types::{Change, Name, NodeId};

use super::{make_dir, name, put, rename, root};
use crate::{Hint, RenameMode, Watcher};

/// What a program of the person does; paths are relative to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAction<'a> {
    /// Makes a file hold this, in place.
    Write(&'a str, &'a [u8]),
    /// Opens a file to write in it, cuts off what it holds, and keeps it open. It is made if it is not there.
    Open(&'a str),
    /// Writes to the file that is open.
    WriteOpen(&'a [u8]),
    /// Closes the file that is open.
    Close,
    /// Reads a file.
    Read(&'a str),
    /// Sets a file's executable bit.
    MakeExecutable(&'a str),
    /// Makes a directory.
    MakeDir(&'a str),
    /// Renames, replacing a file that is there.
    Rename(&'a str, &'a str),
    /// Removes a file.
    Remove(&'a str),
    /// Removes an empty directory.
    RemoveDir(&'a str),
}

/// Checks every rule of [`Watcher`] that holds on an empty root of `files`, which `act` changes.
///
/// Nothing is awaited for a time: after each act a mark is set in a watched directory, and what came before its hint is all
/// that the act was reported as.
pub async fn check_watcher<W: Watcher>(watcher: &W, files: &W::Files, act: impl Fn(UserAction<'_>)) {
    let root = root(files);
    let marks = make_dir(files, &root, "marks");
    let dir = make_dir(files, &root, "dir");
    let beneath = make_dir(files, &dir, "beneath");
    put(files, &root, "outside", b"");
    watcher.watch(&marks, node(MARKS)).expect("a watch");
    watcher.watch(&dir, node(1)).expect("a watch");
    let marks_set = Cell::new(0);
    let hinted = async |actions: &[UserAction<'_>]| {
        actions.iter().for_each(|action| act(*action));
        marks_set.set(marks_set.get() + 1);
        hints_until_mark(watcher, &act, &marks_set.get().to_string()).await
    };

    use UserAction::{Close, MakeDir, MakeExecutable, Open, Read, Remove, RemoveDir, Rename, Write, WriteOpen};
    assert_eq!(hinted(&[Write("dir/file", b"1")]).await, entries(&[(1, "file", Bytes)]), "a new file");
    assert_eq!(hinted(&[Write("dir/file", b"22")]).await, entries(&[(1, "file", Bytes)]), "a changed file");
    assert_eq!(hinted(&[Read("dir/file")]).await, entries(&[]), "a file that is read");
    assert_eq!(hinted(&[MakeExecutable("dir/file")]).await, entries(&[(1, "file", Entry)]), "a changed attribute");
    assert_eq!(
        hinted(&[Rename("dir/file", "dir/new")]).await,
        entries(&[(1, "file", Entry), (1, "new", Entry)]),
        "a rename"
    );
    assert_eq!(hinted(&[Rename("dir/new", "new")]).await, entries(&[(1, "new", Entry)]), "a rename out of it");
    assert_eq!(hinted(&[Rename("outside", "dir/in")]).await, entries(&[(1, "in", Entry)]), "a rename into it");
    assert_eq!(hinted(&[Remove("dir/in")]).await, entries(&[(1, "in", Entry)]), "a removal");
    assert_eq!(hinted(&[MakeDir("dir/sub"), RemoveDir("dir/sub")]).await, entries(&[(1, "sub", Entry)]), "a directory");
    assert_eq!(hinted(&[Write("dir/beneath/file", b"1")]).await, entries(&[]), "not of directories in it");

    assert_eq!(hinted(&[Open("dir/open")]).await, entries(&[(1, "open", Made)]), "a new file that is open");
    assert_eq!(hinted(&[WriteOpen(b"1")]).await, entries(&[(1, "open", Writing)]), "the first bytes");
    assert_eq!(hinted(&[WriteOpen(b"2")]).await, entries(&[(1, "open", Writing)]), "more of them");
    assert_eq!(hinted(&[Close]).await, entries(&[(1, "open", Bytes)]), "its close");
    assert_eq!(hinted(&[Open("dir/open")]).await, entries(&[(1, "open", Writing)]), "a file that is cut off");
    assert_eq!(hinted(&[WriteOpen(b"3"), Close]).await, entries(&[(1, "open", Bytes)]), "a write and its close");
    assert_eq!(hinted(&[Remove("dir/open")]).await, entries(&[(1, "open", Entry)]), "a removal of what was open");

    watcher.watch(&beneath, node(2)).expect("a watch");
    assert_eq!(hinted(&[Write("dir/beneath/file", b"2")]).await, entries(&[(2, "file", Bytes)]));
    act(Rename("dir", "renamed"));
    let after_rename = hinted(&[Write("renamed/a", b""), Write("renamed/beneath/b", b"")]).await;
    assert_eq!(after_rename, entries(&[(1, "a", Bytes), (2, "b", Bytes)]), "watches follow a renamed directory");

    watcher.watch(&dir, node(3)).expect("a watch");
    assert_eq!(
        hinted(&[Write("renamed/a", b"1")]).await,
        entries(&[(3, "a", Bytes)]),
        "a directory under another node"
    );
    watcher.watch(&beneath, node(3)).expect("a watch");
    let moved = hinted(&[Write("renamed/a", b"2"), Write("renamed/beneath/b", b"2")]).await;
    assert_eq!(moved, entries(&[(3, "b", Bytes)]), "a node under another directory");
    watcher.unwatch(node(3));
    watcher.unwatch(node(9));
    assert_eq!(hinted(&[Write("renamed/beneath/b", b"3")]).await, entries(&[]), "no longer watched");
    rename(files, (&root, "new"), (&dir, "new"), RenameMode::NoReplace).expect("a free name");
    watcher.watch(&dir, node(1)).expect("a watch");
    assert_eq!(hinted(&[Remove("renamed/new")]).await, entries(&[(1, "new", Entry)]), "watched again");

    let gone = make_dir(files, &root, "gone");
    watcher.watch(&gone, node(4)).expect("a watch");
    // As long as somebody has it open, it is not quite gone.
    drop(gone);
    assert_eq!(hinted(&[RemoveDir("gone")]).await, entries(&[(4, UNWATCHED, Entry)]), "the end of a watch");
    watcher.unwatch(node(4));
}

const MARKS: u8 = 255;

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

/// Stands for a directory that is watched no more.
const UNWATCHED: &str = "(not watched)";

/// What was hinted at, and what may have happened to it at most.
type Hinted = BTreeMap<(NodeId, Name), Change>;

fn entries(expected: &[(u8, &str, Change)]) -> Hinted {
    expected.iter().map(|(number, entry, change)| ((node(*number), name(entry)), *change)).collect()
}

/// What is hinted at until `mark`, set now, is. A late second hint at an earlier mark means nothing.
async fn hints_until_mark<W: Watcher>(watcher: &W, act: &impl Fn(UserAction<'_>), mark: &str) -> Hinted {
    act(UserAction::Write(&format!("marks/{mark}"), b""));
    let mut seen = Hinted::new();
    loop {
        let hints = watcher.hints().await;
        assert!(!hints.is_empty(), "at least one");
        for hint in hints {
            let (key, change) = match hint {
                Hint::Entry { dir, name, change } => ((dir, name), change),
                Hint::Unwatched { dir } => ((dir, name(UNWATCHED)), Change::Entry),
                Hint::Lost => panic!("hints were lost"),
            };
            let known = seen.entry(key).or_insert(change);
            *known = known.followed_by(change);
        }
        if seen.contains_key(&(node(MARKS), name(mark))) {
            seen.retain(|(dir, _), _| *dir != node(MARKS));
            return seen;
        }
    }
}
