//! Writing: one stream of rows becomes one commit.
//!
//! The rows go through deltalake's write operation (it checks constraints, splits by partition and writes Parquet with
//! statistics), a batch at a time: what is in memory is the open row group of each partition. Files aim at 128 MiB, row
//! groups at 128 Ki rows (small enough to prune by, large enough to read fast), pages at 8 Ki: a look-up by key reads one
//! of each column. The commit that deltalake would make is captured, completed, and made by [`crate::commit`], at once or
//! when its transaction block ends ([`crate::pending`]).
//!
//! Invariant: unless the answer is `Ok`, nothing was committed, save where the caller goes away, or storage fails, in the
//! middle of putting the commit itself (then the outcome is unknown and no file is deleted).

use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion_common::{DataFusionError, Result as DataFusionResult};
use datafusion_execution::TaskContext;
use datafusion_physical_plan::streaming::PartitionStream;
use datafusion_physical_plan::{RecordBatchStream, SendableRecordBatchStream};
use deltalake::datafusion::catalog::streaming::StreamingTable;
use deltalake::datafusion::datasource::provider_as_source;
use deltalake::datafusion::execution::SessionStateBuilder;
use deltalake::datafusion::execution::session_state::SessionState;
use deltalake::datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use deltalake::delta_datafusion::create_session;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::operations::write::WriteBuilder;
use deltalake::protocol::SaveMode;
use futures::{Stream, StreamExt};
use lakeward_catalog::{CommitNote, StoreError, WriteMode};
use object_store::prefix::PrefixStore;
use parking_lot::Mutex;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Map;

use crate::commit::{self, Entry, Rule};
use crate::fault::{Fault, from_delta, input};
use crate::location::Place;
use crate::past::PastStore;
use crate::pending::Pending;
use crate::protocol::check_writable;
use crate::snapshots::Pinned;
use crate::staging::StagingStore;

pub(crate) const TARGET_FILE_BYTES: NonZeroU64 = NonZeroU64::MIN.saturating_add(128 * 1024 * 1024 - 1);
const ROW_GROUP_ROWS: usize = 128 * 1024;
const PAGE_ROWS: usize = 8 * 1024;
/// Whoever reads one page reads its column's dictionary: a column of many different values soon goes without.
const DICTIONARY_BYTES: usize = 256 * 1024;
pub(crate) const WRITE_BATCH_ROWS: usize = 8192;

/// How often a commit that deltalake makes by itself is tried again.
const COMMIT_RETRIES: usize = 64;

/// Writes the files of `rows` on top of `base`.
pub(crate) async fn write(
    place: &Place,
    base: Arc<Pinned>,
    mode: WriteMode,
    rows: SendableRecordBatchStream,
    note: &CommitNote,
) -> Result<Pending, StoreError> {
    check_writable(&base)?;
    let replaces = mode != WriteMode::Append;
    let removed = if replaces { base.removes(|_| true)? } else { Vec::new() };
    let shape = Shape::of(&base);
    let mut staged = stage(place, shape, rows, note).await?;
    let rule = if replaces { Rule::Replace } else { Rule::Append };
    let named = if replaces { "Overwrite" } else { "Append" };
    staged.entry.actions.splice(0..0, removed);
    staged.entry.describe("WRITE", Map::from_iter([("mode".to_owned(), named.into())]), base.raw.version());
    let rows = staged.rows;
    Ok(Pending::new(place, base, staged, None, rule, rows))
}

/// What files are written for.
pub(crate) struct Shape<'a> {
    /// The version that they are written on top of; `None`: a table of its own.
    pub(crate) base: Option<&'a Pinned>,
    /// The columns.
    pub(crate) declared: SchemaRef,
    /// The columns that files are put apart by.
    pub(crate) partition_by: Vec<String>,
}

impl<'a> Shape<'a> {
    /// The shape that the table has.
    pub(crate) fn of(base: &'a Pinned) -> Self {
        let partition_by = base.snapshot.metadata().partition_columns().to_vec();
        Self { base: Some(base), declared: Arc::clone(&base.declared), partition_by }
    }
}

/// Files that were written and are not committed yet. Dropped, they are deleted.
pub(crate) struct Staged {
    staging: Abandoning,
    /// What deltalake would have committed.
    pub(crate) entry: Entry,
    /// Rows written.
    pub(crate) rows: u64,
}

impl Staged {
    /// The files have been committed by another entry.
    pub(crate) fn keep(self) {
        self.staging.0.keep();
    }

    /// Whether a commit was handed to storage, so that it may name the files.
    pub(crate) fn watcher(&self) -> StagingStore {
        self.staging.0.clone()
    }

