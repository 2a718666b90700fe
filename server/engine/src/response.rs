//! What [`run`](crate::run) answers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use lakeward_base::SqlState;

use crate::copy::CopyWriter;
use crate::error::Error;
use crate::statement::CopyOptions;
use crate::watch::SharedWatch;

/// The answer to one statement.
#[derive(Debug)]
pub enum Response {
    /// Rows, as they come.
    Rows(RowStream),
    /// Rows, as they come, to be sent in a form of COPY's.
    CopyOut(RowStream, Arc<CopyOptions>),
    /// Rows are waited for.
    CopyIn(Box<CopyWriter>),
    /// Done, without rows.
    Command(Command),
    /// The text held no statement.
    Empty,
}

/// What a statement without rows did.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// PostgreSQL's command tag, e.g. `INSERT 0 5`.
    pub tag: String,
    /// Notices and warnings, in order.
    pub notices: Vec<Notice>,
    /// Settings that changed and that PostgreSQL reports (`ParameterStatus`), name and value.
    pub reported: Vec<(String, String)>,
    /// Prepared statements that the protocol forgets.
    pub forgotten: Forgotten,
}

/// Prepared statements to forget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Forgotten {
    /// None.
    #[default]
    Nothing,
    /// The one of this name.
    Named(String),
    /// All.
    All,
}

/// A notice or a warning.
#[derive(Debug, Clone)]
pub struct Notice {
    /// `NOTICE` or `WARNING`.
    pub severity: &'static str,
    /// Its code; `00000` for a notice.
    pub sqlstate: SqlState,
    /// One line.
    pub message: String,
}

/// What the command tag of a row-returning statement says before the number of rows, if it says that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowTag {
    /// `SELECT n`
    Select,
    /// `SHOW`
    Show,
    /// `EXPLAIN`
    Explain,
    /// `COPY n`
    Copy,
    /// `FETCH n`
    Fetch,
}

/// Batches of rows. Owns the statement's audit token: dropping the stream ends the statement, and cancels it if it is
/// still running.
pub struct RowStream {
    schema: SchemaRef,
    tag: RowTag,
    batches: BoxStream<'static, Result<RecordBatch, Error>>,
    watch: Option<SharedWatch>,
    binary: bool,
}

impl RowStream {
    /// Wraps a stream of batches of `schema`.
    pub fn new(schema: SchemaRef, tag: RowTag, batches: BoxStream<'static, Result<RecordBatch, Error>>) -> Self {
        Self::watched(schema, tag, batches, None)
    }

    /// The same, looked after until the rows have left.
    pub(crate) fn watched(
        schema: SchemaRef,
        tag: RowTag,
        batches: BoxStream<'static, Result<RecordBatch, Error>>,
        watch: Option<SharedWatch>,
    ) -> Self {
        Self { schema, tag, batches, watch, binary: false }
    }

    /// What looks after the rows.
    pub(crate) fn watch(&self) -> Option<SharedWatch> {
        self.watch.clone()
    }

    /// The same, whose rows a simple query sends in binary: a BINARY cursor's.
    pub(crate) fn in_binary(self, binary: bool) -> Self {
        Self { binary, ..self }
    }

    /// Whether a simple query sends its rows in binary.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.binary
    }

    /// To be asked before rows of a batch that was taken from the stream earlier are sent: grants and policies may have
    /// changed in between. Taking a batch asks by itself.
    ///
    /// # Errors
    /// 42501 where the statement would be decided otherwise today. The statement has ended then.
    pub async fn recheck(&mut self) -> Result<(), Error> {
        let Some(watch) = self.watch.clone() else { return Ok(()) };
        let checked = watch.lock().await.check().await;
        if checked.is_ok() {
            return checked;
        }
        // The stream finds the same, and ends the statement in the audit.
        match self.next().await {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => checked,
        }
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The kind of command tag.
    #[must_use]
    pub fn tag(&self) -> RowTag {
        self.tag
    }
}

impl Stream for RowStream {
    type Item = Result<RecordBatch, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.as_mut().poll_next(context)
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").field("tag", &self.tag).finish_non_exhaustive()
    }
}
