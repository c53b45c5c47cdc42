//! The server without its shell: requests, journals, uploads, feeds, accounts.
//!
//! A [`Service`] answers calls and feeds as streams of frames. Sockets, TLS and HTTP belong to the shell above, stores lie
//! behind the seams of `metastore` and `blobstore`, and time, chance and blocking work come from `platform`: so the
//! simulator runs this very code.
//!
//! The one path to know: [`Service::call`] reads a commit's body (`intake`), makes its blocks durable, hands it to the one
//! writer (`commit`), which decides all commits that wait in one transaction and publishes them to the drive's `hub`, where
//! the open feeds (`feed`) take them from memory.
//!
//! Invariant: bytes are durable before a row names them; a commit's metadata is one transaction; a feed hears of a commit
//! only after that transaction is durable.
#![forbid(unsafe_code)]

mod service;

mod accounts;
pub mod check;
mod classic;
mod codes;
mod commit;
mod content;
mod feed;
mod hello;
mod join;
mod journal;
mod knocks;
mod lineage;
mod own_account;
mod past;
mod removal;
pub mod upkeep;

mod answer;
mod backoff;
mod connections;
mod counters;
mod error;
mod exchanges;
mod hub;
mod intake;
mod password;
mod pins;
mod room;
mod session;
mod stranger;
mod sums;

pub use accounts::misleads;
pub use codes::Invited;
pub use connections::connection_line;
pub use counters::{Calls, Figures};
pub use error::ServiceError;
pub use join::place_of;
pub use lineage::mark_as_copy;
pub use removal::Belongings;
pub use service::{Parts, Service};
pub use skep_drive::Retention;
