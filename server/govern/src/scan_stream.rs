//! The last step of a scan: batches get the published schema, hidden bytes are removed, errors are redacted, rows are
//! counted.
//!
//! Invariant: everything that a scan yields to the user's plan went through here.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion_physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use futures::{Stream, StreamExt};

use crate::incident::redacted;
use crate::scrub;
use crate::subjects::Tally;

/// What happens to a column on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Egress {
    /// Nothing is hidden in its table.
    AsIs,
    /// It shows raw values, of some rows: what lies between those rows' values is removed.
    PassThrough,
    /// It is masked: rebuilt.
    Masked,
}

/// The stream of one partition.
pub(crate) struct ScanStream {
    pub(crate) inner: SendableRecordBatchStream,
    pub(crate) schema: SchemaRef,
    pub(crate) egress: Arc<[Egress]>,
    /// For the operator: the table's identifier, or a system table's name.
    pub(crate) table: Arc<dyn Display + Send + Sync>,
    /// Rows that may still be yielded.
    pub(crate) remaining: Option<usize>,
    /// Where the subjects of its rows are noted, if its table has any.
    pub(crate) tally: Option<Tally>,
    pub(crate) metrics: ScanMetrics,
}

/// All that a scan measures: rows that the principal may see, and time.
pub(crate) struct ScanMetrics {
    rows: Count,
    time: Time,
}

impl ScanMetrics {
    pub(crate) fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            rows: MetricBuilder::new(set).output_rows(partition),
            time: MetricBuilder::new(set).elapsed_compute(partition),
        }
    }
}

impl ScanStream {
    fn dressed(&mut self, mut batch: RecordBatch) -> Result<RecordBatch> {
        if let Some(remaining) = &mut self.remaining {
            if batch.num_rows() > *remaining {
                batch = batch.slice(0, *remaining);
            }
            *remaining -= batch.num_rows();
        }
        if let Some(tally) = &mut self.tally {
            tally.note(&batch);
        }
        let rows = batch.num_rows();
        let columns = batch.columns().iter().zip(self.egress.iter()).map(|(column, egress)| match egress {
            Egress::AsIs => Ok(Arc::clone(column)),
            Egress::PassThrough => scrub::clear_gaps(column),
            Egress::Masked => scrub::rebuild(column),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        self.metrics.rows.add(rows);
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn redacted(&self, error: &DataFusionError) -> DataFusionError {
        redacted(error, self.table.as_ref())
    }
}

impl Stream for ScanStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.remaining == Some(0) {
            return Poll::Ready(None);
        }
        let time = self.metrics.time.clone();
        let _timer = time.timer();
        Poll::Ready(match ready!(self.inner.poll_next_unpin(context)) {
            None => None,
            Some(Ok(batch)) => Some(self.dressed(batch).map_err(|error| self.redacted(&error))),
            Some(Err(error)) => Some(Err(self.redacted(&error))),
        })
    }
}

impl RecordBatchStream for ScanStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
