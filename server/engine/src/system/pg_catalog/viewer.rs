//! Who looks at the catalog, and what there is for it to see.
//!
//! Invariant: everything in these relations and functions goes through here, so that what a principal may not see has
//! one place to be left out. OIDs are derived from the catalog's own numbers, which are never given twice.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use lakeward_base::{ColumnId, RoleId, SchemaId, SqlState, TableId};
use lakeward_catalog::{Grant, Grantee, POLICY_ADMIN, Privilege, Relation, Role, SYSTEM, Snapshot, Table, View};
use lakeward_govern::{Principal, Stamp};

use super::definition::{
    self, Definition, INFORMATION_SCHEMA, INFORMATION_SCHEMA_OID, PG_CATALOG, PG_CATALOG_OID, SYSTEM as SYSTEM_SCHEMA,
};
use super::types;
use crate::engine::Engine;
use crate::error::Error;
use crate::metadata;
use crate::session::Session;
use crate::system::LogTable;
use crate::vantage::Vantage;

/// PostgreSQL gives the OIDs from here on to what users make.
const FIRST_OID: u64 = 16384;
/// OID of the schema `system`.
pub(super) const SYSTEM_SCHEMA_OID: u32 = 15000;
const AUDIT_OID: u32 = 15001;
const DISCLOSURES_OID: u32 = 15009;
/// OID of the database.
pub(super) const DATABASE_OID: u32 = 15002;
/// OID of the access method of Delta tables.
pub(super) const DELTA_OID: u32 = 15003;

/// The principal of a statement, and what it looks at.
pub(super) struct Viewer {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) principal: Principal,
    pub(super) search_path: Vec<String>,
    pub(super) settings: Vec<(&'static str, String)>,
    /// The principal is a simulated one: it acts on nothing, and sees no session of the role itself.
    pub(super) simulated: bool,
    /// Two viewers of one statement see the same.
    pub(super) stamp: Stamp,
    /// For what is not in the catalog: sessions, and the sizes of tables.
    /// The cursors of the session.
    pub(super) cursors: Vec<crate::portal::OpenCursor>,
    pub(super) engine: Engine,
    /// For `set_config`. A session keeps its prepared statements, so they do not keep it.
    pub(super) session: Weak<Session>,
}

/// A relation that the viewer may see.
pub(super) struct Seen<'a> {
    pub(super) oid: u32,
    pub(super) schema_oid: u32,
    pub(super) schema: &'a str,
    pub(super) name: &'a str,
    pub(super) owner: RoleId,
    pub(super) origin: Origin<'a>,
}

/// What a relation is.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    Table(&'a Table),
    View(&'a View),
    /// Of `pg_catalog` or `information_schema`.
    Catalog(&'static Definition),
    /// `system.audit` or `system.disclosures`.
    Audit(LogTable),
}

/// A column of a relation.
pub(super) struct SeenColumn {
    pub(super) name: String,
    pub(super) type_oid: u32,
    pub(super) modifier: i32,
    pub(super) not_null: bool,
}

/// A schema that the viewer may see.
pub(super) struct SeenSchema<'a> {
    pub(super) oid: u32,
    pub(super) name: &'a str,
    pub(super) owner: RoleId,
    pub(super) grants: &'a [Grant],
}

pub(super) fn role_oid(id: RoleId) -> u32 {
    oid_of(id.0)
}

pub(super) fn schema_oid(id: SchemaId) -> u32 {
    oid_of(id.0)
}

pub(super) fn relation_oid(id: TableId) -> u32 {
    oid_of(id.0)
}

/// Of what a role grants by default in a schema, or in all.
pub(super) fn default_acl_oid(maker: RoleId, schema: Option<SchemaId>) -> u32 {
    let schema = schema.map_or(0, |schema| schema.0);
    oid_of((maker.0.wrapping_shl(16) ^ schema) & 0x7fff_ffff)
}

pub(super) fn oid_of(number: u64) -> u32 {
    u32::try_from(number.saturating_add(FIRST_OID)).unwrap_or(u32::MAX)
}

fn number_of(oid: u32) -> Option<u64> {
    u64::from(oid).checked_sub(FIRST_OID)
}

impl Viewer {
    pub(super) fn of(vantage: &Vantage) -> Arc<Self> {
        let cursors = vantage.session.transaction().cursors();
        let (settings, search_path) = (vantage.session.shown(), vantage.session.settings().search_path());
        Arc::new(Self {
            cursors,
            snapshot: Arc::clone(&vantage.snapshot),
            principal: vantage.principal.clone(),
            search_path,
            settings,
            simulated: vantage.simulator.is_some(),
            stamp: *vantage.stamp,
            engine: vantage.session.engine().clone(),
            session: Arc::downgrade(&vantage.session),
        })
    }

