//! From when to when a certificate is valid: the one thing in it that rustls does not tell. The way to it through the encoding (X.690 DER) is
//! a few steps of tag and length, for which a library of certificates would bring ten crates.

use skep_types::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// First and last moment of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    /// Before it, nobody should believe the certificate,
    pub begin: Timestamp,
    /// nor after this.
    pub end: Timestamp,
}

impl Dates {
    /// When it is time for another one: when a third of its life is left.
    pub fn renewal(&self) -> Timestamp {
        let life_ns = self.end.as_nanoseconds() - self.begin.as_nanoseconds();
        Timestamp::from_nanoseconds(self.end.as_nanoseconds() - life_ns / 3)
    }
}

/// The dates of a certificate in DER; `None` if that is none.
pub fn of(certificate: &[u8]) -> Option<Dates> {
    let (whole, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(whole, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = any_element(fields)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = any_element(fields)?.2;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (begin, rest) = time(validity)?;
    let (end, _) = time(rest)?;
    (begin < end).then_some(Dates { begin, end })
}

/// What the element that stands first contains, if it has this tag, and what follows it.
fn element(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = any_element(bytes)?;
    (tag == expected).then_some((content, rest))
}

fn any_element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = bytes.split_first_chunk()?;
    let (len, rest) = match short {
        0..=0x7F => (usize::from(short), rest),
        // So many bytes of length follow; four are more than any certificate has.
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(short & 0x7F))?;
            (len.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// The time that stands first: `YYMMDDhhmmssZ` of 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn time(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, text, rest) = any_element(bytes)?;
    let digits = std::str::from_utf8(text.strip_suffix(b"Z")?).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, others) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let number = |at: usize| others[at..at + 2].parse::<i64>().ok();
    let day = days_since_1970(year, number(0)?, number(2)?);
    let seconds = day * 86_400 + number(4)? * 3_600 + number(6)? * 60 + number(8)?;
    Some((Timestamp { seconds, nanoseconds: 0 }, rest))
}

/// Years are counted from March, so that the leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const UNTIL_1970: i64 = 719_468;
    let (year, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * months + 2) / 5 + day
        - 1
        - UNTIL_1970
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use skep_platform::talk::utc_text;

    use super::*;

    fn dates(begin: (i32, u8, u8), end: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(["files.example.org".to_owned()]).unwrap();
        params.not_before = date_time_ymd(begin.0, begin.1, begin.2);
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_dates_of_certificates_are_read_in_both_forms() {
        for (begin, end, expected) in [
            ((2026, 11, 22), (2027, 2, 20), ["2026-11-22T00:00:00Z", "2027-02-20T00:00:00Z", "2027-01-21T00:00:00Z"]),
            ((2024, 2, 29), (2024, 3, 3), ["2024-02-29T00:00:00Z", "2024-03-03T00:00:00Z", "2024-03-02T00:00:00Z"]),
            ((1999, 12, 31), (2050, 1, 1), ["1999-12-31T00:00:00Z", "2050-01-01T00:00:00Z", "2033-05-02T00:00:00Z"]),
        ] {
            let found = of(&dates(begin, end)).unwrap();
            assert_eq!([found.begin, found.end, found.renewal()].map(utc_text), expected);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_dates() {
        let whole = dates((2026, 1, 1), (2027, 1, 1));
        assert_eq!(of(&[]), None);
        for len in 0..whole.len() {
            assert_eq!(of(&whole[..len]), None, "cut at {len}");
        }
        // Whatever stands anywhere, nothing breaks.
        for at in 0..whole.len() {
            for byte in [0, 0x30, 0x7F, 0x80, 0x84, 0xFF] {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = of(&changed);
            }
        }
        assert_eq!(of(&dates((2027, 1, 1), (2026, 1, 1))), None, "it ends before it begins");
    }
}
