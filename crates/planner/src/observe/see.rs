//! What a look found, taken into Local.

use std::collections::{BTreeMap, btree_map};

use skep_types::{Change, Content, Kind, Mode, Name, NodeId, Stat};

use super::{Arrival, Dirty, Findings, LookUnderWay, Missing, Observer, age_ms};
use crate::ids::IdSource;
use crate::names::{is_conflict_copy_of, node_of_swap_name};
use crate::shape::Shape;
use crate::trees::{LIMBO, Local, LocalContent, Trees};
use crate::{LookError, LookId, Sight};

/// Why an entry is looked at.
#[derive(Debug, Clone, Copy)]
struct Glance {
    /// With everything else in its directory.
    deep: bool,
    /// Because of a hint.
    hinted: Option<Change>,
}

impl Observer {
    /// Takes what a look found.
    pub(crate) fn looked(
        &mut self,
        trees: &mut dyn Trees,
        ids: &mut IdSource,
        look: LookId,
        watching: bool,
        result: Result<(Stat, Vec<Sight>), LookError>,
        findings: &mut Findings,
    ) {
        let Some(LookUnderWay { dir, dirty, watch }) = self.looks.remove(&look) else { return };
        if watch && watching {
            self.unhinted.remove(&dir);
        } else if watch && result.is_ok() {
            self.unhinted.insert(dir);
        }
        // Only a complete look makes up for one that failed: what that one was after is not known.
        if result.is_ok() && dirty.deep {
            findings.listed.push(dir);
        }
        let known = trees.local(dir);
        if dir != NodeId::ROOT && known.is_none() {
            return;
        }
        let (stat, sights) = match result {
            Ok(found) => found,
            Err(LookError::Gone) if dir != NodeId::ROOT => return self.lost_directory(known, dir, dirty),
            Err(_) => {
                self.filters.cannot_know(dir);
                // When it is tried again, everything is looked at: what was hinted is still to be known then.
                self.failed.entry(dir).or_default().extend(dirty.names);
                findings.unlistable.push(dir);
                return;
            }
        };
        if known.as_ref().is_some_and(|local| !is_same_directory(&local.stat, &stat)) {
            // Another directory stands there: whoever looks at the one above finds out. Its watch may tell of the wrong one now.
            for node in trees.local_by_inode(stat.inode) {
                if trees.local(node).is_some_and(|local| local.kind() == Kind::Directory) {
                    self.look_anew(node);
                }
            }
            return self.lost_directory(known, dir, dirty);
        }
        let mut unseen: BTreeMap<Name, NodeId> = match dirty.deep {
            true => trees.local_children(dir).into_iter().collect(),
            false => BTreeMap::new(),
        };
        // What was seen here before is seen again, or no more.
        self.arrivals.retain(|(arrived, name), _| *arrived != dir || !dirty.covers(name));
        self.filters.read_rules(dir, dirty.deep, &sights, self.at_ms);
        let had_ignored = self.filters.has_ignored(dir);
        if dirty.deep {
            self.filters.look_through(dir);
            self.wake_left_out(trees, dir, findings);
            self.specials.look_through(dir, &sights);
        }
        let rules = self.filters.rules_for(trees, dir);
        for sight in sights {
            unseen.remove(&sight.name);
            let is_ignored = self.see_ignored(trees, dir, &sight, &rules, findings);
            self.specials.see(dir, &sight, !is_ignored, self.now);
            if is_ignored {
                continue;
            }
            let hinted = dirty.names.get(&sight.name).copied();
            self.see(trees, ids, dir, sight, Glance { deep: dirty.deep, hinted }, findings);
        }
        if had_ignored && !self.filters.has_ignored(dir) {
            // It may have stayed for that only.
            findings.touched.insert(dir);
        }
        for (name, node) in unseen {
            // What was seen under another name of this directory meanwhile is not missing.
            if trees.local_child(dir, &name) == Some(node) {
                self.set_missing(node);
            }
        }
    }

    /// The directory is not where Local has it: the entry above tells more. It is looked at again where that finds it.
    fn lost_directory(&mut self, known: Option<Local>, dir: NodeId, dirty: Dirty) {
        if dirty.deep {
            self.look_anew(dir);
        }
        dirty.names.iter().for_each(|(name, change)| self.hint_earlier(dir, name, *change));
        if let Some(local) = known
            && local.parent != LIMBO
        {
            self.hint(local.parent, local.name, Change::Entry);
        }
    }

