//! Work on tables by deltalake's operations: RESTORE, OPTIMIZE, VACUUM, and adding a column.
//!
//! Invariant: none of them brings back other columns than today's: policies are bound to those.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use chrono::TimeDelta;
use deltalake::DeltaTable;
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::operations::optimize::OptimizeType;
use deltalake::operations::vacuum::VacuumMode;
use deltalake::table::config::TablePropertiesExt;
use lakeward_catalog::{CommitNote, Maintenance, MayCommit, StoreError, Table, VersionSelector};
use object_store::prefix::PrefixStore;

use crate::commit::{Entry, Rule, commit};
use crate::fault::{Fault, from_delta, input};
use crate::identity::check_all_in;
use crate::location::Place;
use crate::past::PastStore;
use crate::protocol::{check_unmapped, check_writable};
use crate::replace::{merged, unreadable};
use crate::snapshots::{Pinned, Snapshots};
use crate::staging::StagingStore;
use crate::write::{Abandoning, TARGET_FILE_BYTES, commit_properties, session, writer_properties};

/// Works on a table; answers how many files it touched.
pub(crate) async fn maintain(
    snapshots: &Snapshots,
    place: &Place,
    known: &Table,
    work: &Maintenance,
    note: &CommitNote,
    may_commit: MayCommit,
) -> Result<u64, StoreError> {
    let newest = snapshots.open(place, VersionSelector::Latest).await?;
    check_writable(&newest)?;
    if let Maintenance::Restore(to) = work {
        check_all_in(known, snapshots.open(place, *to).await?.raw.version())?;
    }
    let staging = Abandoning(StagingStore::new(place.directory()).asking(may_commit));
    let worked = work_on(snapshots, place, &newest, &staging.0, work, note).await;
    if worked.is_err() {
        staging.0.delete(staging.0.abandon()).await;
    }
    worked
}

/// Through `staging`, which finds out about a commit whose answer was lost, and knows what a failure leaves behind.
async fn work_on(
    snapshots: &Snapshots,
    place: &Place,
    newest: &Pinned,
    staging: &StagingStore,
    work: &Maintenance,
    note: &CommitNote,
) -> Result<u64, StoreError> {
    let mut table = DeltaTable::new(place.log_store_over(Arc::new(staging.clone())));
    table.load_version(newest.raw.version()).await.map_err(|error| from_delta(&error))?;
    let touched = match work {
        Maintenance::Restore(to) => {
            let past = snapshots.open(place, *to).await?;
            let same = past.declared == newest.declared
                && past.snapshot.metadata().partition_columns() == newest.snapshot.metadata().partition_columns();
            if !same {
                return Err(StoreError::Unsupported("restoring a version with other columns".into()));
            }
            let restore = table.restore().with_version_to_restore(past.raw.version());
            let (_, metrics) =
                restore.with_commit_properties(commit_properties(note)).await.map_err(|error| from_delta(&error))?;
            metrics.num_removed_file.saturating_add(metrics.num_restored_file)
        }
        Maintenance::Optimize(order) => {
            let kind = if order.is_empty() { OptimizeType::Compact } else { OptimizeType::ZOrder(order.clone()) };
            let optimize = table
                .optimize()
                .with_type(kind)
                .with_target_size(TARGET_FILE_BYTES)
                .with_writer_properties(writer_properties())
                .with_session_state(Arc::new(session()))
                .with_commit_properties(commit_properties(note));
            let (_, metrics) = optimize.await.map_err(|error| from_delta(&error))?;
            usize::try_from(metrics.num_files_removed).unwrap_or(usize::MAX)
        }
        Maintenance::Vacuum { retain_hours, dry_run } => {
            // Files that no version ever named go too: a server that dies in a transaction block leaves some.
            let vacuum = table
                .vacuum()
                .with_mode(VacuumMode::Full)
                .with_dry_run(*dry_run)
                .with_retention_period(retention(newest, *retain_hours)?)
                .with_commit_properties(commit_properties(note));
            let (_, metrics) = vacuum.await.map_err(|error| from_delta(&error))?;
            metrics.files_deleted.len()
        }
    };
    Ok(touched as u64)
}

