//! Staging: the bytes of a batch are fetched, checked and written beside, before anything of the person is touched.
//!
//! Memory does not grow with files: their chunks are fetched in pages, in the order of the files, and written page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use skep_content::{Block, ChunkRef, Manifest};
use skep_planner::{ApplyError, ApplyKind, ApplyOperation};
use skep_platform::{Entropy, Files, Lane, offload};
use skep_protocol::Code;
use skep_types::{ChunkId, Content, ContentId, FileContent, ListId, Mode, Name};

use super::Shared;
use super::apply::{Staged, apply_error};
use super::nearby::Nearby;
use crate::call::{CallError, next_block};
use crate::root::from_io;
use crate::world::World;

/// Plain bytes that are fetched by one call and held until they are written.
const PAGE_BYTES_MAX: u64 = 8 << 20;
/// Left free on the disk at least, if an eighth of what is free is more.
const RESERVE_BYTES: u64 = 64 << 20;

/// Room on the disk that is promised to a batch while its files are fetched.
struct Promise {
    of: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file to be staged.
struct Plan {
    /// For which operation.
    operation: usize,
    /// Under which name.
    name: Name,
    content: FileContent,
    mode: Mode,
    manifest: Arc<Manifest>,
}

/// What to do next, in the order of the files.
#[derive(Clone)]
enum Item {
    Begin(usize),
    Chunk(usize, ChunkRef),
    End(usize),
}

/// Where writing stands between two pages.
struct Writing<F: Files> {
    open: Option<F::Writer>,
    /// By plan: why it failed.
    failed: BTreeMap<usize, ApplyError>,
}

impl<M: World> Shared<M> {
    /// Writes the files that `operations` bring into the staging area; for each operation, what came of it.
    pub(super) async fn stage(self: &Arc<Self>, operations: &[ApplyOperation]) -> Vec<Staged> {
        let mut staged: Vec<Staged> = operations.iter().map(|_| None).collect();
        let wanted: Vec<(usize, FileContent, Mode)> = operations
            .iter()
            .enumerate()
            .filter_map(|(index, operation)| brings(&operation.kind).map(|(content, mode)| (index, content, mode)))
            .collect();
        if wanted.is_empty() {
            return staged;
        }
        let (fitting, promised) = self.fitting(wanted, &mut staged).await;
        let plans = Arc::new(self.plans(fitting, &mut staged).await);
        let nearby = self.nearby(operations).await;
        let mut writing = Writing { open: None, failed: BTreeMap::new() };
        let mut unreachable = None;
        let firsts = plans.iter().filter_map(|plan| plan.manifest.chunks.first()).map(|chunk| chunk.id).collect();
        for page in pages(&plans, self.limits.chunk_query_max) {
            let chunks = self.chunks_of(&page, &nearby, &firsts, &mut unreachable).await;
            let missing = unreachable.clone().unwrap_or(ApplyError::MissingContent);
            let (shared, plans) = (self.clone(), plans.clone());
            let written = offload(self.world.tasks(), Lane::Disk, move || {
                shared.write_page(&plans, &page, &chunks, &missing, &mut writing);
                writing
            });
            match written.await {
                Ok(state) => writing = state,
                // The program is ending.
                Err(_) => return staged,
            }
        }
        // What was written takes its room by itself now.
        drop(promised);
        for (index, plan) in plans.iter().enumerate() {
            staged[plan.operation] = Some(match writing.failed.remove(&index) {
                None => Ok(plan.name.clone()),
                Some(error) => Err(error),
            });
        }
        staged
    }

    /// Those that fit on the disk, the first first.
    async fn fitting(
        self: &Arc<Self>,
        wanted: Vec<(usize, FileContent, Mode)>,
        staged: &mut [Staged],
    ) -> (Vec<(usize, FileContent, Mode)>, Promise) {
        let shared = self.clone();
        let free = offload(self.world.tasks(), Lane::Disk, move || shared.root.files.free_bytes()).await;
        // What cannot be asked is found out by writing.
        let free = free.ok().and_then(Result::ok).unwrap_or(u64::MAX);
        let free = free - RESERVE_BYTES.min(free / 8);
        // Another batch may be staged at the same time.
        let mut room = free.saturating_sub(self.promised.load(Ordering::Relaxed));
        let mut promised = 0;
        let mut fitting = Vec::with_capacity(wanted.len());
        for (operation, content, mode) in wanted {
            if content.size > room {
                let too_big = ApplyError::TooBig { needed_bytes: content.size, free_bytes: room };
                staged[operation] = Some(Err(too_big));
            } else {
                room -= content.size;
                promised += content.size;
                fitting.push((operation, content, mode));
            }
        }
        self.promised.fetch_add(promised, Ordering::Relaxed);
        (fitting, Promise { of: self.promised.clone(), bytes: promised })
    }

