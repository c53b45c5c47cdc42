//! Removing an account for good.

use skep_blobstore::BlobStore;
use skep_metastore::{Account, MetaStore, Read, StoreError};
use skep_platform::{Clock, Entropy, Tasks};
use skep_types::{Content, NodeId};

use crate::{Service, ServiceError};

/// Rows that one transaction removes of a drive: others get their turn in between.
const ROWS_MAX: usize = 4096;
/// Nodes that are counted at a time.
const PAGE_NODES: usize = 4096;

/// What goes with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belongings {
    /// Devices that are signed in.
    pub devices: usize,
    /// Files, the trash included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// What would go with the account of that name.
    pub async fn belongings(&self, name: &str) -> Result<Belongings, ServiceError> {
        let wanted = name.to_owned();
        let found = self.read(move |read| match read.account_by_name(&wanted)? {
            Some(account) => belongings_of(read, &account).map(Some),
            None => Ok(None),
        });
        found.await?.ok_or_else(|| ServiceError::UnknownUser(name.to_owned()))
    }

    /// Removes the account of that name with its devices, its files and all their versions. It is disabled first, which ends what its
    /// devices do; broken off, it stays so, and the same call goes on. The bytes are freed by garbage collection.
    pub async fn remove_user(&self, name: &str) -> Result<(), ServiceError> {
        let account = self.set_disabled(name, true).await?;
        for drive in self.read(move |read| read.drives(account)).await? {
            while self.write(move |tx| tx.remove_drive_rows(drive.id, ROWS_MAX)).await? {}
        }
        self.write(move |tx| tx.remove_account(account)).await
    }
}

fn belongings_of(read: &(impl Read + ?Sized), account: &Account) -> Result<Belongings, StoreError> {
    let devices = read.devices(account.id)?.iter().filter(|device| !device.revoked).count();
    let mut belongings = Belongings { devices, files: 0, bytes: 0 };
    for drive in read.drives(account.id)? {
        let mut after: Option<NodeId> = None;
        loop {
            let page = read.nodes(drive.id, after, PAGE_NODES)?;
            for node in &page {
                if let Content::File(file) = &node.content {
                    belongings.files += 1;
                    belongings.bytes += file.size;
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE_NODES => after = Some(last.node),
                _ => break,
            }
        }
    }
    Ok(belongings)
}
