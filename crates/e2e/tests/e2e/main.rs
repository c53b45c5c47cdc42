//! The real programs, end to end: what the contract for automation promises, and what nobody may ever lose.
//!
//! Everything is waited for by what can be seen, with generous deadlines; nothing is waited for by time.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]
#![expect(clippy::disallowed_methods, reason = "these tests wait for programs that run on the machine's own clock")]

mod abuse;
mod accounts;
mod asking;
mod attacker;
mod certificates;
mod codes;
mod connecting;
mod damage;
mod dying;
mod editors;
mod equality;
mod exporting;
mod history;
mod holds;
mod ignoring;
mod kinds;
mod knocking;
mod limiting;
mod meeting;
mod mounting;
mod names;
mod operations;
mod places;
mod programs;
mod proxies;
mod relinking;
mod restoring;
mod rig;
mod rights;
mod room;
mod selecting;
mod syncing;
mod tree;
mod upkeep;
mod verbs;
