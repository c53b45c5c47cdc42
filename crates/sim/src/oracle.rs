//! What must be true of a world, whatever happened in it.

mod rules;
mod spelling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use skep_blobstore::{BlobStore, LocalPacks, RecordPlace};
use skep_metastore::{MetaStore, Sqlite, StoreError};
use skep_types::{ChunkId, Content, ContentId, DriveId, Entry, NodeId, NodeState, Seq, Timestamp};

use crate::disk::{SimDisk, TreeEntry};
use crate::world::{Ledger, World};

use spelling::as_shown_on;
pub(crate) use spelling::meant_tree;

/// Rows that are read at a time.
const ROWS_MAX: usize = 1_000;
/// Our own directory in a synced root.
const OWN_DIR: &[u8] = b".skep";
/// Stands in the name of every conflict copy.
const CONFLICT_MARK: &[u8] = b" (two versions, ";
/// Stands in the name of what a program wrote to a displaced file that it held open: no conflict between machines.
const KEPT_MARK: &[u8] = b" (two versions, kept ";

/// What a tree shows at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Directory,
    File { content: ContentId, executable: bool, mtime: Timestamp },
    Symlink(Vec<u8>),
    Special,
}

/// A tree by path, without our own directory.
pub(crate) type Tree = BTreeMap<Vec<u8>, Shown>;

/// The tree of a disk.
pub(crate) fn disk_tree(disk: &SimDisk, ledger: &Ledger) -> Tree {
    let shown = |entry: TreeEntry| match entry {
        TreeEntry::Directory => Shown::Directory,
        TreeEntry::File { bytes, executable, mtime } => {
            Shown::File { content: ledger.content_id(&bytes), executable, mtime }
        }
        TreeEntry::Symlink(target) => Shown::Symlink(target),
        TreeEntry::Special => Shown::Special,
    };
    let tree = meant_tree(disk).into_iter().filter(|(path, _)| !is_own(path));
    tree.map(|(path, entry)| (path, shown(entry))).collect()
}

