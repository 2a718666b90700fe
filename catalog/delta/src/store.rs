//! [`DeltaStore`]: the table store itself, putting the other modules together.
//!
//! Invariant: nothing is written without having been read first: every write is checked against the newest version.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use datafusion_physical_plan::SendableRecordBatchStream;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use futures::{StreamExt, TryStreamExt};
use lakeward_catalog::{
    ChangeBase, ColumnChange, CommitNote, HistoryEntry, Maintenance, MayCommit, NewFiles, Numbered, RawTable,
    RowChanges, StagedWrite, StoreError, Table, TableDescription, TableStore, VersionSelector, WriteMode,
};
use object_store::ObjectStore;
use url::Url;

use crate::columns::delta_schema;
use crate::fault::{Fault, from_delta, from_storage};
use crate::location::{Place, Roots};
use crate::numbered::NumberedTable;
use crate::protocol::{check_writable, has_log};
use crate::snapshots::{CATALOG_EPOCH, Snapshots};
use crate::staging::StagingStore;
use crate::{change, changes, history, identity, maintain, replace, reshape, write};

/// Delta tables on the local file system and on the object stores that were added.
pub struct DeltaStore {
    roots: Roots,
    snapshots: Snapshots,
}

impl DeltaStore {
    /// Tables on the local file system (`file:///…/`).
    ///
    /// # Errors
    /// Never in practice: where the private URL of the local store is malformed.
    pub fn new() -> Result<Self, StoreError> {
        Ok(Self { roots: Roots::local()?, snapshots: Snapshots::default() })
    }

    /// Adds a bucket, `scheme://bucket`, for tables under it. The store must put conditionally (`PutMode::Create`).
    ///
    /// # Errors
    /// [`StoreError::Input`] where the URL names no bucket.
    pub fn with_object_store(mut self, bucket: &Url, store: Arc<dyn ObjectStore>) -> Result<Self, StoreError> {
        self.roots.add(bucket, store)?;
        Ok(self)
    }
}

