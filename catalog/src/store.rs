//! How tables are read and written: the [`TableStore`] trait, and [`RawTable`], one table at one pinned version.
//!
//! Invariant: a [`RawTable`] is not a `TableProvider`, so no user's plan can name one; only the barrier (`govern`) and
//! the writers in `engine` hold it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::stats::Precision;
use datafusion_expr::Expr;
use datafusion_physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use lakeward_base::Epoch;

use crate::error::StoreError;
use crate::model::Table;
use crate::row_change::{Numbered, RowChanges};

/// Which version of a table to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionSelector {
    /// The newest.
    #[default]
    Latest,
    /// This one.
    Exact(u64),
    /// The one that was the newest at this moment.
    AsOf(DateTime<Utc>),
}

/// What stands at a location.
#[derive(Debug, Clone)]
pub struct TableDescription {
    /// The newest version.
    pub version: u64,
    /// Arrow schema, with `Utf8` for text, microsecond timestamps, all fields as Delta declares them.
    pub schema: SchemaRef,
    /// Partition columns, in order.
    pub partition_columns: Vec<String>,
}

/// One commit of a table's history.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    /// The version that it made.
    pub version: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who, where the log says so.
    pub user_name: Option<String>,
    /// What kind of change it was.
    pub operation: Option<String>,
    /// Its parameters as a JSON object, every value of which that may be a literal is `?`.
    pub parameters: String,
    /// The version that it read.
    pub read_version: Option<u64>,
    /// What it counted, as a JSON object.
    pub metrics: Option<String>,
    /// Who wrote it.
    pub engine: Option<String>,
}

/// Work on a table that leaves its rows as they are, or brings old ones back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Maintenance {
    /// Makes the rows of an earlier version the newest ones.
    Restore(VersionSelector),
    /// Puts small files together, in the order of these columns where there are some.
    Optimize(Vec<String>),
    /// Deletes files that no version of the last so many hours needs.
    Vacuum {
        /// Hours; the table's own and [`Maintenance::SHORTEST_RETENTION_HOURS`] are kept in any case.
        retain_hours: Option<u64>,
        /// Only counts them.
        dry_run: bool,
    },
}

/// A change of one column of a table, by which no row comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnChange {
    /// It goes, with its values.
    Drop(String),
    /// It gets another name.
    Rename {
        /// The one it has.
        from: String,
        /// The one it gets.
        to: String,
    },
}

impl Maintenance {
    /// The shortest time that files are kept: a shorter one could take files from under a query or a write.
    pub const SHORTEST_RETENTION_HOURS: u64 = 168;
}

/// Asked before the first commit of some work is handed to storage; once it has said yes, the work must not be dropped.
pub type MayCommit = Arc<dyn Fn() -> bool + Send + Sync>;

/// What new files of a table look like, where its columns are replaced together with its rows.
#[derive(Debug, Clone)]
pub struct NewFiles<'a> {
    /// The columns.
    pub schema: SchemaRef,
    /// The columns that files are put apart by; `None` keeps those of the table.
    pub partition_by: Option<&'a [String]>,
    /// The version that the rows were made from, where they were: none may have come between.
    pub read_version: Option<u64>,
}

/// How rows are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Keep what is there.
    Append,
    /// Replace all rows, in one commit.
    Overwrite,
    /// The same, if this is still the newest version.
    Replace(u64),
}

/// What a commit says about itself. Never holds a literal of the statement.
#[derive(Debug, Clone)]
pub struct CommitNote {
    /// The session user.
    pub user_name: String,
    /// The audit's statement id, to join the two logs.
    pub statement_id: String,
    /// The catalog that the writer knew. A commit that changes columns keeps it: who knows an older catalog may take one
    /// column for another.
    pub catalog_epoch: Epoch,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteResult {
    /// The version that the commit made.
    pub version: u64,
    /// Rows written.
    pub rows: u64,
}

/// A write whose files stand where they belong, and that no version of the table names yet. Dropped, its files are taken
/// away.
#[async_trait]
pub trait StagedWrite: Send + Sync {
    /// Rows written, or changed.
    fn rows(&self) -> u64;

    /// The table with this write, as nobody else sees it, under the version that it was made on.
    ///
    /// # Errors
    /// As for [`TableStore::open`].
    async fn preview(&self) -> Result<RawTable, StoreError>;

