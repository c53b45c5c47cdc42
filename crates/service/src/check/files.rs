//! Every content that a node or a version of one drive names: held, readable, of the right size; and the paths of what is not.

use std::collections::BTreeMap;

use skep_metastore::{Drive, Read, StoreError};
use skep_types::{ChunkId, Content, ContentId, FileContent, ListId, Name, NodeId, NodeState};

use super::{FindingCode, Lacking, LostFile, LostVersion, Report, each_entry, each_node};

/// Directories that a path is followed up through; a cycle ends there too.
const PATH_DEPTH_MAX: usize = 1024;

/// Looks at the contents of all nodes, then at those of older versions.
pub(super) fn check_files(
    read: &dyn Read,
    drive: &Drive,
    lacking: &Lacking,
    report: &mut Report,
) -> Result<(), StoreError> {
    let account = read.account(drive.owner)?;
    let account = account.map_or_else(|| drive.owner.to_string(), |account| account.name);
    let mut files = Files { read, drive, account, lacking, lists: BTreeMap::new(), report };
    each_node(read, drive.id, |state| files.look(&state, LostVersion::Current))?;
    each_entry(read, drive.id, |entry| match entry.changed.content {
        true => files.look(&entry.state, LostVersion::Older),
        false => Ok(()),
    })
}

struct Files<'a> {
    read: &'a dyn Read,
    drive: &'a Drive,
    account: String,
    lacking: &'a Lacking,
    /// The lists that were looked at, and what they are good for: many versions name the same one.
    lists: BTreeMap<ListId, Judged>,
    report: &'a mut Report,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// Held and readable, so many bytes.
    Whole(u64),
    /// Not held, or in part unreadable.
    Lost,
}

impl Files<'_> {
    fn look(&mut self, state: &NodeState, version: LostVersion) -> Result<(), StoreError> {
        let Content::File(file) = &state.content else { return Ok(()) };
        let version = match version {
            // The newest version is in the journal too; it is told once, as what it is.
            LostVersion::Older => {
                let now = self.read.view(self.drive.id)?.node(state.node).ok().flatten();
                if now.is_some_and(|now| now.content_version == state.content_version) {
                    return Ok(());
                }
                version
            }
            _ => version,
        };
        let judged = self.judge(file)?;
        if judged == Judged::Whole(file.size) {
            return Ok(());
        }
        let (path, in_trash) = self.path(state)?;
        if let Judged::Whole(size) = judged {
            let what = format!("`{path}` of {} should have {} bytes, its content has {size}.", self.account, file.size);
            self.report.find(FindingCode::Metadata, what);
        }
        let version = if in_trash && version == LostVersion::Current { LostVersion::InTrash } else { version };
        self.report.lose(LostFile { account: self.account.clone(), path, node: state.node, version });
        Ok(())
    }

    fn judge(&mut self, file: &FileContent) -> Result<Judged, StoreError> {
        match file.id {
            ContentId::Empty => Ok(Judged::Whole(0)),
            ContentId::Chunk(chunk) => self.judge_chunks(&[chunk]),
            ContentId::List(list) => {
                if let Some(judged) = self.lists.get(&list) {
                    return Ok(*judged);
                }
                let judged = match self.read.manifest(self.drive.id, list)? {
                    Some(manifest) if manifest.list_id() == list => {
                        let chunks: Vec<ChunkId> = manifest.chunks.iter().map(|chunk| chunk.id).collect();
                        self.judge_chunks(&chunks)?
                    }
                    found => {
                        let how = if found.is_some() { "is not what its id says" } else { "is missing" };
                        let what = format!("In drive {} the list of chunks {list} {how}.", self.drive.id);
                        self.report.find(FindingCode::Metadata, what);
                        Judged::Lost
                    }
                };
                self.lists.insert(list, judged);
                Ok(judged)
            }
        }
    }

    fn judge_chunks(&mut self, chunks: &[ChunkId]) -> Result<Judged, StoreError> {
        let mut bytes = 0;
        for (chunk, row) in chunks.iter().zip(self.read.chunk_rows(self.drive.id, chunks)?) {
            match row {
                // What counts as damaged was read with the others: if it could be, it only has to be said.
                Some(row) if !self.lacking.contains(&(self.drive.id, *chunk)) => bytes += u64::from(row.place.length),
                _ => return Ok(Judged::Lost),
            }
        }
        Ok(Judged::Whole(bytes))
    }

    /// Where a node stands, and whether it or a directory above it is in the trash.
    fn path(&self, state: &NodeState) -> Result<(String, bool), StoreError> {
        let view = self.read.view(self.drive.id)?;
        let (mut names, mut in_trash) = (vec![state.place.name.clone()], state.place.trashed);
        let mut at = state.place.parent;
        while at != NodeId::ROOT && names.len() < PATH_DEPTH_MAX {
            let Some(above) = view.node(at).ok().flatten() else { break };
            in_trash |= above.place.trashed;
            at = above.place.parent;
            names.push(above.place.name);
        }
        names.reverse();
        let path = names.iter().map(Name::display).collect::<Vec<_>>().join("/");
        // Names come from people: nothing in them may steer a terminal.
        Ok((path.replace(char::is_control, "\u{fffd}"), in_trash))
    }
}
