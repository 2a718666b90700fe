//! `has_…_privilege` and `pg_has_role`: the truth, from the grants that the engine itself checks.
//!
//! Invariant: an answer about the asker is what the engine would decide; about somebody else's rights only those are
//! told who act with that role's rights or are superusers, everybody else gets NULL.

use std::collections::BTreeSet;

use lakeward_base::{RoleId, SqlState};
use lakeward_catalog::{Privilege, Relation};

use super::super::cell::Cell;
use super::super::definition::{self, PG_CATALOG};
use super::super::viewer::{Viewer, identifiers, schema_oid, unknown_relation};
use super::answer::{Argument, Known, Returns};
use super::object::role_argument;
use crate::error::Error;
use crate::functions::DATABASE;

pub(super) const FUNCTIONS: &[Known] = &[
    Known::strict("has_table_privilege", Returns::Truth, has_table_privilege),
    Known::strict("has_any_column_privilege", Returns::Truth, has_table_privilege),
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
}

impl Asked {
    fn current(viewer: &Viewer) -> Self {
        Self { roles: viewer.principal.effective_roles.clone(), superuser: viewer.principal.superuser }
    }

    /// Somebody else, where the viewer may ask.
    fn other(viewer: &Viewer, argument: &Argument) -> Result<Option<Self>, Error> {
        let role = role_argument(viewer, argument)?;
        if !viewer.owns(role) {
            return Ok(None);
        }
        let superuser = viewer.snapshot.role(role).is_some_and(|role| role.superuser);
        Ok(Some(Self { roles: viewer.snapshot.effective_roles(role), superuser }))
    }
}

/// Takes `[role,] rest…` apart, where `rest` has `count` arguments.
fn asked<'a>(
    viewer: &Viewer,
    arguments: &'a [Argument],
    count: usize,
) -> Result<Option<(Asked, &'a [Argument])>, Error> {
    match arguments.split_first() {
        Some((role, rest)) if rest.len() == count => Ok(Asked::other(viewer, role)?.map(|asked| (asked, rest))),
        _ if arguments.len() == count => Ok(Some((Asked::current(viewer), arguments))),
        _ => Err(Error::new(SqlState::UNDEFINED_FUNCTION, "a privilege function does not take these arguments")),
    }
}

/// Any of the privileges that a text names: `SELECT, INSERT WITH GRANT OPTION`.
fn any(written: Option<&str>, holds: impl Fn(&str, bool) -> bool) -> Cell {
    let one = |part: &str| {
        let part = part.trim().to_ascii_uppercase();
        match part.strip_suffix(" WITH GRANT OPTION") {
            Some(name) => holds(name.trim_end(), true),
            None => holds(&part, false),
        }
    };
    Cell::Bool(written.unwrap_or_default().split(',').any(one))
}

fn privilege_of(name: &str) -> Option<Privilege> {
    Some(match name {
        "SELECT" => Privilege::Select,
        "INSERT" => Privilege::Insert,
        "UPDATE" => Privilege::Update,
        "DELETE" => Privilege::Delete,
        "USAGE" => Privilege::Usage,
        "CREATE" => Privilege::Create,
        _ => return None,
    })
}

fn has_table_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some((asked, rest)) = asked(viewer, arguments, 2)? else { return Ok(Cell::Null) };
    let [table, privilege] = rest else { return Ok(Cell::Null) };
    on_table(viewer, &asked, table, privilege)
}

/// Privileges are given on whole tables.
fn has_column_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some((asked, rest)) = asked(viewer, arguments, 3)? else { return Ok(Cell::Null) };
    let [table, _, privilege] = rest else { return Ok(Cell::Null) };
    on_table(viewer, &asked, table, privilege)
}

