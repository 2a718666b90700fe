//! `system.audit` and `system.disclosures`: the audit log, for members of `auditor`.
//!
//! The log's files are read on a blocking thread, a few batches ahead of the query. Invariant: the rows are those that
//! were durable when the query began to read.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use lakeward_audit::{AuditError, AuditLog};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::pg_catalog::{CatalogType, marked};
use super::{SystemTable, require_member};
use crate::error::Error;
use crate::vantage::Vantage;

const QUEUE_BATCHES: usize = 2;

/// A table that is read from the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogTable {
    /// Its records.
    Audit,
    /// The subjects whose rows were read, of each statement.
    Disclosures,
}

impl LogTable {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Audit, Self::Disclosures];

    /// The table of that name in `system`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Disclosures => "disclosures",
        }
    }

    /// The columns: the log's, those that are uuid and jsonb marked so.
    pub(crate) fn schema(self) -> SchemaRef {
        static AUDIT: LazyLock<SchemaRef> = LazyLock::new(|| marked_schema(&AuditLog::schema()));
        static DISCLOSURES: LazyLock<SchemaRef> = LazyLock::new(|| marked_schema(&AuditLog::disclosures_schema()));
        match self {
            Self::Audit => Arc::clone(&AUDIT),
            Self::Disclosures => Arc::clone(&DISCLOSURES),
        }
    }

    fn batches(self, log: &AuditLog) -> std::result::Result<Batches, AuditError> {
        Ok(match self {
            Self::Audit => Box::new(log.scan()?),
            Self::Disclosures => Box::new(log.disclosures()?),
        })
    }
}

type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, AuditError>>>;

pub(super) fn table(vantage: &Vantage, table: LogTable) -> std::result::Result<SystemTable, Error> {
    require_member(vantage, "auditor", table.name())?;
    let log = vantage.session.engine().audit().clone();
    let provider = lakeward_govern::SystemTable::new(
        table.name(),
        Arc::new(AuditTable { log, table }),
        *vantage.stamp,
        Arc::clone(&vantage.privileged),
    );
    Ok(SystemTable { provider: Arc::new(provider), holds_data: true })
}

fn marked_schema(schema: &SchemaRef) -> SchemaRef {
    let field = |field: &FieldRef| match field.name().as_str() {
        "event_id" | "statement_id" => marked(field.as_ref().clone(), CatalogType::Uuid),
        "objects" | "policies" => marked(field.as_ref().clone(), CatalogType::Jsonb),
        _ => field.as_ref().clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

struct AuditTable {
    log: AuditLog,
    table: LogTable,
}

impl fmt::Debug for AuditTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditTable")
    }
}

#[async_trait]
impl TableProvider for AuditTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (log, table, schema) = (self.log.clone(), self.table, self.schema());
        let partition: Arc<dyn PartitionStream> = Arc::new(AuditRows { log, table, schema: Arc::clone(&schema) });
        let plan = StreamingTableExec::try_new(schema, vec![partition], projection, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

struct AuditRows {
    log: AuditLog,
    table: LogTable,
    schema: SchemaRef,
}

impl fmt::Debug for AuditRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditRows")
    }
}

impl PartitionStream for AuditRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
        let (log, table) = (self.log.clone(), self.table);
        let rows = async move {
            // What was queued before the query is part of its answer.
            let flushed = log.flushed().await.map_err(|error| external(&error));
            if let Err(error) = flushed {
                let _ = sender.send(Err(error)).await;
                return;
            }
            let last = sender.clone();
            let reading = tokio::task::spawn_blocking(move || read(&log, table, &sender));
            if reading.await.is_err() {
                // A reader that died must not look like the end of the log.
                let died = DataFusionError::Internal("the audit reader died".to_owned());
                let _ = last.send(Err(died)).await;
            }
        };
        let reader = futures::stream::once(rows).filter_map(|()| async { None });
        let batches = futures::stream::select(ReceiverStream::new(receiver), reader);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

fn read(log: &AuditLog, table: LogTable, sender: &mpsc::Sender<Result<RecordBatch>>) {
    let batches = match table.batches(log) {
        Ok(batches) => batches,
        Err(error) => {
            let _ = sender.blocking_send(Err(external(&error)));
            return;
        }
    };
    for batch in batches {
        let batch = batch.map_err(|error| external(&error)).and_then(|batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(table.schema(), batch.columns().to_vec(), &options)?)
        });
        let failed = batch.is_err();
        if sender.blocking_send(batch).is_err() || failed {
            return;
        }
    }
}

fn external(error: &AuditError) -> DataFusionError {
    DataFusionError::External(Box::new(Error::from_coded(error)))
}
