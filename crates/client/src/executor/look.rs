//! Looking at directories.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use skep_planner::{IGNORE_BYTES_MAX, LookError, Sight, is_ignore_file};
use skep_platform::{FileError, FileErrorKind, Files, Lane, WatchError, Watcher, offload};
use skep_types::{Kind, Name, NodeId, Stat};

use super::Shared;
use crate::own_dir::own_kind;
use crate::root::{Root, RootError, own_dir};
use crate::world::World;

impl<M: World> Shared<M> {
    /// Looks at the directory at `path`: all of it, or some names. Watches it before, if asked to, so that nothing that happens
    /// after the look goes unnoticed.
    pub(super) async fn look(
        self: &std::sync::Arc<Self>,
        node: NodeId,
        path: Vec<Name>,
        names: Option<Vec<Name>>,
        watch: bool,
    ) -> (bool, Result<(Stat, Vec<Sight>), LookError>) {
        let shared = self.clone();
        let looked = offload(self.world.tasks(), Lane::Disk, move || {
            let root = &shared.root;
            // All of a directory is looked at when the one above it was, which said what it is.
            let opened = match names {
                Some(_) => root.open_beneath(&path),
                None => root.files.open_dir(&root.dir, &path),
            };
            let dir = match opened {
                Ok(dir) => dir,
                Err(error) => return (false, Err(look_error(error))),
            };
            let watching = watch && shared.watch(&dir, node);
            (watching, shared.look_into(&dir, path.is_empty(), names))
        });
        looked.await.unwrap_or((false, Err(LookError::Failed)))
    }

    fn watch(&self, dir: &<M::Files as Files>::Dir, node: NodeId) -> bool {
        let watched = self.world.watcher().watch(dir, node);
        if let Err(error) = &watched {
            if *error == WatchError::Limit || !self.watch_degraded.load(Ordering::Relaxed) {
                tracing::warn!(%error, "changes here are found by scans only");
            }
            self.watch_degraded.store(true, Ordering::Relaxed);
        }
        watched.is_ok()
    }

    fn look_into(
        &self,
        dir: &<M::Files as Files>::Dir,
        is_root: bool,
        names: Option<Vec<Name>>,
    ) -> Result<(Stat, Vec<Sight>), LookError> {
        let root = &self.root;
        let is_whole_root = is_root && names.is_none();
        let stat = root.files.stat_dir(dir).map_err(look_error)?;
        let sights = match names {
            None => root.files.tidy_names(dir).and_then(|()| list(root, dir, is_root)),
            Some(names) => look_at(root, dir, is_root, names),
        };
        let sights = sights.map_err(look_error)?;
        if is_whole_root || sights.iter().any(|sight| sight.stat.is_none()) {
            self.check_root()?;
        }
        Ok((stat, sights))
    }

    /// What is missing from a folder that is not the root any more is not missing: fails, and keeps why.
    fn check_root(&self) -> Result<(), LookError> {
        match self.root.check_in_place() {
            Ok(()) => Ok(()),
            Err(error @ (RootError::Missing(_) | RootError::Other)) => {
                *self.root_lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(LookError::Failed)
            }
            Err(_) => Err(LookError::Failed),
        }
    }
}

fn list<F: Files>(root: &Root<F>, dir: &F::Dir, is_root: bool) -> Result<Vec<Sight>, FileError> {
    let entries = root.files.list(dir)?.into_iter();
    let entries = entries.filter(|(name, _)| !(is_root && *name == own_dir()));
    entries.map(|(name, stat)| with_target(root, dir, name, Some(stat))).collect()
}

/// What stands under these names. Where nothing does, and the disk takes the name for another one, that is meant as well; and what had to
/// make way for the name may have its own again.
fn look_at<F: Files>(root: &Root<F>, dir: &F::Dir, is_root: bool, names: Vec<Name>) -> Result<Vec<Sight>, FileError> {
    let mut sights = names.into_iter().map(|name| sight(root, dir, name)).collect::<Result<Vec<Sight>, _>>()?;
    let absent: Vec<Name> =
        sights.iter().filter(|sight| sight.stat.is_none()).map(|sight| sight.name.clone()).collect();
    for name in &absent {
        let others = root.files.taken_for(dir, name)?.filter(|other| !(is_root && *other == own_dir()));
        if let Some(other) = others.filter(|other| sights.iter().all(|sight| sight.name != *other)) {
            sights.push(sight(root, dir, other)?);
        }
    }
    if !absent.is_empty() {
        root.files.tidy_names(dir)?;
    }
    Ok(sights)
}

fn sight<F: Files>(root: &Root<F>, dir: &F::Dir, name: Name) -> Result<Sight, FileError> {
    let stat = root.files.stat(dir, &name)?;
    with_target(root, dir, name, stat)
}

fn with_target<F: Files>(root: &Root<F>, dir: &F::Dir, name: Name, stat: Option<Stat>) -> Result<Sight, FileError> {
    let kind = stat.and_then(|stat| stat.kind);
    if kind == Some(Kind::Directory)
        && let Some(own) = own_kind(&root.files, dir, std::slice::from_ref(&name))?
    {
        // Nothing that could be synced, as if another file system were mounted there.
        let stat = stat.map(|stat| Stat { kind: None, ..stat });
        return Ok(Sight { name, stat, target: None, text: None, own: Some(own) });
    }
    if kind != Some(Kind::Symlink) {
        let text = is_ignore_file(&name).then(|| rules_text(root, dir, &name, stat.as_ref())).flatten();
        return Ok(Sight { name, stat, target: None, text, own: None });
    }
    match root.files.read_link(dir, &name) {
        Ok(target) => Ok(Sight { name, stat, target: Some(target), text: None, own: None }),
        // It was replaced in this moment.
        Err(error) if matches!(error.kind, FileErrorKind::NotFound | FileErrorKind::WrongKind) => {
            let stat = root.files.stat(dir, &name)?;
            match stat.and_then(|stat| stat.kind) {
                Some(Kind::Symlink) => Err(error),
                _ => Ok(Sight { name, stat, target: None, text: None, own: None }),
            }
        }
        Err(error) => Err(error),
    }
}

/// What a file of ignore rules holds. That it cannot be read does not fail the look: the observer tells.
fn rules_text<F: Files>(root: &Root<F>, dir: &F::Dir, name: &Name, stat: Option<&Stat>) -> Option<Vec<u8>> {
    let is_file = stat.and_then(|stat| stat.kind) == Some(Kind::File);
    is_file.then(|| root.files.read_range(dir, name, 0, IGNORE_BYTES_MAX + 1).ok()).flatten()
}

fn look_error(error: FileError) -> LookError {
    match error.kind {
        FileErrorKind::NotFound | FileErrorKind::WrongKind => LookError::Gone,
        FileErrorKind::Denied => LookError::Denied,
        _ => LookError::Failed,
    }
}
