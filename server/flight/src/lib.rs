//! Arrow Flight SQL over the engine: `grpc+tls`, Basic login to a bearer token, statements by signed tickets.
//!
//! The adapter authenticates, turns Flight SQL's commands into requests for [`lakeward_engine::run`], and encodes what
//! it answers. What it does not serve is refused by name with UNIMPLEMENTED. Invariants: no call but the handshake runs
//! without a session; a ticket holds no SQL, and only the session that it was given to can redeem it, once, within a
//! minute; an error holds a SQLSTATE (trailer `sqlstate`) and nothing of a library's; a panic ends one call.

mod actions;
mod authorization;
mod client;
mod connection;
mod door;
mod encode;
mod error;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod ingest;
mod keys;
mod login;
mod metadata;
mod prepared;
mod received;
mod serve;
mod service;
mod session_options;
mod sql_info;
mod statement;
mod status;
mod ticket;
mod trailer;
mod types;

pub use error::FlightError;
pub use serve::serve;
