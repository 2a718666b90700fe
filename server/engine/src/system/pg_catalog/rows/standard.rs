//! `information_schema`.
//!
//! Invariant: see [`super::relation`].

use super::super::cell::{Cell, Rows, row};
use super::super::types;
use super::super::viewer::{Origin, Seen, SeenColumn, Viewer};
use super::privileges;
use super::relation::definition;
use crate::functions::DATABASE;

pub(super) fn catalog_name(_: &Viewer) -> Rows {
    Rows::new(&["catalog_name"], [row![DATABASE]])
}

pub(super) fn character_sets(_: &Viewer) -> Rows {
    let columns = &["character_set_name", "character_repertoire", "form_of_use", "default_collate_catalog"];
    Rows::new(columns, [row!["UTF8", "UCS", "UTF8", DATABASE]])
}

pub(super) fn schemata(viewer: &Viewer) -> Rows {
    let schemas = viewer.schemas();
    let rows = schemas.iter().map(|schema| row![DATABASE, schema.name, viewer.role_name(schema.owner)]);
    Rows::new(&["catalog_name", "schema_name", "schema_owner"], rows.collect::<Vec<_>>())
}

pub(super) fn enabled_roles(viewer: &Viewer) -> Rows {
    Rows::new(&["role_name"], viewer.principal.role_names.iter().map(|name| row![name.as_str()]))
}

pub(super) fn applicable_roles(viewer: &Viewer) -> Rows {
    authorizations(viewer, |_| true)
}

/// `administrable_role_authorizations`: those with the admin option.
pub(super) fn administrable_roles(viewer: &Viewer) -> Rows {
    authorizations(viewer, |admin| admin)
}

/// Direct memberships of the roles that the viewer acts with.
fn authorizations(viewer: &Viewer, wanted: fn(bool) -> bool) -> Rows {
    let mut rows = Vec::new();
    for member in viewer.principal.effective_roles.iter().filter_map(|id| viewer.snapshot.role(*id)) {
        for role in member.member_of.union(&member.admin_of) {
            let admin = member.admin_of.contains(role);
            if wanted(admin) {
                rows.push(row![member.name.as_str(), viewer.role_name(*role), yes(admin)]);
            }
        }
    }
    Rows::new(&["grantee", "role_name", "is_grantable"], rows)
}

pub(super) fn tables(viewer: &Viewer) -> Rows {
    let relations = viewer.relations();
    let rows = relations.iter().map(|seen| {
        let kind = if seen.kind() == "v" { "VIEW" } else { "BASE TABLE" };
        let takes_rows = yes(matches!(seen.origin, Origin::Table(_)));
        row![DATABASE, seen.schema, seen.name, kind, takes_rows, "NO"]
    });
    let columns = &["table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into", "is_typed"];
    Rows::new(columns, rows.collect::<Vec<_>>())
}

pub(super) fn views(viewer: &Viewer) -> Rows {
    let relations = viewer.relations();
    let rows = relations.iter().filter(|seen| seen.kind() == "v").map(|seen| {
        row![DATABASE, seen.schema, seen.name, definition(viewer, seen), "NONE", "NO", "NO", "NO", "NO", "NO"]
    });
    let columns = &[
        "table_catalog",
        "table_schema",
        "table_name",
        "view_definition",
        "check_option",
        "is_updatable",
        "is_insertable_into",
        "is_trigger_updatable",
        "is_trigger_deletable",
        "is_trigger_insertable_into",
    ];
    Rows::new(columns, rows.collect::<Vec<_>>())
}

const COLUMNS: &[&str] = &[
    "table_catalog",
    "table_schema",
    "table_name",
    "column_name",
    "ordinal_position",
    "is_nullable",
    "data_type",
    "character_maximum_length",
    "character_octet_length",
    "numeric_precision",
    "numeric_precision_radix",
    "numeric_scale",
    "datetime_precision",
    "udt_catalog",
    "udt_schema",
    "udt_name",
    "dtd_identifier",
    "is_self_referencing",
    "is_identity",
    "identity_cycle",
    "is_generated",
    "is_updatable",
];

pub(super) fn columns(viewer: &Viewer) -> Rows {
    let of_relation = |seen: Seen<'_>| {
        let columns = seen.columns();
        let readable = privileges::readable(viewer, &seen);
        // As standard SQL has it: columns on which one holds nothing are not listed.
        let listed = |place: i64| {
            readable.as_ref().is_none_or(|readable| seen.column_id(place).is_some_and(|id| readable.contains(&id)))
        };
        let columns = (1_i64..).zip(columns).filter(|(place, _)| listed(*place));
        columns.map(|(place, column)| column_row(&seen, place, &column)).collect::<Vec<_>>()
    };
    Rows::new(COLUMNS, viewer.relations().into_iter().flat_map(of_relation))
}

fn column_row(seen: &Seen<'_>, place: i64, column: &SeenColumn) -> Vec<Cell> {
    let found = types::by_oid(column.type_oid);
    let is_array = found.is_some_and(|found| found.category == "A");
    let shown = if is_array { "ARRAY".to_owned() } else { types::format(column.type_oid, -1) };
    let (precision, radix, scale) = numeric(column);
    let of_time = match column.type_oid {
        1114 | 1184 if column.modifier >= 0 => Some(column.modifier),
        1114 | 1184 | 1083 => Some(6),
        1082 => Some(0),
        _ => None,
    };
    let (characters, bytes) = lengths(column);
    row![
        DATABASE,
        seen.schema,
        seen.name,
        column.name.as_str(),
        place,
        yes(!column.not_null),
        shown,
        characters,
        bytes,
        precision,
        radix,
        scale,
        of_time,
        DATABASE,
        "pg_catalog",
        found.map(|found| found.name),
        place.to_string(),
        "NO",
        "NO",
        "NO",
        "NEVER",
        yes(matches!(seen.origin, Origin::Table(_))),
    ]
}

/// How many characters, and how many bytes in UTF-8. What has no limit may have a gigabyte.
fn lengths(column: &SeenColumn) -> (Option<i32>, Option<i32>) {
    const LONGEST_BYTES: i32 = 1_073_741_824;
    match column.type_oid {
        1043 | 1042 if column.modifier >= 4 => {
            let characters = column.modifier - 4;
            (Some(characters), Some(characters.saturating_mul(4)))
        }
        25 | 1043 | 1042 => (None, Some(LONGEST_BYTES)),
        _ => (None, None),
    }
}

/// Precision, its radix, scale.
fn numeric(column: &SeenColumn) -> (Option<i32>, Option<i32>, Option<i32>) {
    match column.type_oid {
        21 => (Some(16), Some(2), Some(0)),
        23 => (Some(32), Some(2), Some(0)),
        20 => (Some(64), Some(2), Some(0)),
        700 => (Some(24), Some(2), None),
        701 => (Some(53), Some(2), None),
        1700 if column.modifier >= 4 => {
            let (precision, scale) = types::precision_and_scale(column.modifier);
            (Some(precision), Some(10), Some(scale))
        }
        _ => (None, None, None),
    }
}

fn yes(truth: bool) -> &'static str {
    if truth { "YES" } else { "NO" }
}
