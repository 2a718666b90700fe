//! `has_…_privilege` and `pg_has_role`: the truth, from the grants that the engine itself checks.
//!
//! Invariant: an answer about the asker is what the engine would decide. Of somebody else's rights, what everybody may know
//! is told to everybody: memberships, the catalog's own relations, what PUBLIC has. Grants are told to those to whom
//! `system.grants` shows them, to who acts with that role's rights, and to who administers the role; others get NULL.

use std::collections::BTreeSet;

use lakeward_base::{ColumnId, RoleId, SqlState};
use lakeward_catalog::{Grant, Privilege, Relation, SYSTEM, SystemObject};

use super::super::cell::Cell;
use super::super::definition::{self, PG_CATALOG};
use super::super::viewer::{Viewer, identifiers, schema_oid, unknown_relation};
use super::answer::{Argument, Known, Returns};
use super::object::role_argument;
use crate::error::Error;
use crate::functions::DATABASE;
use crate::system::LogTable;

pub(super) const FUNCTIONS: &[Known] = &[
    Known::strict("has_table_privilege", Returns::Truth, has_table_privilege),
    Known::strict("has_any_column_privilege", Returns::Truth, has_any_column_privilege),
    Known::strict("has_function_privilege", Returns::Truth, has_function_privilege),
    Known::strict("has_column_privilege", Returns::Truth, has_column_privilege),
    Known::strict("has_schema_privilege", Returns::Truth, has_schema_privilege),
    Known::strict("has_database_privilege", Returns::Truth, has_database_privilege),
    Known::strict("has_tablespace_privilege", Returns::Truth, |viewer, _| Ok(Cell::Bool(viewer.principal.superuser))),
    Known::strict("pg_has_role", Returns::Truth, pg_has_role),
    Known::strict("row_security_active", Returns::Truth, row_security_active),
];

/// Whose privileges are asked for.
struct Asked {
    roles: BTreeSet<RoleId>,
    superuser: bool,
    /// Whether the viewer may know every right of theirs.
    told: bool,
}

impl Asked {
    fn current(viewer: &Viewer) -> Self {
        Self { roles: viewer.principal.effective_roles.clone(), superuser: viewer.principal.superuser, told: true }
    }

    /// Somebody else; `public` is what everybody has.
    fn other(viewer: &Viewer, argument: &Argument) -> Result<Self, Error> {
        if argument.text() == Some("public") {
            return Ok(Self { roles: BTreeSet::new(), superuser: false, told: true });
        }
        let role = role_argument(viewer, argument)?;
        let superuser = viewer.snapshot.role(role).is_some_and(|role| role.superuser);
        let administers = viewer.snapshot.administers(&viewer.principal.effective_roles, role);
        let told = viewer.owns(role) || administers;
        Ok(Self { roles: viewer.snapshot.effective_roles(role), superuser, told })
    }

    /// Whether the viewer may know what was granted to them on an object of `owner`'s.
    fn told(&self, viewer: &Viewer, owner: RoleId) -> bool {
        self.told || viewer.sees_policies(owner)
    }

    /// A privilege on an object that `owner` owns: on the whole of it, or on a column.
    fn holds(
        &self,
        viewer: &Viewer,
        (owner, grants): (RoleId, &[Grant]),
        one: Asking,
        column: Option<ColumnId>,
    ) -> bool {
        if self.superuser {
            return true;
        }
        if one.grantable {
            return viewer.snapshot.grantor(&self.roles, owner, grants, one.privilege, column).is_some();
        }
        let by_name = || {
            let held = viewer.snapshot.columns_held(&self.roles, grants, one.privilege);
            column.is_some_and(|column| held.contains(&column))
        };
        viewer.snapshot.holds(&self.roles, owner, grants, one.privilege) || by_name()
    }
}

/// One privilege that is asked for.
#[derive(Clone, Copy)]
struct Asking {
    privilege: Privilege,
    grantable: bool,
}

/// Takes `[role,] rest…` apart, where `rest` has `count` arguments.
fn asked<'a>(viewer: &Viewer, arguments: &'a [Argument], count: usize) -> Result<(Asked, &'a [Argument]), Error> {
    match arguments.split_first() {
        Some((role, rest)) if rest.len() == count => Ok((Asked::other(viewer, role)?, rest)),
        _ if arguments.len() == count => Ok((Asked::current(viewer), arguments)),
        _ => Err(Error::new(SqlState::UNDEFINED_FUNCTION, "a privilege function does not take these arguments")),
    }
}