    /// One entry, as it was seen.
    fn see(
        &mut self,
        trees: &mut dyn Trees,
        ids: &mut IdSource,
        dir: NodeId,
        sight: Sight,
        glance: Glance,
        findings: &mut Findings,
    ) {
        let existing = trees.local_child(dir, &sight.name);
        let stat = sight.stat;
        let name = sight.name.clone();
        if glance.hinted == Some(Change::Bytes) {
            self.see_closed(trees, (dir, &name), findings);
        }
        let kind = stat.and_then(|stat| stat.kind);
        if let Some(node) = existing {
            let is_special = sight.stat.is_some() && kind.is_none();
            if is_special {
                self.special.insert(node);
                findings.special.push((node, sight.own));
            } else if self.special.remove(&node) {
                findings.plain.push(node);
                if trees.local(node).is_some_and(|local| local.kind() == Kind::Directory) {
                    // Nobody looked into it meanwhile.
                    self.look_anew(node);
                }
            }
        }
        match (existing, sight.stat) {
            (None, None) => {}
            (Some(node), None) => self.set_missing(node),
            // A socket, a device, or another file system mounted here: neither content nor a deletion.
            (_, Some(_)) if kind.is_none() => {}
            (Some(node), Some(stat)) => {
                let Some(known) = trees.local(node) else { return };
                let same_kind = kind == Some(known.kind());
                let is_it = match known.kind() {
                    Kind::Directory => is_same_directory(&known.stat, &stat),
                    _ => !self.has_moved_onto_trash(trees, node, &known.stat, &sight.name, &stat),
                };
                if same_kind && is_it {
                    self.forget_missing(node);
                    if !self.is_pending_name(dir, &sight.name) {
                        self.told.remove(&node);
                    }
                    self.update(trees, node, known, stat, sight.target, glance, findings);
                    if glance.deep && kind == Some(Kind::Directory) {
                        self.dirty.entry(node).or_default().deep = true;
                    }
                } else {
                    self.displace(trees, node, findings);
                    self.arrive(trees, ids, dir, sight, stat, findings);
                }
            }
            (None, Some(stat)) => self.arrive(trees, ids, dir, sight, stat, findings),
        }
        if let Some(stat) = stat.filter(|_| kind == Some(Kind::File)) {
            self.see_writing(trees, (dir, &name), &stat, glance.hinted, findings);
        }
    }

    /// Whether what stands where the node was moved there from elsewhere, when the node was in the trash on the server already: its place
    /// counts as free. Else what moved there would go with it, if their bytes are equal.
    fn has_moved_onto_trash(&self, trees: &dyn Trees, node: NodeId, known: &Stat, name: &Name, stat: &Stat) -> bool {
        known.inode != stat.inode
            && trees.remote(node).is_some_and(|state| state.place.trashed)
            && self.same_inode(trees, stat, Some(name)).is_some_and(|other| other != node)
    }

    /// A node is where it was: has it changed?
    #[expect(clippy::too_many_arguments, reason = "one sight needs the whole scene")]
    fn update(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        known: Local,
        stat: Stat,
        target: Option<Vec<u8>>,
        glance: Glance,
        findings: &mut Findings,
    ) {
        let unread = known.content == LocalContent::Unread;
        let differs = content_may_differ(&known.stat, &stat);
        if differs && known.stat.links.max(stat.links) > 1 {
            self.hint_at_links(trees, node, &stat);
        }
        let content = match stat.kind {
            Some(Kind::File) if unread || differs || self.may_hide_a_change(&stat, glance) => LocalContent::Unread,
            Some(Kind::Symlink) => {
                target.map_or(known.content.clone(), |target| LocalContent::Known(Content::Symlink { target }))
            }
            _ => known.content.clone(),
        };
        // A directory's own times change with every entry in it; only its identity matters.
        let quiet = match stat.kind {
            Some(Kind::Directory) => known.stat.inode == stat.inode && known.stat.birth == stat.birth,
            _ => known.stat == stat,
        };
        if quiet && content == known.content {
            return;
        }
        let mode = self.mode_of(trees, node, &known, &stat);
        trees.set_local(node, Some(Local { content, mode, stat, ..known }));
        findings.touched.insert(node);
        findings.changed.insert(node);
    }

    /// Whether nothing can have changed in the directory, or beneath it, without a hint: watches go with a directory that is moved.
    fn is_hinted_throughout(&self, dir: NodeId) -> bool {
        self.watched.contains(&dir) && self.unhinted.is_empty() && self.doubt_since.is_none()
    }

