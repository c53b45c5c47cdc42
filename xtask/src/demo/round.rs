//! What the demo does with the two folders: what people do with theirs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Transcript;
use crate::cargo;
use crate::rig::{Place, Rig};
use crate::say;

/// One step may take this long; a step takes seconds on the slowest of machines.
const STEP_LIMIT: Duration = Duration::from_secs(120);
/// The generated file.
const BIG_FILE_BYTES: usize = 20_000_000;
/// The generated tree.
const TREE_DIRECTORIES: usize = 10;
/// See [`TREE_DIRECTORIES`].
const TREE_FILES_PER_DIRECTORY: usize = 20;

/// Plays all steps and returns the number of files that both folders hold at the end.
pub fn play(rig: &mut Rig, place: &Place, say: &Transcript) -> Result<usize> {
    let [laptop, desktop] = rig.folders();
    say.heading("From laptop to desktop");
    step(rig, say, "source files of this project", || copy_sources(&laptop.join("sources")))?;
    step(rig, say, &format!("one file of {}", say::size(BIG_FILE_BYTES as u64)), || {
        Ok(fs::write(laptop.join("holiday.mov"), noise(BIG_FILE_BYTES, 7))?)
    })?;
    let files = TREE_DIRECTORIES * TREE_FILES_PER_DIRECTORY;
    step(rig, say, &format!("a folder of {files} files, moved in at once"), || {
        let outside = place.directory("scratch")?.join("photos");
        write_tree(&outside, TREE_DIRECTORIES, TREE_FILES_PER_DIRECTORY, 4_000)?;
        Ok(fs::rename(outside, laptop.join("photos"))?)
    })?;
    step(rig, say, &format!("that folder renamed, its {files} files with it"), || {
        Ok(fs::rename(laptop.join("photos"), laptop.join("photos of 2026"))?)
    })?;
    step(rig, say, "a file deleted", || Ok(fs::remove_file(laptop.join("photos of 2026/0003/0007"))?))?;

    say.heading("And back");
    step(rig, say, "the big file edited in the middle on the desktop", || edit_middle(&desktop.join("holiday.mov")))?;
    step(rig, say, "a note written on the desktop", || {
        Ok(fs::write(desktop.join("note.txt"), "Both computers hold this now.\n")?)
    })?;
    let asked = Instant::now();
    rig.sync_wait(0)?;
    rig.sync_wait(1)?;
    say.fact("both computers say that they are up to date", asked.elapsed());
    count_files(&desktop)
}

/// Makes a change on one side and waits until the other side shows it.
fn step(rig: &mut Rig, say: &Transcript, what: &str, change: impl FnOnce() -> Result<()>) -> Result<()> {
    change().with_context(|| format!("cannot make the change: {what}"))?;
    let changed = Instant::now();
    rig.until_equal(what, STEP_LIMIT)?;
    say.fact(what, changed.elapsed());
    Ok(())
}

fn copy_sources(to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let from = cargo::root().join("crates/types/src");
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// `directories` × `files` files of `file_bytes` bytes each, all different, in a new directory.
pub fn write_tree(root: &Path, directories: usize, files: usize, file_bytes: usize) -> Result<()> {
    for directory in 0..directories {
        let path = root.join(format!("{directory:04}"));
        fs::create_dir_all(&path)?;
        for file in 0..files {
            let seed = directory * files + file + 1;
            fs::write(path.join(format!("{file:04}")), noise(file_bytes, seed as u64))?;
        }
    }
    Ok(())
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Changes one byte in place, as a database or a video tagger does.
fn edit_middle(path: &Path) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options().read(true).write(true).open(path)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle)?;
    Ok(file.write_all_at(&[!byte[0]], middle)?)
}

fn count_files(root: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name() == ".skep" {
            continue;
        }
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}
