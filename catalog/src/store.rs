//! How tables are read and written: the [`TableStore`] trait, and [`RawTable`], one table at one pinned version.
//!
//! Invariant: a [`RawTable`] is not a `TableProvider`, so no user's plan can name one; only the barrier (`govern`) and
//! the writers in `engine` hold it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::stats::Precision;
use datafusion_expr::Expr;
use datafusion_physical_plan::{ExecutionPlan, SendableRecordBatchStream};

use crate::error::StoreError;
use crate::model::Table;

/// Which version of a table to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionSelector {
    /// The newest.
    #[default]
    Latest,
    /// This one.
    Exact(u64),
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

/// How rows are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Keep what is there.
    Append,
    /// Replace all rows, in one commit.
    Overwrite,
}

/// What a commit says about itself. Never holds a literal of the statement.
#[derive(Debug, Clone)]
pub struct CommitNote {
    /// The session user.
    pub user_name: String,
    /// The audit's statement id, to join the two logs.
    pub statement_id: String,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteResult {
    /// The version that the commit made.
    pub version: u64,
    /// Rows written.
    pub rows: u64,
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

    /// Looks at what stands at `location`, for registering it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where no Delta log stands there; [`StoreError::Unsupported`] with a feature's name
    /// where the table needs one that is not implemented.
    async fn describe(&self, location: &str) -> Result<TableDescription, StoreError>;

    /// Pins `table` at a version. Snapshots are cached per location and brought forward incrementally.
    ///
    /// # Errors
    /// [`StoreError::VersionNotFound`] outside the table's history; the others as for [`describe`](Self::describe).
    async fn open(&self, table: &Table, at: VersionSelector) -> Result<RawTable, StoreError>;

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
    ) -> Result<WriteResult, StoreError>;

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
        Self { version, rows, total_bytes, files, provider }
    }

    /// The pinned version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
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
