//! The `lakeward` binary's inside: configuration, the data directory, wiring, and the demo.
//!
//! It is a library so that tests can start a server in their own process. Nothing here decides who may see what: that
//! is `engine`'s and `govern`'s. Invariant: standard output carries JSON lines only, for whoever scripts the server;
//! text for people goes to standard error.

pub mod audit;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod http;
pub mod init;
pub mod keys;
pub mod layout;
pub mod logging;
pub mod metrics;
mod patience;
mod ranger;
pub mod serve;
pub mod storage;
pub mod tls;
pub mod webhook;

pub use error::ServerError;