    /// Whether the bytes of a file may have changed though its stat did not: it was written, and changed last, in one tick of the clock.
    fn may_hide_a_change(&self, stat: &Stat, glance: Glance) -> bool {
        let was_lately = |limit_ms: u64| age_ms(self.now, stat).is_none_or(|age| age < limit_ms);
        (glance.hinted.is_some_and(Change::is_of_bytes) && was_lately(self.limits.hint_late_ms))
            || (glance.deep && self.doubt_since.is_some_and(|since| stat.ctime >= since))
    }

    /// A file with several names was changed: hints tell only of the name that was used.
    fn hint_at_links(&mut self, trees: &dyn Trees, node: NodeId, stat: &Stat) {
        for other in trees.local_by_inode(stat.inode) {
            let Some(local) = trees.local(other).filter(|local| other != node && local.parent != LIMBO) else {
                continue;
            };
            if local.stat.ctime != stat.ctime {
                self.hint(local.parent, local.name, Change::Entry);
            }
        }
    }

    /// Only a change against what this disk showed is an edit: a disk without executable bits never clears them elsewhere.
    pub(crate) fn mode_of(&self, trees: &dyn Trees, node: NodeId, known: &Local, stat: &Stat) -> Mode {
        match trees.synced(node) {
            Some(synced) if synced.shown.executable == stat.executable => synced.state.mode,
            _ if known.stat.executable == stat.executable => known.mode,
            _ => Mode { executable: stat.executable },
        }
    }

    /// Something stands where Local knew nothing.
    fn arrive(
        &mut self,
        trees: &mut dyn Trees,
        ids: &mut IdSource,
        dir: NodeId,
        sight: Sight,
        stat: Stat,
        findings: &mut Findings,
    ) {
        let named = node_of_swap_name(&sight.name)
            .filter(|node| trees.local(*node).is_some_and(|local| Some(local.kind()) == stat.kind));
        match stat.kind {
            Some(Kind::Directory) => match self.same_inode(trees, &stat, None).or(named) {
                Some(node) if !Shape::default().is_beneath(trees, dir, node) => {
                    let rules_stay = self.filters.rules_stay(trees, node, dir);
                    self.moved(trees, node, dir, sight.name, stat, findings);
                    if !rules_stay || !self.is_hinted_throughout(node) {
                        self.dirty.entry(node).or_default().deep = true;
                    }
                }
                _ => {
                    let node = new_node(trees, ids, dir, &sight.name, &stat);
                    let content = LocalContent::Known(Content::Directory);
                    self.appear(trees, node, dir, sight.name, content, stat, findings);
                    self.dirty.entry(node).or_default().deep = true;
                }
            },
            Some(Kind::File) => match self.same_inode(trees, &stat, Some(&sight.name)).or(named) {
                Some(candidate) => {
                    if let Some(local) = trees.local(candidate)
                        && local.parent != LIMBO
                    {
                        self.hint(local.parent, local.name, Change::Entry);
                    }
                    self.arrivals.insert((dir, sight.name), Arrival { stat, candidate });
                }
                None => {
                    let node = new_node(trees, ids, dir, &sight.name, &stat);
                    self.appear(trees, node, dir, sight.name, LocalContent::Unread, stat, findings);
                }
            },
            Some(Kind::Symlink) => {
                let Some(target) = sight.target else { return };
                if let Some(node) = named {
                    return self.moved(trees, node, dir, sight.name, stat, findings);
                }
                let content = LocalContent::Known(Content::Symlink { target });
                let node = new_node(trees, ids, dir, &sight.name, &stat);
                self.appear(trees, node, dir, sight.name, content, stat, findings);
            }
            Some(Kind::Mount) | None => {}
        }
    }

    /// The node of Local that this inode is, if it certainly is one.
    fn same_inode(&self, trees: &dyn Trees, stat: &Stat, name: Option<&Name>) -> Option<NodeId> {
        let same = |node: &NodeId| {
            let Some(local) = trees.local(*node) else { return false };
            let is_one = match stat.kind {
                Some(Kind::Directory) => is_same_directory(&local.stat, stat),
                _ => is_same_file(&local.stat, stat),
            };
            // A conflict copy that was renamed away just before a crash is not a move of the node that it was made of.
            let is_copy = name.is_some_and(|name| is_conflict_copy_of(name, &local.name));
            local.kind() == stat.kind.unwrap_or(Kind::Mount) && is_one && !is_copy
        };
        trees.local_by_inode(stat.inode).into_iter().find(same)
    }

