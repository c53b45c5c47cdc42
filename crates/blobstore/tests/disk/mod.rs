//! A disk in memory that knows what a power cut would leave: a root and one directory in it, which is all that packs need.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use skep_platform::{FileError, FileErrorKind, Files, RenameMode, Stat};
use skep_types::{Kind, Name, Timestamp};

/// What happens in a sync, before it takes effect.
pub type Hook = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    /// So many bytes will survive.
    durable: usize,
    /// The directory entry will survive.
    entry_durable: bool,
}

#[derive(Default)]
struct World {
    /// Name of the one directory, and whether it will survive.
    dir: Option<(Name, bool)>,
    files: BTreeMap<Name, File>,
    /// Bytes that can still be written.
    room: Option<usize>,
    /// So many of the next syncs fail.
    failing_syncs: usize,
    syncs: usize,
    in_sync: Option<Hook>,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<World>>);

/// A directory of the disk.
#[derive(Clone, PartialEq)]
pub enum Dir {
    Root,
    Packs,
}

impl Disk {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The disk as a power cut may leave it: of each file what is durable and at most `beyond` bytes more.
    pub fn after_power_cut(&self, beyond: usize) -> Disk {
        let world = self.world();
        let survives = |(name, file): (&Name, &File)| {
            let kept = file.bytes.len().min(file.durable + beyond);
            let file = File { bytes: file.bytes[..kept].to_vec(), durable: kept, entry_durable: true };
            (name.clone(), file)
        };
        let kept = world.files.iter().filter(|(_, file)| file.entry_durable).map(survives).collect();
        let dir = world.dir.clone().filter(|(_, durable)| *durable);
        Disk(Arc::new(Mutex::new(World {
            files: if dir.is_some() { kept } else { BTreeMap::new() },
            dir,
            ..World::default()
        })))
    }

    /// The longest tail of a file that is not durable.
    pub fn longest_tail(&self) -> usize {
        self.world().files.values().map(|file| file.bytes.len() - file.durable).max().unwrap_or(0)
    }

    pub fn bytes_of(&self, name: &str) -> Vec<u8> {
        self.world().files[&Name::try_from(name).unwrap()].bytes.clone()
    }

    pub fn set_bytes_of(&self, name: &str, bytes: Vec<u8>) {
        let file = File { durable: bytes.len(), bytes, entry_durable: true };
        self.world().files.insert(Name::try_from(name).unwrap(), file);
    }

    pub fn names(&self) -> Vec<String> {
        self.world().files.keys().map(|name| name.display().into_owned()).collect()
    }

    pub fn syncs(&self) -> usize {
        self.world().syncs
    }

    pub fn fail_syncs(&self, count: usize) {
        self.world().failing_syncs = count;
    }

    pub fn set_room(&self, bytes: Option<usize>) {
        self.world().room = bytes;
    }

    pub fn set_in_sync(&self, hook: Option<Hook>) {
        self.world().in_sync = hook;
    }
}

/// Appends to one file.
pub struct DiskWriter {
    disk: Disk,
    name: Name,
}

