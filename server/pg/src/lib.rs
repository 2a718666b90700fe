//! The PostgreSQL wire protocol, versions 3.0 and 3.2, over the engine.
//!
//! The message loop, the decoding of what clients send and the way of rows to the socket are this crate's own:
//! rows are encoded straight from Arrow into the send buffer and flushed batch by batch, and a client that goes away
//! ends its statement at once. What the server says, rows apart, is encoded by pgwire's message types.
//!
//! Invariants: everything a client sends is read through bounds-checked readers with a length limit; plaintext is
//! refused where TLS is configured; errors carry a SQLSTATE and never a value; a panic ends one connection only.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod binding;
mod connection;
mod copy;
mod error;
mod extended;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod message;
mod packet;
mod parameter;
mod portal;
mod reply;
mod rows;
mod scram;
mod serve;
mod simple;
mod startup;
mod types;
mod wire;

pub use error::PgError;
pub use serve::{Limits, serve, serve_with};