    /// Commits; answers the version that it became. The future must not be dropped before it ends.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a concurrent writer won: nothing is committed then, and the files are gone.
    async fn commit(&self) -> Result<u64, StoreError>;
}

/// Reads and writes Delta tables. The one implementation is `lakeward_delta::DeltaStore`.
#[async_trait]
pub trait TableStore: fmt::Debug + Send + Sync {
    /// Makes an empty table at `location` (version 0).
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] where a Delta log stands there; [`StoreError::Unsupported`] for a type that Delta
    /// does not have.
    async fn create(
        &self,
        location: &str,
        schema: SchemaRef,
        partition_by: &[String],
        note: &CommitNote,
    ) -> Result<u64, StoreError>;

    /// The same with properties of the table (`delta.enableChangeDataFeed`), whose values are checked by the caller.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    async fn create_with_properties(
        &self,
        location: &str,
        schema: SchemaRef,
        partition_by: &[String],
        properties: &BTreeMap<String, String>,
        note: &CommitNote,
    ) -> Result<u64, StoreError> {
        if !properties.is_empty() {
            return Err(StoreError::Unsupported("a property of this table".into()));
        }
        self.create(location, schema, partition_by, note).await
    }

    /// Looks at what stands at `location`, for registering it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where no Delta log stands there; [`StoreError::Unsupported`] with a feature's name
    /// where the table needs one that is not implemented.
    async fn describe(&self, location: &str) -> Result<TableDescription, StoreError>;

    /// Pins `table` at a version. Snapshots are cached per location and brought forward incrementally. Of an old version
    /// only those columns are shown whose names mean what they mean in `table` ([`Column::is_in`](crate::Column::is_in)).
    ///
    /// # Errors
    /// [`StoreError::VersionNotFound`] outside the table's history; the others as for [`describe`](Self::describe).
    async fn open(&self, table: &Table, at: VersionSelector) -> Result<RawTable, StoreError>;

    /// Writes the files for `rows` on top of the version that `at` selects; a [`WriteMode::Replace`] names its own.
    ///
    /// # Errors
    /// [`StoreError::Input`] carries the stream's own error.
    async fn stage(
        &self,
        table: &Table,
        at: VersionSelector,
        mode: WriteMode,
        rows: SendableRecordBatchStream,
        note: &CommitNote,
    ) -> Result<Arc<dyn StagedWrite>, StoreError> {
        let _ = (table, at, mode, rows, note);
        Err(StoreError::Unsupported("writing to this table".into()))
    }

    /// Writes `rows` in one commit. Nothing is committed if the stream fails or is dropped.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a concurrent writer won; [`StoreError::Input`] carries the stream's own error.
    async fn write(
        &self,
        table: &Table,
        mode: WriteMode,
        rows: SendableRecordBatchStream,
        note: &CommitNote,
    ) -> Result<WriteResult, StoreError> {
        let staged = self.stage(table, VersionSelector::Latest, mode, rows, note).await?;
        Ok(WriteResult { version: staged.commit().await?, rows: staged.rows() })
    }

    /// Pins `table` at a version with its rows numbered, for changing them.
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`StoreError::Unsupported`] where the table cannot be changed.
    async fn open_numbered(&self, table: &Table, at: VersionSelector) -> Result<Numbered, StoreError> {
        let _ = (table, at);
        Err(StoreError::Unsupported("changing rows of this table".into()))
    }

    /// Writes the files that change rows; `None` where no row is changed.
    ///
    /// # Errors
    /// [`StoreError::Input`] carries the guard's own error.
    async fn stage_change(
        &self,
        table: &Table,
        changes: RowChanges,
        note: &CommitNote,
    ) -> Result<Option<Arc<dyn StagedWrite>>, StoreError> {
        let _ = (table, changes, note);
        Err(StoreError::Unsupported("changing rows of this table".into()))
    }

    /// Writes the files that replace columns and rows of a table in one commit.
    ///
    /// # Errors
    /// As for [`stage`](Self::stage).
    async fn stage_replacement(
        &self,
        table: &Table,
        files: NewFiles<'_>,
        rows: SendableRecordBatchStream,
        note: &CommitNote,
    ) -> Result<Arc<dyn StagedWrite>, StoreError> {
        let _ = (table, files, rows, note);
        Err(StoreError::Unsupported("replacing this table".into()))
    }

    /// Adds a nullable column at the end of a table; one that is there already with this type is left. Answers the newest
    /// version.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    async fn add_column(&self, table: &Table, column: &Field, note: &CommitNote) -> Result<u64, StoreError> {
        let _ = (table, column, note);
        Err(StoreError::Unsupported("adding a column to this table".into()))
    }

    /// Drops or renames a column, in one commit; what has been done already is left. Answers the first version that has the
    /// columns so, as far as this call made it, else the newest.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    async fn change_column(&self, table: &Table, change: &ColumnChange, note: &CommitNote) -> Result<u64, StoreError> {
        let _ = (table, change, note);
        Err(StoreError::Unsupported("changing a column of this table".into()))
    }

    /// The commits of a table that are still known, newest first.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    async fn history(&self, table: &Table) -> Result<Vec<HistoryEntry>, StoreError> {
        let _ = table;
        Err(StoreError::Unsupported("the history of this table".into()))
    }

    /// The rows that came and went from version `from` to version `to` (the newest unless given), both included: the
    /// columns of the newest version, then `_change_type`, `_commit_version` and `_commit_timestamp`.
    ///
    /// # Errors
    /// [`StoreError::VersionNotFound`] outside the table's history, [`StoreError::NoChangeFeed`] where it was not on.
    async fn open_changes(&self, table: &Table, from: u64, to: Option<u64>) -> Result<RawTable, StoreError> {
        let _ = (table, from, to);
        Err(StoreError::Unsupported("changes of this table".into()))
    }

    /// Works on a table; answers how many files it touched.
    ///
    /// # Errors
    /// As for [`write`](Self::write); [`StoreError::Io`] where it may not commit.
    async fn maintain(
        &self,
        table: &Table,
        work: &Maintenance,
        note: &CommitNote,
        may_commit: MayCommit,
    ) -> Result<u64, StoreError> {
        let _ = (table, work, note, may_commit);
        Err(StoreError::Unsupported("work on this table".into()))
    }

    /// Deletes every file of a managed table.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    async fn remove(&self, location: &str) -> Result<(), StoreError>;
}

