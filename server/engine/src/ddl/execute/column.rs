//! Columns of tables that are there.
//!
//! Invariant: the Delta log has a column before the catalog does; one that only the log has is shown to nobody; and who
//! reads the log knows the catalog but for the last change of the table's columns at most.

use std::sync::Arc;

use arrow::datatypes::Field;
use lakeward_catalog::{CatalogError, ColumnChange, CommitNote, Draft, NewColumn, Snapshot, Table};

use super::{DdlContext, actor, coded, command, dependent, notice, skip_missing};
use crate::ddl::{AddColumn, ChangeColumn};
use crate::error::Error;
use crate::modifier::marked;
use crate::response::Command;

const TAG: &str = "ALTER TABLE";

/// ALTER TABLE … ADD COLUMN.
pub(super) async fn add(context: &DdlContext<'_>, add: &AddColumn) -> Result<Command, Error> {
    let snapshot = context.catalog.refresh().await.map_err(|error| coded(&error))?;
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
    dependent::must_not_be_taken(&snapshot, &table, &column.name).map_err(|error| coded(&error))?;
    let field = marked(Field::new(&column.name, column.arrow_type.clone(), true), &column.sql_type);
    let added = context.store.add_column(&table, &field, &note(context, &snapshot)).await;
    let version = added.map_err(|error| crate::publish::store(&error, &table.name))?;
    let (_, _) = context
        .change(|draft, actor| {
            actor.must_own(table.owner, "table", &table.name)?;
            dependent::must_not_be_taken(draft, &table, &column.name)?;
            let new = NewColumn { name: column.name.clone(), sql_type: column.sql_type.clone() };
            draft.add_column(table.id, new, version)
        })
        .await?;
    Ok(command(TAG, notices))
}

/// ALTER TABLE … DROP COLUMN, RENAME COLUMN.
pub(super) async fn change(context: &DdlContext<'_>, asked: &ChangeColumn) -> Result<Command, Error> {
    let ChangeColumn { table, if_exists, column_if_exists, change } = asked;
    let snapshot = context.catalog.refresh().await.map_err(|error| coded(&error))?;
    let actor = context.actor(&snapshot)?;
    let mut notices = Vec::new();
    let found = actor::table(&snapshot, context.search_path, table);
    let found = skip_missing(found, *if_exists, &mut notices).map_err(|error| coded(&error))?;
    let Some(table) = found else { return Ok(command(TAG, notices)) };
    actor.must_own(table.owner, "table", &table.name).map_err(|error| coded(&error))?;
    let (ColumnChange::Drop(name) | ColumnChange::Rename { from: name, .. }) = change;
    if *column_if_exists && !table.columns.iter().any(|column| column.name == *name) {
        let message = format!("column \"{name}\" of relation \"{}\" does not exist, skipping", table.name);
        return Ok(command(TAG, vec![notice(message)]));
    }
    // Tried before a file is written.
    enter(&mut Draft::new(&snapshot), &table, change, u64::MAX).map_err(|error| coded(&error))?;
    let changed = context.store.change_column(&table, change, &note(context, &snapshot)).await;
    let version = changed.map_err(|error| crate::publish::store(&error, &table.name))?;
    let entered = context.change(|draft, actor| {
        actor.must_own(table.owner, "table", &table.name)?;
        enter(draft, &table, change, version)
    });
    match entered.await {
        Ok(_) => Ok(command(TAG, notices)),
        Err(error) => {
            tracing::warn!(table = %table.id, "a column was changed in a table's log, and not in the catalog");
            Err(error.with_hint("The column is not shown any more: run the statement again."))
        }
    }
}

/// The commit says which catalog its writer knew: one that has all changes of columns before this one.
fn note(context: &DdlContext<'_>, snapshot: &Snapshot) -> CommitNote {
    CommitNote { catalog_epoch: snapshot.epoch(), ..context.note.clone() }
}

fn enter(draft: &mut Draft, table: &Arc<Table>, change: &ColumnChange, version: u64) -> Result<(), CatalogError> {
    if let Some(newest) = draft.table(table.id).cloned() {
        dependent::must_not_be_named(draft, &newest, change)?;
    }
    match change {
        ColumnChange::Drop(name) => draft.drop_column(table.id, name),
        ColumnChange::Rename { from, to } => draft.rename_column(table.id, from, to, version),
    }
}
