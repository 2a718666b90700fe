//! Lakeward's own views: `system.roles`, `system.policies`, `system.tables`.
//!
//! Invariant: attributes and settings of a role are shown to itself and to those who may set them; a policy's text to its
//! owner and to policy administrators; the size of a table to those from whom no row of it is hidden.

use std::sync::Arc;

use lakeward_base::{PolicyId, RoleId, SqlState};
use lakeward_catalog::{Grantee, MaskSource, POLICY_ADMIN, Privilege, Relation, Role, Table, VersionSelector};

use super::super::cell::{Cell, Rows, row};
use super::super::definition::{Definition, SYSTEM};
use super::super::viewer::{Origin, Viewer};
use crate::error::Error;
use crate::statement::Name;

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

const POLICY_COLUMNS: &[&str] = &[
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
    "shadow_hidden",
    "shadow_failures",
];

/// Of all tables for those who make policies, of those that one may know for everybody else.
pub(super) fn policies(viewer: &Viewer) -> Rows {
    if viewer.makes_policies() {
        let schema = |table: &Table| viewer.snapshot.schema(table.schema).map_or("", |schema| schema.name.as_str());
        let rows = viewer.snapshot.tables().flat_map(|table| policies_of(viewer, (schema(table), &table.name), table));
        return Rows::new(POLICY_COLUMNS, rows.collect::<Vec<_>>());
    }
    let relations = viewer.user_relations();
    let rows = relations.iter().flat_map(|seen| match seen.origin {
        Origin::Table(table) => policies_of(viewer, (seen.schema, seen.name), table),
        Origin::View(_) | Origin::Catalog(_) | Origin::Audit(_) => Vec::new(),
    });
    Rows::new(POLICY_COLUMNS, rows.collect::<Vec<_>>())
}

/// SHOW EFFECTIVE POLICIES: the policies that rule a table for one role.
pub(in crate::system::pg_catalog) fn effective_policies(
    viewer: &Viewer,
    name: &Name,
    role: Option<&str>,
) -> Result<Rows, Error> {
    let table = seen_table(viewer, name)?;
    let role = match role {
        None => viewer.principal.current_role,
        Some(name) => {
            let missing = || Error::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"));
            viewer.snapshot.role_by_name(name).ok_or_else(missing)?.id
        }
    };
    let own = role == viewer.principal.current_role || (!viewer.simulated && role == viewer.principal.session_role);
    if !own && !viewer.principal.superuser && !viewer.principal.role_names.contains(POLICY_ADMIN) {
        let error =
            Error::new(SqlState::INSUFFICIENT_PRIVILEGE, "permission denied to see the policies of another role");
        return Err(error.with_hint("Only members of policy_admin may: leave FOR ROLE out to see your own."));
    }
    let ruling = ruling(viewer, table, role);
    let schema = viewer.snapshot.schema(table.schema).map_or("", |schema| schema.name.as_str());
    Ok(Rows::new(POLICY_COLUMNS, policies_of(viewer, (schema, &table.name), &ruling)))
}

/// A table without what does not rule `role` in it.
fn ruling(viewer: &Viewer, table: &Table, role: RoleId) -> Table {
    let mut ruling = table.clone();
    let of = viewer.snapshot.role(role);
    let exempt = of.is_some_and(|role| role.superuser);
    let roles = viewer.snapshot.effective_roles(role);
    let is_for = |grantee: &Grantee| match grantee {
        Grantee::Public => true,
        Grantee::Role(role) => roles.contains(role),
    };
    if exempt || !table.row_security || of.is_some_and(|role| role.bypass_row_security) {
        ruling.policies.clear();
    }
    ruling.policies.retain(|policy| !policy.shadow && policy.grantees.iter().any(is_for));
    if exempt {
        for column in &mut ruling.columns {
            column.mask = None;
            column.tags.clear();
        }
    }
    ruling
}

/// The table of a name that a statement is about, where the viewer may know it.
fn seen_table<'a>(viewer: &'a Viewer, name: &Name) -> Result<&'a Table, Error> {
    let shown = name.schema.as_ref().map_or_else(|| name.name.clone(), |schema| format!("{schema}.{}", name.name));
    let missing = || {
        let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"));
        error.at(name.position)
    };
    let path = match &name.schema {
        Some(schema) => vec![schema.clone()],
        None => viewer.search_path.clone(),
    };
    let found = path.iter().find_map(|schema| viewer.snapshot.relation(schema, &name.name)).ok_or_else(missing)?;
    let known = viewer.principal.role_names.contains(POLICY_ADMIN)
        || crate::metadata::sees(&viewer.snapshot, &viewer.principal, &found);
    match found {
        Relation::Table(_) | Relation::View(_) if !known => Err(Error::denied("table", &name.name)),
        Relation::Table(table) => viewer.snapshot.table(table.id).map(|table| &**table).ok_or_else(missing),
        Relation::View(view) => {
            let message = format!("\"{}\" is not a table", view.name);
            let hint = "Policies are on the tables that a view reads; EXPLAIN (POLICIES) of a query of it tells them.";
            Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint))
        }
    }
}

