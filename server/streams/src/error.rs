//! What can go wrong with a stream, and what a client is told of it.
//!
//! Invariant: neither `Display` nor `message` shows a value, nor the text of a library's error.

use std::io;

use lakeward_base::{Coded, SqlState};

/// An error of a stream, its views or its subscribers.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A stream cannot keep columns of this type.
    #[error("column \"{column}\" has type {data_type}, which streams do not keep")]
    UnsupportedType {
        /// The column's name.
        column: String,
        /// Its type, as Arrow calls it.
        data_type: String,
    },
    /// The definition of a view does not hang together: a column out of range, a predicate that is no boolean.
    #[error("the view cannot run: {why}")]
    Definition {
        /// What is wrong, in words of the program.
        why: &'static str,
    },
    /// The rows of a view cannot be computed, for a reason that lies in its definition and not in a row.
    #[error("the view's expressions cannot be evaluated")]
    Evaluation(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file operation failed.
    #[error("a stream's storage failed: cannot {action}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The state of streams cannot be read or written.
    #[error("the state of streams is unavailable")]
    Store(#[source] Box<redb::Error>),
    /// Bytes on disk are not what was written there.
    #[error("the storage of streams is damaged: {what}")]
    Damaged {
        /// What does not open or does not hang together.
        what: &'static str,
    },
    /// Another process has the files open.
    #[error("the directory of streams is in use by another server")]
    InUse,
    /// More appends wait to become durable than may.
    #[error("too many rows wait to be appended to the stream")]
    Busy,
    /// One append is larger than the log takes at once.
    #[error("the rows appended at once exceed {limit_bytes} bytes")]
    TooLarge {
        /// The most that is taken at once.
        limit_bytes: usize,
    },
    /// The log was shut down, or failed and has to be opened again.
    #[error("the stream takes no rows at the moment")]
    Closed,
    /// The state was written by another version of the view or of its operators.
    #[error("the view's state does not fit its definition: rebuild needed")]
    RebuildNeeded,
    /// A resume token that no view made, or another view.
    #[error("the token is not one of this view")]
    Token,
    /// What the token would resume from is no longer kept.
    #[error("the rows after the token are no longer retained")]
    TokenExpired,
    /// A subscriber reads more slowly than the view changes.
    #[error("the subscriber is too slow and was disconnected")]
    Slow {
        /// Where to resume.
        token: String,
    },
}

impl StreamError {
    pub(crate) fn file(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::WouldBlock => Self::InUse,
            _ => Self::File { action, source },
        }
    }
}

impl From<arrow::error::ArrowError> for StreamError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Evaluation(Box::new(error))
    }
}

impl From<datafusion_common::DataFusionError> for StreamError {
    fn from(error: datafusion_common::DataFusionError) -> Self {
        Self::Evaluation(Box::new(error))
    }
}

/// For `map_err`: any of redb's errors.
pub(crate) fn store<E: Into<redb::Error>>(error: E) -> StreamError {
    StreamError::Store(Box::new(error.into()))
}

impl Coded for StreamError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::UnsupportedType { .. } => SqlState::FEATURE_NOT_SUPPORTED,
            Self::Definition { .. } | Self::Evaluation(_) => SqlState::INTERNAL_ERROR,
            Self::File { .. } | Self::Store(_) | Self::Closed => SqlState::IO_ERROR,
            Self::Damaged { .. } => SqlState::DATA_CORRUPTED,
            Self::InUse | Self::RebuildNeeded => SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::Busy => SqlState::INSUFFICIENT_RESOURCES,
            Self::TooLarge { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
            Self::Token => SqlState::INVALID_PARAMETER_VALUE,
            Self::TokenExpired => SqlState::TOKEN_EXPIRED,
            Self::Slow { .. } => SqlState::SUBSCRIBER_TOO_SLOW,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Slow { token } => Some(format!("RESUME = '{token}'")),
            Self::UnsupportedType { .. }
            | Self::Definition { .. }
            | Self::Evaluation(_)
            | Self::File { .. }
            | Self::Store(_)
            | Self::Damaged { .. }
            | Self::InUse
            | Self::Busy
            | Self::TooLarge { .. }
            | Self::Closed
            | Self::RebuildNeeded
            | Self::Token
            | Self::TokenExpired => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnsupportedType { .. } => "Cast the column to text, a number, a boolean, a date or a timestamp.",
            Self::Busy => "Append fewer rows at a time, or try again.",
            Self::TooLarge { .. } => "Append the rows in several statements.",
            Self::RebuildNeeded => "Drop the view and create it again: it is computed anew from its source.",
            Self::TokenExpired => "Subscribe without RESUME to start from a snapshot.",
            Self::Slow { .. } => "Subscribe again with RESUME and the token to miss nothing.",
            Self::Definition { .. }
            | Self::Evaluation(_)
            | Self::File { .. }
            | Self::Store(_)
            | Self::Damaged { .. }
            | Self::InUse
            | Self::Closed
            | Self::Token => return None,
        };
        Some(hint.to_owned())
    }
}