fn on_table(viewer: &Viewer, asked: &Asked, table: &Argument, privilege: &Argument) -> Result<Cell, Error> {
    let Some(target) = target(viewer, table)? else { return Ok(Cell::Null) };
    Ok(any(privilege.text(), |name, grantable| match &target {
        Target::User(relation) => holds(viewer, asked, relation, name, grantable),
        Target::System { secret } => asked.superuser || (name == "SELECT" && !grantable && !secret),
        Target::Audit => {
            let auditor = viewer.snapshot.role_by_name("auditor").is_some_and(|role| asked.roles.contains(&role.id));
            asked.superuser || (name == "SELECT" && !grantable && auditor)
        }
    }))
}

fn holds(viewer: &Viewer, asked: &Asked, relation: &Relation, name: &str, grantable: bool) -> bool {
    let (owner, grants, shared) = match relation {
        Relation::Table(table) => (table.owner, &table.grants, table.grantable),
        Relation::View(view) => (view.owner, &view.grants, true),
    };
    let Some(privilege) = privilege_of(name) else { return false };
    if asked.superuser || asked.roles.contains(&owner) {
        return shared || !grantable;
    }
    !grantable && viewer.snapshot.holds(&asked.roles, owner, grants, privilege)
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
        return (name == "audit").then_some(Target::Audit);
    }
    viewer.snapshot.relation(schema, name).map(Target::User)
}

fn has_schema_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some((asked, rest)) = asked(viewer, arguments, 2)? else { return Ok(Cell::Null) };
    let [schema, privilege] = rest else { return Ok(Cell::Null) };
    let found = match (schema.text(), schema.oid()) {
        (_, Some(oid)) => viewer.snapshot.schemas().find(|known| schema_oid(known.id) == oid),
        (Some(name), None) => viewer.snapshot.schema_by_name(name),
        (None, None) => None,
    };
    if let Some(found) = found {
        return Ok(any(privilege.text(), |name, grantable| {
            let owns = asked.superuser || asked.roles.contains(&found.owner);
            let held = || {
                privilege_of(name)
                    .is_some_and(|one| viewer.snapshot.holds(&asked.roles, found.owner, &found.grants, one))
            };
            matches!(name, "USAGE" | "CREATE") && (owns || (!grantable && held()))
        }));
    }
    let brought_along =
        viewer.schemas().into_iter().find(|known| Some(known.name) == schema.text() || Some(known.oid) == schema.oid());
    match brought_along {
        Some(_) => Ok(any(privilege.text(), |name, grantable| name == "USAGE" && (!grantable || asked.superuser))),
        None if schema.oid().is_some() => Ok(Cell::Null),
        None => {
            let message = format!("schema \"{}\" does not exist", schema.text().unwrap_or_default());
            Err(Error::new(SqlState::INVALID_SCHEMA_NAME, message))
        }
    }
}

/// Who may log in may connect; only superusers make schemas; nobody makes temporary tables.
fn has_database_privilege(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some((asked, rest)) = asked(viewer, arguments, 2)? else { return Ok(Cell::Null) };
    let [database, privilege] = rest else { return Ok(Cell::Null) };
    if database.oid().is_none() && database.text() != Some(DATABASE) {
        let message = format!("database \"{}\" does not exist", database.text().unwrap_or_default());
        return Err(Error::new(SqlState::INVALID_CATALOG_NAME, message));
    }
    Ok(any(privilege.text(), |name, grantable| match name {
        "CONNECT" => asked.superuser || !grantable,
        "CREATE" => asked.superuser,
        _ => false,
    }))
}

/// Memberships are inherited, so to be a member and to have its rights is one.
fn pg_has_role(viewer: &Viewer, arguments: &[Argument]) -> Result<Cell, Error> {
    let Some((asked, rest)) = asked(viewer, arguments, 2)? else { return Ok(Cell::Null) };
    let [role, privilege] = rest else { return Ok(Cell::Null) };
    let role = role_argument(viewer, role)?;
    Ok(any(privilege.text(), |name, grantable| {
        matches!(name, "MEMBER" | "USAGE") && (asked.superuser || (!grantable && asked.roles.contains(&role)))
    }))
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
