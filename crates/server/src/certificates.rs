//! The certificates that the server shows: one to devices and browsers, and for moments those that prove to an authority whose name it is.
//!
//! The shown one can be replaced at any time: connections that are open keep theirs, new ones get the new one.

pub mod dates;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// By this protocol an authority asks for the proof that a name is the server's (RFC 8737); nothing else is said on such a connection.
pub const PROOF_PROTOCOL: &[u8] = b"acme-tls/1";
/// Below this path it asks for the same by plain HTTP (RFC 8555).
pub const PROOF_PATH: &str = "/.well-known/acme-challenge/";

/// What is shown now.
pub struct Certificates {
    shown: RwLock<Arc<CertifiedKey>>,
    proofs: Mutex<Proofs>,
}

/// Of the order that is under way. Empty most of the time.
#[derive(Default)]
struct Proofs {
    /// By name.
    over_tls: BTreeMap<String, Arc<CertifiedKey>>,
    /// By token.
    over_http: BTreeMap<String, String>,
}

impl Certificates {
    /// Shows this one.
    pub fn new(shown: CertifiedKey) -> Arc<Certificates> {
        Arc::new(Certificates { shown: RwLock::new(Arc::new(shown)), proofs: Mutex::default() })
    }

    /// Shows another one from now on.
    pub fn show(&self, certificate: CertifiedKey) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
    }

    /// What is shown.
    pub fn shown(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows an authority this certificate when it asks for `name`.
    pub fn prove_over_tls(&self, name: &str, certificate: CertifiedKey) {
        self.with_proofs(|proofs| proofs.over_tls.insert(name.to_owned(), Arc::new(certificate)));
    }

    /// Answers an authority that asks for `token` with this text.
    pub fn prove_over_http(&self, token: &str, text: &str) {
        self.with_proofs(|proofs| proofs.over_http.insert(token.to_owned(), text.to_owned()));
    }

    /// The order is over.
    pub fn forget_proofs(&self) {
        self.with_proofs(|proofs| *proofs = Proofs::default());
    }

    /// What to answer to a plain request for this path, if an authority asks for a proof there.
    pub fn proof_at(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(PROOF_PATH)?;
        self.with_proofs(|proofs| proofs.over_http.get(token).cloned())
    }

    fn with_proofs<T>(&self, act: impl FnOnce(&mut Proofs) -> T) -> T {
        act(&mut self.proofs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks_for_proof = hello.alpn().is_some_and(|mut protocols| protocols.any(|name| name == PROOF_PROTOCOL));
        if !asks_for_proof {
            return Some(self.shown());
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.with_proofs(|proofs| proofs.over_tls.get(&name).cloned())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(..)")
    }
}
