//! Requests and replies.

use minicbor::{Decode, Encode};
use skep_types::{
    AccountId, ChunkId, Cursor, DeviceId, DriveId, Entry, Fork, ListId, Name, NodeId, NodeState, Seq, Standing,
    Timestamp, Version,
};

use crate::past::{FoundNode, History, Pasts, Trash, TrashPlace};
use crate::sums::{DriveSums, IdRange};
use crate::{
    AnswerId, AnswerState, ClassicId, JoinCode, KnockAnswer, KnockId, KnockState, KnockSummary, Knocked, Locator,
    OpenKnock, Proof,
};

/// Versions that one [`Request::Compare`] asks about, at most.
pub const COMPARED_VERSIONS_MAX: usize = 1024;

/// Shortest password of an account, in characters.
pub const PASSWORD_CHARS_MIN: usize = 8;

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
        /// What sending them takes: refused with [`crate::Code::NoSpace`] or [`crate::Code::Quota`] before anything is sent.
        #[n(2)]
        needs: Option<Needs>,
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
    /// What stands at a path, or stood there when it was deleted? → [`Reply::Found`].
    #[n(14)]
    Find {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// From the root down; the empty path is the root.
        #[n(1)]
        path: Vec<Name>,
    },
    /// Gets the entries of a node, newest first, one page. Content of any of them is got as that of the present. → [`Reply::History`].
    #[n(15)]
    History {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// Which node.
        #[n(1)]
        node: NodeId,
        /// Only what was before this.
        #[n(2)]
        before: Option<Seq>,
    },
    /// Gets a page of the trash. → [`Reply::Trash`].
    #[n(16)]
    Trash {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// Only what has this in its name, in capitals or not.
        #[n(1)]
        search: Option<String>,
        /// From where; as the last page said.
        #[n(2)]
        from: Option<TrashPlace>,
    },
    /// Gets what is not as it was at a time: nodes that are beneath a directory, or were then. → [`Reply::Pasts`];
    /// [`crate::Code::NotFound`] if so old a time is not kept whole.
    #[n(17)]
    Pasts {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// Beneath which directory.
        #[n(1)]
        directory: NodeId,
        /// At what time of the server's clock.
        #[n(2)]
        at: Timestamp,
        /// The journal's end at that time, as the first page said.
        #[n(3)]
        then: Option<Seq>,
        /// From which node; as the last page said.
        #[n(4)]
        after: Option<NodeId>,
    },
    /// Begins to join by a code; needs no token. Every such request is answered alike, whether a code with this locator is open or
    /// not, and is one of the code's tries. → [`Reply::CodeStarted`].
    #[n(20)]
    StartCode {
        /// Which code.
        #[n(0)]
        locator: Locator,
        /// The device's message of [`crate::Exchange`].
        #[cbor(n(1), with = "minicbor::bytes")]
        message: Vec<u8>,
    },
    /// Proves to know the code; needs no token. → [`Reply::CodeProven`]; [`crate::Code::JoinCode`] if it does not count.
    #[n(21)]
    ProveCode {
        /// Which exchange.
        #[n(0)]
        exchange: ExchangeId,
        /// That of the device.
        #[n(1)]
        proof: Proof,
    },
    /// Uses the code up and signs a new device in; needs no token. → [`Reply::Connected`]; [`crate::Code::JoinCode`] if somebody else
    /// has used it; [`crate::Code::Exists`] if the user name is taken; [`crate::Code::NotFound`] if `drive` is not the account's.
    /// But for the first, the exchange goes on and may be finished otherwise.
    #[n(22)]
    FinishCode {
        /// Which exchange.
        #[n(0)]
        exchange: ExchangeId,
        /// Who asks.
        #[n(1)]
        device: Introduction,
        /// Login name of the account to make; for [`CodeTask::NewAccount`] without a name.
        #[n(2)]
        user: Option<String>,
        /// Password of the account to make; for [`CodeTask::NewAccount`].
        #[n(3)]
        password: Option<String>,
        /// The drive that the device's folder shows already, if it does: it must be the account's.
        #[n(4)]
        drive: Option<DriveId>,
    },
    /// Makes a code by which another device joins the caller's account. → [`Reply::Code`].
    #[n(23)]
    MakeCode,
    /// What is known of the caller's account? → [`Reply::Profile`].
    #[n(24)]
    Profile,
    /// Gives the caller's account another login name. → [`Reply::Done`]; [`crate::Code::Exists`] if it is taken.
    #[n(25)]
    Rename {
        /// The new one.
        #[n(0)]
        user: String,
    },
    /// Gives the caller's account another password; its devices stay signed in. → [`Reply::Done`]; [`crate::Code::NotAllowed`] if `old` is
    /// not the one that it has.
    #[n(26)]
    ChangePassword {
        /// The one that it has, if it has one.
        #[n(0)]
        old: Option<String>,
        /// The new one.
        #[n(1)]
        new: String,
    },
    /// The devices of the caller's account. → [`Reply::Devices`].
    #[n(27)]
    Devices,
    /// Signs a device of the caller's account out, perhaps the caller itself. → [`Reply::Done`], or [`crate::Code::SignIn`] if it was the
    /// caller; [`crate::Code::NotFound`] if the account has no such device.
    #[n(28)]
    SignOut {
        /// Which one.
        #[n(0)]
        device: DeviceId,
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
    /// Asks to be let in by somebody who is shown the code that this device shows; needs no token. → [`Reply::Knocked`];
    /// [`crate::Code::Busy`] if too many wait already.
    #[n(50)]
    Knock {
        /// Who asks.
        #[n(0)]
        device: Introduction,
        /// The device's message of [`crate::KnockRun`].
        #[cbor(n(1), with = "minicbor::bytes")]
        message: Vec<u8>,
        /// The login name of the account that it is to belong to, if only that may answer.
        #[n(2)]
        user: Option<String>,
        /// The drive that the device's folder shows already, if it does: it must be the account's.
        #[n(3)]
        drive: Option<DriveId>,
    },
    /// What has become of the knock? Needs no token. → [`Reply::KnockState`]; [`crate::Code::RateLimit`] if that is asked too often;
    /// [`crate::Code::JoinCode`] if the knock does not count any more.
    #[n(51)]
    KnockState {
        /// Which one.
        #[n(0)]
        knock: KnockId,
    },
    /// The answer showed a wrong proof, so here is another message for the next one; needs no token. → [`Reply::Done`];
    /// [`crate::Code::JoinCode`] if there were too many.
    #[n(52)]
    KnockAgain {
        /// Which one.
        #[n(0)]
        knock: KnockId,
        /// The device's next message of [`crate::KnockRun`].
        #[cbor(n(1), with = "minicbor::bytes")]
        message: Vec<u8>,
    },
    /// The answer showed the right proof, and here is the device's: signs it in. Needs no token. → [`Reply::Connected`];
    /// [`crate::Code::Denied`] if the answer was no; [`crate::Code::JoinCode`] if the knock does not count.
    #[n(53)]
    Enter {
        /// Which one.
        #[n(0)]
        knock: KnockId,
        /// That of the newcomer.
        #[n(1)]
        proof: Proof,
    },
    /// The knocks that name the caller's account. → [`Reply::Knocks`].
    #[n(54)]
    Knocks,
    /// Who knocks with this code? → [`Reply::Knock`]; [`crate::Code::JoinCode`] if nobody does whom the caller may let in.
    #[n(55)]
    LookAtKnock {
        /// Which code.
        #[n(0)]
        locator: Locator,
    },
    /// Answers a knock; who is let in belongs to the caller's account. → [`Reply::KnockAnswered`]; [`crate::Code::JoinCode`] if nobody
    /// knocks with this code; [`crate::Code::Busy`] if it is being answered; [`crate::Code::NotFound`] if it shows another
    /// account's folder.
    #[n(56)]
    AnswerKnock {
        /// Which code.
        #[n(0)]
        locator: Locator,
        /// The answer.
        #[n(1)]
        answer: KnockAnswer,
    },
    /// What has become of the caller's answer? → [`Reply::AnswerState`]; [`crate::Code::JoinCode`] if it is forgotten.
    #[n(57)]
    AnswerState {
        /// Which one.
        #[n(0)]
        answer: AnswerId,
    },
    /// What is the sum of the drive, and of these parts of it? Only of a server that names [`crate::SUMS_FEATURE`]. → [`Reply::Sums`].
    #[n(40)]
    Sums {
        /// Which drive.
        #[n(0)]
        drive: DriveId,
        /// At most [`crate::SUM_RANGES_MAX`].
        #[n(1)]
        ranges: Vec<IdRange>,
    },
}

