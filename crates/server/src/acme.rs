//! A public certificate from an authority (ACME, RFC 8555), ordered and renewed while the server runs.
//!
//! It is for the key that the server has anyway: devices pin that key, so neither the first certificate nor a renewal, nor a
//! renewal that fails, changes anything for them ([why](../../../docs/design/0019-certificates.md)).

mod authority;
mod order;
mod standing;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use skep_platform::runtime::RuntimeClock;
use skep_platform::talk::{Complaint, Exit, utc_text};
use skep_platform::{Clock, own_files};
use skep_shell::https::{Https, HttpsError};
use skep_types::Timestamp;
use tokio::time::sleep;

pub use self::standing::{Failure, Standing, Standings};
use crate::admin::printable;
use crate::certificates::Certificates;
use crate::certificates::dates::{self, Dates};
use crate::keys::{self, KeyError};

/// The first pause after a failure when nobody answered,
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(60);
/// after one for which the authority counts how often it happens,
const REFUSED_PAUSE: Duration = Duration::from_secs(15 * 60);
/// and what pauses grow to.
const PAUSE_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Between two certificates, whatever their dates say.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);
/// Clocks are set and machines sleep, so the time of a renewal is looked at anew so often.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// What is ordered, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The name for which.
    pub domain: String,
    /// Where the authority may write to.
    pub email: Option<String>,
    /// The authority.
    pub directory: String,
    /// Who vouches for it, beside those whom the machine trusts.
    pub roots: Option<PathBuf>,
}

impl Acme {
    /// Complains of roots that cannot be used before anything else is tried.
    pub fn check_roots(&self) -> Result<(), Complaint> {
        let usable = Https::new(self.roots.as_deref()).map(drop);
        usable.map_err(|why| {
            Complaint::new(Exit::Failed, "E-CONFIG", format!("Nobody vouches for the authority: {why}."))
        })
    }
}

/// There is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// Nobody could vouch for any authority.
    #[error(transparent)]
    Roots(HttpsError),
    /// The authority could not be asked.
    #[error("{0}")]
    Unreachable(String),
    /// The authority does not want to.
    #[error("the authority says: {0}")]
    Refused(String),
    /// The authority looked for the server under its name and did not find it.
    #[error("the authority could not see that the name leads to this server: {0}")]
    NotProven(String),
    /// What came, or what is here, cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// A file cannot be read or written.
    #[error("`{}`: {source}", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// The directory of the server's keys, as far as it concerns orders.
#[derive(Debug, Clone)]
pub struct Keys(PathBuf);

impl Keys {
    /// In this directory.
    pub fn at(keys: &Path) -> Keys {
        Keys(keys.to_owned())
    }

    fn account(&self) -> PathBuf {
        self.0.join("acme-account.json")
    }

    fn certificate(&self) -> PathBuf {
        self.0.join("acme.crt")
    }

    fn failure(&self) -> PathBuf {
        self.0.join("acme-failure.json")
    }

    fn server_key(&self) -> Result<String, AcmeError> {
        let path = self.0.join(keys::SERVER_KEY);
        let read = own_files::read(&path).and_then(|bytes| bytes.ok_or_else(|| io::ErrorKind::NotFound.into()));
        let bytes = read.map_err(|source| AcmeError::Disk { path, source })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A chain as something to show, if it is for this name and the server's key, and when it is valid.
    fn usable(&self, pem: &[u8], domain: &str) -> Result<(CertifiedKey, Dates), AcmeError> {
        let unusable =
            |why: &dyn std::fmt::Display| AcmeError::Unusable(format!("the certificate cannot be used: {why}"));
        let of_key = |error: KeyError| unusable(&error);
        let certified =
            keys::certified(&self.certificate(), pem, &self.0.join(keys::SERVER_KEY), self.server_key()?.as_bytes());
        let certified = certified.map_err(of_key)?;
        let leaf = &certified.cert[0];
        let name = ServerName::try_from(domain).map_err(|error| unusable(&error))?;
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| unusable(&error))?;
        verify_server_name(&parsed, &name).map_err(|error| unusable(&error))?;
        let dates = dates::of(leaf).ok_or_else(|| unusable(&"its dates cannot be read"))?;
        Ok((certified, dates))
    }

    /// The certificate that is there, if it is for this name.
    fn kept(&self, domain: &str) -> Option<(CertifiedKey, Dates)> {
        let pem = own_files::read(&self.certificate()).ok()??;
        self.usable(&pem, domain).ok()
    }
}

