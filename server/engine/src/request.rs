//! What a protocol adapter hands to [`run`](crate::run): one statement and its parameters.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;

use crate::error::Error;
use crate::statement::Statement;

/// One execution of one statement.
pub struct Request {
    /// The statement: parsed, or still text.
    pub source: Source,
    /// Values of `$1`, `$2`, … in order; empty where there are none.
    pub parameters: Vec<ScalarValue>,
}

/// Where the statement comes from.
pub enum Source {
    /// Text of exactly one statement, not parsed yet.
    Text(String),
    /// A statement prepared earlier. Names, policies and versions are resolved anew at each execution.
    Prepared(Arc<Prepared>),
}

/// A prepared statement: its syntax tree, and the shape that it had when it was prepared.
#[derive(Debug)]
pub struct Prepared {
    /// The statement. Empty text is [`Kind::Empty`](crate::statement::Kind::Empty).
    pub statement: Arc<Statement>,
    /// Types of `$1`, `$2`, … in order.
    pub parameter_types: Vec<DataType>,
    /// Columns of the result; `None` where the statement returns no rows.
    pub columns: Option<SchemaRef>,
}

impl Request {
    /// A statement without parameters.
    pub fn text(sql: impl Into<String>) -> Self {
        Self { source: Source::Text(sql.into()), parameters: Vec::new() }
    }

    /// The statement, parsed now or before.
    pub(crate) fn statement(&self) -> Result<Arc<Statement>, Error> {
        match &self.source {
            Source::Text(sql) => crate::statement::parse(sql).map(Arc::new),
            Source::Prepared(prepared) => Ok(Arc::clone(&prepared.statement)),
        }
    }

    /// The statement's class, as far as it can be told without parsing it.
    pub(crate) fn class(&self) -> &'static str {
        match &self.source {
            Source::Text(sql) => crate::statement::describe(sql).0,
            Source::Prepared(prepared) => prepared.statement.class,
        }
    }

    /// What can be said of a statement that could not be parsed: its class and its text without literals.
    pub(crate) fn refused(&self) -> (&'static str, String) {
        match &self.source {
            Source::Text(sql) => crate::statement::describe(sql),
            Source::Prepared(prepared) => (prepared.statement.class, prepared.statement.normalized.clone()),
        }
    }

    /// One execution of a prepared statement.
    #[must_use]
    pub fn prepared(prepared: Arc<Prepared>, parameters: Vec<ScalarValue>) -> Self {
        Self { source: Source::Prepared(prepared), parameters }
    }
}

/// Neither text nor parameters print.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("parameters", &self.parameters.len()).finish_non_exhaustive()
    }
}
