//! What a protocol adapter hands to [`run`](crate::run): one statement and its parameters.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;

use crate::client_rows::{ClientRows, Ingest};
use crate::error::Error;
use crate::session::Session;
use crate::statement::{InFull, Statement};

/// The class of a bulk load that was refused before it was an INSERT or a CREATE TABLE AS.
const INGEST: &str = "INGEST";

/// One execution of one statement.
pub struct Request {
    /// The statement: parsed, or still text.
    pub source: Source,
    /// Values of `$1`, `$2`, … in order; empty where there are none.
    pub parameters: Vec<ScalarValue>,
    /// In place of them, any number of sets of values, one a row: the statement is executed for each, as one.
    pub sets: Vec<RecordBatch>,
    /// It is executed for each of no sets: planned, decided and recorded, and not done.
    pub(crate) none: bool,
}

/// Where the statement comes from.
pub enum Source {
    /// Text of exactly one statement, not parsed yet.
    Text(String),
    /// A statement prepared earlier. Names, policies and versions are resolved anew at each execution.
    Prepared(Arc<Prepared>),
    /// Rows of the client's own for a table.
    Ingest(Ingest),
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
        Self { source: Source::Text(sql.into()), parameters: Vec::new(), sets: Vec::new(), none: false }
    }

    /// A bulk load.
    #[must_use]
    pub fn ingest(ingest: Ingest) -> Self {
        Self { source: Source::Ingest(ingest), parameters: Vec::new(), sets: Vec::new(), none: false }
    }

    /// Rows that the client sends along.
    pub(crate) fn client_rows(&self) -> Option<Arc<ClientRows>> {
        match &self.source {
            Source::Ingest(ingest) => Some(Arc::clone(&ingest.rows)),
            Source::Text(_) | Source::Prepared(_) => None,
        }
    }

    /// The statement, parsed now or before.
    pub(crate) fn statement(&self, session: &Session) -> Result<Arc<Statement>, Error> {
        match &self.source {
            Source::Text(sql) => crate::statement::parse(sql).map(Arc::new),
            Source::Prepared(prepared) => Ok(Arc::clone(&prepared.statement)),
            Source::Ingest(ingest) => ingest.statement(session).map(Arc::new),
        }
    }

    /// The statement's class, as far as it can be told without parsing it.
    pub(crate) fn class(&self) -> &'static str {
        match &self.source {
            Source::Text(sql) => crate::statement::describe(sql).0,
            Source::Prepared(prepared) => prepared.statement.class,
            Source::Ingest(_) => INGEST,
        }
    }

    /// What can be said of a statement that could not be parsed: its class and its text without literals.
    pub(crate) fn refused(&self) -> (&'static str, String) {
        match &self.source {
            Source::Text(sql) => crate::statement::describe(sql),
            Source::Prepared(prepared) => (prepared.statement.class, prepared.statement.normalized.clone()),
            Source::Ingest(ingest) => (INGEST, ingest.normalized()),
        }
    }

    /// What can be said of it in full.
    pub(crate) fn refused_in_full(&self) -> InFull {
        match &self.source {
            Source::Text(sql) => InFull::of_text(sql),
            Source::Prepared(prepared) => prepared.statement.in_full.clone(),
            Source::Ingest(_) => InFull::default(),
        }
    }

    /// One execution of a prepared statement.
    #[must_use]
    pub fn prepared(prepared: Arc<Prepared>, parameters: Vec<ScalarValue>) -> Self {
        Self { source: Source::Prepared(prepared), parameters, sets: Vec::new(), none: false }
    }

    /// One execution of a prepared statement for each row of `sets`, as one statement: all of it is done, or nothing.
    /// The columns are the parameters, in order; batches without rows are none.
    #[must_use]
    pub fn for_each(prepared: Arc<Prepared>, sets: Vec<RecordBatch>) -> Self {
        Self { source: Source::Prepared(prepared), parameters: Vec::new(), sets, none: false }
    }

    /// The same for no row at all: whoever may not do it is refused, it is on record, and it changes nothing.
    #[must_use]
    pub fn for_none(prepared: Arc<Prepared>) -> Self {
        Self { source: Source::Prepared(prepared), parameters: Vec::new(), sets: Vec::new(), none: true }
    }
}

/// Neither text nor parameters print.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("parameters", &self.parameters.len()).finish_non_exhaustive()
    }
}
