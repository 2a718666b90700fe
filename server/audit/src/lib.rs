//! The audit log: no statement runs without a durable record of it, and what was recorded cannot be changed unseen.
//!
//! A statement carries a token through its life ([`Audit<Received>`], then [`Audit<Begun>`]); running it takes the second
//! by value, so that unaudited execution does not compile. Tokens queue records; one writer thread puts them into
//! segment files, many at a time, with one `fdatasync` for all ([`AuditLog`]). Every record's hash covers the one before
//! it ([`verify`]), and a head file beside the log says how far it had come. Records hold no literal of any statement.
//!
//! Invariant: a [`Durable`] that answers `Ok` means that the record, and every one before it, is on the disk.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod disclosures;
mod durable;
mod error;
mod facts;
mod head;
mod keys;
mod log;
mod merkle;
mod names;
mod prove;
mod publish;
mod queue;
mod records;
mod recovery;
mod search;
mod segment;
mod stats;
mod storage;
mod table;
mod tend;
mod token;
mod value;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use disclosures::DisclosureScan;
pub use durable::Durable;
pub use error::AuditError;
pub use facts::{Asked, BeginFacts, ObjectFacts, Outcome, Protocol, SubjectFacts, Who};
pub use keys::{AuditKeys, PublicKey};
pub use log::{AuditConfig, AuditLog};
pub use prove::{Proof, prove};
pub use publish::HeadDirectory;
pub use recovery::Recovery;
pub use search::{Access, AccessedObject, Answer, Question, Search, search};
pub use stats::AuditStats;
pub use table::{Scan, schema};
pub use token::{Audit, Begun, Received, Stage};
pub use verify::{Report, Trust, Verdict, verify};
