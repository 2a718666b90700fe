//! A catalog relation as a table: its rows are made when it is scanned.
//!
//! Invariant: a statement that is only prepared, or that names other relations, makes no rows.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::cell::{Rows, batch};
use super::definition::Definition;
use super::rows;
use super::viewer::Viewer;

/// See the module.
pub(super) struct CatalogTable {
    definition: &'static Definition,
    viewer: Arc<Viewer>,
}

impl CatalogTable {
    pub(super) fn new(definition: &'static Definition, viewer: Arc<Viewer>) -> Self {
        Self { definition, viewer }
    }
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.definition.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = match rows::filler(self.definition.schema, self.definition.name) {
            Some(fill) => fill(&self.viewer),
            None if rows::is_lake(self.definition) => rows::lake(&self.viewer).await,
            None => Rows::new(&[], []),
        };
        let batch = batch(self.definition, &rows)?;
        MemTable::try_new(self.schema(), vec![vec![batch]])?.scan(session, projection, filters, limit).await
    }
}

impl fmt::Debug for CatalogTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogTable").field("name", &self.definition.name).finish_non_exhaustive()
    }
}
