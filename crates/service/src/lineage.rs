//! Which history a drive has, after its data was brought back from a copy.
//!
//! Up to the last commit that the copy holds, the old history and the new one are the same. Whoever has seen more must find out how
//! much of it is left: positions alone tell nothing, for others may have committed since. The id of a commit tells.

use std::sync::Arc;

use skep_blobstore::BlobStore;
use skep_metastore::{Drive, MetaStore, Read, StoreError, Write};
use skep_platform::{Clock, Entropy, Tasks};
use skep_protocol::{COMPARED_VERSIONS_MAX, Code, ErrorReply, FrameStream, Lineage, Reply};
use skep_types::{CommitId, Cursor, DriveId, Fork, Generation, Seq, Standing, Version};

use crate::Service;
use crate::answer::{Frames, no_more, reply};
use crate::hub::Hub;
use crate::journal::{drive_row, head_of};

/// The setting of a store that was copied: its drives get new generations before anything else is done with it.
const COPIED: &str = "copied";
/// How the names of the settings begin that hold the forks of drives.
const LINEAGE: &str = "lineage ";
/// Forks that are remembered of a drive, the newest. Each stands for a backup that was brought back.
const FORKS_MAX: usize = 1000;

impl<M: MetaStore, B: BlobStore, C: Clock, E: Entropy, T: Tasks> Service<M, B, C, E, T> {
    /// [`skep_protocol::Request::Compare`].
    pub(crate) async fn compare(
        &self,
        hub: Arc<Hub>,
        versions: Vec<Version>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        if versions.len() > COMPARED_VERSIONS_MAX {
            return Err(ErrorReply::new(Code::TooLarge, "too many versions at once"));
        }
        let id = hub.drive;
        let lineage = self.read(move |read| lineage(read, id, &versions)).await?;
        Ok(reply(&Reply::Lineage(lineage)))
    }

    /// [`skep_protocol::Request::Departed`].
    pub(crate) async fn departed(
        &self,
        hub: Arc<Hub>,
        seen: Cursor,
        held: Option<Version>,
        mut body: FrameStream,
    ) -> Result<Frames, ErrorReply> {
        no_more(&mut body).await?;
        let id = hub.drive;
        let generation = Generation::from_bytes(self.inner.parts.entropy.bytes());
        let noted = self.write(move |tx| {
            let drive = drive_row(tx, id)?;
            if seen.generation == drive.generation && standing_of(tx, &drive, &seen)? == Standing::Other {
                let is_held = |version: &Version| standing(tx, &drive, version.seq, version.commit);
                let at = match held {
                    Some(version) if is_held(&version)? == Standing::Held => version.seq,
                    _ => Seq::START,
                };
                tracing::warn!(drive = %id, %at, "a device has seen a later history: this one gets a new generation");
                fork(tx, drive, at, generation)?;
            }
            lineage(tx, id, &[])
        });
        let lineage = noted.await?;
        hub.set_generation(lineage.head.generation);
        Ok(reply(&Reply::Lineage(lineage)))
    }
}

/// Notes in a store that it is a copy: when a server is next opened on it, its drives get new generations.
pub fn mark_as_copy(tx: &mut dyn Write) -> Result<(), StoreError> {
    tx.put_setting(COPIED, &[1])
}

/// If the store is a copy: from here on, its histories go their own way. Every later one gets the generation that `draw` gives.
pub(crate) fn fork_if_copied(tx: &mut dyn Write, draw: impl Fn() -> Generation) -> Result<(), StoreError> {
    if tx.setting(COPIED)?.is_none_or(|mark| mark.is_empty()) {
        return Ok(());
    }
    for drive in tx.every_drive()? {
        let at = drive.head;
        fork(tx, drive, at, draw())?;
    }
    tx.put_setting(COPIED, &[])
}

/// Whether the commit at which a cursor stands is in the drive's history.
pub(crate) fn standing_of(read: &(impl Read + ?Sized), drive: &Drive, cursor: &Cursor) -> Result<Standing, StoreError> {
    match (cursor.seq, cursor.commit) {
        (Seq::START, None) => Ok(Standing::Held),
        (seq, Some(commit)) => standing(read, drive, seq, commit),
        (_, None) => Ok(Standing::Other),
    }
}

fn standing(read: &(impl Read + ?Sized), drive: &Drive, seq: Seq, commit: CommitId) -> Result<Standing, StoreError> {
    if seq > drive.head {
        return Ok(Standing::Other);
    }
    Ok(match read.entry(drive.id, seq)? {
        Some(entry) if entry.commit == commit => Standing::Held,
        Some(_) => Standing::Other,
        None => Standing::Thinned,
    })
}

fn fork(tx: &mut dyn Write, drive: Drive, at: Seq, generation: Generation) -> Result<(), StoreError> {
    let mut forks = forks_of(tx, drive.id)?;
    forks.push(Fork { parent: drive.generation, at, generation });
    let oldest = forks.len().saturating_sub(FORKS_MAX);
    let kept = minicbor::to_vec(&forks[oldest..]).expect("writing to memory cannot fail");
    tx.put_setting(&setting_of(drive.id), &kept)?;
    tx.put_drive(&Drive { generation, ..drive })
}

fn lineage(read: &(impl Read + ?Sized), id: DriveId, versions: &[Version]) -> Result<Lineage, StoreError> {
    let drive = drive_row(read, id)?;
    let standings = versions.iter().map(|version| standing(read, &drive, version.seq, version.commit));
    Ok(Lineage {
        head: head_of(read, &drive)?,
        floor: read.thinned(id)?.floor,
        forks: forks_of(read, id)?,
        standings: standings.collect::<Result<_, _>>()?,
    })
}

fn forks_of(read: &(impl Read + ?Sized), drive: DriveId) -> Result<Vec<Fork>, StoreError> {
    let Some(bytes) = read.setting(&setting_of(drive))? else { return Ok(Vec::new()) };
    minicbor::decode(&bytes).map_err(|error| StoreError::Damaged(format!("the lineage of drive {drive}: {error}")))
}

fn setting_of(drive: DriveId) -> String {
    format!("{LINEAGE}{drive}")
}
