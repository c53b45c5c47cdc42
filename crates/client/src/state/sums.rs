//! The sums of Remote and of Local, kept by each step that changes them; and counted anew, to find what a row has become.
//!
//! The sums are a second book: a row that is spoiled does not change them, and the next one who counts sees it. While a first
//! snapshot comes, or another one takes Remote's place, none is kept: it is counted once, when somebody asks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use minicbor::{Decode, Encode};
use rusqlite::{Connection, Row, params};
use skep_planner::{Local, Synced, Trees};
use skep_protocol::{IdRange, PartSum};
use skep_types::{Content, Counted, Cursor, NodeId, NodeState, Sum, Tally, live_directories};

use super::row::{from_cbor, kept_name, kept_node, synced_from_bytes, to_cbor};
use super::{AWAKE, SqliteTrees, StateError, schema};
use crate::equality::Checked;

/// Under which the sums are kept; and what they were last found to be equal to.
const BOOKS: &str = "sums";
const CHECKED: &str = "equality";
/// A step that changes more nodes of Remote than these puts another tree in its place: it is counted anew when somebody asks.
const STEP_NODES_MAX: usize = 16_384;

/// The sums that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub(crate) struct Books {
    /// Of what the server says lives.
    #[n(0)]
    pub(crate) remote: Sum,
    /// Of what this disk shows.
    #[n(1)]
    pub(crate) local: Sum,
}

/// What is kept of sums.
#[derive(Debug, Default)]
pub(super) struct Counting {
    /// `None`: to be counted.
    books: Option<Books>,
    stored: Option<Books>,
    tally: Tally,
    /// What of Remote rests, if that is known: [`SqliteTrees::resting_sum`].
    resting: Cell<Option<Sum>>,
    pub(super) checked: Checked,
}

impl Counting {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Counting> {
        let books = match schema::meta(connection, BOOKS)? {
            Some(bytes) => Some(from_cbor(&bytes)?),
            None => None,
        };
        // What cannot be read is checked again.
        let checked = schema::meta(connection, CHECKED)?.and_then(|bytes| from_cbor(&bytes).ok()).unwrap_or_default();
        Ok(Counting { books, stored: books, checked, ..Counting::default() })
    }

    /// Which nodes rest has changed.
    pub(super) fn forget_resting(&self) {
        self.resting.set(None);
    }
}

/// What the three trees say of themselves, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) books: Books,
    /// What of Remote is not to be on this disk, or is not yet looked at: left out by rule or by choice.
    pub(crate) resting: Sum,
    /// What of Remote and of Local stands in the nodes that differ and are told of.
    pub(crate) differing: Books,
    /// How many these are.
    pub(crate) differing_nodes: u64,
    /// What stands here though it is in the trash there, and both sides agree on that: directories that hold what is ignored.
    pub(crate) residue: Sum,
}

impl Standing {
    /// Whether what this disk shows is what the server says, but for what is left out and what is told of.
    pub(crate) fn is_shown(&self) -> bool {
        let mut there = self.books.remote;
        there.take(&self.resting);
        there.take(&self.differing.remote);
        let mut here = self.books.local;
        here.take(&self.differing.local);
        here.take(&self.residue);
        there == here
    }
}

/// What counting anew has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Recount {
    pub(crate) books: Books,
    /// Nodes of which the columns of a row say something else than the row.
    pub(crate) torn: Vec<NodeId>,
}

/// The sum of a node as this disk shows it. One that was not read yet has none.
fn sum_of_local(node: NodeId, local: &Local) -> Option<Sum> {
    let content = local.content.known()?;
    Some(Sum::of_shown(node, local.parent, &local.name, content, local.mode))
}

impl SqliteTrees {
    /// What is known of the equality with the server.
    pub(crate) fn checked(&self) -> &Checked {
        &self.counting.checked
    }

    /// Keeps that.
    pub(crate) fn set_checked(&mut self, checked: Checked) {
        self.note(schema::put_meta(&self.connection, CHECKED, &to_cbor(&checked)));
        self.counting.checked = checked;
    }

