//! The client program without its `main`: adapters to tokio and HTTP, the control socket, the command line.
//!
//! Invariant: nothing here decides what is synced; the client crate does, and is driven from here.

pub mod link;
