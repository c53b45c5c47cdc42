//! What the HTTP side needs of a service.

use std::future::{Future, ready};

use skep_protocol::{ByteStream, ErrorReply, FeedRequest};

/// Answers devices. A service in production; in tests of the transport, whatever says what they need to hear.
pub trait Answers: Clone + Send + Sync + 'static {
    /// Answers a call: its request frame and body of frames come in `body`.
    fn call(&self, token: Option<&str>, peer: &str, body: ByteStream) -> impl Future<Output = ByteStream> + Send;

    /// Opens a feed.
    fn feed(
        &self,
        token: &str,
        peer: &str,
        request: FeedRequest,
    ) -> impl Future<Output = Result<ByteStream, ErrorReply>> + Send;

    /// Why calls cannot be answered well now, for a balancer or a person; if they can, what a person should look after all the same.
    fn readiness(&self) -> impl Future<Output = Result<Option<String>, String>> + Send {
        ready(Ok(None))
    }

    /// Figures in the text format of Prometheus.
    fn metrics(&self) -> impl Future<Output = String> + Send {
        ready(String::new())
    }
}
