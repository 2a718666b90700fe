//! Which columns of an old version are today's: matched by identity, not by name.
//!
//! A name may have meant another column once: a table was replaced and a column of that name added again, or a column was
//! renamed (the catalog remembers since when a name means its column, and what that was called before), or another writer
//! renamed columns under Delta's column mapping (the physical name stays a column's own). Invariant: a column is never
//! read under the policies of another of its name; what cannot be told to be today's column is not shown, and a governed
//! column that is not shown closes the table.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::projection::ProjectionExec;
use deltalake::datafusion::physical_expr::PhysicalExpr;
use deltalake::datafusion::physical_expr::expressions::Column;
use deltalake::kernel::MetadataValue;
use lakeward_catalog::{RawTable, StoreError, Table};

use crate::fault::Fault;
use crate::snapshots::Pinned;

const PHYSICAL_NAME: &str = "delta.columnMapping.physicalName";

/// `pinned` with those columns alone that are today's, under their names of today.
pub(crate) fn as_of_today(pinned: &Pinned, newest: &Pinned, table: &Table) -> RawTable {
    let raw = &pinned.raw;
    let schema = raw.schema();
    let mut shown = Vec::with_capacity(schema.fields().len());
    for (place, field) in schema.fields().iter().enumerate() {
        if let Some(name) = name_today(pinned, newest, table, field.name()) {
            shown.push((place, field.as_ref().clone().with_name(name)));
        }
    }
    let as_they_are = schema.fields().iter().map(|field| field.name()).eq(shown.iter().map(|(_, field)| field.name()));
    if as_they_are {
        return raw.clone();
    }
    let (kept, fields): (Vec<usize>, Vec<Field>) = shown.into_iter().unzip();
    let shown = ShownColumns { inner: raw.privileged_provider(), schema: Arc::new(Schema::new(fields)), kept };
    let shown = RawTable::new(raw.version(), raw.rows(), raw.total_bytes(), raw.files(), Arc::new(shown));
    shown.made_under(raw.catalog_epoch()).read_with(raw)
}

/// What a column of an old version is called today; `None` where it is none of today's.
fn name_today<'a>(pinned: &Pinned, newest: &Pinned, table: &'a Table, name: &'a str) -> Option<&'a str> {
    let version = pinned.raw.version();
    let own = table.columns.iter().find(|column| column.name_at(version) == Some(name));
    match own {
        Some(column) if column.name != name => return Some(&column.name),
        None if table.columns.iter().any(|column| column.name == name) => return None,
        Some(_) | None => {}
    }
    let mapped_elsewhere =
        version != newest.raw.version() && physical_name(pinned, name) != physical_name(newest, name);
    (!mapped_elsewhere).then_some(name)
}

/// Refuses what would bring rows of version `from` back under today's columns, where a name meant another one then.
pub(crate) fn check_all_in(table: &Table, from: u64) -> std::result::Result<(), StoreError> {
    if table.columns.iter().all(|column| column.is_in(from)) {
        return Ok(());
    }
    Err(StoreError::Unsupported("going back to before a column was renamed, or replaced by another of its name".into()))
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

/// Some columns of a table, some of them under other names.
#[derive(Debug)]
struct ShownColumns {
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
    /// Where they stand in `inner`.
    kept: Vec<usize>,
}

impl ShownColumns {
    /// A filter over the columns' names of today, over those that `inner` has.
    fn inner_filter(&self, filter: &Expr) -> Result<Expr> {
        let names = self.inner.schema();
        let inner_name = |name: &str| {
            let place = self.schema.index_of(name).ok()?;
            names.fields().get(*self.kept.get(place)?).map(|field| field.name().clone())
        };
        let renamed = filter.clone().transform(|expr| match expr {
            Expr::Column(mut column) => {
                let Some(name) = inner_name(&column.name) else {
                    return Err(DataFusionError::Internal("a filter names a column that is not shown".into()));
                };
                column.name = name;
                Ok(Transformed::yes(Expr::Column(column)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(renamed.data)
    }
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
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let places: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.kept.len()).collect(),
        };
        let wanted: Vec<usize> = places.iter().filter_map(|place| self.kept.get(*place).copied()).collect();
        let filters = filters.iter().map(|filter| self.inner_filter(filter)).collect::<Result<Vec<_>>>()?;
        let scan = self.inner.scan(session, Some(&wanted), &filters, limit).await?;
        let found = scan.schema();
        let names = places.iter().filter_map(|place| self.schema.fields().get(*place)).map(|field| field.name());
        if found.fields().iter().map(|field| field.name()).eq(names.clone()) {
            return Ok(scan);
        }
        let columns = names.enumerate().map(|(index, name)| -> Result<(Arc<dyn PhysicalExpr>, String)> {
            let Some(field) = found.fields().get(index) else {
                return Err(DataFusionError::Internal("a scan has fewer columns than it was asked for".into()));
            };
            Ok((Arc::new(Column::new(field.name(), index)), name.clone()))
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Result<Vec<_>>>()?, scan)?))
    }
}
