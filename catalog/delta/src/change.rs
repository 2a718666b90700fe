//! Changing rows: the files that hold them are written anew without them, or with their new values, in one commit.
//!
//! Three streams run side by side and hold a batch or two each: the old files are read and rewritten, the new files are
//! staged, and, where the table has a change feed, what changed is staged beside it (as a table of its own below
//! `_change_data`, whose files the commit then names).
//!
//! Invariant: what a commit takes away is what was read, row for row: every row that was found is found again, and every
//! other row of its file is written as it was.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef};
use datafusion_common::{DataFusionError, Result as DataFusionResult};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{SendableRecordBatchStream, execute_stream};
use deltalake::datafusion::catalog::Session;
use deltalake::kernel::LogicalFileView;
use lakeward_catalog::{ChangeGuard, CommitNote, RowAction, RowChanges, RowUse, StoreError};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::commit::Rule;
use crate::fault::{Fault, from_delta, from_reading};
use crate::location::Place;
use crate::numbered::NumberedTable;
use crate::pending::Pending;
use crate::protocol::check_writable;
use crate::snapshots::Pinned;
use crate::write::{self, Shape, Staged};

/// Where the columns of what was found stand.
const FILE: usize = 0;
const ROW: usize = 1;
const ACTION: usize = 2;

const CHANGE_TYPE: &str = "_change_type";
const CHANGE_DIRECTORY: &str = "_change_data";

/// How many batches wait between reading and writing.
const QUEUE_BATCHES: usize = 2;

/// Rows of a batch of new rows.
const INSERT_ROWS: usize = 8192;

/// Writes the files that change rows of `place`.
pub(crate) async fn change(
    place: &Place,
    changes: RowChanges,
    note: &CommitNote,
) -> Result<Option<Pending>, StoreError> {
    let base = Arc::clone(&changes.base.0).downcast::<Pinned>();
    let base = base.map_err(|_| Fault("rows were numbered by another store").io())?;
    check_writable(&base)?;
    let Some(index) = base.index.clone() else { return Err(unnumbered()) };
    let hits = Hits::sort(&changes)?;
    if hits.files.is_empty() && hits.inserts.is_empty() {
        return Ok(None);
    }
    let feed = base.property("delta.enableChangeDataFeed") == Some("true");
    let schema = nullable(&index.layout.table);
    let (rows, new_rows) = channel(&schema);
    let (changed, new_changes) = channel(&with_change_type(&schema));
    let rewrite = Rewrite {
        table: NumberedTable::new(Arc::clone(&index), place.root.clone()),
        changes: &changes,
        schema,
        rows,
        feed: feed.then_some(changed),
        counts: Counts::default(),
    };
    let files = write::stage(place, Shape::of(&base), new_rows, note);
    let feed = async { if feed { stage_feed(place, &base, new_changes, note).await.map(Some) } else { Ok(None) } };
    let (rewritten, files, feed) = futures::join!(rewrite.run(&hits), files, feed);
    // Where writing failed, reading only knows that nobody listens.
    let (counts, files, feed) = match (rewritten, files, feed) {
        (Err(Stopped::Failed(error)), ..) => return Err(error),
        (_, Err(error), _) | (_, _, Err(error)) => return Err(error),
        (Err(Stopped::Unheard), ..) => return Err(Fault("the write ended early").io()),
        (Ok(counts), Ok(files), Ok(feed)) => (counts, files, feed),
    };
    if counts.all() == 0 {
        return Ok(None);
    }
    let paths = paths(&base, &hits)?;
    pending(place, base, &changes, counts, files, feed, paths).map(Some)
}

/// What a change does.
#[derive(Clone, Copy, Default)]
struct Counts {
    updated: u64,
    deleted: u64,
    inserted: u64,
}

impl Counts {
    fn all(self) -> u64 {
        self.updated + self.deleted + self.inserted
    }
}

/// Why a table's rows have no numbers.
pub(crate) fn unnumbered() -> StoreError {
    StoreError::Unsupported("changing rows of a table with deletion vectors, mapped columns or nested types".into())
}

