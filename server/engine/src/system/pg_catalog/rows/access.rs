//! Grants and policies.
//!
//! Invariant: a policy is shown to the table's owner, policy administrators and superusers only; a grant to its grantee
//! and to them.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_base::{RoleId, SchemaId};
use lakeward_catalog::{Grant, Grantee, PolicyCommand, Privilege, RowPolicy, Table};

use super::super::cell::{Cell, Rows, row};
use super::super::viewer::{Seen, Viewer, default_acl_oid, oid_of, relation_oid, role_oid, schema_oid};

/// Privileges on tables, in PostgreSQL's order and letters.
const LETTERS: &[(Privilege, char)] = &[
    (Privilege::Insert, 'a'),
    (Privilege::Select, 'r'),
    (Privilege::Update, 'w'),
    (Privilege::Delete, 'd'),
    (Privilege::Usage, 'U'),
    (Privilege::Create, 'C'),
];

/// Every privilege on a relation, and on a schema, in letters.
pub(super) const ON_RELATIONS: &str = "arwd";
pub(super) const ON_SCHEMAS: &str = "UC";

/// An object's grants as PostgreSQL writes an access control list, as far as the viewer may know of them: the owner's own
/// rights first. `None` without grants: then only the owner has rights, `all` of them.
pub(super) fn list(viewer: &Viewer, owner: RoleId, grants: &[Grant], all: &str) -> Option<Vec<String>> {
    let granted = items(viewer, owner, grants.iter().filter(|grant| grant.column.is_none()));
    let name = quoted(&viewer.role_name(owner));
    let own = format!("{name}={all}/{name}");
    (!granted.is_empty()).then(|| std::iter::once(own).chain(granted).collect())
}

/// The same of one column, where there is nothing of the owner's.
pub(super) fn column_list(viewer: &Viewer, seen: &Seen<'_>, place: i64) -> Option<Vec<String>> {
    let column = seen.column_id(place)?;
    let granted = items(viewer, seen.owner, seen.grants().iter().filter(|grant| grant.column == Some(column)));
    (!granted.is_empty()).then_some(granted)
}

/// What roles grant on what they make, as far as the viewer may know of it: in all schemas (OID 0) together with their own
/// rights, in one schema without, as PostgreSQL has it.
pub(super) fn pg_default_acl(viewer: &Viewer) -> Rows {
    let columns = &["oid", "defaclrole", "defaclnamespace", "defaclobjtype", "defaclacl"];
    let mut rows = Vec::new();
    for maker in viewer.snapshot.roles() {
        let schemas: BTreeSet<Option<SchemaId>> = maker.default_grants.iter().map(|one| one.schema).collect();
        for schema in schemas {
            let here = maker.default_grants.iter().filter(|one| one.schema == schema);
            let grants: Vec<Grant> = here.map(|one| one.granted_by(maker.id)).collect();
            let list = match schema {
                None => list(viewer, maker.id, &grants, ON_RELATIONS),
                Some(_) => Some(items(viewer, maker.id, grants.iter())).filter(|list| !list.is_empty()),
            };
            let Some(list) = list else { continue };
            let namespace = schema.map_or(0, schema_oid);
            rows.push(row![default_acl_oid(maker.id, schema), role_oid(maker.id), namespace, "r", list]);
        }
    }
    Rows::new(columns, rows)
}

fn items<'a>(viewer: &Viewer, owner: RoleId, grants: impl Iterator<Item = &'a Grant>) -> Vec<String> {
    let mut letters: BTreeMap<(Grantee, RoleId), Vec<(usize, String)>> = BTreeMap::new();
    for grant in grants.filter(|grant| viewer.sees_grant(grant, owner)) {
        let Some(place) = LETTERS.iter().position(|(privilege, _)| *privilege == grant.privilege) else { continue };
        let letter = LETTERS.get(place).map(|(_, letter)| letter.to_string()).unwrap_or_default();
        let option = if grant.grantable { "*" } else { "" };
        letters.entry((grant.grantee, grant.grantor)).or_default().push((place, format!("{letter}{option}")));
    }
    let item = |((grantee, grantor), mut letters): ((Grantee, RoleId), Vec<(usize, String)>)| {
        letters.sort();
        let letters: String = letters.into_iter().map(|(_, letter)| letter).collect();
        let grantee = match grantee {
            Grantee::Public => String::new(),
            Grantee::Role(role) => viewer.role_name(role),
        };
        format!("{}={letters}/{}", quoted(&grantee), quoted(&viewer.role_name(grantor)))
    };
    letters.into_iter().map(item).collect()
}

fn quoted(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The tables whose policies the viewer may read.
fn tables(viewer: &Viewer) -> impl Iterator<Item = &Table> {
    viewer.snapshot.tables().map(AsRef::as_ref).filter(|table| viewer.sees_policies(table.owner))
}

pub(super) fn pg_policy(viewer: &Viewer) -> Rows {
    let of_table = |table: &Table| {
        let relation = relation_oid(table.id);
        table.policies.iter().map(|policy| policy_row(relation, policy)).collect::<Vec<_>>()
    };
    let columns = &["oid", "polname", "polrelid", "polcmd", "polpermissive", "polroles", "polqual", "polwithcheck"];
    Rows::new(columns, tables(viewer).flat_map(of_table).collect::<Vec<_>>())
}

fn policy_row(relation: u32, policy: &RowPolicy) -> Vec<Cell> {
    let roles: Vec<u32> = policy.grantees.iter().map(grantee_oid).collect();
    let using = policy.using.as_ref().map(|text| text.expose().clone());
    let with_check = policy.with_check.as_ref().map(|text| text.expose().clone());
    row![
        oid_of(policy.id.0),
        policy.name.as_str(),
        relation,
        letter(policy.command),
        policy.permissive,
        roles,
        using,
        with_check
    ]
}

fn grantee_oid(grantee: &Grantee) -> u32 {
    match grantee {
        Grantee::Public => 0,
        Grantee::Role(role) => role_oid(*role),
    }
}

fn letter(command: PolicyCommand) -> &'static str {
    match command {
        PolicyCommand::All => "*",
        PolicyCommand::Select => "r",
        PolicyCommand::Insert => "a",
        PolicyCommand::Update => "w",
        PolicyCommand::Delete => "d",
    }
}

pub(super) fn pg_policies(viewer: &Viewer) -> Rows {
    let of_table = |table: &Table| {
        let schema = viewer.snapshot.schema(table.schema).map(|schema| schema.name.clone()).unwrap_or_default();
        table.policies.iter().map(|policy| policies_row(viewer, &schema, &table.name, policy)).collect::<Vec<_>>()
    };
    let columns = &["schemaname", "tablename", "policyname", "permissive", "roles", "cmd", "qual", "with_check"];
    Rows::new(columns, tables(viewer).flat_map(of_table).collect::<Vec<_>>())
}

fn policies_row(viewer: &Viewer, schema: &str, table: &str, policy: &RowPolicy) -> Vec<Cell> {
    let name = |grantee: &Grantee| match grantee {
        Grantee::Public => "public".to_owned(),
        Grantee::Role(role) => viewer.role_name(*role),
    };
    let command = policy.command.as_sql();
    row![
        schema,
        table,
        policy.name.as_str(),
        if policy.permissive { "PERMISSIVE" } else { "RESTRICTIVE" },
        policy.grantees.iter().map(name).collect::<Vec<_>>(),
        command,
        policy.using.as_ref().map(|text| text.expose().clone()),
        policy.with_check.as_ref().map(|text| text.expose().clone()),
    ]
}