    /// Who owns what the server brings along: the first superuser.
    pub(super) fn system_owner(&self) -> RoleId {
        let superusers = self.snapshot.roles().filter(|role| role.superuser).map(|role| role.id);
        superusers.min().unwrap_or(RoleId(0))
    }

    /// Every relation that may be seen: users' first, by schema and name.
    pub(super) fn relations(&self) -> Vec<Seen<'_>> {
        let mut seen: Vec<Seen<'_>> = self.user_relations();
        let owner = self.system_owner();
        seen.extend(definition::all().map(|definition| of_definition(definition, owner)));
        seen
    }

    /// The same without `pg_catalog` and `information_schema`.
    pub(super) fn user_relations(&self) -> Vec<Seen<'_>> {
        let mut seen: Vec<_> = self.snapshot.relations().filter_map(|relation| self.of_relation(relation)).collect();
        seen.extend(LogTable::ALL.into_iter().filter(|_| self.may_audit()).map(|table| self.audit(table)));
        seen
    }

    fn of_relation<'a>(&'a self, relation: &'a Relation) -> Option<Seen<'a>> {
        if !metadata::sees(&self.snapshot, &self.principal, relation) {
            return None;
        }
        let (id, schema, name, owner, origin) = match relation {
            Relation::Table(table) => (table.id, table.schema, &table.name, table.owner, Origin::Table(table)),
            Relation::View(view) => (view.id, view.schema, &view.name, view.owner, Origin::View(view)),
        };
        let schema_name = self.snapshot.schema(schema).map_or("", |schema| schema.name.as_str());
        Some(Seen { oid: relation_oid(id), schema_oid: schema_oid(schema), schema: schema_name, name, owner, origin })
    }

    fn audit(&self, table: LogTable) -> Seen<'_> {
        let (schema, name, owner) = (SYSTEM_SCHEMA, table.name(), self.system_owner());
        let origin = Origin::Audit(table);
        Seen { oid: log_oid(table), schema_oid: SYSTEM_SCHEMA_OID, schema, name, owner, origin }
    }

    /// Whether the viewer may read the audit log.
    pub(super) fn may_audit(&self) -> bool {
        self.principal.superuser || self.principal.role_names.contains("auditor")
    }

    /// The relation of an OID, where it may be seen.
    pub(super) fn relation(&self, oid: u32) -> Option<Seen<'_>> {
        if let Some(number) = number_of(oid) {
            return self.of_relation(self.snapshot.relation_by_id(TableId(number))?);
        }
        if let Some(table) = LogTable::ALL.into_iter().find(|table| log_oid(*table) == oid) {
            return self.may_audit().then(|| self.audit(table));
        }
        let found = definition::all().find(|definition| definition.oid == oid)?;
        Some(of_definition(found, self.system_owner()))
    }

    /// The relation that a name stands for, as `regclass` reads it.
    pub(super) fn relation_by_name(&self, written: &str) -> Option<Seen<'_>> {
        let mut parts = identifiers(written);
        let name = parts.pop()?;
        match parts.pop() {
            Some(schema) => self.relation_in(&schema, &name),
            None => self.path().into_iter().find_map(|schema| self.relation_in(schema, &name)),
        }
    }

    fn relation_in(&self, schema: &str, name: &str) -> Option<Seen<'_>> {
        if let Some(found) = definition::find(schema, name) {
            return Some(of_definition(found, self.system_owner()));
        }
        if schema == SYSTEM_SCHEMA {
            return LogTable::named(name).filter(|_| self.may_audit()).map(|table| self.audit(table));
        }
        let relation = self.snapshot.relation(schema, name)?;
        let id = match &relation {
            Relation::Table(table) => table.id,
            Relation::View(view) => view.id,
        };
        self.relation(relation_oid(id))
    }

    /// The search path as it is applied: `pg_catalog` first.
    fn path(&self) -> Vec<&str> {
        std::iter::once(PG_CATALOG).chain(self.search_path.iter().map(String::as_str)).collect()
    }

    /// `current_schemas`: the schemas of the search path that exist.
    pub(super) fn current_schemas(&self, implicit: bool) -> Vec<String> {
        let path = self.path().into_iter().skip(usize::from(!implicit));
        path.filter(|name| *name == PG_CATALOG || self.snapshot.schema_by_name(name).is_some())
            .map(str::to_owned)
            .collect()
    }

    /// Whether a relation is found by its name alone.
    pub(super) fn is_visible(&self, seen: &Seen<'_>) -> bool {
        let first = self.path().into_iter().find_map(|schema| self.relation_in(schema, seen.name));
        first.is_some_and(|first| first.oid == seen.oid)
    }

    /// The schemas that may be seen: those with a privilege on them or on something in them.
    pub(super) fn schemas(&self) -> Vec<SeenSchema<'_>> {
        let used: BTreeSet<u32> = self.user_relations().iter().map(|seen| seen.schema_oid).collect();
        let may_see = |schema: &lakeward_catalog::Schema| {
            let holds = |privilege| {
                self.snapshot.holds(&self.principal.effective_roles, schema.owner, &schema.grants, privilege)
            };
            self.principal.superuser
                || holds(Privilege::Usage)
                || holds(Privilege::Create)
                || used.contains(&schema_oid(schema.id))
        };
        let own = self.snapshot.schemas().filter(|schema| may_see(schema)).map(|schema| SeenSchema {
            oid: schema_oid(schema.id),
            name: &schema.name,
            owner: schema.owner,
            grants: &schema.grants,
        });
        own.chain(self.system_schemas()).collect()
    }

    fn system_schemas(&self) -> impl Iterator<Item = SeenSchema<'_>> {
        let owner = self.system_owner();
        [(PG_CATALOG_OID, PG_CATALOG), (INFORMATION_SCHEMA_OID, INFORMATION_SCHEMA), (SYSTEM_SCHEMA_OID, SYSTEM_SCHEMA)]
            .into_iter()
            .map(move |(oid, name)| SeenSchema { oid, name, owner, grants: &[] })
    }

    /// A role by its OID. Who there is, is no secret between those who may log in.
    pub(super) fn role(&self, oid: u32) -> Option<&Arc<Role>> {
        self.snapshot.role(RoleId(number_of(oid)?))
    }

    /// A role's name.
    pub(super) fn role_name(&self, id: RoleId) -> String {
        let id = if id == SYSTEM { self.system_owner() } else { id };
        self.snapshot.role(id).map_or_else(|| format!("unknown (OID={})", role_oid(id)), |role| role.name.clone())
    }

    /// Whether the viewer acts with the rights of `owner`.
    pub(super) fn owns(&self, owner: RoleId) -> bool {
        self.principal.superuser || self.principal.effective_roles.contains(&owner)
    }

    /// Whether the viewer may read the policies of what `owner` owns.
    pub(super) fn sees_policies(&self, owner: RoleId) -> bool {
        self.owns(owner) || self.principal.role_names.contains(POLICY_ADMIN)
    }

    /// Whether the viewer makes policies and tags for all tables.
    pub(super) fn makes_policies(&self) -> bool {
        self.principal.superuser || self.principal.role_names.contains(POLICY_ADMIN)
    }

    /// Whether the viewer may know of a grant: its own, everybody's, or on what it administers.
    pub(super) fn sees_grant(&self, grant: &Grant, owner: RoleId) -> bool {
        let given = self.principal.effective_roles.contains(&grant.grantor);
        self.is_for(&grant.grantee) || given || self.sees_policies(owner)
    }

    /// Whether a policy or a grant for `grantee` concerns the viewer.
    pub(super) fn is_for(&self, grantee: &Grantee) -> bool {
        match grantee {
            Grantee::Public => true,
            Grantee::Role(role) => self.principal.effective_roles.contains(role),
        }
    }

    /// Whether the viewer may know a role's attributes and settings: its own, or as one who may set them.
    pub(super) fn sees_attributes(&self, role: RoleId) -> bool {
        self.principal.session_role == role
            || self.principal.superuser
            || self.principal.role_names.contains(POLICY_ADMIN)
            || self.snapshot.administers(&self.principal.effective_roles, role)
    }

    /// Whether the viewer looks after the server: superusers and members of `operator`.
    pub(super) fn is_operator(&self) -> bool {
        self.principal.superuser || self.principal.role_names.contains("operator")
    }

    /// A setting.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

