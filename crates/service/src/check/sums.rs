//! A drive's sum against its nodes.

use std::collections::{BTreeMap, BTreeSet};

use skep_metastore::{Drive, Read, StoreError};
use skep_types::{Content, NodeId, Sum, live_directories};

use super::{FindingCode, ROWS_PER_PAGE, Report, each_node};

/// The sum that was kept by each change is that of the nodes, and so are the marks of who does not live beneath the trash.
pub(super) fn check_sum(read: &dyn Read, drive: &Drive, report: &mut Report) -> Result<(), StoreError> {
    // One that is being removed has none.
    let Some(kept) = read.sum(drive.id)? else { return Ok(()) };
    let mut above: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    each_node(read, drive.id, |state| {
        if state.content == Content::Directory && !state.place.trashed {
            above.insert(state.node, state.place.parent);
        }
        Ok(())
    })?;
    let live = live_directories(&above);
    let (mut counted, mut uncounted) = (Sum::default(), BTreeSet::new());
    each_node(read, drive.id, |state| {
        let is_live = state.place.parent == NodeId::ROOT || live.contains(&state.place.parent);
        match (state.place.trashed, is_live) {
            (true, _) => {}
            (false, true) => counted.add(&Sum::of(&state)),
            (false, false) => drop(uncounted.insert(state.node)),
        }
        Ok(())
    })?;
    let mut marked = BTreeSet::new();
    loop {
        let page = read.uncounted(drive.id, marked.last().copied(), ROWS_PER_PAGE)?;
        if page.is_empty() {
            break;
        }
        marked.extend(page);
    }
    if kept != counted {
        let what = format!("The sum of drive {} is {kept}, that of its nodes {counted}.", drive.id);
        report.find(FindingCode::Unequal, what);
        report.uncounted.insert(drive.id);
    } else if marked != uncounted {
        let what = format!("Drive {} has wrong marks of what does not live beneath the trash.", drive.id);
        report.find(FindingCode::Unequal, what);
        report.uncounted.insert(drive.id);
    }
    Ok(())
}
