//! Rows that a client sends along with a statement, as a table that the statement's own query reads.
//!
//! Bulk loads are INSERT and CREATE TABLE AS over that table, so whatever governs those governs them. Invariant: the
//! rows are read once; where the client fails to send all of them, the statement fails before anything is committed.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session as PlanningSession, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use futures::stream::BoxStream;
use lakeward_base::SqlState;
use lakeward_govern::SystemTable;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::ddl;
use crate::error::Error;
use crate::session::Session;
use crate::statement::{Kind, Name, Statement, parse};
use crate::vantage::Vantage;
use crate::version::CLIENT_MARK;

/// What the query is parsed with; it becomes a name that no statement can type.
const PLACE: &str = "client_rows";

/// Rows on their way from a client.
pub struct ClientRows {
    schema: SchemaRef,
    batches: Mutex<Option<BoxStream<'static, Result<RecordBatch, Error>>>>,
    failure: Mutex<Option<Error>>,
    failed: CancellationToken,
}

impl ClientRows {
    /// Rows of `schema`, as they come.
    #[must_use]
    pub fn new(schema: SchemaRef, batches: BoxStream<'static, Result<RecordBatch, Error>>) -> Arc<Self> {
        let (batches, failed) = (Mutex::new(Some(batches)), CancellationToken::new());
        Arc::new(Self { schema, batches, failure: Mutex::default(), failed })
    }

    /// The rows as a table, for one statement.
    pub(crate) fn table(self: &Arc<Self>, vantage: &Vantage) -> Arc<dyn TableProvider> {
        let rows = Arc::new(ClientTable(Arc::clone(self)));
        Arc::new(SystemTable::new(PLACE, rows, *vantage.stamp, Arc::clone(&vantage.privileged)))
    }

    /// Does `work`, which reads the rows, until the client fails to send one: then it is dropped. What the client did
    /// wrong does not go through the barrier, which would make an incident of it.
    pub(crate) async fn watched<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.failed.cancelled() => Err(self.failure.lock().take().unwrap_or_else(gone)),
            done = work => done,
        }
    }

    fn fail(&self, error: Error) {
        *self.failure.lock() = Some(error);
        self.failed.cancel();
    }
}

impl fmt::Debug for ClientRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientRows")
    }
}

fn gone() -> Error {
    Error::new(SqlState::QUERY_CANCELED, "the rows were not sent to their end")
}

#[derive(Debug)]
struct ClientTable(Arc<ClientRows>);

#[async_trait]
impl TableProvider for ClientTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _session: &dyn PlanningSession,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let partition: Arc<dyn PartitionStream> = Arc::new(Reading(Arc::clone(&self.0)));
        let schema = Arc::clone(&self.0.schema);
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![partition], projection, [], false, limit)?))
    }
}

#[derive(Debug)]
struct Reading(Arc<ClientRows>);

impl PartitionStream for Reading {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = Arc::clone(&self.0);
        let batches = match self.0.batches.lock().take() {
            Some(batches) => batches.then(move |batch| sent(Arc::clone(&rows), batch)).boxed(),
            None => futures::stream::iter([Err(DataFusionError::Internal("rows are read once".into()))]).boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0.schema), batches))
    }
}

async fn sent(rows: Arc<ClientRows>, batch: Result<RecordBatch, Error>) -> Result<RecordBatch, DataFusionError> {
    match batch {
        Ok(batch) => Ok(batch),
        Err(error) => {
            rows.fail(error);
            // Whoever waits for this is dropped.
            std::future::pending().await
        }
    }
}

/// What to do where the table of a bulk load is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// 42P01.
    Fail,
    /// It is made of the rows.
    Create,
}

/// What to do where it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// 42P07.
    Fail,
    /// The rows are inserted.
    Append,
    /// The rows and their columns take the place of its own; it keeps its owner, grants and policies.
    Replace,
}

/// A bulk load: rows of the client's own into a table, by the names of their columns.
#[derive(Debug)]
pub struct Ingest {
    /// The table's schema, where it was named.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// What to do where the table is not there.
    pub if_missing: IfMissing,
    /// What to do where it is there.
    pub if_exists: IfExists,
    /// The rows.
    pub rows: Arc<ClientRows>,
}

impl Ingest {
    /// What can be said of a load that was refused, safe to store: people put values into names, too.
    #[must_use]
    pub fn normalized(&self) -> String {
        Self::normalized_name(&self.table)
    }

    /// The same of a load into `table` that was refused before it was one.
    #[must_use]
    pub fn normalized_name(table: &str) -> String {
        crate::statement::normalize(&format!("INGEST INTO {}", quoted(table)))
    }

    /// The statement that the load is.
    ///
    /// # Errors
    /// 42P01 and 42P07 by what is there; what the parser says of names.
    pub(crate) fn statement(&self, session: &Session) -> Result<Statement, Error> {
        let snapshot = session.engine().shared.parts.catalog.snapshot();
        let name = Name { schema: self.schema.clone(), name: self.table.clone(), position: 0 };
        let path = session.settings().search_path();
        let exists = ddl::existing_table(&snapshot, &path, &name)?.is_some();
        let table = match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.table)),
            None => quoted(&self.table),
        };
        let columns = self.rows.schema.fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(", ");
        if columns.is_empty() {
            return Err(Error::new(SqlState::INVALID_TABLE_DEFINITION, "the rows have no columns"));
        }
        let text = match (exists, self.if_missing, self.if_exists) {
            (true, _, IfExists::Append) => format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {PLACE}"),
            (true, _, IfExists::Replace) => {
                format!("CREATE OR REPLACE TABLE {table} AS SELECT {columns} FROM {PLACE}")
            }
            (false, IfMissing::Create, _) | (true, IfMissing::Create, IfExists::Fail) => {
                format!("CREATE TABLE {table} AS SELECT {columns} FROM {PLACE}")
            }
            (true, IfMissing::Fail, IfExists::Fail) => {
                let message = format!("relation \"{}\" already exists", self.table);
                return Err(Error::new(SqlState::DUPLICATE_TABLE, message));
            }
            (false, IfMissing::Fail, _) => {
                let message = format!("relation \"{}\" does not exist", self.table);
                return Err(Error::new(SqlState::UNDEFINED_TABLE, message));
            }
        };
        let mut statement = parse(&text)?;
        match &mut statement.kind {
            Kind::Insert(insert) => read_client_rows(&mut insert.source),
            Kind::CreateTableAs(create) => read_client_rows(&mut create.source),
            _ => return Err(crate::publish::incident("planning", "ingest")),
        }
        Ok(statement)
    }
}

/// Puts the client's rows in the place of the one table that the query names.
fn read_client_rows(query: &mut ast::Query) {
    if let ast::SetExpr::Select(select) = query.body.as_mut()
        && let [ast::TableWithJoins { relation: ast::TableFactor::Table { name, .. }, .. }] = select.from.as_mut_slice()
    {
        let marked = ast::Ident::with_quote('"', format!("{PLACE}{CLIENT_MARK}"));
        *name = ast::ObjectName(vec![ast::ObjectNamePart::Identifier(marked)]);
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
