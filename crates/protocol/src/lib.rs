//! What devices and servers say to each other.
//!
//! A *call* is a [`Request`] frame, then a body of frames; its answer is a [`Reply`] frame, then a body of frames. A *feed* is an
//! endless answer. Both are streams of bytes that may be cut anywhere, so nothing here needs a whole body in memory. How a
//! stream travels (HTTP, WebSocket, a simulated link) is no concern of this crate.
#![forbid(unsafe_code)]

mod body;
mod classic_id;
mod code;
mod fingerprint;
mod frame;
mod join_code;
mod knock;
mod letters;
mod message;
mod on_network;
mod over_http;
mod past;
mod proof;
mod sums;

pub use body::{BodyError, ByteStream, FrameStream, body_of, empty_body};
pub use classic_id::{ClassicId, ParseClassicIdError};
pub use code::{Code, ErrorReply};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use frame::{Frame, FrameDecoder, FrameError, FrameKind};
pub use join_code::{JoinCode, Locator, ParseJoinCodeError};
pub use knock::{
    AnswerId, AnswerState, KnockAnswer, KnockId, KnockProofs, KnockRun, KnockState, KnockSummary, Knocked, OpenKnock,
    Verdict,
};
pub use message::{
    COMPARED_VERSIONS_MAX, CodeTask, Connected, DeviceSummary, DriveSummary, Entries, ExchangeId, Features,
    FeedRequest, Introduction, Joined, Lineage, ManifestFrame, Needs, NewCode, PASSWORD_CHARS_MIN, Profile, Reply,
    Request, SnapshotRows,
};
pub use on_network::{DISCOVERY_NAME, DISCOVERY_TYPE};
pub use over_http::{CALL_PATH, FEED_PATH, FRAMES_TYPE, JOIN_PATH};
pub use past::{Author, FoundNode, History, Past, Pasts, Trash, TrashItem, TrashPlace};
pub use proof::{Exchange, PROOF_SEED_LEN, Proof, Proofs, WrongMessage};
pub use sums::{DriveSums, IdRange, InRange, PartSum, SUM_NODES_MAX, SUM_RANGES_MAX, SUMS_FEATURE};
