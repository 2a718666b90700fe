//! `pg_catalog` and `information_schema`: the catalog as PostgreSQL's clients expect to read it.
//!
//! The relations, their columns and the built-in types are PostgreSQL 15's (the `.txt` files); the rows are made from
//! the statement's snapshot when a scan asks for them. A relation that Lakeward has nothing to say in is empty.
//! `rewrite` turns what clients write and the planner cannot read into what it can. Invariant: rows and functions tell
//! a principal only what it may know, and an object's OID never changes.

mod cell;
mod definition;
mod functions;
mod provider;
pub(crate) mod rewrite;
mod rows;
#[cfg(test)]
mod tests;
mod types;
mod viewer;

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::logical_expr::ScalarUDF;
use lakeward_base::SqlState;

use self::definition::Definition;
pub use self::definition::{CatalogType, catalog_type};
use self::provider::CatalogTable;
pub use self::types::function_name;
use self::viewer::Viewer;
use super::SystemTable;
use crate::error::Error;
use crate::metadata::VisibleTable;
use crate::vantage::Vantage;

/// Relations with secrets, which only superusers may read in PostgreSQL too.
const SUPERUSERS_ONLY: &[&str] = &["pg_authid", "pg_shadow"];

/// The relation of that name, made for the principal. An unqualified name is looked for in `pg_catalog`, as PostgreSQL
/// does before it looks at the search path.
///
/// # Errors
/// 42501 where the principal may not read it.
pub(super) fn table(vantage: &Vantage, name: &TableReference) -> Result<Option<SystemTable>, Error> {
    let Some(definition) = find(name) else { return Ok(None) };
    if SUPERUSERS_ONLY.contains(&definition.name) && !vantage.principal.superuser {
        let message = format!("permission denied for table {}", definition.name);
        return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
    }
    let rows = CatalogTable::new(definition, Viewer::of(vantage));
    let provider = lakeward_govern::SystemTable::new(
        definition.name,
        Arc::new(rows),
        *vantage.stamp,
        Arc::clone(&vantage.privileged),
    );
    Ok(Some(SystemTable { provider: Arc::new(provider), holds_data: false }))
}

/// Lakeward's own views, which everybody may read: each shows a principal what it may know.
pub(super) fn own_views() -> impl Iterator<Item = VisibleTable> {
    let own = definition::all().filter(|definition| definition.schema == definition::SYSTEM);
    own.map(|definition| VisibleTable {
        schema: definition.schema.to_owned(),
        name: definition.name.to_owned(),
        kind: "SYSTEM TABLE",
        columns: Arc::clone(&definition.arrow),
    })
}

fn find(name: &TableReference) -> Option<&'static Definition> {
    if name.catalog().is_some_and(|database| database != crate::functions::DATABASE) {
        return None;
    }
    definition::find(name.schema().unwrap_or(definition::PG_CATALOG), name.table())
}

/// Whether a name is that of a relation of the catalog.
pub(super) fn is_relation(name: &TableReference) -> bool {
    find(name).is_some()
}

/// A function about the catalog, as it answers in this statement.
pub(crate) fn function(vantage: &Vantage, name: &str) -> Option<Arc<ScalarUDF>> {
    functions::find(name, || Viewer::of(vantage))
}
