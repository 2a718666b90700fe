//! The files of one version of a table, with typed bounds: built once per version, asked at every scan.
//!
//! Invariant: the index holds exactly the version's active files; it exists only for tables that plain Parquet reading
//! with partition values gets right (no deletion vectors, no mapped columns, scalars and lists of them).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, UInt64Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use chrono::DateTime;
use datafusion_common::pruning::PruningStatistics;
use datafusion_common::stats::Precision;
use datafusion_common::{Column, ScalarValue, Statistics};
use deltalake::datafusion::datasource::listing::PartitionedFile;
use deltalake::kernel::{EagerSnapshot, LogicalFileView};
use lakeward_catalog::StoreError;
use object_store::ObjectMeta;
use std::collections::HashSet;

use crate::bounds::{ColumnBounds, FileStatistics};
use crate::columns::scan_schema;
use crate::fault::{Fault, from_delta};
use crate::location::Place;

/// The columns of a table in the two orders that there are: the table's own, and the scan's, where partition columns
/// come last.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The table's own order.
    pub(crate) table: SchemaRef,
    /// The columns in the files.
    pub(crate) data: SchemaRef,
    /// The partition columns.
    pub(crate) partition: Vec<FieldRef>,
    /// For each column in the table's order, its place in the scan's.
    pub(crate) scan_order: Vec<usize>,
}

impl Layout {
    pub(crate) fn new(declared: &Schema, partition_columns: &[String]) -> Result<Self, StoreError> {
        let table = scan_schema(declared);
        let is_partition = |field: &FieldRef| partition_columns.contains(field.name());
        let data: Vec<FieldRef> = table.fields().iter().filter(|f| !is_partition(f)).cloned().collect();
        let partition: Vec<FieldRef> = table.fields().iter().filter(|f| is_partition(f)).cloned().collect();
        if partition.len() != partition_columns.len() {
            return Err(Fault("a partition column is not in the table's schema").corrupt());
        }
        let place = |field: &FieldRef| data.iter().chain(&partition).position(|other| other.name() == field.name());
        let scan_order = table.fields().iter().filter_map(place).collect();
        Ok(Self { table, data: Arc::new(Schema::new(data)), partition, scan_order })
    }
}

/// The files, ready to be scanned.
pub(crate) struct FileIndex {
    pub(crate) layout: Layout,
    pub(crate) files: Vec<PartitionedFile>,
    /// Of all files together, in the scan's order.
    pub(crate) statistics: Statistics,
    pub(crate) total_bytes: u64,
    columns: HashMap<String, ColumnBounds>,
    rows: UInt64Array,
}

impl FileIndex {
    /// Builds the index; `None` where a file has a deletion vector.
    pub(crate) fn build(
        snapshot: &EagerSnapshot,
        place: &Place,
        declared: &Schema,
    ) -> Result<Option<Self>, StoreError> {
        let layout = Layout::new(declared, snapshot.metadata().partition_columns())?;
        let views: Vec<LogicalFileView> = snapshot.try_log_data().map_err(|e| from_delta(&e))?.iter().collect();
        if views.iter().any(|view| view.deletion_vector_descriptor().is_some()) {
            return Ok(None);
        }
        let texts: Vec<Option<String>> = views.iter().map(LogicalFileView::stats).collect();
        let statistics: Vec<FileStatistics> = texts.iter().map(|text| FileStatistics::parse(text.as_deref())).collect();
        let partition_values = partition_values(&layout, &views)?;
        let mut columns = HashMap::new();
        for field in layout.data.fields() {
            columns.insert(field.name().clone(), ColumnBounds::of_data(field, &statistics));
        }
        for (field, values) in layout.partition.iter().zip(&partition_values) {
            columns.insert(field.name().clone(), ColumnBounds::of_partition(Arc::clone(values), &statistics));
        }
        let mut files = Vec::with_capacity(views.len());
        let mut total_bytes = 0_u64;
        for (i, (view, stats)) in views.iter().zip(&statistics).enumerate() {
            let mut file = PartitionedFile::from(object_meta(view, place)?);
            total_bytes = total_bytes.saturating_add(file.object_meta.size);
            file.partition_values = values_at(&partition_values, i)?;
            file.statistics = Some(Arc::new(file_statistics(&layout, &columns, i, stats, file.object_meta.size)));
            files.push(file);
        }
        let rows = statistics.iter().map(|s| s.rows).collect();
        let statistics = merged(&layout, &files)?;
        Ok(Some(Self { layout, files, statistics, total_bytes, columns, rows }))
    }

