//! Privileges as `information_schema` and `system.grants` tell them.
//!
//! Invariant: a grant is shown to its grantee, to everybody where it is everybody's, and to those who administer the
//! object; the owner's own rights to the owner.

use std::collections::BTreeSet;

use lakeward_base::ColumnId;
use lakeward_catalog::{Grant, Grantee, Privilege, SYSTEM, SystemObject};

use super::super::cell::{Cell, Rows, row};
use super::super::viewer::{Seen, Viewer};
use crate::functions::DATABASE;

const ON_RELATIONS: [Privilege; 4] = [Privilege::Insert, Privilege::Select, Privilege::Update, Privilege::Delete];
/// Those that PostgreSQL knows of columns too.
const ON_COLUMNS: [Privilege; 3] = [Privilege::Insert, Privilege::Select, Privilege::Update];

const TABLE_PRIVILEGES: &[&str] = &[
    "grantor",
    "grantee",
    "table_catalog",
    "table_schema",
    "table_name",
    "privilege_type",
    "is_grantable",
    "with_hierarchy",
];

fn grantee(viewer: &Viewer, grantee: Grantee) -> String {
    match grantee {
        Grantee::Public => "PUBLIC".to_owned(),
        Grantee::Role(role) => viewer.role_name(role),
    }
}

/// `information_schema.table_privileges`: what was granted, the owner's own rights included.
pub(super) fn table_privileges(viewer: &Viewer) -> Rows {
    of_tables(viewer, |_| true)
}

/// `information_schema.role_table_grants`: the same without what everybody has.
pub(super) fn role_table_grants(viewer: &Viewer) -> Rows {
    of_tables(viewer, |grant| grant.grantee != Grantee::Public)
}

fn of_tables(viewer: &Viewer, wanted: impl Fn(&Grant) -> bool) -> Rows {
    let relations = viewer.user_relations();
    let rows = relations.iter().flat_map(|seen| {
        let held = held(viewer, seen).into_iter().filter(|grant| grant.column.is_none() && wanted(grant));
        held.map(|grant| {
            let hierarchy = yes(grant.privilege == Privilege::Select);
            row![
                viewer.role_name(grant.grantor),
                grantee(viewer, grant.grantee),
                DATABASE,
                seen.schema,
                seen.name,
                grant.privilege.as_sql(),
                yes(grant.grantable),
                hierarchy
            ]
        })
        .collect::<Vec<_>>()
    });
    Rows::new(TABLE_PRIVILEGES, rows.collect::<Vec<_>>())
}

/// What the viewer may know that is held on a relation, the owner's rights among it.
fn held(viewer: &Viewer, seen: &Seen<'_>) -> Vec<Grant> {
    let mut held = Vec::new();
    if viewer.owns(seen.owner) && !seen.columns().is_empty() {
        let (grantee, grantor) = (Grantee::Role(seen.owner), seen.owner);
        let own = |privilege| Grant { privilege, grantee, grantor, column: None, grantable: true };
        held.extend(ON_RELATIONS.map(own));
    }
    held.extend(seen.grants().iter().filter(|grant| viewer.sees_grant(grant, seen.owner)).cloned());
    held
}

/// `information_schema.column_privileges`: what was granted on tables stands for each of their columns.
pub(super) fn column_privileges(viewer: &Viewer) -> Rows {
    of_columns(viewer, |_| true)
}

/// `information_schema.role_column_grants`.
pub(super) fn role_column_grants(viewer: &Viewer) -> Rows {
    of_columns(viewer, |grant| grant.grantee != Grantee::Public)
}

