//! The seam to the server: how a call and a feed travel.

use std::future::Future;

use skep_protocol::{ByteStream, ErrorReply, FeedRequest};

/// A call or feed did not come to an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No connection, or it broke.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server's key is not the one that this device knows.
    #[error("the server's key is not the one that this device knows: {0}")]
    WrongKey(String),
    /// The server refused before it began to answer.
    #[error(transparent)]
    Refused(#[from] ErrorReply),
}

/// Carries calls and feeds to one server. An adapter over HTTP in production, simulated frames in the simulator.
pub trait Link: Clone + Send + Sync + 'static {
    /// Sends a call (its request frame and body) with this device's token, if it has one, and gives back the answer's frames. The
    /// answer may begin before the body was read to its end.
    fn call(&self, token: Option<&str>, body: ByteStream)
    -> impl Future<Output = Result<ByteStream, LinkError>> + Send;

    /// Opens a feed. It ends with an error when the other end was silent for [`skep_types::Limits::dead_peer_ms`].
    fn feed(&self, token: &str, request: FeedRequest) -> impl Future<Output = Result<ByteStream, LinkError>> + Send;
}
