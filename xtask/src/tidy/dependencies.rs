//! What others wrote and the project uses: licences, bans, doubles. The lists are in `deny.toml`, in cargo-deny's form,
//! so that cargo-deny (slow to install, not needed for a first run) reads the same file.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::{Finding, licence};
use crate::cargo;

/// A package as it is compiled somewhere: on any platform, in any program or test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

/// What a person decided, from `deny.toml`.
struct Policy {
    licences: Vec<String>,
    banned: Vec<(String, String)>,
    doubles: Vec<(String, String)>,
}

/// Checks all packages that cargo would compile.
pub fn check() -> Result<Vec<Finding>> {
    let policy = Policy::read(&std::fs::read_to_string(cargo::root().join("deny.toml"))?)?;
    let tree = cargo::output(&[
        "tree",
        "--locked",
        "--workspace",
        "--target",
        "all",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ])?;
    Ok(policy.judge(&packages(&tree)))
}

fn packages(tree: &str) -> BTreeSet<Package> {
    let mut packages = BTreeSet::new();
    for line in tree.lines() {
        let Some((package, licence)) = line.split_once('|') else { continue };
        // Our own packages are named with their path.
        if package.contains('/') {
            continue;
        }
        let mut parts = package.split(' ');
        if let (Some(name), Some(version)) = (parts.next(), parts.next()) {
            let version = version.trim_start_matches('v').to_owned();
            let licence = licence.trim_end_matches("(*)").trim().to_owned();
            packages.insert(Package { name: name.to_owned(), version, licence });
        }
    }
    packages
}

impl Policy {
    fn read(text: &str) -> Result<Policy> {
        let table: Table = text.parse().context("`deny.toml` is not TOML")?;
        let licences = table.get("licenses").and_then(|licenses| licenses.get("allow")).and_then(Value::as_array);
        let licences = licences.context("`deny.toml` has no list `licenses.allow`")?;
        let pairs = |key: &str| -> Result<Vec<(String, String)>> {
            let list = table.get("bans").and_then(|bans| bans.get(key)).and_then(Value::as_array);
            list.with_context(|| format!("`deny.toml` has no list `bans.{key}`"))?
                .iter()
                .map(named_with_reason)
                .collect()
        };
        Ok(Policy {
            licences: licences.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            banned: pairs("deny")?,
            doubles: pairs("skip")?,
        })
    }

    fn judge(&self, packages: &BTreeSet<Package>) -> Vec<Finding> {
        let accepted: Vec<&str> = self.licences.iter().map(String::as_str).collect();
        let mut findings = Vec::new();
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for package in packages {
            let place = format!("{} {}", package.name, package.version);
            if !licence::is_covered(&package.licence, &accepted) {
                let rule = format!("its licence is `{}`, which is not in `deny.toml`", package.licence);
                findings.push(Finding::new(&place, rule, "use another crate, or argue for the licence in the commit"));
            }
            if let Some((_, reason)) = self.banned.iter().find(|(name, _)| *name == package.name) {
                let remedy = format!("see who brings it: `cargo tree --workspace --target all -i {}`", package.name);
                findings.push(Finding::new(&place, format!("banned: {reason}"), remedy));
            }
            versions.entry(&package.name).or_default().push(&package.version);
        }
        findings.extend(self.doubled(&versions));
        findings
    }

    fn doubled(&self, versions: &BTreeMap<&str, Vec<&str>>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, versions) in versions {
            let known = |version: &&&str| !self.doubles.iter().any(|(double, _)| names(double, name, version));
            let unknown: Vec<&&str> = versions.iter().filter(known).collect();
            if unknown.len() > 1 {
                let rule = format!("compiled {} times: {}", versions.len(), versions.join(", "));
                findings.push(Finding::new(
                    *name,
                    rule,
                    "unite them, or name the older one in `bans.skip` of `deny.toml`",
                ));
            }
        }
        for (double, _) in &self.doubles {
            let name = double.split('@').next().unwrap_or_default();
            let found = versions
                .get(name)
                .is_some_and(|all| all.len() > 1 && all.iter().any(|version| names(double, name, version)));
            if !found {
                let rule = format!("`bans.skip` names {double}, which is not there twice any more");
                findings.push(Finding::new("deny.toml", rule, "remove the line"));
            }
        }
        findings
    }
}

/// Whether an entry such as `base64@0.22` means this version of this package.
fn names(entry: &str, name: &str, version: &str) -> bool {
    let (entry_name, entry_version) = entry.split_once('@').unwrap_or((entry, ""));
    let beginning = version
        .strip_prefix(entry_version)
        .is_some_and(|rest| rest.is_empty() || entry_version.is_empty() || rest.starts_with('.'));
    entry_name == name && beginning
}

fn named_with_reason(entry: &Value) -> Result<(String, String)> {
    let text = |key| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let name = text("crate").context("an entry of `bans` in `deny.toml` has no `crate`")?;
    let reason = text("reason").with_context(|| format!("`deny.toml` gives no `reason` for {name}"))?;
    Ok((name, reason))
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::{Policy, packages};

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT"]
        [bans]
        deny = [{ crate = "bad", reason = "it is" }]
        skip = [{ crate = "two@1.2", reason = "waits" }, { crate = "gone@1", reason = "waited" }]
    "#;

    #[test]
    fn every_kind_of_breach_is_found_once() -> Result<()> {
        let tree = "skep v0.1.0 (/x/crates/skep)|\nfine v1.0.0|MIT\nfine v1.0.0|MIT (*)\nbad v1.0.0|MIT\nviral v1.0.0|GPL-3.0\n\
                    two v1.2.9|MIT\ntwo v1.20.0|MIT\nthree v1.0.0 (proc-macro)|MIT\nthree v2.0.0|MIT\n";
        let places: Vec<String> =
            Policy::read(POLICY)?.judge(&packages(tree)).into_iter().map(|found| found.place).collect();
        assert_eq!(places, ["bad 1.0.0", "viral 1.0.0", "three", "deny.toml"]);
        Ok(())
    }
}
