//! A disk for the model: inodes, names, and stats that change as Linux changes them.

use std::collections::{BTreeMap, BTreeSet};

use skep_planner::{
    ApplyError, ApplyKind, ApplyOperation, ApplyResult, Location, LookError, ReadError, ReadResult, Sight,
    is_ignore_file,
};
use skep_types::{Change, ChunkId, Content, ContentId, Kind, Name, Stat, Timestamp};

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    File(u64),
    Directory(BTreeMap<Name, u64>),
    Symlink(Vec<u8>),
    /// A socket, a device: nothing that is synced.
    Special,
}

#[derive(Debug, Clone)]
pub struct Inode {
    pub body: Body,
    pub mtime: Timestamp,
    pub ctime: Timestamp,
    pub birth: Timestamp,
    pub executable: bool,
}

#[derive(Debug)]
pub struct Disk {
    pub inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    pub clock_ms: u64,
    /// Contents that were displaced.
    pub safe: Vec<u64>,
    /// Directories that may not be listed.
    pub denied: BTreeSet<u64>,
    /// (directory inode, name) of entries that changed, for the watcher.
    pub changes: Vec<(u64, Name, Change)>,
}

pub const ROOT: u64 = 1;

pub fn content_id(content: u64) -> ContentId {
    if content == 0 {
        return ContentId::Empty;
    }
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&content.to_le_bytes());
    ContentId::Chunk(ChunkId::from_bytes(bytes))
}

pub fn content_of(id: &ContentId) -> u64 {
    match id {
        ContentId::Chunk(chunk) => u64::from_le_bytes(chunk.as_bytes()[..8].try_into().unwrap()),
        _ => 0,
    }
}

/// What a content is as the text of an ignore file.
pub const RULES_TEXTS: &[&str] =
    &["# nothing", "x\n", "*.o\n", "/d/\n", "x\n!x\n", "d/a\n", "x\nb[\n", "b/\n", "a\nb\nd\n", "*\n!a\n"];

fn rules_text(content: u64) -> &'static str {
    RULES_TEXTS[content as usize % RULES_TEXTS.len()]
}

impl Disk {
    pub fn new() -> Disk {
        let mut disk = Disk {
            inodes: BTreeMap::new(),
            next_inode: ROOT,
            clock_ms: 1000,
            safe: Vec::new(),
            denied: BTreeSet::new(),
            changes: Vec::new(),
        };
        disk.make(Body::Directory(BTreeMap::new()));
        disk
    }

    fn now(&self) -> Timestamp {
        Timestamp::default().plus_milliseconds(self.clock_ms)
    }

    pub fn make(&mut self, body: Body) -> u64 {
        self.clock_ms += 1;
        let (inode, now) = (self.next_inode, self.now());
        self.next_inode += 1;
        self.inodes.insert(inode, Inode { body, mtime: now, ctime: now, birth: now, executable: false });
        inode
    }

    pub fn entries(&self, dir: u64) -> BTreeMap<Name, u64> {
        match self.inodes.get(&dir).map(|inode| &inode.body) {
            Some(Body::Directory(entries)) => entries.clone(),
            _ => BTreeMap::new(),
        }
    }

    pub fn get(&self, dir: u64, name: &Name) -> Option<u64> {
        self.entries(dir).get(name).copied()
    }

    /// Puts an inode at a place, or nothing there; what was there is given back.
    pub fn put(&mut self, dir: u64, name: &Name, inode: Option<u64>) -> Option<u64> {
        self.clock_ms += 1;
        let now = self.now();
        let Some(Inode { body: Body::Directory(entries), .. }) = self.inodes.get_mut(&dir) else { return None };
        let old = match inode {
            Some(inode) => entries.insert(name.clone(), inode),
            None => entries.remove(name),
        };
        for touched in [inode, old].into_iter().flatten() {
            self.inodes.get_mut(&touched).unwrap().ctime = now;
        }
        self.changes.push((dir, name.clone(), Change::Entry));
        old
    }

