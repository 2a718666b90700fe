//! Arrow Flight SQL over the engine: `grpc+tls`, Basic login to a bearer token, statements by signed tickets.
//!
//! The adapter authenticates, turns Flight SQL's commands into requests for [`lakeward_engine::run`], and encodes what
//! it answers. What it does not serve is refused by name with UNIMPLEMENTED. Invariants: no call but the handshake runs
//! without a session; a ticket holds no SQL, and only the session that it was given to can redeem it, once, within a
//! minute; an error holds a SQLSTATE (trailer `sqlstate`) and nothing of a library's; a panic ends one call.

mod authorization;
mod client;
mod connection;
mod door;
mod encode;
mod error;
mod login;
mod metadata;
mod prepared;
mod serve;
mod service;
mod statement;
mod status;
mod ticket;
mod trailer;

pub use error::FlightError;
pub use serve::serve;
