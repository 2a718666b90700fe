//! What the store promises, on real directories: round trips, versions, concurrency, damage, and what a scan reads.

mod damage;
mod mapped;
mod pruning;
mod round_trip;
mod writes;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::Result as DataFusionResult;
use datafusion_expr::Expr;
use datafusion_physical_plan::metrics::MetricsSet;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{ExecutionPlan, SendableRecordBatchStream, collect};
use deltalake::datafusion::prelude::{SessionConfig, SessionContext};
use lakeward_base::{Epoch, RoleId, SchemaId, TableId};
use lakeward_catalog::{CommitNote, RawTable, StoreError, Table, TableStore, VersionSelector, WriteMode, WriteResult};
use tempfile::TempDir;
use url::Url;

use crate::DeltaStore;

/// A store and a directory to keep one table in.
struct Lake {
    store: DeltaStore,
    directory: TempDir,
}

impl Lake {
    fn new() -> Self {
        Self { store: DeltaStore::new().unwrap(), directory: tempfile::tempdir().unwrap() }
    }

    /// A lake with an empty table of `schema`.
    async fn with_table(schema: &SchemaRef, partition_by: &[&str]) -> Self {
        let lake = Self::new();
        let partition_by: Vec<String> = partition_by.iter().map(|c| (*c).to_owned()).collect();
        let version = lake.store.create(&lake.location(), Arc::clone(schema), &partition_by, &note()).await.unwrap();
        assert_eq!(version, 0);
        lake
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("t")
    }

    fn log(&self, version: u64) -> PathBuf {
        self.path().join(format!("_delta_log/{version:020}.json"))
    }

    fn location(&self) -> String {
        Url::from_directory_path(self.path()).unwrap().to_string()
    }

    fn table(&self) -> Table {
        Table {
            id: TableId(1),
            schema: SchemaId(1),
            name: "t".into(),
            owner: RoleId(1),
            location: self.location(),
            managed: true,
            columns: vec![],
            grants: vec![],
            row_security: false,
            policies: vec![],
            grantable: true,
            inherits: false,
            comment: None,
            former_columns: Default::default(),
            subject: None,
        }
    }

    async fn append(&self, batches: Vec<RecordBatch>) -> Result<WriteResult, StoreError> {
        self.store.write(&self.table(), WriteMode::Append, stream(batches), &note()).await
    }

    async fn latest(&self) -> Result<RawTable, StoreError> {
        self.store.open(&self.table(), VersionSelector::Latest).await
    }

    /// How many data files lie in the directory, whether the log names them or not.
    fn files_on_disk(&self) -> usize {
        fn count(directory: PathBuf) -> usize {
            let entries = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
            entries
                .map(|p| if p.is_dir() { count(p) } else { usize::from(p.extension().is_some_and(|e| e == "parquet")) })
                .sum()
        }
        count(self.path())
    }
}

fn note() -> CommitNote {
    CommitNote {
        user_name: "ada".into(),
        statement_id: "018f0000-0000-7000-8000-000000000000".into(),
        catalog_epoch: Epoch(7),
    }
}

fn stream(batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
    let schema = batches[0].schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches.into_iter().map(Ok))))
}

/// A table with one bigint column `id`.
fn id_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]))
}

fn ids(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_new(id_schema(), vec![column]).unwrap()
}

/// What one read brought, and what it cost.
struct Reading {
    rows: RecordBatch,
    plan: Arc<dyn ExecutionPlan>,
}

impl Reading {
    /// A metric, summed over the plan.
    fn metric(&self, name: &str) -> usize {
        fn sum(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
            let own = plan.metrics().map_or(0, |m| named(&m, name));
            own + plan.children().into_iter().map(|child| sum(child, name)).sum::<usize>()
        }
        sum(&self.plan, name)
    }
}

fn named(metrics: &MetricsSet, name: &str) -> usize {
    use datafusion_physical_plan::metrics::MetricValue;
    let value = |value: &MetricValue| match value {
        MetricValue::PruningMetrics { pruning_metrics, .. } => pruning_metrics.pruned(),
        other => other.as_usize(),
    };
    metrics.iter().filter(|m| m.value().name() == name).map(|m| value(m.value())).sum()
}

/// A session with nothing registered in it.
fn session() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2))
}

/// Reads through a logical plan, as the barrier does: the optimizer pushes the filter into the scan.
async fn read(raw: &RawTable, columns: Option<&[&str]>, filter: Option<Expr>) -> DataFusionResult<Reading> {
    let context = session();
    let mut frame = context.read_table(raw.privileged_provider())?;
    if let Some(filter) = filter {
        frame = frame.filter(filter)?;
    }
    if let Some(columns) = columns {
        frame = frame.select_columns(columns)?;
    }
    let plan = frame.create_physical_plan().await?;
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await?;
    assert!(batches.iter().all(|batch| batch.schema().fields() == plan.schema().fields()));
    Ok(Reading { rows: concat_batches(&plan.schema(), &batches)?, plan })
}

/// All values of the first column, sorted.
async fn sorted_ids(raw: &RawTable) -> Vec<i64> {
    use arrow::array::AsArray;
    let rows = read(raw, Some(&["id"]), None).await.unwrap().rows;
    let mut ids = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
    ids.sort_unstable();
    ids
}
