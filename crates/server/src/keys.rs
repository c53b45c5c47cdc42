//! The server's secrets on disk: its TLS key and certificate, and the master key of its packs.
//!
//! Each is made at the first start, in one step and durably, so that of two processes that start together one wins and both
//! use the same key. A key is never replaced here: devices know the first one, packs are sealed by it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use skep_platform::own_files;
use skep_platform::{Entropy, runtime::SystemEntropy};
use skep_protocol::Fingerprint;
use skep_types::product;

use crate::certificates::{Certificates, PROOF_PROTOCOL};
use crate::config::Site;

/// The file of the TLS key, in the directory of keys.
pub const SERVER_KEY: &str = "server.key";
/// Bytes of the master key.
pub const MASTER_KEY_BYTES: usize = 32;

/// A key cannot be used, or not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The disk failed.
    #[error("cannot keep `{}`: {source}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A key file holds something else.
    #[error("`{}` holds no usable key: {reason}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is content, but not the key that opens it.
    #[error("`{}` is missing, and the packs beside it cannot be read without it", .0.display())]
    MasterKeyLost(PathBuf),
}

/// Who this server is to devices.
#[derive(Debug, Clone)]
pub struct Identity {
    /// For the accept loop; `None` if a proxy has the key.
    pub tls: Option<Arc<ServerConfig>>,
    /// What it shows; `None` with that.
    pub certificates: Option<Arc<Certificates>>,
    /// What devices know the key by.
    pub fingerprint: Fingerprint,
}

/// The TLS key and certificate in the directory `keys`; made if they are not there.
pub fn identity(keys: &Path) -> Result<Identity, KeyError> {
    let (key_path, certificate_path) = (keys.join(SERVER_KEY), keys.join("server.crt"));
    own_files::make_private_dir(keys).map_err(|source| KeyError::Disk { path: keys.to_owned(), source })?;
    let key_pem = read_or_create(&key_path, || {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(|key| key.serialize_pem().into_bytes())
    })?;
    let certificate_pem = read_or_create(&certificate_path, || certificate_for(&key_pem))?;
    from_pem(&certificate_path, &certificate_pem, &key_path, &key_pem)
}

/// The identity that a certificate with its chain and its private key give, both in PEM and made by somebody else.
pub fn identity_of_files(certificate: &Path, key: &Path) -> Result<Identity, KeyError> {
    from_pem(certificate, &read_theirs(certificate)?, key, &read_theirs(key)?)
}

/// The identity that a proxy has with that certificate; nothing can be served with it.
pub fn identity_of_proxy(certificate: &Path) -> Result<Identity, KeyError> {
    let chain = chain_of(certificate, &read_theirs(certificate)?)?;
    let fingerprint = fingerprint_of(&chain[0]).map_err(|error| unusable(certificate, error))?;
    Ok(Identity { tls: None, certificates: None, fingerprint })
}

fn from_pem(
    certificate_path: &Path,
    certificate_pem: &[u8],
    key_path: &Path,
    key_pem: &[u8],
) -> Result<Identity, KeyError> {
    let certified = certified(certificate_path, certificate_pem, key_path, key_pem)?;
    let fingerprint = fingerprint_of(&certified.cert[0]).map_err(|error| unusable(certificate_path, error))?;
    let certificates = Certificates::new(certified);
    let mut tls = ServerConfig::builder().with_no_client_auth().with_cert_resolver(certificates.clone());
    // The first that both know is spoken: for a proof, an authority offers nothing else.
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), PROOF_PROTOCOL.to_vec()];
    tls.ticketer = Ticketer::new().map_err(|error| unusable(key_path, error))?;
    Ok(Identity { tls: Some(Arc::new(tls)), certificates: Some(certificates), fingerprint })
}

/// A chain with its private key, if they belong together.
pub(crate) fn certified(
    certificate_path: &Path,
    certificate_pem: &[u8],
    key_path: &Path,
    key_pem: &[u8],
) -> Result<CertifiedKey, KeyError> {
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| unusable(key_path, error))?;
    let key = any_supported_type(&key).map_err(|error| unusable(key_path, error))?;
    let certified = CertifiedKey::new(chain_of(certificate_path, certificate_pem)?, key);
    certified.keys_match().map_err(|error| {
        unusable(certificate_path, format!("it does not belong to `{}`: {error}", key_path.display()))
    })?;
    Ok(certified)
}

/// At least one certificate.
fn chain_of(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, KeyError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| unusable(path, error))?;
    if chain.is_empty() { Err(unusable(path, "there is no certificate in it")) } else { Ok(chain) }
}

fn read_theirs(path: &Path) -> Result<Vec<u8>, KeyError> {
    let read = own_files::read(path).map_err(|source| KeyError::Disk { path: path.to_owned(), source })?;
    read.ok_or_else(|| unusable(path, "there is no such file"))
}

