//! Putting the nodes of drives right by what their journals say.
//!
//! The journal is what happened; nodes and sums follow from it. A row that says something else is replaced, one that no entry ever made
//! goes, one that is lacking is made. What rows said before is given to the caller first, to be kept.

use skep_metastore::{MetaStore, StoreError};
use skep_types::{DriveId, NodeId, NodeState};

use super::Report;

/// A row that is put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mend {
    /// In which drive.
    pub drive: DriveId,
    /// Of which node.
    pub node: NodeId,
    /// What it says; `None`: there is no such row.
    pub was: Option<NodeState>,
    /// What the journal says last; `None`: nothing.
    pub will_be: Option<NodeState>,
}

/// Carries out what a check has found to be wrong with rows, one drive at a time, and counts anew the drives of which the sum was wrong. The
/// caller has kept what `report` says of them. Nobody else may write to the store meanwhile.
pub fn mend(meta: &impl MetaStore, report: &Report) -> Result<(), StoreError> {
    let mut drives: Vec<DriveId> = report.mends.iter().map(|mend| mend.drive).collect();
    drives.extend(&report.uncounted);
    drives.sort();
    drives.dedup();
    for drive in drives {
        let mends = report.mends.iter().filter(|mend| mend.drive == drive);
        meta.write(|tx| {
            for mend in mends {
                tx.mend_node(drive, mend.node, mend.will_be.as_ref())?;
            }
            tx.recount(drive).map(drop)
        })?;
    }
    Ok(())
}