/// How long files are kept: as long as asked for, as the table says, and as open reads and writes need, whichever is
/// longest.
fn retention(table: &Pinned, retain_hours: Option<u64>) -> Result<TimeDelta, StoreError> {
    let own = table.snapshot.table_properties().deleted_file_retention_duration();
    let own = TimeDelta::from_std(own).unwrap_or(TimeDelta::MAX);
    let asked = retain_hours.unwrap_or_default().max(Maintenance::SHORTEST_RETENTION_HOURS);
    let asked = i64::try_from(asked).ok().and_then(TimeDelta::try_hours);
    Ok(asked.ok_or_else(|| input("the retention is too long"))?.max(own))
}

/// Adds a nullable column at the end; answers the version that has it, as far as this call made it, else the newest.
pub(crate) async fn add_column(
    snapshots: &Snapshots,
    place: &Place,
    table: &Table,
    column: &Field,
    note: &CommitNote,
) -> Result<u64, StoreError> {
    let newest = snapshots.open(place, VersionSelector::Latest).await?;
    check_writable(&newest)?;
    check_unmapped(&newest)?;
    let same_name = |field: &&Arc<Field>| field.name().eq_ignore_ascii_case(column.name());
    if let Some(known) = newest.declared.fields().iter().find(same_name) {
        // Taken over where an addition came no further. Where a column of the catalog's is gone, this may be that one
        // under another name.
        let whole = table.columns.iter().all(|own| newest.declared.index_of(&own.name).is_ok());
        let same = whole && known.name() == column.name() && known.data_type() == column.data_type();
        return if same { Ok(newest.raw.version()) } else { Err(StoreError::AlreadyExists) };
    }
    if matches!(column.data_type(), DataType::Timestamp(_, None))
        && !newest.declared.fields().iter().any(|field| field.data_type() == column.data_type())
    {
        // It would change the protocol, and with it every other writer's standing.
        return Err(StoreError::Unsupported("adding the first timestamp column to this table".into()));
    }
    let fields: StructType = (&Schema::new(vec![column.clone().with_nullable(true)]))
        .try_into_kernel()
        .map_err(|_| StoreError::Unsupported("a column's type".into()))?;
    let mut entry = addition(place, &newest, &fields, note).await?;
    let own = serde_json::to_value(newest.snapshot.metadata()).map_err(|_| unreadable())?;
    for action in &mut entry.actions {
        if let Some(metadata) = action.get_mut("metaData") {
            *metadata = merged(&own, metadata, note);
        }
    }
    let staging = StagingStore::new(place.directory());
    commit(place, &staging, &newest.snapshot, entry, &Rule::Append).await
}

/// What deltalake would commit to add columns.
async fn addition(place: &Place, newest: &Pinned, fields: &StructType, note: &CommitNote) -> Result<Entry, StoreError> {
    let past = Arc::new(PastStore::new(place, Some(newest.raw.version())));
    let directory = PrefixStore::new(Arc::clone(&past), place.prefix.clone());
    let staging = StagingStore::capturing(Arc::new(directory), place.directory());
    let mut table = DeltaTable::new(place.log_store_in(Arc::new(staging.clone()), past));
    table.load_version(newest.raw.version()).await.map_err(|error| from_delta(&error))?;
    let adding = table.add_columns().with_fields(fields.fields().cloned().collect::<Vec<_>>());
    let added = adding.with_commit_properties(commit_properties(note).with_create_checkpoint(false)).await;
    match (staging.release(), added) {
        (Some(bytes), _) => Entry::parse(&bytes),
        (None, Err(error)) => match from_delta(&error) {
            StoreError::Corrupt(_) => Err(Fault("the column could not be added").io()),
            other => Err(other),
        },
        (None, Ok(_)) => Err(Fault("the column was added without a commit").io()),
    }
}
