//! What every `Files` and `Watcher` must do, as checks that panic where one does not.
//!
//! The same checks run on the real file systems and on the simulated disk, so that what holds in the simulator holds on a
//! machine.

mod entries;
mod handles;
mod names;
mod watching;

use std::io::{Read, Write};

use skep_types::{Kind, Name, Timestamp};

use crate::{FileError, FileErrorKind, Files, RenameMode};

pub use watching::{UserAction, check_watcher};

/// What a file system, or its adapter, cannot do; the check then expects the documented refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// [`RenameMode::Exchange`] works; else it is `Unsupported`.
    pub exchange: bool,
    /// Symlinks can be made and read; else they are `Unsupported`.
    pub symlinks: bool,
    /// The executable bit is kept.
    pub executable: bool,
    /// A handle follows its directory when that is renamed.
    pub lasting_handles: bool,
    /// The mtime of a symlink can be set; else it is `Unsupported`.
    pub link_mtime: bool,
    /// [`Files::free_bytes`] works; else it is `Unsupported`.
    pub free_bytes: bool,
    /// Any name stands beside any other; else a name may be refused, or taken for another one.
    pub all_names: bool,
    /// Times before 1980 are kept.
    pub early_times: bool,
}

impl Abilities {
    /// All of them, as on Linux.
    pub const ALL: Abilities = Abilities {
        exchange: true,
        symlinks: true,
        executable: true,
        lasting_handles: true,
        link_mtime: true,
        free_bytes: true,
        all_names: true,
        early_times: true,
    };
}

/// Checks every rule of [`Files`], each on an empty root that `fresh` makes. `another` gives the view that a further process
/// has of the root that was made last.
pub fn check_files<F: Files>(abilities: Abilities, fresh: impl Fn() -> F, another: impl Fn(&F) -> F) {
    for check in [
        entries::new_names_are_never_taken_ones,
        entries::content_reads_back,
        entries::listings_are_complete_and_sorted,
        entries::absent_things_are_not_found,
        entries::attributes_can_be_set,
        entries::removal_asks_for_the_right_kind,
        entries::a_rename_replaces_nothing,
        entries::renames_keep_what_they_move,
        entries::making_durable_covers_what_is_named,
        handles::an_open_file_stays_the_same,
        handles::a_removed_directory_takes_nothing_more,
    ] {
        check(&fresh());
    }
    if abilities.all_names {
        names::every_name_stands_beside_every_other(&fresh());
        names::names_are_passed_on(&fresh());
        names::directories_have_any_name(&fresh());
    } else {
        names::a_name_stands_or_is_refused(&fresh());
    }
    if abilities.early_times {
        entries::times_before_the_epoch_can_be_set(&fresh());
    }
    if abilities.exchange {
        entries::an_exchange_swaps(&fresh());
    } else {
        entries::an_exchange_is_refused(&fresh());
    }
    if abilities.symlinks {
        handles::links_are_data(&fresh());
        handles::no_link_is_followed(&fresh());
    }
    if abilities.symlinks && abilities.link_mtime {
        handles::links_have_an_mtime_of_their_own(&fresh());
    }
    if abilities.executable {
        entries::files_become_executable(&fresh());
    }
    if abilities.lasting_handles {
        handles::handles_follow_their_directory(&fresh());
    }
    if abilities.free_bytes {
        assert!(fresh().free_bytes().expect("free bytes") > 0);
    }
    let first = fresh();
    handles::a_lock_is_held_by_one_process(&first, &another(&first));
}

fn name(text: &str) -> Name {
    Name::try_from(text).expect("a valid name")
}

fn names(path: &str) -> Vec<Name> {
    path.split('/').map(name).collect()
}

fn root<F: Files>(files: &F) -> F::Dir {
    files.root().expect("the root")
}

/// Makes a file with these bytes.
fn put<F: Files>(files: &F, dir: &F::Dir, file: &str, bytes: &[u8]) {
    let mut writer = files.create(dir, &name(file)).expect("a new file");
    writer.write_all(bytes).expect("room");
}

/// Makes a directory and opens it.
fn make_dir<F: Files>(files: &F, dir: &F::Dir, new: &str) -> F::Dir {
    files.make_dir(dir, &name(new)).expect("a new directory");
    files.open_dir(dir, &[name(new)]).expect("the new directory")
}

/// What a file holds, or why it cannot be read.
fn get<F: Files>(files: &F, dir: &F::Dir, file: &str) -> Result<Vec<u8>, FileErrorKind> {
    let (mut reader, stat) = files.read(dir, &name(file)).map_err(|error| error.kind)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("a readable file");
    assert_eq!(stat.size, bytes.len() as u64);
    Ok(bytes)
}

/// The same under any name.
fn put_bytes<F: Files>(files: &F, dir: &F::Dir, file: &Name, bytes: &[u8]) {
    let mut writer = files.create(dir, file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    writer.write_all(bytes).expect("room");
}

fn get_bytes<F: Files>(files: &F, dir: &F::Dir, file: &Name) -> Result<Vec<u8>, FileErrorKind> {
    let (mut reader, _) = files.read(dir, file).map_err(|error| error.kind)?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).expect("a readable file");
    Ok(bytes)
}

fn kind_of<F: Files>(files: &F, dir: &F::Dir, entry: &str) -> Option<Kind> {
    files.stat(dir, &name(entry)).expect("a stat").and_then(|stat| stat.kind)
}

fn listed<F: Files>(files: &F, dir: &F::Dir) -> Vec<Name> {
    files.list(dir).expect("a listing").into_iter().map(|(name, _)| name).collect()
}

fn rename<F: Files>(
    files: &F,
    from: (&F::Dir, &str),
    to: (&F::Dir, &str),
    mode: RenameMode,
) -> Result<(), FileErrorKind> {
    kinds(files.rename(from.0, &name(from.1), to.0, &name(to.1), mode))
}

fn kinds<T>(result: Result<T, FileError>) -> Result<T, FileErrorKind> {
    result.map_err(|error| {
        assert!(!error.message.is_empty(), "an error says what happened");
        error.kind
    })
}

/// An mtime that every file system can hold.
fn some_mtime() -> Timestamp {
    Timestamp { seconds: 1_234_567_890, nanoseconds: 0 }
}
