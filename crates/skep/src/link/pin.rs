//! Trust by the server's key alone: no authority, no names, no dates.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use skep_protocol::Fingerprint;

/// The server has another key than the one that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("known {known}, now {now}")]
pub struct KeyMismatch {
    /// The one that was expected.
    pub known: Fingerprint,
    /// The one that the server has.
    pub now: Fingerprint,
}

/// Connects only to the server with this key.
pub fn pinned(known: Fingerprint) -> ClientConfig {
    config(Arc::new(Pin { expected: Expected::Key(known), provider: Arc::new(provider::default_provider()) }))
}

/// Connects to any server, to learn its key. Nothing secret may be said on such a connection.
pub fn learning(seen: Arc<Mutex<Option<Fingerprint>>>) -> ClientConfig {
    config(Arc::new(Pin { expected: Expected::Learn(seen), provider: Arc::new(provider::default_provider()) }))
}

/// The mismatch that made a handshake fail, if that was why.
pub fn mismatch_in(error: &std::io::Error) -> Option<KeyMismatch> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => other.downcast_ref().copied(),
        _ => None,
    }
}

fn config(pin: Arc<Pin>) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(pin.provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(pin)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

#[derive(Debug)]
enum Expected {
    Key(Fingerprint),
    Learn(Arc<Mutex<Option<Fingerprint>>>),
}

#[derive(Debug)]
struct Pin {
    expected: Expected,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key_info = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let hash = digest::digest(&digest::SHA256, &key_info);
        let now = Fingerprint(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        match &self.expected {
            Expected::Learn(seen) => *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(now),
            Expected::Key(known) if *known == now => {}
            Expected::Key(known) => {
                let mismatch = Arc::new(KeyMismatch { known: *known, now });
                return Err(Error::InvalidCertificate(CertificateError::Other(OtherError(mismatch))));
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    // The certificate is public: only the signature proves that the server has the key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