    /// The sums as they are kept, and what stands between them; `None`: they are to be counted first.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let books = self.counting.books?;
        let (mut differing, mut differing_nodes, mut after) = (Books::default(), 0, None);
        loop {
            let nodes = self.differing(after, 256);
            let Some(last) = nodes.last() else { break };
            after = Some(*last);
            for node in nodes {
                differing_nodes += 1;
                let remote = self.remote(node).filter(|state| !state.place.trashed && !self.is_marked(node));
                remote.iter().for_each(|state| differing.remote.add(&Sum::of(state)));
                let local = self.local(node).and_then(|local| sum_of_local(node, &local));
                local.iter().for_each(|sum| differing.local.add(sum));
            }
        }
        let (resting, residue) = (self.resting_sum(), self.residue_sum());
        Some(Standing { cursor: self.cursor(), books, resting, differing, differing_nodes, residue })
    }

    fn residue_sum(&self) -> Sum {
        let sql = "SELECT node FROM synced WHERE trashed = 1 UNION SELECT u.node FROM uncounted AS u JOIN synced AS s ON s.node = u.node";
        let mut sum = Sum::default();
        for node in self.nodes(sql, []) {
            let (Some(synced), Some(local)) = (self.synced(node), self.local(node)) else { continue };
            if local == synced.as_local() && self.remote(node).as_ref() == Some(&synced.state) {
                sum_of_local(node, &local).iter().for_each(|one| sum.add(one));
            }
        }
        sum
    }

    /// Counts Remote and Local anew, and from now on keeps what it has counted. To be called within a step.
    pub(crate) fn recount(&mut self) -> Recount {
        let mut above: BTreeMap<NodeId, NodeId> = BTreeMap::new();
        self.each_remote(NodeId::ROOT, LAST, |_, state| {
            if state.content == Content::Directory && !state.place.trashed {
                above.insert(state.node, state.place.parent);
            }
        });
        let live = live_directories(&above);
        let (mut recount, mut uncounted) = (Recount::default(), Vec::new());
        self.each_remote(NodeId::ROOT, LAST, |is_torn, state| {
            if is_torn {
                recount.torn.push(state.node);
            }
            if state.place.trashed {
                return;
            }
            if state.place.parent == NodeId::ROOT || live.contains(&state.place.parent) {
                recount.books.remote.add(&Sum::of(&state));
            } else {
                uncounted.push(state.node);
            }
        });
        self.each_local(|node, local| {
            sum_of_local(node, local).iter().for_each(|sum| recount.books.local.add(sum));
        });
        self.write("DELETE FROM uncounted", []);
        for node in uncounted {
            self.put_mark(node, true);
        }
        self.counting.tally = Tally::default();
        self.counting.forget_resting();
        self.counting.books = Some(recount.books);
        recount
    }

    /// The sums as they were before this step; none if they are not kept.
    pub(crate) fn books(&self) -> Option<Books> {
        self.counting.books
    }

    /// The sums of the parts of a range of Remote in which anything lives, counted from the rows.
    pub(crate) fn parts_of(&self, range: &IdRange) -> Vec<PartSum> {
        let mut parts: Vec<PartSum> = Vec::new();
        self.each_live(range.first(), range.last(), |state| {
            let (byte, sum) = (range.part_of(state.node), Sum::of(&state));
            match parts.last_mut() {
                Some(part) if part.byte == byte => part.sum.add(&sum),
                _ => parts.push(PartSum { byte, sum }),
            }
        });
        parts
    }

    /// The live nodes of a range of Remote, by id, at most `limit`.
    pub(crate) fn live_nodes(&self, range: &IdRange, limit: usize) -> Vec<NodeState> {
        let mut nodes = Vec::new();
        self.each_live(range.first(), range.last(), |state| {
            if nodes.len() < limit {
                nodes.push(state);
            }
        });
        nodes
    }

    /// Writes the columns of these nodes' rows anew, as the rows say.
    pub(crate) fn mend_rows(&mut self, nodes: &[NodeId]) {
        for node in nodes {
            let (synced, remote) = (self.synced(*node), self.remote(*node));
            self.put_synced(*node, synced.as_ref());
            // The row is written only if it is not as it is known to be.
            let resting = self.of(*node, |known| known.remote.as_ref().map_or(AWAKE, |(_, resting)| *resting));
            self.know(*node, |known| known.remote = None);
            self.put_remote(*node, remote, synced.as_ref(), resting);
        }
    }

    pub(super) fn forget_sums(&mut self) {
        self.counting.books = None;
        self.counting.tally = Tally::default();
        self.counting.forget_resting();
    }

    /// To be called before Remote changes.
    pub(super) fn note_remote(&mut self, node: NodeId) {
        if self.counting.books.is_none() {
            return;
        }
        let mut tally = std::mem::take(&mut self.counting.tally);
        let Ok(()) = tally.note(&*self, node);
        self.counting.tally = tally;
        if self.counting.tally.nodes() > STEP_NODES_MAX {
            self.forget_sums();
        }
    }

    /// Local is about to say this of a node.
    pub(super) fn count_local(&mut self, node: NodeId, local: Option<&Local>) {
        if self.counting.books.is_none() {
            return;
        }
        let (before, after) = (self.local(node), local);
        if before.as_ref() == after {
            return;
        }
        let (gone, come) =
            (before.and_then(|local| sum_of_local(node, &local)), after.and_then(|local| sum_of_local(node, local)));
        if let Some(books) = &mut self.counting.books {
            gone.iter().for_each(|sum| books.local.take(sum));
            come.iter().for_each(|sum| books.local.add(sum));
        }
    }

    /// The last thing that a step does.
    pub(super) fn settle_sums(&mut self) {
        if let Some(mut books) = self.counting.books {
            let Ok(change) = std::mem::take(&mut self.counting.tally).settle(self);
            books.remote = change.applied_to(books.remote);
            self.counting.books = Some(books);
        }
        if self.counting.books != self.counting.stored {
            match &self.counting.books {
                Some(books) => self.note(schema::put_meta(&self.connection, BOOKS, &to_cbor(books))),
                None => self.write("DELETE FROM meta WHERE key = ?1", [BOOKS]),
            }
            self.counting.stored = self.counting.books;
        }
    }

    /// The step is undone.
    pub(super) fn reload_sums(&mut self) -> Result<(), StateError> {
        self.counting = Counting::load(&self.connection)?;
        Ok(())
    }

    /// What of Remote lives and rests. Counted again only after something has come to rest, or no longer does.
    fn resting_sum(&self) -> Sum {
        if let Some(known) = self.counting.resting.get() {
            return known;
        }
        let sql = "SELECT state FROM remote_diff AS r WHERE resting <> 0 AND trashed = 0 AND state IS NOT NULL \
                   AND NOT EXISTS (SELECT 1 FROM uncounted AS u WHERE u.node = r.node)";
        let mut sum = Sum::default();
        self.each(sql, [], |row| {
            sum.add(&Sum::of(&from_cbor(row.get_ref(0)?.as_blob()?)?));
            Ok(())
        });
        self.counting.resting.set(Some(sum));
        sum
    }

    fn is_marked(&self, node: NodeId) -> bool {
        let sql = "SELECT 1 FROM uncounted WHERE node = ?1";
        self.one(sql, params![node.as_bytes()], |_| Ok(())).is_some()
    }

    fn put_mark(&self, node: NodeId, uncounted: bool) {
        match uncounted {
            true => self.write("INSERT OR IGNORE INTO uncounted (node) VALUES (?1)", params![node.as_bytes()]),
            false => self.write("DELETE FROM uncounted WHERE node = ?1", params![node.as_bytes()]),
        }
        self.counting.forget_resting();
    }

    /// Calls `take` for each row; rows are not kept.
    fn each(&self, sql: &str, values: impl rusqlite::Params, mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>) {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| {
            let mut rows = statement.query(values)?;
            while let Some(row) = rows.next()? {
                take(row)?;
            }
            Ok(())
        });
        self.note(done);
    }

    /// Every node of Remote with an id in a range, by id; and whether the columns of its row say something else than the row.
    fn each_remote(&self, from: NodeId, to: NodeId, mut take: impl FnMut(bool, NodeState)) {
        let sql = "SELECT node, parent, name, trashed, synced, 1 FROM synced AS s WHERE node >= ?1 AND node <= ?2 \
                   AND NOT EXISTS (SELECT 1 FROM remote_diff AS r WHERE r.node = s.node) \
                   UNION ALL SELECT node, parent, name, trashed, state, 0 FROM remote_diff \
                   WHERE node >= ?1 AND node <= ?2 AND state IS NOT NULL ORDER BY 1";
        self.each(sql, params![from.as_bytes(), to.as_bytes()], |row| {
            let bytes = row.get_ref(4)?.as_blob()?;
            let state = match row.get(5)? {
                true => synced_from_bytes(bytes)?.state,
                false => from_cbor(bytes)?,
            };
            let is_torn = kept_node(row, 0)? != state.node
                || kept_node(row, 1)? != state.place.parent
                || kept_name(row, 2)? != state.place.name
                || row.get::<_, bool>(3)? != state.place.trashed;
            take(is_torn, state);
            Ok(())
        });
    }

    fn each_live(&self, from: NodeId, to: NodeId, mut take: impl FnMut(NodeState)) {
        self.each_remote(from, to, |_, state| {
            if !state.place.trashed && !self.is_marked(state.node) {
                take(state);
            }
        });
    }

    fn each_local(&self, mut take: impl FnMut(NodeId, &Local)) {
        let sql = "SELECT node, synced FROM synced AS s \
                   WHERE NOT EXISTS (SELECT 1 FROM local_diff AS d WHERE d.node = s.node)";
        self.each(sql, [], |row| {
            take(kept_node(row, 0)?, &Synced::as_local(&synced_from_bytes(row.get_ref(1)?.as_blob()?)?));
            Ok(())
        });
        self.each("SELECT node, local FROM local_diff WHERE local IS NOT NULL", [], |row| {
            take(kept_node(row, 0)?, &super::row::local_from_bytes(row.get_ref(1)?.as_blob()?)?);
            Ok(())
        });
    }
}

/// After every other id.
const LAST: NodeId = NodeId::from_bytes([0xff; NodeId::LEN]);

impl Counted for SqliteTrees {
    type Error = Infallible;

    fn node(&self, node: NodeId) -> Result<Option<NodeState>, Infallible> {
        Ok(self.remote(node))
    }

    fn nodes_in(&self, directory: NodeId) -> Result<Vec<NodeState>, Infallible> {
        Ok(self.remote_children(directory).into_iter().filter_map(|node| self.remote(node)).collect())
    }

    fn is_uncounted(&self, node: NodeId) -> Result<bool, Infallible> {
        Ok(self.is_marked(node))
    }

    fn set_uncounted(&mut self, node: NodeId, uncounted: bool) -> Result<(), Infallible> {
        self.put_mark(node, uncounted);
        Ok(())
    }
}
