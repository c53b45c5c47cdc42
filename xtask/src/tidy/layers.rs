//! Which crate may use which, and what the crates that decide must never reach.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::cargo;

/// `(crate, what it is built on)`, as `ARCHITECTURE.md` draws it; `types` is open to all and not repeated.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("content", &[]),
    ("protocol", &[]),
    ("planner", &[]),
    ("drive", &[]),
    ("platform", &[]),
    ("shell", &["platform"]),
    ("blobstore", &["content", "platform"]),
    ("metastore", &["blobstore", "content", "drive"]),
    ("service", &["blobstore", "content", "drive", "metastore", "platform", "protocol"]),
    ("server", &["blobstore", "content", "metastore", "platform", "protocol", "service", "shell"]),
    ("client", &["content", "planner", "platform", "protocol"]),
    ("skep", &["client", "platform", "protocol", "shell"]),
    ("sim", &["blobstore", "client", "content", "drive", "metastore", "planner", "platform", "protocol", "service"]),
    ("e2e", &[]),
    ("xtask", &[]),
];

/// What tests of a crate may use besides: nothing that ships depends on it.
const TEST_LAYERS: &[(&str, &[&str])] = &[
    // The model test plans against the server's own rules.
    ("planner", &["drive"]),
    ("platform", &["sim"]),
    ("service", &["sim"]),
    // Whole clients against the whole service, in one process.
    ("client", &["blobstore", "metastore", "service", "sim"]),
    ("server", &["skep"]),
    // The real programs; the journal is read in their database, a client's state is told of damage, and attackers speak the protocol without a
    // client.
    ("e2e", &["client", "metastore", "planner", "protocol"]),
    ("skep", &["server"]),
];

/// Crates without IO, clock, entropy, async and globals.
pub const PURE: &[&str] = &["types", "content", "protocol", "planner", "drive"];

/// What would bring a pure crate IO, a clock, entropy or a runtime.
const IMPURE: &[&str] = &[
    "async-std",
    "chrono",
    "fs-err",
    "getrandom",
    "hyper",
    "ignore-files",
    "libsqlite3-sys",
    "mio",
    "notify",
    "rand",
    "reqwest",
    "rusqlite",
    "rustix",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "walkdir",
];

/// Crates that run in the simulator: no network, no TLS, and of tokio only its channels and locks.
const RUNTIME_FREE: &[&str] = &["service", "client"];

/// See [`RUNTIME_FREE`].
const NETWORK: &[&str] = &["axum", "hyper", "mio", "reqwest", "rustls", "socket2", "tokio-rustls", "tokio-tungstenite"];

/// Features of tokio that hold no runtime.
const TOKIO_FEATURES: &[&str] = &["default", "sync"];

/// Checks the edges between our crates and the reach of those that decide.
pub fn check() -> Result<Vec<Finding>> {
    let metadata = cargo::output(&["metadata", "--locked", "--no-deps", "--format-version", "1"])?;
    let mut findings = judge_edges(&edges(&serde_json::from_str(&metadata)?)?);
    for name in PURE {
        findings.extend(judge_pure(name, &reach(name)?));
    }
    for name in RUNTIME_FREE {
        findings.extend(judge_runtime_free(name, &reach(name)?));
    }
    Ok(findings)
}

/// Edges of the workspace: (crate, whether it ships) to the crates that it names.
type Edges = BTreeMap<(String, Ships), BTreeSet<String>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ships {
    Yes,
    InTestsOnly,
}

fn edges(metadata: &Value) -> Result<Edges> {
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let all: BTreeSet<String> = packages.iter().filter_map(|package| package["name"].as_str()).map(folder).collect();
    let mut edges = Edges::new();
    for package in packages {
        let from = folder(package["name"].as_str().context("a package has no name")?);
        edges.entry((from.clone(), Ships::Yes)).or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = folder(dependency["name"].as_str().context("a dependency has no name")?);
            let ships = if dependency["kind"] == "dev" { Ships::InTestsOnly } else { Ships::Yes };
            if all.contains(&to) && to != "types" {
                edges.entry((from.clone(), ships)).or_default().insert(to);
            }
        }
    }
    Ok(edges)
}

/// The folder of a package: `skep-drive` is in `drive`, the client's program is `skep` in both.
fn folder(package: &str) -> String {
    package.strip_prefix("skep-").unwrap_or(package).to_owned()
}