fn pending(
    place: &Place,
    base: Arc<Pinned>,
    changes: &RowChanges,
    counts: Counts,
    mut files: Staged,
    feed: Option<Staged>,
    paths: HashSet<String>,
) -> Result<Pending, StoreError> {
    let removed = if paths.is_empty() { Vec::new() } else { base.removes(|path| paths.contains(path))? };
    let metrics = json!({
        "numUpdatedRows": counts.updated, "numDeletedRows": counts.deleted, "numInsertedRows": counts.inserted,
        "numAddedFiles": files.entry.actions.len(), "numRemovedFiles": removed.len(),
    });
    files.entry.actions.splice(0..0, removed);
    if let Some(feed) = &feed {
        files.entry.actions.extend(feed.entry.actions.iter().filter_map(change_file));
    }
    files.entry.describe(changes.operation, Map::new(), base.raw.version());
    files.entry.info.insert("operationMetrics".to_owned(), metrics);
    // A MERGE that found no row may have been made to find one since.
    let rule = if changes.operation == "MERGE" { Rule::Replace } else { Rule::Rewrite(paths) };
    Ok(Pending::new(place, base, files, feed, rule, counts.all()))
}

/// The files that hold the rows, by their paths in the log.
fn paths(base: &Pinned, hits: &Hits) -> Result<HashSet<String>, StoreError> {
    let log = base.snapshot.try_log_data().map_err(|error| from_delta(&error))?;
    let views: Vec<LogicalFileView> = log.iter().collect();
    let path = |file: &usize| views.get(*file).map(|view| view.path().into_owned());
    hits.files.keys().map(path).collect::<Option<_>>().ok_or_else(|| Fault("a file of the table is missing").corrupt())
}

async fn stage_feed(
    place: &Place,
    base: &Pinned,
    rows: SendableRecordBatchStream,
    note: &CommitNote,
) -> Result<Staged, StoreError> {
    let place = place.below(CHANGE_DIRECTORY);
    let declared = with_change_type(&base.declared);
    let partition_by = base.snapshot.metadata().partition_columns().to_vec();
    write::stage(&place, Shape { base: None, declared, partition_by }, rows, note).await
}

/// The action that names a file of changes, of the one that would have added it to a table.
fn change_file(action: &Value) -> Option<Value> {
    let add = action.get("add")?;
    let path = format!("{CHANGE_DIRECTORY}/{}", add.get("path")?.as_str()?);
    let values = add.get("partitionValues").cloned().unwrap_or_else(|| json!({}));
    Some(json!({"cdc": {"path": path, "partitionValues": values, "size": add.get("size")?, "dataChange": false}}))
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn with_change_type(schema: &Schema) -> SchemaRef {
    let change_type = Field::new(CHANGE_TYPE, DataType::Utf8, true);
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).chain([change_type]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

type Sender = mpsc::Sender<DataFusionResult<RecordBatch>>;

fn channel(schema: &SchemaRef) -> (Sender, SendableRecordBatchStream) {
    let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
    let batches = futures::stream::unfold(receiver, |mut receiver: mpsc::Receiver<_>| async {
        let batch = receiver.recv().await?;
        Some((batch, receiver))
    });
    (sender, Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), batches)))
}

/// A place in what was found: the batch, and the row in it.
type Found = (usize, usize);

/// A row to be changed.
struct Hit {
    row: i64,
    action: usize,
    found: Found,
}

/// What was found, by file, in the order of rows.
struct Hits {
    files: BTreeMap<usize, Vec<Hit>>,
    /// By action.
    inserts: BTreeMap<usize, Vec<Found>>,
}

impl Hits {
    fn sort(changes: &RowChanges) -> Result<Self, StoreError> {
        let mut hits = Self { files: BTreeMap::new(), inserts: BTreeMap::new() };
        for (number, batch) in changes.found.iter().enumerate() {
            hits.add(number, batch).ok_or_else(|| Fault("what a statement found could not be understood").io())?;
        }
        for rows in hits.files.values_mut() {
            rows.sort_by_key(|hit| hit.row);
            let before = rows.len();
            rows.dedup_by_key(|hit| hit.row);
            if rows.len() < before
                && let Some(error) = changes.guard.found_twice()
            {
                return Err(StoreError::Input(error));
            }
        }
        Ok(hits)
    }