impl fmt::Debug for DeltaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeltaStore").field("roots", &self.roots).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableStore for DeltaStore {
    async fn create(
        &self,
        location: &str,
        schema: SchemaRef,
        partition_by: &[String],
        note: &CommitNote,
    ) -> Result<u64, StoreError> {
        self.create_with_properties(location, schema, partition_by, &BTreeMap::new(), note).await
    }

    async fn create_with_properties(
        &self,
        location: &str,
        schema: SchemaRef,
        partition_by: &[String],
        properties: &BTreeMap<String, String>,
        note: &CommitNote,
    ) -> Result<u64, StoreError> {
        let place = self.roots.place(location)?;
        let delta_schema = delta_schema(&schema, partition_by)?;
        if has_log(&place.directory()).await? {
            return Err(StoreError::AlreadyExists);
        }
        let staging = StagingStore::new(place.directory());
        let properties = properties.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
        let made_under = (CATALOG_EPOCH.to_owned(), Some(note.catalog_epoch.0.to_string()));
        let created = CreateBuilder::new()
            .with_log_store(place.log_store_over(Arc::new(staging.clone())))
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_columns(delta_schema.fields().cloned())
            .with_partition_columns(partition_by)
            .with_configuration(properties.chain([made_under]))
            // Whose names are known is the caller's to say; all others are kept.
            .with_raise_if_key_not_exists(false)
            .with_commit_properties(write::commit_properties(note).with_max_retries(0))
            .await;
        self.snapshots.forget(&place);
        match (staging.committed(), created) {
            (Some(0), _) => Ok(0),
            (_, Err(error)) => Err(match from_delta(&error) {
                StoreError::Conflict(_) => StoreError::AlreadyExists,
                other => other,
            }),
            (_, Ok(_)) => Err(Fault("the table was not made as its first version").corrupt()),
        }
    }

    async fn describe(&self, location: &str) -> Result<TableDescription, StoreError> {
        let place = self.roots.place(location)?;
        Ok(self.snapshots.open(&place, VersionSelector::Latest).await?.description())
    }

    async fn open(&self, table: &Table, at: VersionSelector) -> Result<RawTable, StoreError> {
        let place = self.roots.place(&table.location)?;
        let pinned = self.snapshots.open(&place, at).await?;
        if at == VersionSelector::Latest {
            return Ok(pinned.raw.clone());
        }
        let newest = self.snapshots.open(&place, VersionSelector::Latest).await?;
        Ok(identity::as_of_today(&pinned, &newest, table))
    }

    async fn stage(
        &self,
        table: &Table,
        at: VersionSelector,
        mode: WriteMode,
        rows: SendableRecordBatchStream,
        note: &CommitNote,
    ) -> Result<Arc<dyn StagedWrite>, StoreError> {
        let place = self.roots.place(&table.location)?;
        let at = match mode {
            WriteMode::Replace(version) => VersionSelector::Exact(version),
            WriteMode::Append | WriteMode::Overwrite => at,
        };
        let base = self.snapshots.open(&place, at).await?;
        identity::check_same(table, base.raw.version())?;
        Ok(Arc::new(write::write(&place, base, mode, rows, note).await?))
    }

    async fn open_numbered(&self, table: &Table, at: VersionSelector) -> Result<Numbered, StoreError> {
        let place = self.roots.place(&table.location)?;
        let base = self.snapshots.open(&place, at).await?;
        identity::check_same(table, base.raw.version())?;
        check_writable(&base)?;
        let Some(index) = &base.index else { return Err(change::unnumbered()) };
        let provider = NumberedTable::new(Arc::clone(index), place.root.clone());
        let raw = &base.raw;
        let numbered = RawTable::new(raw.version(), raw.rows(), raw.total_bytes(), raw.files(), Arc::new(provider));
        let raw = numbered.made_under(raw.catalog_epoch());
        Ok(Numbered { raw, base: ChangeBase(base) })
    }

    async fn stage_change(
        &self,
        table: &Table,
        changes: RowChanges,
        note: &CommitNote,
    ) -> Result<Option<Arc<dyn StagedWrite>>, StoreError> {
        let staged = change::change(&self.roots.place(&table.location)?, changes, note).await?;
        Ok(staged.map(|staged| Arc::new(staged) as Arc<dyn StagedWrite>))
    }

    async fn stage_replacement(
        &self,
        table: &Table,
        files: NewFiles<'_>,
        rows: SendableRecordBatchStream,
        note: &CommitNote,
    ) -> Result<Arc<dyn StagedWrite>, StoreError> {
        let place = self.roots.place(&table.location)?;
        let at = files.read_version.map_or(VersionSelector::Latest, VersionSelector::Exact);
        let base = self.snapshots.open(&place, at).await?;
        Ok(Arc::new(replace::replace(&place, base, files, rows, note).await?))
    }

    async fn add_column(&self, table: &Table, column: &Field, note: &CommitNote) -> Result<u64, StoreError> {
        maintain::add_column(&self.snapshots, &self.roots.place(&table.location)?, table, column, note).await
    }

    async fn change_column(&self, table: &Table, change: &ColumnChange, note: &CommitNote) -> Result<u64, StoreError> {
        let place = self.roots.place(&table.location)?;
        let base = self.snapshots.open(&place, VersionSelector::Latest).await?;
        reshape::reshape(&place, &base, change, note).await
    }

    async fn history(&self, table: &Table) -> Result<Vec<HistoryEntry>, StoreError> {
        let place = self.roots.place(&table.location)?;
        let newest = self.snapshots.open(&place, VersionSelector::Latest).await?;
        history::entries(&place, &newest).await
    }

    async fn open_changes(&self, table: &Table, from: u64, to: Option<u64>) -> Result<RawTable, StoreError> {
        identity::check_all_in(table, from)?;
        changes::open(&self.snapshots, &self.roots.place(&table.location)?, from, to).await
    }

    async fn maintain(
        &self,
        table: &Table,
        work: &Maintenance,
        note: &CommitNote,
        may_commit: MayCommit,
    ) -> Result<u64, StoreError> {
        maintain::maintain(&self.snapshots, &self.roots.place(&table.location)?, table, work, note, may_commit).await
    }

    async fn remove(&self, location: &str) -> Result<(), StoreError> {
        let place = self.roots.place(location)?;
        if !has_log(&place.directory()).await? {
            return Err(StoreError::NotFound);
        }
        let removed = remove_all(&place).await;
        self.snapshots.forget(&place);
        removed
    }
}

/// Deletes the log first, so that what a failure leaves behind is no table any more, then everything else.
async fn remove_all(place: &Place) -> Result<(), StoreError> {
    let store = &place.root.store;
    for prefix in [place.prefix.clone().join("_delta_log"), place.prefix.clone()] {
        let listed = store.list(Some(&prefix)).map_ok(|meta| meta.location).boxed();
        let deleted: Result<Vec<_>, _> = store.delete_stream(listed).try_collect().await;
        match deleted {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(from_storage(&error)),
        }
    }
    if let ("file", Ok(directory)) = (place.url.scheme(), place.url.to_file_path()) {
        // Empty directories are left, and half-written files that listings skip. Best effort.
        let _ = tokio::fs::remove_dir_all(directory).await;
    }
    Ok(())
}