fn policies_of(viewer: &Viewer, (schema, name): (&str, &str), table: &Table) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let all = viewer.sees_policies(table.owner);
    for policy in &table.policies {
        // Whom a policy is not for does not learn that it is there.
        if !all && !policy.grantees.iter().any(|grantee| viewer.is_for(grantee)) {
            continue;
        }
        let text = policy.using.as_ref().or(policy.with_check.as_ref()).filter(|_| all);
        let counted = text.filter(|_| policy.shadow).map(|text| would_hide(viewer, policy.id, text.expose()));
        rows.push(row![
            schema,
            name,
            None::<String>,
            policy.name.as_str(),
            "row",
            if policy.permissive { "PERMISSIVE" } else { "RESTRICTIVE" },
            policy.command.as_sql(),
            policy.grantees.iter().map(|grantee| name_of(viewer, *grantee)).collect::<Vec<_>>(),
            "table",
            if policy.shadow { "shadow" } else { "enforced" },
            text.map(|text| text.expose().clone()),
            viewer.role_name(policy.owner),
            counted.as_ref().map(|(rows, _)| rows.as_str()),
            counted.as_ref().map(|(_, failures)| *failures),
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
            schema,
            name,
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
            None::<String>,
            None::<i64>,
        ]);
    }
    rows
}

/// What a policy in shadow would have hidden since the server's start: rows by role as JSON, and failures.
fn would_hide(viewer: &Viewer, policy: PolicyId, text: &str) -> (String, i64) {
    let counts = viewer.engine.shared.templates.shadow_counts().of(policy, lakeward_govern::text_mark(text));
    let failures = counts.iter().map(|(_, counted)| counted.failures).sum::<u64>();
    let by_role: serde_json::Map<String, serde_json::Value> =
        counts.iter().map(|(role, counted)| (viewer.role_name(*role), counted.rows.into())).collect();
    (serde_json::Value::Object(by_role).to_string(), i64::try_from(failures).unwrap_or(i64::MAX))
}

fn name_of(viewer: &Viewer, grantee: Grantee) -> String {
    match grantee {
        Grantee::Public => "PUBLIC".to_owned(),
        Grantee::Role(role) => viewer.role_name(role),
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
        "subject_column",
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
            table
                .subject
                .and_then(|subject| table.columns.iter().find(|column| column.id == subject))
                .map(|column| column.name.as_str()),
        ]);
    }
    Rows::new(columns, rows)
}

/// `system.break_glass`: all of it for those who review, one's own for everybody.
pub(super) fn break_glass(viewer: &Viewer) -> Rows {
    let columns = &[
        "id",
        "user_name",
        "subject",
        "reason",
        "ticket",
        "opened_at",
        "expires_at",
        "ended_at",
        "reviewed_by",
        "reviewed_at",
        "note",
    ];
    let now = viewer.engine.shared.parts.clock.now();
    let reviews = viewer.principal.superuser || viewer.principal.role_names.contains(POLICY_ADMIN);
    let seen = viewer.snapshot.break_glasses();
    let seen = seen.filter(|opened| reviews || opened.login == viewer.principal.session_role);
    let rows = seen.map(|opened| {
        let review = opened.review.as_ref();
        row![
            opened.id.to_string(),
            opened.user_name.as_str(),
            opened.subject.expose().as_str(),
            opened.reason.expose().as_str(),
            opened.ticket.as_ref().map(|ticket| ticket.expose().clone()),
            opened.opened_at.timestamp_micros(),
            opened.expires_at.timestamp_micros(),
            opened.end(now).map(|at| at.timestamp_micros()),
            review.map(|review| review.by.clone()),
            review.map(|review| review.at.timestamp_micros()),
            review.map(|review| review.note.expose().clone()),
        ]
    });
    Rows::new(columns, rows.collect::<Vec<_>>())
}

/// No row of the table is hidden from the viewer, who may read it: its size tells nothing new.
fn sees_all(viewer: &Viewer, table: &Table) -> bool {
    let principal = &viewer.principal;
    let reads = viewer.snapshot.holds(&principal.effective_roles, table.owner, &table.grants, Privilege::Select);
    principal.superuser || (reads && table.grantable && (!table.row_security || principal.bypass_row_security))
}
