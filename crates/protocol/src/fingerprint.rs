//! The fingerprint by which devices know a server's key.

use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "sha256:";

/// SHA-256 of the SubjectPublicKeyInfo (DER) of a server's certificate: stays the same when the certificate is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// The text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is `{PREFIX}` and 64 hexadecimal digits")]
pub struct ParseFingerprintError;

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Takes what people copy: with or without the prefix, in either case, with colons between the digits or without.
impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Fingerprint, ParseFingerprintError> {
        let text = text.trim().to_ascii_lowercase();
        let digits: String = text.strip_prefix(PREFIX).unwrap_or(&text).chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseFingerprintError);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[index * 2..index * 2 + 2], 16).map_err(|_| ParseFingerprintError)?;
        }
        Ok(Fingerprint(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_back_in_every_form_that_people_copy() {
        let fingerprint = Fingerprint(std::array::from_fn(|index| index as u8 * 7));
        let text = fingerprint.to_string();
        let digits = &text[PREFIX.len()..];
        let pairs: Vec<&str> = (0..32).map(|index| &digits[index * 2..index * 2 + 2]).collect();
        for form in [text.clone(), digits.to_owned(), pairs.join(":"), text.to_uppercase(), format!(" {text}\n")] {
            assert_eq!(form.parse(), Ok(fingerprint), "{form}");
        }
        assert!("sha256:".parse::<Fingerprint>().is_err());
        assert!(digits[1..].parse::<Fingerprint>().is_err());
        assert!("é".repeat(32).parse::<Fingerprint>().is_err());
    }
}