fn of_columns(viewer: &Viewer, wanted: impl Fn(&Grant) -> bool) -> Rows {
    let columns = &[
        "grantor",
        "grantee",
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "privilege_type",
        "is_grantable",
    ];
    let mut rows = Vec::new();
    for seen in viewer.user_relations() {
        let held: Vec<Grant> = held(viewer, &seen).into_iter().filter(|grant| wanted(grant)).collect();
        for (place, column) in (1_i64..).zip(seen.columns()) {
            let id = seen.column_id(place);
            let applies = |grant: &&Grant| {
                ON_COLUMNS.contains(&grant.privilege) && (grant.column.is_none() || grant.column == id)
            };
            for grant in held.iter().filter(applies) {
                rows.push(row![
                    viewer.role_name(grant.grantor),
                    grantee(viewer, grant.grantee),
                    DATABASE,
                    seen.schema,
                    seen.name,
                    column.name.as_str(),
                    grant.privilege.as_sql(),
                    yes(grant.grantable),
                ]);
            }
        }
    }
    Rows::new(columns, rows)
}

/// The places of the columns of a relation that the viewer holds some privilege on; `None` is all.
pub(super) fn readable(viewer: &Viewer, seen: &Seen<'_>) -> Option<BTreeSet<ColumnId>> {
    let roles = &viewer.principal.effective_roles;
    let holds = |privilege| viewer.snapshot.holds(roles, seen.owner, seen.grants(), privilege);
    if viewer.principal.superuser || ON_RELATIONS.into_iter().any(holds) {
        return None;
    }
    let columns = viewer.snapshot.columns_held(roles, seen.grants(), Privilege::Select);
    (!columns.is_empty()).then_some(columns)
}

/// `system.grants`: everything that was granted, memberships included.
pub(super) fn grants(viewer: &Viewer) -> Rows {
    let columns = &[
        "object_kind",
        "object_schema",
        "object_name",
        "column_name",
        "privilege",
        "grantee",
        "grantor",
        "is_grantable",
    ];
    let mut rows = Vec::new();
    for schema in viewer.schemas() {
        for grant in schema.grants.iter().filter(|grant| viewer.sees_grant(grant, schema.owner)) {
            rows.push(grant_row(viewer, ["schema", schema.name, schema.name], None, grant));
        }
    }
    for seen in viewer.user_relations() {
        let kind = if seen.kind() == "v" { "view" } else { "table" };
        for grant in seen.grants().iter().filter(|grant| viewer.sees_grant(grant, seen.owner)) {
            let place = (1_i64..)
                .zip(seen.columns())
                .find(|(place, _)| grant.column.is_some() && seen.column_id(*place) == grant.column);
            let column = place.map(|(_, column)| column.name);
            rows.push(grant_row(viewer, [kind, seen.schema, seen.name], column, grant));
        }
    }
    for (object, granted) in viewer.snapshot.system_objects() {
        let (kind, name) = match object {
            SystemObject::Function(name) => ("function", name.as_str()),
            SystemObject::Storage(location) => ("storage", location.as_str()),
            SystemObject::BreakGlass => ("break glass", "break glass"),
        };
        for grant in granted.iter().filter(|grant| viewer.sees_grant(grant, SYSTEM)) {
            rows.push(grant_row(viewer, [kind, "", name], None, grant));
        }
    }
    rows.extend(memberships(viewer));
    Rows::new(columns, rows)
}

fn grant_row(viewer: &Viewer, [kind, schema, name]: [&str; 3], column: Option<String>, grant: &Grant) -> Vec<Cell> {
    let in_schema = if matches!(kind, "table" | "view") { Some(schema) } else { None };
    row![
        kind,
        in_schema,
        name,
        column,
        grant.privilege.as_sql(),
        grantee(viewer, grant.grantee),
        viewer.role_name(grant.grantor),
        grant.grantable
    ]
}

/// Who is a member of what is no secret: `pg_auth_members` tells it too.
fn memberships(viewer: &Viewer) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for member in viewer.snapshot.roles() {
        let both: BTreeSet<_> = member.member_of.union(&member.admin_of).collect();
        for role in both {
            let privilege = if member.member_of.contains(role) { "MEMBER" } else { "ADMIN" };
            let (name, admin) = (viewer.role_name(*role), member.admin_of.contains(role));
            let none = None::<String>;
            rows.push(row!["role", none.clone(), name, none.clone(), privilege, member.name.as_str(), none, admin]);
        }
    }
    rows
}

fn yes(truth: bool) -> &'static str {
    if truth { "YES" } else { "NO" }
}