/// Any of the privileges that a text names: `SELECT, INSERT WITH GRANT OPTION`. `known` are those that there are.
fn any(written: Option<&str>, known: &[&str], holds: impl Fn(&str, bool) -> bool) -> Result<Cell, Error> {
    let mut held = false;
    for part in written.unwrap_or_default().split(',') {
        let part = part.trim().to_ascii_uppercase();
        let stripped = part.strip_suffix(" WITH GRANT OPTION").or_else(|| part.strip_suffix(" WITH ADMIN OPTION"));
        let name = stripped.map_or(part.as_str(), str::trim_end);
        if !known.contains(&name) {
            let message = format!("unrecognized privilege type: \"{part}\"");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        held |= holds(name, stripped.is_some());
    }
    Ok(Cell::Bool(held))
}

fn asking(name: &str, grantable: bool) -> Option<Asking> {
    let privilege = match name {
        "SELECT" => Privilege::Select,
        "INSERT" => Privilege::Insert,
        "UPDATE" => Privilege::Update,
        "DELETE" => Privilege::Delete,
        "USAGE" => Privilege::Usage,
        "CREATE" => Privilege::Create,
        "EXECUTE" => Privilege::Execute,
        // PostgreSQL's others: there is nothing that they would allow.
        _ => return None,
    };
    Some(Asking { privilege, grantable })
}

const ON_TABLES: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "RULE"];
const ON_COLUMNS: &[&str] = &["SELECT", "INSERT", "UPDATE", "REFERENCES"];

/// Which columns a question is about.
#[derive(Clone, Copy)]
enum Columns<'a> {
    /// The table as a whole.
    None,
    /// Any of them.
    Any,
    /// One.
    One(&'a Argument),
}

fn has_table_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let (asked, rest) = asked(viewer, arguments, 2)?;
    let [table, privilege] = rest else { return Ok(Cell::Null) };
    on_table(viewer, &asked, table, Columns::None, privilege)
}

fn has_any_column_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let (asked, rest) = asked(viewer, arguments, 2)?;
    let [table, privilege] = rest else { return Ok(Cell::Null) };
    on_table(viewer, &asked, table, Columns::Any, privilege)
}

fn has_column_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let (asked, rest) = asked(viewer, arguments, 3)?;
    let [table, column, privilege] = rest else { return Ok(Cell::Null) };
    on_table(viewer, &asked, table, Columns::One(column), privilege)
}

fn on_table(
    viewer: &Viewer,
    asked: &Asked,
    table: &Argument,
    columns: Columns<'_>,
    privilege: &Argument,
) -> Result<Cell, Error> {
    let Some(target) = target(viewer, table)? else { return Ok(Cell::Null) };
    let known = if matches!(columns, Columns::None) { ON_TABLES } else { ON_COLUMNS };
    let relation = match target {
        Target::User(relation) => relation,
        Target::System { secret } => {
            return any(privilege.text(), known, |name, grantable| {
                asked.superuser || (name == "SELECT" && !grantable && !secret)
            });
        }
        Target::Audit => {
            let auditor = viewer.snapshot.role_by_name("auditor").is_some_and(|role| asked.roles.contains(&role.id));
            return any(privilege.text(), known, |name, grantable| {
                asked.superuser || (name == "SELECT" && !grantable && auditor)
            });
        }
    };
    if !asked.told(viewer, relation.owner()) {
        return Ok(Cell::Null);
    }
    let Some(ids) = column_ids(&relation, columns)? else { return Ok(Cell::Null) };
    any(privilege.text(), known, |name, grantable| {
        let Some(one) = asking(name, grantable) else { return false };
        if matches!(&relation, Relation::Table(table) if !table.grantable && grantable) {
            return asked.superuser;
        }
        ids.iter().any(|column| asked.holds(viewer, (relation.owner(), relation.grants()), one, *column))
    })
}

/// The columns that are asked about, `None` for the whole; nothing where a column of that number is not there.
fn column_ids(relation: &Relation, columns: Columns<'_>) -> Result<Option<Vec<Option<ColumnId>>>, Error> {
    let known = match relation {
        Relation::Table(table) => &table.columns,
        Relation::View(view) => &view.columns,
    };
    let argument = match columns {
        Columns::None => return Ok(Some(vec![None])),
        Columns::Any => return Ok(Some(known.iter().map(|column| Some(column.id)).chain([None]).collect())),
        Columns::One(argument) => argument,
    };
    if let Some(name) = argument.text() {
        let found = known.iter().find(|column| column.name == name);
        let message = || format!("column \"{name}\" of relation \"{}\" does not exist", relation.name());
        let found = found.ok_or_else(|| Error::new(SqlState::UNDEFINED_COLUMN, message()))?;
        return Ok(Some(vec![Some(found.id)]));
    }
    let place = argument.number().and_then(|place| usize::try_from(place).ok()).and_then(|place| place.checked_sub(1));
    Ok(place.and_then(|place| known.get(place)).map(|column| vec![Some(column.id)]))
}

enum Target {
    User(Relation),
    System { secret: bool },
    Audit,
}

