//! [`IndexedTable`]: plans a scan of one version straight from its file index, over DataFusion's Parquet source.
//!
//! Why not deltalake's scan for plain tables: it replays the snapshot at every scan, turns Parquet row filters on
//! whatever the session says, reads all files in one partition, and copies each batch through a transform.
//!
//! Every filter is `Inexact`: files are pruned here by the index; row groups and pages by the Parquet source once the
//! physical `FilterPushdown` rule hands it the filter that stays above. Row filters (`pushdown_filters`) are off.
//!
//! Invariant: the plan reads exactly the version's files that may hold a matching row.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::{DFSchema, DataFusionError, Result, Statistics};
use datafusion_expr::utils::conjunction;
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::empty::EmptyExec;
use deltalake::datafusion::config::TableParquetOptions;
use deltalake::datafusion::datasource::listing::PartitionedFile;
use deltalake::datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use deltalake::datafusion::datasource::source::DataSourceExec;
use deltalake::datafusion::datasource::table_schema::TableSchema;
use deltalake::datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use crate::footer::Footers;
use crate::index::{FileIndex, merged};
use crate::location::Root;

/// What is read of the end of a file in a bucket at once: more than most footers and page indexes, and soon there.
const REMOTE_FOOTER_BYTES: usize = 128 * 1024;

/// One version of a plain table.
pub(crate) struct IndexedTable {
    index: Arc<FileIndex>,
    root: Root,
}

impl IndexedTable {
    pub(crate) fn new(index: Arc<FileIndex>, root: Root) -> Self {
        Self { index, root }
    }

    /// Per file, whether it may hold a row that passes all `filters`; `None` where all may.
    pub(crate) fn prune(&self, session: &dyn Session, filters: &[Expr]) -> Result<Option<Vec<bool>>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(None) };
        let table = &self.index.layout.table;
        let filter = session.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(table))?)?;
        // A filter that the pruning does not understand keeps every file.
        let Ok(predicate) = PruningPredicateBuilder::new().with_file_schema(Arc::clone(table)).try_build(filter) else {
            return Ok(None);
        };
        if predicate.always_true() {
            return Ok(None);
        }
        let keep = predicate.prune(self.index.as_ref())?;
        Ok(keep.iter().any(|keep| !keep).then_some(keep))
    }

    /// The reader of files with this schema.
    pub(crate) fn source(&self, session: &dyn Session, schema: TableSchema) -> Result<ParquetSource> {
        let mut options =
            TableParquetOptions { global: session.config_options().execution.parquet.clone(), ..Default::default() };
        options.global.pushdown_filters = false;
        options.global.reorder_filters = false;
        // Old Spark writes INT96; Delta's timestamps are microseconds.
        options.global.coerce_int96 = Some("us".to_owned());
        let footers = session.runtime_env().cache_manager.get_file_metadata_cache();
        let readers = Footers::new(Arc::clone(&self.root.store), footers);
        let source = ParquetSource::new(schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        Ok(if self.root.remote { source.with_metadata_size_hint(REMOTE_FOOTER_BYTES) } else { source })
    }

    fn plan(
        &self,
        session: &dyn Session,
        files: Vec<PartitionedFile>,
        statistics: Statistics,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan_order = &self.index.layout.scan_order;
        let wanted: Option<Vec<usize>> = match projection {
            Some(columns) => columns.iter().map(|column| scan_order.get(*column).copied()).collect(),
            None => Some(scan_order.clone()),
        };
        let wanted = wanted.ok_or_else(|| DataFusionError::Internal("a projected column does not exist".into()))?;
        let groups = FileGroup::new(files).split_files(session.config().target_partitions().max(1));
        let layout = &self.index.layout;
        let schema =
            TableSchema::builder(Arc::clone(&layout.data)).with_table_partition_cols(layout.partition.clone()).build();
        let config = FileScanConfigBuilder::new(self.root.url.clone(), Arc::new(self.source(session, schema)?))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(wanted))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl fmt::Debug for IndexedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexedTable").field("files", &self.index.files.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for IndexedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.index.layout.table)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.root.register(session.runtime_env());
        let (files, statistics) = match self.prune(session, filters)? {
            None => (self.index.files.clone(), self.index.statistics.clone()),
            Some(keep) => {
                let files: Vec<_> =
                    self.index.files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file.clone()).collect();
                let merged = merged(&self.index.layout, &files).map_err(|e| DataFusionError::External(Box::new(e)))?;
                (files, merged)
            }
        };
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(projected(&self.index.layout.table, projection)?)));
        }
        // With a filter above, a limit counts rows that the filter may drop.
        let limit = if filters.is_empty() { limit } else { None };
        self.plan(session, files, statistics, projection, limit)
    }
}

fn projected(schema: &SchemaRef, projection: Option<&Vec<usize>>) -> Result<SchemaRef> {
    match projection {
        Some(columns) => Ok(Arc::new(Schema::project(schema, columns)?)),
        None => Ok(Arc::clone(schema)),
    }
}