    /// Finds the chunks of each file. Whoever's list cannot be had fails.
    async fn plans(&self, wanted: Vec<(usize, FileContent, Mode)>, staged: &mut [Staged]) -> Vec<Plan> {
        let mut unknown: BTreeSet<ListId> = BTreeSet::new();
        for (_, content, _) in &wanted {
            if let ContentId::List(list) = content.id
                && self.cache().manifests.get(&content.id).is_none()
            {
                unknown.insert(list);
            }
        }
        let unknown: Vec<ListId> = unknown.into_iter().collect();
        let mut failure = ApplyError::MissingContent;
        let mut fetched: BTreeMap<ListId, Arc<Manifest>> = BTreeMap::new();
        if !unknown.is_empty() {
            match self.server.manifests(&unknown).await {
                Ok(found) => {
                    for (list, manifest) in found {
                        let manifest = Arc::new(manifest);
                        self.keep_manifest(ContentId::List(list), manifest.clone());
                        fetched.insert(list, manifest);
                    }
                }
                Err(error) => failure = fetch_error(&error),
            }
        }
        let batch: [u8; 8] = self.world.entropy().bytes();
        let batch = u64::from_be_bytes(batch);
        let mut plans = Vec::with_capacity(wanted.len());
        for (operation, content, mode) in wanted {
            let manifest = match content.id {
                ContentId::Empty => Some(Arc::default()),
                ContentId::Chunk(id) => u32::try_from(content.size)
                    .ok()
                    .map(|length| Arc::new(Manifest { chunks: vec![ChunkRef { id, length }] })),
                ContentId::List(list) => {
                    fetched.get(&list).cloned().or_else(|| self.cache().manifests.get(&content.id))
                }
            };
            match manifest {
                Some(manifest) if manifest.length() == content.size => {
                    let name = format!("{batch:016x}.{operation}");
                    let name = Name::new(name).expect("digits and a dot are a name");
                    plans.push(Plan { operation, name, content, mode, manifest });
                }
                Some(_) => staged[operation] = Some(Err(ApplyError::MissingContent)),
                None => staged[operation] = Some(Err(failure.clone())),
            }
        }
        plans
    }

    /// The chunks that `page` needs, as far as they can be had. Once the server cannot be reached, it is not asked again.
    async fn chunks_of(
        self: &Arc<Self>,
        page: &[Item],
        nearby: &Nearby,
        firsts: &BTreeSet<ChunkId>,
        unreachable: &mut Option<ApplyError>,
    ) -> BTreeMap<ChunkId, Bytes> {
        let mut chunks = BTreeMap::new();
        let mut needed = BTreeSet::new();
        for item in page {
            let Item::Chunk(_, chunk) = item else { continue };
            match self.cache().chunks.get(&chunk.id) {
                Some(bytes) => drop(chunks.insert(chunk.id, bytes)),
                None => drop(needed.insert(chunk.id)),
            }
        }
        self.read_nearby(nearby, &mut needed, &mut chunks).await;
        if needed.is_empty() || unreachable.is_some() {
            return chunks;
        }
        if let Err(error) = self.fetch(&mut needed, firsts, &mut chunks).await {
            tracing::info!(%error, "content could not be fetched");
            match fetch_error(&error) {
                ApplyError::MissingContent => {}
                other => *unreachable = Some(other),
            }
        }
        chunks
    }

    async fn fetch(
        &self,
        needed: &mut BTreeSet<ChunkId>,
        firsts: &BTreeSet<ChunkId>,
        chunks: &mut BTreeMap<ChunkId, Bytes>,
    ) -> Result<(), CallError> {
        let mut frames = self.server.fetch(needed.iter().copied().collect()).await?;
        while let Some(block) = next_block(&mut frames, &self.limits).await? {
            for (id, bytes) in self.open_block(block).await? {
                if needed.remove(&id) {
                    chunks.insert(id, bytes);
                } else if firsts.contains(&id) {
                    // A small file of a later page came along in this block.
                    self.keep_chunks(vec![(id, bytes)]);
                }
            }
        }
        Ok(())
    }