/// The room that contents take.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Needs {
    /// Plain bytes of each chunk that is asked about.
    #[n(0)]
    pub lengths: Vec<u32>,
    /// Plain bytes that will be sent besides, as earlier answers have it.
    #[n(1)]
    pub besides: u64,
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Profile {
    /// Login name.
    #[n(0)]
    pub user: String,
    /// Its id.
    #[n(1)]
    pub account: AccountId,
    /// When it was made.
    #[n(2)]
    pub created: Timestamp,
    /// It can sign in by name and password.
    #[n(3)]
    pub has_password: bool,
    /// It has an account id, by which computers come to it.
    #[n(4)]
    pub has_account_id: bool,
    /// Devices that are signed in.
    #[n(5)]
    pub devices: u32,
}

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DeviceSummary {
    /// Its id.
    #[n(0)]
    pub id: DeviceId,
    /// What its owner calls it.
    #[n(1)]
    pub name: String,
    /// Operating system and architecture.
    #[n(2)]
    pub platform: String,
    /// Program and version that it last came with.
    #[n(3)]
    pub client_version: String,
    /// When it joined.
    #[n(4)]
    pub created: Timestamp,
    /// When it was last heard of.
    #[n(5)]
    pub last_seen: Timestamp,
    /// It was signed out.
    #[n(6)]
    pub is_signed_out: bool,
}

