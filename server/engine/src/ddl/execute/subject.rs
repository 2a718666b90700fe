//! Whose data the rows of a table are.
//!
//! Invariant: it is said by those who make policies on the table: BREAK GLASS goes by it.

use lakeward_base::SqlState;
use lakeward_catalog::{CatalogError, Column};

use super::{DdlContext, policy, refused, skip_missing};
use crate::error::Error;
use crate::response::Command;
use crate::statement::Name;

/// ALTER TABLE … SUBJECT COLUMN (column)
pub(super) async fn set(
    context: &DdlContext<'_>,
    name: &Name,
    if_exists: bool,
    column: &str,
) -> Result<Command, Error> {
    context
        .command("ALTER TABLE", |draft, acting| {
            let mut notices = Vec::new();
            let found = policy::governed(context, draft, acting, name);
            let Some(table) = skip_missing(found, if_exists, &mut notices)? else { return Ok(notices) };
            super::mask::must_lift_masks(draft, acting, &table)?;
            let missing = || CatalogError::ColumnNotFound { column: column.to_owned(), relation: table.name.clone() };
            let subject = table.columns.iter().find(|known| known.name == column).ok_or_else(missing)?;
            must_identify(subject)?;
            draft.set_subject(table.id, Some(subject.id))?;
            Ok(notices)
        })
        .await
}

/// A subject is found by what the column's values are written as, so that they must have one way to be written: a fraction
/// has several.
fn must_identify(column: &Column) -> Result<(), CatalogError> {
    let kind = column.kind();
    let plain = matches!(kind, "smallint" | "integer" | "bigint" | "text" | "date");
    if plain || (kind.starts_with("numeric(") && kind.ends_with(",0)")) {
        return Ok(());
    }
    let message = format!("a subject column cannot be of type {}", column.sql_type);
    let error = Error::new(SqlState::DATATYPE_MISMATCH, message);
    Err(refused(error.with_hint("Use a whole number, text or date.")))
}
