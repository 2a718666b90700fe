//! An error of a function over values, as it travels through a query engine that knows no SQLSTATEs.
//!
//! Invariant: its message holds no value of a column.

use std::fmt;

use crate::code::{Coded, SqlState};

/// Why a function has no result for its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    sqlstate: SqlState,
    message: String,
}

impl FunctionError {
    /// An error with a code and a message that may be shown to whoever called the function.
    #[must_use]
    pub fn new(sqlstate: SqlState, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into() }
    }
}

impl fmt::Display for FunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FunctionError {}

impl Coded for FunctionError {
    fn sqlstate(&self) -> SqlState {
        self.sqlstate
    }
}
