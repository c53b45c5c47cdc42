//! The project's own text files, as git knows them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo;

/// A text file.
#[derive(Debug, Clone)]
pub struct Source {
    /// From the repository's root, with slashes.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// One line of Rust that is neither a comment nor part of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeLine<'a> {
    /// Counted from one.
    pub number: usize,
    /// Without its comment.
    pub text: &'a str,
}

impl Source {
    /// Whether the name ends in `.extension`.
    pub fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// The folder below `crates`, or `xtask`: who owns this file.
    pub fn owner(&self) -> &str {
        let rest = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        rest.split('/').next().unwrap_or_default()
    }

    /// Whether all of the file is a test: by where it stands or what it is called.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        ["/tests/", "/benches/", "/examples/"].iter().any(|part| self.path.contains(part))
            || name == "tests.rs"
            || name.ends_with("_tests.rs")
    }

    /// Code that ships. A test module stands at the end of its file (house rules), so it ends the code.
    pub fn code(&self) -> Vec<CodeLine<'_>> {
        if self.is_test() || !self.is("rs") {
            return Vec::new();
        }
        let mut lines = Vec::new();
        let mut rest = self.text.lines().enumerate().peekable();
        while let Some((index, line)) = rest.next() {
            let next = rest.peek().map_or("", |(_, next)| *next);
            if line.trim() == "#[cfg(test)]" && !next.trim_end().ends_with(';') {
                break;
            }
            let text = line.split("//").next().unwrap_or_default();
            lines.push(CodeLine { number: index + 1, text });
        }
        lines
    }
}

/// Every tracked or new file that is text.
pub fn read() -> Result<Vec<Source>> {
    let root = cargo::root();
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .context("cannot run `git`, which knows what belongs to the project")?;
    if !listed.status.success() {
        bail!("`git ls-files` failed: {}", String::from_utf8_lossy(&listed.stderr).trim_end());
    }
    let names = String::from_utf8(listed.stdout).context("a file's name is not text")?;
    let mut sources = Vec::new();
    for path in names.split_terminator('\0') {
        let file = root.join(path);
        // A file deleted but not yet committed is still listed; a symlink's target is listed by itself.
        if !file.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let bytes = std::fs::read(&file).with_context(|| format!("cannot read `{path}`"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn code_is_without_comments_and_tests() {
        let text = "use a; // std::fs\n#[cfg(test)]\nmod tests;\nfn f() {}\n#[cfg(test)]\nmod more {\n    std::fs\n}\n";
        let source = Source { path: "crates/drive/src/lib.rs".to_owned(), text: text.to_owned() };
        let code: Vec<(usize, &str)> = source.code().iter().map(|line| (line.number, line.text)).collect();
        assert_eq!(code, [(1, "use a; "), (2, "#[cfg(test)]"), (3, "mod tests;"), (4, "fn f() {}")]);
        assert_eq!(source.owner(), "drive");
        let test = Source { path: "crates/drive/tests/laws.rs".to_owned(), text: text.to_owned() };
        assert!(test.code().is_empty());
    }
}