    pub fn write(&mut self, inode: u64, content: u64) {
        self.clock_ms += 1;
        let now = self.now();
        let file = self.inodes.get_mut(&inode).unwrap();
        file.body = Body::File(content);
        (file.mtime, file.ctime) = (now, now);
    }

    /// The disk damages a file: nothing in its stat tells.
    pub fn rot(&mut self, inode: u64, content: u64) {
        self.inodes.get_mut(&inode).unwrap().body = Body::File(content);
    }

    /// A user's edit, which the watcher sees.
    pub fn edit(&mut self, dir: u64, name: &Name, inode: u64, content: u64) {
        self.write(inode, content);
        self.changes.push((dir, name.clone(), Change::Bytes));
    }

    /// A user turns the executable bit over.
    pub fn chmod(&mut self, dir: u64, name: &Name, inode: u64) {
        self.clock_ms += 1;
        let now = self.now();
        let found = self.inodes.get_mut(&inode).unwrap();
        found.executable = !found.executable;
        found.ctime = now;
        self.changes.push((dir, name.clone(), Change::Entry));
    }

    pub fn stat(&self, inode: u64) -> Stat {
        let found = &self.inodes[&inode];
        let (kind, size) = match &found.body {
            Body::File(content) => (Some(Kind::File), if *content == 0 { 0 } else { 1 }),
            Body::Directory(_) => (Some(Kind::Directory), 0),
            Body::Symlink(target) => (Some(Kind::Symlink), target.len() as u64),
            Body::Special => (None, 0),
        };
        Stat {
            kind,
            inode,
            links: 1,
            size,
            mtime: found.mtime,
            ctime: found.ctime,
            birth: Some(found.birth),
            executable: found.executable,
        }
    }

    pub fn dir(&self, path: &[Name]) -> Option<u64> {
        path.iter().try_fold(ROOT, |dir, name| {
            let inode = self.get(dir, name)?;
            matches!(self.inodes[&inode].body, Body::Directory(_)).then_some(inode)
        })
    }

    pub fn look(&self, path: &[Name], names: Option<&[Name]>) -> Result<(Stat, Vec<Sight>), LookError> {
        let dir = self.dir(path).ok_or(LookError::Gone)?;
        if self.denied.contains(&dir) {
            return Err(LookError::Denied);
        }
        let entries = self.entries(dir);
        let names: Vec<Name> = names.map_or_else(|| entries.keys().cloned().collect(), <[Name]>::to_vec);
        let sight = |name: Name| {
            let inode = entries.get(&name);
            let target = inode.and_then(|inode| match &self.inodes[inode].body {
                Body::Symlink(target) => Some(target.clone()),
                _ => None,
            });
            let text = inode.filter(|_| is_ignore_file(&name)).and_then(|inode| match self.inodes[inode].body {
                Body::File(content) => Some(rules_text(content).into()),
                _ => None,
            });
            Sight { stat: inode.map(|inode| self.stat(*inode)), name, target, text, own: None, spelled: None }
        };
        Ok((self.stat(dir), names.into_iter().map(sight).collect()))
    }

    pub fn read(&self, at: &Location) -> Result<ReadResult, ReadError> {
        let inode = self.dir(&at.dir).and_then(|dir| self.get(dir, &at.name)).ok_or(ReadError::Gone)?;
        let Body::File(content) = self.inodes[&inode].body else { return Err(ReadError::Gone) };
        let stat = self.stat(inode);
        Ok(ReadResult { content: content_id(content), size: stat.size, stat, at: self.now() })
    }