    /// The chunks of a block; none of a damaged one: then they are missing, and the rest of the answer still counts.
    async fn open_block(&self, block: Block) -> Result<Vec<(ChunkId, Bytes)>, CallError> {
        let limits = self.limits;
        let opened = offload(self.world.tasks(), Lane::Zstd, move || block.open(&limits)).await;
        let opened = opened.map_err(|gone| CallError::Unreachable(gone.to_string()))?;
        Ok(opened.unwrap_or_else(|error| {
            tracing::warn!(%error, "a fetched block is damaged");
            Vec::new()
        }))
    }

    fn write_page(
        &self,
        plans: &[Plan],
        page: &[Item],
        chunks: &BTreeMap<ChunkId, Bytes>,
        missing: &ApplyError,
        writing: &mut Writing<M::Files>,
    ) {
        for item in page {
            let (Item::Begin(index) | Item::Chunk(index, _) | Item::End(index)) = *item;
            if writing.failed.contains_key(&index) {
                continue;
            }
            if let Err(error) = self.write_item(&plans[index], item, chunks, missing, &mut writing.open) {
                writing.open = None;
                writing.failed.insert(index, error);
                // What cannot be removed now is removed at the next start.
                let _ = self.root.files.remove_file(&self.root.staging, &plans[index].name);
            }
        }
    }

    fn write_item(
        &self,
        plan: &Plan,
        item: &Item,
        chunks: &BTreeMap<ChunkId, Bytes>,
        missing: &ApplyError,
        open: &mut Option<<M::Files as Files>::Writer>,
    ) -> Result<(), ApplyError> {
        let (files, staging) = (&self.root.files, &self.root.staging);
        match item {
            Item::Begin(_) => *open = Some(files.create(staging, &plan.name).map_err(apply_error)?),
            Item::Chunk(_, chunk) => {
                let bytes = chunks.get(&chunk.id).ok_or_else(|| missing.clone())?;
                if bytes.len() != chunk.length as usize {
                    return Err(ApplyError::MissingContent);
                }
                let writer = open.as_mut().expect("a file is begun before its chunks");
                writer.write_all(bytes).map_err(|error| apply_error(from_io(&error)))?;
            }
            Item::End(_) => {
                let mut writer = open.take().expect("a file is begun before it ends");
                writer.flush().map_err(|error| apply_error(from_io(&error)))?;
                drop(writer);
                if plan.mode.executable {
                    files.set_executable(staging, &plan.name, true).map_err(apply_error)?;
                }
                files.set_mtime(staging, &plan.name, plan.content.mtime).map_err(apply_error)?;
            }
        }
        Ok(())
    }
}

/// The file that an operation brings, if it brings one.
fn brings(kind: &ApplyKind) -> Option<(FileContent, Mode)> {
    match kind {
        ApplyKind::Create { content: Content::File(file), mode, .. }
        | ApplyKind::Replace { content: Content::File(file), mode, .. } => Some((*file, *mode)),
        _ => None,
    }
}

/// Cuts the work into pages that are fetched and written one after the other.
fn pages(plans: &[Plan], chunks_max: usize) -> Vec<Vec<Item>> {
    let mut pages = vec![Vec::new()];
    let (mut bytes, mut chunks) = (0, 0);
    let mut put = |item: Item, length: u64| {
        if chunks > 0 && length > 0 && (bytes + length > PAGE_BYTES_MAX || chunks == chunks_max.max(1)) {
            (bytes, chunks) = (0, 0);
            pages.push(Vec::new());
        }
        bytes += length;
        chunks += usize::from(length > 0);
        pages.last_mut().expect("there is always a page").push(item);
    };
    for (index, plan) in plans.iter().enumerate() {
        put(Item::Begin(index), 0);
        for chunk in &plan.manifest.chunks {
            put(Item::Chunk(index, *chunk), u64::from(chunk.length));
        }
        put(Item::End(index), 0);
    }
    pages
}

/// How a failed fetch is told to the engine.
fn fetch_error(error: &CallError) -> ApplyError {
    match error {
        CallError::Refused(reply) if matches!(reply.code, Code::NotFound | Code::Damaged) => ApplyError::MissingContent,
        CallError::Malformed(_) => ApplyError::MissingContent,
        _ => ApplyError::Unreachable,
    }
}
