//! Lakeward's own views: `system.roles`, `system.policies`, `system.tables`.
//!
//! Invariant: attributes and settings of a role are shown to itself and to those who may set them; a policy's text to its
//! owner and to policy administrators; the size of a table to those from whom no row of it is hidden.

use std::sync::Arc;

use lakeward_base::RoleId;
use lakeward_catalog::{Grantee, MaskSource, PolicyCommand, Privilege, Role, Table, VersionSelector};

use super::super::cell::{Cell, Rows, row};
use super::super::definition::{Definition, SYSTEM};
use super::super::viewer::{Origin, Seen, Viewer};

pub(super) fn roles(viewer: &Viewer) -> Rows {
    let columns = &[
        "role_name",
        "can_login",
        "superuser",
        "bypass_rls",
        "create_role",
        "built_in",
        "valid_until",
        "member_of",
        "admin_of",
        "allowed_purposes",
        "attributes",
        "settings",
        "comment",
    ];
    Rows::new(columns, viewer.snapshot.roles().map(|role| role_row(viewer, role)))
}

fn role_row(viewer: &Viewer, role: &Role) -> Vec<Cell> {
    let names = |ids: &std::collections::BTreeSet<RoleId>| {
        let mut names: Vec<String> = ids.iter().map(|id| viewer.role_name(*id)).collect();
        names.sort();
        names
    };
    let close = viewer.sees_attributes(role.id);
    let purposes = role.allowed_purposes.as_ref().filter(|_| close);
    let attributes = close.then(|| serde_json::to_string(&role.attributes).unwrap_or_default());
    row![
        role.name.as_str(),
        role.login,
        role.superuser,
        role.bypass_row_security,
        role.create_role,
        role.built_in,
        role.valid_until.map(|until| until.timestamp_micros()),
        names(&role.member_of),
        names(&role.admin_of),
        purposes.map(|purposes| purposes.iter().cloned().collect::<Vec<_>>()),
        attributes,
        close.then(|| settings_of(role)),
        role.comment.as_deref(),
    ]
}

/// `name=value`, as PostgreSQL keeps them; limits are among them.
pub(super) fn settings_of(role: &Role) -> Vec<String> {
    let settings = role.settings.iter().map(|(name, value)| format!("{name}={value}"));
    settings.chain(crate::limits::listed(&role.limits)).collect()
}

pub(super) fn policies(viewer: &Viewer) -> Rows {
    let columns = &[
        "schema_name",
        "table_name",
        "column_name",
        "policy_name",
        "kind",
        "mode",
        "command",
        "roles",
        "source",
        "state",
        "expression",
        "owner",
    ];
    let relations = viewer.user_relations();
    let rows = relations.iter().flat_map(|seen| match seen.origin {
        Origin::Table(table) => policies_of(viewer, seen, table),
        Origin::View(_) | Origin::Catalog(_) | Origin::Audit => Vec::new(),
    });
    Rows::new(columns, rows.collect::<Vec<_>>())
}

fn policies_of(viewer: &Viewer, seen: &Seen<'_>, table: &Table) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let all = viewer.sees_policies(table.owner);
    for policy in &table.policies {
        // Whom a policy is not for does not learn that it is there.
        if !all && !policy.grantees.iter().any(|grantee| viewer.is_for(grantee)) {
            continue;
        }
        let text = policy.using.as_ref().or(policy.with_check.as_ref()).filter(|_| all);
        rows.push(row![
            seen.schema,
            seen.name,
            None::<String>,
            policy.name.as_str(),
            "row",
            if policy.permissive { "PERMISSIVE" } else { "RESTRICTIVE" },
            command(policy.command),
            policy.grantees.iter().map(|grantee| name_of(viewer, *grantee)).collect::<Vec<_>>(),
            "table",
            "enforced",
            text.map(|text| text.expose().clone()),
            viewer.role_name(policy.owner),
        ]);
    }
    for column in &table.columns {
        let Some(mask) = viewer.snapshot.mask_of(column) else { continue };
        let Some(policy) = viewer.snapshot.masking_policy(mask.binding.policy) else { continue };
        let (kind, source) = match mask.source {
            MaskSource::Column => ("mask", "column".to_owned()),
            MaskSource::Tag(tag) => {
                ("tag_mask", viewer.snapshot.tag(tag).map(|tag| format!("tag {}", tag.name)).unwrap_or_default())
            }
        };
        let text = viewer.sees_policies(policy.owner).then(|| policy.body.expose().clone());
        rows.push(row![
            seen.schema,
            seen.name,
            column.name.as_str(),
            policy.name.as_str(),
            kind,
            None::<String>,
            "SELECT",
            vec!["PUBLIC".to_owned()],
            source,
            "enforced",
            text,
            viewer.role_name(policy.owner),
        ]);
    }
    rows
}

fn name_of(viewer: &Viewer, grantee: Grantee) -> String {
    match grantee {
        Grantee::Public => "PUBLIC".to_owned(),
        Grantee::Role(role) => viewer.role_name(role),
    }
}

fn command(command: PolicyCommand) -> &'static str {
    match command {
        PolicyCommand::All => "ALL",
        PolicyCommand::Select => "SELECT",
        PolicyCommand::Insert => "INSERT",
        PolicyCommand::Update => "UPDATE",
        PolicyCommand::Delete => "DELETE",
    }
}

/// Whether the rows are made by [`lake`].
pub(in crate::system::pg_catalog) fn is_lake(definition: &Definition) -> bool {
    definition.schema == SYSTEM && definition.name == "tables"
}

/// `system.tables`: each table is opened, so that what is told is what a query would read.
pub(in crate::system::pg_catalog) async fn lake(viewer: &Viewer) -> Rows {
    let columns = &[
        "schema_name",
        "table_name",
        "owner",
        "row_security",
        "masked_columns",
        "version",
        "files",
        "bytes",
        "comment",
    ];
    let mut tables: Vec<(String, Arc<Table>)> = Vec::new();
    for seen in viewer.user_relations() {
        if let Origin::Table(table) = seen.origin {
            tables.push((seen.schema.to_owned(), Arc::new(table.clone())));
        }
    }
    let mut rows = Vec::new();
    for (schema, table) in tables {
        let opened = viewer.engine.shared.parts.store.open(&table, VersionSelector::Latest).await.ok();
        let measured = opened.as_ref().filter(|_| sees_all(viewer, &table));
        let masked = table.columns.iter().filter(|column| viewer.snapshot.mask_of(column).is_some()).count();
        rows.push(row![
            schema,
            table.name.as_str(),
            viewer.role_name(table.owner),
            table.row_security,
            i64::try_from(masked).unwrap_or(i64::MAX),
            opened.as_ref().and_then(|raw| i64::try_from(raw.version()).ok()),
            measured.and_then(|raw| i64::try_from(raw.files()).ok()),
            measured.and_then(|raw| raw.total_bytes().get_value().and_then(|bytes| i64::try_from(*bytes).ok())),
            table.comment.as_deref(),
        ]);
    }
    Rows::new(columns, rows)
}

/// No row of the table is hidden from the viewer, who may read it: its size tells nothing new.
fn sees_all(viewer: &Viewer, table: &Table) -> bool {
    let principal = &viewer.principal;
    let reads = viewer.snapshot.holds(&principal.effective_roles, table.owner, &table.grants, Privilege::Select);
    principal.superuser || (reads && table.grantable && (!table.row_security || principal.bypass_row_security))
}