    fn add(&mut self, number: usize, batch: &RecordBatch) -> Option<()> {
        let files = batch.columns().get(FILE)?.as_primitive_opt::<Int64Type>()?;
        let rows = batch.columns().get(ROW)?.as_primitive_opt::<Int64Type>()?;
        let actions = batch.columns().get(ACTION)?.as_primitive_opt::<Int32Type>()?;
        for at in 0..batch.num_rows() {
            let action = usize::try_from(actions.value(at)).ok()?;
            if files.is_null(at) {
                self.inserts.entry(action).or_default().push((number, at));
            } else {
                let hit = Hit { row: rows.value(at), action, found: (number, at) };
                self.files.entry(usize::try_from(files.value(at)).ok()?).or_default().push(hit);
            }
        }
        Some(())
    }
}

/// Why reading stopped.
enum Stopped {
    /// The rows are not wanted any more.
    Unheard,
    Failed(StoreError),
}

impl From<DataFusionError> for Stopped {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(StoreError::Input(error))
    }
}

impl From<arrow::error::ArrowError> for Stopped {
    fn from(error: arrow::error::ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

/// The old files on their way to the new ones.
struct Rewrite<'a> {
    table: NumberedTable,
    changes: &'a RowChanges,
    schema: SchemaRef,
    rows: Sender,
    feed: Option<Sender>,
    counts: Counts,
}

impl Rewrite<'_> {
    async fn run(mut self, hits: &Hits) -> Result<Counts, Stopped> {
        let outcome = self.all(hits).await;
        if let Err(Stopped::Failed(_)) = &outcome {
            // What was written so far must not look like the whole.
            let stop = || Err(DataFusionError::Execution("the rows to be written failed".into()));
            let _ = self.rows.send(stop()).await;
            if let Some(feed) = &self.feed {
                let _ = feed.send(stop()).await;
            }
        }
        outcome.map(|()| self.counts)
    }

    async fn all(&mut self, hits: &Hits) -> Result<(), Stopped> {
        let session = write::session();
        for (file, hits) in &hits.files {
            self.file(&session, *file, hits).await?;
        }
        for (action, found) in &hits.inserts {
            self.insert(*action, found).await?;
        }
        Ok(())
    }

    async fn file(&mut self, session: &dyn Session, file: usize, hits: &[Hit]) -> Result<(), Stopped> {
        let unreadable = |error: DataFusionError| Stopped::Failed(from_reading(&error));
        let plan = self.table.read(session, &[file], None, 1).map_err(unreadable)?;
        let mut batches = execute_stream(plan, session.task_ctx()).map_err(unreadable)?;
        let mut hits = hits.iter().peekable();
        while let Some(batch) = futures::StreamExt::next(&mut batches).await {
            let batch = batch.map_err(unreadable)?;
            let width = self.schema.fields().len();
            let Some(numbers) = batch.columns().last().and_then(|column| column.as_primitive_opt::<Int64Type>()) else {
                return Err(Stopped::Failed(Fault("rows have no numbers").io()));
            };
            let mut chosen: BTreeMap<usize, Vec<(usize, Found)>> = BTreeMap::new();
            for (at, number) in numbers.values().iter().enumerate() {
                while let Some(hit) = hits.next_if(|hit| hit.row <= *number) {
                    if hit.row < *number {
                        return Err(Stopped::Failed(Fault("a row of the table is missing").corrupt()));
                    }
                    chosen.entry(hit.action).or_default().push((at, hit.found));
                }
            }
            let columns = batch.columns().iter().take(width).cloned().collect();
            self.batch(RecordBatch::try_new(Arc::clone(&self.schema), columns)?, chosen).await?;
        }
        match hits.next() {
            None => Ok(()),
            Some(_) => Err(Stopped::Failed(Fault("a row of the table is missing").corrupt())),
        }
    }

    /// Rewrites one batch: what stays, then what has new values.
    async fn batch(&mut self, raw: RecordBatch, chosen: BTreeMap<usize, Vec<(usize, Found)>>) -> Result<(), Stopped> {
        let mut stays = vec![true; raw.num_rows()];
        let mut renewed = Vec::new();
        for (action, rows) in chosen {
            let Some(action) = self.changes.actions.get(action) else { return Err(unknown_action()) };
            let (old, rows) = permitted(&raw, rows, action.row_use(), self.changes.guard.as_ref())?;
            for (at, _) in &rows {
                if let Some(stays) = stays.get_mut(*at) {
                    *stays = false;
                }
            }
            let count = rows.len() as u64;
            match action {
                RowAction::Delete => {
                    self.counts.deleted += count;
                    self.tell(&old, "delete").await?;
                }
                RowAction::Update(values) => {
                    let found: Vec<Found> = rows.iter().map(|(_, found)| *found).collect();
                    let new = self.updated(&old, values, &found)?;
                    self.changes.guard.admits(RowUse::Update, &new)?;
                    self.counts.updated += count;
                    self.tell(&old, "update_preimage").await?;
                    self.tell(&new, "update_postimage").await?;
                    renewed.push(new);
                }
                RowAction::Insert(_) => return Err(unknown_action()),
            }
        }
        let kept = arrow::compute::filter_record_batch(&raw, &stays.into())?;
        for batch in std::iter::once(kept).chain(renewed).filter(|batch| batch.num_rows() > 0) {
            send(&self.rows, batch).await?;
        }
        Ok(())
    }

