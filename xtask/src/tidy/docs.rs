//! Documents lead where they say: every relative link and every path of the project that they name exists.

use std::path::{Component, Path, PathBuf};

use super::Finding;
use super::sources::Source;
use crate::cargo;

/// A name in backticks that begins so is meant as a path from the root.
const OWN_TREES: &[&str] = &["crates/", "xtask/", "docs/", "web/", ".ci/", ".cargo/"];
/// Trees that a build makes; naming them is fine before they are there.
const BUILT_TREES: &[&str] = &["web/dist", "web/node_modules"];

/// Checks every document.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let root = cargo::root();
    sources
        .iter()
        .filter(|source| source.is("md"))
        .flat_map(|source| check_document(source, &|path| root.join(path).exists()))
        .collect()
}

fn check_document(source: &Source, exists: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_block = false;
    for (index, line) in source.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        let place = format!("{}:{}", source.path, index + 1);
        for target in links(line) {
            if !exists(&beside(&source.path, target)) {
                let rule = format!("the link to `{target}` leads nowhere");
                findings.push(Finding::new(&place, rule, "mend the link or remove it"));
            }
        }
        for path in named_paths(line) {
            if !exists(Path::new(path)) {
                let rule = format!("`{path}` is named and does not exist");
                findings.push(Finding::new(&place, rule, "name what is there now"));
            }
        }
    }
    findings
}

/// Targets of links to files, without the anchor.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    files.filter_map(|target| target.split(['#', ' ']).next()).filter(|target| !target.is_empty())
}

/// Paths of the project in backticks, without a line number; patterns and placeholders are not paths.
fn named_paths(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let own = quoted.filter(|text| OWN_TREES.iter().any(|tree| text.starts_with(tree)));
    let plain = own.filter(|text| !text.contains(['*', '<', '{', ' ', '…']) && !text.contains("NNNN"));
    plain
        .filter(|text| !BUILT_TREES.iter().any(|tree| text.starts_with(tree)))
        .filter_map(|text| text.split(':').next())
}

/// `target` as seen from the document at `path`, without `..`, so that it cannot leave the project unseen.
fn beside(path: &str, target: &str) -> PathBuf {
    let mut parts: Vec<Component<'_>> =
        Path::new(path).parent().map(|parent| parent.components().collect()).unwrap_or_default();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts.iter().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::sources::Source;

    #[test]
    fn dead_links_and_dead_paths_are_found() {
        let text = "[a](../README.md#top) [b](gone.md) [c](https://x.org/gone)\n`crates/types/src/lib.rs:7` `crates/gone`\n\
                    ```\n[d](gone.md)\n```\n`crates/*/src` `web/dist/x`\n";
        let source = Source { path: "docs/a.md".to_owned(), text: text.to_owned() };
        let exists =
            |path: &Path| ["README.md", "crates/types/src/lib.rs"].iter().any(|there| path == Path::new(there));
        let places: Vec<String> = super::check_document(&source, &exists).into_iter().map(|found| found.rule).collect();
        assert_eq!(places, ["the link to `gone.md` leads nowhere", "`crates/gone` is named and does not exist"]);
    }
}
