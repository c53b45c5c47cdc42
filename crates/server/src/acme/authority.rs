//! The way to an authority, as the protocol's library wants it.

use std::future::Future;
use std::pin::Pin;

use axum::http::Request;
use bytes::Bytes;
use http_body_util::Full;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use skep_shell::https::Https;

/// Asks authorities: a dozen requests in two months.
pub struct Authorities(pub Https);

impl HttpClient for Authorities {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let https = self.0.clone();
        Box::pin(async move {
            let answer = https.ask(request).await.map_err(|error| Error::Other(error.to_string().into()))?;
            Ok(answer.map(Full::new).into())
        })
    }
}