    /// Commits; the files are deleted where that is refused for certain.
    pub(crate) async fn commit(self, place: &Place, base: &Pinned, rule: &Rule) -> Result<u64, StoreError> {
        let committed = commit::commit(place, &self.staging.0, &base.snapshot, self.entry, rule).await;
        if committed.is_err() {
            self.staging.0.delete(self.staging.0.abandon()).await;
        }
        committed
    }
}

/// Writes the files for `rows`.
pub(crate) async fn stage(
    place: &Place,
    shape: Shape<'_>,
    rows: SendableRecordBatchStream,
    note: &CommitNote,
) -> Result<Staged, StoreError> {
    let intake = Arc::new(Intake::new(shape.declared, shape.partition_by.clone(), &rows.schema())?);
    let past = Arc::new(PastStore::new(place, shape.base.map(|base| base.raw.version())));
    let directory = PrefixStore::new(Arc::clone(&past), place.prefix.clone());
    let staging = Abandoning(StagingStore::capturing(Arc::new(directory), place.directory()));
    let source = source(&intake, rows)?;
    let log_store = place.log_store_in(Arc::new(staging.0.clone()), past);
    let mut write = WriteBuilder::new(log_store, shape.base.map(|base| base.snapshot.clone()))
        .with_save_mode(SaveMode::Append)
        .with_input_plan(source)
        .with_session_state(Arc::new(session()))
        .with_target_file_size(Some(TARGET_FILE_BYTES))
        .with_write_batch_size(WRITE_BATCH_ROWS)
        .with_writer_properties(writer_properties())
        .with_commit_properties(commit_properties(note).with_create_checkpoint(false));
    if shape.base.is_none() {
        write = write.with_partition_columns(shape.partition_by);
    }
    // deltalake looks for the commit that it believes it made, and fails.
    let written = write.await;
    let failure = match (staging.0.release(), intake.failure.lock().take(), written) {
        (Some(bytes), None, _) => {
            let rows = intake.rows.load(Ordering::Relaxed);
            return Ok(Staged { entry: Entry::parse(&bytes)?, staging, rows });
        }
        (_, Some(failure), _) => StoreError::Input(failure),
        (None, None, Err(error)) => match from_delta(&error) {
            // The log was read before the write began, so it is not what is damaged.
            StoreError::Corrupt(_) => Fault("the write failed").io(),
            other => other,
        },
        (None, None, Ok(_)) => Fault("the write ended without a commit").io(),
    };
    staging.0.delete(staging.0.abandon()).await;
    Err(failure)
}

/// The properties of a commit: who made it and for which statement; never a literal.
pub(crate) fn commit_properties(note: &CommitNote) -> CommitProperties {
    let facts = [("userName", &note.user_name), ("statementId", &note.statement_id)];
    CommitProperties::default()
        .with_metadata(facts.map(|(key, value)| (key.to_owned(), serde_json::Value::String(value.clone()))))
        .with_max_retries(COMMIT_RETRIES)
}

pub(crate) fn writer_properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_created_by(concat!("lakeward ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}

/// A session of its own, with deltalake's planner. One partition: the rows come as one stream, in order.
pub(crate) fn session() -> SessionState {
    let session = create_session().state();
    let config = session.config().clone().with_target_partitions(1);
    SessionStateBuilder::new_from_existing(session).with_config(config).build()
}

/// A write that is dropped before it has ended takes its files away.
pub(crate) struct Abandoning(pub(crate) StagingStore);

impl Drop for Abandoning {
    fn drop(&mut self) {
        let files = self.0.abandon();
        if let (false, Ok(runtime)) = (files.is_empty(), tokio::runtime::Handle::try_current()) {
            let store = self.0.clone();
            runtime.spawn(async move { store.delete(files).await });
        }
    }
}

/// Checks and casts the rows on their way in, counts them, and keeps the error that stopped them.
struct Intake {
    schema: SchemaRef,
    partition_by: Vec<String>,
    rows: AtomicU64,
    failure: Mutex<Option<DataFusionError>>,
}

impl Intake {
    fn new(schema: SchemaRef, partition_by: Vec<String>, rows: &SchemaRef) -> Result<Self, StoreError> {
        let same_names = schema.fields().iter().map(|f| f.name()).eq(rows.fields().iter().map(|f| f.name()));
        if !same_names {
            return Err(input("the rows' columns are not the table's"));
        }
        let fits = |(to, from): (&FieldRef, &FieldRef)| fits(from.data_type(), to.data_type());
        if !schema.fields().iter().zip(rows.fields()).all(fits) {
            return Err(input("the rows' types are not the table's"));
        }
        Ok(Self { schema, partition_by, rows: AtomicU64::new(0), failure: Mutex::new(None) })
    }

    fn admit(&self, batch: &RecordBatch) -> DataFusionResult<RecordBatch> {
        let columns = self.schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| {
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(DataFusionError::Execution(format!("null value in column \"{}\"", field.name())));
            }
            let column = cast_exactly(column, field.data_type())?;
            if self.partition_by.contains(field.name()) && has_empty_text(&column) {
                // It would come back as null: Delta spells both alike.
                let message = format!("empty string in partition column \"{}\"", field.name());
                return Err(DataFusionError::Execution(message));
            }
            Ok(column)
        });
        let admitted = RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_, _>>()?)
            .map_err(|_| DataFusionError::Execution("a batch does not fit the table".into()))?;
        self.rows.fetch_add(admitted.num_rows() as u64, Ordering::Relaxed);
        Ok(admitted)
    }
}

