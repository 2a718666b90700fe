//! The catalog: names, roles, grants, policies and view definitions, kept in a versioned log on an object store.
//!
//! [`Catalog`] opens the log and changes it; a [`Snapshot`] is everything the catalog holds at one epoch; a [`Draft`] is
//! a snapshot being edited. [`TableStore`] and [`RawTable`] are the seam to the Delta tables themselves.
//!
//! Invariants: a snapshot never changes; the epoch is the log's version; identifiers are never used twice; an edit that
//! breaks a rule is refused before anything is written; replaying the log gives exactly what its writers had.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod catalog;
mod change;
mod draft;
mod error;
mod index;
mod location;
mod log;
mod mask;
mod model;
mod name;
mod row_change;
mod scram;
mod snapshot;
mod store;

pub use catalog::{Catalog, FOLLOW_PERIOD, POLICY_ADMIN, SNAPSHOT_INTERVAL};
pub use draft::{
    CreatedPolicy, Described, Draft, Inherited, NewColumn, NewMaskingPolicy, NewPolicy, NewPolicyTest, NewRole,
    NewTable, NewTag, NewView, Revocation,
};
pub use error::{CatalogError, ObjectKind, StoreError};
pub use location::{canonical_location, overlaps};
pub use mask::{EffectiveMask, MaskSource};
pub use model::{
    BreakGlass, Column, DefaultGrant, Expectation, FormerName, Grant, Grantee, MaskBinding, MaskingPolicy, Parameter,
    PolicyCommand, PolicyRead, PolicyTest, Privilege, Relation, Review, Role, RoleLimits, RowPolicy, Schema, Securable,
    SystemObject, Table, Tag, View, type_kind,
};
pub use row_change::{ChangeBase, ChangeGuard, FILE_COLUMN, Numbered, ROW_COLUMN, RowAction, RowChanges, RowUse};
pub use scram::{DEFAULT_ITERATIONS, InvalidVerifier, ScramVerifier};
pub use snapshot::{SYSTEM, Snapshot};
pub use store::{
    ColumnChange, CommitNote, HistoryEntry, Maintenance, MayCommit, NewFiles, RawTable, StagedWrite, TableDescription,
    TableStore, VersionSelector, WriteMode, WriteResult,
};
