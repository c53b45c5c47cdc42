//! Reading and hashing files.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use skep_content::{ChunkRef, Chunker, Manifest, chunk_id};
use skep_planner::{Event, Location, ReadError, ReadRequest, ReadResult};
use skep_platform::{Clock, FileError, FileErrorKind, Files, Lane, offload};
use skep_types::{ChunkId, Limits, Name, NodeId, Stat, Timestamp};

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
        let mut reading = FileReading::begin(files, dir, name, self.limits.inline_bytes_max as u64)?;
        while reading.step(&self.chunker, &self.limits)? {}
        reading.finish(files, self.world.clock().now())
    }

    /// Keeps what the commit that follows will need.
    pub(super) fn remember(&self, read: FileRead) -> ReadResult {
        self.keep_manifest(read.result.content, Arc::new(read.manifest));
        self.keep_chunks(read.small);
        read.result
    }
}

/// A file that is being read and hashed.
pub(super) struct FileReading<F: Files> {
    reader: F::Reader,
    before: Stat,
    manifest: Manifest,
    /// Its chunks, if it is small.
    small: Vec<(ChunkId, Bytes)>,
    keeps_bytes: bool,
    buffer: Vec<u8>,
    bytes_read: u64,
    at_end: bool,
}

impl<F: Files> FileReading<F> {
    /// Opens the file `name` of a directory. The bytes of one of at most `keep_bytes_max` are kept.
    pub(super) fn begin(files: &F, dir: &F::Dir, name: &Name, keep_bytes_max: u64) -> Result<Self, FileError> {
        let (reader, before) = files.read(dir, name)?;
        let keeps_bytes = before.size <= keep_bytes_max;
        let (manifest, small, buffer) = (Manifest::default(), Vec::new(), Vec::new());
        Ok(FileReading { reader, before, manifest, small, keeps_bytes, buffer, bytes_read: 0, at_end: false })
    }

    /// Bytes that were read and cut so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Whether all is read.
    pub(super) fn is_done(&self) -> bool {
        self.at_end && self.buffer.is_empty()
    }

    /// Reads on, up to the next chunk's end; false at the end of the file.
    pub(super) fn step(&mut self, chunker: &Chunker, limits: &Limits) -> Result<bool, FileError> {
        if self.is_done() {
            return Ok(false);
        }
        let wanted = limits.chunk_bytes_max - self.buffer.len().min(limits.chunk_bytes_max);
        if !self.at_end && wanted > 0 {
            let read = self.reader.by_ref().take(wanted as u64).read_to_end(&mut self.buffer);
            self.at_end = read.map_err(|error| from_io(&error))? < wanted;
        }
        let length = match self.at_end {
            true => chunker.cut_at_end(&self.buffer),
            false => chunker.cut(&self.buffer).expect("a buffer of chunk_bytes_max bytes has a cut"),
        };
        if length > 0 {
            let id = chunk_id(&self.buffer[..length]);
            let chunk_length = u32::try_from(length).expect("a chunk is at most chunk_bytes_max long");
            self.bytes_read += u64::from(chunk_length);
            self.manifest.chunks.push(ChunkRef { id, length: chunk_length });
            if self.keeps_bytes {
                self.small.push((id, Bytes::copy_from_slice(&self.buffer[..length])));
            }
            self.buffer.drain(..length);
        }
        Ok(!self.is_done())
    }

    /// What was read, if the file held still; an error of kind [`FileErrorKind::Exists`] says that it did not. It is `at` now.
    pub(super) fn finish(self, files: &F, at: Timestamp) -> Result<FileRead, FileError> {
        let after = files.stat_reader(&self.reader)?;
        if after != self.before || self.manifest.length() != after.size {
            return Err(FileError::new(FileErrorKind::Exists, "it changed while it was read"));
        }
        let result = ReadResult { content: self.manifest.content_id(), size: after.size, stat: after, at };
        Ok(FileRead { manifest: self.manifest, result, small: self.small })
    }
}

pub(super) fn read_error(error: FileError) -> ReadError {
    match error.kind {
        FileErrorKind::NotFound | FileErrorKind::WrongKind => ReadError::Gone,
        FileErrorKind::Exists => ReadError::Busy,
        FileErrorKind::Denied => ReadError::Denied,
        _ => ReadError::Failed,
    }
}
