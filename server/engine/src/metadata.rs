//! What a session can see, for the metadata commands of the protocols.
//!
//! Invariant: a table is listed only for those who hold some privilege on it.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use lakeward_base::Coded;
use lakeward_catalog::{Column, Privilege, Relation, Snapshot};
use lakeward_govern::Principal;

use crate::error::Error;
use crate::run;
use crate::session::Session;
use crate::tally::Counted;
use crate::{ddl, system};

/// A table or view as the protocols list it.
#[derive(Debug, Clone)]
pub struct VisibleTable {
    /// Its schema's name.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `TABLE`, `VIEW` or `SYSTEM TABLE`.
    pub kind: &'static str,
    /// Its columns: the same for every role.
    pub columns: SchemaRef,
}

/// Every table and view that the session's principal holds a privilege on, by schema and name. Recorded in the audit
/// like any other statement, but not waited for: no row of a table is read.
///
/// # Errors
/// 28000 where the session's role is gone; 58030 where the audit cannot record it.
pub fn visible_tables(session: &Arc<Session>) -> Result<Vec<VisibleTable>, Error> {
    let mut audit = run::receive(session)?;
    audit.describe("METADATA", "GET TABLES");
    match listed(session) {
        Ok(tables) => {
            let facts = lakeward_audit::BeginFacts {
                objects: Vec::new(),
                policies: Vec::new(),
                policy_epoch: session.epoch(),
                bypass: false,
            };
            let begun = audit.begin(facts).map_err(|error| Error::from_coded(&error))?;
            let counted = Counted { engine: session.engine().clone(), class: "METADATA", running: None };
            crate::stream::Ending::new(begun, counted).wrote(tables.len() as u64);
            Ok(tables)
        }
        Err(error) => {
            audit.deny(error.sqlstate(), session.epoch());
            Err(error)
        }
    }
}

fn listed(session: &Session) -> Result<Vec<VisibleTable>, Error> {
    let catalog = &session.engine().shared.parts.catalog;
    let snapshot = catalog.current().map_err(|error| Error::from_coded(&error))?;
    let principal = session.principal(&snapshot)?;
    let schema_name = |id| snapshot.schema(id).map(|schema| schema.name.clone()).unwrap_or_default();
    let mut tables = Vec::new();
    for relation in snapshot.relations() {
        if !sees(&snapshot, &principal, relation) {
            continue;
        }
        let (schema, name, kind, columns) = match relation {
            Relation::Table(table) => (table.schema, &table.name, "TABLE", &table.columns),
            Relation::View(view) => (view.schema, &view.name, "VIEW", &view.columns),
        };
        tables.push(VisibleTable {
            schema: schema_name(schema),
            name: name.clone(),
            kind,
            columns: arrow_schema(columns),
        });
    }
    tables.extend(system::visible(&principal));
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Ok(tables)
}

/// Whether a principal may know of a table or view: it owns it, or holds some privilege on it.
pub(crate) fn sees(snapshot: &Snapshot, principal: &Principal, relation: &Relation) -> bool {
    let (owner, grants, grantable) = match relation {
        Relation::Table(table) => (table.owner, &table.grants, table.grantable),
        Relation::View(view) => (view.owner, &view.grants, true),
    };
    let privileges = [Privilege::Select, Privilege::Insert, Privilege::Update, Privilege::Delete];
    let roles = &principal.effective_roles;
    let granted = privileges.iter().any(|privilege| snapshot.holds(roles, owner, grants, *privilege))
        || !snapshot.columns_held(roles, grants, Privilege::Select).is_empty();
    principal.superuser || principal.effective_roles.contains(&owner) || (granted && grantable)
}

fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, ddl::types::arrow_type(&column.sql_type), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}