    /// As the executor does it: check, change, never lose.
    pub fn apply(&mut self, operation: &ApplyOperation) -> ApplyResult {
        match &operation.kind {
            ApplyKind::Create { at, content, mode } => {
                let dir = self.dir(&at.dir).ok_or(ApplyError::Changed)?;
                if self.get(dir, &at.name).is_some() {
                    return Err(ApplyError::Changed);
                }
                let inode = self.stage(content, mode.executable);
                self.put(dir, &at.name, Some(inode));
                Ok(Some(self.stat(inode)))
            }
            ApplyKind::Replace { at, content, mode, expected } => {
                let (dir, _) = self.expect(at, expected)?;
                let inode = self.stage(content, mode.executable);
                let old = self.put(dir, &at.name, Some(inode));
                self.keep(old.unwrap());
                Ok(Some(self.stat(inode)))
            }
            ApplyKind::Rename { from, to, expected } => {
                let (dir, inode) = self.expect(from, expected)?;
                let target = self.dir(&to.dir).ok_or(ApplyError::Changed)?;
                if self.get(target, &to.name).is_some() || self.contains(inode, target) {
                    return Err(ApplyError::Changed);
                }
                self.put(dir, &from.name, None);
                self.put(target, &to.name, Some(inode));
                Ok(Some(self.stat(inode)))
            }
            ApplyKind::Touch { at, content, mode, expected } => {
                let (_, inode) = self.expect(at, expected)?;
                self.clock_ms += 1;
                let now = self.now();
                let file = self.inodes.get_mut(&inode).unwrap();
                (file.mtime, file.ctime, file.executable) = (content.mtime, now, mode.executable);
                Ok(Some(self.stat(inode)))
            }
            ApplyKind::Remove { at, expected } => {
                let (dir, inode) = self.expect(at, expected)?;
                if !self.entries(inode).is_empty() {
                    return Err(ApplyError::NotEmpty);
                }
                self.put(dir, &at.name, None);
                self.keep(inode);
                Ok(None)
            }
        }
    }

    fn stage(&mut self, content: &Content, executable: bool) -> u64 {
        let body = match content {
            Content::File(file) => Body::File(content_of(&file.id)),
            Content::Symlink { target } => Body::Symlink(target.clone()),
            _ => Body::Directory(BTreeMap::new()),
        };
        let inode = self.make(body);
        let made = self.inodes.get_mut(&inode).unwrap();
        made.executable = executable;
        if let Content::File(file) = content {
            made.mtime = file.mtime;
        }
        inode
    }

    fn keep(&mut self, inode: u64) {
        if let Body::File(content) = self.inodes[&inode].body {
            self.safe.push(content);
        }
    }

    fn expect(&self, at: &Location, expected: &Stat) -> Result<(u64, u64), ApplyError> {
        let dir = self.dir(&at.dir).ok_or(ApplyError::Changed)?;
        let inode = self.get(dir, &at.name).ok_or(ApplyError::Changed)?;
        let found = self.stat(inode);
        let same = match expected.kind {
            Some(Kind::Directory) => found.inode == expected.inode,
            _ => (found.inode, found.size, found.mtime) == (expected.inode, expected.size, expected.mtime),
        };
        if same { Ok((dir, inode)) } else { Err(ApplyError::Changed) }
    }

    pub fn contains(&self, above: u64, inode: u64) -> bool {
        above == inode || self.entries(above).values().any(|child| self.contains(*child, inode))
    }

    /// Every path with what stands there, for comparison.
    pub fn tree(&self) -> BTreeMap<String, (Body, bool)> {
        let mut found = BTreeMap::new();
        let mut left = vec![(String::new(), ROOT)];
        while let Some((path, inode)) = left.pop() {
            for (name, child) in self.entries(inode) {
                let path = format!("{path}/{}", name.display());
                let body = match &self.inodes[&child].body {
                    Body::Directory(_) => Body::Directory(BTreeMap::new()),
                    body => body.clone(),
                };
                found.insert(path.clone(), (body, self.inodes[&child].executable));
                left.push((path, child));
            }
        }
        found
    }
}
