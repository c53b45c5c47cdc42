//! What the folder remembers: where the journal ended when it and the server were equal last, in `.skep/synced`.
//!
//! The state knows more, but it may be lost, or the folder be brought back from a backup or copied to another computer without it. Then the
//! server tells how its nodes were at that time, and what happened since on either side is known again
//! ([`skep_planner::Beginning::Relink`]).

use std::io::{Read, Write};
use std::sync::Arc;

use skep_planner::Event;
use skep_platform::{Files, Lane, RenameMode, offload};
use skep_protocol::{Code, Reply, Request};
use skep_types::{DriveId, NodeId, Seq, Standing, Version};

use super::{Driver, Signal};
use crate::call::{CallError, unexpected};
use crate::root::{Root, RootError, from_io, name, remove_if_there};
use crate::world::World;

/// First line: this layout.
const HEAD: &str = "skep synced 1";
/// What is longer is not ours.
const BYTES_MAX: u64 = 4096;
/// It is written at most so often: whoever loses the state as well finds a few changes more than need be.
const WRITE_EVERY_MS: u64 = 1_000;
const FILE: &str = "synced";
const NEW_FILE: &str = "synced.new";

impl<F: Files> Root<F> {
    /// The last entry of the journal of `drive` that was taken when folder and server were equal; `None` if the folder does not tell.
    fn agreed(&self, drive: DriveId) -> Option<Version> {
        let (reader, _) = self.files.read(&self.own, &name(FILE)).ok()?;
        let mut text = String::new();
        reader.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        let mut lines = text.strip_suffix('\n')?.lines();
        let mut value = |field: &str| lines.next()?.strip_prefix(field)?.strip_prefix(' ');
        (value("skep")? == HEAD.strip_prefix("skep ")?).then_some(())?;
        (value("drive")?.parse::<DriveId>().ok()? == drive).then_some(())?;
        let seq = Seq(value("seq")?.parse().ok()?);
        Some(Version { seq, commit: value("commit")?.parse().ok()? })
    }

    /// Writes that down. No power cut needs to be outlived: what is torn does not count, and what is old is only less.
    fn set_agreed(&self, drive: DriveId, at: Version) -> Result<(), RootError> {
        let (files, own) = (&self.files, &self.own);
        let (file, new) = (name(FILE), name(NEW_FILE));
        remove_if_there(files, own, &new)?;
        let mut writer = files.create(own, &new)?;
        let text = format!("{HEAD}\ndrive {drive}\nseq {}\ncommit {}\n", at.seq, at.commit);
        writer.write_all(text.as_bytes()).map_err(|error| from_io(&error))?;
        drop(writer);
        remove_if_there(files, own, &file)?;
        Ok(files.rename(own, &new, own, &file, RenameMode::NoReplace)?)
    }
}

impl<M: World> Driver<M> {
    /// Has the folder remember when it was equal to the server.
    pub(super) async fn remember(self: Arc<Self>) {
        let mut agreed = self.agreed.subscribe();
        while let Some(Ok(())) = self.unless_stopping(agreed.changed()).await {
            self.write_agreed().await;
            self.unless_stopping(self.sleep(WRITE_EVERY_MS)).await;
        }
    }

    /// Writes down what is not yet.
    pub(super) async fn write_agreed(&self) {
        let Some(at) = self.agreed.borrow().filter(|at| *self.written.borrow() != Some(*at)) else { return };
        let (root, drive) = (self.executor().root().clone(), self.identity.drive);
        match offload(self.world.tasks(), Lane::Disk, move || root.set_agreed(drive, at)).await {
            Ok(Ok(())) => {
                self.written.send_replace(Some(at));
            }
            Ok(Err(error)) => tracing::info!(%error, "the folder cannot remember when it was equal to the server"),
            Err(_) => {}
        }
    }

    /// For a device that knows nothing, but whose folder remembers: tells the engine how the nodes that changed since were when both were equal;
    /// where the journal ended then. `None` if the folder or the server does not tell.
    pub(super) async fn recall(&self) -> Result<Option<Seq>, CallError> {
        let (root, drive) = (self.executor().root().clone(), self.identity.drive);
        let told = offload(self.world.tasks(), Lane::Disk, move || root.agreed(drive)).await;
        let Ok(Some(agreed)) = told else { return Ok(None) };
        if self.server.compare(vec![agreed]).await?.standings.first() != Some(&Standing::Held) {
            return Ok(None);
        }
        let (at, then) = (skep_types::Timestamp::default(), Some(agreed.seq));
        let mut after = None;
        loop {
            let request = Request::Pasts { drive, directory: NodeId::ROOT, at, then, after };
            let page = match self.server.ask(&request).await {
                Ok((Reply::Pasts(page), _)) => page,
                Ok((other, _)) => return Err(unexpected(&other)),
                Err(CallError::Refused(reply)) if reply.code == Code::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let was_there = page.nodes.into_iter().filter(|past| !past.trashed_then);
            let rows = was_there.filter_map(|past| past.then).collect();
            self.tell(Signal::Event(Event::PastRows { rows })).await;
            if page.next.is_some() && page.next <= after {
                return Err(CallError::Malformed("the pages of the past do not go on".into()));
            }
            after = page.next;
            if after.is_none() {
                tracing::warn!(since = %agreed.seq, "the state was lost: going on from when the folder was equal to the server");
                return Ok(Some(agreed.seq));
            }
        }
    }
}
