//! What the programs of a person do to a real folder, at random from a seed.
//!
//! Few names, so that the two sides meet; unique contents, so that each saved one can be looked for later. Every action tells the
//! [`Ledger`] which contents it has saved and which it has destroyed itself: those are nobody else's loss.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::ledger::Ledger;
use super::random::Random;

/// Deepest directory that a program makes.
const DEPTH_MAX: usize = 3;
/// A tree that grows beyond this is deleted from; so no deletion of programs looks like an accident.
const FILES_MAX: usize = 60;
const FILE_NAMES: &[&str] = &["a", "b", "c.txt", "d.md", "e.tar.gz", "Übung.txt", ".hidden"];
const DIRECTORY_NAMES: &[&str] = &["x", "y", "z", "two words"];
const LINK_TARGETS: &[&str] = &["a", "../b", "/nowhere"];
/// Where a swap of two names puts the first one meanwhile.
const SWAP_NAME: &str = "swap";
/// Behind a name while a program saves beside it.
const SAVING: &str = ".tmp";
/// Most contents are small; one in so many is big.
const BIG_EVERY: usize = 40;
const SMALL_BYTES_MAX: usize = 20_000;
const BIG_BYTES_MAX: usize = 3_000_000;

/// The programs of one side.
#[derive(Debug)]
pub struct Person {
    /// Which side, for the ledger.
    side: usize,
    root: PathBuf,
    /// At the end of every name that is touched; empty if the sides may meet.
    mark: String,
    random: Random,
    contents: u64,
    open: Option<(File, PathBuf)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link,
}

impl Person {
    /// Programs that work in `root`.
    pub fn new(side: usize, root: &Path, mark: &str, seed: u64) -> Person {
        Person {
            side,
            root: root.to_owned(),
            mark: mark.to_owned(),
            random: Random::new(seed),
            contents: 0,
            open: None,
        }
    }

    /// Whether a program may have given this name.
    pub fn may_have_named(name: &str, marks: &[String]) -> bool {
        marks.iter().any(|mark| {
            let bare = name.strip_suffix(SAVING).unwrap_or(name);
            let Some(bare) = bare.strip_suffix(mark.as_str()) else { return false };
            bare == SWAP_NAME || FILE_NAMES.contains(&bare) || DIRECTORY_NAMES.contains(&bare)
        })
    }

    /// Takes one action and says which; `None` if there was nothing to act on or the client was faster.
    pub fn act(&mut self, ledger: &mut Ledger) -> Option<String> {
        let crowded = self.paths(|kind| kind == Kind::File).len() > FILES_MAX;
        let acted = match self.random.below(if crowded { 12 } else { 40 }) {
            0..3 => self.remove(ledger),
            3 => self.remove_tree(ledger),
            4..7 => self.overwrite(ledger),
            7..10 => self.rename(ledger),
            10..12 => self.relocate(ledger),
            12..20 => self.create(ledger),
            20..24 => self.save_beside(ledger),
            24..27 => self.append(ledger),
            27..30 => self.edit_same_size(ledger),
            30..33 => self.make_directory(),
            33 => self.set_executable(),
            34 => self.make_link(),
            35..37 => self.swap(),
            _ => self.write_slowly(ledger),
        };
        acted.ok().flatten()
    }

    /// Closes what is still open.
    pub fn close(&mut self, ledger: &mut Ledger) {
        if let Some((file, _)) = self.open.take() {
            self.close_one(&file, ledger);
        }
    }

    /// What is in the file at its end counts. One that lost its last name meanwhile is gone by the will of a program: a client never
    /// removes a name for good.
    fn close_one(&self, mut file: &File, ledger: &mut Ledger) {
        let mut bytes = Vec::new();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        if read.is_ok() && file.metadata().is_ok_and(|found| found.nlink() > 0) {
            ledger.saved(self.side, &bytes);
        }
    }

    // What is there, and new names.

