//! Governance: who sees which rows and columns of a table, and the barrier that holds it.
//!
//! [`decide`] turns a principal, a catalog snapshot and the tables of a statement into a [`Decision`]; a
//! [`GovernedTable`] holds its part of the decision and is the only kind of lake table that a user's plan can name;
//! `GovernedScanExec` and `OpenScanExec` are the leaves that it scans into; [`LeafGuard`] refuses every other leaf.
//!
//! Invariant: no row and no cell that a decision hides crosses from below a scan to above it, by value, by error text,
//! by statistics or by bytes under nulls.
#![cfg_attr(test, allow(clippy::disallowed_methods))]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod access;
#[cfg(test)]
mod barrier_tests;
mod compile;
#[cfg(any(test, feature = "control"))]
mod control;
mod decide;
mod dynamic_filter;
mod error;
mod governed_scan;
mod governed_table;
mod incident;
mod inner_plan;
mod key_set;
mod leaf_guard;
mod leakproof;
mod mapping;
mod mask;
mod open_scan;
mod principal;
mod privileged;
mod row_policy;
mod scan_context;
mod scan_stream;
pub mod scrub;
mod session_functions;
mod shadow;
mod stamp;
mod subjects;
mod subquery;
mod system_table;
#[cfg(test)]
mod testing;
mod trace;
mod write_check;

pub use access::{Access, Decision, TableDecision};
pub use compile::{CompileError, NamedSource, PolicyCompiler, check_row_policy};
#[cfg(any(test, feature = "control"))]
pub use control::{NaiveTable, naive_inline};
pub use decide::{ResolvedTable, decide};
pub use error::{BarrierError, DecideError, FailureKind};
pub use governed_table::GovernedTable;
pub use leaf_guard::LeafGuard;
pub use mapping::{MappedTable, Mapping, mappings, read_mappings};
pub use mask::{check_masking_policy, hides_every_kind};
pub use principal::{Fingerprint, Glass, Principal, RoleSet};
pub use privileged::PrivilegedSessions;
pub use row_policy::mapping_tables;
pub use session_functions::{SESSION_FUNCTIONS, substitute_session_functions};
pub use shadow::{ShadowCheck, ShadowCounts, WouldHide, text_mark};
pub use stamp::Stamp;
pub use subjects::{MAX_SUBJECTS, Subjects, TableSubjects};
pub use system_table::SystemTable;
pub use trace::{Effect, Route, Step, Tracer};
pub use write_check::{ChangeDecision, ChangeRequest, WriteDecision, decide_change, decide_check, hides_rows};
