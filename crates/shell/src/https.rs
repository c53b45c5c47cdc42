//! HTTPS to servers that are not ours and are seldom asked: each request on a connection of its own, whose server this machine's roots vouch for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use skep_platform::own_files;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For one request and its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// More is no answer that anything here waits for.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// Nobody could vouch for any server.
    #[error("{0}")]
    Roots(String),
    /// This server did not answer, or nobody vouches for it.
    #[error("{place}: {reason}")]
    Failed {
        /// Host and port.
        place: String,
        /// What happened.
        reason: String,
    },
}

/// Asks servers.
#[derive(Clone)]
pub struct Https(TlsConnector);

impl Https {
    /// Trusts whom this machine trusts, and those whose certificates are in the file `more`.
    pub fn new(more: Option<&Path>) -> Result<Https, HttpsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for root in more.map(read_roots).transpose()?.unwrap_or_default() {
            let path = more.unwrap_or(Path::new("")).display();
            roots.add(root).map_err(|error| HttpsError::Roots(format!("`{path}`: {error}")))?;
        }
        if roots.is_empty() {
            return Err(HttpsError::Roots("this machine trusts nobody: install its ca-certificates".into()));
        }
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Https(TlsConnector::from(Arc::new(config))))
    }

    /// Asks, and takes the whole answer. Redirections are answers like others.
    pub async fn ask<B>(&self, request: Request<B>) -> Result<Response<Bytes>, HttpsError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Reason>,
    {
        let place = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let reason = match timeout(ANSWER_WITHIN, self.exchange(request)).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(reason)) => reason.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        Err(HttpsError::Failed { place, reason })
    }

    async fn exchange<B>(&self, mut request: Request<B>) -> Result<Response<Bytes>, Reason>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Reason>,
    {
        let uri = request.uri().clone();
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("{uri} is no HTTPS address").into());
        };
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
        *request.uri_mut() = uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| path.clone().into());
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
        let stream = self.0.connect(ServerName::try_from(host.to_owned())?, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async move {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        // The connection ends with its sender; what it ends with changes no answer.
        join(exchange, connection).await.0
    }
}

/// What went wrong below.
pub type Reason = Box<dyn std::error::Error + Send + Sync>;

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpsError> {
    let wrong = |why: String| HttpsError::Roots(format!("`{}`: {why}", path.display()));
    let pem = own_files::read(path).map_err(|error| wrong(error.to_string()))?;
    let pem = pem.ok_or_else(|| wrong("there is no such file".into()))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        Ok(_) => Err(wrong("there is no certificate in it".into())),
        Err(error) => Err(wrong(error.to_string())),
    }
}
