//! The way to an authority: one HTTPS request at a time, each on a connection of its own, since there are a dozen in two months.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::HOST;
use axum::http::{HeaderValue, Request, Response, Uri};
use bytes::Bytes;
use futures_util::future::join;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use skep_platform::own_files;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For one request and its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Longer than any chain of certificates.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks authorities that are vouched for by these roots.
#[derive(Clone)]
pub struct Https(TlsConnector);

impl Https {
    /// Trusts whom this machine trusts, and those whose certificates are in the file `more`.
    pub fn new(more: Option<&Path>) -> Result<Https, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = more {
            for root in read_roots(path)? {
                roots.add(root).map_err(|error| format!("`{}`: {error}", path.display()))?;
            }
        }
        if roots.is_empty() {
            return Err(
                "this machine trusts nobody: install its ca-certificates, or name roots in `tls.acme_roots`".into()
            );
        }
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Https(TlsConnector::from(Arc::new(config))))
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let place = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        match timeout(ANSWER_WITHIN, self.exchange(request)).await {
            Ok(Ok(response)) => Ok(response.into()),
            Ok(Err(reason)) => Err(Error::Other(format!("{place}: {reason}").into())),
            Err(_) => Err(Error::Other(format!("{place} does not answer").into())),
        }
    }

    async fn exchange(self, mut request: Request<BodyWrapper<Bytes>>) -> Result<Response<Full<Bytes>>, Reason> {
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
            Ok(Response::from_parts(head, Full::new(body.to_bytes())))
        };
        // The connection ends with its sender; what it ends with changes no answer.
        join(exchange, connection).await.0
    }
}

type Reason = Box<dyn std::error::Error + Send + Sync>;

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().ask(request))
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let pem = own_files::read(path).map_err(|error| format!("`{shown}`: {error}"))?;
    let pem = pem.ok_or_else(|| format!("there is no file `{shown}`"))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        Ok(_) => Err(format!("there is no certificate in `{shown}`")),
        Err(error) => Err(format!("`{shown}`: {error}")),
    }
}