    /// `old` with values of what was found.
    fn updated(
        &self,
        old: &RecordBatch,
        values: &[(usize, usize)],
        found: &[Found],
    ) -> Result<RecordBatch, DataFusionError> {
        let mut columns = old.columns().to_vec();
        for (column, value) in values {
            let Some(slot) = columns.get_mut(*column) else { return Err(internal()) };
            *slot = self.gathered(*value, found, slot.data_type())?;
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    async fn insert(&mut self, action: usize, found: &[Found]) -> Result<(), Stopped> {
        let changes = self.changes;
        let Some(RowAction::Insert(values)) = changes.actions.get(action) else { return Err(unknown_action()) };
        for found in found.chunks(INSERT_ROWS) {
            let column = |(field, value): (&Arc<Field>, &Option<usize>)| match value {
                Some(value) => self.gathered(*value, found, field.data_type()),
                None => Ok(new_null_array(field.data_type(), found.len())),
            };
            let columns = self.schema.fields().iter().zip(values).map(column).collect::<Result<Vec<_>, _>>()?;
            let new = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            changes.guard.admits(RowUse::Insert, &new)?;
            self.counts.inserted += found.len() as u64;
            self.tell(&new, "insert").await?;
            send(&self.rows, new).await?;
        }
        Ok(())
    }

    /// Values of what was found, in this order.
    fn gathered(&self, column: usize, found: &[Found], data_type: &DataType) -> Result<ArrayRef, DataFusionError> {
        let arrays: Option<Vec<&dyn Array>> =
            self.changes.found.iter().map(|batch| batch.columns().get(column).map(AsRef::as_ref)).collect();
        let gathered = interleave(&arrays.ok_or_else(internal)?, found)?;
        if gathered.data_type() == data_type { Ok(gathered) } else { write::cast_exactly(&gathered, data_type) }
    }

    async fn tell(&self, rows: &RecordBatch, change_type: &str) -> Result<(), Stopped> {
        let Some(feed) = self.feed.as_ref().filter(|_| rows.num_rows() > 0) else { return Ok(()) };
        let types: ArrayRef =
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(change_type, rows.num_rows())));
        let columns = rows.columns().iter().cloned().chain([types]).collect();
        send(feed, RecordBatch::try_new(with_change_type(&self.schema), columns)?).await
    }
}

async fn send(to: &Sender, batch: RecordBatch) -> Result<(), Stopped> {
    to.send(Ok(batch)).await.map_err(|_| Stopped::Unheard)
}

/// The raw rows that may be changed, and where they stand.
fn permitted(
    raw: &RecordBatch,
    rows: Vec<(usize, Found)>,
    row_use: RowUse,
    guard: &dyn ChangeGuard,
) -> Result<(RecordBatch, Vec<(usize, Found)>), DataFusionError> {
    let places =
        |rows: &[(usize, Found)]| -> arrow::array::UInt64Array { rows.iter().map(|(at, _)| *at as u64).collect() };
    let old = take_record_batch(raw, &places(&rows))?;
    let may = guard.permits(row_use, &old)?;
    if may.len() == rows.len() && may.null_count() == 0 && may.true_count() == rows.len() {
        return Ok((old, rows));
    }
    let rows: Vec<_> =
        rows.into_iter().zip(may.iter()).filter(|(_, may)| *may == Some(true)).map(|(row, _)| row).collect();
    Ok((take_record_batch(raw, &places(&rows))?, rows))
}

fn internal() -> DataFusionError {
    DataFusionError::Internal("a change names a column that does not exist".into())
}

fn unknown_action() -> Stopped {
    Stopped::Failed(Fault("what a statement found could not be understood").io())
}
