//! Requests and replies.

use minicbor::{Decode, Encode};
use skep_types::{
    AccountId, ChunkId, Cursor, DeviceId, DriveId, Entry, Fork, ListId, NodeId, NodeState, Seq, Standing, Version,
};

use crate::ClassicId;

/// Versions that one [`Request::Compare`] asks about, at most.
pub const COMPARED_VERSIONS_MAX: usize = 1024;

/// Named features that both ends must know of; an end uses only what the other one names.
pub type Features = Vec<String>;

/// What a device asks. The comment of each tells which frames follow it, which [`Reply`] answers, and which frames follow that.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// Signs a new device in, by name and password; needs no token. → [`Reply::Joined`].
    #[n(0)]
    Join {
        /// Login name.
        #[n(0)]
        user: String,
        /// Password.
        #[n(1)]
        password: String,
        /// What to call the device.
        #[n(2)]
        device_name: String,
        /// Operating system and architecture.
        #[n(3)]
        platform: String,
        /// Program and version.
        #[n(4)]
        client_version: String,
    },
    /// Who am I, what is there? → [`Reply::Hello`].
    #[n(1)]
    Hello {
        /// What the device knows of.
        #[n(0)]
        features: Features,
        /// Program and version.
        #[n(1)]
        client_version: String,
    },
    /// Changes a drive. Followed by `block`s and `manifest`s that the commit may need, then one `operations`.
    /// → [`Reply::Done`], one `result`; [`crate::Code::History`] if `seen` is not in the drive's history.
    #[n(2)]
    Commit {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// How far the device has followed the drive: what it asks for rests on that history, and on no other.
        #[n(1)]
        seen: Option<Cursor>,
    },
    /// Sends content ahead of a commit. Followed by `block`s and `manifest`s. → [`Reply::Done`] once all of it is durable.
    #[n(3)]
    Upload {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
    },
    /// Which of these does the drive lack? The others are kept for the lease's time. → [`Reply::Lacks`].
    #[n(4)]
    Lacks {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// At most [`skep_types::Limits::chunk_query_max`].
        #[n(1)]
        chunks: Vec<ChunkId>,
    },
    /// Gets content. → [`Reply::Done`], `block`s that together hold at least these chunks (each block once, others' chunks may
    /// be in it), in no order. A chunk that cannot be read is missing from the answer.
    #[n(5)]
    Fetch {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// At most [`skep_types::Limits::chunk_query_max`].
        #[n(1)]
        chunks: Vec<ChunkId>,
    },
    /// Gets manifests. → [`Reply::Done`], one `manifest` each.
    #[n(6)]
    Manifests {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// At most 256.
        #[n(1)]
        lists: Vec<ListId>,
    },
    /// Gets the journal after a cursor, one page. → [`Reply::Done`], one `entries`; [`crate::Code::History`] if the cursor is not in it.
    #[n(7)]
    Entries {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// From where.
        #[n(1)]
        after: Cursor,
    },
    /// Gets one page of the drive's nodes by id. → [`Reply::Done`], one `snapshot rows`.
    #[n(8)]
    Snapshot {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// From which node.
        #[n(1)]
        after: Option<NodeId>,
    },
    /// Where does the journal end? → [`Reply::Head`].
    #[n(9)]
    Head {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
    },
    /// Makes an account with this classic id, and signs a new device in to it; needs no token. Asked again with the same id, as after
    /// an answer that was lost, it makes no second account. → [`Reply::Connected`]; [`crate::Code::NotOpen`] if the server makes no
    /// accounts for those who ask.
    #[n(10)]
    NewAccount {
        /// Made by the device, and kept by it before it asks.
        #[n(0)]
        id: ClassicId,
        /// Who asks.
        #[n(1)]
        device: Introduction,
    },
    /// Signs a new device in by an account's classic id; needs no token. → [`Reply::Connected`]; [`crate::Code::SignIn`] if no account
    /// has that id; [`crate::Code::NotFound`] if `drive` is not one of the account's.
    #[n(11)]
    NewDevice {
        /// Of which account.
        #[n(0)]
        id: ClassicId,
        /// Who asks.
        #[n(1)]
        device: Introduction,
        /// The drive that the device's folder shows already, if it does: it must be the account's.
        #[n(2)]
        drive: Option<DriveId>,
    },
    /// Is this the classic id of the device's account? → [`Reply::Done`]; [`crate::Code::NotFound`] if it is not.
    #[n(12)]
    CheckId {
        /// Which id.
        #[n(0)]
        id: ClassicId,
    },
    /// Gives the device's account this classic id instead of the one it had, if any. Its devices stay signed in. → [`Reply::Done`].
    #[n(13)]
    ReplaceId {
        /// Made by the device.
        #[n(0)]
        id: ClassicId,
    },
    /// Which history is this, and how much of what the device has seen is in it? → [`Reply::Lineage`].
    #[n(30)]
    Compare {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// What the device knows of; at most [`COMPARED_VERSIONS_MAX`].
        #[n(1)]
        versions: Vec<Version>,
    },
    /// The drive's history has not always been this one: the device has followed it to `seen`, and `held` is the last of what it saw
    /// that is still in it. If that is true and was not known, the history gets a new generation. → [`Reply::Lineage`].
    #[n(31)]
    Departed {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// Where the device stands.
        #[n(1)]
        seen: Cursor,
        /// `None`: nothing of what it saw is left.
        #[n(2)]
        held: Option<Version>,
    },
}

