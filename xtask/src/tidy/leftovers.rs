//! What must not be left behind: unfinished marks, skipped tests, the paths of somebody's machine, private registries.

use super::Finding;
use super::sources::Source;

/// Marks of unfinished work. They are taken apart here, so that this file does not carry them.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("#[ig", "nore"),
    concat!("TO", "DO:"),
    concat!(".on", "ly("),
];

/// Beginnings of absolute paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("C:\\Us", "ers\\"),
    concat!("/tmp/ba", "sh_jobs"),
    concat!("/tm", "p/w/"),
];

/// Where packages come from; nothing in the project may name another place.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// See [`CRATES_IO`].
const NPM: &str = "https://registry.npmjs.org/";

/// Checks every file.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(|source| [unfinished(source), machine_paths(source), registries(source)].concat()).collect()
}

fn unfinished(source: &Source) -> Vec<Finding> {
    if !["rs", "ts", "svelte", "js"].iter().any(|extension| source.is(extension)) {
        return Vec::new();
    }
    let remedy = "finish it, or open an issue and leave the code without the mark";
    in_lines(source, |line| UNFINISHED.iter().find(|mark| line.contains(**mark)).copied(), "left over", remedy)
}

fn machine_paths(source: &Source) -> Vec<Finding> {
    let found = |line: &str| MACHINE_PATHS.iter().find(|path| starts_a_path(line, path)).copied();
    in_lines(source, found, "the path of one machine", "write a path relative to the project, or `~`")
}

/// Whether `path` stands in `line` as the beginning of a path, not in the middle of one.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "._-~/*}$".contains(before))
    })
}

fn registries(source: &Source) -> Vec<Finding> {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    let remedy = "make it again with the public registry";
    match name {
        "Cargo.lock" => in_lines(
            source,
            |line| line.strip_prefix("source = ").filter(|from| !from.contains(CRATES_IO)).map(|_| "source"),
            "a package from elsewhere than crates.io",
            remedy,
        ),
        "package-lock.json" => in_lines(
            source,
            |line| (line.contains("\"resolved\": \"http") && !line.contains(NPM)).then_some("resolved"),
            "a package from elsewhere than the npm registry",
            remedy,
        ),
        "config.toml" if source.path.contains(".cargo/") => in_lines(
            source,
            |line| ["[source", "[registr"].into_iter().find(|table| line.starts_with(table)),
            "a registry of one machine",
            "it belongs in that machine's own configuration of cargo",
        ),
        _ => Vec::new(),
    }
}

fn in_lines<'a>(source: &Source, find: impl Fn(&str) -> Option<&'a str>, rule: &str, remedy: &str) -> Vec<Finding> {
    let lines = source.text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let what = find(line)?;
            Some(Finding::new(format!("{}:{}", source.path, index + 1), format!("`{what}`: {rule}"), remedy))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sources::Source;

    fn count(path: &str, text: &str) -> usize {
        super::check(&[Source { path: path.to_owned(), text: text.to_owned() }]).len()
    }

    #[test]
    fn unfinished_marks_are_found_in_code_only() {
        let mark = concat!("    db", "g!(x);");
        assert_eq!(count("crates/drive/src/a.rs", mark), 1);
        assert_eq!(count("docs/a.md", mark), 0);
    }

    #[test]
    fn a_path_of_a_machine_is_found_and_a_path_that_looks_like_one_is_not() {
        assert_eq!(count("docs/a.md", concat!("see `/ho", "me/anna/x`")), 1);
        assert_eq!(count("docs/a.md", concat!("photos/wo", "rk/2026 and ~/wo", "rk/")), 0);
    }

    #[test]
    fn a_foreign_registry_is_found() {
        assert_eq!(count("Cargo.lock", "source = \"registry+https://example.org/index\""), 1);
        assert_eq!(count("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\""), 0);
    }
}
