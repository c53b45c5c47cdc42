//! One order: an account, the proof that a name leads here, and a certificate for the key that devices know.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde_json::json;
use skep_platform::own_files;
use skep_shell::https::Https;

use super::{Acme, AcmeError, Keys};
use crate::acme::authority::Authorities;
use crate::certificates::Certificates;

/// An authority looks at a proof from several places, and takes its time.
const PROVEN_WITHIN: Duration = Duration::from_secs(90);
const FIRST_LOOK_AFTER: Duration = Duration::from_millis(500);

/// How a name is proven to lead here, in the order in which it is tried: at port 443 of the name, then at its port 80.
const WAYS: [(ChallengeType, &str); 2] = [(ChallengeType::TlsAlpn01, "port 443"), (ChallengeType::Http01, "port 80")];

/// A new certificate with its chain, in PEM.
pub async fn certificate(acme: &Acme, keys: &Keys, certificates: &Certificates) -> Result<String, AcmeError> {
    let account = account(acme, keys).await?;
    let request = request_for(&acme.domain, keys)?;
    let mut refusals = Vec::new();
    for (way, place) in WAYS {
        let ordered = ordered(&account, &acme.domain, &request, way, certificates).await;
        certificates.forget_proofs();
        match ordered {
            Ok(pem) => return Ok(pem),
            Err(AcmeError::NotProven(why)) => refusals.push(format!("at {place}: {why}")),
            Err(other) => return Err(other),
        }
    }
    Err(AcmeError::NotProven(refusals.join("; ")))
}

/// The account with that authority; made if there is none yet.
async fn account(acme: &Acme, keys: &Keys) -> Result<Account, AcmeError> {
    let https =
        || Https::new(acme.roots.as_deref()).map(|https| Box::new(Authorities(https))).map_err(AcmeError::Roots);
    let path = keys.account();
    let kept = own_files::read(&path).map_err(|source| AcmeError::Disk { path: path.clone(), source })?;
    if let Some(credentials) = kept.and_then(|bytes| credentials_with(&bytes, &acme.directory)) {
        return told(Account::builder_with_http(https()?).from_credentials(credentials).await);
    }
    let contact = acme.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_http(https()?);
    let (account, credentials) = told(builder.create(&wanted, acme.directory.clone(), None).await)?;
    let text = json!({ "directory": acme.directory, "credentials": credentials }).to_string();
    own_files::replace(&path, text.as_bytes()).map_err(|source| AcmeError::Disk { path, source })?;
    Ok(account)
}

/// What is kept of an account, if it is one with this authority. What cannot be read is as good as nothing: a new account costs nothing.
pub(super) fn credentials_with(bytes: &[u8], directory: &str) -> Option<AccountCredentials> {
    let mut kept: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    if kept["directory"] != directory {
        return None;
    }
    serde_json::from_value(kept["credentials"].take()).ok()
}

/// Asks for a certificate of the server's own key, so that devices, which know it by that key, notice nothing.
fn request_for(domain: &str, keys: &Keys) -> Result<Vec<u8>, AcmeError> {
    let key = KeyPair::from_pem(&keys.server_key()?).map_err(|error| AcmeError::Unusable(error.to_string()))?;
    let made = params(domain).and_then(|params| params.serialize_request(&key));
    made.map(|request| request.der().to_vec()).map_err(|error| AcmeError::Unusable(error.to_string()))
}

fn params(domain: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([domain.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

async fn ordered(
    account: &Account,
    domain: &str,
    request: &[u8],
    way: ChallengeType,
    certificates: &Certificates,
) -> Result<String, AcmeError> {
    let patience = RetryPolicy::new().initial_delay(FIRST_LOOK_AFTER).timeout(PROVEN_WITHIN);
    let names = [Identifier::Dns(domain.to_owned())];
    let mut order = told(account.new_order(&NewOrder::new(&names)).await)?;
    prove(&mut order, domain, &way, certificates).await?;
    match order.poll_ready(&patience).await {
        Ok(OrderStatus::Ready) => {}
        answer => return Err(refusal(&mut order, answer).await),
    }
    told(order.finalize_csr(request).await)?;
    told(order.poll_certificate(&patience).await)
}

/// Makes ready what the authority will look at, and tells it to look. One name has one authorization.
async fn prove(
    order: &mut Order,
    domain: &str,
    way: &ChallengeType,
    certificates: &Certificates,
) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = told(authorization)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let offered = authorization.challenge(way.clone());
        let mut challenge = offered.ok_or_else(|| AcmeError::NotProven("the authority does not look there".into()))?;
        let proof = challenge.key_authorization();
        match way {
            ChallengeType::Http01 => certificates.prove_over_http(&challenge.token, proof.as_str()),
            _ => certificates.prove_over_tls(domain, proving(domain, proof.digest().as_ref())?),
        }
        challenge.set_ready().await.map_err(not_proven)?;
    }
    Ok(())
}

/// The certificate that proves by a digest in it that whoever shows it knows the authority's question (RFC 8737).
fn proving(domain: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let unusable = |error: rcgen::Error| AcmeError::Unusable(error.to_string());
    let mut params = params(domain).map_err(unusable)?;
    params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
    let key = KeyPair::generate().map_err(unusable)?;
    let certificate = params.self_signed(&key).map_err(unusable)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key);
    let key = key.map_err(|error| AcmeError::Unusable(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Why the authority did not believe a proof. The order says it, or what it is made of.
async fn refusal(order: &mut Order, answer: Result<OrderStatus, Error>) -> AcmeError {
    let status = match answer {
        Ok(status) => status,
        Err(error) => return not_proven(error),
    };
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { break };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return not_proven(Error::Api(problem));
        }
    }
    AcmeError::NotProven(format!("the order is {status:?}"))
}

/// What the authority says while it looks for proof is about the proof.
fn not_proven(error: Error) -> AcmeError {
    match in_words(error) {
        AcmeError::Refused(why) => AcmeError::NotProven(why),
        other => other,
    }
}

fn told<T>(answer: Result<T, Error>) -> Result<T, AcmeError> {
    answer.map_err(in_words)
}

fn in_words(error: Error) -> AcmeError {
    match error {
        Error::Api(problem) => AcmeError::Refused(problem.detail.clone().unwrap_or_else(|| problem.to_string())),
        other => AcmeError::Unreachable(other.to_string()),
    }
}
