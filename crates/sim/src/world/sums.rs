//! Whether what is claimed of equality is true.

use std::sync::Arc;

use skep_client::Compared;
use skep_metastore::MetaStore;
use skep_protocol::IdRange;
use skep_types::Sum;

use super::World;

/// Live nodes that are read at most.
const NODES_MAX: usize = 1 << 20;

impl World {
    /// To be called when everything has settled and the trees were found to be equal: every client says so, by counting and by what it
    /// has kept; none has ever found a difference, for nothing in these worlds spoils a row.
    pub(crate) async fn check_sums(self: &Arc<World>) -> Result<(), String> {
        self.check_kept_sum()?;
        for machine in 0..self.options.machines {
            let client = self.state().machines[machine].client.clone();
            let Some(client) = client else { continue };
            let head = self.head();
            match client.compare().await {
                Compared::Equal(verified) if verified.cursor.seq == head => {}
                // A timer of some client fired meanwhile; what it did is checked by whoever comes next.
                _ if self.head() != head => continue,
                other => return Err(format!("client {machine} does not see that it is equal: {other:?}")),
            }
            let status = client.status();
            if let Some(difference) = status.checked.difference {
                return Err(format!("client {machine} found a difference: {difference:?}"));
            }
            if status.checked.verified.is_none_or(|verified| verified.cursor.seq != head)
                || status.changes_since != Some(0)
            {
                let (verified, since) = (status.checked.verified, status.changes_since);
                return Err(format!("client {machine} claims {verified:?} and {since:?} changes since, at {head}"));
            }
        }
        Ok(())
    }

    /// The server's sum is that of its nodes.
    fn check_kept_sum(&self) -> Result<(), String> {
        let (meta, drive) = (self.meta(), self.drive());
        let read = meta.read(|read| {
            let all = IdRange::ALL;
            Ok((read.sum(drive)?, read.live_nodes(drive, all.first(), all.last(), NODES_MAX)?))
        });
        let (kept, nodes) = read.map_err(|error| error.to_string())?;
        let counted: Sum = nodes.iter().map(Sum::of).collect::<Vec<_>>().iter().sum();
        let anew = meta.write(|write| write.recount(drive)).map_err(|error| error.to_string())?;
        match kept == Some(counted) && counted == anew {
            true => Ok(()),
            false => {
                Err(format!("the server keeps the sum {kept:?}, its nodes have {counted:?}, counted anew {anew:?}"))
            }
        }
    }
}
