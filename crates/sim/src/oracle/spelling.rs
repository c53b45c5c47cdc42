//! What a disk shows that does not hold every name, by the names that its entries stand for; and what such a disk cannot show.

use std::collections::BTreeMap;

use skep_types::{Name, NameRules, Timestamp};

use super::{Shown, Tree};
use crate::disk::{DiskConfig, SimDisk, TreeEntry};

/// Where names lie that were cut.
const BOOK: &[u8] = b".skep/names/";

/// The tree of a disk, by the names that entries stand for.
pub(crate) fn meant_tree(disk: &SimDisk) -> BTreeMap<Vec<u8>, TreeEntry> {
    let (rules, tree) = (disk.config().name_rules(), disk.tree());
    if rules.hold_all() {
        return tree;
    }
    let book = |key: u64| match tree.get(&[BOOK, format!("{key:016x}").as_bytes()].concat()) {
        Some(TreeEntry::File { bytes, .. }) => Name::new(bytes.to_vec()).ok(),
        _ => None,
    };
    let mut paths: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::from([(Vec::new(), Vec::new())]);
    let mut meant = BTreeMap::new();
    for (path, entry) in &tree {
        let (dir, stored) = split(path);
        let Some(above) = paths.get(dir).cloned() else { continue };
        let stored = Name::new(stored).expect("a name of the disk");
        let name = rules.meaning(&stored, book);
        let name = if is_double(&tree, dir, &rules, &name, &stored) { stored } else { name };
        let own = if above.is_empty() { name.as_bytes().to_vec() } else { [&above, name.as_bytes()].join(&b'/') };
        paths.insert(path.clone(), own.clone());
        meant.insert(own, entry.clone());
    }
    meant
}

/// Whether the entry in `dir` that stands for `name` by its plain form is another one.
fn is_double(tree: &BTreeMap<Vec<u8>, TreeEntry>, dir: &[u8], rules: &NameRules, name: &Name, stored: &Name) -> bool {
    let Some(plain) = rules.plain(name).filter(|plain| !rules.is_same(plain, stored)) else { return false };
    let siblings = tree.keys().map(|path| split(path)).filter(|(other, _)| *other == dir);
    let mut siblings = siblings.filter_map(|(_, sibling)| Name::new(sibling).ok());
    siblings.any(|sibling| rules.is_same(&plain, &sibling))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// The tree, as far as such a disk can show it: times as precisely as it keeps them, and no mode where it keeps none.
pub(crate) fn as_shown_on(config: &DiskConfig, tree: Tree) -> Tree {
    let shown = |shown: Shown| match shown {
        Shown::File { content, executable, mtime } => {
            let nanoseconds = mtime.as_nanoseconds();
            let granularity = i128::from(config.mtime_granularity_ns.max(1));
            let mtime = Timestamp::from_nanoseconds(nanoseconds - nanoseconds.rem_euclid(granularity));
            Shown::File { content, executable: executable && config.has_executable, mtime }
        }
        other => other,
    };
    tree.into_iter().map(|(path, entry)| (path, shown(entry))).collect()
}
