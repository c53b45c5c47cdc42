//! The accept loop: TLS and plain HTTP on one port, a bounded number of connections, an orderly end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use futures_util::future::join_all;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use skep_platform::Tasks;
use skep_types::Limits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::answer;
use crate::answers::Answers;
use crate::certificates::{Certificates, PROOF_PROTOCOL};
use crate::config::values::Network;
use crate::guest::{Crowd, Guest, Requests};
use crate::http::{Connection, Shell, operators_router, redirect_to_tls, router};
use crate::stall::StallGuard;
use crate::stop::Stopping;

/// Connections at a time if nothing else is said.
const CONNECTIONS_MAX: usize = 16_384;
/// The same from one place.
const CONNECTIONS_OF_ONE_PLACE_MAX: usize = 4_096;
/// From the first byte to the end of the TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// For a request's head, once its first byte has come.
const REQUEST_HEAD_WITHIN: Duration = Duration::from_secs(75);
/// Bytes of a request's head.
const REQUEST_HEAD_BYTES_MAX: usize = 32 << 10;
/// A connection on which nothing is asked is told so, and then cut.
const CUT_AFTER: Duration = Duration::from_secs(1);
/// One that is only told where to go is ended after so long.
const REDIRECTED_WITHIN: Duration = Duration::from_secs(20);
/// A connection that takes none of its answer for so long is ended.
const STALLED_AFTER: Duration = Duration::from_secs(120);
/// A quiet HTTP/2 connection is asked whether it lives.
const H2_PING_EVERY: Duration = Duration::from_secs(20);
/// Requests at a time on one HTTP/2 connection.
const H2_STREAMS_MAX: u32 = 64;
/// Windows large enough for long fat networks: at 100 ms the default would hold an upload at 10 MB/s.
const H2_STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for the whole connection.
const H2_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// When stopping, calls in flight may go on so long.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// After a failed accept (no file handles left), wait a little.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The first byte of a TLS connection: a handshake record.
const TLS_FIRST_BYTE: u8 = 0x16;

/// How connections come in.
#[derive(Clone)]
pub struct Door {
    /// With which key; `None`: plain HTTP, from a proxy.
    pub tls: Option<Arc<ServerConfig>>,
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// The same from one place, but for a trusted proxy; more are refused.
    pub of_one_place_max: usize,
    /// Who may say for whom they speak.
    pub trusted_proxies: Arc<[Network]>,
    /// What is served there.
    pub rooms: Rooms,
    /// By which an authority is shown that a name leads here.
    pub certificates: Option<Arc<Certificates>>,
}

/// Which routes there are.
#[derive(Clone)]
pub enum Rooms {
    /// All; figures for these only.
    Devices {
        /// Who may ask for figures.
        metrics_allow: Arc<[Network]>,
    },
    /// Those for people who look after the server, for whoever reaches it.
    Operators,
}

impl Door {
    /// For devices, by this key, without a proxy and without figures.
    pub fn with(tls: Option<Arc<ServerConfig>>) -> Door {
        let rooms = Rooms::Devices { metrics_allow: Arc::new([]) };
        let (connections_max, of_one_place_max) = (CONNECTIONS_MAX, CONNECTIONS_OF_ONE_PLACE_MAX);
        Door { tls, connections_max, of_one_place_max, trusted_proxies: Arc::new([]), rooms, certificates: None }
    }
}

/// Serves at one address until `stopping` is asked and what was in flight has ended.
pub async fn serve<A: Answers>(
    listener: TcpListener,
    door: Door,
    answers: A,
    limits: Limits,
    tasks: impl Tasks,
    stopping: Stopping,
) {
    serve_all(vec![listener], door, answers, limits, tasks, stopping).await;
}

/// The same at several addresses, which have all bounds in common.
pub async fn serve_all<A: Answers>(
    listeners: Vec<TcpListener>,
    door: Door,
    answers: A,
    limits: Limits,
    tasks: impl Tasks,
    stopping: Stopping,
) {
    // Unbounded, yet never longer than there are requests: each sends at most one rest.
    let (drain, mut rests) = mpsc::unbounded_channel();
    let drainers = tasks.clone();
    tasks.spawn("drain", async move {
        while let Some(rest) = rests.recv().await {
            drainers.spawn("drain a body", answer::drain(rest));
        }
    });
    let (alive, mut all_ended) = mpsc::channel(1);
    let Door { tls, connections_max, of_one_place_max, trusted_proxies, rooms, certificates } = door;
    let crowd = Crowd::new(of_one_place_max, Arc::clone(&trusted_proxies));
    let shell = |metrics_allow| Shell { answers, limits, drain, trusted_proxies, metrics_allow };
    let router = match rooms {
        Rooms::Devices { metrics_allow } => router(shell(Some(metrics_allow))),
        Rooms::Operators => operators_router(shell(None)),
    };
    let server = Server { router, acceptor: tls.map(TlsAcceptor::from), http: http(), certificates };
    let entrance = Entrance { room: Arc::new(Semaphore::new(connections_max)), crowd, alive };
    let accepted =
        listeners.iter().map(|listener| accept_all(listener, server.clone(), entrance.clone(), &tasks, &stopping));
    join_all(accepted).await;
    drop((listeners, server, entrance));
    if timeout(STOP_WITHIN, all_ended.recv()).await.is_err() {
        tracing::warn!("some calls were still running and are cut");
    }
}

