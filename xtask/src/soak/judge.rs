//! What must be true when the programs have stopped, whatever happened before.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::ledger::{Found, Ledger};
use super::person::Person;
use crate::rig::{Place, Rig};

/// Stands in the name of every conflict copy.
const CONFLICT_MARK: &str = " (two versions, ";
/// One side's last word can make work for the other side; more often than this nothing new comes of it.
const ROUNDS: usize = 3;
/// Lines of a difference that are shown.
const LINES_SHOWN: usize = 6;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shown {
    Directory,
    Link(PathBuf),
    File { executable: bool, mtime: (i64, i64), bytes: Vec<u8> },
    Other,
}

type Tree = BTreeMap<PathBuf, Shown>;

/// Judges a rig in which all programs run and nobody touches the folders any more. Gives the number of conflict copies.
pub fn judge(rig: &mut Rig, place: &Place, marks: &[String; 2], apart: bool, ledger: &Ledger) -> Result<usize> {
    for _ in 0..ROUNDS {
        rig.sync_wait(0)?;
        rig.sync_wait(1)?;
    }
    let [laptop, desktop] = rig.folders();
    let trees = [tree(&laptop)?, tree(&desktop)?];
    if let Some(difference) = difference(&trees[0], &trees[1]) {
        bail!("both say that they are up to date, and differ (laptop, desktop):\n{difference}");
    }
    let copies = check_names(&trees[0], marks, apart)?;
    for folder in [&laptop, &desktop] {
        let staging = folder.join(".skep/staging");
        if let Some(left) = fs::read_dir(&staging)?.next() {
            bail!("left behind: `{}`", left?.path().display());
        }
    }
    // A computer that has seen nothing of this gets the same from the server alone.
    let newcomer = rig.add_computer("newcomer", place)?;
    newcomer.sync_wait(&rig.programs.clone(), &place.directory("scratch")?)?;
    if let Some(difference) = difference(&trees[0], &tree(&newcomer.folder)?) {
        bail!("a new computer gets another tree (laptop, newcomer):\n{difference}");
    }
    check_nothing_lost(rig, place, ledger)?;
    Ok(copies)
}

/// Every name was given by somebody, or is that of a conflict copy. Gives the number of these.
fn check_names(tree: &Tree, marks: &[String; 2], apart: bool) -> Result<usize> {
    let mut copies = 0;
    for path in tree.keys() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((_, rest)) = name.split_once(CONFLICT_MARK) {
            if apart {
                bail!("a needless conflict copy: `{}`", path.display());
            }
            if !rest.contains(')') {
                bail!("a conflict copy with a broken name: `{}`", path.display());
            }
            copies += 1;
        } else if !Person::may_have_named(&name, marks) {
            bail!("a name that nobody gave: `{}`", path.display());
        }
    }
    Ok(copies)
}

fn check_nothing_lost(rig: &mut Rig, place: &Place, ledger: &Ledger) -> Result<()> {
    let history = place.path().join("history");
    rig.server_command(&["export".as_ref(), history.as_os_str(), "--all-versions".as_ref()])
        .context("the server's history cannot be read")?;
    let mut found = Found::default();
    enter_files(&history, &mut found)?;
    for folder in rig.folders() {
        // With the safe, which is in it.
        enter_files(&folder, &mut found)?;
    }
    let lost = ledger.lost(&found);
    if !lost.is_empty() {
        bail!("lost what was saved: {}", lost.join("; "));
    }
    Ok(())
}

fn enter_files(root: &Path, found: &mut Found) -> Result<()> {
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                found.enter(&fs::read(&path)?);
            }
        }
    }
    Ok(())
}

/// Everything below `root` but the client's own directory.
fn tree(root: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root.join(&directory))? {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            if path == Path::new(".skep") {
                continue;
            }
            let found = entry.metadata()?;
            let shown = if found.is_dir() {
                open.push(path.clone());
                Shown::Directory
            } else if found.is_symlink() {
                Shown::Link(fs::read_link(entry.path())?)
            } else if found.is_file() {
                let executable = found.permissions().mode() & 0o100 != 0;
                Shown::File { executable, mtime: (found.mtime(), found.mtime_nsec()), bytes: fs::read(entry.path())? }
            } else {
                Shown::Other
            };
            tree.insert(path, shown);
        }
    }
    Ok(tree)
}

fn difference(one: &Tree, other: &Tree) -> Option<String> {
    let mut paths: Vec<&PathBuf> = one.keys().chain(other.keys()).collect();
    paths.sort();
    paths.dedup();
    let differing: Vec<_> = paths.into_iter().filter(|path| one.get(*path) != other.get(*path)).collect();
    let line =
        |path: &&PathBuf| format!("    `{}`: {} | {}", path.display(), told(one.get(*path)), told(other.get(*path)));
    let lines: Vec<String> = differing.iter().take(LINES_SHOWN).map(line).collect();
    if lines.is_empty() { None } else { Some(format!("{}\n    ({} in all)", lines.join("\n"), differing.len())) }
}

fn told(shown: Option<&Shown>) -> String {
    match shown {
        None => "nothing".to_owned(),
        Some(Shown::Directory) => "a directory".to_owned(),
        Some(Shown::Link(target)) => format!("a link to {}", target.display()),
        Some(Shown::Other) => "something special".to_owned(),
        Some(Shown::File { executable, mtime, bytes }) => {
            let mode = if *executable { ", executable" } else { "" };
            format!("{}{mode}, mtime {}.{:09}", super::person::name_of(bytes), mtime.0, mtime.1)
        }
    }
}
