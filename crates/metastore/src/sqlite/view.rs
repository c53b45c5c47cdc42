//! One drive as the rules of `skep-drive` read it, within a transaction.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rusqlite::Params;
use skep_drive::{View, ViewFailed, root};
use skep_types::{CommitId, ContentId, DeviceId, FieldGroups, ListId, Name, NodeId, NodeState, Seq};

use super::session::{DriveNumber, Session};
use super::{row, sql};
use crate::StoreError;

/// A drive of a session.
pub(super) struct DriveView<'s, 'c> {
    session: &'s Session<'c>,
    drive: DriveNumber,
    /// The last answer to "what did others change after"; a commit of many deletions asks the same for each.
    changed: RefCell<Option<Changed>>,
}

struct Changed {
    head: Seq,
    seen: Seq,
    device: DeviceId,
    directories: BTreeSet<NodeId>,
}

impl<'s, 'c> DriveView<'s, 'c> {
    /// The drive of that number.
    pub(super) fn new(session: &'s Session<'c>, drive: DriveNumber) -> DriveView<'s, 'c> {
        DriveView { session, drive, changed: RefCell::default() }
    }

    /// Keeps the reason of a failure in the session.
    fn report<T>(&self, answer: Result<T, StoreError>) -> Result<T, ViewFailed> {
        answer.map_err(|error| {
            self.session.view_failure.replace(Some(error));
            ViewFailed
        })
    }

    fn read_head(&self) -> Result<Seq, StoreError> {
        let head = self.session.one(sql::HEAD, [self.drive], |row| row::count(row, 0).map(Seq))?;
        head.ok_or_else(|| StoreError::Damaged("a drive is gone".to_owned()))
    }

    fn is_changed_below(&self, node: NodeId, seen: Seq, device: DeviceId) -> Result<bool, StoreError> {
        let floor = self.session.one(sql::THINNED, [self.drive], |row| row::count(row, 0).map(Seq))?;
        if floor.is_some_and(|floor| seen < floor) {
            // What was changed after `seen` is not known any more: the deletion must not go through on that.
            return Ok(true);
        }
        let head = self.read_head()?;
        let mut changed = self.changed.borrow_mut();
        if let Some(known) = &*changed
            && (known.head, known.seen, known.device) == (head, seen, device)
        {
            return Ok(known.directories.contains(&node));
        }
        let params = (self.drive, row::integer(seen.0)?, device.as_bytes());
        let directories = self.session.all(sql::CHANGED_DIRECTORIES, params, |row| row::node_id(row, 0))?;
        let directories = directories.into_iter().collect();
        let known = changed.insert(Changed { head, seen, device, directories });
        Ok(known.directories.contains(&node))
    }

    fn is_there(&self, query: &str, params: impl Params) -> Result<bool, StoreError> {
        Ok(self.session.one(query, params, |_| Ok(()))?.is_some())
    }

    /// Chunks of a list are looked at only where the drive has damaged ones at all, which costs nothing to ask.
    fn holds_list(&self, list: ListId) -> Result<bool, StoreError> {
        let key = (self.drive, list.as_bytes());
        if !self.is_there(sql::HOLDS_DAMAGED, [self.drive])? {
            return self.is_there(sql::HOLDS_MANIFEST, key);
        }
        let Some(row) = self.session.one(sql::MANIFEST_ROW, key, row::manifest)? else { return Ok(false) };
        for chunk in row.manifest.chunks {
            if !self.is_there(sql::HOLDS_CHUNK, (self.drive, chunk.id.as_bytes()))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn made_groups(&self, node: NodeId, commit: CommitId) -> Result<FieldGroups, StoreError> {
        let params = (self.drive, node.as_bytes(), commit.as_bytes());
        let bits: Vec<u8> = self.session.all(sql::MADE, params, |row| row.get(0).map_err(row::failed))?;
        Ok(row::changed_groups(bits.into_iter().fold(0, |all, bits| all | bits)))
    }
}

impl View for DriveView<'_, '_> {
    fn head(&self) -> Result<Seq, ViewFailed> {
        self.report(self.read_head())
    }

    fn node(&self, node: NodeId) -> Result<Option<NodeState>, ViewFailed> {
        if node == NodeId::ROOT {
            return Ok(Some(root()));
        }
        self.report(self.session.one(sql::NODE, (self.drive, node.as_bytes()), row::node))
    }

    fn child(&self, parent: NodeId, name: &Name) -> Result<Option<NodeState>, ViewFailed> {
        let params = (self.drive, parent.as_bytes(), name.as_bytes());
        self.report(self.session.one(sql::CHILD, params, row::node))
    }

    fn changed_below(&self, node: NodeId, seen: Seq, device: DeviceId) -> Result<bool, ViewFailed> {
        self.report(self.is_changed_below(node, seen, device))
    }

    fn made(&self, node: NodeId, commit: CommitId) -> Result<FieldGroups, ViewFailed> {
        self.report(self.made_groups(node, commit))
    }

    fn holds(&self, content: &ContentId) -> Result<bool, ViewFailed> {
        self.report(match content {
            ContentId::Empty => Ok(true),
            ContentId::Chunk(chunk) => self.is_there(sql::HOLDS_CHUNK, (self.drive, chunk.as_bytes())),
            ContentId::List(list) => self.holds_list(*list),
        })
    }
}
