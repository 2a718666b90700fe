//! What the tests stand on: a real server as a child process, and the real clients that talk to it.
//!
//! Invariant: a peer that is missing fails the test; nothing is skipped.

mod demo;
pub mod flight;
mod lab;
mod leash;
mod peers;
pub mod postgres;
pub mod s3;
mod server;
pub mod tls;

pub use demo::{Demo, PATIENTS, demo};
pub use lab::{Lab, ask, block_on};
pub use peers::{Client, Psql, deeds, limited, named, psql_program, python};
pub use postgres::Postgres;
pub use server::{Server, binary, init, password_file, verify};
