//! What the shells of both programs have in common: HTTPS to whoever is not a Skep server, releases, manual pages.
//!
//! Invariant: nothing here speaks to anybody whom the user has not named.

pub mod https;
pub mod manual;
pub mod releases;
