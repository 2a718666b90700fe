//! [`MappedTable`]: tables that plain Parquet reading gets wrong (deletion vectors, mapped columns, nested types), read
//! by deltalake's own scan.
//!
//! Invariant: filters are `Inexact` whatever deltalake says, so that a filter is always applied above the scan too.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::Result;
use datafusion_execution::object_store::ObjectStoreUrl;
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion_physical_plan::ExecutionPlan;
use deltalake::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake::kernel::EagerSnapshot;
use lakeward_catalog::StoreError;

use crate::fault::Fault;
use crate::location::Place;

/// One version of a table, over deltalake's scan.
pub(crate) struct MappedTable {
    inner: DeltaScanNext,
    place: Place,
    storage: ObjectStoreUrl,
}

impl MappedTable {
    pub(crate) fn new(snapshot: EagerSnapshot, place: Place) -> Result<Self, StoreError> {
        let config = DeltaScanConfig::new().with_parquet_pushdown(false).with_wrap_partition_values(false);
        let inner =
            DeltaScanNext::new(snapshot, config).map_err(|_| Fault("the table could not be planned").corrupt())?;
        // deltalake looks its files up under the location's scheme and host.
        let storage = format!("{}://{}", place.url.scheme(), place.url.host_str().unwrap_or_default());
        let storage =
            ObjectStoreUrl::parse(storage).map_err(|_| Fault("the table's location is malformed").corrupt())?;
        Ok(Self { inner, place, storage })
    }
}

impl fmt::Debug for MappedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedTable").finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for MappedTable {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
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
        if session.runtime_env().object_store(&self.storage).is_err() {
            session.runtime_env().register_object_store(self.storage.as_ref(), Arc::clone(&self.place.root.store));
        }
        let limit = if filters.is_empty() { limit } else { None };
        self.inner.scan(session, projection, filters, limit).await
    }
}
