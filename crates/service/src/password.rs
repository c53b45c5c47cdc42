//! Passwords: Argon2id, at the cost that OWASP recommends.

use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};

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

/// What a hash is made in: 19 MiB, kept from one log-in to the next, because allocators do not give back so much that comes and goes on
/// many threads.
pub(crate) type Memory = Vec<Block>;

/// Whether a password is the one that was hashed. Takes as long when there is none.
pub(crate) fn verify(password: &str, stored: Option<&str>, memory: &mut Memory) -> bool {
    matches(password, stored.unwrap_or(NOBODY), memory).unwrap_or(false) && stored.is_some()
}

/// `None` if `stored` is no hash of ours.
fn matches(password: &str, stored: &str, memory: &mut Memory) -> Option<bool> {
    let stored = PasswordHash::new(stored).ok()?;
    let params = Params::try_from(&stored).ok()?;
    let is_usual = params.m_cost() == MEMORY_KIB && stored.algorithm == Algorithm::Argon2id.ident();
    let (Some(salt), Some(expected), true) = (stored.salt, stored.hash, is_usual) else {
        return Some(Argon2::default().verify_password(password.as_bytes(), &stored).is_ok());
    };
    memory.resize(params.block_count(), Block::default());
    let mut found = vec![0; expected.len()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(password.as_bytes(), salt.as_ref(), &mut found, memory).ok()?;
    // All bytes are looked at: the time tells nothing.
    let differing = found.iter().zip(expected.as_ref()).fold(0, |differing, (one, other)| differing | (one ^ other));
    Some(differing == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_counts() {
        let stored = hash("correct horse", &[7; SALT_BYTES]);
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let verify = |password, stored| verify(password, stored, &mut Memory::new());
        assert!(verify("correct horse", Some(&stored)));
        assert!(!verify("correct hors", Some(&stored)));
        assert!(!verify("correct horse", Some("nonsense")));
        assert!(!verify("", None));
        // Made at another cost, by another program.
        let other = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).expect("in range"));
        let other = other.hash_password_with_salt(b"correct horse", &[8; SALT_BYTES]).expect("in range").to_string();
        assert!(verify("correct horse", Some(&other)) && !verify("correct hors", Some(&other)));
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
