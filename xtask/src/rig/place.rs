//! The directory in which a rig lives: made empty, removed at the end unless it is kept.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Lines of each log that are shown when a step failed.
const TAIL_LINES: usize = 20;

/// See the module.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    keep: bool,
}

impl Place {
    /// A new directory among the system's temporary ones. The name is short: a Unix socket's path holds 107 bytes.
    pub fn temporary(purpose: &str) -> Result<Place> {
        let root = std::env::temp_dir().join(format!("skep-{purpose}-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&root);
        made.with_context(|| format!("cannot make `{}`", root.display()))?;
        Ok(Place { root, keep: false })
    }

    /// `root`, which is made, or is there and empty; it stays.
    pub fn kept(root: &Path) -> Result<Place> {
        fs::create_dir_all(root).with_context(|| format!("cannot make `{}`", root.display()))?;
        let root = fs::canonicalize(root)?;
        if fs::read_dir(&root)?.next().is_some() {
            bail!("`{}` is not empty\nhint: name a new directory", root.display());
        }
        Ok(Place { root, keep: true })
    }

    /// From now on it stays.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Whether it will stay.
    pub fn is_kept(&self) -> bool {
        self.keep
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The directory `name` in it, made if it is not there.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make `{}`", path.display()))?;
        Ok(path)
    }

    /// Where the program `name` logs.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.log"))
    }

    /// The ends of all logs, for a person who looks why something failed.
    pub fn log_tails(&self) -> String {
        let mut text = String::new();
        for name in ["server", "laptop", "desktop", "newcomer"] {
            let Ok(log) = fs::read(self.log(name)) else { continue };
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            text += &format!("\n--- {name}.log, last {} of {} lines\n", tail.len(), lines.len());
            tail.iter().for_each(|line| text += &format!("{line}\n"));
        }
        text
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.root)
        {
            eprintln!("warning: cannot remove `{}`: {error}", self.root.display());
        }
    }
}