/// What a new device says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Introduction {
    /// What to call it.
    #[n(0)]
    pub name: String,
    /// Operating system and architecture.
    #[n(1)]
    pub platform: String,
    /// Program and version.
    #[n(2)]
    pub client_version: String,
}

/// How a feed starts: sent by the device as its first and only frame. The server then sends `entries` in order, each preceded by
/// `block`s of small contents if wanted, and a `heartbeat` when there is nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FeedRequest {
    /// Which drive.
    #[n(0)]
    pub drive: DriveId,
    /// From where.
    #[n(1)]
    pub after: Cursor,
    /// Send small contents of other devices' changes along.
    #[n(2)]
    pub wants_content: bool,
}

/// A drive, as its devices see it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DriveSummary {
    /// Which drive.
    #[n(0)]
    pub drive: DriveId,
    /// Its name; `home` for the account's first.
    #[n(1)]
    pub name: String,
    /// Where its journal ends.
    #[n(2)]
    pub head: Cursor,
}

/// A device has joined.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Joined {
    /// The account.
    #[n(0)]
    pub account: AccountId,
    /// Its id from now on.
    #[n(1)]
    pub device: DeviceId,
    /// The secret that proves to be this device; shown once.
    #[n(2)]
    pub token: String,
    /// The account's drives, home first.
    #[n(3)]
    pub drives: Vec<DriveSummary>,
}

/// A device has come to an account by its classic id.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Connected {
    /// What it is from now on.
    #[n(0)]
    pub joined: Joined,
    /// The account's name.
    #[n(1)]
    pub account_name: String,
    /// What the server calls the device: as it asked, or with a number if that name was taken.
    #[n(2)]
    pub device_name: String,
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    /// Done; see the frames that follow.
    #[n(0)]
    Done,
    /// To [`Request::Join`].
    #[n(1)]
    Joined(#[n(0)] Joined),
    /// To [`Request::Hello`].
    #[n(2)]
    Hello {
        /// The account's name.
        #[n(0)]
        account_name: String,
        /// What the server calls the device.
        #[n(1)]
        device_name: String,
        /// The account's drives, home first.
        #[n(2)]
        drives: Vec<DriveSummary>,
        /// What the server knows of.
        #[n(3)]
        features: Features,
        /// Program and version.
        #[n(4)]
        server_version: String,
    },
    /// To [`Request::Lacks`]: those that must be sent.
    #[n(3)]
    Lacks {
        /// In the order of the question.
        #[n(0)]
        chunks: Vec<ChunkId>,
    },
    /// To [`Request::Head`].
    #[n(4)]
    Head {
        /// Where the journal ends.
        #[n(0)]
        head: Cursor,
    },
    /// To [`Request::NewAccount`] and [`Request::NewDevice`].
    #[n(5)]
    Connected(#[n(0)] Connected),
    /// To [`Request::Compare`] and [`Request::Departed`].
    #[n(20)]
    Lineage(#[n(0)] Lineage),
}

/// Which history a drive has.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Lineage {
    /// Where its journal ends, and in which generation.
    #[n(0)]
    pub head: Cursor,
    /// From here on its journal is whole.
    #[n(1)]
    pub floor: Seq,
    /// How it came to its generation, oldest fork first.
    #[n(2)]
    pub forks: Vec<Fork>,
    /// One for each version that was asked about, in order.
    #[n(3)]
    pub standings: Vec<Standing>,
}

/// Consecutive entries of one drive's journal, whole commits.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entries {
    /// Which drive.
    #[n(0)]
    pub drive: DriveId,
    /// They follow this position.
    #[n(1)]
    pub after: Seq,
    /// In order, without a gap.
    #[n(2)]
    pub entries: Vec<Entry>,
    /// The cursor when they have been taken.
    #[n(3)]
    pub to: Cursor,
    /// The journal's end when this was made.
    #[n(4)]
    pub head: Seq,
}

/// A page of a drive's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotRows {
    /// By node id.
    #[n(0)]
    pub rows: Vec<NodeState>,
    /// There are more after the last one.
    #[n(1)]
    pub more: bool,
    /// The journal's end when this page was read. Entries after the *first* page's head must be taken on top.
    #[n(2)]
    pub head: Cursor,
}

/// A manifest on the wire: its bytes are opaque here (see `skep_content::Manifest`).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ManifestFrame {
    /// What it must hash to.
    #[n(0)]
    pub list: ListId,
    /// Its encoding.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}
