use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;

/// Files of rules by their directory (`""`: the root).
type Files<'a> = [(&'a str, &'a str)];

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// The names of a path; a directory ends with a slash.
fn names(path: &str) -> (Vec<Name>, bool) {
    let is_dir = path.ends_with('/');
    (path.trim_end_matches('/').split('/').map(name).collect(), is_dir)
}

/// Whether a path is ignored, as it is when directories are looked at from the root down.
fn is_ignored(files: &Files<'_>, path: &str) -> bool {
    let rules: BTreeMap<Vec<Name>, Arc<IgnoreRules>> = files
        .iter()
        .map(|(dir, text)| {
            let dir = if dir.is_empty() { Vec::new() } else { names(dir).0 };
            (dir, Arc::new(IgnoreRules::parse(text.as_bytes())))
        })
        .collect();
    let (path, is_dir) = names(path);
    is_path_ignored(&rules, &path, Some(if is_dir { Kind::Directory } else { Kind::File }))
}

/// Files of rules, paths that they ignore, and paths that they do not. Each is checked against git as well, where there is one.
const CASES: &[(&Files<'static>, &[&str], &[&str])] = &[
    // A blank line, a comment; `#` and `!` behind a backslash.
    (&[("", "\n# a\n\\#b\n\\!c\n")], &["#b", "!c"], &["a", "# a", "b", "c"]),
    // Trailing spaces, but for those behind a backslash; the end of a line as Windows has it.
    (&[("", "a  \nb\\ \nc\\  \nd \\ \r\ne\r\n")], &["a", "b ", "c ", "d  ", "e"], &["b", "c", "a  ", "c  "]),
    // A name at any depth; a slash at its end: directories only.
    (&[("", "a\nb/\n")], &["a", "x/a", "x/a/y", "b/", "x/b/", "b/z"], &["ab", "b", "x/b"]),
    // A slash before its end: from the directory of the file on.
    (&[("", "/a\nx/b\nx/c/\n")], &["a", "x/b", "x/c/"], &["x/a", "y/x/b", "x/c", "y/x/c/"]),
    (&[("sub/", "/a\nx/b\n")], &["sub/a", "sub/x/b"], &["a", "x/b", "sub/x/a"]),
    // Stars and question marks do not go beyond a slash.
    (&[("", "foo/*\n")], &["foo/test.json", "foo/bar/"], &["foo", "x/foo/a"]),
    (
        &[("", "a/*/b\n*.o\nh?llo\n")],
        &["a/x/b", "x.o", "y/z.o", "hello"],
        &["a/b", "a/x/y/b", "x.oo", "hllo", "heello"],
    ),
    // `**` before, behind and between.
    (&[("", "**/foo\n")], &["foo", "x/foo", "x/y/foo"], &["xfoo"]),
    (&[("", "**/foo/bar\n")], &["foo/bar", "x/foo/bar"], &["foo/x/bar"]),
    (&[("", "abc/**\n")], &["abc/x", "abc/x/y"], &["abc/", "x/abc/y"]),
    (&[("", "a/**/b\n")], &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb", "x/a/b"]),
    (&[("", "a/**/b/**/c\n")], &["a/b/c", "a/x/b/y/z/c"], &["a/c", "a/b/x"]),
    (&[("", "x**y\na/**b\n***/q\n")], &["xy", "xzzy", "a/b", "a/zb", "q", "m/n/q"], &["x/y", "a/z/b"]),
    (&[("", "**\n!*/\n!*.txt\n")], &["a", "d/a"], &["a.txt", "d/", "d/a.txt"]),
    // Classes of characters.
    (&[("", "[abc]\n[x-z]1\n[!a]2\n[^a]3\n")], &["a", "c", "y1", "b2", "b3"], &["d", "w1", "a2", "a3", "2"]),
    (
        &[("", "[]]a\n[!]]b\n[a-]c\n[\\]]d\n[a\\-z]e\n")],
        &["]a", "xb", "-c", "ac", "]d", "-e", "ze"],
        &["]b", "bc", "me"],
    ),
    (&[("", "[[:digit:]]a\n[[:upper:]x]b\n[[:d]c\n")], &["1a", "Xb", "xb", "[c", "dc"], &["aa", "yb", "c"]),
    (&[("", "[a-c-e]f\n[b-a]g\n[--0]h\n")], &["af", "-f", "ef", "bg", ".h", "0h"], &["df", "ag", "1h"]),
    (&[("", "a[b/c]d\n")], &["abd", "acd"], &["x/abd", "a/d"]),
    // Escapes.
    (&[("", "\\*a\n\\?b\n\\[c]\na\\b\nd\\/e\n")], &["*a", "?b", "[c]", "ab", "d/e"], &["xa", "xb", "c", "x/d/e"]),
    // What begins so many stars over ends soon all the same.
    (&[("", "*a*a*a*a*a*a*a*a*a*a*b\n")], &["aaaaaaaaaaaaab"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
    // No rules.
    (&[("", "a[b\nc\\\n/\n!\n//\n[[:none:]]d\nok\n")], &["ok"], &["a[b", "c", "c\\", "a", "1d"]),
    // The last line that fits decides; what lies in an ignored directory cannot come back.
    (&[("", "*.log\n!keep.log\n")], &["a.log", "d/b.log"], &["keep.log", "d/keep.log"]),
    (&[("", "!keep.log\n*.log\n")], &["keep.log"], &["a"]),
    (&[("", "build/\n!build/keep\n")], &["build/", "build/keep"], &["build"]),
    (&[("", "build/*\n!build/keep\n")], &["build/a"], &["build/", "build/keep"]),
    (&[("", "/*\n!/foo\n/foo/*\n!/foo/bar\n")], &["a", "foo/x", "b/foo"], &["foo/", "foo/bar/", "foo/bar/y"]),
    // The deeper file decides.
    (&[("", "*.log\n"), ("d/", "!*.log\n")], &["a.log"], &["d/a.log", "d/e/a.log"]),
    (&[("", "!a\n"), ("d/", "a\n"), ("d/e/", "!a\n")], &["d/a", "d/f/a"], &["a", "d/e/a", "d/e/g/a"]),
    (&[("", "d/\n"), ("d/", "!a\n")], &["d/a", "d/"], &["a"]),
    // Text that is no UTF-8 character by character, and a mark of the order of bytes at the beginning.
    (&[("", "\u{feff}ü\n")], &["ü", "x/ü"], &["u", "\u{feff}ü"]),
];

#[test]
fn the_syntax_means_what_it_means_to_git() {
    for (files, ignored, others) in CASES {
        let wrong: Vec<&&str> = ignored.iter().filter(|path| !is_ignored(files, path)).collect();
        assert!(wrong.is_empty(), "{files:?} ignores {wrong:?}");
        let wrong: Vec<&&str> = others.iter().filter(|path| is_ignored(files, path)).collect();
        assert!(wrong.is_empty(), "{files:?} does not ignore {wrong:?}");
    }
}

#[test]
fn bad_lines_are_told_and_the_rest_counts() {
    let rules = IgnoreRules::parse(b"a\nb[c\nd\\\n# e[\n[[:word:]]\nf\n");
    let lines: Vec<usize> = rules.faults().iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 3, 5]);
    assert_eq!(rules.decide(&[], &name("f"), false), Some((6, true)));
    let long = "#\n".repeat(IGNORE_BYTES_MAX);
    assert_eq!(IgnoreRules::parse(long.as_bytes()).faults().len(), 1);
}

#[test]
fn what_is_built_in_leaves_work_alone() {
    let mut filter = Filter::default();
    filter.add(None, Arc::new(built_in()), Vec::new());
    let ignores = |text: &str| filter.ignores(&name(text), Some(Kind::File));
    for junk in [".DS_Store", "Thumbs.db", "~$Report.docx", ".~lock.a b.odt#", ".notes.swp", ".#x", "~WRL0001.tmp"] {
        assert!(ignores(junk), "{junk}");
    }
    for work in ["a.tmp", "a~", "#a#", ".git", ".env", "a.bak", "x.swp", "tmp", "~", ".nfsomething", "Trashes"] {
        assert!(!ignores(work), "{work}");
    }
    assert!(built_in().faults().is_empty());
    assert!(!ignores(product::IGNORE_FILE));
}

#[test]
fn rules_never_ignore_files_of_rules() {
    assert!(!is_ignored(&[("", "*\n.*\n")], product::IGNORE_FILE));
    assert!(is_ignored(&[("", "*\n")], "d/"));
}

#[test]
fn no_rule_ignores_a_name_that_a_node_has_for_a_moment() {
    let swap = crate::names::swap_name(NodeId::from_bytes([7; 16]));
    assert!(!is_ignored(&[("", "*\n.*\n")], &swap.display()));
}

/// A repository of git in a directory of its own, gone when dropped.
struct Repository(PathBuf);

impl Repository {
    /// `None`: there is no git here.
    fn new(what: &str) -> Option<Repository> {
        let path = std::env::temp_dir().join(format!("skep-gitignore-{what}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let repository = Repository(path);
        let made = repository.git(&["init", "-q"]).status();
        made.is_ok_and(|status| status.success()).then_some(repository)
    }

    fn git(&self, arguments: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.current_dir(&self.0).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        git
    }

    fn clear(&self) {
        for entry in fs::read_dir(&self.0).unwrap().flatten().filter(|entry| entry.file_name() != ".git") {
            match entry.path().is_dir() {
                true => fs::remove_dir_all(entry.path()).unwrap(),
                false => fs::remove_file(entry.path()).unwrap(),
            }
        }
    }

    fn make(&self, path: &str) {
        let at = self.0.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(at).unwrap();
        } else {
            fs::create_dir_all(at.parent().unwrap_or(Path::new(""))).unwrap();
            fs::write(at, "").unwrap();
        }
    }

    /// Those of the paths that git ignores.
    fn ignored(&self, files: &Files<'_>, paths: &[&str]) -> Vec<String> {
        for (dir, text) in files {
            fs::create_dir_all(self.0.join(dir)).unwrap();
            fs::write(self.0.join(dir).join(".gitignore"), text).unwrap();
        }
        let mut check =
            self.git(&["check-ignore", "--no-index", "-z", "--stdin"]).stdin(Stdio::piped()).spawn().unwrap();
        let asked: Vec<u8> =
            paths.iter().flat_map(|path| [path.trim_end_matches('/').as_bytes(), b"\0"].concat()).collect();
        check.stdin.take().unwrap().write_all(&asked).unwrap();
        let told = check.wait_with_output().unwrap().stdout;
        told.split(|byte| *byte == 0).map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn compare(repository: &Repository, files: &Files<'_>, paths: &[&str]) {
    let told = repository.ignored(files, paths);
    for path in paths {
        let by_git = told.iter().any(|told| told == path.trim_end_matches('/'));
        assert_eq!(is_ignored(files, path), by_git, "{files:?}, `{path}`");
    }
}

#[test]
fn git_says_the_same_of_each_case() {
    let Some(repository) = Repository::new("cases") else { return };
    for (files, ignored, others) in CASES {
        for path in ignored.iter().chain(*others) {
            // What is a file in one path may be a directory in another.
            repository.clear();
            repository.make(path);
            compare(&repository, files, &[path]);
        }
    }
}

#[test]
fn git_says_the_same_of_what_nobody_would_write() {
    const PIECES: &[&str] =
        &["a", "b", "ab", "*", "a*", "*b", "?", "**", "[ab]", "[!a]b", "\\a", "[a-", "[]b]", "***", ""];
    const BEGINS: &[&str] = &["", "", "", "/", "!", "!/"];
    const ENDS: &[&str] = &["", "", "", "/", " ", "\\ ", "\\"];
    let Some(repository) = Repository::new("random") else { return };
    let paths = ["a", "b/", "ab", "b/a", "b/ab/", "b/ab/a", "b/ab/b/", "b/ab/b/ba", "ba/", "ba/b", "ba/a/", "ba/a/a"];
    paths.iter().for_each(|path| repository.make(path));
    let mut state = 11u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..120 {
        let mut text = |lines: usize| -> String {
            let mut line = |_| -> String {
                let names: Vec<&str> = (0..1 + draw(4)).map(|_| PIECES[draw(PIECES.len())]).collect();
                [BEGINS[draw(BEGINS.len())], &names.join("/"), ENDS[draw(ENDS.len())]].concat()
            };
            (0..lines).map(|at| line(at) + "\n").collect()
        };
        let (root, deeper) = (text(3), text(1));
        compare(&repository, &[("", &root), ("b/", &deeper)], &paths);
    }
}