/// A join by code that is under way, as the server calls it. Nobody else can guess it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ExchangeId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// What a join code is for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum CodeTask {
    /// Another device of an account.
    #[n(0)]
    NewDevice {
        /// The account's login name.
        #[n(0)]
        user: String,
    },
    /// An account that is to be made, and its first device.
    #[n(1)]
    NewAccount {
        /// Its login name, if it is settled.
        #[n(0)]
        user: Option<String>,
        /// The server has no account yet.
        #[n(1)]
        is_first: bool,
    },
}

/// A code that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewCode {
    /// To be shown to its owner.
    #[n(0)]
    pub code: JoinCode,
    /// How long it counts.
    #[n(1)]
    pub valid_ms: u64,
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
        /// What the server's clock shows.
        #[n(5)]
        time: Option<Timestamp>,
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
    /// To [`Request::Find`]: the one that stands there first, then those in the trash, the last deleted first; at most a few dozen.
    #[n(6)]
    Found(#[n(0)] Vec<FoundNode>),
    /// To [`Request::History`].
    #[n(7)]
    History(#[n(0)] History),
    /// To [`Request::Trash`].
    #[n(8)]
    Trash(#[n(0)] Trash),
    /// To [`Request::Pasts`].
    #[n(9)]
    Pasts(#[n(0)] Pasts),
    /// To [`Request::Sums`].
    #[n(30)]
    Sums(#[n(0)] DriveSums),
    /// To [`Request::StartCode`].
    #[n(40)]
    CodeStarted {
        /// For what follows.
        #[n(0)]
        exchange: ExchangeId,
        /// The server's message of [`crate::Exchange`].
        #[cbor(n(1), with = "minicbor::bytes")]
        message: Vec<u8>,
        /// That of the server: whoever knows the code and sees this key can tell that it does too.
        #[n(2)]
        proof: Proof,
    },
    /// To [`Request::ProveCode`].
    #[n(41)]
    CodeProven {
        /// What people call the server.
        #[n(0)]
        server_name: String,
        /// What comes next.
        #[n(1)]
        task: CodeTask,
    },
    /// To [`Request::MakeCode`].
    #[n(42)]
    Code(#[n(0)] NewCode),
    /// To [`Request::Profile`].
    #[n(43)]
    Profile(#[n(0)] Profile),
    /// To [`Request::Devices`], by name; those that were signed out last.
    #[n(44)]
    Devices {
        /// All of them.
        #[n(0)]
        devices: Vec<DeviceSummary>,
    },
    /// To [`Request::Knock`].
    #[n(50)]
    Knocked(#[n(0)] Knocked),
    /// To [`Request::KnockState`].
    #[n(51)]
    KnockState(#[n(0)] KnockState),
    /// To [`Request::Knocks`], the oldest first.
    #[n(52)]
    Knocks {
        /// All of them.
        #[n(0)]
        knocks: Vec<KnockSummary>,
    },
    /// To [`Request::LookAtKnock`].
    #[n(53)]
    Knock(#[n(0)] OpenKnock),
    /// To [`Request::AnswerKnock`].
    #[n(54)]
    KnockAnswered {
        /// For what follows.
        #[n(0)]
        answer: AnswerId,
    },
    /// To [`Request::AnswerState`].
    #[n(55)]
    AnswerState(#[n(0)] AnswerState),
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
