//! [`NumberedTable`]: a plain table whose rows are numbered, so that a statement can say which of them it changes.
//!
//! A row's number is that of its file in the version's file index, and its place in the file, which the Parquet reader
//! tells even where row groups and pages are skipped. Invariant: the numbers mean something only together with the
//! [`FileIndex`] that they were read with.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::{DataFusionError, Result, ScalarValue, Statistics};
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::empty::EmptyExec;
use deltalake::datafusion::datasource::listing::PartitionedFile;
use deltalake::datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use deltalake::datafusion::datasource::source::DataSourceExec;
use deltalake::datafusion::datasource::table_schema::TableSchema;
use lakeward_catalog::{FILE_COLUMN, ROW_COLUMN};
use parquet::arrow::RowNumber;

use crate::index::FileIndex;
use crate::location::Root;
use crate::scan::IndexedTable;

/// One version of a plain table, with numbers.
pub(crate) struct NumberedTable {
    table: IndexedTable,
    index: Arc<FileIndex>,
    root: Root,
    schema: SchemaRef,
}

impl NumberedTable {
    pub(crate) fn new(index: Arc<FileIndex>, root: Root) -> Self {
        let numbers = [FILE_COLUMN, ROW_COLUMN].map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
        let fields: Vec<FieldRef> = index.layout.table.fields().iter().cloned().chain(numbers).collect();
        let table = IndexedTable::new(Arc::clone(&index), root.clone());
        Self { table, index, root, schema: Arc::new(Schema::new(fields)) }
    }

    /// The files' columns in the order of the scan: data, partition columns, the file's number, the row's.
    fn scan_schema(&self) -> TableSchema {
        let layout = &self.index.layout;
        let file = Arc::new(Field::new(FILE_COLUMN, DataType::Int64, false));
        let partition: Vec<FieldRef> = layout.partition.iter().cloned().chain([file]).collect();
        let row = Arc::new(Field::new(ROW_COLUMN, DataType::Int64, false).with_extension_type(RowNumber));
        TableSchema::builder(Arc::clone(&layout.data))
            .with_table_partition_cols(partition)
            .with_virtual_columns(vec![row as FieldRef])
            .build()
    }

    fn file(&self, number: usize) -> Option<PartitionedFile> {
        let mut file = self.index.files.get(number)?.clone();
        file.partition_values.push(ScalarValue::Int64(i64::try_from(number).ok()));
        file.statistics = None;
        Some(file)
    }

    /// Reads the files with these numbers; each file's rows come in order where there is one partition.
    pub(crate) fn read(
        &self,
        session: &dyn Session,
        files: &[usize],
        projection: Option<&Vec<usize>>,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.root.register(session.runtime_env());
        let out_of_range = || DataFusionError::Internal("a projected column does not exist".into());
        let columns = self.index.layout.scan_order.len();
        let place = |column: usize| match self.index.layout.scan_order.get(column) {
            Some(place) => Ok(*place),
            // The two numbers stand last in both orders.
            None if column < columns + 2 => Ok(column),
            None => Err(out_of_range()),
        };
        let wanted: Vec<usize> = match projection {
            Some(columns) => columns.iter().map(|column| place(*column)).collect::<Result<_>>()?,
            None => (0..columns + 2).map(place).collect::<Result<_>>()?,
        };
        let schema = self.scan_schema();
        let statistics = Statistics::new_unknown(schema.table_schema());
        let files: Vec<PartitionedFile> = files.iter().filter_map(|file| self.file(*file)).collect();
        let groups = FileGroup::new(files).split_files(partitions.max(1));
        let source = self.table.source(session, schema)?;
        let config = FileScanConfigBuilder::new(self.root.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(wanted))?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl fmt::Debug for NumberedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NumberedTable").field("files", &self.index.files.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for NumberedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Predicates over the numbers (`IS NOT NULL`) say nothing of files.
        let numbered = |filter: &&Expr| {
            !filter.column_refs().iter().any(|column| column.name == FILE_COLUMN || column.name == ROW_COLUMN)
        };
        let filters: Vec<Expr> = filters.iter().filter(numbered).cloned().collect();
        let keep = self.table.prune(session, &filters)?;
        let all = 0..self.index.files.len();
        let files: Vec<usize> = match keep {
            None => all.collect(),
            Some(keep) => all.zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file).collect(),
        };
        if files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        self.read(session, &files, projection, session.config().target_partitions())
    }
}
