//! [`HttpLink`]: calls and feeds over HTTP/1.1 and TLS with a pinned key; see `docs/formats/wire.md`.

mod activity;
mod address;
mod connect;
mod feed;
mod pin;

pub use address::{ParseAddressError, ServerAddress};
pub use connect::probe_fingerprint;

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use skep_client::{Link, LinkError};
use skep_protocol::{
    BodyError, ByteStream, CALL_PATH, ErrorReply, FRAMES_TYPE, FeedRequest, Fingerprint, FrameDecoder, FrameKind,
};
use skep_types::Limits;
use tokio::time::timeout;

use activity::{Activity, Outgoing};
use connect::{ConnectError, Connector};

/// Connections that are kept for the next call. More than this at a time are made and closed again.
const IDLE_CONNECTIONS_MAX: usize = 8;
/// Shorter than the server's patience, so that a kept connection is not closed under a call that begins.
const IDLE_FOR: Duration = Duration::from_secs(45);
/// A refusal is one small frame.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// The way to one server.
#[derive(Clone)]
pub struct HttpLink {
    address: ServerAddress,
    limits: Limits,
    connector: Connector,
    client: Client<Connector, Outgoing>,
}

impl HttpLink {
    /// The way to the server at `address` whose key has this fingerprint. Connects when there is something to say. To be
    /// made within a tokio runtime.
    pub fn new(address: ServerAddress, fingerprint: Fingerprint, limits: Limits) -> HttpLink {
        let connector = Connector::new(address.clone(), pin::pinned(fingerprint));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector.clone());
        HttpLink { address, limits, connector, client }
    }

    /// Where the server is.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    fn quiet(&self) -> Duration {
        Duration::from_millis(self.limits.dead_peer_ms)
    }
}

impl Link for HttpLink {
    async fn call(&self, token: Option<&str>, body: ByteStream) -> Result<ByteStream, LinkError> {
        let activity = Activity::begin(self.quiet());
        let mut request = Request::post(format!("{}{CALL_PATH}", self.address)).header(CONTENT_TYPE, FRAMES_TYPE);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Outgoing::new(body, activity.clone())).map_err(unsendable)?;
        let response = match activity.watch(self.client.request(request)).await {
            Some(response) => response.map_err(failed)?,
            None => return Err(LinkError::Unreachable(format!("{} was silent for too long", self.address))),
        };
        if response.status() == StatusCode::OK && is_frames(response.headers()) {
            Ok(patient(response.into_body(), self.quiet()))
        } else {
            Err(self.refused(response).await)
        }
    }

    async fn feed(&self, token: &str, request: FeedRequest) -> Result<ByteStream, LinkError> {
        let stream = self.connector.connect().await?;
        feed::open(stream, &self.address, token, &request, &self.limits).await
    }
}

impl HttpLink {
    /// Why the server did not answer with a reply.
    async fn refused(&self, response: Response<Incoming>) -> LinkError {
        let (parts, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        while let Ok(Some(Ok(frame))) = timeout(self.quiet(), body.frame()).await {
            bytes.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
            if bytes.len() > REFUSAL_BYTES_MAX {
                break;
            }
        }
        refusal_of(parts.status, &parts.headers, &bytes)
    }
}

/// What an answer other than a reply means. Only our own servers' word counts: a proxy's 401 is not a sign-in that failed.
fn refusal_of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> LinkError {
    if is_frames(headers) {
        let mut decoder = FrameDecoder::new(REFUSAL_BYTES_MAX);
        decoder.push(body);
        if let Ok(Some(frame)) = decoder.next_frame()
            && frame.kind == FrameKind::Error
            && let Ok(error) = frame.read::<ErrorReply>()
        {
            return LinkError::Refused(error);
        }
    }
    LinkError::Unreachable(format!("something that is no Skep server answered ({status})"))
}

fn is_frames(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|content_type| content_type == FRAMES_TYPE)
}

/// The answer's bytes; a silence while somebody waits for them cuts it.
fn patient(body: Incoming, quiet: Duration) -> ByteStream {
    let pieces = stream::unfold(Some(body.into_data_stream()), move |pieces| async move {
        let mut pieces = pieces?;
        match timeout(quiet, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(BodyError::Cut(in_full(&error))), None)),
            Ok(None) => None,
            Err(_) => Some((Err(BodyError::Cut("the server was silent for too long".into())), None)),
        }
    });
    Box::pin(pieces)
}

/// A token or address that cannot stand in a request was never given out by a server.
fn unsendable(error: hyper::http::Error) -> LinkError {
    LinkError::Unreachable(error.to_string())
}

fn failed(error: hyper_util::client::legacy::Error) -> LinkError {
    match error.source().and_then(|source| source.downcast_ref::<ConnectError>()) {
        Some(connect) => connect.clone().into(),
        None => LinkError::Unreachable(in_full(&error)),
    }
}

/// An error with all its causes: hyper's own words say only which part failed.
fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