impl Write for DiskWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.disk.world();
        let fits = world.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if fits == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.room = world.room.map(|room| room - fits);
        if let Some(file) = world.files.get_mut(&self.name) {
            file.bytes.extend_from_slice(&bytes[..fits]);
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file as it was when it was opened.
pub struct DiskReader(io::Cursor<Vec<u8>>);

impl Read for DiskReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

fn stat_of(kind: Kind, size: usize) -> Stat {
    let never = Timestamp::default();
    Stat {
        kind: Some(kind),
        inode: 0,
        links: 1,
        size: size as u64,
        mtime: never,
        ctime: never,
        birth: None,
        executable: false,
    }
}

fn error<T>(kind: FileErrorKind) -> Result<T, FileError> {
    Err(FileError::new(kind, format!("{kind:?}")))
}

impl Files for Disk {
    type Dir = Dir;
    type Reader = DiskReader;
    type Writer = DiskWriter;

    fn root(&self) -> Result<Dir, FileError> {
        Ok(Dir::Root)
    }

    fn open_dir(&self, from: &Dir, path: &[Name]) -> Result<Dir, FileError> {
        match (from, path, &self.world().dir) {
            (_, [], _) => Ok(from.clone()),
            (Dir::Root, [name], Some((dir, _))) if dir == name => Ok(Dir::Packs),
            _ => error(FileErrorKind::NotFound),
        }
    }

    fn stat_dir(&self, _: &Dir) -> Result<Stat, FileError> {
        Ok(stat_of(Kind::Directory, 0))
    }

    fn list(&self, dir: &Dir) -> Result<Vec<(Name, Stat)>, FileError> {
        let world = self.world();
        Ok(match dir {
            Dir::Root => world.dir.iter().map(|(name, _)| (name.clone(), stat_of(Kind::Directory, 0))).collect(),
            Dir::Packs => {
                let stat = |(name, file): (&Name, &File)| (name.clone(), stat_of(Kind::File, file.bytes.len()));
                world.files.iter().map(stat).collect()
            }
        })
    }

    fn stat(&self, dir: &Dir, name: &Name) -> Result<Option<Stat>, FileError> {
        Ok(self.list(dir)?.into_iter().find_map(|(found, stat)| (found == *name).then_some(stat)))
    }

    fn read(&self, dir: &Dir, name: &Name) -> Result<(DiskReader, Stat), FileError> {
        let bytes = self.read_range(dir, name, 0, usize::MAX)?;
        let stat = stat_of(Kind::File, bytes.len());
        Ok((DiskReader(io::Cursor::new(bytes)), stat))
    }

    fn stat_reader(&self, file: &DiskReader) -> Result<Stat, FileError> {
        Ok(stat_of(Kind::File, file.0.get_ref().len()))
    }

    fn read_range(&self, _: &Dir, name: &Name, offset: u64, len: usize) -> Result<Vec<u8>, FileError> {
        match self.world().files.get(name) {
            Some(file) => {
                let from = (offset as usize).min(file.bytes.len());
                Ok(file.bytes[from..from.saturating_add(len).min(file.bytes.len())].to_vec())
            }
            None => error(FileErrorKind::NotFound),
        }
    }

    fn read_link(&self, _: &Dir, _: &Name) -> Result<Vec<u8>, FileError> {
        error(FileErrorKind::Unsupported)
    }

    fn create(&self, dir: &Dir, name: &Name) -> Result<DiskWriter, FileError> {
        let mut world = self.world();
        if *dir != Dir::Packs || world.files.contains_key(name) {
            return error(FileErrorKind::Exists);
        }
        world.files.insert(name.clone(), File::default());
        Ok(DiskWriter { disk: self.clone(), name: name.clone() })
    }

    fn make_dir(&self, _: &Dir, name: &Name) -> Result<(), FileError> {
        let mut world = self.world();
        if world.dir.is_some() {
            return error(FileErrorKind::Exists);
        }
        world.dir = Some((name.clone(), false));
        Ok(())
    }

    fn make_link(&self, _: &Dir, _: &Name, _: &[u8]) -> Result<(), FileError> {
        error(FileErrorKind::Unsupported)
    }

    fn set_mtime(&self, _: &Dir, _: &Name, _: Timestamp) -> Result<(), FileError> {
        error(FileErrorKind::Unsupported)
    }

    fn set_executable(&self, _: &Dir, _: &Name, _: bool) -> Result<(), FileError> {
        error(FileErrorKind::Unsupported)
    }

    fn rename(&self, _: &Dir, _: &Name, _: &Dir, _: &Name, _: RenameMode) -> Result<(), FileError> {
        error(FileErrorKind::Unsupported)
    }

    fn remove_file(&self, _: &Dir, name: &Name) -> Result<(), FileError> {
        match self.world().files.remove(name) {
            Some(_) => Ok(()),
            None => error(FileErrorKind::NotFound),
        }
    }

    fn remove_dir(&self, _: &Dir, _: &Name) -> Result<(), FileError> {
        error(FileErrorKind::Unsupported)
    }

    fn make_durable(&self, files: &[(Dir, Name)], dirs: &[Dir]) -> Result<(), FileError> {
        let mut world = self.world();
        world.syncs += 1;
        // What is written after a sync has started is not covered by it.
        let lengths: Vec<(Name, usize)> =
            files.iter().map(|(_, name)| (name.clone(), world.files[name].bytes.len())).collect();
        if let Some(hook) = world.in_sync.clone() {
            drop(world);
            hook();
            world = self.world();
        }
        if world.failing_syncs > 0 {
            world.failing_syncs -= 1;
            return error(FileErrorKind::Other);
        }
        for (name, length) in lengths {
            if let Some(file) = world.files.get_mut(&name) {
                file.durable = length;
            }
        }
        for dir in dirs {
            match dir {
                Dir::Root => world.dir.iter_mut().for_each(|(_, durable)| *durable = true),
                Dir::Packs => world.files.values_mut().for_each(|file| file.entry_durable = true),
            }
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, FileError> {
        Ok(self.world().room.map_or(u64::MAX, |room| room as u64))
    }

    fn lock(&self, _: &Dir, _: &Name) -> Result<bool, FileError> {
        Ok(true)
    }
}
