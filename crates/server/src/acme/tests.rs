use rcgen::{CertificateParams, KeyPair};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn acme() -> Acme {
    Acme { domain: "files.example.org".into(), email: None, directory: "https://ca.example.org/".into(), roots: None }
}

/// A certificate for that name and the key in the file, or another one.
fn certificate(name: &str, key: Option<&Path>) -> Vec<u8> {
    let key = match key {
        Some(path) => KeyPair::from_pem(&String::from_utf8(own_files::read(path).unwrap().unwrap()).unwrap()).unwrap(),
        None => KeyPair::generate().unwrap(),
    };
    CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().pem().into_bytes()
}

#[test]
fn only_a_certificate_for_the_name_and_the_key_that_devices_know_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let identity = keys::identity(dir.path()).unwrap();
    let (own, keys) = (dir.path().join(keys::SERVER_KEY), Keys::at(dir.path()));
    let certificates = identity.certificates.unwrap();
    let made_itself = certificates.shown().cert[0].clone();
    for (unusable, why) in [
        (certificate("other.example.org", Some(&own)), "another name"),
        (certificate("files.example.org", None), "another key"),
        (b"garbage".to_vec(), "nothing at all"),
    ] {
        own_files::replace(&keys.certificate(), &unusable).unwrap();
        let renewal = Renewal::new(acme(), dir.path(), Arc::clone(&certificates));
        assert_eq!(
            (certificates.shown().cert[0].clone(), renewal.standings.now().dates),
            (made_itself.clone(), None),
            "{why}"
        );
    }
    own_files::replace(&keys.certificate(), &certificate("files.example.org", Some(&own))).unwrap();
    let renewal = Renewal::new(acme(), dir.path(), Arc::clone(&certificates));
    let shown = certificates.shown().cert[0].clone();
    assert!(shown != made_itself && renewal.standings.now().dates.is_some());
    assert_eq!(keys::fingerprint_of(&shown).unwrap(), identity.fingerprint);
    assert_eq!(renewal.standings.now().told(now()), None, "nothing is wrong");
}

#[test]
fn pauses_grow_and_begin_longer_where_failures_are_counted() {
    let (unreachable, refused) = (AcmeError::Unreachable(String::new()), AcmeError::NotProven(String::new()));
    let mut pause = None;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        pause = Some(pause_after(&unreachable, pause));
        pauses.push(pause.unwrap());
    }
    assert_eq!(pauses[..4], [60 * SECOND, 120 * SECOND, 240 * SECOND, 480 * SECOND]);
    assert_eq!(pauses[11], PAUSE_MAX);
    assert_eq!(pause_after(&refused, None), 900 * SECOND);
    assert_eq!(pause_after(&refused, Some(60 * SECOND)), 900 * SECOND);
    assert_eq!(pause_after(&refused, Some(900 * SECOND)), 1800 * SECOND);
}

#[test]
fn a_failure_is_told_with_what_goes_on_and_to_other_processes_too() {
    let dir = tempfile::tempdir().unwrap();
    let identity = keys::identity(dir.path()).unwrap();
    let renewal = Renewal::new(acme(), dir.path(), identity.certificates.unwrap());
    assert_eq!(renewal.standings.now().told(now()).unwrap(), "There is no certificate for files.example.org yet.");
    renewal.failed(&AcmeError::Refused("no \u{1b}[31msuch\nname".into()), SECOND);
    renewal.failed(&AcmeError::Refused("no \u{1b}[31msuch\nname".into()), SECOND);
    let noted = standing_of(&acme(), dir.path());
    for standing in [renewal.standings.now(), noted] {
        let told = standing.told(now()).unwrap();
        assert!(
            told.starts_with(
                "There is no certificate for files.example.org yet. A new one was ordered in vain (2 times); "
            ),
            "{told}"
        );
        assert!(told.contains("the authority says: no \u{FFFD}[31msuch\u{FFFD}name. Devices go on"), "{told}");
    }
    let dates =
        Dates { begin: Timestamp { seconds: 0, nanoseconds: 0 }, end: Timestamp { seconds: 9, nanoseconds: 0 } };
    let over = Standing { domain: "a.b".into(), dates: Some(dates), failure: None };
    assert_eq!(over.told(now()).unwrap(), "The certificate for a.b was valid until 1970-01-01T00:00:09Z.");
    assert_eq!(over.told(Timestamp::default()), None);
}

#[test]
fn what_is_kept_of_an_account_counts_for_its_authority_only() {
    assert!(order::credentials_with(b"garbage", "https://a/").is_none());
    let kept = br#"{"directory":"https://a/","credentials":{"id":"1","key_pkcs8":"AAAA","directory":"https://a/"}}"#;
    assert!(order::credentials_with(kept, "https://a/").is_some());
    assert!(order::credentials_with(kept, "https://b/").is_none());
}