    fn paths(&self, wanted: impl Fn(Kind) -> bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(directory) = open.pop() {
            let Ok(entries) = fs::read_dir(self.root.join(&directory)) else { continue };
            for entry in entries.flatten() {
                let (path, Ok(kind)) = (directory.join(entry.file_name()), entry.file_type()) else { continue };
                let is_own = path == Path::new(".skep");
                if is_own || !entry.file_name().to_string_lossy().ends_with(self.mark.as_str()) {
                    continue;
                }
                let kind = match kind {
                    kind if kind.is_dir() => Kind::Directory,
                    kind if kind.is_symlink() => Kind::Link,
                    _ => Kind::File,
                };
                if kind == Kind::Directory {
                    open.push(path.clone());
                }
                if wanted(kind) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    fn pick(&mut self, wanted: impl Fn(Kind) -> bool) -> Option<PathBuf> {
        let paths = self.paths(wanted);
        if paths.is_empty() { None } else { Some(self.random.pick(&paths).clone()) }
    }

    fn pick_file(&mut self) -> Option<PathBuf> {
        let path = self.pick(|kind| kind == Kind::File)?;
        // A file that a program has open is that program's, whatever the other side has called it meanwhile.
        let inode = |found: fs::Metadata| found.ino();
        let open = self.open.as_ref().and_then(|(file, ..)| file.metadata().ok()).map(inode);
        let picked = fs::symlink_metadata(self.root.join(&path)).ok().map(inode)?;
        if Some(picked) == open { None } else { Some(path) }
    }

    fn target_directory(&mut self) -> PathBuf {
        if self.random.coin() {
            return PathBuf::new();
        }
        let shallow = |path: &PathBuf| path.components().count() < DEPTH_MAX;
        self.pick(|kind| kind == Kind::Directory).filter(shallow).unwrap_or_default()
    }

    fn file_name(&mut self) -> String {
        format!("{}{}", self.random.pick(FILE_NAMES), self.mark)
    }

    fn directory_name(&mut self) -> String {
        format!("{}{}", self.random.pick(DIRECTORY_NAMES), self.mark)
    }

    fn new_file(&mut self) -> PathBuf {
        let directory = self.target_directory();
        directory.join(self.file_name())
    }

    /// Begins with who wrote it and a number; the rest is noise.
    fn content(&mut self) -> Vec<u8> {
        self.contents += 1;
        let mut bytes = format!("content {} of side {} ", self.contents, self.side).into_bytes();
        let length = match self.random.below(BIG_EVERY) {
            0 => self.random.below(BIG_BYTES_MAX),
            _ => self.random.below(SMALL_BYTES_MAX),
        };
        bytes.extend(crate::demo::noise(length, self.random.number()));
        bytes
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(path))
    }

    /// A look at what an action is about to destroy. Between it and the action the client may put something else there: then
    /// that is not known to be destroyed, and must be kept.
    fn about_to_destroy(&self, path: &Path) -> Option<Vec<u8>> {
        let is_file = fs::symlink_metadata(self.root.join(path)).is_ok_and(|found| found.is_file());
        if is_file { self.read(path).ok() } else { None }
    }

    // The actions.

    fn create(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let (path, bytes) = (self.new_file(), self.content());
        let mut file = match OpenOptions::new().write(true).create_new(true).open(self.root.join(&path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            other => other?,
        };
        file.write_all(&bytes)?;
        ledger.saved(self.side, &bytes);
        Ok(Some(format!("writes {} {}", path.display(), name_of(&bytes))))
    }

    fn overwrite(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let Some(path) = self.pick_file() else { return Ok(None) };
        let bytes = self.content();
        let old = self.about_to_destroy(&path);
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.root.join(&path))?;
        ledger.destroyed(self.side, old.as_deref());
        file.write_all(&bytes)?;
        ledger.saved(self.side, &bytes);
        Ok(Some(format!("overwrites {} {}", path.display(), name_of(&bytes))))
    }

    fn save_beside(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let Some(path) = self.pick_file() else { return Ok(None) };
        let bytes = self.content();
        let mut beside = path.clone().into_os_string();
        beside.push(SAVING);
        fs::write(self.root.join(&beside), &bytes)?;
        let old = self.about_to_destroy(&path);
        fs::rename(self.root.join(&beside), self.root.join(&path))?;
        ledger.destroyed(self.side, old.as_deref());
        ledger.saved(self.side, &bytes);
        Ok(Some(format!("saves {} {}", path.display(), name_of(&bytes))))
    }

    fn append(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let Some(path) = self.pick_file() else { return Ok(None) };
        let old = self.about_to_destroy(&path);
        let more = self.content();
        OpenOptions::new().append(true).open(self.root.join(&path))?.write_all(&more)?;
        ledger.destroyed(self.side, old.as_deref());
        let bytes = self.read(&path)?;
        ledger.saved(self.side, &bytes);
        Ok(Some(format!("appends to {} {}", path.display(), name_of(&more))))
    }

    /// At times with the mtime put back, as some programs do.
    fn edit_same_size(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let Some(path) = self.pick_file() else { return Ok(None) };
        let (old, whole) = (self.read(&path)?, self.root.join(&path));
        let mtime = fs::metadata(&whole)?.modified()?;
        let bytes: Vec<u8> = self.content().into_iter().chain(old.iter().copied()).take(old.len()).collect();
        let mut file = OpenOptions::new().write(true).open(&whole)?;
        file.write_all(&bytes)?;
        ledger.destroyed(self.side, Some(&old));
        let put_back = self.random.coin();
        if put_back {
            file.set_modified(mtime)?;
        }
        drop(file);
        ledger.saved(self.side, &bytes);
        let how = if put_back { " and mtime" } else { "" };
        Ok(Some(format!("edits {} under the same size{how} {}", path.display(), name_of(&bytes))))
    }

    fn rename(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let Some(path) = self.pick(|_| true) else { return Ok(None) };
        let is_directory = fs::symlink_metadata(self.root.join(&path))?.is_dir();
        let name = if is_directory { self.directory_name() } else { self.file_name() };
        self.move_to(&path.clone(), &path.with_file_name(name), ledger)
    }

    fn relocate(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let Some(path) = self.pick(|_| true) else { return Ok(None) };
        let target = self.target_directory().join(path.file_name().unwrap_or_default());
        self.move_to(&path, &target, ledger)
    }

    fn move_to(&mut self, path: &Path, target: &Path, ledger: &mut Ledger) -> io::Result<Option<String>> {
        if path == target {
            return Ok(None);
        }
        let old = self.about_to_destroy(target);
        fs::rename(self.root.join(path), self.root.join(target))?;
        ledger.destroyed(self.side, old.as_deref());
        if let Some((_, open)) = &mut self.open
            && let Ok(rest) = open.strip_prefix(path)
        {
            *open = if rest.as_os_str().is_empty() { target.to_owned() } else { target.join(rest) };
        }
        Ok(Some(format!("renames {} to {}", path.display(), target.display())))
    }

    fn make_directory(&mut self) -> io::Result<Option<String>> {
        let path = self.target_directory().join(self.directory_name());
        fs::create_dir(self.root.join(&path))?;
        Ok(Some(format!("makes directory {}", path.display())))
    }

    fn remove(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let Some(path) = self.pick(|kind| kind != Kind::Directory) else { return Ok(None) };
        self.remove_one(&path, ledger)?;
        Ok(Some(format!("removes {}", path.display())))
    }

    fn remove_one(&self, path: &Path, ledger: &mut Ledger) -> io::Result<()> {
        let old = self.about_to_destroy(path);
        fs::remove_file(self.root.join(path))?;
        ledger.destroyed(self.side, old.as_deref());
        Ok(())
    }

    /// As `rm -r` does: one after the other, from the leaves up.
    fn remove_tree(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        let Some(path) = self.pick(|kind| kind == Kind::Directory) else { return Ok(None) };
        let within: Vec<PathBuf> = self.paths(|_| true).into_iter().filter(|inner| inner.starts_with(&path)).collect();
        for inner in within.iter().rev() {
            let whole = self.root.join(inner);
            if fs::symlink_metadata(&whole)?.is_dir() {
                fs::remove_dir(whole)?;
            } else {
                self.remove_one(inner, ledger)?;
            }
        }
        Ok(Some(format!("removes the tree {}", path.display())))
    }

    fn set_executable(&mut self) -> io::Result<Option<String>> {
        let Some(path) = self.pick_file() else { return Ok(None) };
        let mode = if self.random.coin() { 0o755 } else { 0o644 };
        fs::set_permissions(self.root.join(&path), fs::Permissions::from_mode(mode))?;
        Ok(Some(format!("sets the mode of {} to {mode:o}", path.display())))
    }

    fn make_link(&mut self) -> io::Result<Option<String>> {
        let (path, target) = (self.new_file(), *self.random.pick(LINK_TARGETS));
        symlink(target, self.root.join(&path))?;
        Ok(Some(format!("links {} to {target}", path.display())))
    }

    /// Two names change places by way of a third.
    fn swap(&mut self) -> io::Result<Option<String>> {
        let (Some(one), Some(other)) = (self.pick(|_| true), self.pick(|_| true)) else { return Ok(None) };
        if one.starts_with(&other) || other.starts_with(&one) {
            return Ok(None);
        }
        let whole = |path: &Path| self.root.join(path);
        let between = whole(Path::new(&format!("{SWAP_NAME}{}", self.mark)));
        // Whatever the client puts there meanwhile is not replaced: a rename of this kind fails then.
        rename_to_free_name(&whole(&one), &between)?;
        let swapped = rename_to_free_name(&whole(&other), &whole(&one));
        rename_to_free_name(&between, &if swapped.is_ok() { whole(&other) } else { whole(&one) })?;
        swapped?;
        Ok(Some(format!("swaps {} and {}", one.display(), other.display())))
    }

    /// A program that has a file open for a while, and writes to it from time to time.
    fn write_slowly(&mut self, ledger: &mut Ledger) -> io::Result<Option<String>> {
        if let Some((mut file, path)) = self.open.take() {
            if self.random.coin() {
                self.close_one(&file, ledger);
                return Ok(Some(format!("closes {}", path.display())));
            }
            let more = self.content();
            file.write_all(&more)?;
            let told = format!("writes on to {}", path.display());
            self.open = Some((file, path));
            return Ok(Some(told));
        }
        let (path, bytes) = (self.new_file(), self.content());
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create_new(true).open(self.root.join(&path))?;
        file.write_all(&bytes)?;
        let told = format!("opens {} and writes {}", path.display(), name_of(&bytes));
        self.open = Some((file, path));
        Ok(Some(told))
    }
}

fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// A content in the log: its first words and its length.
pub fn name_of(bytes: &[u8]) -> String {
    let words: Vec<_> = bytes.split(|byte| *byte == b' ').take(5).map(String::from_utf8_lossy).collect();
    let words: String =
        words.join(" ").chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').take(40).collect();
    format!("({words}, {} bytes)", bytes.len())
}