/// Whether a value of the first type can be stored as the second without changing it.
fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, BinaryView, Dictionary, LargeBinary, LargeUtf8, Null, Timestamp, Utf8, Utf8View};
    match (from, to) {
        (Utf8 | LargeUtf8 | Utf8View, Utf8) | (Binary | LargeBinary | BinaryView, Binary) | (Null, _) => true,
        (Timestamp(a, zone_a), Timestamp(b, zone_b)) => a == b && zone_a.is_some() == zone_b.is_some(),
        (Dictionary(_, value), to) => fits(value, to),
        (DataType::List(from), DataType::List(to)) => fits(from.data_type(), to.data_type()),
        (DataType::Struct(from), DataType::Struct(to)) => {
            let alike =
                |(from, to): (&FieldRef, &FieldRef)| from.name() == to.name() && fits(from.data_type(), to.data_type());
            from.len() == to.len() && from.iter().zip(to).all(alike)
        }
        (DataType::Map(from, _), DataType::Map(to, _)) => match (from.data_type(), to.data_type()) {
            // The two members of an entry go by place.
            (DataType::Struct(from), DataType::Struct(to)) => {
                from.len() == to.len() && from.iter().zip(to).all(|(from, to)| fits(from.data_type(), to.data_type()))
            }
            _ => false,
        },
        (from, to) => from == to,
    }
}

fn has_empty_text(column: &ArrayRef) -> bool {
    column.as_string_opt::<i32>().is_some_and(|texts| texts.iter().any(|text| text == Some("")))
}

pub(crate) fn cast_exactly(column: &ArrayRef, to: &DataType) -> DataFusionResult<ArrayRef> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    // The error's text could hold a value.
    cast_with_options(column, to, &options)
        .map_err(|_| DataFusionError::Execution("a value does not fit its column".into()))
}

fn source(intake: &Arc<Intake>, rows: SendableRecordBatchStream) -> Result<LogicalPlan, StoreError> {
    let partition = Arc::new(OneShot { intake: Arc::clone(intake), rows: Mutex::new(Some(rows)) });
    let table = StreamingTable::try_new(Arc::clone(&intake.schema), vec![partition]).map_err(StoreError::Input)?;
    LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(table)), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(StoreError::Input)
}

/// The incoming rows as a plan's leaf that can be executed once.
struct OneShot {
    intake: Arc<Intake>,
    rows: Mutex<Option<SendableRecordBatchStream>>,
}

impl std::fmt::Debug for OneShot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneShot")
    }
}

impl PartitionStream for OneShot {
    fn schema(&self) -> &SchemaRef {
        &self.intake.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        Box::pin(Admitted { intake: Arc::clone(&self.intake), rows: self.rows.lock().take() })
    }
}

struct Admitted {
    intake: Arc<Intake>,
    rows: Option<SendableRecordBatchStream>,
}

impl Stream for Admitted {
    type Item = DataFusionResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(rows) = self.rows.as_mut() else {
            return Poll::Ready(Some(Err(DataFusionError::Internal("the rows were taken already".into()))));
        };
        let Poll::Ready(next) = rows.poll_next_unpin(cx) else { return Poll::Pending };
        Poll::Ready(next.map(|batch| {
            batch.and_then(|batch| self.intake.admit(&batch)).map_err(|failure| {
                self.intake.failure.lock().get_or_insert(failure);
                DataFusionError::Execution("the rows to be written failed".into())
            })
        }))
    }
}

impl RecordBatchStream for Admitted {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.intake.schema)
    }
}
