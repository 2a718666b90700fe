//! What the tests stand on: a real server as a child process, and the real clients that talk to it.
//!
//! Invariant: a peer that is missing fails the test; nothing is skipped.

mod demo;
pub mod flight;
mod lab;
mod leash;
mod peers;
mod postgres;
pub mod s3;
mod server;
pub mod tls;

pub use demo::{Demo, demo, patients};
pub use lab::Lab;
pub use peers::{Client, Psql, deeds, python};
pub use postgres::Postgres;
pub use server::{Server, binary, init, password_file, verify};