/// Orders and renews, as long as the server runs.
pub struct Renewal {
    acme: Acme,
    keys: Keys,
    certificates: Arc<Certificates>,
    standings: Arc<Standings>,
    clock: RuntimeClock,
}

impl Renewal {
    /// For the server that shows `certificates` and whose keys are in `keys`. Shows what is there already.
    pub fn new(acme: Acme, keys: &Path, certificates: Arc<Certificates>) -> Renewal {
        let (keys, clock) = (Keys::at(keys), RuntimeClock::start());
        let standings = Arc::new(Standings::of(Standing::kept(&acme, &keys)));
        let renewal = Renewal { acme, keys, certificates, standings, clock };
        if let Some((certificate, dates)) = renewal.keys.kept(&renewal.acme.domain) {
            renewal.show(certificate, dates);
        }
        renewal
    }

    /// How it stands, for those who look after the server.
    pub fn standings(&self) -> Arc<Standings> {
        Arc::clone(&self.standings)
    }

    /// Never ends.
    pub async fn keep(self) {
        let mut pause = None;
        loop {
            let due = self.standings.now().dates.map(|dates| dates.renewal());
            let left_ms = due.map_or(0, |due| due.as_milliseconds() - self.clock.now().as_milliseconds());
            if let Ok(left_ms @ 1..) = u64::try_from(left_ms) {
                sleep(Duration::from_millis(left_ms).min(LOOK_EVERY)).await;
                continue;
            }
            match self.renew().await {
                Ok(()) => {
                    pause = None;
                    sleep(RENEWAL_PAUSE).await;
                }
                Err(error) => {
                    let next = pause_after(&error, pause);
                    self.failed(&error, next);
                    pause = Some(next);
                    sleep(next).await;
                }
            }
        }
    }

    async fn renew(&self) -> Result<(), AcmeError> {
        tracing::info!("ordering a certificate for {} from {}", self.acme.domain, self.acme.directory);
        let pem = order::certificate(&self.acme, &self.keys, &self.certificates).await?;
        let (certificate, dates) = self.keys.usable(pem.as_bytes(), &self.acme.domain)?;
        let path = self.keys.certificate();
        own_files::replace(&path, pem.as_bytes()).map_err(|source| AcmeError::Disk { path, source })?;
        self.show(certificate, dates);
        let (end, renewal) = (utc_text(dates.end), utc_text(dates.renewal()));
        tracing::info!(
            "the certificate for {} is valid until {end} and will be renewed after {renewal}",
            self.acme.domain
        );
        if let Err(error) = own_files::remove(&self.keys.failure()) {
            tracing::debug!(%error, "the last failure stays noted");
        }
        Ok(())
    }

    fn show(&self, certificate: CertifiedKey, dates: Dates) {
        self.certificates.show(certificate);
        self.standings
            .change(|standing| *standing = Standing { dates: Some(dates), failure: None, ..standing.clone() });
    }

    /// Says it and goes on with what there is.
    fn failed(&self, error: &AcmeError, next: Duration) {
        let now = self.clock.now();
        let (why, again) = (printable(&error.to_string()), next.as_millis() as u64);
        let failure = self.standings.change(|standing| {
            let times = standing.failure.as_ref().map_or(0, |failure| failure.times) + 1;
            let failure = Failure { times, at: now, again_at: now.plus_milliseconds(again), why };
            standing.failure = Some(failure.clone());
            failure
        });
        tracing::warn!("{}", self.standings.now().told(now).unwrap_or_default());
        // For `config check`, which is another process.
        if let Err(error) = failure.keep(&self.keys) {
            tracing::warn!(%error, "cannot note that in `{}`", self.keys.failure().display());
        }
    }
}

/// Twice as long as the last one; what the authority counts begins with a longer one.
fn pause_after(error: &AcmeError, last: Option<Duration>) -> Duration {
    let first = match error {
        AcmeError::Refused(_) | AcmeError::NotProven(_) | AcmeError::Unusable(_) => REFUSED_PAUSE,
        AcmeError::Roots(_) | AcmeError::Unreachable(_) | AcmeError::Disk { .. } => UNREACHABLE_PAUSE,
    };
    last.map_or(first, |last| (last * 2).clamp(first, PAUSE_MAX))
}

/// How it stands according to what is kept, for `config check`.
pub fn standing_of(acme: &Acme, keys: &Path) -> Standing {
    Standing::kept(acme, &Keys::at(keys))
}

/// Now.
pub fn now() -> Timestamp {
    RuntimeClock::start().now()
}

#[cfg(test)]
mod tests;
