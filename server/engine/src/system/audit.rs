//! `system.audit`: the audit log, for members of `auditor`.
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
use lakeward_audit::AuditLog;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::pg_catalog::{CatalogType, marked};
use super::{SystemTable, require_member};
use crate::error::Error;
use crate::vantage::Vantage;

const QUEUE_BATCHES: usize = 2;

pub(super) fn table(vantage: &Vantage) -> std::result::Result<SystemTable, Error> {
    require_member(vantage, "auditor", "audit")?;
    let log = vantage.session.engine().audit().clone();
    let provider = lakeward_govern::SystemTable::new(
        "audit",
        Arc::new(AuditTable { log }),
        *vantage.stamp,
        Arc::clone(&vantage.privileged),
    );
    Ok(SystemTable { provider: Arc::new(provider), holds_data: true })
}

/// The columns: the log's, those that are uuid and jsonb marked so.
pub(super) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |field: &FieldRef| match field.name().as_str() {
            "event_id" | "statement_id" => marked(field.as_ref().clone(), CatalogType::Uuid),
            "objects" | "policies" => marked(field.as_ref().clone(), CatalogType::Jsonb),
            _ => field.as_ref().clone(),
        };
        Arc::new(Schema::new(AuditLog::schema().fields().iter().map(field).collect::<Vec<_>>()))
    });
    Arc::clone(&SCHEMA)
}

struct AuditTable {
    log: AuditLog,
}

impl fmt::Debug for AuditTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditTable")
    }
}

#[async_trait]
impl TableProvider for AuditTable {
    fn schema(&self) -> SchemaRef {
        schema()
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
        let partition: Arc<dyn PartitionStream> = Arc::new(AuditRows { log: self.log.clone(), schema: schema() });
        let plan = StreamingTableExec::try_new(schema(), vec![partition], projection, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

struct AuditRows {
    log: AuditLog,
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
        let log = self.log.clone();
        let rows = async move {
            // What was queued before the query is part of its answer.
            let flushed = log.flushed().await.map_err(|error| external(&error));
            if let Err(error) = flushed {
                let _ = sender.send(Err(error)).await;
                return;
            }
            let last = sender.clone();
            let reading = tokio::task::spawn_blocking(move || read(&log, &sender));
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

fn read(log: &AuditLog, sender: &mpsc::Sender<Result<RecordBatch>>) {
    let batches = match log.scan() {
        Ok(batches) => batches,
        Err(error) => {
            let _ = sender.blocking_send(Err(external(&error)));
            return;
        }
    };
    for batch in batches {
        let batch = batch.map_err(|error| external(&error)).and_then(|batch| {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(schema(), batch.columns().to_vec(), &options)?)
        });
        let failed = batch.is_err();
        if sender.blocking_send(batch).is_err() || failed {
            return;
        }
    }
}

fn external(error: &lakeward_audit::AuditError) -> DataFusionError {
    DataFusionError::External(Box::new(Error::from_coded(error)))
}
