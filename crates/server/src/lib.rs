//! The server's shell: what turns a service into a program that listens, is configured and is administered.
//!
//! Invariant: nothing here decides about accounts, drives or content; it carries calls to the service and answers back.

pub mod acme;
pub mod admin;
pub mod args;
pub mod backup;
pub mod certificates;
pub mod codes;
pub mod config;
pub mod connection_log;
pub mod export;
pub mod fsck;
mod knocks;
pub mod reference;
pub mod run;
pub mod store;
pub mod upgrade;
pub mod upkeep;

pub mod answer;
pub mod answers;
mod discovery;
mod feed;
mod forwarded;
mod guest;
pub mod http;
pub mod keys;
pub mod listen;
mod metrics;
pub mod operated;
mod stall;
pub mod stop;
