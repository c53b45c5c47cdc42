//! The client program without its `main`: adapters to tokio and HTTP, the control socket, the command line.
//!
//! Invariant: nothing here decides what is synced; the client crate does, and is driven from [`engine`].

pub mod account;
pub mod activity;
mod approve;
pub mod args;
pub mod clock;
pub mod commands;
pub mod conflicts;
pub mod connect;
pub mod control;
pub mod daemon;
pub mod devices;
mod discovery;
pub mod doctor;
pub mod engine;
pub mod equality;
pub mod get;
pub mod history;
pub mod holds;
pub mod home;
pub mod ignore;
pub mod install;
pub mod join;
mod join_code;
mod knock;
pub mod limit;
pub mod link;
pub mod ls;
pub mod names;
pub mod past;
pub mod pause;
pub mod place;
mod qr;
pub mod remote;
pub mod restore;
pub mod rewind;
pub mod safety;
pub mod selection;
pub mod status;
pub mod terminal;
pub mod trash;
pub mod update;
