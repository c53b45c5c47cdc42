//! What is not synced, by rules in files: the syntax and the meaning of `.gitignore`, in files called `.skepignore`.
//!
//! Rules apply to the directory that holds their file and to all beneath it; of two files the deeper one decides, of two lines in a
//! file the later one. Nothing beneath an ignored directory is looked at. What no file decides, a short list of what programs and
//! systems leave behind decides ([`built_in`]).

mod built_in;
mod file;
mod glob;
mod pattern;

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_types::{Kind, Name, NodeId, product};

use crate::names::node_of_swap_name;

pub(crate) use built_in::built_in;
pub use file::{IgnoreFault, IgnoreRules};

/// The most bytes of an ignore file that count; what comes after them is told as a problem.
pub const IGNORE_BYTES_MAX: usize = 256 << 10;

/// Whether this is the name of files with rules.
pub fn is_ignore_file(name: &Name) -> bool {
    name.as_bytes() == product::IGNORE_FILE.as_bytes()
}

/// Whether the entry at `path` is ignored by the rules of these directories, or by what is built in: as it comes out when directories are
/// looked at from the root down. The measure for all that the engine does by looking at changes only.
pub fn is_path_ignored(rules: &BTreeMap<Vec<Name>, Arc<IgnoreRules>>, path: &[Name], kind: Option<Kind>) -> bool {
    let built_in = Arc::new(built_in());
    (0..path.len()).any(|depth| {
        let dir = &path[..depth];
        let mut filter = Filter::default();
        for above in (0..=depth).rev() {
            if let Some(rules) = rules.get(&dir[..above]) {
                filter.add(Some(NodeId::ROOT), rules.clone(), dir[above..].to_vec());
            }
        }
        filter.add(None, built_in.clone(), Vec::new());
        let kind = if depth + 1 < path.len() { Some(Kind::Directory) } else { kind };
        filter.ignores(&path[depth], kind)
    })
}

/// Why something is ignored, or is not though an earlier rule said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreReason {
    /// The directory whose ignore file says so; `None`: it is built in.
    pub dir: Option<NodeId>,
    /// The line, from 1.
    pub line: usize,
    /// The pattern, as it is written there.
    pub pattern: String,
    /// Whether it is ignored; if not, the pattern begins with `!`.
    pub ignored: bool,
}

/// The rules of one directory, as they count for another one beneath it.
#[derive(Debug, Clone)]
struct Layer {
    /// Whose; `None`: they are built in.
    dir: Option<NodeId>,
    rules: Arc<IgnoreRules>,
    /// The names that lead from there down to the other one.
    path: Arc<Vec<Name>>,
}

/// All rules that count for the entries of one directory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// From the deepest up.
    layers: Vec<Layer>,
}

impl Filter {
    /// Adds rules that give way to all that were added before.
    pub(crate) fn add(&mut self, dir: Option<NodeId>, rules: Arc<IgnoreRules>, path: Vec<Name>) {
        self.layers.push(Layer { dir, rules, path: Arc::new(path) });
    }

    /// The same rules for a directory further down, of which no rules are known.
    pub(crate) fn beneath(mut self, names: &[Name]) -> Filter {
        for layer in &mut self.layers {
            Arc::make_mut(&mut layer.path).extend_from_slice(names);
        }
        self
    }

    /// Whether an entry of this name and kind is ignored.
    pub(crate) fn ignores(&self, name: &Name, kind: Option<Kind>) -> bool {
        self.decides(name, kind).is_some_and(|(_, _, ignored)| ignored)
    }

    /// The rule that decides on an entry of this name and kind, if one does.
    pub(crate) fn reason(&self, name: &Name, kind: Option<Kind>) -> Option<IgnoreReason> {
        let (layer, line, ignored) = self.decides(name, kind)?;
        let pattern = layer.rules.text_of(line);
        Some(IgnoreReason { dir: layer.dir, line, pattern, ignored })
    }

    fn decides(&self, name: &Name, kind: Option<Kind>) -> Option<(&Layer, usize, bool)> {
        // Rules are there for all devices: no rule keeps them from being synced. And what is on its way through a name is not there to stay.
        if is_ignore_file(name) || node_of_swap_name(name).is_some() {
            return None;
        }
        let is_dir = kind == Some(Kind::Directory);
        self.layers.iter().find_map(|layer| {
            let (line, ignored) = layer.rules.decide(&layer.path, name, is_dir)?;
            Some((layer, line, ignored))
        })
    }
}

#[cfg(test)]
mod tests;