/// Whether a path is our own directory, or in it.
pub(crate) fn is_own(path: &[u8]) -> bool {
    path.strip_prefix(OWN_DIR).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// The live tree that nodes make.
pub(crate) fn tree_of(nodes: &BTreeMap<NodeId, NodeState>) -> Result<Tree, String> {
    let mut tree = Tree::new();
    for state in nodes.values() {
        let Some(path) = live_path(nodes, state)? else { continue };
        let shown = match &state.content {
            Content::Directory | Content::Mount { .. } => Shown::Directory,
            Content::File(file) => {
                Shown::File { content: file.id, executable: state.mode.executable, mtime: file.mtime }
            }
            Content::Symlink { target } => Shown::Symlink(target.clone()),
        };
        if tree.insert(path.clone(), shown).is_some() {
            return Err(format!("two live nodes are called `{}`", show(&path)));
        }
    }
    Ok(tree)
}

/// The path of a node; `None` if it or a directory above is in the trash.
fn live_path(nodes: &BTreeMap<NodeId, NodeState>, state: &NodeState) -> Result<Option<Vec<u8>>, String> {
    let mut names = vec![state.place.name.as_bytes()];
    let mut at = state;
    for _ in 0..=nodes.len() {
        if at.place.trashed {
            return Ok(None);
        }
        if at.place.parent == NodeId::ROOT {
            names.reverse();
            return Ok(Some(names.join(&b'/')));
        }
        at = nodes.get(&at.place.parent).ok_or_else(|| format!("{:?} has no parent", at.node))?;
        names.push(at.place.name.as_bytes());
    }
    Err(format!("{:?} lies within itself", state.node))
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// The first lines in which two trees differ.
pub(crate) fn difference(one: (&str, &Tree), other: (&str, &Tree)) -> Option<String> {
    let paths: BTreeSet<&Vec<u8>> = one.1.keys().chain(other.1.keys()).collect();
    let lines: Vec<String> = paths
        .into_iter()
        .filter(|path| one.1.get(*path) != other.1.get(*path))
        .take(4)
        .map(|path| {
            let (left, right) = (one.1.get(path), other.1.get(path));
            format!("`{}`: {} has {left:?}, {} has {right:?}", show(path), one.0, other.0)
        })
        .collect();
    if lines.is_empty() { None } else { Some(lines.join("; ")) }
}

/// The journal, whole.
fn journal(meta: &Sqlite, drive: DriveId) -> Result<Vec<Entry>, StoreError> {
    let mut journal: Vec<Entry> = Vec::new();
    loop {
        let after = journal.last().map_or(Seq::START, |entry| entry.seq);
        let page = meta.read(|read| read.entries(drive, after, ROWS_MAX))?;
        if page.is_empty() {
            return Ok(journal);
        }
        journal.extend(page);
    }
}

fn node_table(meta: &Sqlite, drive: DriveId) -> Result<BTreeMap<NodeId, NodeState>, StoreError> {
    let mut nodes: BTreeMap<NodeId, NodeState> = BTreeMap::new();
    loop {
        let after = nodes.last_key_value().map(|(node, _)| *node);
        let page = meta.read(|read| read.nodes(drive, after, ROWS_MAX))?;
        if page.is_empty() {
            return Ok(nodes);
        }
        nodes.extend(page.into_iter().map(|state| (state.node, state)));
    }
}

/// The directories of the server that are not in the trash.
pub(crate) fn live_directories(meta: &Sqlite, drive: DriveId) -> Result<Vec<NodeId>, String> {
    let nodes = node_table(meta, drive).map_err(words)?;
    let is_live =
        |state: &&NodeState| state.content == Content::Directory && matches!(live_path(&nodes, state), Ok(Some(_)));
    Ok(nodes.values().filter(is_live).map(|state| state.node).collect())
}

/// Which contents a server can give out, by really reading them.
struct Contents<'a> {
    meta: &'a Sqlite,
    packs: LocalPacks<SimDisk>,
    drive: DriveId,
    world: &'a World,
    read: BTreeMap<RecordPlace, Vec<(ChunkId, Bytes)>>,
}

impl Contents<'_> {
    fn check(&mut self, content: &ContentId) -> Result<(), String> {
        let chunks = match content {
            ContentId::Empty => Vec::new(),
            ContentId::Chunk(chunk) => vec![*chunk],
            ContentId::List(list) => {
                let manifest = self.meta.read(|read| read.manifest(self.drive, *list)).map_err(words)?;
                let manifest = manifest.ok_or_else(|| format!("the server lacks the manifest {list}"))?;
                manifest.chunks.iter().map(|chunk| chunk.id).collect()
            }
        };
        let places = self.meta.read(|read| read.chunks(self.drive, &chunks)).map_err(words)?;
        for (chunk, place) in chunks.iter().zip(places) {
            let place = place.ok_or_else(|| format!("the server lacks the chunk {chunk}"))?;
            let members = match self.read.entry(place.record) {
                std::collections::btree_map::Entry::Occupied(members) => members.into_mut(),
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    let block = self.packs.read(place.record).map_err(words)?;
                    vacant.insert(block.open(&self.world.options.limits).map_err(words)?)
                }
            };
            let member = members.get(usize::from(place.index)).map(|(id, _)| id);
            if member != Some(chunk) {
                return Err(format!("the chunk {chunk} is not where the server believes it to be"));
            }
        }
        Ok(())
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl World {
    /// The server's tree as its node table shows it now.
    pub(crate) fn server_tree(&self) -> Result<Tree, String> {
        let (meta, drive) = (self.meta(), self.drive());
        tree_of(&node_table(&meta, drive).map_err(words)?)
    }

    /// The tree of a client's disk.
    pub(crate) fn machine_tree(&self, machine: usize) -> Tree {
        let disk = self.machine_disk(machine);
        disk_tree(&disk, &self.ledger())
    }

    /// What came to the journal after a position, for people.
    pub(crate) fn entries_after(&self, seq: Seq) -> Result<String, String> {
        let journal = journal(&self.meta(), self.drive()).map_err(words)?;
        let entries = journal.iter().filter(|entry| entry.seq > seq).take(4);
        let told = entries.map(|entry| {
            let (name, changed) = (entry.state.place.name.display(), entry.changed);
            format!("{} `{name}` {changed:?} {:?}", entry.seq, entry.state.content)
        });
        Ok(told.collect::<Vec<_>>().join("; "))
    }

    /// The journal is whole, says what the node table says, and every content in it can be read.
    pub(crate) fn check_server(&self) -> Result<(), String> {
        let (meta, drive) = (self.meta(), self.drive());
        let journal = journal(&meta, drive).map_err(words)?;
        let mut replayed = BTreeMap::new();
        let is_whole = self.options.meetings.collect_every_ms == 0;
        for (at, entry) in journal.iter().enumerate() {
            if is_whole && entry.seq != Seq(at as u64 + 1) {
                return Err(format!("the journal has {:?} at position {}", entry.seq, at + 1));
            }
            replayed.insert(entry.state.node, entry.state.clone());
        }
        let head = self.head();
        if is_whole && head != Seq(journal.len() as u64) {
            return Err(format!("the drive's head is {head}, its journal ends at {}", journal.len()));
        }
        if replayed != node_table(&meta, drive).map_err(words)? {
            return Err("the node table is not what the journal says".to_owned());
        }
        let mut contents = self.contents(&meta)?;
        let ids: BTreeSet<ContentId> =
            journal.iter().filter_map(|entry| Some(entry.state.content.file()?.id)).collect();
        ids.iter().try_for_each(|content| contents.check(content))
    }

    fn contents<'a>(&'a self, meta: &'a Arc<Sqlite>) -> Result<Contents<'a>, String> {
        let packs = self.packs().map_err(words)?;
        Ok(Contents { meta, packs, drive: self.drive(), world: self, read: BTreeMap::new() })
    }

    /// Every disk shows what the server's tree says.
    pub(crate) fn check_equal(&self) -> Result<(), String> {
        (0..self.options.machines).try_for_each(|machine| self.check_machine(machine))
    }

    /// The disk of a machine shows what the server's tree says.
    pub(crate) fn check_machine(&self, machine: usize) -> Result<(), String> {
        let (name, mut shown, mut server) =
            (format!("machine {machine}"), self.machine_tree(machine), self.server_tree()?);
        server = as_shown_on(&self.options.disks[machine], server);
        if self.options.has_rules {
            (shown, server) = self.counting_trees(&shown, &server);
        }
        let difference = difference((&name, &shown), ("the server", &server));
        difference.map_or(Ok(()), |difference| Err(format!("the trees differ: {difference}")))
    }

    /// What people saved is where they can find it.
    pub(crate) fn check_nothing_lost(&self) -> Result<(), String> {
        let (meta, drive) = (self.meta(), self.drive());
        let disks: Vec<SimDisk> = (0..self.options.machines).map(|machine| self.machine_disk(machine)).collect();
        // What the drive shows and no disk does is left out by a rule that a person wrote: it is there when the rule goes.
        let shown = self.server_tree()?;
        let mut ledger = self.ledger();
        ledger.read_history(&*meta, drive).map_err(words)?;
        let safes: BTreeSet<ContentId> = disks.iter().flat_map(|disk| ledger.contents_of(disk).anywhere).collect();
        let trees = disks.iter().flat_map(|disk| disk_tree(disk, &ledger).into_values());
        let folders = trees.chain(shown.into_values()).filter_map(|shown| match shown {
            Shown::File { content, .. } => Some(content),
            _ => None,
        });
        let lost = ledger.lost(&folders.collect(), &safes);
        drop(ledger);
        if lost.is_empty() { Ok(()) } else { Err(format!("lost what was saved: {}", lost.join("; "))) }
    }

    /// Machines that touched different names have nothing to disagree about.
    pub(crate) fn check_no_needless_copy(&self) -> Result<(), String> {
        // After a restore, whoever comes first brings back what it has, be it older than what another one has. Without its state, a client
        // cannot tell an older version from an edit. The name of a directory that a person took from a machine is free there for something
        // new, and taken on the server.
        let meetings = &self.options.meetings;
        let may_copy = meetings.restore_every_ms > 0 || meetings.state_loss_every_ms > 0 || self.options.has_selection;
        if !self.options.is_apart || may_copy {
            return Ok(());
        }
        let server = self.server_tree()?;
        let has = |path: &[u8], mark: &[u8]| path.windows(mark.len()).any(|part| part == mark);
        let may_keep = self.options.keeps_files_open();
        let mut paths = server.keys().filter(|path| !may_keep || !has(path, KEPT_MARK));
        let copy = paths.find(|path| has(path, CONFLICT_MARK));
        copy.map_or(Ok(()), |path| Err(format!("a needless conflict copy: `{}`", show(path))))
    }

    /// Nothing of ours lies about.
    pub(crate) fn check_no_stray(&self) -> Result<(), String> {
        for machine in 0..self.options.machines {
            let tree = self.machine_disk(machine).tree();
            let stray = tree.keys().find(|path| path.starts_with(b".skep/staging/"));
            if let Some(path) = stray {
                return Err(format!("machine {machine} has left `{}` behind", show(path)));
            }
        }
        Ok(())
    }
}
