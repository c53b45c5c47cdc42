//! Which path leads where.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use skep_protocol::{ByteStream, CALL_PATH, Code, ErrorReply, FEED_PATH, JOIN_PATH};
use skep_types::Limits;
use tokio::sync::mpsc;

use crate::answer;
use crate::answers::Answers;
use crate::config::values::Network;
use crate::feed;
use crate::forwarded::{FORWARDED_FOR, client_of};
use crate::listen::Stay;
use crate::stop::Stopping;

/// Bytes that a device may send in one message of a feed: it only ever sends where to begin.
const FEED_REQUEST_BYTES_MAX: usize = 64 << 10;
/// Bytes that each feed holds for reading. Ten thousand quiet feeds should cost megabytes, not a gigabyte.
const FEED_READ_BUFFER_BYTES: usize = 4 << 10;

/// What a browser shows that was led here by a link or a QR code. It has not told us the code.
const JOIN_TEXT: &str =
    "This link adds a computer to a Skep server. On that computer:\n\n    skep join 'THE WHOLE LINK'\n";

/// What every request may use.
#[derive(Debug, Clone)]
pub struct Shell<A> {
    /// Who answers.
    pub answers: A,
    /// The bounds.
    pub limits: Limits,
    /// Where the unread rest of a body goes.
    pub drain: mpsc::UnboundedSender<ByteStream>,
    /// Who may say for whom they speak.
    pub trusted_proxies: Arc<[Network]>,
    /// Who may ask for figures; `None`: anyone.
    pub metrics_allow: Option<Arc<[Network]>>,
}

/// On which connection a request came.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// Hears when the server stops.
    pub stopping: Stopping,
    /// Held while anything of this connection runs.
    pub stay: Arc<Stay>,
}

/// All routes.
pub fn router<A: Answers>(shell: Shell<A>) -> Router {
    Router::new()
        .route(CALL_PATH, post(call::<A>))
        .route(FEED_PATH, get(open_feed::<A>))
        .route(JOIN_PATH, get(async || JOIN_TEXT))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readiness::<A>))
        .route("/metrics", get(metrics::<A>))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(shell)
}

/// The routes for those who look after the server, without those for devices.
pub fn operators_router<A: Answers>(shell: Shell<A>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readiness::<A>))
        .route("/metrics", get(metrics::<A>))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(shell)
}

/// Sends a plain HTTP request to the same place over TLS.
pub fn redirect_to_tls(headers: &HeaderMap, uri: &Uri, local: SocketAddr) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    let host = host.map_or_else(|| local.to_string(), str::to_owned);
    let place = uri.path_and_query().map_or("/", |place| place.as_str());
    let location = HeaderValue::try_from(format!("https://{host}{place}"));
    let mut response = problem(StatusCode::PERMANENT_REDIRECT, "E-TLS-ONLY", "This server speaks HTTPS only.");
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

async fn call<A: Answers>(
    State(shell): State<Shell<A>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let quiet = Duration::from_millis(shell.limits.dead_peer_ms);
    let body = answer::incoming(body, quiet, shell.drain.clone());
    let peer = client_of(connection.peer, &headers, &shell.trusted_proxies).to_string();
    let answer = shell.answers.call(bearer(&headers), &peer, body).await;
    answer::response(answer, shell.limits.frame_bytes_max).await
}

async fn open_feed<A: Answers>(
    State(shell): State<Shell<A>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Some(token) = bearer(&headers).map(str::to_owned) else {
        return answer::refusal(&ErrorReply::new(Code::SignIn, "a feed needs a device's token"));
    };
    match upgrade {
        Ok(upgrade) => {
            let peer = client_of(connection.peer, &headers, &shell.trusted_proxies);
            let connection = Connection { peer, ..connection };
            upgrade
                .read_buffer_size(FEED_READ_BUFFER_BYTES)
                .max_message_size(FEED_REQUEST_BYTES_MAX)
                .max_frame_size(FEED_REQUEST_BYTES_MAX)
                .on_upgrade(move |socket| feed::serve(socket, shell, token, connection))
        }
        Err(rejection) => answer::refusal(&ErrorReply::new(Code::BadRequest, rejection.body_text())),
    }
}

async fn readiness<A: Answers>(State(shell): State<Shell<A>>) -> Response {
    match shell.answers.readiness().await {
        Ok(None) => "ready\n".into_response(),
        Ok(Some(note)) => format!("ready\n{note}\n").into_response(),
        Err(why) => problem(StatusCode::SERVICE_UNAVAILABLE, Code::Busy.as_str(), &why),
    }
}

async fn metrics<A: Answers>(
    State(shell): State<Shell<A>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Response {
    let may = match &shell.metrics_allow {
        None => true,
        Some(allowed) => {
            let client = client_of(connection.peer, &headers, &shell.trusted_proxies);
            // Behind a proxy that nobody has named, everyone seems to be on this machine.
            let is_hidden = client == connection.peer && headers.contains_key(FORWARDED_FOR);
            !is_hidden && allowed.iter().any(|network| network.contains(client.ip()))
        }
    };
    if !may {
        let detail = "Figures are told on this machine only; `metrics.allow` of the settings names who else may ask.";
        return problem(StatusCode::FORBIDDEN, Code::NotAllowed.as_str(), detail);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shell.answers.metrics().await).into_response()
}

async fn nothing_here(request: Request) -> Response {
    problem(StatusCode::NOT_FOUND, Code::NotFound.as_str(), &format!("There is nothing at {}.", request.uri().path()))
}

async fn wrong_method(request: Request) -> Response {
    let detail = format!("{} does not take {}.", request.uri().path(), request.method());
    problem(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest.as_str(), &detail)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// A host from a stranger goes back into a header only if it is nothing but a host.
fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

/// An error for programs and people (RFC 9457).
fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body =
        json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail });
    (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
