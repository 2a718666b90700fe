//! Schemas, relations, columns.
//!
//! Invariant: only relations that the viewer may see, and a view's text only for its owner.

use super::super::cell::{Cell, Rows, row};
use super::super::types;
use super::super::viewer::{DELTA_OID, Origin, Seen, SeenColumn, Viewer, role_oid};
use super::access;

pub(super) fn pg_namespace(viewer: &Viewer) -> Rows {
    let rows = viewer.schemas().into_iter().map(|schema| {
        let acl = access::list(viewer, schema.owner, schema.grants, access::ON_SCHEMAS);
        row![schema.oid, schema.name, role_oid(schema.owner), acl]
    });
    Rows::new(&["oid", "nspname", "nspowner", "nspacl"], rows)
}

const CLASS: &[&str] = &[
    "oid",
    "relname",
    "relnamespace",
    "relowner",
    "relam",
    "relfilenode",
    "reltuples",
    "relpersistence",
    "relkind",
    "relnatts",
    "relrowsecurity",
    "relforcerowsecurity",
    "relispopulated",
    "relreplident",
    "relacl",
    "relhasrules",
];

pub(super) fn pg_class(viewer: &Viewer) -> Rows {
    Rows::new(CLASS, viewer.relations().iter().map(|seen| class_row(viewer, seen)))
}

fn class_row(viewer: &Viewer, seen: &Seen<'_>) -> Vec<Cell> {
    let is_table = seen.kind() == "r";
    let of_lake = matches!(seen.origin, Origin::Table(_));
    // Policies hold for owners too: PostgreSQL calls that forced.
    let secured = matches!(seen.origin, Origin::Table(table) if table.row_security);
    let columns = i64::try_from(seen.columns().len()).unwrap_or(i64::MAX);
    row![
        seen.oid,
        seen.name,
        seen.schema_oid,
        role_oid(seen.owner),
        if of_lake { DELTA_OID } else { 0 },
        if is_table { seen.oid } else { 0 },
        -1,
        "p",
        seen.kind(),
        columns,
        secured,
        secured,
        true,
        if of_lake { "d" } else { "n" },
        access::list(viewer, seen.owner, seen.grants(), access::ON_RELATIONS),
        !is_table,
    ]
}

const ATTRIBUTE: &[&str] = &[
    "attrelid",
    "attname",
    "atttypid",
    "attstattarget",
    "attlen",
    "attnum",
    "attndims",
    "attcacheoff",
    "atttypmod",
    "attbyval",
    "attalign",
    "attstorage",
    "attnotnull",
    "attislocal",
    "attcollation",
    "attacl",
];

pub(super) fn pg_attribute(viewer: &Viewer) -> Rows {
    let of_relation = |seen: Seen<'_>| {
        let columns = seen.columns();
        (1_i64..).zip(columns).map(|(place, column)| attribute_row(viewer, &seen, place, &column)).collect::<Vec<_>>()
    };
    Rows::new(ATTRIBUTE, viewer.relations().into_iter().flat_map(of_relation))
}

fn attribute_row(viewer: &Viewer, seen: &Seen<'_>, place: i64, column: &SeenColumn) -> Vec<Cell> {
    let found = types::by_oid(column.type_oid);
    row![
        seen.oid,
        column.name.as_str(),
        column.type_oid,
        -1,
        found.map_or(-1, |found| found.length),
        place,
        i32::from(found.is_some_and(|found| found.category == "A")),
        -1,
        column.modifier,
        found.is_some_and(|found| found.by_value),
        found.map(|found| found.alignment),
        found.map(|found| found.storage),
        column.not_null,
        true,
        found.map_or(0, |found| found.collation),
        access::column_list(viewer, seen, place),
    ]
}

pub(super) fn pg_tables(viewer: &Viewer) -> Rows {
    let relations = viewer.relations();
    let tables = relations.iter().filter(|seen| seen.kind() == "r");
    let rows = tables.map(|seen| {
        let secured = matches!(seen.origin, Origin::Table(table) if table.row_security);
        row![seen.schema, seen.name, viewer.role_name(seen.owner), false, false, false, secured]
    });
    let columns = &["schemaname", "tablename", "tableowner", "hasindexes", "hasrules", "hastriggers", "rowsecurity"];
    Rows::new(columns, rows.collect::<Vec<_>>())
}

pub(super) fn pg_views(viewer: &Viewer) -> Rows {
    let relations = viewer.relations();
    let views = relations.iter().filter(|seen| seen.kind() == "v");
    let rows = views.map(|seen| row![seen.schema, seen.name, viewer.role_name(seen.owner), definition(viewer, seen)]);
    Rows::new(&["schemaname", "viewname", "viewowner", "definition"], rows.collect::<Vec<_>>())
}

/// A view's text, for those who may read it.
pub(in crate::system::pg_catalog) fn definition(viewer: &Viewer, seen: &Seen<'_>) -> Option<String> {
    let Origin::View(view) = seen.origin else { return None };
    viewer.owns(view.owner).then(|| view.definition.expose().clone())
}

pub(super) fn pg_stat_tables(viewer: &Viewer) -> Rows {
    let relations = viewer.user_relations();
    let tables = relations.iter().filter(|seen| seen.kind() == "r");
    Rows::new(
        &["relid", "schemaname", "relname"],
        tables.map(|seen| row![seen.oid, seen.schema, seen.name]).collect::<Vec<_>>(),
    )
}
