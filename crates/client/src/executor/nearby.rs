//! Chunks that stand on this disk already, in a file that holds the same content or an older version: they are read, not fetched.
//!
//! Where they stand is a hint. A chunk counts only if its bytes hash to its id; what does not is fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use skep_content::{Manifest, chunk_id};
use skep_planner::{ApplyOperation, Location};
use skep_platform::{Files, Lane, offload};
use skep_types::{ChunkId, ContentId, ListId};

use super::Shared;
use crate::world::World;

/// Where chunks may be read.
#[derive(Default)]
pub(super) struct Nearby {
    files: Vec<Location>,
    chunks: BTreeMap<ChunkId, Range>,
}

#[derive(Clone, Copy)]
struct Range {
    /// Index of the file.
    file: usize,
    offset: u64,
    length: u32,
}

impl Nearby {
    fn add(&mut self, at: &Location, manifest: &Manifest) {
        let file = self.files.len();
        self.files.push(at.clone());
        let mut offset = 0;
        for chunk in &manifest.chunks {
            self.chunks.entry(chunk.id).or_insert(Range { file, offset, length: chunk.length });
            offset += u64::from(chunk.length);
        }
    }
}

impl<M: World> Shared<M> {
    /// Where chunks of what `operations` bring may stand. A list of chunks that cannot be had leaves its file out.
    pub(super) async fn nearby(&self, operations: &[ApplyOperation]) -> Nearby {
        let sources = || operations.iter().filter_map(|operation| operation.nearby.as_ref());
        let unknown: BTreeSet<ListId> = sources()
            .filter(|source| self.cache().manifests.get(&source.content.id).is_none())
            .filter_map(|source| match source.content.id {
                ContentId::List(list) => Some(list),
                ContentId::Empty | ContentId::Chunk(_) => None,
            })
            .collect();
        for list in unknown {
            // One by one: one that the server has let go of must not hide the others.
            match self.server.manifests(&[list]).await {
                Ok(found) => {
                    for (list, manifest) in found {
                        self.keep_manifest(ContentId::List(list), Arc::new(manifest));
                    }
                }
                Err(error) => tracing::debug!(%error, "no list of chunks of a file nearby"),
            }
        }
        let mut nearby = Nearby::default();
        for source in sources() {
            let manifest = self.cache().manifests.get(&source.content.id);
            if let Some(manifest) = manifest {
                nearby.add(&source.at, &manifest);
            }
        }
        nearby
    }

    /// Reads those of `needed` that stand nearby, and takes them out of it.
    pub(super) async fn read_nearby(
        self: &Arc<Self>,
        nearby: &Nearby,
        needed: &mut BTreeSet<ChunkId>,
        chunks: &mut BTreeMap<ChunkId, Bytes>,
    ) {
        let mut by_file: BTreeMap<usize, Vec<(ChunkId, Range)>> = BTreeMap::new();
        for id in needed.iter() {
            if let Some(range) = nearby.chunks.get(id) {
                by_file.entry(range.file).or_default().push((*id, *range));
            }
        }
        for (file, ranges) in by_file {
            let (shared, at) = (self.clone(), nearby.files[file].clone());
            let read = offload(self.world.tasks(), Lane::Hash, move || shared.read_ranges(&at, ranges));
            for (id, bytes) in read.await.unwrap_or_default() {
                needed.remove(&id);
                chunks.insert(id, bytes);
            }
        }
    }

    fn read_ranges(&self, at: &Location, mut ranges: Vec<(ChunkId, Range)>) -> Vec<(ChunkId, Bytes)> {
        let files = &self.root.files;
        let Ok(dir) = files.open_dir(&self.root.dir, &at.dir) else { return Vec::new() };
        ranges.sort_by_key(|(_, range)| range.offset);
        let read = ranges.into_iter().map_while(|(id, range)| {
            // The file may have gone: then the rest of it has, too.
            let bytes = files.read_range(&dir, &at.name, range.offset, range.length as usize).ok()?;
            Some((id, bytes))
        });
        let true_to_id = read.filter(|(id, bytes)| chunk_id(bytes) == *id);
        true_to_id.map(|(id, bytes)| (id, Bytes::from(bytes))).collect()
    }
}
