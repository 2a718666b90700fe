//! Dropping and renaming a column: the files are written anew without it, or under its new name, in one commit.
//!
//! Why not by Delta's column mapping, which would leave the files alone: a mapped table can be read, but its rows cannot be
//! changed here, and many readers do not know it. No row comes or goes, so neither a change feed nor a stream that reads
//! the table sees a change of data. Invariant: every row is in the new files, with all its other values as they were.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::DataFusionError;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{SendableRecordBatchStream, execute_stream};
use deltalake::kernel::engine::arrow_conversion::TryIntoArrow;
use deltalake::kernel::{StructField, StructType};
use futures::StreamExt;
use lakeward_catalog::{ColumnChange, CommitNote, StoreError};
use serde_json::{Map, Value, json};

use crate::columns::check_name;
use crate::commit::Rule;
use crate::fault::{from_reading, input};
use crate::location::Place;
use crate::protocol::{check_unmapped, check_writable};
use crate::replace::{merged, unreadable};
use crate::snapshots::Pinned;
use crate::write::{self, Shape, stage};

/// Changes a column on top of `base`, the newest version; answers the version that has it so.
pub(crate) async fn reshape(
    place: &Place,
    base: &Pinned,
    change: &ColumnChange,
    note: &CommitNote,
) -> Result<u64, StoreError> {
    check_writable(base)?;
    check_unmapped(base)?;
    if is_done(base, change)? {
        return Ok(base.raw.version());
    }
    check_unnamed(base)?;
    let partition_by = partition_columns(base, change)?;
    let columns = columns(base, change)?;
    let declared: Schema = (&columns).try_into_arrow().map_err(|_| unreadable())?;
    let removed = base.removes(|_| true)?.into_iter().map(|action| moved(action, "remove"));
    let rows = rows(base, change).await?;
    let shape = Shape { base: None, declared: Arc::new(declared), partition_by: partition_by.clone() };
    let mut staged = stage(place, shape, rows, note).await?;
    let schema = serde_json::to_string(&columns).map_err(|_| unreadable())?;
    let own = serde_json::to_value(base.snapshot.metadata()).map_err(|_| unreadable())?;
    let metadata = merged(&own, &json!({"schemaString": schema, "partitionColumns": partition_by}), note);
    let mut actions = vec![json!({"metaData": metadata})];
    actions.extend(removed);
    let added = std::mem::take(&mut staged.entry.actions).into_iter().filter(|action| action.get("add").is_some());
    actions.extend(added.map(|action| moved(action, "add")));
    staged.entry.actions = actions;
    let (operation, parameters) = match change {
        ColumnChange::Drop(name) => ("DROP COLUMNS", json!({"columns": [name]})),
        ColumnChange::Rename { from, to } => ("RENAME COLUMN", json!({"oldColumnPath": from, "newColumnPath": to})),
    };
    let parameters = parameters.as_object().cloned().unwrap_or_else(Map::new);
    staged.entry.describe(operation, parameters, base.raw.version());
    staged.commit(place, base, &Rule::Replace).await
}

/// Whether the log has the columns so already: a statement that failed after its commit is made again.
fn is_done(base: &Pinned, change: &ColumnChange) -> Result<bool, StoreError> {
    let has = |name: &str| base.declared.index_of(name).is_ok();
    match change {
        ColumnChange::Drop(name) => Ok(!has(name)),
        ColumnChange::Rename { from, to } => match (has(from), has(to)) {
            (false, true) => Ok(true),
            (true, false) => {
                check_name(to)?;
                let alike = |field: &Arc<Field>| field.name() != from && field.name().eq_ignore_ascii_case(to);
                if base.declared.fields().iter().any(alike) { Err(StoreError::AlreadyExists) } else { Ok(false) }
            }
            (true, true) => Err(StoreError::AlreadyExists),
            (false, false) => Err(input("the table has no such column")),
        },
    }
}

/// Constraints and the like name columns in texts of their own.
fn check_unnamed(base: &Pinned) -> Result<(), StoreError> {
    let configuration = base.snapshot.metadata().configuration();
    let named = |key: &String| key.starts_with("delta.constraints.") || key == "delta.dataSkippingStatsColumns";
    let invariant = |field: &StructField| field.metadata().contains_key("delta.invariants");
    if configuration.keys().any(named) || base.snapshot.schema().fields().any(invariant) {
        let what = "changing columns of a table with constraints, or with properties that name columns,";
        return Err(StoreError::Unsupported(what.into()));
    }
    Ok(())
}

fn partition_columns(base: &Pinned, change: &ColumnChange) -> Result<Vec<String>, StoreError> {
    let own = base.snapshot.metadata().partition_columns();
    match change {
        ColumnChange::Drop(name) if own.contains(name) => {
            Err(StoreError::Unsupported("dropping a partition column".into()))
        }
        ColumnChange::Drop(_) if base.declared.fields().len() == own.len() + 1 => {
            Err(StoreError::Unsupported("a table without a column that is not a partition column".into()))
        }
        ColumnChange::Drop(_) => Ok(own.to_vec()),
        ColumnChange::Rename { from, to } => {
            Ok(own.iter().map(|name| if name == from { to.clone() } else { name.clone() }).collect())
        }
    }
}

/// The columns as Delta will declare them, with all that their metadata says.
fn columns(base: &Pinned, change: &ColumnChange) -> Result<StructType, StoreError> {
    let kept = base.snapshot.schema();
    let kept = kept.fields().filter_map(|field| {
        let mut field = field.clone();
        field.name = new_name(&field.name, change)?.to_owned();
        Some(field)
    });
    StructType::try_new(kept.collect::<Vec<_>>()).map_err(|_| unreadable())
}

/// What a column will be called; `None` where it goes.
fn new_name<'a>(name: &'a str, change: &'a ColumnChange) -> Option<&'a str> {
    match change {
        ColumnChange::Drop(gone) if gone == name => None,
        ColumnChange::Rename { from, to } if from == name => Some(to),
        ColumnChange::Drop(_) | ColumnChange::Rename { .. } => Some(name),
    }
}

/// All rows of the version, in its new columns.
async fn rows(base: &Pinned, change: &ColumnChange) -> Result<SendableRecordBatchStream, StoreError> {
    let provider = base.raw.privileged_provider();
    let old = provider.schema();
    let kept: Vec<(usize, Field)> = old
        .fields()
        .iter()
        .enumerate()
        .filter_map(|(index, field)| Some((index, field.as_ref().clone().with_name(new_name(field.name(), change)?))))
        .collect();
    let (places, fields): (Vec<usize>, Vec<Field>) = kept.into_iter().unzip();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let session = write::session();
    let plan = provider.scan(&session, Some(&places), &[], None).await.map_err(|error| from_reading(&error))?;
    let batches = execute_stream(plan, session.task_ctx()).map_err(|error| from_reading(&error))?;
    let target = Arc::clone(&schema);
    let renamed = batches.map(move |batch| {
        let batch = batch.map_err(|error| DataFusionError::External(Box::new(from_reading(&error))))?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&target), batch.columns().to_vec(), &options)?)
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, renamed)))
}

/// An action that only moves rows.
fn moved(mut action: Value, kind: &str) -> Value {
    if let Some(file) = action.get_mut(kind).and_then(Value::as_object_mut) {
        file.insert("dataChange".to_owned(), Value::Bool(false));
    }
    action
}
