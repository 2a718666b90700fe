//! What a user is told when governance denies, or fails.
//!
//! Invariant: no message holds a cell's value, a policy's text, or the text of an error from below the barrier.

use datafusion_common::DataFusionError;
use lakeward_base::{Coded, IncidentId, SqlState};
use thiserror::Error;

/// Why [`decide`](crate::decide) or [`decide_check`](crate::decide_check) denied.
#[derive(Debug, Error)]
pub enum DecideError {
    /// The privilege is not held.
    #[error("permission denied for table {table}")]
    Privilege {
        /// The table's name.
        table: String,
    },
    /// A masked column may not be written.
    #[error("permission denied for column {column} of table {table}: it is masked for you")]
    MaskedWrite {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
    },
    /// A governed column is not in the version that is read.
    #[error("permission denied for table {table}: version {version} lacks a column that a policy governs")]
    MissingColumn {
        /// The table's name.
        table: String,
        /// The version that is read.
        version: u64,
    },
    /// A policy could not be compiled, which denies.
    #[error("permission denied for table {table}: a policy of it failed [incident {incident}]")]
    Policy {
        /// The table's name.
        table: String,
        /// Under which the operator finds the cause.
        incident: IncidentId,
    },
}

impl Coded for DecideError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Privilege { .. } | Self::MaskedWrite { .. } | Self::MissingColumn { .. } | Self::Policy { .. } => {
                SqlState::INSUFFICIENT_PRIVILEGE
            }
        }
    }
}

/// The kind of an error below the barrier: all that is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// An expression failed on a row: below the barrier that is always a policy's or a mask's.
    Expression,
    /// Object storage, a file or its format failed.
    Storage,
    /// Anything else: Lakeward's own fault.
    Internal,
}

/// An error of the barrier, as `DataFusionError::External`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BarrierError {
    /// Something below the barrier failed.
    #[error("governed scan failed [incident {incident}]")]
    ScanFailed {
        /// Under which the operator finds the kind of the cause.
        incident: IncidentId,
        /// What kind of error it was.
        kind: FailureKind,
    },
    /// A column is read on which the reader holds no privilege.
    #[error("permission denied for table {table}")]
    ColumnPrivilege {
        /// The table's name.
        table: String,
    },
    /// A scan was planned or run in a session that it was not made for.
    #[error("a scan does not belong to this statement")]
    WrongStamp,
    /// The optimizer handed a filter to the scan that it must not see.
    #[error("a filter reached a governed scan that must stay above it")]
    UnexpectedFilter,
    /// A plan has a leaf that is not governed.
    #[error("the plan reads from something that is not governed ({leaf})")]
    UngovernedLeaf {
        /// The kind of the leaf; never a table's name or path.
        leaf: String,
    },
}

impl Coded for BarrierError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::ScanFailed { kind: FailureKind::Expression, .. } | Self::ColumnPrivilege { .. } => {
                SqlState::INSUFFICIENT_PRIVILEGE
            }
            Self::ScanFailed { kind: FailureKind::Storage, .. } => SqlState::IO_ERROR,
            Self::ScanFailed { kind: FailureKind::Internal, .. }
            | Self::WrongStamp
            | Self::UnexpectedFilter
            | Self::UngovernedLeaf { .. } => SqlState::INTERNAL_ERROR,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::ScanFailed { kind: FailureKind::Storage, .. } => {
                Some("Try again later. If it goes on, tell the operator the incident's number.".to_owned())
            }
            Self::ScanFailed { kind: FailureKind::Expression | FailureKind::Internal, .. }
            | Self::ColumnPrivilege { .. }
            | Self::WrongStamp
            | Self::UnexpectedFilter
            | Self::UngovernedLeaf { .. } => None,
        }
    }
}

impl From<BarrierError> for DataFusionError {
    fn from(error: BarrierError) -> Self {
        Self::External(Box::new(error))
    }
}
