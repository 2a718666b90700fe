//! What can go wrong with the audit log, and what a client is told of it.
//!
//! Invariant: neither `Display` nor `message` shows the cause; paths are for the operator, not for clients.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use lakeward_base::{Coded, SqlState};

/// An error of the audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Records cannot be made durable at the moment (full or failing disk). Clears by itself once they can.
    #[error("the audit log is unavailable")]
    Unavailable,
    /// More records are waiting than the queue may hold.
    #[error("the audit log's queue is full")]
    Busy,
    /// The log was shut down.
    #[error("the audit log is shut down")]
    Closed,
    /// Another process has the directory open.
    #[error("the audit directory is in use by another server")]
    InUse,
    /// A file operation failed while the log was opened, read or shut down.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A segment cannot be read on.
    #[error("audit segment {segment} is damaged at byte {offset}")]
    Damaged {
        /// Number of the segment.
        segment: u64,
        /// Place in its file.
        offset: u64,
    },
    /// The configuration cannot be used.
    #[error("audit configuration: {0}")]
    Configuration(&'static str),
    /// There is no proof of a record.
    #[error("no proof: {0}")]
    Unproven(&'static str),
    /// The log's keys cannot be used.
    #[error("the audit log's keys cannot be used")]
    Keys,
    /// Records could not be put into columns.
    #[error("cannot build the audit table")]
    Table(#[source] ArrowError),
}

impl AuditError {
    /// Wraps an I/O error, saying what was tried on what.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_owned(), source }
    }
}

impl Coded for AuditError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Unavailable | Self::File { .. } | Self::Keys => SqlState::IO_ERROR,
            Self::Busy => SqlState::INSUFFICIENT_RESOURCES,
            Self::Closed => SqlState::ADMIN_SHUTDOWN,
            Self::InUse => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::Damaged { .. } | Self::Unproven(_) => SqlState::DATA_CORRUPTED,
            Self::Configuration(_) => SqlState::INVALID_PARAMETER_VALUE,
            Self::Table(_) => SqlState::INTERNAL_ERROR,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::File { .. } => Self::Unavailable.to_string(),
            Self::Unavailable
            | Self::Busy
            | Self::Closed
            | Self::InUse
            | Self::Damaged { .. }
            | Self::Configuration(_)
            | Self::Keys
            | Self::Unproven(_)
            | Self::Table(_) => self.to_string(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable | Self::File { .. } => {
                Some("Nothing runs unaudited. Try again once the server's audit disk has recovered.".to_owned())
            }
            Self::Busy => Some("Try again.".to_owned()),
            Self::Keys => Some("Ask an operator to look at the key provider.".to_owned()),
            Self::Closed
            | Self::InUse
            | Self::Damaged { .. }
            | Self::Configuration(_)
            | Self::Unproven(_)
            | Self::Table(_) => None,
        }
    }
}
