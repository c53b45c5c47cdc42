//! Where a name may be written: the seams, as far as a word shows that they are crossed.
//!
//! Clippy (`clippy.toml`) bans single functions in every crate; here whole modules are banned crate by crate, outside
//! tests and examples. Dependencies that could hide the same behind other names are the business of [`super::layers`].

use super::Finding;
use super::layers::PURE;
use super::sources::Source;

/// Pure crates whose inputs are values; the bodies that `protocol` frames are streams.
const DECIDING: &[&str] = &["types", "content", "planner", "drive"];
/// Crates that run in the simulator as well: they reach the world through `platform` only.
const SIMULATED: &[&str] =
    &["types", "content", "protocol", "planner", "drive", "metastore", "blobstore", "service", "client"];
/// Simulated crates in which even the order of a map must be the same in every run.
const ORDERED: &[&str] = &["types", "content", "protocol", "planner", "drive", "service", "client"];

/// Who may not write a word.
enum Where {
    /// These crates.
    In(&'static [&'static str]),
    /// All but these.
    AllBut(&'static [&'static str]),
}

struct Ban {
    words: &'static [&'static str],
    whom: Where,
    rule: &'static str,
    remedy: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        words: &["std::fs", "tokio::fs"],
        whom: Where::AllBut(&["platform", "xtask"]),
        rule: "files are touched in `platform` only",
        remedy: "use `platform::Files`, or `platform`'s own files for configuration and keys",
    },
    Ban {
        words: &["std::net", "tokio::net"],
        whom: Where::AllBut(&["platform", "server", "shell", "skep", "xtask"]),
        rule: "the network is touched in the two programs and their shell only",
        remedy: "take a `Link`, or let the program hand the connection in",
    },
    Ban {
        words: &["process::Command", "Command::new("],
        whom: Where::AllBut(&["skep", "server", "xtask"]),
        rule: "no library starts a program",
        remedy: "let the program do it",
    },
    Ban {
        words: &["Instant::now", "SystemTime::now"],
        whom: Where::In(SIMULATED),
        rule: "time comes in",
        remedy: "take the time from the event, or from `platform::Clock`",
    },
    Ban {
        words: &["tokio::spawn", "tokio::task", "tokio::time", "tokio::runtime", "thread::spawn", "thread::sleep"],
        whom: Where::In(SIMULATED),
        rule: "simulated code has no runtime",
        remedy: "use `platform::Tasks` and `platform::Clock`",
    },
    Ban {
        words: &["std::env", "getrandom", "thread_rng"],
        whom: Where::In(SIMULATED),
        rule: "simulated code reads neither environment nor entropy",
        remedy: "let the program hand the value in, or take it from `platform::Entropy`",
    },
    Ban {
        words: &["HashMap", "HashSet"],
        whom: Where::In(ORDERED),
        rule: "the same inputs give the same bytes; a default-hashed map has an order of its own in every run",
        remedy: "use `BTreeMap` or `BTreeSet`",
    },
    Ban {
        words: &["static mut", "OnceLock", "LazyLock", "thread_local!"],
        whom: Where::In(PURE),
        rule: "a pure crate has no globals",
        remedy: "hand the value in",
    },
    Ban {
        words: &["async fn", "async move", ".await", "std::io::stdin", "std::io::stdout", "println!", "eprintln!"],
        whom: Where::In(DECIDING),
        rule: "what decides has no IO and waits for nothing",
        remedy: "return a value that says what to do, and let `client` or `service` do it",
    },
];

/// File names that say nothing.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager", "data", "info"];

/// Lines that one file may have before it must be taken apart.
const FILE_LINES_MAX: usize = 1_000;

/// Checks every file.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(|source| [banned(source), unfair_selects(source), shape(source)].concat()).collect()
}

fn banned(source: &Source) -> Vec<Finding> {
    let owner = source.owner();
    let applies = |ban: &&Ban| match ban.whom {
        Where::In(crates) => crates.contains(&owner),
        Where::AllBut(crates) => source.path.starts_with("crates/") && !crates.contains(&owner),
    };
    let code = source.code();
    let mut findings = Vec::new();
    for ban in BANS.iter().filter(applies) {
        for line in &code {
            if let Some(word) = ban.words.iter().find(|word| line.text.contains(**word)) {
                let place = format!("{}:{}", source.path, line.number);
                findings.push(Finding::new(place, format!("`{word}`: {}", ban.rule), ban.remedy));
            }
        }
    }
    findings
}

/// Without `biased;` a `select!` draws lots from a generator that no seed governs.
fn unfair_selects(source: &Source) -> Vec<Finding> {
    if !SIMULATED.contains(&source.owner()) {
        return Vec::new();
    }
    let code = source.code();
    let unfair = code.windows(2).filter(|pair| {
        pair[0].text.contains("select! {") && !pair[0].text.contains("biased;") && pair[1].text.trim() != "biased;"
    });
    unfair
        .map(|pair| {
            let place = format!("{}:{}", source.path, pair[0].number);
            Finding::new(
                place,
                "a `select!` that draws lots",
                "write `biased;` first, the branches in order of urgency",
            )
        })
        .collect()
}

fn shape(source: &Source) -> Vec<Finding> {
    if !["rs", "ts", "svelte"].iter().any(|extension| source.is(extension)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let rule = format!("{lines} lines; a file stops at {FILE_LINES_MAX}");
        findings.push(Finding::new(&source.path, rule, "find the second noun in it and give that a file"));
    }
    let stem = source.path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
    if EMPTY_NAMES.contains(&stem) {
        findings.push(Finding::new(
            &source.path,
            format!("`{stem}` says nothing"),
            "name the noun or the verb that it holds",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::sources::Source;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let sources = [Source { path: path.to_owned(), text: text.to_owned() }];
        super::check(&sources).into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn a_seam_crossed_is_found_where_it_is_banned_and_only_there() {
        assert_eq!(findings("crates/drive/src/lib.rs", "\nuse std::fs;"), ["crates/drive/src/lib.rs:2"]);
        assert_eq!(findings("crates/platform/src/lib.rs", "use std::fs;"), [""; 0]);
        assert_eq!(findings("crates/client/src/a.rs", "let x: HashMap<A, B>;"), ["crates/client/src/a.rs:1"]);
        assert_eq!(findings("crates/server/src/a.rs", "let x: HashMap<A, B>;"), [""; 0]);
        assert_eq!(findings("crates/client/tests/a.rs", "use std::fs;"), [""; 0]);
        assert_eq!(findings("xtask/src/a.rs", "use std::fs;"), [""; 0]);
    }

    #[test]
    fn a_select_must_be_biased_in_simulated_code() {
        let fair = "tokio::select! {\n    biased;\n    a = b => {}\n}";
        let unfair = "tokio::select! {\n    a = b => {}\n}";
        assert_eq!(findings("crates/client/src/a.rs", fair), [""; 0]);
        assert_eq!(findings("crates/client/src/a.rs", unfair), ["crates/client/src/a.rs:1"]);
        assert_eq!(findings("crates/server/src/a.rs", unfair), [""; 0]);
    }

    #[test]
    fn long_files_and_empty_names_are_found() {
        assert_eq!(findings("crates/drive/src/long.rs", &"\n".repeat(1_001)), ["crates/drive/src/long.rs"]);
        assert_eq!(findings("crates/drive/src/utils.rs", ""), ["crates/drive/src/utils.rs"]);
    }
}
