//! The client program without its `main`: adapters to tokio and HTTP, the control socket, the command line.
//!
//! Invariant: nothing here decides what is synced; the client crate does, and is driven from [`engine`].

pub mod activity;
pub mod args;
pub mod clock;
pub mod commands;
pub mod conflicts;
pub mod connect;
pub mod control;
pub mod daemon;
pub mod doctor;
pub mod engine;
pub mod holds;
pub mod home;
pub mod install;
pub mod join;
pub mod link;
pub mod ls;
pub mod names;
pub mod pause;
pub mod remote;
pub mod safety;
pub mod status;
pub mod terminal;
