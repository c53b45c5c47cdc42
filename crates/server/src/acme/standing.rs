//! How it stands with the public certificate, as logs, `/readyz`, `/metrics` and `config check` tell it.

use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use skep_platform::own_files;
use skep_platform::talk::utc_text;
use skep_types::Timestamp;

use super::{Acme, Keys};
use crate::certificates::dates::Dates;

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// For which name.
    pub domain: String,
    /// When the certificate is valid that is shown; `None`: it is the one that the server made itself.
    pub dates: Option<Dates>,
    /// Why there is no newer one.
    pub failure: Option<Failure>,
}

/// The last of the failures since there was a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How many.
    pub times: u64,
    /// When.
    pub at: Timestamp,
    /// When it is tried again.
    pub again_at: Timestamp,
    /// What happened.
    pub why: String,
}

/// A standing that changes.
#[derive(Debug)]
pub struct Standings(Mutex<Standing>);

impl Standings {
    /// Begins with this.
    pub fn of(standing: Standing) -> Standings {
        Standings(Mutex::new(standing))
    }

    /// As it is.
    pub fn now(&self) -> Standing {
        self.change(|standing| standing.clone())
    }

    /// Changes it.
    pub fn change<T>(&self, act: impl FnOnce(&mut Standing) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Standing {
    pub(super) fn kept(acme: &Acme, keys: &Keys) -> Standing {
        let dates = keys.kept(&acme.domain).map(|(_, dates)| dates);
        Standing { domain: acme.domain.clone(), dates, failure: Failure::kept(keys) }
    }

    /// In words, if there is something that a person should know.
    pub fn told(&self, now: Timestamp) -> Option<String> {
        let domain = &self.domain;
        let is_over = self.dates.is_some_and(|dates| dates.end <= now);
        let shown = match self.dates {
            Some(dates) if is_over => format!("The certificate for {domain} was valid until {}", utc_text(dates.end)),
            Some(dates) => format!("The certificate for {domain} is valid until {}", utc_text(dates.end)),
            None => format!("There is no certificate for {domain} yet"),
        };
        match &self.failure {
            Some(Failure { times, again_at, why, .. }) => {
                let (times, again) =
                    (if *times == 1 { "once".into() } else { format!("{times} times") }, utc_text(*again_at));
                Some(format!(
                    "{shown}. A new one was ordered in vain ({times}); it is tried again at {again}. The last time: {why}. Devices go on: they \
                     know the server by its key."
                ))
            }
            None if is_over || self.dates.is_none() => Some(format!("{shown}.")),
            None => None,
        }
    }
}

impl Failure {
    /// Notes it for other processes.
    pub(super) fn keep(&self, keys: &Keys) -> io::Result<()> {
        let Failure { times, at, again_at, why } = self;
        let text = json!({ "times": times, "at": at.seconds, "again_at": again_at.seconds, "why": why }).to_string();
        own_files::replace(&keys.failure(), text.as_bytes())
    }

    fn kept(keys: &Keys) -> Option<Failure> {
        let noted: Value = serde_json::from_slice(&own_files::read(&keys.failure()).ok()??).ok()?;
        let moment = |name: &str| Some(Timestamp { seconds: noted[name].as_i64()?, nanoseconds: 0 });
        Some(Failure {
            times: noted["times"].as_u64()?,
            at: moment("at")?,
            again_at: moment("again_at")?,
            why: noted["why"].as_str()?.to_owned(),
        })
    }
}
