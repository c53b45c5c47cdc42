//! Reading and hashing files.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use skep_content::{ChunkRef, Manifest, chunk_id};
use skep_planner::{Event, Location, ReadError, ReadRequest, ReadResult};
use skep_platform::{Clock, FileError, FileErrorKind, Files, Lane, offload};
use skep_types::{ChunkId, Name, NodeId};

use super::Shared;
use crate::root::from_io;
use crate::world::World;

/// Small files are read in groups, one job each: at most so many,
const GROUP_FILES_MAX: usize = 64;
/// and so many bytes.
const GROUP_BYTES_MAX: u64 = 4 << 20;

/// Cuts `requests` into groups that are read by one job.
pub(super) fn groups(requests: Vec<ReadRequest>) -> Vec<Vec<ReadRequest>> {
    let mut groups: Vec<Vec<ReadRequest>> = Vec::new();
    let mut bytes = 0;
    for request in requests {
        bytes += request.size;
        match groups.last_mut() {
            Some(group) if group.len() < GROUP_FILES_MAX && bytes <= GROUP_BYTES_MAX => group.push(request),
            _ => {
                bytes = request.size;
                groups.push(vec![request]);
            }
        }
    }
    groups
}

/// A file that was read.
pub(super) struct FileRead {
    pub(super) manifest: Manifest,
    pub(super) result: ReadResult,
    /// Its chunks, if it is small.
    small: Vec<(ChunkId, Bytes)>,
}

impl<M: World> Shared<M> {
    pub(super) async fn read_group(self: &Arc<Self>, group: Vec<ReadRequest>) -> Vec<Event> {
        let shared = self.clone();
        let nodes: Vec<NodeId> = group.iter().map(|request| request.node).collect();
        let read = offload(self.world.tasks(), Lane::Hash, move || {
            let results = group
                .iter()
                .map(|request| shared.read_file(&request.at).map(|read| shared.remember(read)).map_err(read_error));
            results.collect::<Vec<_>>()
        });
        let results = read.await.unwrap_or_else(|_| vec![Err(ReadError::Failed); nodes.len()]);
        nodes.into_iter().zip(results).map(|(node, result)| Event::Read { node, result }).collect()
    }

    /// Reads and hashes the file at `at`; an error of kind [`FileErrorKind::Exists`] says that it changed meanwhile.
    pub(super) fn read_file(&self, at: &Location) -> Result<FileRead, FileError> {
        let dir = self.root.files.open_dir(&self.root.dir, &at.dir)?;
        self.read_entry(&dir, &at.name)
    }

    /// Reads and hashes the file `name` of an open directory.
    pub(super) fn read_entry(&self, dir: &<M::Files as Files>::Dir, name: &Name) -> Result<FileRead, FileError> {
        let files = &self.root.files;
        let (mut reader, before) = files.read(dir, name)?;
        let mut manifest = Manifest::default();
        let mut small = Vec::new();
        let keeps_bytes = before.size <= self.limits.inline_bytes_max as u64;
        let mut buffer = Vec::new();
        let mut at_end = false;
        while !at_end || !buffer.is_empty() {
            let wanted = self.limits.chunk_bytes_max - buffer.len().min(self.limits.chunk_bytes_max);
            if !at_end && wanted > 0 {
                let read = reader.by_ref().take(wanted as u64).read_to_end(&mut buffer);
                at_end = read.map_err(|error| from_io(&error))? < wanted;
            }
            let length = if at_end { self.chunker.cut_at_end(&buffer) } else { self.cut(&buffer) };
            if length == 0 {
                continue;
            }
            let id = chunk_id(&buffer[..length]);
            let chunk_length = u32::try_from(length).expect("a chunk is at most chunk_bytes_max long");
            manifest.chunks.push(ChunkRef { id, length: chunk_length });
            if keeps_bytes {
                small.push((id, Bytes::copy_from_slice(&buffer[..length])));
            }
            buffer.drain(..length);
        }
        let at = self.world.clock().now();
        let after = files.stat_reader(&reader)?;
        if after != before || manifest.length() != after.size {
            return Err(FileError::new(FileErrorKind::Exists, "it changed while it was read"));
        }
        let result = ReadResult { content: manifest.content_id(), size: after.size, stat: after, at };
        Ok(FileRead { manifest, result, small })
    }

    /// Keeps what the commit that follows will need.
    pub(super) fn remember(&self, read: FileRead) -> ReadResult {
        self.keep_manifest(read.result.content, Arc::new(read.manifest));
        self.keep_chunks(read.small);
        read.result
    }

    /// The next chunk of a buffer that is as long as any chunk.
    fn cut(&self, buffer: &[u8]) -> usize {
        self.chunker.cut(buffer).expect("a buffer of chunk_bytes_max bytes has a cut")
    }
}

fn read_error(error: FileError) -> ReadError {
    match error.kind {
        FileErrorKind::NotFound | FileErrorKind::WrongKind => ReadError::Gone,
        FileErrorKind::Exists => ReadError::Busy,
        FileErrorKind::Denied => ReadError::Denied,
        _ => ReadError::Failed,
    }
}