fn of_definition(definition: &'static Definition, owner: RoleId) -> Seen<'static> {
    let schema_oid = match definition.schema {
        PG_CATALOG => PG_CATALOG_OID,
        SYSTEM_SCHEMA => SYSTEM_SCHEMA_OID,
        _ => INFORMATION_SCHEMA_OID,
    };
    let (schema, name, origin) = (definition.schema, definition.name, Origin::Catalog(definition));
    Seen { oid: definition.oid, schema_oid, schema, name, owner, origin }
}

impl Seen<'_> {
    /// PostgreSQL's `relkind`.
    pub(super) fn kind(&self) -> &'static str {
        match self.origin {
            Origin::Table(_) => "r",
            Origin::View(_) | Origin::Audit(_) => "v",
            Origin::Catalog(definition) => definition.kind,
        }
    }

    /// What was granted on it.
    pub(super) fn grants(&self) -> &[Grant] {
        match self.origin {
            Origin::Table(table) => &table.grants,
            Origin::View(view) => &view.grants,
            Origin::Catalog(_) | Origin::Audit(_) => &[],
        }
    }

    /// What a comment says of it.
    pub(super) fn comment(&self) -> Option<&str> {
        match self.origin {
            Origin::Table(table) => table.comment.as_deref(),
            Origin::View(view) => view.comment.as_deref(),
            Origin::Catalog(_) | Origin::Audit(_) => None,
        }
    }

    /// What comments say of its columns, by place from 1.
    pub(super) fn column_comments(&self) -> Vec<(i32, &str)> {
        let columns = match self.origin {
            Origin::Table(table) => &table.columns,
            Origin::View(view) => &view.columns,
            Origin::Catalog(_) | Origin::Audit(_) => return Vec::new(),
        };
        (1..).zip(columns).filter_map(|(place, column)| Some((place, column.comment.as_deref()?))).collect()
    }

    /// The identifier of the column at a place from 1, where columns can be granted.
    pub(super) fn column_id(&self, place: i64) -> Option<ColumnId> {
        let Origin::Table(table) = self.origin else { return None };
        let index = usize::try_from(place).ok()?.checked_sub(1)?;
        table.columns.get(index).map(|column| column.id)
    }

    /// Its columns, in order.
    pub(super) fn columns(&self) -> Vec<SeenColumn> {
        match self.origin {
            Origin::Table(table) => {
                table.columns.iter().map(|column| typed(&column.name, &column.sql_type, false)).collect()
            }
            Origin::View(view) => {
                view.columns.iter().map(|column| typed(&column.name, &column.sql_type, false)).collect()
            }
            Origin::Catalog(definition) => {
                definition.columns.iter().map(|column| typed(column.name, column.type_name, column.not_null)).collect()
            }
            Origin::Audit(table) => {
                let schema = table.schema();
                let of_field = |field: &Arc<arrow::datatypes::Field>| {
                    let own = super::catalog_type(field).map(|found| found.name().to_owned());
                    let sql_type = own.unwrap_or_else(|| crate::ddl::types::sql_type(field.data_type()));
                    typed(field.name(), &sql_type, false)
                };
                schema.fields().iter().map(of_field).collect()
            }
        }
    }
}

