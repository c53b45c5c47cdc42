//! Changing this disk: the renames of a batch, each checked, between two points of durability.
//!
//! What a person's program does meanwhile is found by looking at what a rename really moved: an exchange takes out what stood there
//! in the same step in which it puts the new file in. If that was not what was expected, it is put back.
//!
//! Invariant: a file of the person always has a name, in the folder or in the safe; nothing here removes one.

use std::collections::BTreeMap;

use skep_planner::{ApplyError, ApplyKind, ApplyOperation, ApplyResult, Location};
use skep_platform::{FileError, FileErrorKind, Files, RenameMode};
use skep_types::{COARSEST_CLOCK_NS, Content, ContentId, FileContent, Kind, Mode, Name, Stat, Timestamp};

use crate::root::{Root, own_dir};
use crate::safe::{self, Displaced, Fingerprint, SafeNames, matches, put_beside, same_thing};

/// What was staged for one operation.
pub(crate) type Staged = Option<Result<Name, ApplyError>>;

/// Reads and hashes the file of that name in a directory.
type Hash<'a, F> = dyn Fn(&<F as Files>::Dir, &Name) -> Result<ContentId, FileError> + 'a;

/// Carries out a batch on one disk.
pub(crate) struct Batch<'a, F: Files> {
    root: &'a Root<F>,
    safe_names: SafeNames,
    /// Open directories by path. A path leads elsewhere once a directory on it was renamed.
    dirs: BTreeMap<Vec<Name>, F::Dir>,
    /// Directories whose entries changed, by inode.
    touched: BTreeMap<u64, F::Dir>,
    /// Files whose times or mode were set in place.
    set: Vec<(F::Dir, Name)>,
    read: &'a Hash<'a, F>,
}

/// A file that took the place of another one, which lies in the safe as `kept` now.
#[derive(Clone, Copy)]
struct Exchange<'a> {
    name: &'a Name,
    kept: &'a Name,
    expected: &'a Stat,
    ours: &'a Stat,
    content: &'a Content,
}

/// Does `operations` in their order. `staged` holds, for each, the file that was written for it. `read` hashes a file.
pub(crate) fn apply_batch<F: Files>(
    root: &Root<F>,
    operations: &[ApplyOperation],
    staged: &[Staged],
    random: [u8; 4],
    read: &Hash<'_, F>,
) -> Vec<ApplyResult> {
    let written: Vec<(F::Dir, Name)> = staged
        .iter()
        .filter_map(|staged| staged.as_ref()?.as_ref().ok())
        .map(|name| (root.staging.clone(), name.clone()))
        .collect();
    if !written.is_empty()
        && let Err(error) = root.files.make_durable(&written, &[])
    {
        return operations.iter().map(|_| Err(apply_error(error.clone()))).collect();
    }
    let mut batch = Batch {
        root,
        safe_names: SafeNames::new(random),
        dirs: BTreeMap::new(),
        touched: BTreeMap::new(),
        set: Vec::new(),
        read,
    };
    let mut failed: Vec<&ApplyOperation> = Vec::new();
    let mut done: Vec<ApplyResult> = Vec::with_capacity(operations.len());
    for (operation, staged) in operations.iter().zip(staged) {
        // Where an earlier operation should have brought another directory, the path leads to the wrong one.
        let result = match failed.iter().any(|earlier| operation.goes_through(earlier)) {
            true => Err(ApplyError::Changed),
            false => batch.apply(&operation.kind, staged),
        };
        failed.extend(result.is_err().then_some(operation));
        done.push(result);
    }
    for (_, name) in &written {
        // Only what no operation took is still there.
        let _ = root.files.remove_file(&root.staging, name);
    }
    let touched: Vec<F::Dir> = batch.touched.into_values().collect();
    let made_durable = set_durably(root, &batch.set).and_then(|()| match touched.is_empty() {
        true => Ok(()),
        false => root.files.make_durable(&[], &touched),
    });
    if let Err(error) = made_durable {
        return done.into_iter().map(|result| result.and(Err(apply_error(error.clone())))).collect();
    }
    done
}

/// Makes durable what was set on files in their places, but for those that a person took away meanwhile.
fn set_durably<F: Files>(root: &Root<F>, set: &[(F::Dir, Name)]) -> Result<(), FileError> {
    let is_gone = |error: &FileError| matches!(error.kind, FileErrorKind::NotFound | FileErrorKind::WrongKind);
    match root.files.make_durable(set, &[]) {
        Err(error) if is_gone(&error) => set.iter().try_for_each(|file| {
            let synced = root.files.make_durable(std::slice::from_ref(file), &[]);
            synced.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) })
        }),
        made_durable => made_durable,
    }
}

