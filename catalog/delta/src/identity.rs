//! Which columns of an old version are today's: matched by identity, not by name.
//!
//! A name may have meant another column once: a table was replaced and a column of that name added again (the catalog
//! remembers since when a name means its column), or another writer renamed columns under Delta's column mapping (the
//! physical name stays a column's own). Invariant: a column is never read under the policies of another of its name;
//! what cannot be told to be today's column is not shown, and a governed column that is not shown closes the table.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::Result;
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion_physical_plan::ExecutionPlan;
use deltalake::kernel::MetadataValue;
use lakeward_catalog::{RawTable, StoreError, Table};

use crate::fault::Fault;
use crate::snapshots::Pinned;

const PHYSICAL_NAME: &str = "delta.columnMapping.physicalName";

/// `pinned` with those columns alone that are today's.
pub(crate) fn as_of_today(pinned: &Pinned, newest: &Pinned, table: &Table) -> RawTable {
    let raw = &pinned.raw;
    let schema = raw.schema();
    let today = |name: &str| {
        let renamed =
            raw.version() != newest.raw.version() && physical_name(pinned, name) != physical_name(newest, name);
        let replaced = table.columns.iter().any(|column| column.name == name && !column.is_in(raw.version()));
        !renamed && !replaced
    };
    let kept: Vec<usize> = (0..schema.fields().len()).filter(|index| today(schema.field(*index).name())).collect();
    if kept.len() == schema.fields().len() {
        return raw.clone();
    }
    let fields: Vec<_> = kept.iter().map(|index| Arc::clone(&schema.fields()[*index])).collect();
    let shown = ShownColumns { inner: raw.privileged_provider(), schema: Arc::new(Schema::new(fields)), kept };
    RawTable::new(raw.version(), raw.rows(), raw.total_bytes(), raw.files(), Arc::new(shown))
}

/// Refuses what would bring rows of version `from` back under today's columns, where a name meant another one then.
pub(crate) fn check_all_in(table: &Table, from: u64) -> std::result::Result<(), StoreError> {
    if table.columns.iter().all(|column| column.is_in(from)) {
        return Ok(());
    }
    Err(StoreError::Unsupported("going back to before a column was replaced by another of its name".into()))
}

/// Refuses to write on, or to read for a change, a version in which a name of today's meant another column.
pub(crate) fn check_same(table: &Table, version: u64) -> std::result::Result<(), StoreError> {
    if table.columns.iter().all(|column| column.is_in(version)) {
        return Ok(());
    }
    Err(Fault("the table's columns were replaced concurrently").conflict())
}

/// What a column is called in the files, which renaming does not change; `None`: there is no such column.
fn physical_name(pinned: &Pinned, name: &str) -> Option<String> {
    let schema = pinned.snapshot.schema();
    let field = schema.field(name)?;
    Some(match field.metadata().get(PHYSICAL_NAME) {
        Some(MetadataValue::String(physical)) => physical.clone(),
        _ => name.to_owned(),
    })
}

/// Some columns of a table.
#[derive(Debug)]
struct ShownColumns {
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
    /// Where they stand in `inner`.
    kept: Vec<usize>,
}

#[async_trait]
impl TableProvider for ShownColumns {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = match projection {
            Some(projection) => projection.iter().filter_map(|index| self.kept.get(*index).copied()).collect(),
            None => self.kept.clone(),
        };
        self.inner.scan(session, Some(&wanted), filters, limit).await
    }
}
