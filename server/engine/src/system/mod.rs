//! System tables: what the server knows of itself, made for one principal at one moment.
//!
//! Invariant: a provider made here shows its principal only what the principal may know; the barrier lets it pass as it
//! is.

mod audit;
pub(crate) mod history;
mod pg_catalog;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use lakeward_base::SqlState;
use lakeward_govern::Principal;

use crate::error::Error;
use crate::metadata::VisibleTable;
use crate::vantage::Vantage;

pub(crate) use audit::LogTable;
pub(crate) use pg_catalog::rewrite::rewrite;
pub use pg_catalog::{CatalogType, catalog_type, function_name};
pub(crate) use pg_catalog::{effective_policies, effective_policies_schema, function};

/// The schema of system tables.
pub(crate) const SCHEMA: &str = "system";

/// A system table, found.
pub(crate) struct SystemTable {
    /// Its rows.
    pub(crate) provider: Arc<dyn TableProvider>,
    /// Whether it holds rows whose reading the audit must have on disk first.
    pub(crate) holds_data: bool,
}

/// The system table of that name, made for the principal; `None` where the name is not a system table's.
///
/// # Errors
/// 42501 where the principal may not read it.
pub(crate) fn table(vantage: &Vantage, name: &TableReference) -> Result<Option<SystemTable>, Error> {
    match LogTable::named(name.table()).filter(|_| name.schema() == Some(SCHEMA)) {
        Some(table) => audit::table(vantage, table).map(Some),
        None => pg_catalog::table(vantage, name),
    }
}

/// Whether a name is that of a relation of the catalog: of none that holds rows of the lake or the audit.
pub(crate) fn is_catalog(name: &TableReference) -> bool {
    pg_catalog::is_relation(name)
}

/// Refuses everybody but superusers and members of `role`.
fn require_member(vantage: &Vantage, role: &str, table: &str) -> Result<(), Error> {
    if vantage.principal.superuser || vantage.principal.role_names.contains(role) {
        return Ok(());
    }
    let message = format!("permission denied for table {table}");
    Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message).with_hint(format!("Only members of {role} may read it.")))
}

/// The system tables that a principal may read, for listings.
pub(crate) fn visible(principal: &Principal) -> Vec<VisibleTable> {
    let auditor = principal.superuser || principal.role_names.contains("auditor");
    let seen = |table: &LogTable| VisibleTable {
        schema: SCHEMA.to_owned(),
        name: table.name().to_owned(),
        kind: "SYSTEM TABLE",
        columns: table.schema(),
    };
    let log = LogTable::ALL.iter().filter(|_| auditor).map(seen);
    log.chain(pg_catalog::own_views()).collect()
}
