//! The engine's error: what a client is told, and nothing else.

use std::fmt;

use lakeward_base::{Coded, SqlState};

/// An error as it leaves the engine. Every part of it may be shown to the user.
#[derive(Debug, Clone)]
pub struct Error {
    sqlstate: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<usize>,
    context: Option<Box<str>>,
}

impl Error {
    /// An error with a code and a message.
    pub fn new(sqlstate: SqlState, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, hint: None, position: None, context: None }
    }

    /// Takes over what a coded error of another crate says of itself.
    pub fn from_coded(error: &(impl Coded + ?Sized)) -> Self {
        Self {
            sqlstate: error.sqlstate(),
            message: error.message(),
            detail: error.detail(),
            hint: error.hint(),
            position: error.position(),
            context: error.context().map(String::into_boxed_str),
        }
    }

    /// `0A000` with what is missing.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
    }

    /// `42501` for an object.
    pub fn denied(kind: &str, name: &str) -> Self {
        Self::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied for {kind} {name}"))
    }

    /// Adds a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what the server was doing.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into().into_boxed_str());
        self
    }

    /// Adds the place in the statement where it is known (not 0) and the error has none yet.
    #[must_use]
    pub fn at(mut self, position: usize) -> Self {
        if position > 0 {
            self.position.get_or_insert(position);
        }
        self
    }

    /// Adds the place in the statement, in characters from 1.
    #[must_use]
    pub fn with_position(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Coded for Error {
    fn sqlstate(&self) -> SqlState {
        self.sqlstate
    }

    fn message(&self) -> String {
        self.message.clone()
    }

    fn detail(&self) -> Option<String> {
        self.detail.clone()
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    fn position(&self) -> Option<usize> {
        self.position
    }

    fn context(&self) -> Option<String> {
        self.context.as_deref().map(str::to_owned)
    }
}
