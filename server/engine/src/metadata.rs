//! What a session can see, for the metadata commands of the protocols.
//!
//! Invariant: a table is listed only for those who hold some privilege on it, a schema for those who hold one on it or
//! on something in it; every command leaves a record under its own name.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
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

/// What a session's principal may know of, by name.
#[derive(Debug, Clone, Default)]
pub struct Visible {
    /// Schemas.
    pub schemas: Vec<String>,
    /// Tables and views, by schema and name.
    pub tables: Vec<VisibleTable>,
}

/// Answers a metadata command from what the session's principal may know of. Recorded in the audit like any other
/// statement, as `METADATA` with the command's own name, but not waited for: no row of a table is read.
///
/// # Errors
/// 28000 where the session's role is gone; 58030 where the audit cannot record it; what `answer` says.
pub fn metadata(
    session: &Arc<Session>,
    command: &str,
    answer: impl FnOnce(&Visible) -> Result<RecordBatch, Error>,
) -> Result<RecordBatch, Error> {
    let mut audit = run::receive(session)?;
    audit.describe("METADATA", command);
    match visible(session).and_then(|visible| answer(&visible)) {
        Ok(batch) => {
            let facts = lakeward_audit::BeginFacts {
                objects: Vec::new(),
                policies: Vec::new(),
                policy_epoch: session.epoch(),
                bypass: false,
                break_glass: None,
            };
            let begun = audit.begin(facts).map_err(|error| Error::from_coded(&error))?;
            let counted = Counted { engine: session.engine().clone(), class: "METADATA", running: None };
            crate::stream::Ending::new(begun, counted).wrote(batch.num_rows() as u64);
            Ok(batch)
        }
        Err(error) => {
            audit.deny(error.sqlstate(), session.epoch());
            session.engine().shared.tally.count("METADATA", error.sqlstate(), 0);
            Err(error)
        }
    }
}

fn visible(session: &Session) -> Result<Visible, Error> {
    let catalog = &session.engine().shared.parts.catalog;
    let snapshot = catalog.current().map_err(|error| Error::from_coded(&error))?;
    let principal = session.principal(&snapshot)?;
    let tables = listed(&snapshot, &principal);
    let holds = |schema: &lakeward_catalog::Schema, privilege| {
        snapshot.holds(&principal.effective_roles, schema.owner, &schema.grants, privilege)
    };
    let usable = snapshot
        .schemas()
        .filter(|schema| principal.superuser || holds(schema, Privilege::Usage) || holds(schema, Privilege::Create));
    let schemas: BTreeSet<String> =
        usable.map(|schema| schema.name.clone()).chain(tables.iter().map(|table| table.schema.clone())).collect();
    Ok(Visible { schemas: schemas.into_iter().collect(), tables })
}

fn listed(snapshot: &Snapshot, principal: &Principal) -> Vec<VisibleTable> {
    let schema_name = |id| snapshot.schema(id).map(|schema| schema.name.clone()).unwrap_or_default();
    let mut tables = Vec::new();
    for relation in snapshot.relations() {
        if !sees(snapshot, principal, relation) {
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
    tables.extend(system::visible(principal));
    tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    tables
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