/// The table that is asked about. That it exists is no secret: SELECT answers 42501 too.
fn target(viewer: &Viewer, table: &Argument) -> Result<Option<Target>, Error> {
    if let Some(oid) = table.oid() {
        let Some(seen) = viewer.relation(oid) else { return Ok(None) };
        return Ok(named(viewer, seen.schema, seen.name));
    }
    let Some(written) = table.text() else { return Ok(None) };
    let mut parts = identifiers(written);
    let name = parts.pop().unwrap_or_default();
    let found = match parts.pop() {
        Some(schema) => named(viewer, &schema, &name),
        None => {
            let path = std::iter::once(PG_CATALOG).chain(viewer.search_path.iter().map(String::as_str));
            path.into_iter().find_map(|schema| named(viewer, schema, &name))
        }
    };
    found.map(Some).ok_or_else(|| unknown_relation(written))
}

fn named(viewer: &Viewer, schema: &str, name: &str) -> Option<Target> {
    if definition::find(schema, name).is_some() {
        return Some(Target::System { secret: super::super::SUPERUSERS_ONLY.contains(&name) });
    }
    if schema == crate::system::SCHEMA {
        return LogTable::named(name).map(|_| Target::Audit);
    }
    viewer.snapshot.relation(schema, name).map(Target::User)
}

fn has_schema_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let (asked, rest) = asked(viewer, arguments, 2)?;
    let [schema, privilege] = rest else { return Ok(Cell::Null) };
    let found = match (schema.text(), schema.oid()) {
        (_, Some(oid)) => viewer.snapshot.schemas().find(|known| schema_oid(known.id) == oid),
        (Some(name), None) => viewer.snapshot.schema_by_name(name),
        (None, None) => None,
    };
    let known = &["USAGE", "CREATE"];
    if let Some(found) = found {
        if !asked.told(viewer, found.owner) {
            return Ok(Cell::Null);
        }
        return any(privilege.text(), known, |name, grantable| {
            asking(name, grantable).is_some_and(|one| asked.holds(viewer, (found.owner, &found.grants), one, None))
        });
    }
    let brought_along =
        viewer.schemas().into_iter().find(|known| Some(known.name) == schema.text() || Some(known.oid) == schema.oid());
    match brought_along {
        Some(_) => any(privilege.text(), known, |name, grantable| name == "USAGE" && (!grantable || asked.superuser)),
        None if schema.oid().is_some() => Ok(Cell::Null),
        None => {
            let message = format!("schema \"{}\" does not exist", schema.text().unwrap_or_default());
            Err(Error::new(SqlState::INVALID_SCHEMA_NAME, message))
        }
    }
}

/// Who may log in may connect; only superusers make schemas; nobody makes temporary tables.
fn has_database_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let (asked, rest) = asked(viewer, arguments, 2)?;
    let [database, privilege] = rest else { return Ok(Cell::Null) };
    if database.oid().is_none() && database.text() != Some(DATABASE) {
        let message = format!("database \"{}\" does not exist", database.text().unwrap_or_default());
        return Err(Error::new(SqlState::INVALID_CATALOG_NAME, message));
    }
    any(privilege.text(), &["CREATE", "CONNECT", "TEMPORARY", "TEMP"], |name, grantable| match name {
        "CONNECT" => asked.superuser || !grantable,
        "CREATE" => asked.superuser,
        _ => false,
    })
}

/// A keyed function is for those who hold EXECUTE, the others are for everybody.
fn has_function_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let (asked, rest) = asked(viewer, arguments, 2)?;
    let [function, privilege] = rest else { return Ok(Cell::Null) };
    let written = function.text().unwrap_or_default();
    let parts = identifiers(written.split('(').next().unwrap_or_default());
    let name = parts.last().cloned().unwrap_or_default();
    let keyed = lakeward_udfs::KEYED_FUNCTIONS.contains(&name.as_str());
    if keyed && !asked.told(viewer, SYSTEM) {
        return Ok(Cell::Null);
    }
    let grants = viewer.snapshot.system_grants(&SystemObject::Function(name));
    any(privilege.text(), &["EXECUTE"], |name, grantable| {
        let held = || asking(name, grantable).is_some_and(|one| asked.holds(viewer, (SYSTEM, grants), one, None));
        asked.superuser || if keyed { held() } else { !grantable }
    })
}

/// Memberships are inherited, so to be a member and to have its rights is one.
fn pg_has_role(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let (asked, rest) = asked(viewer, arguments, 2)?;
    let [role, privilege] = rest else { return Ok(Cell::Null) };
    let role = role_argument(viewer, role)?;
    any(privilege.text(), &["MEMBER", "USAGE", "SET"], |_, admin| {
        let held = if admin { viewer.snapshot.administers(&asked.roles, role) } else { asked.roles.contains(&role) };
        asked.superuser || held
    })
}

/// Whether row policies apply to the viewer on a table.
fn row_security_active(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some(table) = arguments.first() else { return Ok(Cell::Null) };
    let exempt = viewer.principal.superuser || viewer.principal.bypass_row_security;
    let active = match target(viewer, table)? {
        Some(Target::User(Relation::Table(table))) => Some(table.row_security && !exempt),
        Some(_) => Some(false),
        None => None,
    };
    Ok(Cell::from(active))
}