    /// A node that was not known stands there.
    #[expect(clippy::too_many_arguments, reason = "one sight needs the whole scene")]
    pub(super) fn appear(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        parent: NodeId,
        name: Name,
        content: LocalContent,
        stat: Stat,
        findings: &mut Findings,
    ) {
        if let Some(other) = trees.local_child(parent, &name) {
            self.displace(trees, other, findings);
        }
        let mode = Mode { executable: stat.executable };
        trees.set_local(node, Some(Local { parent, name, content, mode, stat }));
        findings.touched.insert(node);
    }

    /// What the node is now that it was renamed here: as it was, but for what happened to it between the last look and the rename.
    pub(crate) fn renamed_here(
        &self,
        trees: &dyn Trees,
        node: NodeId,
        known: Local,
        place: (NodeId, Name),
        stat: Stat,
    ) -> Local {
        let same_bytes = (known.stat.size, known.stat.mtime, known.stat.inode) == (stat.size, stat.mtime, stat.inode);
        let unread = known.kind() == Kind::File && !same_bytes;
        let content = if unread { LocalContent::Unread } else { known.content.clone() };
        let mode = self.mode_of(trees, node, &known, &stat);
        Local { parent: place.0, name: place.1, content, mode, stat }
    }

    /// A node stands in another place.
    pub(super) fn moved(
        &mut self,
        trees: &mut dyn Trees,
        node: NodeId,
        parent: NodeId,
        name: Name,
        stat: Stat,
        findings: &mut Findings,
    ) {
        let Some(known) = trees.local(node) else { return };
        if let Some(other) = trees.local_child(parent, &name)
            && other != node
        {
            self.displace(trees, other, findings);
        }
        self.forget_missing(node);
        // A rename changes the ctime, as an edit that restores the mtime would: the content is read again.
        let content = if known.kind() == Kind::File { LocalContent::Unread } else { known.content.clone() };
        let mode = self.mode_of(trees, node, &known, &stat);
        trees.set_local(node, Some(Local { parent, name, content, mode, stat }));
        findings.touched.insert(node);
    }

    /// Something else stands where the node was.
    pub(crate) fn displace(&mut self, trees: &mut dyn Trees, node: NodeId, findings: &mut Findings) {
        if let Some(known) = trees.local(node) {
            let name = Name::new(node.to_string()).expect("hexadecimal digits are a name");
            trees.set_local(node, Some(Local { parent: LIMBO, name, ..known }));
            findings.touched.insert(node);
        }
        self.set_missing(node);
    }

    pub(super) fn set_missing(&mut self, node: NodeId) {
        if let btree_map::Entry::Vacant(vacant) = self.missing.entry(node) {
            vacant.insert(Missing { since_ms: self.at_ms });
            self.missing_sought = false;
        }
        self.missing_changed_ms = self.at_ms;
    }

    pub(super) fn forget_missing(&mut self, node: NodeId) {
        if self.missing.remove(&node).is_some() {
            self.missing_changed_ms = self.at_ms;
        }
    }
}

/// An id for what was not known: a new one, or the one that a name tells which was given for a moment before a crash, or that of the
/// node that an apply operation was to bring there.
pub(super) fn new_node(trees: &dyn Trees, ids: &mut IdSource, dir: NodeId, name: &Name, stat: &Stat) -> NodeId {
    let is_free = |node: &NodeId| trees.local(*node).is_none();
    let applied = || {
        let node = trees.applying_at(dir, name).filter(is_free)?;
        trees.applying(node).filter(|state| Some(state.kind()) == stat.kind).map(|state| state.node)
    };
    node_of_swap_name(name).filter(is_free).or_else(applied).unwrap_or_else(|| ids.node())
}

/// Whether both are stats of one file. Where the disk does not tell when it was made, size and mtime must agree.
pub(crate) fn is_same_file(known: &Stat, seen: &Stat) -> bool {
    let proven = match (known.birth, seen.birth) {
        (Some(known), Some(seen)) => known == seen,
        _ => (known.size, known.mtime) == (seen.size, seen.mtime),
    };
    known.inode == seen.inode && seen.links == 1 && proven
}

/// Whether both are stats of one directory. An inode is given to another one once it is free; where the disk tells when it was made, that
/// counts as well.
fn is_same_directory(known: &Stat, seen: &Stat) -> bool {
    known.inode == seen.inode && (known.birth.is_none() || seen.birth.is_none() || known.birth == seen.birth)
}

/// Whether a file may hold other bytes than when it showed `known`.
pub(super) fn content_may_differ(known: &Stat, seen: &Stat) -> bool {
    (known.size, known.mtime, known.ctime, known.inode) != (seen.size, seen.mtime, seen.ctime, seen.inode)
}
