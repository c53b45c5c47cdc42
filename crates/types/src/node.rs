//! Nodes: what the tree is made of, and the journal's entries that say how it changed.

use minicbor::{Decode, Encode};

use crate::{CommitId, ContentId, DeviceId, DriveId, Name, NodeId, Seq, Timestamp};

/// What kind of thing a node is; fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// A regular file.
    #[n(0)]
    File,
    /// A directory.
    #[n(1)]
    Directory,
    /// A symbolic link, carried as a link.
    #[n(2)]
    Symlink,
    /// Another drive shown here.
    #[n(3)]
    Mount,
}

/// The state of a field group was set by this entry of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Version {
    /// Where in the journal.
    #[n(0)]
    pub seq: Seq,
    /// By which commit, hence by which device.
    #[n(1)]
    pub commit: CommitId,
}

impl Version {
    /// Whether this device set it.
    pub fn is_by(&self, device: DeviceId) -> bool {
        self.commit.device() == device
    }
}

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Place {
    /// The directory that holds it.
    #[n(0)]
    pub parent: NodeId,
    /// Its name there; unique among the live nodes of the directory. Field 3 is reserved for the keyed name of vaults.
    #[n(1)]
    pub name: Name,
    /// It was put in the trash itself. (A node beneath a trashed directory is trashed without this.)
    #[n(2)]
    pub trashed: bool,
}

/// The bytes of a file, by hash, and what `stat` says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FileContent {
    /// Which bytes.
    #[n(0)]
    pub id: ContentId,
    /// How many.
    #[n(1)]
    pub size: u64,
    /// When they were last changed, as the origin's file system says. Data, never an order.
    #[n(2)]
    pub mtime: Timestamp,
}

/// What a node holds. Its variant is the node's kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Content {
    /// A directory holds nothing of its own: its children point to it.
    #[n(0)]
    Directory,
    /// A regular file.
    #[n(1)]
    File(#[n(0)] FileContent),
    /// A symbolic link and its raw target.
    #[n(2)]
    Symlink {
        /// The target as the origin had it: any bytes but NUL, never followed.
        #[cbor(n(0), with = "minicbor::bytes")]
        target: Vec<u8>,
    },
    /// Another drive shown here (reserved).
    #[n(3)]
    Mount {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
    },
}

impl Content {
    /// The kind of node that holds this.
    pub fn kind(&self) -> Kind {
        match self {
            Content::Directory => Kind::Directory,
            Content::File(_) => Kind::File,
            Content::Symlink { .. } => Kind::Symlink,
            Content::Mount { .. } => Kind::Mount,
        }
    }

    /// The file content, if this is a file's.
    pub fn file(&self) -> Option<&FileContent> {
        match self {
            Content::File(file) => Some(file),
            _ => None,
        }
    }

    /// Whether both hold the same bytes; the mtime of a file does not matter.
    pub fn same_bytes(&self, other: &Content) -> bool {
        match (self, other) {
            (Content::File(a), Content::File(b)) => a.id == b.id,
            _ => self == other,
        }
    }
}

/// The attributes that are synced beside the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Mode {
    /// The owner may execute it. Always false but for files.
    #[n(0)]
    pub executable: bool,
}

/// Everything that the server knows of a node: three field groups, each with the version that set it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NodeState {
    /// Which node.
    #[n(0)]
    pub node: NodeId,
    /// Field group *place*.
    #[n(1)]
    pub place: Place,
    /// Field group *content*.
    #[n(2)]
    pub content: Content,
    /// Field group *mode*.
    #[n(3)]
    pub mode: Mode,
    /// The version of `place`.
    #[n(4)]
    pub place_version: Version,
    /// The version of `content`.
    #[n(5)]
    pub content_version: Version,
    /// The version of `mode`.
    #[n(6)]
    pub mode_version: Version,
}

impl NodeState {
    /// The kind of the node.
    pub fn kind(&self) -> Kind {
        self.content.kind()
    }

    /// The newest version of the three.
    pub fn newest(&self) -> Version {
        self.place_version.max(self.content_version).max(self.mode_version)
    }
}

/// Which field groups an entry changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct FieldGroups {
    /// The entry set *place*.
    #[n(0)]
    pub place: bool,
    /// The entry set *content*.
    #[n(1)]
    pub content: bool,
    /// The entry set *mode*.
    #[n(2)]
    pub mode: bool,
}

impl FieldGroups {
    /// All of them, as a creation does.
    pub const ALL: FieldGroups = FieldGroups { place: true, content: true, mode: true };
}

/// One entry of a drive's journal: a node, after one change. The commit, hence the device, is in the versions.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Its position.
    #[n(0)]
    pub seq: Seq,
    /// The commit that made it.
    #[n(1)]
    pub commit: CommitId,
    /// When the server took it, for people only.
    #[n(2)]
    pub time: Timestamp,
    /// What changed.
    #[n(3)]
    pub changed: FieldGroups,
    /// The node's full state after it.
    #[n(4)]
    pub state: NodeState,
}
