//! Continuous views over streams of vitals: rows in, alerts out, each exactly once into the state.
//!
//! A stream is a [`source`] of records; [`Decoder`] makes them rows, or dead letters. [`epoch::Epochs`] is the loop: each
//! tick takes what is new, runs the operators of every view ([`definition`]) over it, commits what was taken, what is
//! remembered and what has changed in one transaction of the [`store`], and then tells the subscribers ([`subscribe`]).
//! Everything on disk is sealed by a [`Vault`]. `docs/life-of-a-vital.md` walks one record through it.
//!
//! What comes out of here is raw. Only code that applies policies may show it to anyone.
//!
//! Invariants: a record counts once in each view, whatever fails; nothing is told that is not durable; no row, record or
//! key is written in the clear; every queue is bounded.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

mod decode;
pub mod definition;
mod encrypted_file;
pub mod epoch;
mod error;
mod operator;
mod row;
mod row_id;
pub mod runner;
mod seal;
pub mod source;
pub mod store;
pub mod subscribe;
mod watermark;

#[cfg(test)]
mod tests;

pub use decode::{DeadLetter, Decoded, Decoder, Origin, Rows};
pub use encrypted_file::{EncryptedFile, Recovery};
pub use error::StreamError;
pub use operator::{ChangeKind, Changes, Refusal};
pub use row_id::{RowId, ViewVersion};
pub use seal::{Unopened, Vault};
pub use watermark::WatermarkRule;
