//! The engine: the one way from a request to rows, for every protocol.
//!
//! [`run`] is the whole of it: received, parsed, resolved, decided, planned, begun, started. Adapters hand in a
//! [`Request`] of a [`Session`] and encode the [`Response`]; they decide nothing.
//!
//! Invariants: nothing runs without a begun audit token; nothing is planned but over governed tables; no text of a
//! library's execution error leaves.

mod activity;
mod admission;
mod asks;
mod bounded;
mod bytea;
mod change;
mod client_rows;
mod clock;
mod cooperate;
mod copy;
mod create;
mod ddl;
mod engine;
mod error;
mod execute;
mod expansion;
mod explain;
mod functions;
mod glass;
mod handover;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod in_full;
mod key_cache;
mod keyed;
mod limits;
mod lineage;
mod maintain;
mod mentioned;
mod metadata;
mod modifier;
mod names;
mod output;
mod pending;
mod placeholder;
mod plan;
mod policy;
mod policy_tests;
mod policy_texts;
mod portal;
mod position;
mod postgres;
mod prepare;
mod publish;
mod query;
mod replace;
mod request;
mod resolve;
mod response;
mod run;
mod session;
mod sets;
mod settings;
mod simulate;
pub mod statement;
mod stoppable;
mod stream;
mod system;
mod tally;
mod template;
#[cfg(test)]
mod testing;
mod trace;
mod transaction;
mod vantage;
mod version;
mod watch;
mod wording;
mod write;

pub use admission::Load;
pub use client_rows::{ClientRows, IfExists, IfMissing, Ingest};
pub use copy::CopyWriter;
pub use engine::{Engine, Limits, Login, Parts, Protocol, Verifier};
pub use error::Error;
pub use glass::GlassWitness;
pub use metadata::{Visible, VisibleTable, metadata};
pub use pending::settle;
pub use postgres::{json_texts, read_text};
pub use prepare::{NUMERIC, prepare};
pub use request::{Prepared, Request, Source};
pub use response::{Command, Forgotten, Notice, Response, RowStream, RowTag};
pub use run::{refuse, run};
pub use session::{Credential, Session};
pub use statement::{CopyHeader, CopyOptions, CopyStyle, Part, Quoted, first_refused, split};
pub use system::{CatalogType, catalog_type, function_name};
pub use tally::StatementCounts;
pub use transaction::TransactionStatus;
