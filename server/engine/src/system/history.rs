//! What DESCRIBE HISTORY shows: a table's commits, newest first.
//!
//! Invariant: whom rows are hidden from is not told how many there are: their metrics are NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use lakeward_catalog::HistoryEntry;
use lakeward_govern::SystemTable;

use super::pg_catalog::{CatalogType, marked};
use crate::error::Error;
use crate::publish;
use crate::vantage::Vantage;

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let json = |name: &str| marked(text(name), CatalogType::Jsonb);
    Arc::new(Schema::new(vec![
        Field::new("version", DataType::Int64, true),
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        text("user_name"),
        text("operation"),
        json("operation_parameters"),
        Field::new("read_version", DataType::Int64, true),
        json("operation_metrics"),
        text("engine_info"),
    ]))
}

/// The commits as a table for the principal.
pub(crate) fn table(
    vantage: &Vantage,
    commits: &[HistoryEntry],
    rows_are_hidden: bool,
) -> Result<Arc<dyn TableProvider>, Error> {
    let number = |version: u64| i64::try_from(version).ok();
    let text = |value: fn(&HistoryEntry) -> Option<&str>| -> ArrayRef {
        Arc::new(commits.iter().map(value).collect::<StringArray>())
    };
    let metrics: StringArray =
        commits.iter().map(|commit| commit.metrics.as_deref().filter(|_| !rows_are_hidden)).collect();
    let times: TimestampMicrosecondArray = commits.iter().map(|commit| Some(commit.at.timestamp_micros())).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(commits.iter().map(|commit| number(commit.version)).collect::<Int64Array>()),
        Arc::new(times.with_timezone("UTC")),
        text(|commit| commit.user_name.as_deref()),
        text(|commit| commit.operation.as_deref()),
        text(|commit| Some(commit.parameters.as_str())),
        Arc::new(commits.iter().map(|commit| commit.read_version.and_then(number)).collect::<Int64Array>()),
        Arc::new(metrics),
        text(|commit| commit.engine.as_deref()),
    ];
    let rows = RecordBatch::try_new(schema(), columns).map_err(|error| publish::execution(&error.into()))?;
    let rows = MemTable::try_new(schema(), vec![vec![rows]]).map_err(|error| publish::execution(&error))?;
    let table = SystemTable::new("history", Arc::new(rows), *vantage.stamp, Arc::clone(&vantage.privileged));
    Ok(Arc::new(table))
}
