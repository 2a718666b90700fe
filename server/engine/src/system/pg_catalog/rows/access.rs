//! Grants and policies.
//!
//! Invariant: a policy is shown to the table's owner, policy administrators and superusers only; a grant to its grantee
//! and to them.

use std::collections::BTreeMap;

use lakeward_base::RoleId;
use lakeward_catalog::{Grant, Grantee, PolicyCommand, Privilege, RowPolicy, Table};

use super::super::cell::{Cell, Rows, row};
use super::super::viewer::{Seen, Viewer, oid_of, relation_oid, role_oid};

/// Privileges on tables, in PostgreSQL's order and letters.
const LETTERS: &[(Privilege, char)] = &[
    (Privilege::Insert, 'a'),
    (Privilege::Select, 'r'),
    (Privilege::Update, 'w'),
    (Privilege::Delete, 'd'),
    (Privilege::Usage, 'U'),
    (Privilege::Create, 'C'),
];

/// An object's grants as PostgreSQL writes an access control list, as far as the viewer may know of them; `None`
/// without grants.
pub(super) fn list(viewer: &Viewer, owner: RoleId, grants: &[Grant]) -> Option<Vec<String>> {
    let mut letters: BTreeMap<(Grantee, RoleId), String> = BTreeMap::new();
    for (privilege, letter) in LETTERS {
        let granted = grants.iter().filter(|grant| grant.privilege == *privilege && viewer.sees_grant(grant, owner));
        granted.for_each(|grant| letters.entry((grant.grantee, grant.grantor)).or_default().push(*letter));
    }
    let item = |((grantee, grantor), letters): (&(Grantee, RoleId), &String)| {
        let grantee = match grantee {
            Grantee::Public => String::new(),
            Grantee::Role(role) => viewer.role_name(*role),
        };
        format!("{}={letters}/{}", quoted(&grantee), quoted(&viewer.role_name(*grantor)))
    };
    (!letters.is_empty()).then(|| letters.iter().map(item).collect())
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
    let command = match policy.command {
        PolicyCommand::All => "ALL",
        PolicyCommand::Select => "SELECT",
        PolicyCommand::Insert => "INSERT",
        PolicyCommand::Update => "UPDATE",
        PolicyCommand::Delete => "DELETE",
    };
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

/// `information_schema.table_privileges` and `role_table_grants`: what was granted, the owner's own rights included.
pub(super) fn table_privileges(viewer: &Viewer) -> Rows {
    let columns = &[
        "grantor",
        "grantee",
        "table_catalog",
        "table_schema",
        "table_name",
        "privilege_type",
        "is_grantable",
        "with_hierarchy",
    ];
    let relations = viewer.user_relations();
    Rows::new(columns, relations.iter().flat_map(|seen| privileges_of(viewer, seen)).collect::<Vec<_>>())
}

fn privileges_of(viewer: &Viewer, seen: &Seen<'_>) -> Vec<Vec<Cell>> {
    let row = |grantor: String, grantee: String, privilege: Privilege, grantable: &str| {
        let kind = privilege_name(privilege);
        let hierarchy = if privilege == Privilege::Select { "YES" } else { "NO" };
        row![grantor, grantee, crate::functions::DATABASE, seen.schema, seen.name, kind, grantable, hierarchy]
    };
    let mut rows = Vec::new();
    if viewer.owns(seen.owner) && !seen.columns().is_empty() {
        let owner = viewer.role_name(seen.owner);
        let all = [Privilege::Insert, Privilege::Select, Privilege::Update, Privilege::Delete];
        rows.extend(all.map(|privilege| row(owner.clone(), owner.clone(), privilege, "YES")));
    }
    for grant in seen.grants().iter().filter(|grant| viewer.sees_grant(grant, seen.owner)) {
        let grantee = match grant.grantee {
            Grantee::Public => "PUBLIC".to_owned(),
            Grantee::Role(role) => viewer.role_name(role),
        };
        rows.push(row(viewer.role_name(grant.grantor), grantee, grant.privilege, "NO"));
    }
    rows
}

fn privilege_name(privilege: Privilege) -> &'static str {
    match privilege {
        Privilege::Select => "SELECT",
        Privilege::Insert => "INSERT",
        Privilege::Update => "UPDATE",
        Privilege::Delete => "DELETE",
        Privilege::Usage => "USAGE",
        Privilege::Create => "CREATE",
    }
}
