//! A table's change feed: the rows that came and went between two versions.
//!
//! deltalake reads it; here it gets the table's scan types and today's columns. Invariant: a range is answered only if the
//! feed was on for all of it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion_catalog::{Session, TableProvider};
use datafusion_common::stats::Precision;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::projection::ProjectionExec;
use deltalake::DeltaTable;
use deltalake::datafusion::physical_expr::PhysicalExpr;
use deltalake::datafusion::physical_expr::expressions::{cast, col};
use deltalake::operations::load_cdf::CdfLoadBuilder;
use lakeward_catalog::{RawTable, StoreError, VersionSelector};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use crate::columns::scan_schema;
use crate::fault::{from_delta, from_storage};
use crate::location::Place;
use crate::snapshots::{Pinned, Snapshots};

const ENABLED: &str = "delta.enableChangeDataFeed";

/// The changes of versions `from` to `to`, both included.
pub(crate) async fn open(
    snapshots: &Snapshots,
    place: &Place,
    from: u64,
    to: Option<u64>,
) -> Result<RawTable, StoreError> {
    let newest = snapshots.open(place, VersionSelector::Latest).await?;
    let last = to.unwrap_or(newest.raw.version());
    let first = snapshots.open(place, VersionSelector::Exact(from)).await?;
    if last > newest.raw.version() || last < from {
        return Err(StoreError::VersionNotFound { version: last, newest: newest.raw.version() });
    }
    check_recorded(place, &first, last).await?;
    let mut table = DeltaTable::new(place.log_store());
    table.load_version(newest.raw.version()).await.map_err(|error| from_delta(&error))?;
    let changes = table.scan_cdf().with_starting_version(from).with_ending_version(last);
    let provider = ChangesTable { changes, schema: schema(&newest.declared) };
    let raw = RawTable::new(last, Precision::Absent, Precision::Absent, 0, Arc::new(provider));
    Ok(raw.made_under(newest.raw.catalog_epoch()))
}

/// The newest columns, then those of the feed.
fn schema(declared: &Schema) -> SchemaRef {
    let mut fields: Vec<Field> =
        scan_schema(declared).fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    fields.push(Field::new("_change_type", DataType::Utf8, true));
    fields.push(Field::new("_commit_version", DataType::Int64, true));
    fields.push(Field::new("_commit_timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true));
    Arc::new(Schema::new(fields))
}

/// The feed was on at the first version, and no commit up to the last has put it off.
async fn check_recorded(place: &Place, first: &Pinned, last: u64) -> Result<(), StoreError> {
    if first.property(ENABLED) != Some("true") {
        return Err(StoreError::NoChangeFeed);
    }
    let directory = place.directory();
    for version in first.raw.version()..=last {
        if !keeps_on(&directory, version).await? {
            return Err(StoreError::NoChangeFeed);
        }
    }
    Ok(())
}

async fn keeps_on(directory: &Arc<dyn ObjectStore>, version: u64) -> Result<bool, StoreError> {
    let commit = directory.get(&Path::from(format!("_delta_log/{version:020}.json"))).await;
    let bytes = commit.map_err(|error| from_storage(&error))?.bytes().await.map_err(|error| from_storage(&error))?;
    let metadata = bytes.split(|byte| *byte == b'\n').find_map(|line| {
        let line: Value = serde_json::from_slice(line).ok()?;
        line.get("metaData").cloned()
    });
    let enabled = |metadata: Value| metadata.pointer(&format!("/configuration/{ENABLED}")).cloned();
    Ok(metadata.is_none_or(|metadata| enabled(metadata).is_some_and(|value| value == "true")))
}

struct ChangesTable {
    changes: CdfLoadBuilder,
    schema: SchemaRef,
}

impl fmt::Debug for ChangesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangesTable").finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for ChangesTable {
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
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let failed = |error| DataFusionError::External(Box::new(from_delta(&error)));
        let feed = self.changes.build(session, None).await.map_err(failed)?;
        let found = feed.schema();
        let column = |field: &Field| -> Result<(Arc<dyn PhysicalExpr>, String)> {
            Ok((cast(col(field.name(), &found)?, &found, field.data_type().clone())?, field.name().clone()))
        };
        let columns: Vec<_> = match projection {
            Some(wanted) => wanted.iter().map(|index| column(self.schema.field(*index))).collect::<Result<_>>()?,
            None => self.schema.fields().iter().map(|field| column(field)).collect::<Result<_>>()?,
        };
        if columns.is_empty() {
            // The rows are what counts.
            return Ok(Arc::new(ProjectionExec::try_new(Vec::<(Arc<dyn PhysicalExpr>, String)>::new(), feed)?));
        }
        Ok(Arc::new(ProjectionExec::try_new(columns, feed)?))
    }
}
