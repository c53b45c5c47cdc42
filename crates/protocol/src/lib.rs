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
mod message;
mod over_http;

pub use body::{BodyError, ByteStream, FrameStream, body_of, empty_body};
pub use classic_id::{ClassicId, ParseClassicIdError};
pub use code::{Code, ErrorReply};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use frame::{Frame, FrameDecoder, FrameError, FrameKind};
pub use message::{
    COMPARED_VERSIONS_MAX, Connected, DriveSummary, Entries, Features, FeedRequest, Introduction, Joined, Lineage,
    ManifestFrame, Reply, Request, SnapshotRows,
};
pub use over_http::{CALL_PATH, FEED_PATH, FRAMES_TYPE};
