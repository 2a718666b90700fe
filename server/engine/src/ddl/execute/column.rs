//! Columns of tables that are there.
//!
//! Invariant: the Delta log has a column before the catalog does; one that only the log has is shown to nobody.

use arrow::datatypes::Field;
use lakeward_catalog::{CatalogError, NewColumn};

use super::{DdlContext, actor, coded, command, notice, skip_missing};
use crate::ddl::AddColumn;
use crate::error::Error;
use crate::response::Command;

const TAG: &str = "ALTER TABLE";

/// ALTER TABLE … ADD COLUMN.
pub(super) async fn add(context: &DdlContext<'_>, add: &AddColumn) -> Result<Command, Error> {
    let snapshot = context.catalog.snapshot();
    let actor = context.actor(&snapshot)?;
    let mut notices = Vec::new();
    let found = actor::table(&snapshot, context.search_path, &add.table);
    let found = skip_missing(found, add.if_exists, &mut notices).map_err(|error| coded(&error))?;
    let Some(table) = found else { return Ok(command(TAG, notices)) };
    actor.must_own(table.owner, "table", &table.name).map_err(|error| coded(&error))?;
    let column = &add.column;
    if table.columns.iter().any(|known| known.name == column.name) {
        if add.if_not_exists {
            let message = format!("column \"{}\" of relation \"{}\" already exists, skipping", column.name, table.name);
            return Ok(command(TAG, vec![notice(message)]));
        }
        let exists = CatalogError::ColumnExists { column: column.name.clone(), relation: table.name.clone() };
        return Err(coded(&exists));
    }
    let field = Field::new(&column.name, column.arrow_type.clone(), true);
    let added = context.store.add_column(&table, &field, &context.note).await;
    let version = added.map_err(|error| crate::publish::store(&error, &table.name))?;
    let (_, _) = context
        .change(|draft, actor| {
            actor.must_own(table.owner, "table", &table.name)?;
            let new = NewColumn { name: column.name.clone(), sql_type: column.sql_type.clone() };
            draft.add_column(table.id, new, version)
        })
        .await?;
    Ok(command(TAG, notices))
}
