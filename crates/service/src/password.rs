//! Passwords: Argon2id, at the cost that OWASP recommends.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 16;
/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 << 10;
/// Rounds over that memory.
const ROUNDS: u32 = 2;
/// Lanes of one hash.
const LANES: u32 = 1;
/// Stands in for the hash of an account that does not exist or has no password, so that both take the same time. No password has it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2tlcCBub2JvZHkgc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The hash to store for a password.
pub(crate) fn hash(password: &str, salt: &[u8; SALT_BYTES]) -> String {
    let params = Params::new(MEMORY_KIB, ROUNDS, LANES, None).expect("the parameters are constants in range");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(password.as_bytes(), salt);
    hash.expect("lengths of password and salt are in range").to_string()
}

/// Whether a password is the one that was hashed. Takes as long when there is none.
pub(crate) fn verify(password: &str, stored: Option<&str>) -> bool {
    let matches = Argon2::default().verify_password(password.as_bytes(), stored.unwrap_or(NOBODY)).is_ok();
    matches && stored.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_counts() {
        let stored = hash("correct horse", &[7; SALT_BYTES]);
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse", Some(&stored)));
        assert!(!verify("correct hors", Some(&stored)));
        assert!(!verify("correct horse", Some("nonsense")));
        assert!(!verify("", None));
    }

    #[test]
    fn nobody_costs_what_an_account_costs() {
        let params = |phc: &str| {
            let parsed = argon2::PasswordHash::new(phc).expect("a PHC string");
            let lengths = (parsed.salt.map(|salt| salt.len()), parsed.hash.map(|hash| hash.len()));
            (parsed.params.to_string(), lengths)
        };
        assert_eq!(params(NOBODY), params(&hash("x", &[1; SALT_BYTES])));
    }
}