/// One table at one pinned version, before any policy.
#[derive(Clone)]
pub struct RawTable {
    version: u64,
    rows: Precision<usize>,
    total_bytes: Precision<usize>,
    files: usize,
    uncommitted: bool,
    catalog_epoch: Epoch,
    reading: u64,
    provider: Arc<dyn TableProvider>,
}

impl RawTable {
    /// Wraps a provider. Called by table stores (and by tests, over memory tables).
    #[must_use]
    pub fn new(
        version: u64,
        rows: Precision<usize>,
        total_bytes: Precision<usize>,
        files: usize,
        provider: Arc<dyn TableProvider>,
    ) -> Self {
        static READINGS: AtomicU64 = AtomicU64::new(0);
        let reading = READINGS.fetch_add(1, Ordering::Relaxed);
        Self { version, rows, total_bytes, files, uncommitted: false, catalog_epoch: Epoch(0), reading, provider }
    }

    /// Which reading of the table's log this is: what was read once has the same rows, while a table that was replaced
    /// at its location may have the same version number.
    #[must_use]
    pub fn reading(&self) -> u64 {
        self.reading
    }

    /// The same rows as `other` has, shown otherwise.
    #[must_use]
    pub fn read_with(self, other: &Self) -> Self {
        Self { reading: other.reading, ..self }
    }

    /// The pinned version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same, with columns that a writer has made who knew the catalog at `epoch`.
    #[must_use]
    pub fn made_under(self, epoch: Epoch) -> Self {
        Self { catalog_epoch: epoch, ..self }
    }

    /// The oldest catalog that its columns may be read by: an older one may not know yet that a name means another column.
    #[must_use]
    pub fn catalog_epoch(&self) -> Epoch {
        self.catalog_epoch
    }

    /// The same, as a write on top of `version` that is not committed.
    #[must_use]
    pub fn uncommitted_on(self, version: u64) -> Self {
        Self { version, uncommitted: true, ..self }
    }

    /// Whether it holds what only its own transaction has written.
    #[must_use]
    pub fn is_uncommitted(&self) -> bool {
        self.uncommitted
    }

    /// How many rows the version holds.
    #[must_use]
    pub fn rows(&self) -> Precision<usize> {
        self.rows
    }

    /// How many bytes its files hold.
    #[must_use]
    pub fn total_bytes(&self) -> Precision<usize> {
        self.total_bytes
    }

    /// How many files it has.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files
    }

    /// The raw schema.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.provider.schema()
    }

    /// Plans a scan with every filter that the provider takes. Only the barrier calls this, with a privileged session.
    ///
    /// # Errors
    /// The provider's.
    pub async fn scan(
        &self,
        privileged: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion_common::Result<Arc<dyn ExecutionPlan>> {
        self.provider.scan(privileged, projection, filters, limit).await
    }

    /// The provider itself, for the barrier's own logical plan. Named so that a review finds it.
    #[must_use]
    pub fn privileged_provider(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.provider)
    }
}

impl fmt::Debug for RawTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawTable").field("version", &self.version).field("files", &self.files).finish_non_exhaustive()
    }
}