impl<F: Files> Batch<'_, F> {
    fn apply(&mut self, kind: &ApplyKind, staged: &Staged) -> ApplyResult {
        match kind {
            ApplyKind::Create { at, content, .. } => self.create(at, content, staged).map(Some),
            ApplyKind::Replace { at, content, expected, .. } => self.replace(at, content, staged, expected).map(Some),
            ApplyKind::Rename { from, to, expected } => self.rename(from, to, expected).map(Some),
            ApplyKind::Touch { at, content, mode, expected } => self.touch(at, content, *mode, expected).map(Some),
            ApplyKind::Remove { at, expected } => self.remove(at, expected).map(|()| None),
        }
    }

    fn create(&mut self, at: &Location, content: &Content, staged: &Staged) -> Result<Stat, ApplyError> {
        let files = &self.root.files;
        let dir = self.dir(&at.dir)?;
        match content {
            Content::Directory => files.make_dir(&dir, &at.name).map_err(apply_error)?,
            Content::Symlink { target } => files.make_link(&dir, &at.name, target).map_err(apply_error)?,
            Content::File(_) => {
                let staging = &self.root.staging;
                let staged = staged_name(staged)?;
                let ours = files.stat(staging, &staged).map_err(apply_error)?.ok_or(ApplyError::Changed)?;
                files.rename(staging, &staged, &dir, &at.name, RenameMode::NoReplace).map_err(apply_error)?;
                return Ok(self.shown(&dir, &at.name, &ours));
            }
            Content::Mount { .. } => return Err(ApplyError::Failed("mounts are not supported".into())),
        }
        self.touch_dir(&dir);
        files.stat(&dir, &at.name).map_err(apply_error)?.ok_or(ApplyError::Changed)
    }

    fn replace(
        &mut self,
        at: &Location,
        content: &Content,
        staged: &Staged,
        expected: &Stat,
    ) -> Result<Stat, ApplyError> {
        let (files, safe) = (&self.root.files, &self.root.safe);
        let dir = self.dir(&at.dir)?;
        let staged = match content {
            Content::Symlink { target } => {
                let name = self.safe_names.next(Fingerprint::NONE, Fingerprint::NONE, &at.name);
                files.make_link(&self.root.staging, &name, target).map_err(apply_error)?;
                name
            }
            _ => staged_name(staged)?,
        };
        let ours = files.stat(&self.root.staging, &staged).map_err(apply_error)?.ok_or(ApplyError::Changed)?;
        self.check_untouched(&dir, &at.name, expected)?;
        // From here on the new file lies in the safe, so that what the exchange takes out is there in the same step.
        let kept = self.safe_names.next(Fingerprint::of(expected), Fingerprint::of(&ours), &at.name);
        files.rename(&self.root.staging, &staged, safe, &kept, RenameMode::NoReplace).map_err(apply_error)?;
        match files.rename(safe, &kept, &dir, &at.name, RenameMode::Exchange) {
            Ok(()) => {
                let exchange = Exchange { name: &at.name, kept: &kept, expected, ours: &ours, content };
                self.check_exchanged(&dir, &exchange)?;
            }
            Err(error) if error.kind == FileErrorKind::Unsupported => {
                self.replace_in_two_steps(&dir, &at.name, &kept, expected)?;
            }
            Err(error) => {
                self.drop_ours(&kept, &ours);
                return Err(apply_error(error));
            }
        }
        self.touch_dir(&self.root.safe.clone());
        Ok(self.shown(&dir, &at.name, &ours))
    }

    /// What came out of an exchange lies in the safe as `kept`. If it is not what was expected, takes the exchange back.
    fn check_exchanged(&mut self, dir: &F::Dir, exchange: &Exchange<'_>) -> Result<(), ApplyError> {
        let Exchange { name, kept, expected, ours, content } = *exchange;
        let (files, safe) = (&self.root.files, &self.root.safe);
        // What cannot be examined is not displaced either.
        if matches!(files.stat(safe, kept), Ok(Some(came_out)) if matches(&came_out, expected)) {
            return Ok(());
        }
        tracing::info!(name = %name.display(), "a file changed in the moment in which it was to be replaced");
        let back = match files.rename(safe, kept, dir, name, RenameMode::Exchange) {
            // Somebody removed our file meanwhile.
            Err(error) if error.kind == FileErrorKind::NotFound => {
                files.rename(safe, kept, dir, name, RenameMode::NoReplace)
            }
            back => back,
        };
        // It was visible for a moment: only if it holds what it held, nobody has written to it.
        let is_untouched = match content {
            Content::File(file) => (self.read)(safe, kept).is_ok_and(|read| read == file.id),
            _ => true,
        };
        let is_ours = |stat: &Option<Stat>| stat.as_ref().is_none_or(|stat| matches(stat, ours) && is_untouched);
        if back.is_ok() && files.stat(safe, kept).as_ref().is_ok_and(is_ours) {
            self.drop_ours(kept, ours);
        } else {
            // Both what came out first and what came out second are the person's, or may be.
            put_beside(self.root, safe, kept, dir, name).map_err(apply_error)?;
        }
        Err(ApplyError::Changed)
    }

    /// Where names cannot be exchanged: what stands there goes to the safe, then the new file takes its name. Between the two
    /// steps the name is free, and whoever takes it keeps it.
    fn replace_in_two_steps(
        &mut self,
        dir: &F::Dir,
        name: &Name,
        kept: &Name,
        expected: &Stat,
    ) -> Result<(), ApplyError> {
        let (files, safe) = (&self.root.files, &self.root.safe);
        self.displace(dir, name, expected)?;
        files.rename(safe, kept, dir, name, RenameMode::NoReplace).map_err(apply_error)
    }

    fn rename(&mut self, from: &Location, to: &Location, expected: &Stat) -> Result<Stat, ApplyError> {
        let files = &self.root.files;
        let (source, target) = (self.dir(&from.dir)?, self.dir(&to.dir)?);
        match files.stat(&source, &from.name).map_err(apply_error)? {
            Some(stat) if matches(&stat, expected) => {}
            _ => return Err(ApplyError::Changed),
        }
        files.rename(&source, &from.name, &target, &to.name, RenameMode::NoReplace).map_err(apply_error)?;
        if expected.kind == Some(Kind::Directory) {
            self.forget_beneath(from);
            self.forget_beneath(to);
        }
        self.touch_dir(&source);
        if let Ok(Some(moved)) = files.stat(&target, &to.name)
            && !same_thing(&moved, expected)
        {
            // Another thing took the name between the look and the rename. If its name is taken again, it stays here: visible.
            let _ = files.rename(&target, &to.name, &source, &from.name, RenameMode::NoReplace);
            self.touch_dir(&target);
            return Err(ApplyError::Changed);
        }
        Ok(self.shown(&target, &to.name, expected))
    }

    fn touch(&mut self, at: &Location, content: &FileContent, mode: Mode, expected: &Stat) -> Result<Stat, ApplyError> {
        let files = &self.root.files;
        let dir = self.dir(&at.dir)?;
        let before = files.stat(&dir, &at.name).map_err(apply_error)?.ok_or(ApplyError::Changed)?;
        if !matches(&before, expected) {
            return Err(ApplyError::Changed);
        }
        if before.executable != mode.executable {
            files.set_executable(&dir, &at.name, mode.executable).map_err(apply_error)?;
        }
        if before.mtime != content.mtime {
            files.set_mtime(&dir, &at.name, content.mtime).map_err(apply_error)?;
        }
        self.touch_dir(&dir);
        self.set.push((dir.clone(), at.name.clone()));
        let now = files.stat(&dir, &at.name).map_err(apply_error)?.ok_or(ApplyError::Changed)?;
        let is_near = now.mtime.as_nanoseconds().abs_diff(content.mtime.as_nanoseconds()) < COARSEST_CLOCK_NS;
        let is_ours = same_thing(&now, expected)
            && now.size == expected.size
            // A disk may keep the bit that it has; another one was set by somebody else.
            && [mode.executable, before.executable].contains(&now.executable)
            && (is_near || self.shown_mtime(content.mtime)? == Some(now.mtime));
        if is_ours { Ok(now) } else { Err(ApplyError::Changed) }
    }

    /// What this disk makes of an mtime: it may not reach that far back or ahead.
    fn shown_mtime(&mut self, mtime: Timestamp) -> Result<Option<Timestamp>, ApplyError> {
        let (files, staging) = (&self.root.files, &self.root.staging);
        let probe = self.safe_names.next(Fingerprint::NONE, Fingerprint::NONE, &own_dir());
        files.create(staging, &probe).map_err(apply_error)?;
        let set = files.set_mtime(staging, &probe, mtime).and_then(|()| files.stat(staging, &probe));
        // What stays behind in the staging area is swept at the next start.
        let _ = files.remove_file(staging, &probe);
        Ok(set.map_err(apply_error)?.map(|stat| stat.mtime))
    }

    fn remove(&mut self, at: &Location, expected: &Stat) -> Result<(), ApplyError> {
        let dir = self.dir(&at.dir)?;
        if expected.kind != Some(Kind::Directory) {
            self.displace(&dir, &at.name, expected)?;
            self.touch_dir(&dir);
            self.touch_dir(&self.root.safe.clone());
            return Ok(());
        }
        match self.root.files.stat(&dir, &at.name).map_err(apply_error)? {
            Some(stat) if same_thing(&stat, expected) => {}
            _ => return Err(ApplyError::Changed),
        }
        // Only an empty one goes, so nothing can be lost by what happens between the two calls.
        self.root.files.remove_dir(&dir, &at.name).map_err(apply_error)?;
        self.forget_beneath(at);
        self.touch_dir(&dir);
        Ok(())
    }

    /// Moves `dir/name` to the safe. What turns out to be something else than `expected` is put back.
    fn displace(&mut self, dir: &F::Dir, name: &Name, expected: &Stat) -> Result<(), ApplyError> {
        self.check_untouched(dir, name, expected)?;
        match safe::displace(self.root, dir, name, expected, &mut self.safe_names).map_err(apply_error)? {
            Displaced::Kept => Ok(()),
            Displaced::Back => Err(ApplyError::Changed),
        }
    }

    /// Fails if what stands there was changed in any way since it was looked at, the ctime included: the displaced file itself cannot
    /// tell any more, for a rename changes its ctime as an edit would that restores the mtime.
    fn check_untouched(&self, dir: &F::Dir, name: &Name, expected: &Stat) -> Result<(), ApplyError> {
        match self.root.files.stat(dir, name).map_err(apply_error)? {
            Some(stat) if matches(&stat, expected) && stat.ctime == expected.ctime => Ok(()),
            _ => Err(ApplyError::Changed),
        }
    }

    /// Removes a file that this batch staged and nobody wrote to, if it is that file.
    fn drop_ours(&self, kept: &Name, ours: &Stat) {
        let (files, safe) = (&self.root.files, &self.root.safe);
        if files.stat(safe, kept).is_ok_and(|stat| stat.is_some_and(|stat| matches(&stat, ours))) {
            // What stays behind is known as ours by its name, and dropped when the safe is looked through.
            let _ = files.remove_file(safe, kept);
        }
    }

    /// What the disk shows of a node that was just put there as `known`. If a program was there between, changed it, put another file in
    /// its place or took it away, then what was known counts: so the next look sees the difference.
    fn shown(&mut self, dir: &F::Dir, name: &Name, known: &Stat) -> Stat {
        self.touch_dir(dir);
        match self.root.files.stat(dir, name) {
            Ok(Some(now)) if matches(&now, known) => now,
            _ => *known,
        }
    }

    fn touch_dir(&mut self, dir: &F::Dir) {
        // A directory that cannot be examined cannot be made durable either; that call tells.
        let inode = self.root.files.stat_dir(dir).map_or(0, |stat| stat.inode);
        self.touched.entry(inode).or_insert_with(|| dir.clone());
    }

    fn dir(&mut self, path: &[Name]) -> Result<F::Dir, ApplyError> {
        if let Some(dir) = self.dirs.get(path) {
            return Ok(dir.clone());
        }
        let dir = match path {
            [] => self.root.dir.clone(),
            _ => self.root.open_beneath(path).map_err(apply_error)?,
        };
        self.dirs.insert(path.to_vec(), dir.clone());
        Ok(dir)
    }

    fn forget_beneath(&mut self, at: &Location) {
        let path: Vec<Name> = at.dir.iter().chain([&at.name]).cloned().collect();
        self.dirs.retain(|dir, _| !dir.starts_with(&path));
    }
}

fn staged_name(staged: &Staged) -> Result<Name, ApplyError> {
    staged.clone().unwrap_or_else(|| Err(ApplyError::Failed("nothing was staged".into())))
}

/// How a failed file operation is told to the engine.
pub(crate) fn apply_error(error: FileError) -> ApplyError {
    match error.kind {
        FileErrorKind::NotFound | FileErrorKind::Exists | FileErrorKind::WrongKind => ApplyError::Changed,
        FileErrorKind::NotEmpty => ApplyError::NotEmpty,
        FileErrorKind::NoSpace => ApplyError::NoSpace,
        FileErrorKind::Denied => ApplyError::Denied,
        FileErrorKind::BadName => ApplyError::BadName,
        FileErrorKind::Unsupported | FileErrorKind::Other => ApplyError::Failed(error.message),
    }
}

#[cfg(test)]
mod tests;
