//! What is ignored, and by which rule: for people.

use skep_types::{Kind, Name, NodeId, Timestamp};

use super::report::EngineProblem;
use super::{Engine, listing::path_here};
use crate::ignore::IgnoreReason;
use crate::observe::Filters;
use crate::shape::Shape;
use crate::trees::Trees;

/// Something on this disk that is ignored; a directory with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Names from the root down.
    pub path: Vec<Name>,
    /// What it is, if it is something that could be synced.
    pub kind: Option<Kind>,
}

/// The rule that decides whether a path is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreCheck {
    /// How many names of the path lead to what the rule speaks of: the entry itself, or a directory above it.
    pub depth: usize,
    /// The ignore file: names from the root down; `None` if the rule is built in.
    pub file: Option<Vec<Name>>,
    /// The line in it, from 1.
    pub line: usize,
    /// The pattern, as it is written there.
    pub pattern: String,
    /// Whether the path is ignored; if not, the rule says that it is not.
    pub ignored: bool,
}

impl Engine {
    /// At most `limit` of the things on this disk that are ignored, by path.
    pub fn ignored(&self, trees: &dyn Trees, limit: usize) -> Vec<Ignored> {
        let shape = Shape::default();
        let entries = self.observer.filters.ignored().filter_map(|(dir, name, kind)| {
            let mut path = shape.path(trees, dir)?;
            path.push(name.clone());
            Some(Ignored { path, kind })
        });
        let mut found: Vec<Ignored> = entries.take(limit).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// The rule that decides on a path; `None` if none speaks of it. What is not there counts as `kind`.
    pub fn check_ignored(&self, trees: &dyn Trees, path: &[Name], kind: Kind) -> Option<IgnoreCheck> {
        let filters = &self.observer.filters;
        let mut dir = NodeId::ROOT;
        // Names of directories that are nowhere, after `dir`.
        let mut beneath: Vec<Name> = Vec::new();
        let mut last = None;
        for (at, name) in path.iter().enumerate() {
            let there = beneath.is_empty().then(|| child(trees, dir, name)).flatten();
            let seen = filters.kind_of_ignored(dir, name).filter(|_| beneath.is_empty());
            let kind = match (there, at + 1 < path.len()) {
                (_, true) => Kind::Directory,
                (Some((_, kind)), _) => kind,
                (None, _) => seen.unwrap_or(kind),
            };
            let reason = filters.filter(trees, dir).beneath(&beneath).reason(name, Some(kind));
            if let Some(reason) = reason {
                let ignored = reason.ignored;
                last = Some(check(trees, at + 1, reason));
                if ignored {
                    break;
                }
            } else {
                last = None;
            }
            match there {
                Some((node, _)) => dir = node,
                None => beneath.push(name.clone()),
            }
        }
        last
    }

    /// The sentence of a path that is ignored.
    pub(super) fn explain_ignored(&self, trees: &dyn Trees, path: &[Name]) -> Option<String> {
        let check = self.check_ignored(trees, path, Kind::File).filter(|check| check.ignored)?;
        let what = match check.depth == path.len() {
            true => "It is ignored".to_owned(),
            false => format!("`{}`, which holds it, is ignored", display(&path[..check.depth])),
        };
        Some(match &check.file {
            None => format!("{what}: the rule `{}` is built in.", check.pattern),
            Some(file) => format!("{what}: `{}` line {} says `{}`.", display(file), check.line, check.pattern),
        })
    }

    /// Lines of ignore files that are no rules.
    pub(super) fn ignore_problems(&self, trees: &dyn Trees) -> Vec<EngineProblem> {
        let faults = self.observer.filters.faults();
        let problem = |(dir, fault): (NodeId, &crate::IgnoreFault)| {
            let name = Filters::file_name();
            let node = trees.local_child(dir, &name);
            let mut path = Shape::default().path(trees, dir)?;
            path.push(name);
            let path = display(&path);
            let message = match fault.line {
                0 => format!("`{path}`: {}", fault.what),
                line => format!("`{path}` line {line}: {}", fault.what),
            };
            let since = node.and_then(|node| trees.local(node)).map_or(Timestamp::default(), |local| local.stat.mtime);
            let hint = "Correct the file; until then its other rules count, or those that were read before".into();
            let node = node.unwrap_or(dir);
            Some(EngineProblem { node, path, code: "E-IGNORE-RULE", message, hint, since, needs_person: true })
        };
        faults.filter_map(problem).collect()
    }
}

fn child(trees: &dyn Trees, dir: NodeId, name: &Name) -> Option<(NodeId, Kind)> {
    if let Some(node) = trees.local_child(dir, name) {
        return trees.local(node).map(|local| (node, local.kind()));
    }
    let node = trees.remote_child(dir, name)?;
    trees.remote(node).map(|state| (node, state.kind()))
}

fn check(trees: &dyn Trees, depth: usize, reason: IgnoreReason) -> IgnoreCheck {
    let file = reason.dir.map(|dir| {
        let above = path_here(trees, dir).map(|at| at.dir.into_iter().chain([at.name]));
        above.into_iter().flatten().chain([Filters::file_name()]).collect()
    });
    IgnoreCheck { depth, file, line: reason.line, pattern: reason.pattern, ignored: reason.ignored }
}

pub(super) fn display(path: &[Name]) -> String {
    path.iter().map(|name| name.display()).collect::<Vec<_>>().join("/")
}