    /// The number of rows, where every file tells its own.
    pub(crate) fn row_count(&self) -> Precision<usize> {
        self.statistics.num_rows
    }
}

impl PruningStatistics for FileIndex {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.columns.get(column.name()).map(|bounds| Arc::clone(&bounds.min))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.columns.get(column.name()).map(|bounds| Arc::clone(&bounds.max))
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.columns.get(column.name()).map(|bounds| Arc::clone(&bounds.null_counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.rows.clone()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

fn object_meta(view: &LogicalFileView, place: &Place) -> Result<ObjectMeta, StoreError> {
    let size = u64::try_from(view.size()).map_err(|_| Fault("a data file's size is negative").corrupt())?;
    // With size and path, the time tells the cache of file footers whether a footer is still the file's own.
    let last_modified = DateTime::from_timestamp_millis(view.modification_time()).unwrap_or_default();
    Ok(ObjectMeta { location: place.data_file(&view.path())?, last_modified, size, e_tag: None, version: None })
}

/// One array per partition column, one entry per file.
fn partition_values(layout: &Layout, views: &[LogicalFileView]) -> Result<Vec<ArrayRef>, StoreError> {
    if layout.partition.is_empty() {
        return Ok(Vec::new());
    }
    let maps: Vec<HashMap<String, Option<String>>> = views.iter().map(LogicalFileView::partition_values_map).collect();
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let column = |field: &FieldRef| {
        // An empty string stands for null, as the protocol has it.
        let text =
            |map: &HashMap<String, Option<String>>| map.get(field.name()).cloned().flatten().filter(|v| !v.is_empty());
        let texts: StringArray = maps.iter().map(text).collect();
        cast_with_options(&texts, field.data_type(), &options)
            .map_err(|_| Fault("a partition value is not of its column's type").corrupt())
    };
    layout.partition.iter().map(column).collect()
}

fn values_at(columns: &[ArrayRef], file: usize) -> Result<Vec<ScalarValue>, StoreError> {
    let value = |column: &ArrayRef| ScalarValue::try_from_array(column, file);
    columns.iter().map(value).collect::<Result<_, _>>().map_err(|_| Fault("a partition value is malformed").corrupt())
}

fn file_statistics(
    layout: &Layout,
    columns: &HashMap<String, ColumnBounds>,
    file: usize,
    stats: &FileStatistics,
    bytes: u64,
) -> Statistics {
    let fields = layout.data.fields().iter().chain(&layout.partition);
    let rows = stats.rows.and_then(|rows| usize::try_from(rows).ok());
    Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        total_byte_size: usize::try_from(bytes).map_or(Precision::Absent, Precision::Inexact),
        column_statistics: fields.filter_map(|f| columns.get(f.name())).map(|c| c.statistics(file, stats)).collect(),
    }
}

/// The statistics of `files` together.
pub(crate) fn merged(layout: &Layout, files: &[PartitionedFile]) -> Result<Statistics, StoreError> {
    let fields = layout.data.fields().iter().chain(&layout.partition).cloned().collect::<Vec<_>>();
    let schema = Schema::new(fields);
    if files.is_empty() {
        let mut nothing = Statistics::new_unknown(&schema);
        nothing.num_rows = Precision::Exact(0);
        nothing.total_byte_size = Precision::Exact(0);
        return Ok(nothing);
    }
    Statistics::try_merge_iter(files.iter().filter_map(|file| file.statistics.as_deref()), &schema)
        .map_err(|_| Fault("the files' statistics do not fit together").corrupt())
}