fn log_oid(table: LogTable) -> u32 {
    match table {
        LogTable::Audit => AUDIT_OID,
        LogTable::Disclosures => DISCLOSURES_OID,
    }
}

fn typed(name: &str, sql_type: &str, not_null: bool) -> SeenColumn {
    // What has no type of PostgreSQL's is sent as text.
    let (type_oid, modifier) = types::by_name(sql_type).map_or((25, -1), |(found, modifier)| (found.oid, modifier));
    SeenColumn { name: name.to_owned(), type_oid, modifier, not_null }
}

/// The parts of a dotted name, folded where they are not quoted.
pub(super) fn identifiers(written: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut characters = written.trim().chars().peekable();
    while let Some(character) = characters.next() {
        let Some(last) = parts.last_mut() else { break };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            other if quoted => last.push(other),
            other => last.extend(other.to_lowercase()),
        }
    }
    parts
}

/// `relation "…" does not exist`.
pub(super) fn unknown_relation(written: &str) -> Error {
    Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{written}\" does not exist"))
}

#[cfg(test)]
mod tests {
    use super::{identifiers, number_of, oid_of};

    #[test]
    fn names_are_folded_unless_they_are_quoted() {
        assert_eq!(identifiers("Public.\"My.\"\"T\"\"\""), ["public", "My.\"T\""]);
        assert_eq!(identifiers("pg_class"), ["pg_class"]);
    }

    #[test]
    fn oids_stand_for_the_catalogs_numbers() {
        assert_eq!(oid_of(3), 16387);
        assert_eq!(number_of(16387), Some(3));
        assert_eq!(number_of(1259), None);
    }
}
