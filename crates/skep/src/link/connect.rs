//! Connections: TCP, then TLS with the pinned key. Calls and feeds share it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use skep_client::LinkError;
use skep_protocol::Fingerprint;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::ServerAddress;
use super::pin::{self, KeyMismatch};

/// From the name server's answer to the end of the TLS handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// There is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// The server has another key.
    #[error(transparent)]
    Key(#[from] KeyMismatch),
    /// Anything else: no such host, nobody listens, no TLS there, no answer in time.
    #[error("{0}")]
    Failed(String),
}

impl From<ConnectError> for LinkError {
    fn from(error: ConnectError) -> LinkError {
        match error {
            ConnectError::Key(mismatch) => LinkError::WrongKey(mismatch.to_string()),
            ConnectError::Failed(reason) => LinkError::Unreachable(reason),
        }
    }
}

/// Connects to one server.
#[derive(Clone)]
pub struct Connector {
    address: ServerAddress,
    tls: TlsConnector,
}

impl Connector {
    /// Connects to `address` as `config` trusts.
    pub fn new(address: ServerAddress, config: ClientConfig) -> Connector {
        Connector { address, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        match timeout(CONNECT_WITHIN, self.connect_patiently()).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::Failed(format!("{} does not answer", self.address))),
        }
    }

    async fn connect_patiently(&self) -> Result<TlsStream<TcpStream>, ConnectError> {
        let failed = |error: &dyn std::fmt::Display| ConnectError::Failed(format!("{}: {error}", self.address));
        let host = self.address.bare_host();
        let stream = TcpStream::connect((host, self.address.port)).await.map_err(|error| failed(&error))?;
        // Small frames must not wait for each other. A socket that cannot do it is only slower.
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        self.tls.connect(name, stream).await.map_err(|error: io::Error| match pin::mismatch_in(&error) {
            Some(mismatch) => ConnectError::Key(mismatch),
            None => failed(&error),
        })
    }
}

/// The fingerprint of the key that the server at `address` has right now. It is learned, not trusted: a person must compare it.
pub async fn probe_fingerprint(address: &ServerAddress) -> Result<Fingerprint, LinkError> {
    let seen = Arc::new(Mutex::new(None));
    Connector::new(address.clone(), pin::learning(seen.clone())).connect().await?;
    let fingerprint = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    fingerprint.ok_or_else(|| LinkError::Unreachable(format!("{address} showed no key")))
}

/// For hyper's pool, which asks for a connection by URI; there is only one server here.
impl tower_service::Service<Uri> for Connector {
    type Response = PooledConnection;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<PooledConnection, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(|stream| PooledConnection(TokioIo::new(stream))) })
    }
}

/// A connection in hyper's pool.
pub struct PooledConnection(TokioIo<TlsStream<TcpStream>>);

impl Connection for PooledConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for PooledConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for PooledConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
}