#[derive(Clone)]
struct Server {
    router: Router,
    acceptor: Option<TlsAcceptor>,
    http: auto::Builder<TokioExecutor>,
    certificates: Option<Arc<Certificates>>,
}

/// What every connection takes a part of.
#[derive(Clone)]
struct Entrance {
    room: Arc<Semaphore>,
    crowd: Arc<Crowd>,
    alive: mpsc::Sender<()>,
}

/// What a connection holds as long as anything of it runs, a feed after its request as well.
#[derive(Debug)]
pub struct Stay {
    _place: OwnedSemaphorePermit,
    _guest: Guest,
    _alive: mpsc::Sender<()>,
}

async fn accept_all(
    listener: &TcpListener,
    server: Server,
    entrance: Entrance,
    tasks: &impl Tasks,
    stopping: &Stopping,
) {
    let Entrance { room, crowd, alive } = entrance;
    let mut stop = stopping.clone();
    let mut stop = pin!(stop.asked());
    loop {
        let next = async {
            let place = room.clone().acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = &mut stop => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                // A socket for both families shows an IPv4 address in the dress of IPv6: in logs and for back-off it is the same address.
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let Some(guest) = crowd.enter(peer) else {
                    tracing::debug!(%peer, "too many connections from there");
                    continue;
                };
                let stay = Arc::new(Stay { _place: place, _guest: guest, _alive: alive.clone() });
                let connection = Connection { peer, stopping: stopping.clone(), stay };
                tasks.spawn("connection", server.clone().connection(stream, connection));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

impl Server {
    async fn connection(self, stream: TcpStream, connection: Connection) {
        // Small frames must not wait for each other. A socket that cannot do it is only slower.
        let _ = stream.set_nodelay(true);
        let mut stop = connection.stopping.clone();
        let peer = connection.peer;
        let Some(acceptor) = self.acceptor.clone() else {
            return self.speak(StallGuard::new(stream, STALLED_AFTER), connection).await;
        };
        let handshake = async {
            let mut first = [0];
            stream.peek(&mut first).await?;
            if first[0] != TLS_FIRST_BYTE {
                return Ok(Err(stream));
            }
            acceptor.accept(stream).await.map(Ok)
        };
        let shaken = tokio::select! {
            () = stop.asked() => return,
            shaken = timeout(HANDSHAKE_WITHIN, handshake) => shaken,
        };
        match shaken {
            // The handshake was all that it came for.
            Ok(Ok(Ok(stream))) if stream.get_ref().1.alpn_protocol() == Some(PROOF_PROTOCOL) => {
                tracing::debug!(%peer, "an authority has looked");
            }
            Ok(Ok(Ok(stream))) => self.speak(StallGuard::new(stream, STALLED_AFTER), connection).await,
            Ok(Ok(Err(plain))) => redirect(plain, self.certificates).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no handshake"),
            Err(_) => tracing::debug!(%peer, "the handshake took too long"),
        }
    }

    async fn speak<S>(self, stream: S, connection: Connection)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let mut stop = connection.stopping.clone();
        let peer = connection.peer;
        let routes = TowerToHyperService::new(self.router);
        let requests = Arc::new(Requests::default());
        let (begun, held) = (Arc::clone(&requests), connection.stay.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            let (running, answered) = (begun.begin(), routes.call(request));
            async move { answered.await.map(|response| running.until_answered(response)) }
        });
        let mut served = pin!(self.http.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = stop.asked() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
            () = requests.idle() => {
                served.as_mut().graceful_shutdown();
                timeout(CUT_AFTER, served).await.unwrap_or(Ok(()))
            }
        };
        drop(held);
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection broke");
        }
    }
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(REQUEST_HEAD_WITHIN).max_buf_size(REQUEST_HEAD_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING_EVERY)
        .keep_alive_timeout(H2_PING_EVERY)
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(REQUEST_HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES);
    http
}

/// Answers one plain HTTP request by where to find the same over TLS, or by a proof if an authority asks for one.
async fn redirect(stream: TcpStream, certificates: Option<Arc<Certificates>>) {
    let Ok(local) = stream.local_addr() else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let proof = certificates.as_ref().and_then(|certificates| certificates.proof_at(request.uri().path()));
        let answer = match proof {
            Some(proof) => proof.into_response(),
            None => redirect_to_tls(request.headers(), request.uri(), local),
        };
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_WITHIN)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(REDIRECTED_WITHIN, served).await {
        tracing::debug!(%error, "a plain connection broke");
    }
}

/// Listens at `address`; at all interfaces also where there is no IPv6.
pub async fn bind(address: &str) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = match (TcpListener::bind(address).await, address.strip_prefix("[::]:")) {
        (Err(error), Some(port)) if error.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind(format!("0.0.0.0:{port}")).await.map_err(|_| error)?
        }
        (bound, _) => bound?,
    };
    let address = listener.local_addr()?;
    Ok((listener, address))
}
