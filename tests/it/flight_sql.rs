//! Flight SQL as its clients use it: prepared statements, metadata, cancelling, sessions, bulk loads, hostile input.

mod adbc;
pub mod client;
mod hostile;
mod ingest;
mod metadata;
mod prepared;
mod session;