fn judge_edges(edges: &Edges) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ((from, ships), to) in edges {
        let place = format!("crates/{from}/Cargo.toml");
        let table = if *ships == Ships::Yes { LAYERS } else { TEST_LAYERS };
        let row = table.iter().find(|(name, _)| name == from).map(|(_, allowed)| *allowed);
        if row.is_none() && *ships == Ships::Yes {
            let rule = "a crate that the map of layers does not know";
            findings.push(Finding::new(&place, rule, "draw it in `LAYERS` of xtask and in ARCHITECTURE.md"));
        }
        let shipped = LAYERS.iter().find(|(name, _)| name == from).map_or(&[][..], |(_, allowed)| allowed);
        let allowed: BTreeSet<&str> = row.unwrap_or_default().iter().chain(shipped).copied().collect();
        for crossed in to.iter().filter(|to| !allowed.contains(to.as_str())) {
            let rule = format!("`{from}` may not be built on `{crossed}`");
            let remedy =
                "reach it through a trait, or argue for the edge in a commit of its own and add it to `LAYERS`";
            findings.push(Finding::new(&place, rule, remedy));
        }
    }
    findings
}

/// A package that a crate reaches and the features it is compiled with.
type Reach = BTreeMap<String, BTreeSet<String>>;

/// Everything that ships with the crate in `folder`, when that crate is built alone.
fn reach(folder: &str) -> Result<Reach> {
    let package = format!("skep-{folder}");
    let tree = cargo::output(&[
        "tree",
        "--locked",
        "--package",
        &package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}|{f}",
    ])?;
    Ok(read_reach(&tree))
}

fn read_reach(tree: &str) -> Reach {
    let mut reach = Reach::new();
    for line in tree.lines() {
        let Some((package, features)) = line.split_once('|') else { continue };
        let Some(name) = package.split(' ').next() else { continue };
        let features = features.trim_end_matches("(*)").trim().split(',').filter(|feature| !feature.is_empty());
        reach.entry(name.to_owned()).or_default().extend(features.map(str::to_owned));
    }
    reach
}

fn judge_pure(name: &str, reach: &Reach) -> Vec<Finding> {
    let reached = IMPURE.iter().filter(|impure| reach.contains_key(**impure));
    let finding = |impure: &&str| {
        let rule = format!("`{name}` is pure and reaches `{impure}`");
        let remedy = format!("see how: `cargo tree -p skep-{name} -e normal -i {impure}`");
        Finding::new(format!("crates/{name}/Cargo.toml"), rule, remedy)
    };
    reached.map(finding).collect()
}

fn judge_runtime_free(name: &str, reach: &Reach) -> Vec<Finding> {
    let place = format!("crates/{name}/Cargo.toml");
    let mut findings = Vec::new();
    for network in NETWORK.iter().filter(|network| reach.contains_key(**network)) {
        let remedy = format!("see how: `cargo tree -p skep-{name} -e normal -i {network}`; it belongs in the program");
        findings.push(Finding::new(&place, format!("`{name}` runs in the simulator and reaches `{network}`"), remedy));
    }
    for feature in
        reach.get("tokio").into_iter().flatten().filter(|feature| !TOKIO_FEATURES.contains(&feature.as_str()))
    {
        let remedy = format!("see who asks for it: `cargo tree -p skep-{name} -e features,no-dev -i tokio`");
        let rule = format!("`{name}` runs in the simulator and compiles tokio with `{feature}`");
        findings.push(Finding::new(&place, rule, remedy));
    }
    findings
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    #[test]
    fn an_edge_that_is_not_drawn_is_found() -> Result<()> {
        let metadata = r#"{"packages": [
            {"name": "skep-types", "dependencies": []},
            {"name": "skep-drive", "dependencies": [{"name": "skep-types", "kind": null}, {"name": "skep-client", "kind": null}]},
            {"name": "skep-client", "dependencies": [{"name": "skep-planner", "kind": null}, {"name": "skep-sim", "kind": "dev"}]},
            {"name": "skep-planner", "dependencies": [{"name": "skep-drive", "kind": "dev"}, {"name": "skep-sim", "kind": "dev"}]},
            {"name": "skep-sim", "dependencies": []},
            {"name": "skep-new", "dependencies": [{"name": "serde", "kind": null}]}
        ]}"#;
        let findings = super::judge_edges(&super::edges(&serde_json::from_str(metadata)?)?);
        let rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
        assert_eq!(
            rules,
            [
                "`drive` may not be built on `client`",
                "a crate that the map of layers does not know",
                "`planner` may not be built on `sim`"
            ]
        );
        Ok(())
    }

    #[test]
    fn what_a_crate_must_not_reach_is_found() {
        let reach = super::read_reach(
            "skep-client v0.1.0 (/x)|\ntokio v1.54.0|rt,sync\ntokio v1.54.0|rt,sync (*)\nhyper v1.0.0|\n",
        );
        let rules =
            |findings: Vec<super::Finding>| findings.into_iter().map(|finding| finding.rule).collect::<Vec<_>>();
        assert_eq!(
            rules(super::judge_pure("planner", &reach)),
            ["`planner` is pure and reaches `hyper`", "`planner` is pure and reaches `tokio`"]
        );
        let expected = [
            "`client` runs in the simulator and reaches `hyper`",
            "`client` runs in the simulator and compiles tokio with `rt`",
        ];
        assert_eq!(rules(super::judge_runtime_free("client", &reach)), expected);
    }
}
