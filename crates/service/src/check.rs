//! Checking a whole server: trees, journals, content, packs; and putting right what can be.
//!
//! Plain calls on the stores, beside a running service or without one: nothing is changed but by [`repair()`].

mod content;
mod files;
mod mend;
mod repair;
mod sums;
mod tree;

use std::collections::BTreeSet;

use skep_blobstore::{PackId, PackStore, RecordPlace};
use skep_metastore::{MetaStore, Read, StoreError};
use skep_types::{ChunkId, DriveId, Limits, NodeId};

pub(crate) use content::{RecordRows, records_of};
pub use mend::{Mend, mend};
pub use repair::{RepairError, Repaired, repair};

/// Rows of a table that are read at a time.
const ROWS_PER_PAGE: usize = 4096;
/// Findings and files that are told one by one; more are only counted.
const TOLD_MAX: usize = 10_000;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Stable code.
    pub code: FindingCode,
    /// What is wrong, in a sentence.
    pub what: String,
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingCode {
    /// The database file itself, a tree, a journal or a list.
    Metadata,
    /// A pack is missing or in part unreadable.
    Pack,
    /// Nodes, journal and sum of a drive do not say the same: the journal counts.
    Unequal,
}

impl FindingCode {
    /// The code as people and scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingCode::Metadata => "E-METADATA",
            FindingCode::Pack => "E-DAMAGED",
            FindingCode::Unequal => "E-UNEQUAL",
        }
    }
}

/// A file of which some version cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostFile {
    /// Whose it is.
    pub account: String,
    /// Where it stands, or stood.
    pub path: String,
    /// Which node.
    pub node: NodeId,
    /// Which version of it.
    pub version: LostVersion,
}

/// Which version of a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LostVersion {
    /// The one that people see.
    Current,
    /// The one in the trash.
    InTrash,
    /// An older one.
    Older,
}

impl LostVersion {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            LostVersion::Current => "current",
            LostVersion::InTrash => "in the trash",
            LostVersion::Older => "older version",
        }
    }
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Drives.
    pub drives: u64,
    /// Nodes.
    pub nodes: u64,
    /// Entries of journals.
    pub entries: u64,
    /// Packs in which something lies.
    pub packs: u64,
    /// Records that were read and verified.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was looked at.
    pub counts: Counts,
    /// What is wrong, at most 10,000 things.
    pub findings: Vec<Finding>,
    /// Files of which something is lost, at most 10,000.
    pub files: Vec<LostFile>,
    /// Findings and files beyond that.
    pub more: u64,
    /// Packs that are damaged or missing.
    pub packs: BTreeSet<PackId>,
    /// Records that are marked as damaged and can be read all the same.
    pub sound_again: Vec<RecordPlace>,
    /// Records that cannot be read, whether that was known or not.
    pub unreadable: Vec<RecordPlace>,
    /// Rows of nodes that are not as the journal says, at most 10,000.
    pub mends: Vec<Mend>,
    /// Drives of which the sum is not that of the nodes.
    pub uncounted: BTreeSet<DriveId>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_fine(&self) -> bool {
        self.findings.is_empty() && self.files.is_empty()
    }

    /// Adds a finding.
    pub fn find(&mut self, code: FindingCode, what: impl Into<String>) {
        if self.findings.len() < TOLD_MAX {
            self.findings.push(Finding { code, what: what.into() });
        } else {
            self.more += 1;
        }
    }

    fn mend(&mut self, mend: Mend) {
        if self.mends.len() < TOLD_MAX {
            self.mends.push(mend);
        }
    }

    fn lose(&mut self, file: LostFile) {
        if self.files.len() < TOLD_MAX {
            self.files.push(file);
        } else {
            self.more += 1;
        }
    }
}

/// Checks everything, at one point in time: every tree and journal, every record that a chunk lies in, every content that a node or a
/// version names. What the store itself cannot read ends it.
pub fn check(meta: &impl MetaStore, packs: &impl PackStore, limits: &Limits) -> Result<Report, StoreError> {
    let mut report = Report::default();
    meta.read(|read| {
        let lacking = content::check_packs(read, packs, limits, &mut report)?;
        for drive in read.every_drive()? {
            report.counts.drives += 1;
            tree::check_tree(read, &drive, &mut report)?;
            sums::check_sum(read, &drive, &mut report)?;
            files::check_files(read, &drive, &lacking, &mut report)?;
        }
        Ok(())
    })?;
    report.findings.sort();
    report.files.sort();
    report.files.dedup();
    Ok(report)
}

/// Chunks that cannot be read, by drive.
type Lacking = BTreeSet<(DriveId, ChunkId)>;

/// Goes over all nodes of a drive, page by page.
fn each_node(
    read: &dyn Read,
    drive: DriveId,
    mut look: impl FnMut(skep_types::NodeState) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = read.nodes(drive, after, ROWS_PER_PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.node);
        page.into_iter().try_for_each(&mut look)?;
    }
}

/// Goes over a whole journal, page by page.
fn each_entry(
    read: &dyn Read,
    drive: DriveId,
    mut look: impl FnMut(skep_types::Entry) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after = skep_types::Seq::START;
    loop {
        let page = read.entries(drive, after, ROWS_PER_PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        page.into_iter().try_for_each(&mut look)?;
    }
}
