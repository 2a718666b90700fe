//! The words every Lakeward crate shares: identifiers, time, redaction and coded errors.
//!
//! Nothing here knows Arrow, DataFusion or an async runtime, so that every other crate can depend on it.
//!
//! Invariant: a value wrapped in [`Redacted`] never prints.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod clock;
mod code;
mod fault;
mod id;
mod redacted;

pub use clock::{Clock, FixedClock, SystemClock};
pub use code::{Coded, GrpcCode, SqlState};
pub use fault::FunctionError;
pub use id::{
    ColumnId, Epoch, IncidentId, MaskingPolicyId, PolicyId, PolicyTestId, RoleId, SchemaId, SessionId, StatementId,
    TableId, TagId,
};
pub use redacted::Redacted;

/// The longest identifier, in bytes: PostgreSQL's `NAMEDATALEN` less the terminating zero.
pub const NAME_BYTES: usize = 63;
