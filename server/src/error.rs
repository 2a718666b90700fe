//! The server's error: one line for the operator, and the exit code that goes with it.
//!
//! Invariant: every message is one line and names what to change; none holds a password or a key.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lakeward_base::{Coded, SqlState};
use lakeward_delta::StorageProblem;
use thiserror::Error;

/// Why the server did not start, or stopped.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(String),
    /// The data directory is not as it must be.
    #[error("{0}")]
    DataDirectory(String),
    /// A file could not be read or written.
    #[error("{path}: cannot {action}: {reason}")]
    File {
        /// `read`, `write`, `create` …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's word for it.
        reason: std::io::ErrorKind,
    },
    /// An address could not be bound.
    #[error("cannot listen on {address} for {what}: {reason}")]
    Bind {
        /// `pg`, `flight`, `http`.
        what: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// The operating system's word for it.
        reason: std::io::ErrorKind,
    },
    /// A bucket cannot be used.
    #[error("storage.s3.{store}: bucket {bucket}: {problem}{}", hint_of(problem))]
    Storage {
        /// The store's name in the configuration.
        store: String,
        /// The bucket.
        bucket: String,
        /// What is wrong.
        problem: StorageProblem,
    },
    /// A part of the server failed.
    #[error("{what}: {message} (SQLSTATE {sqlstate})")]
    Part {
        /// Which part.
        what: &'static str,
        /// What it says of itself.
        message: String,
        /// Its code.
        sqlstate: SqlState,
    },
    /// A signal came before the demo was made.
    #[error("{0} while the demo was being made; the next start makes it afresh")]
    Interrupted(&'static str),
    /// The operating system refused something that is not a file or an address.
    #[error("{what}: {reason}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The operating system's word for it.
        reason: std::io::ErrorKind,
    },
}

fn hint_of(problem: &StorageProblem) -> String {
    problem.hint().map(|hint| format!("; {hint}")).unwrap_or_default()
}

impl ServerError {
    /// A bucket that cannot be used.
    pub fn storage(store: &str, bucket: &str, problem: StorageProblem) -> Self {
        Self::Storage { store: store.to_owned(), bucket: bucket.to_owned(), problem }
    }

    /// A file that could not be read or written.
    pub fn file(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), reason: error.kind() }
    }

    /// A failure of a part that has an error of its own.
    pub fn part(what: &'static str, error: &(impl Coded + ?Sized)) -> Self {
        let message = match error.hint() {
            Some(hint) => format!("{}; {hint}", error.message()),
            None => error.message(),
        };
        Self::Part { what, message: message.replace('\n', " "), sqlstate: error.sqlstate() }
    }

    /// The exit code: 2 for what the operator can put right before starting again, else 1.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::DataDirectory(_) | Self::File { .. } | Self::Bind { .. } | Self::Storage { .. } => {
                ExitCode::from(2)
            }
            Self::Part { .. } | Self::Interrupted(_) | Self::System { .. } => ExitCode::from(1),
        }
    }
}

impl Coded for ServerError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Config(_) => SqlState::INVALID_PARAMETER_VALUE,
            Self::DataDirectory(_) => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::File { .. } | Self::System { .. } => SqlState::IO_ERROR,
            Self::Bind { .. } => SqlState::CONNECTION_FAILURE,
            Self::Storage { problem, .. } => problem.sqlstate(),
            Self::Part { sqlstate, .. } => *sqlstate,
            Self::Interrupted(_) => SqlState::ADMIN_SHUTDOWN,
        }
    }
}