/// The master key of the packs of a site; made if there is none and nothing was ever sealed.
pub fn master_key(site: &Site) -> Result<[u8; MASTER_KEY_BYTES], KeyError> {
    let (path, packs) = (&site.master_key, site.data_dir.join("packs"));
    let disk = |source| KeyError::Disk { path: path.clone(), source };
    if own_files::read(path).map_err(disk)?.is_none() && !own_files::is_empty_dir(&packs).map_err(disk)? {
        return Err(KeyError::MasterKeyLost(path.clone()));
    }
    if let Some(keys) = path.parent() {
        own_files::make_private_dir(keys).map_err(disk)?;
    }
    let bytes = read_or_create(path, || Ok(SystemEntropy.bytes::<MASTER_KEY_BYTES>().to_vec()))?;
    let len = bytes.len();
    bytes.try_into().map_err(|_| unusable(path, format!("it has {len} bytes instead of {MASTER_KEY_BYTES}")))
}

/// What devices know a certificate's key by.
pub fn fingerprint_of(certificate: &CertificateDer<'_>) -> Result<Fingerprint, rustls::Error> {
    let key_info = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    let hash = digest::digest(&digest::SHA256, &key_info);
    Ok(Fingerprint(hash.as_ref().try_into().expect("SHA-256 has 32 bytes")))
}

fn read_or_create(path: &Path, make: impl FnOnce() -> Result<Vec<u8>, rcgen::Error>) -> Result<Vec<u8>, KeyError> {
    let disk = |source| KeyError::Disk { path: path.to_owned(), source };
    if let Some(bytes) = own_files::read(path).map_err(disk)? {
        return Ok(bytes);
    }
    let made = make().map_err(|error| unusable(path, error))?;
    if own_files::create(path, &made).map_err(disk)? {
        return Ok(made);
    }
    // Another process was faster: its key counts.
    own_files::read(path).map_err(disk)?.ok_or_else(|| unusable(path, "it vanished"))
}

/// Nobody checks names or dates of a pinned certificate, so it names the machine itself and lasts.
fn certificate_for(key_pem: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::from_pem(&String::from_utf8_lossy(key_pem))?;
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut certificate = CertificateParams::new(names)?;
    certificate.distinguished_name = DistinguishedName::new();
    certificate.distinguished_name.push(DnType::CommonName, product::SERVER);
    Ok(certificate.self_signed(&key)?.pem().into_bytes())
}

fn unusable(path: &Path, reason: impl ToString) -> KeyError {
    KeyError::Unusable { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        let data = tempfile::tempdir().unwrap();
        let keys = data.path().join("keys");
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let first = identity(&keys).unwrap().fingerprint;
        assert_eq!(identity(&keys).unwrap().fingerprint, first);

        // A certificate made anew for the same key is the same server.
        fs::remove_file(keys.join("server.crt")).unwrap();
        assert_eq!(identity(&keys).unwrap().fingerprint, first);

        let site = Site::at(data.path());
        let master = master_key(&site).unwrap();
        assert_eq!(master_key(&site).unwrap(), master);
        #[cfg(unix)]
        for file in ["server.key", "master.key"] {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(keys.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn no_new_master_key_is_made_for_packs_that_an_old_one_sealed() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("packs")).unwrap();
        fs::write(data.path().join("packs/1.pack"), b"sealed").unwrap();
        assert!(matches!(master_key(&Site::at(data.path())), Err(KeyError::MasterKeyLost(_))));
        assert!(!data.path().join("keys/master.key").exists());
    }

    #[test]
    fn a_key_that_lies_elsewhere_is_made_there_and_missed_there() {
        let (data, stick) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let site = Site { master_key: stick.path().join("deep/master.key"), ..Site::at(data.path()) };
        let master = master_key(&site).unwrap();
        assert_eq!(fs::read(&site.master_key).unwrap(), master);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
        fs::create_dir(data.path().join("packs")).unwrap();
        fs::write(data.path().join("packs/1.pack"), b"sealed").unwrap();
        fs::remove_file(&site.master_key).unwrap();
        assert!(matches!(master_key(&site), Err(KeyError::MasterKeyLost(path)) if path == site.master_key));
    }

    #[test]
    fn a_certificate_of_somebody_else_gives_the_fingerprint_of_its_key() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let keys = tempfile::tempdir().unwrap();
        let own = identity(keys.path()).unwrap().fingerprint;
        let (certificate, key) = (keys.path().join("server.crt"), keys.path().join("server.key"));
        let of_files = identity_of_files(&certificate, &key).unwrap();
        assert_eq!((of_files.fingerprint, of_files.tls.is_some()), (own, true));
        let of_proxy = identity_of_proxy(&certificate).unwrap();
        assert_eq!((of_proxy.fingerprint, of_proxy.tls.is_none()), (own, true));
        assert!(identity_of_files(&key, &certificate).is_err());
        assert!(identity_of_proxy(&keys.path().join("none")).is_err());
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        identity(one.path()).unwrap();
        identity(other.path()).unwrap();
        fs::copy(one.path().join("server.crt"), other.path().join("server.crt")).unwrap();
        assert!(matches!(identity(other.path()), Err(KeyError::Unusable { .. })));
    }
}
