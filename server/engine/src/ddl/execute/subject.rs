//! Whose data the rows of a table are.
//!
//! Invariant: it is said by those who make policies on the table: BREAK GLASS goes by it.

use lakeward_catalog::CatalogError;

use super::{DdlContext, policy, skip_missing};
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
            let subject = table.columns.iter().find(|known| known.name == column).ok_or_else(missing)?.id;
            draft.set_subject(table.id, Some(subject))?;
            Ok(notices)
        })
        .await
}
